//! ONNX's backend node tests on the devices of Unisono: an independent check of the oracle.
//!
//! The conformance suite proves devices against an oracle that was written in this project. Whoever
//! doubts the oracle needs a second opinion: ONNX publishes about 1,900 small models with official
//! inputs and outputs, one for each form of each operator. This crate reads them, writes each
//! operator as a program over the operations of the contract and runs it on every device, and on
//! the oracle itself. `docs/onnx.md` says how the tests are generated and what counts as covered.
//!
//! ```no_run
//! # fn device() -> unisono_core::Device { std::process::abort() }
//! use unisono_onnx::{Test, Verdict, list, run};
//!
//! for entry in list("onnx-node-tests".as_ref(), &["test_softmax*".to_owned()])? {
//!     let result = run(&Test::read(&entry)?, &[device()]);
//!     assert!(result.devices.iter().all(|d| d.verdict == Verdict::Pass), "{}", entry.name);
//! }
//! # Ok::<(), unisono_onnx::Error>(())
//! ```
#![forbid(unsafe_code)]

mod call;
mod compare;
mod error;
mod map;
mod oracle;
pub mod proto;
mod report;
mod run;
mod suite;
mod value;

pub use error::{Error, Result};
pub use report::{OnnxReport, OperatorCounts, markdown};
pub use run::{DeviceVerdict, ORACLE, TestResult, Verdict, run};
pub use suite::{DataSet, Entry, Test, list, version};
pub use value::Value;
