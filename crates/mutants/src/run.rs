//! Plants a fault, runs the cases that have to see it, and stops at the first that does.
//!
//! A failure proves something only if the same case passes without the fault on the same kernel, so
//! that is run as well, once per case and kernel. The outputs of cases with ordinary data are also
//! shown to the comparators of other projects, with the fault and without.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use unisono::{Backend, Result};
use unisono_conformance::{
    Case, CaseClass, CaseResult, DataClass, Kernels, Level, Options, Status, case_ids, find, glob_matches, run,
    run_observed,
};
use unisono_wgpu::WgpuOptions;

use crate::comparators::{Rejected, judge};
use crate::fault::{Fault, Place};
use crate::host::Planted;

/// The device that faults of the CPU backend are planted into.
const CPU: &str = "cpu";
/// How many cases are shown to the comparators for each fault.
const COMPARED: usize = 8;

/// What became of one fault.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The fault.
    pub fault: String,
    /// Its class.
    pub class: String,
    /// What is wrong.
    pub about: String,
    /// Where it is.
    pub place: String,
    /// The device.
    pub device: String,
    /// The case that caught it; none if it went unnoticed.
    pub caught: Option<Caught>,
    /// Why it was not caught, where that is known.
    pub problem: Option<String>,
    /// Cases that ran on the device with the fault.
    pub cases: usize,
    /// How other comparators judge it; none where the operation has no case to compare.
    pub scores: Option<Scores>,
    /// Seconds.
    pub seconds: f64,
}

/// The case that caught a fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Caught {
    /// Its id.
    pub case: String,
    /// The kernel that it ran on.
    pub kernel: String,
    /// What the suite says.
    pub reason: String,
    /// The command that runs it again.
    pub reproduce: String,
}

/// Which comparators reject an output with a fault and accept it without, over cases with ordinary
/// data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Scores {
    /// How many cases were compared.
    pub cases: usize,
    /// ggml: NMSE.
    pub ggml: bool,
    /// burn: default tolerance.
    pub burn: bool,
    /// ONNX backend tests.
    pub onnx: bool,
    /// The bounds of this suite over the same data, and nothing else of it.
    pub bounds: bool,
}

/// How often comparators reject what is correct.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FalseAlarms {
    /// Outputs of kernels without a fault, each case and kernel once.
    pub outputs: usize,
    /// Those that ggml's threshold rejects.
    pub ggml: usize,
    /// Those that burn's default rejects.
    pub burn: usize,
    /// Those that the tolerance of the ONNX tests rejects.
    pub onnx: usize,
    /// Those over the bounds of this suite.
    pub bounds: usize,
}

/// Opens a device with a fault. `device` is the id of an adapter, or `cpu`, whichever fits the fault.
pub fn open(fault: &Fault, device: &str) -> Result<Arc<dyn Backend>> {
    match &fault.place {
        Place::Host(host) => {
            let cpu = unisono::open(CPU)?;
            Ok(Arc::new(Planted::new(Arc::clone(cpu.backend()), Some(*host)).named(&fault.name)))
        }
        Place::Shader(_) => {
            let replaced = fault.shaders().map_err(|e| unisono::Error::invalid(e.to_string()))?;
            let options = WgpuOptions { replaced: Some(replaced), ..WgpuOptions::default() };
            let device: Arc<dyn Backend> = unisono_wgpu::open(device, &options)?;
            Ok(device)
        }
    }
}

/// Runs faults, and remembers what correct kernels do.
#[derive(Debug)]
pub struct Runner {
    adapter: Option<String>,
    /// Whether faults have to show in what the quick level runs.
    quick: bool,
    correct: BTreeMap<String, Arc<dyn Backend>>,
    /// Whether a case passes on a kernel without a fault: device, case, kernel.
    passes: BTreeMap<(String, String, String), bool>,
    /// What was compared without a fault: device, case, kernel.
    compared: BTreeSet<(String, String, String)>,
    alarms: FalseAlarms,
}

impl Runner {
    /// Shader faults run on `adapter`, the others on the CPU.
    pub fn new(adapter: Option<String>) -> Runner {
        Runner {
            adapter,
            quick: false,
            correct: BTreeMap::new(),
            passes: BTreeMap::new(),
            compared: BTreeSet::new(),
            alarms: FalseAlarms::default(),
        }
    }

    /// Faults have to show at the quick level, in its cases and the kernels that it samples, and are
    /// not shown to comparators.
    #[must_use]
    pub fn at_the_quick_level(mut self) -> Runner {
        self.quick = true;
        self
    }

    /// How often comparators rejected correct outputs so far.
    pub fn false_alarms(&self) -> FalseAlarms {
        self.alarms
    }

    /// Plants `fault`; an error only if a device does not open.
    pub fn run(&mut self, fault: &Fault) -> Result<Verdict> {
        let start = Instant::now();
        let device = match (&fault.place, &self.adapter) {
            (Place::Host(_), _) => CPU.to_owned(),
            (Place::Shader(_), Some(adapter)) => adapter.clone(),
            (Place::Shader(_), None) => {
                return Err(unisono::Error::new(
                    unisono::ErrorKind::DeviceNotFound,
                    "there is no adapter for shader faults",
                ));
            }
        };
        let faulty = open(fault, &device)?;
        let mut verdict = Verdict {
            fault: fault.name.clone(),
            class: fault.class.clone(),
            about: fault.about.clone(),
            place: fault.place_name(),
            device: device.clone(),
            caught: None,
            problem: None,
            cases: 0,
            scores: None,
            seconds: 0.0,
        };
        self.hunt(fault, &*faulty, &mut verdict)?;
        if self.quick {
            verdict.seconds = start.elapsed().as_secs_f64();
            return Ok(verdict);
        }
        // Compared on the kernel that caught it: every other one would have to be built as well.
        let kernel = verdict.caught.as_ref().map(|c| c.kernel.clone()).filter(|kernel| !kernel.is_empty());
        let one = Fault { kernel: kernel.or(fault.kernel.clone()), ..fault.clone() };
        verdict.scores = self.score(&one, &*faulty, &device, verdict.caught.as_ref().map(|c| c.case.as_str()))?;
        verdict.seconds = start.elapsed().as_secs_f64();
        Ok(verdict)
    }

    /// Runs case after case until one fails for the stated reason and passes without the fault.
    fn hunt(&mut self, fault: &Fault, faulty: &dyn Backend, verdict: &mut Verdict) -> Result<()> {
        let mut ids: Vec<String> = Vec::new();
        for pattern in &fault.cases {
            let all = options(fault, vec![pattern.clone()]);
            // The quick cases first.
            let mut found = case_ids(&Options { level: Level::Quick, ..all.clone() });
            if !self.quick {
                found.extend(case_ids(&all));
            }
            let found = found.into_iter();
            let new: Vec<String> = found.filter(|id| !ids.contains(id)).collect();
            ids.extend(new);
        }
        let mut seen = BTreeSet::new();
        ids.retain(|id| seen.insert(id.clone()));
        if ids.is_empty() {
            verdict.problem = Some(format!("no case is named {}", fault.cases.join(" or ")));
            return Ok(());
        }
        for id in ids {
            let mut options = options(fault, vec![id.clone()]);
            if self.quick {
                options.kernels = Kernels::Sampled;
            }
            let report = run(faulty, &options, &mut |_| {});
            verdict.cases += 1;
            let failed = |r: &&CaseResult| matches!(r.status, Status::Fail | Status::Error);
            for result in report.results.iter().filter(failed) {
                if !result.detail.contains(&fault.reason) {
                    verdict.problem = Some(format!("{id} fails for another reason: {}", result.detail));
                } else if !self.passes_without(fault, &verdict.device.clone(), &id, &result.kernel)? {
                    verdict.problem = Some(format!("{id} fails without the fault as well"));
                } else {
                    verdict.problem = None;
                    verdict.caught = Some(Caught {
                        case: id.clone(),
                        kernel: result.kernel.clone(),
                        reason: result.detail.clone(),
                        reproduce: result.reproduce.clone(),
                    });
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn passes_without(&mut self, fault: &Fault, device: &str, id: &str, kernel: &str) -> Result<bool> {
        let key = (device.to_owned(), id.to_owned(), kernel.to_owned());
        if let Some(&known) = self.passes.get(&key) {
            return Ok(known);
        }
        let backend = self.correct(device)?;
        let report = run(&*backend, &options(fault, vec![id.to_owned()]), &mut |_| {});
        for result in &report.results {
            let good = matches!(result.status, Status::Pass | Status::Warn);
            self.passes.insert((device.to_owned(), id.to_owned(), result.kernel.clone()), good);
        }
        // A broken promise about kernels shows under another name, or none: then all must pass.
        Ok(self.passes.get(&key).copied().unwrap_or_else(|| report.passed()))
    }

    fn correct(&mut self, device: &str) -> Result<Arc<dyn Backend>> {
        if let Some(backend) = self.correct.get(device) {
            return Ok(Arc::clone(backend));
        }
        let backend = Arc::clone(unisono::open(device)?.backend());
        self.correct.insert(device.to_owned(), Arc::clone(&backend));
        Ok(backend)
    }

    /// Shows cases with ordinary data to the comparators, with the fault and without.
    fn score(
        &mut self,
        fault: &Fault,
        faulty: &dyn Backend,
        device: &str,
        caught: Option<&str>,
    ) -> Result<Option<Scores>> {
        let cases = compared_cases(fault, caught);
        let correct = self.correct(device)?;
        let mut scores = Scores::default();
        for case in &cases {
            // Kernels of composites that have none are decompositions, which any name stands for.
            let named = correct.kernels(&case.desc);
            let fits = |n: &Arc<str>| fault.kernel.as_ref().is_none_or(|k| glob_matches(k, n));
            if !named.iter().any(fits) {
                continue;
            }
            scores.cases += 1;
            let right = judged(fault, &*correct, case);
            let wrong = judged(fault, faulty, case);
            for (output, judged) in &wrong {
                // What is rejected without the fault as well is not caught.
                let before = right.get(output).copied().unwrap_or_default();
                scores.ggml |= judged.by.ggml && !before.by.ggml;
                scores.burn |= judged.by.burn && !before.by.burn;
                scores.onnx |= judged.by.onnx && !before.by.onnx;
                scores.bounds |= judged.over && !before.over;
            }
            for (output, judged) in right {
                if self.compared.insert((device.to_owned(), case.id.clone(), output)) {
                    self.alarms.outputs += 1;
                    self.alarms.ggml += usize::from(judged.by.ggml);
                    self.alarms.burn += usize::from(judged.by.burn);
                    self.alarms.onnx += usize::from(judged.by.onnx);
                    self.alarms.bounds += usize::from(judged.over);
                }
            }
        }
        Ok((scores.cases > 0).then_some(scores))
    }
}

/// What the comparators say of one output, and whether it is over its bound.
#[derive(Clone, Copy, Debug, Default)]
struct Judged {
    by: Rejected,
    over: bool,
}

/// Runs one case and asks every comparator about each output, by kernel and number. A crash is seen
/// by all.
fn judged(fault: &Fault, backend: &dyn Backend, case: &Case) -> BTreeMap<String, Judged> {
    let once = Options { repeats: 1, other_repeats: 1, ..options(fault, vec![case.id.clone()]) };
    let from = case.desc.inputs.first().map_or(case.dtype, |d| d.dtype);
    let mut outputs = BTreeMap::new();
    let results = run_observed(backend, case, &once, &mut |seen| {
        let over = !unisono_conformance::check(seen.expected, seen.desc, seen.actual).passed();
        let judged = Judged { by: judge(case.family, from, seen), over };
        outputs.insert(format!("{}#{}", seen.kernel, seen.output), judged);
    });
    for crashed in results.iter().filter(|r| r.status == Status::Error) {
        outputs.insert(format!("{}#0", crashed.kernel), Judged { by: Rejected::ALL, over: true });
    }
    outputs
}

fn options(fault: &Fault, patterns: Vec<String>) -> Options {
    Options {
        kernels: Kernels::All,
        kernel: fault.kernel.clone(),
        repeats: 2,
        other_repeats: 2,
        ..Options::new(Level::Full).with_patterns(patterns)
    }
}

/// The cases that the comparators see: ordinary data, first of the cases that the fault names, then
/// of their families, spread over the list; and the case that caught the fault, if its data is
/// ordinary. Where an operation has no case with normal data, any that is not adversarial stands in.
fn compared_cases(fault: &Fault, caught: Option<&str>) -> Vec<Case> {
    let own: Vec<Case> = fault.cases.iter().flat_map(|p| find(p, Level::Full)).collect();
    let families: BTreeSet<&str> = own.iter().map(|c| c.family).collect();
    let family: Vec<Case> = families.iter().flat_map(|f| find(&format!("{f}/"), Level::Quick)).collect();
    let mut chosen: Vec<Case> = Vec::new();
    let normal = |c: &Case| c.data == DataClass::Normal;
    let plain = |c: &Case| !matches!(c.data, DataClass::Adversarial(_));
    let any_normal = own.iter().chain(&family).any(normal);
    let ordinary = |c: &&Case| {
        c.class == CaseClass::Counted
            && !c.is_large()
            && !c.desc.outputs[0].is_empty()
            && if any_normal { normal(c) } else { plain(c) }
    };
    chosen.extend(own.iter().filter(ordinary).filter(|c| caught == Some(c.id.as_str())).cloned());
    for list in [&own, &family] {
        let fitting: Vec<&Case> = list.iter().filter(ordinary).collect();
        let left = COMPARED.saturating_sub(chosen.len()).min(fitting.len());
        for i in 0..left {
            let case = fitting[i * fitting.len() / left];
            if chosen.iter().all(|c| c.id != case.id) {
                chosen.push(case.clone());
            }
        }
    }
    chosen
}
