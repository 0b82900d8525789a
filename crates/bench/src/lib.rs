//! Kernel benchmarks that tell the truth.
//!
//! A figure without a ceiling says nothing, and a fast wrong kernel says less. So each operation is
//! timed beside what the device can do at most ([`ceilings`]), and counts only where its output was
//! checked against the oracle of the conformance suite in the same run ([`conformant`]).
//!
//! No backend is known here. The parts that compute ([`stats`], [`roofline`], [`report`],
//! [`diff`](mod@diff), [`cases`]) run anywhere; those that wait for a device are for native targets.
#![forbid(unsafe_code)]

pub mod cases;
pub mod ceilings;
pub mod data;
pub mod diff;
pub mod reference;
pub mod report;
pub mod roofline;
pub mod sample;
pub mod stats;

#[cfg(not(target_family = "wasm"))]
pub mod cold;
#[cfg(not(target_family = "wasm"))]
pub mod conformant;
#[cfg(not(target_family = "wasm"))]
pub mod run;
#[cfg(not(target_family = "wasm"))]
mod session;
#[cfg(not(target_family = "wasm"))]
pub mod timing;
