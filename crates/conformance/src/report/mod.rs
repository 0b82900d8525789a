//! What a run has shown, as data: the JSON of a report is the source, every other form is
//! rendered from it.
//!
//! The schema is versioned; a reader refuses a newer one instead of misreading it. Nothing here
//! reads a clock, a file or the environment: the caller passes date and commit.

mod device;
mod expected;
mod groups;
pub mod html;
mod number;
mod ops;
mod profiles;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use device::{DeviceFacts, DeviceReport, ModelResult, Summary};
pub use expected::{ExpectationEntry, ExpectationKind, ExpectationResult, ExpectedResult};
pub use groups::{GroupOutcome, GroupResult};
pub use number::Number;
pub use ops::{OpCell, OpRow, OpTable, device_title};
pub use profiles::{ProfileResult, ProfileVerdict};

/// The version of the JSON schema that this crate writes.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything that one run of the suite has shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// See [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of this crate.
    pub version: String,
    /// The commit it was built from, where the caller knows it.
    pub commit: Option<String>,
    /// When it ran, as the caller writes dates.
    pub date: Option<String>,
    /// Where it ran.
    pub host: Host,
    /// `quick` or `full`.
    pub level: String,
    /// Hash of the ids of all cases of that level: two reports with the same hash ran the same
    /// list.
    pub case_list_hash: String,
    /// One per device, in the order they ran.
    pub devices: Vec<DeviceReport>,
}

/// The computer that the suite ran on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Operating system.
    pub os: String,
    /// Processor, by name where the caller knows it, else its architecture.
    pub cpu: String,
}

impl Host {
    /// What the compiler knows: the operating system and the architecture.
    pub fn from_target() -> Host {
        Host { os: std::env::consts::OS.to_string(), cpu: std::env::consts::ARCH.to_string() }
    }
}

impl Report {
    /// A report over `devices`, with the versions of this crate.
    pub fn new(level: crate::Level, host: Host, devices: Vec<DeviceReport>) -> Report {
        Report {
            schema_version: SCHEMA_VERSION,
            version: env!("CARGO_PKG_VERSION").to_string(),
            commit: None,
            date: None,
            host,
            level: level.name().to_string(),
            case_list_hash: crate::runner::case_list_hash(level),
            devices,
        }
    }

    /// Whether no counted case of any device failed and every one ran.
    pub fn passed(&self) -> bool {
        self.devices.iter().all(DeviceReport::passed)
    }

    /// As JSON, indented.
    pub fn to_json(&self) -> Result<String, ReportError> {
        serde_json::to_string_pretty(self).map_err(|e| ReportError(e.to_string()))
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
    /// Not run: the time limit was reached, the device was lost or its worker process ended.
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
    pub const ALL: [Status; 9] = [
        Status::Pass,
        Status::Warn,
        Status::Info,
        Status::Unsupported,
        Status::ExpectedFail,
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
