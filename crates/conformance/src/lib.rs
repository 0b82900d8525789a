//! Proof that a backend computes the contract of Unisono: cases, oracle, bounds, reports.
//!
//! The crate has two halves that meet in [`Case`]. One says what must be computed: the cases with
//! their data, and an oracle in `f64` that gives each element of a result its exact value and the
//! error that correct arithmetic can make. The other runs: [`run`] puts each case into guarded
//! memory of a device, runs it on every kernel that could serve it and returns a [`DeviceReport`],
//! from which a [`Report`] becomes JSON or one HTML page.
//!
//! No backend is known here. A third party proves a backend of its own with two dependencies, this
//! crate and `unisono-core`:
//!
//! ```no_run
//! # fn backend() -> Box<dyn unisono_core::Backend> { std::process::abort() }
//! use unisono_conformance::{Host, Level, Options, Report, html, run};
//!
//! let backend = backend();
//! let device = run(&*backend, &Options::new(Level::Quick), &mut |progress| {
//!     eprintln!("{}/{} {}", progress.done, progress.total, progress.id);
//! });
//! let report = Report::new(Level::Quick, Host::from_target(), vec![device]);
//! println!("{}", html::render(&report));
//! assert!(report.passed());
//! ```
#![forbid(unsafe_code)]

mod arena;
mod bound;
mod case;
mod cases;
mod check;
mod data;
mod expect;
pub mod fingerprint;
mod glob;
mod hash;
#[cfg(not(target_family = "wasm"))]
pub mod isolate;
#[cfg(all(feature = "libtest", not(target_family = "wasm")))]
pub mod libtest;
mod oracle;
mod profiles;
pub mod report;
mod runner;

pub use case::{Case, CaseClass, DataClass, Level, families, find, suite};
pub use check::{Expected, Mismatch, Outcome, check};
pub use data::{POISON_BYTE, decode, ordinary_bytes, read_integers, read_logical};
pub use expect::{ExpectationError, Expectations};
pub use fingerprint::{Fingerprint, Trait};
pub use glob::glob_matches;
#[cfg(not(target_family = "wasm"))]
pub use isolate::{IsolatedRun, Isolation, IsolationError, resume, run_isolated, run_task, serve, serve_task};
pub use oracle::{evaluate, evaluate_in_modes};
pub use profiles::{Profile, judge, list_hash, profile, profiles};
pub use report::{
    CaseResult, DeviceFacts, DeviceReport, ExpectationEntry, ExpectationKind, ExpectationResult, ExpectedResult,
    GroupOutcome, GroupResult, Host, ModelResult, Number, ProfileResult, ProfileVerdict, Report, Status, Summary,
    Verdict, Worst, html,
};
#[doc(hidden)]
pub use runner::is_sampled;
pub use runner::{DECOMPOSITION, Kernels, Observation, Options, Progress, case_ids, case_list_hash, run_async};
#[cfg(not(target_family = "wasm"))]
pub use runner::{run, run_case, run_observed};
