//! What a run has shown, as data: the JSON of a report is the source, every other form is
//! rendered from it.
//!
//! The schema is versioned and published (`docs/report.schema.json`); a reader refuses a newer one
//! instead of misreading it. Nothing here reads a clock, a file or the environment: the caller
//! passes date and commit.

mod badge;
#[cfg(feature = "formats")]
pub mod csv;
mod device;
mod diff;
mod digest;
mod errors;
mod expected;
mod groups;
pub mod html;
mod html_errors;
mod html_parts;
mod html_side;
#[cfg(feature = "formats")]
pub mod junit;
pub mod markdown;
mod number;
mod ops;
pub mod page;
mod profiles;
pub(crate) mod sources;
mod verify;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use badge::badge;
pub use device::{DeviceFacts, DeviceReport, ModelResult, Summary};
pub use diff::{
    Change, ChangeKind, DeviceDifference, DiffOptions, Difference, ErrorsOf, FactChange, OperationDifference, diff,
};
pub use digest::digest;
pub use errors::{DECADES, OperationErrors};
pub use expected::{ExpectationEntry, ExpectationKind, ExpectationResult, ExpectedResult};
pub use groups::{GroupOutcome, GroupResult};
pub use number::Number;
pub use ops::{OpCell, OpRow, OpTable, device_title};
pub use profiles::{ProfileResult, ProfileVerdict};
pub use sources::{MOST_SOURCES, SourceText, SourceUse};
pub use verify::{Problem, Verification, VerifyOptions, verify};

/// The version of the JSON schema that this crate writes.
///
/// Version 1 had no digest, no verdict and no selection, version 2 nothing that is not finished, no
/// errors by operation and no sources of kernels; both are still read.
pub const SCHEMA_VERSION: u32 = 3;

/// Everything that one run of the suite has shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// See [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// [`digest()`] of everything else; [`to_json`](Report::to_json) writes it anew.
    #[serde(default)]
    pub digest: String,
    /// Whether every device passed, as [`verdict()`](Report::verdict()) says;
    /// [`to_json`](Report::to_json) writes it anew.
    #[serde(default)]
    pub verdict: Verdict,
    /// Version of this crate.
    pub version: String,
    /// The commit it was built from, where the caller knows it.
    pub commit: Option<String>,
    /// Whether files differed from that commit, where the caller knows it.
    #[serde(default)]
    pub dirty: Option<bool>,
    /// When that commit was made: RFC 3339, in UTC, to the second.
    #[serde(default)]
    pub commit_date: Option<String>,
    /// When the run ended: RFC 3339, in UTC, to the second.
    pub date: Option<String>,
    /// Where it ran.
    pub host: Host,
    /// `quick`, `full` or `exhaustive`.
    pub level: String,
    /// Ids, prefixes or globs of the cases that ran; empty where the whole level did.
    #[serde(default)]
    pub patterns: Vec<String>,
    /// The profile whose cases ran, where the run was restricted to one.
    #[serde(default)]
    pub profile: Option<String>,
    /// The only kernel that ran, where the run was restricted to one.
    #[serde(default)]
    pub kernel: Option<String>,
    /// The seed of the data, where it is not the suite's own.
    #[serde(default)]
    pub seed: Option<u64>,
    /// FNV-1a over the ids of all cases of that level, each followed by a line feed: two reports
    /// with the same hash are about the same list.
    pub case_list_hash: String,
    /// One per device, in the order they ran.
    pub devices: Vec<DeviceReport>,
}

/// The computer that the suite ran on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Operating system, with its version where the caller knows it.
    pub os: String,
    /// The architecture that the program was built for.
    #[serde(default)]
    pub arch: String,
    /// Processor, by name where the caller knows it, else its architecture.
    pub cpu: String,
}

impl Host {
    /// What the compiler knows: the operating system and the architecture.
    pub fn from_target() -> Host {
        let arch = std::env::consts::ARCH.to_string();
        Host { os: std::env::consts::OS.to_string(), cpu: arch.clone(), arch }
    }
}

impl Report {
    /// A report over `devices`, with the versions of this crate.
    pub fn new(level: crate::Level, host: Host, devices: Vec<DeviceReport>) -> Report {
        Report {
            schema_version: SCHEMA_VERSION,
            digest: String::new(),
            verdict: Verdict::Fail,
            version: env!("CARGO_PKG_VERSION").to_string(),
            commit: None,
            dirty: None,
            commit_date: None,
            date: None,
            host,
            level: level.name().to_string(),
            patterns: Vec::new(),
            profile: None,
            kernel: None,
            seed: None,
            case_list_hash: crate::runner::case_list_hash(level),
            devices,
        }
    }

    /// The same report, as one of a run with `options`: what they select is noted.
    #[must_use]
    pub fn with_options(mut self, options: &crate::Options) -> Report {
        self.patterns.clone_from(&options.patterns);
        self.profile.clone_from(&options.profile);
        self.kernel.clone_from(&options.kernel);
        self.seed = options.seed;
        self
    }

    /// The options of the run, as far as the report notes them: level, selection and seed.
    ///
    /// # Errors
    ///
    /// If this program has no such level.
    pub fn options(&self) -> Result<crate::Options, ReportError> {
        let level = crate::Level::from_name(&self.level);
        let level = level.ok_or_else(|| ReportError(format!("there is no level '{}'", self.level)))?;
        let options = crate::Options::new(level).with_patterns(self.patterns.clone()).with_kernel(self.kernel.clone());
        Ok(options.with_profile(self.profile.clone()).with_seed(self.seed))
    }

    /// Whether only selected cases, one profile or one kernel ran, and not the level with its own data.
    pub fn is_partial(&self) -> bool {
        !self.patterns.is_empty() || self.profile.is_some() || self.kernel.is_some()
    }

    /// Whether there is a device, no counted case of any failed and every one ran.
    pub fn passed(&self) -> bool {
        self.verdict() == Verdict::Pass
    }

    /// The worst verdict of a device: a failure, else that something is not finished, else a pass.
    /// Without devices nothing was shown, and that is a failure.
    pub fn verdict(&self) -> Verdict {
        self.devices.iter().map(DeviceReport::verdict).max().unwrap_or_default()
    }

    /// Writes verdict and digest from the content as it is now.
    pub fn seal(&mut self) -> Result<(), ReportError> {
        self.verdict = self.verdict();
        let document = serde_json::to_value(&*self).map_err(|e| ReportError(e.to_string()))?;
        self.digest = digest(&document)?;
        Ok(())
    }

    /// As JSON, indented, with verdict and digest.
    pub fn to_json(&self) -> Result<String, ReportError> {
        let mut sealed = self.clone();
        sealed.seal()?;
        serde_json::to_string_pretty(&sealed).map_err(|e| ReportError(e.to_string()))
    }

    /// From JSON; refuses a schema that is newer than this crate.
    pub fn from_json(text: &str) -> Result<Report, ReportError> {
        #[derive(Deserialize)]
        struct Version {
            schema_version: u32,
        }
        let wrap = |e: serde_json::Error| ReportError(e.to_string());
        let version: Version = serde_json::from_str(text).map_err(wrap)?;
        if version.schema_version > SCHEMA_VERSION {
            return Err(ReportError(format!(
                "the report has schema version {}, this program reads up to {SCHEMA_VERSION}",
                version.schema_version
            )));
        }
        serde_json::from_str(text).map_err(wrap)
    }
}

/// How a whole report ended, or a device of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every device passed.
    Pass,
    /// Nothing failed, and something is not finished: `unisono check --resume` runs the rest.
    NotFinished,
    /// Something failed, or nothing ran.
    #[default]
    Fail,
}

impl Verdict {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::NotFinished => "not_finished",
            Verdict::Fail => "fail",
        }
    }

    /// The name in sentences and tables for people.
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Pass => "passed",
            Verdict::NotFinished => "not finished",
            Verdict::Fail => "FAILED",
        }
    }

    /// The status that has its colour.
    pub(crate) fn status(self) -> Status {
        match self {
            Verdict::Pass => Status::Pass,
            Verdict::NotFinished => Status::NotFinished,
            Verdict::Fail => Status::Fail,
        }
    }
}

/// What to do about a run that is not finished.
pub const RESUME_HINT: &str = "neither passed nor failed: `unisono check --resume REPORT` runs the rest";

/// A report that cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportError(String);

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ReportError {}

/// How a case ended on one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Every check holds.
    Pass,
    /// Within the proven bound, but over what a careful kernel reaches.
    Warn,
    /// An informative case that went another way: reported, never counted as a failure.
    Info,
    /// The device declines the operation. Never a pass.
    Unsupported,
    /// Failed as an expectation says. Not counted as a failure, and never a pass.
    ExpectedFail,
    /// Not finished: a limit of time ended the run, or its worker process was stopped. Neither a pass nor
    /// a failure; [`resume`](crate::resume) runs it.
    NotFinished,
    /// Not run: the device was lost or did not open, or its worker processes crashed.
    NotRun,
    /// Passed although an expectation says otherwise: the expectation has to go.
    UnexpectedPass,
    /// A check does not hold.
    Fail,
    /// The backend returned an error, panicked, crashed or hung.
    Error,
}

impl Status {
    /// Every status, from good to bad.
    pub const ALL: [Status; 10] = [
        Status::Pass,
        Status::Warn,
        Status::Info,
        Status::Unsupported,
        Status::ExpectedFail,
        Status::NotFinished,
        Status::NotRun,
        Status::UnexpectedPass,
        Status::Fail,
        Status::Error,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Status::Pass => "pass",
            Status::Warn => "warn",
            Status::Info => "info",
            Status::Unsupported => "unsupported",
            Status::ExpectedFail => "expected_fail",
            Status::NotFinished => "not_finished",
            Status::NotRun => "not_run",
            Status::UnexpectedPass => "unexpected_pass",
            Status::Fail => "fail",
            Status::Error => "error",
        }
    }

    /// Whether it makes a run fail.
    pub fn is_failure(self) -> bool {
        matches!(self, Status::Fail | Status::Error | Status::NotRun | Status::UnexpectedPass)
    }
}

/// One case on one kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseResult {
    /// The case.
    pub id: String,
    /// Its family, a row of the matrix.
    pub family: String,
    /// Its element type, a column of the matrix.
    pub dtype: String,
    /// Whether a failure would count, or only be reported.
    pub informative: bool,
    /// The kernel, `decomposition`, or empty where none ran.
    pub kernel: String,
    /// Whether the kernel is the selector's own choice.
    pub selected: bool,
    /// How it ended.
    pub status: Status,
    /// What is wrong, or why it is unsupported; empty on a pass.
    pub detail: String,
    /// The largest `error / bound` over all elements, where anything was compared: over 1 fails.
    pub ratio: Option<Number>,
    /// The numeric modes of the device that widened the bounds of this case, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numeric_modes: Vec<String>,
    /// The element with the largest ratio.
    pub worst: Option<Worst>,
    /// FNV-1a over the inputs as stored.
    pub input_hash: String,
    /// FNV-1a over the elements of the outputs of the first run.
    pub output_hash: String,
    /// Seconds of the first run, from submission to its end.
    pub seconds: f64,
    /// How many results the case has on this device: one per kernel that ran.
    #[serde(default)]
    pub kernels: usize,
    /// The command that runs this case on this kernel again.
    pub reproduce: String,
    /// What the kernel was built from, where it failed and the device says so: names in
    /// [`DeviceReport::sources`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceUse>,
    /// The expectation that decided the status, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expectation: Option<ExpectedResult>,
}

impl fmt::Display for CaseResult {
    /// One line: status, id, kernel, detail and the worst element.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} on {}: {}", self.status.name(), self.id, self.kernel, self.detail)?;
        let Some(w) = &self.worst else { return Ok(()) };
        write!(f, "; at {:?}: expected {}, actual {}, bound {}", w.index, w.expected, w.actual, w.bound)
    }
}

/// An element of an output, as expected and as computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worst {
    /// Which output.
    pub output: usize,
    /// Its index in the logical shape.
    pub index: Vec<usize>,
    /// What the oracle says.
    pub expected: Number,
    /// What the device computed.
    pub actual: Number,
    /// How far apart they may be.
    pub bound: Number,
}

#[cfg(test)]
mod tests;
