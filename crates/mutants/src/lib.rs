//! Proof that the conformance suite can fail, and only when it must.
//!
//! A verdict is worth as much as the faults that would have changed it. This crate holds both
//! sides of that argument: kernels that are correct in every way a device may choose, which must
//! pass, and faults planted in kernels, which must be caught.
//!
//! [`emulated`] has kernels on the host whose order of summation and arithmetic
//! can be chosen, and which can be made wrong in one way. [`soundness`] runs the correct ones on random
//! cases.
//!
//! [`registry`] is a list of planted faults, as data: edits of shader texts, and a wrapper around the
//! CPU backend. [`Runner`] plants one after the other, finds the case that catches it, and asks how
//! other projects' tests would have judged the same outputs.

pub mod comparators;
pub mod emulated;
mod fault;
pub mod file;
pub mod host;
pub mod registry;
mod report;
mod run;
pub mod soundness;

pub use fault::{Edit, Fault, FaultError, Place};
pub use report::{MUTANTS_SCHEMA_VERSION, MutantsReport, Totals};
pub use run::{Caught, FalseAlarms, Runner, Scores, Verdict, open};
