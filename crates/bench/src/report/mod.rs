//! What a run has measured, as data: the JSON is the source, every other form is rendered from it.
//!
//! The schema is versioned and stands in `docs/benchmarks.md`; a reader refuses a newer one. Times
//! are in seconds, rates in bytes and operations per second; only tables use larger units. Nothing
//! here reads a clock, a file or the environment: the caller passes date and commit.

pub mod csv;
pub mod html;
mod svg;
mod verdict;

use serde::{Deserialize, Serialize};
use unisono_conformance::report::{DeviceFacts, Host};
use unisono_core::{Error, Result};

pub use verdict::{Doubts, Trust, Verdict};

use crate::ceilings::Ceilings;
use crate::reference::Beat;
use crate::roofline::Bound;
use crate::stats::Summary;

/// The version of the JSON schema that this crate writes.
///
/// Version 1 visited each row once and had no rounds; it is still read.
pub const SCHEMA_VERSION: u32 = 2;

/// What the `kind` of a report says.
pub const KIND: &str = "unisono-bench";

/// Everything that one run has measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`KIND`].
    pub kind: String,
    /// See [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of this crate.
    pub version: String,
    /// The commit it was built from, where the caller knows it.
    #[serde(default)]
    pub commit: Option<String>,
    /// Whether files differed from that commit.
    #[serde(default)]
    pub dirty: Option<bool>,
    /// When the run ended: RFC 3339, in UTC, to the second.
    #[serde(default)]
    pub date: Option<String>,
    /// Whether the run came to its end. What is written while a run goes on is not complete.
    #[serde(default = "yes")]
    pub complete: bool,
    /// Where it ran.
    pub host: Host,
    /// One per device, in the order they ran.
    pub devices: Vec<DeviceBench>,
}

fn yes() -> bool {
    true
}

/// What one device has shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceBench {
    /// Facts about the device.
    pub device: DeviceFacts,
    /// What it can do at most.
    pub ceilings: Ceilings,
    /// The medians of the two reference kernels over the run.
    #[serde(default)]
    pub reference: Option<Beat>,
    /// A fifth of the measurements of a reference is this much over another fifth, as a ratio: how
    /// noisy the machine was. The larger of both references.
    #[serde(default)]
    pub reference_spread: Option<f64>,
    /// The largest drift of a reference during a row, as a ratio to its median.
    #[serde(default)]
    pub worst_drift: Option<f64>,
    /// Bytes over which weights were rotated; 0 where they were not.
    #[serde(default)]
    pub cold_bytes: u64,
    /// Seconds that the run took.
    pub seconds: f64,
    /// One per item and kernel, in the order they ran.
    pub rows: Vec<Row>,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Timed, and right.
    Measured,
    /// Timed, and wrong: no figure counts.
    Wrong,
    /// Not run; the detail says why.
    Skipped,
    /// The device failed.
    Error,
}

impl Outcome {
    /// The name in tables and reports.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Measured => "measured",
            Outcome::Wrong => "wrong",
            Outcome::Skipped => "skipped",
            Outcome::Error => "error",
        }
    }

    /// Whether it makes a run fail.
    pub fn is_failure(self) -> bool {
        matches!(self, Outcome::Wrong | Outcome::Error)
    }
}

/// One operation on one kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// `set/shape/operation:parameters`, or the id of a case.
    pub id: String,
    /// The set.
    pub set: String,
    /// The shape within the set.
    pub shape: String,
    /// The operation.
    pub op: String,
    /// The type of the weight, the cache or the activations.
    pub dtype: String,
    /// The kernels that served it, joined with `+`; empty where nothing ran.
    pub kernel: String,
    /// Whether the selector chose it.
    pub selected: bool,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was skipped, or what is wrong.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Whether the output was compared with the oracle in this run and was right.
    pub conformant: bool,
    /// Elements of the outputs that were compared.
    pub checked: usize,
    /// Elements of the outputs.
    pub elements: usize,
    /// Floating-point operations of one run.
    pub flops: u64,
    /// Bytes that one run moves at least.
    pub bytes: u64,
    /// Copies of the weights that took turns; 1 where the data was warm.
    pub copies: usize,
    /// The figures; none where nothing was timed or the result was wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figures: Option<Figures>,
    /// What speaks against the figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<Flag>,
}

/// The times of a row and what follows from them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// `device` or `host`.
    pub clock: String,
    /// Runs in each sample.
    pub batch: usize,
    /// Seconds of one run, by sample.
    pub samples: Vec<f64>,
    /// How the samples were taken: in rounds, with all other rows between them. None in reports of
    /// version 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<Round>,
    /// Over the samples, in seconds.
    pub time: Summary,
    /// Bytes per second at the median.
    pub bandwidth: f64,
    /// Operations per second at the median.
    pub rate: f64,
    /// The share of the ceiling that binds; `None` where no ceiling was measured.
    #[serde(default)]
    pub share: Option<f64>,
    /// Which ceiling binds.
    #[serde(default)]
    pub bound: Option<Bound>,
    /// The medians of the reference kernels meanwhile.
    #[serde(default)]
    pub reference: Option<Beat>,
    /// How far these are from their medians over the run: the one that strayed further, as a ratio.
    #[serde(default)]
    pub drift: Option<f64>,
}

/// A visit of a row: some samples in a row, and the reference kernels beside them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// How many of the samples are of this round; those of the first round come first.
    pub samples: usize,
    /// The medians of the reference kernels meanwhile.
    pub reference: Beat,
}

impl Figures {
    /// The samples of each round. All of them as one where the report has no rounds.
    pub fn by_round(&self) -> Vec<&[f64]> {
        let mut rest = &self.samples[..];
        let mut parts = Vec::new();
        for round in &self.rounds {
            let (part, later) = rest.split_at(round.samples.min(rest.len()));
            parts.push(part);
            rest = later;
        }
        if !rest.is_empty() {
            parts.push(rest);
        }
        parts
    }
}

/// Why a figure is doubtful.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// Fewer samples than asked for: the row ran out of time.
    FewSamples,
    /// The reference kernel strayed by more than a tenth meanwhile.
    Drift,
    /// A fifth of the samples is over a quarter slower than a fifth is at most.
    Spread,
    /// Faster than the ceiling by more than a tenth: the ceiling was measured at a bad moment, or the
    /// operands were nearer than they should be.
    AboveCeiling,
}

impl Flag {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Flag::FewSamples => "few samples",
            Flag::Drift => "drift",
            Flag::Spread => "spread",
            Flag::AboveCeiling => "above ceiling",
        }
    }
}

impl Report {
    /// Of `devices`, without date and commit.
    pub fn new(host: Host, devices: Vec<DeviceBench>) -> Report {
        Report {
            kind: KIND.to_owned(),
            schema_version: SCHEMA_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: None,
            dirty: None,
            date: None,
            complete: true,
            host,
            devices,
        }
    }

    /// Whether nothing was wrong and nothing failed.
    pub fn passed(&self) -> bool {
        self.devices.iter().flat_map(|d| &d.rows).all(|row| !row.outcome.is_failure())
    }

    /// As JSON.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|e| Error::internal(format!("a report that is no JSON: {e}")))
    }

    /// From JSON. Fails on anything that is no report of benchmarks, and on a newer schema.
    pub fn from_json(text: &str) -> Result<Report> {
        let invalid = |why: String| Error::invalid(format!("no report of benchmarks: {why}"));
        let head: Head = serde_json::from_str(text).map_err(|e| invalid(e.to_string()))?;
        if head.kind != KIND {
            return Err(invalid(format!("its kind is {:?}, not {KIND:?}", head.kind)));
        }
        if head.schema_version > SCHEMA_VERSION {
            let version = head.schema_version;
            return Err(invalid(format!("schema version {version} is newer than {SCHEMA_VERSION}")));
        }
        serde_json::from_str(text).map_err(|e| invalid(e.to_string()))
    }
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    schema_version: u32,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ceilings::{Ceiling, Unit};
    use unisono_core::{DeviceInfo, DeviceKind};

    /// A row with these samples.
    pub(crate) fn row(id: &str, samples: Vec<f64>) -> Row {
        let time = Summary::of(&samples).unwrap();
        Row {
            id: id.into(),
            set: "llama-decode".into(),
            shape: "1b".into(),
            op: "matmul".into(),
            dtype: "q4_k".into(),
            kernel: "matvec".into(),
            selected: true,
            outcome: Outcome::Measured,
            detail: String::new(),
            conformant: true,
            checked: 100,
            elements: 2048,
            flops: 8_000_000,
            bytes: 2_400_000,
            copies: 108,
            figures: Some(Figures {
                clock: "device".into(),
                batch: 4,
                bandwidth: 2.4e6 / time.median,
                rate: 8e6 / time.median,
                rounds: Vec::new(),
                samples,
                time,
                share: Some(0.8),
                bound: Some(Bound::Memory),
                reference: Some(Beat { compute: 1e-4, memory: 2e-3 }),
                drift: Some(1.01),
            }),
            flags: Vec::new(),
        }
    }

    pub(crate) fn report(rows: Vec<Row>) -> Report {
        let ceiling = |name: &str, bytes, unit, value| Ceiling {
            name: name.into(),
            bytes,
            unit,
            value,
            seconds: 0.02,
            rounds: 9,
            clock: "device".into(),
            doubt: None,
            impossible: false,
        };
        let device = DeviceBench {
            device: DeviceFacts::of(&DeviceInfo::new("cpu", "a <processor>", DeviceKind::Cpu)),
            ceilings: Ceilings(vec![
                ceiling("read", Some(1 << 28), Unit::Bytes, 20e9),
                ceiling("fma_f32", None, Unit::Operations, 200e9),
                ceiling("empty", None, Unit::Seconds, 2e-6),
            ]),
            reference: Some(Beat { compute: 1e-4, memory: 2e-3 }),
            reference_spread: Some(1.02),
            worst_drift: Some(1.04),
            cold_bytes: 256 << 20,
            seconds: 12.5,
            rows,
        };
        Report::new(Host::from_target(), vec![device])
    }

    #[test]
    fn json_survives_the_round_trip() {
        let mut report = report(vec![row("llama-decode/1b/attn_q:dtype=q4_k", vec![1e-4, 1.1e-4, 1.05e-4])]);
        report.devices[0].rows[0].flags = vec![Flag::FewSamples, Flag::Drift];
        let skipped =
            Row { outcome: Outcome::Skipped, detail: "too large".into(), figures: None, ..row("x", vec![1.0]) };
        report.devices[0].rows.push(skipped);
        let text = report.to_json().unwrap();
        assert_eq!(Report::from_json(&text).unwrap(), report);
        assert!(report.passed());
        report.devices[0].rows[0].outcome = Outcome::Wrong;
        assert!(!report.passed());
    }

    #[test]
    fn what_is_no_report_is_refused_by_name() {
        let report = report(Vec::new());
        let newer = report.to_json().unwrap().replace("\"schema_version\": 2", "\"schema_version\": 9");
        for (text, part) in [("{", "EOF"), ("{\"kind\": \"x\"}", "\"x\""), (newer.as_str(), "newer")] {
            let error = Report::from_json(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
