//! Running the suite on a device.
//!
//! Every case runs once per kernel that could serve it, not only on the selector's choice: what a
//! tuning profile may choose tomorrow is proven today. A panic or an error of the backend ends a
//! case, never the run.

mod case;
mod command;
#[cfg(not(target_family = "wasm"))]
mod concurrent;
pub(crate) mod exec;
pub(crate) mod now;
mod program;
mod recycled;
mod scenarios;
mod source;
mod sweep;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
#[cfg(all(feature = "libtest", not(target_family = "wasm")))]
use unisono_core::OpDesc;
use unisono_core::{Backend, DType, TensorDesc};
use web_time::Instant;

pub use case::DECOMPOSITION;
pub use case::is_sampled;
pub(crate) use case::prepare;
pub(crate) use command::planted;
#[cfg(all(feature = "libtest", not(target_family = "wasm")))]
pub(crate) use command::quoted;
pub(crate) use program::scenario_hashes;
pub(crate) use scenarios::ProgramCase;
pub(crate) use source::Sources;
pub(crate) use sweep::Sweep;

use crate::case::{Case, CaseClass, Level, find, named, suite};
use crate::check::Expected;
use crate::glob::glob_matches;
use crate::hash::Fnv;
use crate::report::{CaseResult, DeviceReport, Status};

/// What to run, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Which cases belong to the run.
    pub level: Level,
    /// Ids, prefixes or globs of cases; none stands for all of the level.
    pub patterns: Vec<String>,
    /// Only the cases that the [profile](crate::profile) of this name requires. An unknown name
    /// selects nothing.
    pub profile: Option<String>,
    /// The seed of the data of every operation; none stands for the seeds of the suite (1).
    pub seed: Option<u64>,
    /// Which kernels run.
    pub kernels: Kernels,
    /// Only the kernels whose name matches this glob, where one is given.
    pub kernel: Option<String>,
    /// Exactly the cases of these ids, of whatever level and seed, each on the kernels of these names, in
    /// place of what `patterns` select: for running results again. An empty name stands for every
    /// kernel.
    #[serde(default)]
    pub only: Option<BTreeMap<String, Vec<String>>>,
    /// How often the selector's choice runs; every run must give the same bits.
    pub repeats: u32,
    /// How often the other kernels run.
    pub other_repeats: u32,
    /// After this time no further case starts; those left count as not finished.
    pub time_limit: Option<Duration>,
}

/// Which kernels of a case run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernels {
    /// Every candidate, and the decomposition of composites.
    #[default]
    All,
    /// The one that the selector chooses, and each of the others on every sixth case or so: building
    /// a kernel for each of its variants is what takes the time on a fresh machine.
    Sampled,
    /// The one that the selector chooses.
    Selected,
}

impl Options {
    /// Everything of `level`. Exhaustive: a thousand runs of each kernel. Full: three. Quick: two runs
    /// of the selector's choice and one of the others, which are sampled. [Large](Case::is_large) cases
    /// run less often.
    pub fn new(level: Level) -> Options {
        let (repeats, other_repeats, kernels) = match level {
            Level::Quick => (2, 1, Kernels::Sampled),
            Level::Full => (3, 3, Kernels::All),
            Level::Exhaustive => (1000, 1000, Kernels::All),
        };
        Options {
            level,
            patterns: Vec::new(),
            profile: None,
            seed: None,
            kernels,
            kernel: None,
            only: None,
            repeats,
            other_repeats,
            time_limit: None,
        }
    }

    /// Only the cases with these ids, prefixes or globs, and every kernel for each of them.
    #[must_use]
    pub fn with_patterns(mut self, patterns: Vec<String>) -> Options {
        if !patterns.is_empty() {
            self.kernels = Kernels::All;
        }
        self.patterns = patterns;
        self
    }

    /// Only what the profile of this name requires, and every kernel for each of its cases.
    #[must_use]
    pub fn with_profile(mut self, profile: Option<String>) -> Options {
        if profile.is_some() {
            self.kernels = Kernels::All;
        }
        self.profile = profile;
        self
    }

    /// The same cases with other data.
    #[must_use]
    pub fn with_seed(mut self, seed: Option<u64>) -> Options {
        self.seed = seed;
        self
    }

    /// Only the kernel of this name, or [`DECOMPOSITION`]. A case without such a kernel has no result.
    #[must_use]
    pub fn with_kernel(mut self, kernel: Option<String>) -> Options {
        self.kernel = kernel;
        self
    }

    /// Exactly the cases of these ids, each on the kernels of these names, as a report lists them; an empty
    /// name stands for every kernel. An id that the suite does not know is left out.
    #[must_use]
    pub fn with_only(mut self, only: BTreeMap<String, Vec<String>>) -> Options {
        self.kernels = Kernels::All;
        self.only = Some(only);
        self
    }

    /// Whether the case of this id is to run on the kernel of this name.
    pub(crate) fn asks_for(&self, id: &str, kernel: &str) -> bool {
        let listed = |names: &Vec<String>| names.iter().any(|name| name.is_empty() || name == kernel);
        self.kernel.as_ref().is_none_or(|wanted| glob_matches(wanted, kernel))
            && self.only.as_ref().is_none_or(|only| only.get(id).is_some_and(listed))
    }

    /// Only these families, by their [names](crate::families); `program` stands for the programs of
    /// several steps. A name that no family has selects nothing.
    #[must_use]
    pub fn with_families<S: AsRef<str>>(mut self, families: impl IntoIterator<Item = S>) -> Options {
        self.patterns = families.into_iter().map(|family| format!("{}/", family.as_ref())).collect();
        self
    }

    fn repeats_of(&self, selected: bool, large: bool) -> u32 {
        let most = match (large, selected) {
            (false, _) => u32::MAX,
            (true, _) if self.level == Level::Exhaustive => 10,
            (true, true) => 2,
            (true, false) => 1,
        };
        most.min(if selected { self.repeats } else { self.other_repeats })
    }
}

/// How far a run has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Cases that are done, this one included if it has ended.
    pub done: usize,
    /// Cases of the run.
    pub total: usize,
    /// The case.
    pub id: &'a str,
    /// Whether it has just ended; else it is running.
    pub ended: bool,
    /// Its results, one per kernel; none while it runs.
    pub results: &'a [CaseResult],
    /// Kernels that the device has built so far.
    pub kernels: u64,
    /// What is being built or run, where that is known: the name of a kernel.
    pub doing: &'a str,
}

/// The family of what is no case of one operation: programs of several steps, several threads.
pub(crate) const PROGRAM: &str = "program";

/// A member of the run list.
pub(crate) enum Item {
    Case(Box<Case>),
    Program(&'static scenarios::ProgramCase),
    Sweep(Box<Sweep>),
    Recycled,
    #[cfg(not(target_family = "wasm"))]
    Concurrent,
    #[cfg(not(target_family = "wasm"))]
    ConcurrentShared,
}

/// What a member of the run list needs of a device.
#[cfg(all(feature = "libtest", not(target_family = "wasm")))]
pub(crate) enum Parts {
    /// Each of these operations.
    All(Vec<OpDesc>),
    /// A case of the quick level of one of these families.
    AnyOf(&'static [&'static str]),
}

impl Item {
    pub(crate) fn id(&self) -> &str {
        match self {
            Item::Case(case) => &case.id,
            Item::Program(case) => case.id,
            Item::Sweep(sweep) => &sweep.id,
            Item::Recycled => recycled::ID,
            #[cfg(not(target_family = "wasm"))]
            Item::Concurrent => concurrent::ID,
            #[cfg(not(target_family = "wasm"))]
            Item::ConcurrentShared => concurrent::SHARED_ID,
        }
    }

    /// The row of the reports that it belongs to.
    pub(crate) fn family(&self) -> &'static str {
        match self {
            Item::Case(case) => case.family,
            Item::Sweep(sweep) => sweep.family(),
            _ => PROGRAM,
        }
    }

    /// What it is made of, where a device can decline it for that.
    #[cfg(all(feature = "libtest", not(target_family = "wasm")))]
    pub(crate) fn parts(&self) -> Parts {
        match self {
            Item::Case(case) => Parts::All(vec![case.desc.clone()]),
            Item::Program(case) => {
                Parts::All((case.build)(1).map(|scenario| scenario.operations()).unwrap_or_default())
            }
            Item::Sweep(sweep) => Parts::All(sweep.desc().into_iter().collect()),
            Item::Recycled => Parts::AnyOf(&recycled::FAMILIES),
            Item::Concurrent | Item::ConcurrentShared => Parts::AnyOf(&concurrent::FAMILIES),
        }
    }

    /// Element type and class, where it is a case of one operation.
    pub(crate) fn facts(&self) -> Option<(DType, CaseClass)> {
        match self {
            Item::Case(case) => Some((case.dtype, case.class)),
            Item::Sweep(sweep) => Some((sweep.dtype(), CaseClass::Counted)),
            _ => None,
        }
    }

    /// Its results, one per kernel. What failed kernels were built from goes into `sources`.
    pub(crate) async fn run(&self, backend: &dyn Backend, options: &Options, sources: &mut Sources) -> Vec<CaseResult> {
        now::begin("");
        let mut results = match self {
            Item::Case(case) => case::run_case(backend, case, options, &mut |_| {}).await,
            Item::Program(case) => vec![program::run_program(backend, case).await],
            Item::Sweep(sweep) => sweep.run(backend, options).await,
            Item::Recycled => vec![recycled::run_recycled(backend).await],
            #[cfg(not(target_family = "wasm"))]
            Item::Concurrent => vec![concurrent::run_concurrent(backend).await],
            #[cfg(not(target_family = "wasm"))]
            Item::ConcurrentShared => vec![concurrent::run_shared(backend).await],
        };
        match self {
            Item::Case(case) => sources.ask(backend, &case.desc, &mut results).await,
            Item::Sweep(sweep) => {
                if let Ok(desc) = sweep.desc() {
                    sources.ask(backend, &desc, &mut results).await;
                }
            }
            _ => {}
        }
        let kernels = results.len();
        for result in &mut results {
            result.kernels = kernels;
            result.reproduce = options.command(&backend.info().id, &result.id, &result.kernel);
            result.reproduce.push_str(&planted(&backend.info().properties));
        }
        results
    }

    /// A result for the device with this id that says nothing yet.
    pub(crate) fn blank(&self, device: &str, options: &Options) -> CaseResult {
        let result = match self {
            Item::Case(case) => case::blank_result(case),
            Item::Sweep(sweep) => sweep.blank(),
            _ => blank_program_result(self.id()),
        };
        CaseResult { reproduce: options.command(device, self.id(), ""), ..result }
    }
}

/// Runs the suite on `backend`, blocking.
#[cfg(not(target_family = "wasm"))]
pub fn run(backend: &dyn Backend, options: &Options, progress: &mut dyn FnMut(&Progress<'_>)) -> DeviceReport {
    pollster::block_on(run_async(backend, options, progress))
}

/// Runs one case on the kernels that `options` ask for, one result each, blocking. The case need not
/// be of the suite's list.
#[cfg(not(target_family = "wasm"))]
pub fn run_case(backend: &dyn Backend, case: &Case, options: &Options) -> Vec<CaseResult> {
    pollster::block_on(case::run_case(backend, case, options, &mut |_| {}))
}

/// One output of a case after its first run on one kernel, next to what it must be.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The kernel.
    pub kernel: &'a str,
    /// Which output.
    pub output: usize,
    /// What it must be.
    pub expected: &'a Expected,
    /// Its type, shape and strides.
    pub desc: &'a TensorDesc,
    /// The bytes over the span of `desc`, as the device left them.
    pub actual: &'a [u8],
}

/// Runs one case on the kernels that `options` allow, blocking, and shows every output to
/// `observer`: for other ways of comparing than the bounds of this crate.
#[cfg(not(target_family = "wasm"))]
pub fn run_observed(
    backend: &dyn Backend,
    case: &Case,
    options: &Options,
    observer: &mut dyn FnMut(&Observation<'_>),
) -> Vec<CaseResult> {
    pollster::block_on(case::run_case(backend, case, options, observer))
}

/// Runs the suite on `backend`. `progress` is called after each case.
pub async fn run_async(
    backend: &dyn Backend,
    options: &Options,
    progress: &mut dyn FnMut(&Progress<'_>),
) -> DeviceReport {
    let start = Instant::now();
    let items = select(options);
    let mut all = Vec::new();
    let mut sources = Sources::default();
    let mut stopped: Option<(Status, String)> = None;
    for (i, item) in items.iter().enumerate() {
        if let Some(limit) = options.time_limit.filter(|&limit| stopped.is_none() && start.elapsed() >= limit) {
            stopped = Some((Status::NotFinished, format!("the time limit of {} s was reached", limit.as_secs())));
        }
        let results = match &stopped {
            None => item.run(backend, options, &mut sources).await,
            Some((status, reason)) => {
                let mut blank = item.blank(&backend.info().id, options);
                blank.reproduce.push_str(&planted(&backend.info().properties));
                vec![CaseResult { status: *status, detail: reason.clone(), ..blank }]
            }
        };
        if stopped.is_none() && results.iter().any(|r| r.status == Status::Error) {
            stopped = lost(backend).await.map(|reason| (Status::NotRun, reason));
        }
        let kernels = backend.counters().kernels;
        let (done, total, id) = (i + 1, items.len(), item.id());
        progress(&Progress { done, total, id, ended: true, results: &results, kernels, doing: "" });
        all.extend(results);
    }
    let profiles = crate::profiles::of_run(options, &items, &all);
    let report = DeviceReport::new(backend.info(), all, start.elapsed().as_secs_f64());
    DeviceReport { profiles, ..report.with_sources(sources.take()) }
}

/// Why nothing more can run, where the device does not even keep a few bytes.
pub(crate) async fn lost(backend: &dyn Backend) -> Option<String> {
    let probe = async {
        let bytes: Vec<u8> = (0..64).collect();
        let back = exec::download(backend, &exec::upload(backend, &bytes)?).await?;
        Ok::<bool, unisono_core::Error>(back == bytes)
    };
    match exec::catch(probe).await {
        Ok(Ok(true)) => None,
        Ok(Ok(false)) => Some("the device no longer keeps what is written to it".to_string()),
        Ok(Err(e)) => Some(format!("the device was lost: {e}")),
        Err(panic) => Some(panic),
    }
}

/// The ids of everything that `options` select, in the order in which it runs.
pub fn case_ids(options: &Options) -> Vec<String> {
    select(options).iter().map(|item| item.id().to_string()).collect()
}

/// What `options` select, in the order in which it runs.
pub(crate) fn select(options: &Options) -> Vec<Item> {
    let cases: Vec<Case> = match &options.only {
        Some(only) => named(only.keys().map(String::as_str)),
        None if options.patterns.is_empty() => suite(options.level),
        None => options.patterns.iter().flat_map(|pattern| find(pattern, options.level)).collect(),
    };
    let wanted = |id: &str| match &options.only {
        Some(only) => only.contains_key(id),
        None => options.patterns.is_empty() || options.patterns.iter().any(|p| fits(p, id)),
    };
    let reseeded = |case: Case| options.seed.map_or(case.clone(), |seed| case.with_seed(seed));
    let mut items: Vec<Item> = cases.into_iter().map(|case| Item::Case(Box::new(reseeded(case)))).collect();
    items.extend(sweep::select(options).into_iter().map(|s| Item::Sweep(Box::new(s))));
    items.extend(scenarios::ALL.iter().filter(|case| wanted(case.id)).map(Item::Program));
    #[cfg(not(target_family = "wasm"))]
    items.extend(wanted(concurrent::ID).then_some(Item::Concurrent));
    #[cfg(not(target_family = "wasm"))]
    items.extend(wanted(concurrent::SHARED_ID).then_some(Item::ConcurrentShared));
    items.extend(wanted(recycled::ID).then_some(Item::Recycled));
    if let Some(name) = &options.profile {
        let profile = crate::profiles::profile(name);
        items.retain(|item| profile.is_some_and(|profile| profile.requires(item)));
    }
    let mut seen = HashSet::new();
    items.retain(|item| seen.insert(item.id().to_string()));
    items
}

/// Whether a pattern of a person, an id, a prefix or a glob, fits `id`.
pub(crate) fn fits(pattern: &str, id: &str) -> bool {
    if pattern.contains('*') { glob_matches(pattern, id) } else { id.starts_with(pattern) }
}

/// The ids of everything, of whatever level.
pub(crate) fn every_id() -> Vec<String> {
    let mut ids: Vec<String> = crate::cases::all().into_iter().map(|case| case.id).collect();
    ids.extend(sweep::all().into_iter().map(|sweep| sweep.id));
    ids.extend(scenarios::ALL.iter().map(|case| case.id.to_string()));
    #[cfg(not(target_family = "wasm"))]
    ids.extend([concurrent::ID, concurrent::SHARED_ID].map(str::to_string));
    ids.push(recycled::ID.to_string());
    ids
}

/// A hash over the ids of all cases of `level`.
pub fn case_list_hash(level: Level) -> String {
    let mut hash = Fnv::new();
    for id in case_ids(&Options::new(level)) {
        hash.update(id.as_bytes());
        hash.update(b"\n");
    }
    hash.hex()
}

/// A result that says nothing yet.
fn blank_result(id: &str, family: &str, dtype: &str) -> CaseResult {
    CaseResult {
        id: id.to_string(),
        family: family.to_string(),
        dtype: dtype.to_string(),
        informative: false,
        kernel: String::new(),
        selected: true,
        status: Status::NotRun,
        detail: String::new(),
        ratio: None,
        numeric_modes: Vec::new(),
        worst: None,
        input_hash: String::new(),
        output_hash: String::new(),
        seconds: 0.0,
        kernels: 1,
        reproduce: String::new(),
        sources: Vec::new(),
        expectation: None,
    }
}

fn blank_program_result(id: &str) -> CaseResult {
    blank_result(id, PROGRAM, "f32")
}
