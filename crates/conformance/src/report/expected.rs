//! What a run says about expectations: failures that a file lists, with an issue and a date of
//! expiry, for cases on certain devices.
//!
//! An expected failure still runs and is shown as what it is; it only does not fail the run. An
//! expectation that is not met although the case ran is an error of the run, so that entries do not
//! outlive their reasons.

use serde::{Deserialize, Serialize};

/// What an entry expects of its cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpectationKind {
    /// [`Fail`](super::Status::Fail) or [`Error`](super::Status::Error) on some kernel.
    Fail,
    /// The device declines the case.
    Unsupported,
    /// Within the proven bound, but over what a careful kernel reaches.
    Warn,
}

impl ExpectationKind {
    /// Every kind.
    pub const ALL: [ExpectationKind; 3] = [ExpectationKind::Fail, ExpectationKind::Unsupported, ExpectationKind::Warn];

    /// The name in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            ExpectationKind::Fail => "fail",
            ExpectationKind::Unsupported => "unsupported",
            ExpectationKind::Warn => "warn",
        }
    }
}

/// The expectation that decided the status of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedResult {
    /// The entry.
    pub entry: ExpectationEntry,
    /// The status without the expectation: `fail` or `error` where the status is `expected_fail`,
    /// `pass`, `warn` or `info` where it is `unexpected_pass`, else the status itself.
    pub actual: super::Status,
}

/// An entry of the file, as it stands there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectationEntry {
    /// Its line in the file.
    pub line: usize,
    /// Case id or glob.
    pub case: String,
    /// Kernel name or glob; empty stands for every kernel.
    #[serde(default)]
    pub kernel: String,
    /// Which devices, as written.
    pub device: String,
    /// What is expected.
    pub kind: ExpectationKind,
    /// Where the defect is followed up.
    pub issue: String,
    /// The last day on which the entry excuses anything, as `2027-01-31`.
    pub expires: String,
}

/// What became of an entry on one device that it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectationResult {
    /// The entry.
    pub entry: ExpectationEntry,
    /// Whether it had expired, so that it excused nothing.
    pub expired: bool,
    /// Cases of the run that it matches.
    pub cases: usize,
    /// Results (case × kernel) that ended as expected.
    pub met: usize,
    /// Cases that passed against it on every kernel that ran.
    pub unexpected_passes: usize,
}
