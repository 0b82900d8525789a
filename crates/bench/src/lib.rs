//! Kernel benchmarks that tell the truth.
//!
//! A figure without a ceiling says nothing, and a fast wrong kernel says less. So each operation is
//! timed beside what the device can do at most, and counts only where its output was checked against
//! the oracle of the conformance suite in the same run.
#![forbid(unsafe_code)]
