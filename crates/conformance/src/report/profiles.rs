//! What a run says about the profiles: named, hashed lists of the cases that a kind of model needs.

use serde::{Deserialize, Serialize};

/// One profile on one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileResult {
    /// Its name: `llama-f16`, `bert`, ….
    pub name: String,
    /// Hash of the sorted ids of the cases that it requires at the level of the run: FNV-1a with 64
    /// bits over each id and a newline, in hexadecimal.
    pub list_hash: String,
    /// Cases that it requires.
    pub cases: usize,
    /// Required cases that passed on every kernel that ran (`pass` or `warn`).
    pub passed: usize,
    /// Required cases with a kernel that failed, expected failures included.
    pub failed: usize,
    /// Required cases that the device declines. They count against the profile.
    pub unsupported: usize,
    /// Required cases that did not run.
    pub missing: usize,
    /// Required cases that are not finished.
    #[serde(default)]
    pub unfinished: usize,
    /// Passed only if every required case passed.
    pub verdict: ProfileVerdict,
}

/// Whether a device fulfils a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProfileVerdict {
    /// Every required case passed, and there is one.
    Pass,
    /// Every required case passed but those that are not finished.
    NotFinished,
    /// Some required case did not pass.
    Fail,
}

impl ProfileVerdict {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            ProfileVerdict::Pass => "pass",
            ProfileVerdict::NotFinished => "not_finished",
            ProfileVerdict::Fail => "fail",
        }
    }
}
