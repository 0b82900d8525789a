//! Expectations: a file of failures that are known, each with the devices it is about, an issue and
//! a date of expiry. `docs/expectations.md` describes the file.
//!
//! An expectation does not skip anything. The case runs; a failure that was expected is shown as
//! such and does not fail the run, and a case that passes although its failure was expected is an
//! error of the run, so that entries go when their reasons do. After its last day an entry excuses
//! nothing.

mod apply;
mod device;
mod file;

use std::fmt;

pub(crate) use apply::{apply_again, without};

use crate::report::ExpectationEntry;
use device::Selector;

/// A file of expectations, read.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    entries: Vec<(ExpectationEntry, Selector)>,
}

/// What is wrong with a file of expectations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectationError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for ExpectationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ExpectationError {}

impl Expectations {
    /// The entries, in the order of the file.
    pub fn entries(&self) -> impl Iterator<Item = &ExpectationEntry> {
        self.entries.iter().map(|(entry, _)| entry)
    }
}
