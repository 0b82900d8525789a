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
//! [`Suite::covering`] leaves it out: then it counts as ignored, of the kind `unsupported`, and
//! `coverage` fails if the backend accepts it after all. Such cases stand at the end of the list, a line
//! for each family; `-- --each-unsupported` shows them one by one.

mod again;
mod declared;

use std::fmt::Display;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock};

pub use libtest_mimic::{Arguments, Failed, Trial};
use unisono_core::Backend;

use crate::case::{Case, Level};
use crate::report::{CaseResult, Status};
use crate::runner::{Item, Options, Sources, select};

use declared::{Declined, coverage, is_covered};

/// The argument of a test binary that lists what is declined one by one.
const EACH: &str = "--each-unsupported";
/// Between a family that is declined in part or whole and the number of its cases.
const CASES: &str = "/* (";
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
    each: bool,
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
            each: false,
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
    ///
    /// A program of several steps is asked about step by step, each as a case of its operation without
    /// data: it is covered where all of its steps are.
    #[must_use]
    pub fn covering(mut self, covers: impl Fn(&Case) -> bool + Send + Sync + 'static) -> Suite {
        self.covering = Some(Arc::new(covers));
        self
    }

    /// Lists what the backend declines one by one and not a line for each family, as the flag
    /// `--each-unsupported` of a test binary does.
    #[must_use]
    pub fn listing_unsupported(mut self) -> Suite {
        self.each = true;
        self
    }

    /// The tests, in the order of the case list, what is declined last. `coverage` comes first: it fails
    /// where a case that is declared as declined is accepted, and where no case is left at all.
    pub fn into_trials(self) -> Vec<Trial> {
        let Suite { prefix, options, granularity, covering, each, open } = self;
        let lazy = Arc::new(Lazy { opener: Mutex::new(Some(open)), opened: OnceLock::new() });
        let options = Arc::new(options);
        let whole = covering.is_none();
        let (items, left_out): (Vec<Item>, Vec<Item>) = select(&options)
            .into_iter()
            .partition(|item| covering.as_ref().is_none_or(|covers| is_covered(item, &**covers)));
        let declined: Vec<Declined> = left_out.iter().filter_map(Declined::of).collect();
        let trial = |name: String, items: Vec<Item>, ignored: bool| {
            let (lazy, options) = (lazy.clone(), options.clone());
            let name = format!("{prefix}{name}");
            let again = again::command(&name, ignored);
            let test = move || run_items(lazy.backend()?, &items, &options, whole, &again);
            Trial::test(name, test).with_ignored_flag(ignored).with_kind(if ignored { "unsupported" } else { "" })
        };
        let by_family = granularity == Granularity::Family;
        let mut trials: Vec<Trial> =
            grouped(items, by_family).into_iter().map(|(name, items)| trial(name, items, false)).collect();
        let tests = trials.len();
        trials.extend(
            grouped(left_out, by_family || !each)
                .into_iter()
                .filter_map(|(family, items)| {
                    let name = match (by_family, each) {
                        // A family of which a part is tested has its name already.
                        (true, _) if trials.iter().any(|t| t.name() == format!("{prefix}{family}")) => return None,
                        (false, false) => format!("{family}{CASES}{} cases)", items.len()),
                        _ => family,
                    };
                    Some(trial(name, items, true))
                })
                .collect::<Vec<_>>(),
        );
        let coverage = move || coverage(lazy.backend()?, &declined, tests);
        trials.insert(0, Trial::test(format!("{prefix}coverage"), coverage));
        trials
    }
}

/// Items under the names of their tests: a case each, or a family each.
fn grouped(items: Vec<Item>, by_family: bool) -> Vec<(String, Vec<Item>)> {
    let mut groups: Vec<(String, Vec<Item>)> = Vec::new();
    for item in items {
        let name = match by_family {
            false => item.id(),
            true => item.id().split_once('/').map_or(item.id(), |(family, _)| family),
        };
        match groups.iter_mut().find(|(group, _)| by_family && group == name) {
            Some((_, items)) => items.push(item),
            None => groups.push((name.to_string(), vec![item])),
        }
    }
    groups
}

/// Runs tests as the command line asks, and prints like `cargo test`.
pub fn main(suites: Vec<Suite>, others: Vec<Trial>) -> ExitCode {
    let has = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    // Who asks for one test by its whole name may mean a case that is declined, or a family of them.
    let family = std::env::args().any(|argument| argument.contains(CASES));
    let each = has(EACH) || (has("--exact") && !family);
    let suites = suites.into_iter().map(|suite| if each { suite.listing_unsupported() } else { suite });
    run(others.into_iter().chain(suites.flat_map(Suite::into_trials)).collect())
}

/// Runs `trials` as the command line asks.
///
/// One test that is asked for by its whole name (as `cargo nextest` does) runs on the main thread: a
/// thread that used a graphics driver and ends while the process does, has been seen to free the
/// driver's data twice (EGL of Mesa 22.3).
pub fn run(trials: Vec<Trial>) -> ExitCode {
    let mut arguments = Arguments::from_iter(std::env::args().filter(|argument| argument != EACH));
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
fn run_items(backend: &dyn Backend, items: &[Item], options: &Options, whole: bool, again: &str) -> Result<(), Failed> {
    let mut results = Vec::new();
    for item in items {
        results.extend(pollster::block_on(item.run(backend, options, &mut Sources::default())));
    }
    let declined = |r: &CaseResult| r.status == Status::Unsupported && (whole || r.selected);
    let bad = |r: &&CaseResult| r.status.is_failure() || declined(r);
    let bad: Vec<&CaseResult> = results.iter().filter(bad).collect();
    if bad.is_empty() {
        return Ok(());
    }
    let mut message = format!("{} of {} results on {}", bad.len(), results.len(), backend.info().name);
    for result in bad.iter().take(PRINTED) {
        message += &format!("\n{result}");
    }
    if bad.len() > PRINTED {
        message += &format!("\nand {} more", bad.len() - PRINTED);
    }
    message += &format!("\nThis test alone: {again}");
    Err(message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trials(suite: impl FnOnce(Suite) -> Suite) -> Vec<(String, bool)> {
        let closed = Suite::shared(|| Err::<Shared, _>("no device")).named("x");
        let trials = suite(closed).into_trials();
        trials.iter().map(|t| (t.name().to_string(), t.has_ignored_flag())).collect()
    }

    #[test]
    fn what_is_declined_is_a_line_for_each_family_at_the_end() {
        let covers = |case: &Case| !["concat", "conv2d"].contains(&case.family);
        let summed = trials(|suite| suite.covering(covers));
        assert_eq!(summed[0], ("x::coverage".to_string(), false));
        let first = summed.iter().position(|(_, ignored)| *ignored).unwrap();
        let ends: Vec<&str> = summed[first..].iter().map(|(name, _)| name.as_str()).collect();
        assert!(summed[first..].iter().all(|(_, ignored)| *ignored) && ends.len() == 3, "{ends:?}");
        for (family, name) in ["concat", "conv2d", "program"].iter().zip(&ends) {
            assert!(name.starts_with(&format!("x::{family}/* (")) && name.ends_with(" cases)"), "{name}");
        }
        let each = trials(|suite| suite.covering(covers).listing_unsupported());
        let declined: Vec<&String> = each.iter().filter(|(_, ignored)| *ignored).map(|(name, _)| name).collect();
        assert!(declined.len() > 10 && declined.iter().all(|name| !name.contains("/* (")), "{declined:?}");
        let programs = declined.iter().filter(|name| name.starts_with("x::program/")).count();
        let all = summed.iter().filter(|(name, _)| name.starts_with("x::program/")).count();
        assert!(programs >= 1 && all > programs, "{programs} of the programs have a concat");
        assert!(trials(|suite| suite).iter().all(|(_, ignored)| !ignored), "without a declaration all is covered");
    }

    #[test]
    fn checks_that_are_made_of_cases_need_one() {
        let left = |covers: fn(&Case) -> bool| {
            let kept = trials(|suite| suite.covering(covers)).into_iter().filter(|(_, ignored)| !ignored);
            kept.filter(|(name, _)| name.contains("program/")).map(|(name, _)| name).collect::<Vec<_>>()
        };
        let names = left(|case| case.family == "neg");
        assert!(names.iter().all(|name| !name.contains("concurrent") && !name.contains("recycled")), "{names:?}");
        let names = left(|case| case.family == "softmax");
        assert!(
            ["concurrent:", "concurrent_shared:", "recycled_memory:"]
                .iter()
                .all(|part| names.iter().any(|n| n.contains(part))),
            "{names:?}"
        );
    }
}
