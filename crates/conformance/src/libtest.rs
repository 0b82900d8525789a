//! The case list as tests: a test binary with names, filters and the command line of `cargo test`.
//!
//! A backend's author wants each case as a test of its own, to filter, repeat and bisect it with
//! the tools at hand, and not one test that fails with a list. A [`Suite`] is one backend, opened by
//! the first test that needs it and shared by all, with what of the list it runs;
//! [`conformance_tests!`](crate::conformance_tests) makes a `main` of suites.
//!
//! In `tests/conformance.rs`, with `harness = false` for that test in `Cargo.toml`:
//!
//! ```no_run
//! # mod my_backend {
//! #     pub fn open() -> Result<unisono_conformance::libtest::Shared, String> { Err(String::new()) }
//! # }
//! use unisono_conformance::libtest::Suite;
//!
//! unisono_conformance::conformance_tests!(
//!     Suite::shared(my_backend::open).covering(|case| case.family != "conv2d")
//! );
//! ```
//!
//! `cargo test --test conformance -- rms_norm/` then runs a family, `--exact 'ID'` a case, `--list`
//! lists everything; `cargo nextest run` works as well.
//!
//! **Unsupported is never a pass.** A case that the backend declines fails, unless
//! [`Suite::covering`] leaves it out: then it stands in the list as ignored, of the kind
//! `unsupported`, and `coverage` fails if the backend accepts it after all.

use std::fmt::Display;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock};

pub use libtest_mimic::{Arguments, Failed, Trial};
use unisono_core::{Backend, OpDesc, Support};

use crate::case::{Case, Level};
use crate::report::{CaseResult, Status};
use crate::runner::{Item, Options, select};

/// More failures of one test than this are counted, not printed.
const PRINTED: usize = 20;

/// A backend as suites share it among their tests.
pub type Shared = Arc<dyn Backend>;

/// How much of the list is one test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Granularity {
    /// A test is a case, named by its id, with all its kernels.
    #[default]
    Case,
    /// A test is a family, named by it. For backends that are slow to open, where each test may be
    /// a process of its own, as cargo-nextest does it.
    Family,
}

type Opener = Box<dyn FnOnce() -> Result<Shared, String> + Send>;
type Covering = Arc<dyn Fn(&Case) -> bool + Send + Sync>;

/// The tests of one backend.
pub struct Suite {
    prefix: String,
    options: Options,
    granularity: Granularity,
    covering: Option<Covering>,
    open: Opener,
}

/// A backend that the first test opens.
struct Lazy {
    opener: Mutex<Option<Opener>>,
    opened: OnceLock<Result<Shared, String>>,
}

impl Lazy {
    fn backend(&self) -> Result<&dyn Backend, Failed> {
        let opened = self.opened.get_or_init(|| {
            let opener = self.opener.lock().ok().and_then(|mut opener| opener.take());
            opener.map_or_else(|| Err("an earlier attempt panicked".to_string()), |open| open())
        });
        match opened {
            Ok(backend) => Ok(&**backend),
            Err(e) => Err(format!("the backend does not open: {e}").into()),
        }
    }
}

impl Suite {
    /// The quick level on the backend that `open` returns, a test per case.
    pub fn new<B: Backend + 'static, E: Display>(open: impl FnOnce() -> Result<B, E> + Send + 'static) -> Suite {
        Suite::shared(move || open().map(|backend| Arc::new(backend) as Shared))
    }

    /// As [`new`](Self::new), for a backend that is shared already.
    pub fn shared<E: Display>(open: impl FnOnce() -> Result<Shared, E> + Send + 'static) -> Suite {
        Suite {
            prefix: String::new(),
            options: Options::new(Level::Quick),
            granularity: Granularity::Case,
            covering: None,
            open: Box::new(move || open().map_err(|e| e.to_string())),
        }
    }

    /// Puts `name` and `::` before the name of each test: one binary may test several devices.
    #[must_use]
    pub fn named(mut self, name: &str) -> Suite {
        self.prefix = format!("{name}::");
        self
    }

    /// Another level, families, patterns, kernels or repeats. A time limit has no meaning here: the
    /// test harness has its own.
    #[must_use]
    pub fn with_options(mut self, options: Options) -> Suite {
        self.options = options;
        self
    }

    /// How much of the list is one test.
    #[must_use]
    pub fn with_granularity(mut self, granularity: Granularity) -> Suite {
        self.granularity = granularity;
        self
    }

    /// Declares which cases the backend covers. It must decline all others. Without a declaration it
    /// covers all of them, each composite's decomposition included.
    #[must_use]
    pub fn covering(mut self, covers: impl Fn(&Case) -> bool + Send + Sync + 'static) -> Suite {
        self.covering = Some(Arc::new(covers));
        self
    }

    /// The tests, in the order of the case list. `coverage` comes first: it fails where a case that
    /// is declared as declined is accepted, and where no case is left at all.
    pub fn into_trials(self) -> Vec<Trial> {
        let Suite { prefix, options, granularity, covering, open } = self;
        let lazy = Arc::new(Lazy { opener: Mutex::new(Some(open)), opened: OnceLock::new() });
        let options = Arc::new(options);
        let mut groups: Vec<(String, Vec<Item>)> = Vec::new();
        for item in select(&options) {
            let name = match granularity {
                Granularity::Case => item.id(),
                Granularity::Family => item.id().split_once('/').map_or(item.id(), |(family, _)| family),
            };
            match groups.iter_mut().find(|(group, _)| granularity == Granularity::Family && group == name) {
                Some((_, items)) => items.push(item),
                None => groups.push((name.to_string(), vec![item])),
            }
        }
        let mut trials = Vec::new();
        let mut declined = Vec::new();
        for (name, mut items) in groups {
            let left_out = |item: &Item| match (item, &covering) {
                (Item::Case(case), Some(covers)) => !covers(case),
                _ => false,
            };
            for item in items.iter().filter(|item| left_out(item)) {
                if let Item::Case(case) = item {
                    declined.push((case.id.clone(), case.desc.clone()));
                }
            }
            let ignored = items.iter().all(left_out);
            if !ignored {
                items.retain(|item| !left_out(item));
            }
            let (lazy, options) = (lazy.clone(), options.clone());
            let whole = covering.is_none();
            let test = move || run_items(lazy.backend()?, &items, &options, whole);
            let trial = Trial::test(format!("{prefix}{name}"), test);
            trials.push(trial.with_ignored_flag(ignored).with_kind(if ignored { "unsupported" } else { "" }));
        }
        let tests = trials.iter().filter(|t| !t.has_ignored_flag()).count();
        let coverage = move || coverage(lazy.backend()?, &declined, tests);
        trials.insert(0, Trial::test(format!("{prefix}coverage"), coverage));
        trials
    }
}

/// Runs tests as the command line asks, and prints like `cargo test`.
pub fn main(suites: Vec<Suite>, others: Vec<Trial>) -> ExitCode {
    run(others.into_iter().chain(suites.into_iter().flat_map(Suite::into_trials)).collect())
}

/// Runs `trials` as the command line asks.
///
/// One test that is asked for by its whole name (as `cargo nextest` does) runs on the main thread: a
/// thread that used a graphics driver and ends while the process does, has been seen to free the
/// driver's data twice (EGL of Mesa 22.3).
pub fn run(trials: Vec<Trial>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    if arguments.exact {
        arguments.test_threads = Some(1);
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The `main` of a test binary without harness, from [`Suite`](crate::libtest::Suite)s: see
/// [`libtest`](crate::libtest).
#[macro_export]
macro_rules! conformance_tests {
    ($($suite:expr),+ $(,)?) => {
        fn main() -> ::std::process::ExitCode {
            $crate::libtest::main(::std::vec![$($suite),+], ::std::vec::Vec::new())
        }
    };
}

/// Fails on what failed or is unsupported. A partial backend may serve a composite and lack what its
/// decomposition needs.
fn run_items(backend: &dyn Backend, items: &[Item], options: &Options, whole: bool) -> Result<(), Failed> {
    let mut results = Vec::new();
    for item in items {
        results.extend(pollster::block_on(item.run(backend, options)));
    }
    let declined = |r: &CaseResult| r.status == Status::Unsupported && (whole || r.selected);
    let bad = |r: &&CaseResult| r.status.is_failure() || declined(r);
    let bad: Vec<&CaseResult> = results.iter().filter(bad).collect();
    if bad.is_empty() {
        return Ok(());
    }
    let mut message = format!("{} of {} results on {}", bad.len(), results.len(), backend.info().name);
    for result in bad.iter().take(PRINTED) {
        message += &format!("\n{result}\n    {}", result.reproduce);
    }
    Err(message.into())
}

/// Holds the declaration of what is declined to what the backend says.
fn coverage(backend: &dyn Backend, declined: &[(String, OpDesc)], tests: usize) -> Result<(), Failed> {
    if tests == 0 {
        return Err("no case is left: a run of nothing proves nothing".into());
    }
    let accepts = |desc: &OpDesc| !matches!(backend.supports(desc), Support::Unsupported(_));
    let accepted: Vec<&str> = declined.iter().filter(|(_, desc)| accepts(desc)).map(|(id, _)| &**id).collect();
    if accepted.is_empty() {
        return Ok(());
    }
    let mut message =
        format!("{} cases are declared as declined, and {} accepts them", accepted.len(), backend.info().name);
    for id in accepted.iter().take(PRINTED) {
        message += &format!("\n{id}");
    }
    Err(message.into())
}
