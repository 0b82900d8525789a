//! The part of a report that is about one device: its facts, its results, and the counts over
//! them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use unisono_core::DeviceInfo;

use super::{
    CaseResult, ExpectationResult, GroupResult, Number, OperationErrors, ProfileResult, SourceText, Status, Verdict,
    sources,
};

/// What one device has shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Facts about the device.
    pub device: DeviceFacts,
    /// Counts over `results`.
    pub summary: Summary,
    /// Seconds that the run took.
    pub seconds: f64,
    /// One per case and kernel, in the order of the suite.
    pub results: Vec<CaseResult>,
    /// The largest error of each operation and element type, and how errors spread; follows from
    /// `results`.
    #[serde(default)]
    pub operations: Vec<OperationErrors>,
    /// The texts of kernels that failed, where the device gives them.
    #[serde(default)]
    pub sources: Vec<SourceText>,
    /// End-to-end checks of models, filled by the caller.
    #[serde(default)]
    pub models: Vec<ModelResult>,
    /// How the groups ended, where the run was isolated in worker processes; else empty.
    #[serde(default)]
    pub groups: Vec<GroupResult>,
    /// What the results say about each profile.
    #[serde(default)]
    pub profiles: Vec<ProfileResult>,
    /// What became of the expectations about this device, where there are any.
    #[serde(default)]
    pub expectations: Vec<ExpectationResult>,
    /// What the device does with numbers, where the caller asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<crate::fingerprint::Fingerprint>,
}

impl DeviceReport {
    /// A report with the counts of `results`.
    pub fn new(info: &DeviceInfo, results: Vec<CaseResult>, seconds: f64) -> DeviceReport {
        DeviceReport::of_facts(DeviceFacts::of(info), results, seconds)
    }

    /// Likewise, where the device itself is open in another process.
    pub fn of_facts(device: DeviceFacts, results: Vec<CaseResult>, seconds: f64) -> DeviceReport {
        DeviceReport {
            device,
            summary: Summary::of(&results),
            seconds,
            operations: OperationErrors::of(&results),
            sources: Vec::new(),
            results,
            models: Vec::new(),
            groups: Vec::new(),
            profiles: Vec::new(),
            expectations: Vec::new(),
            fingerprint: None,
        }
    }

    /// The same with what failing results name out of these texts.
    #[must_use]
    pub(crate) fn with_sources(mut self, known: Vec<SourceText>) -> DeviceReport {
        self.sources = sources::of_failures(&self.results, known);
        self
    }

    /// Whether something ran, no counted case failed but those that were expected to, every model
    /// agrees with its goldens, and no worker ended early for a reason that no case explains.
    pub fn passed(&self) -> bool {
        self.verdict() == Verdict::Pass
    }

    /// [Passed](Self::passed), failed, or, where nothing failed, that something is not finished.
    pub fn verdict(&self) -> Verdict {
        // A worker that ended early with a case has made that case an error.
        let explained =
            |g: &GroupResult| g.outcome.is_completed() || g.outcome.is_inconclusive() || !g.during.is_empty();
        let models_agree = self.models.iter().all(|m| m.tokens_match || m.unfinished.is_some());
        let failed = self.summary.failures() > 0 || !models_agree || !self.groups.iter().all(explained);
        let unfinished = self.summary.not_finished > 0 || self.models.iter().any(|m| m.unfinished.is_some());
        match (failed, unfinished) {
            (true, _) => Verdict::Fail,
            (false, true) => Verdict::NotFinished,
            (false, false) if self.summary.passed() => Verdict::Pass,
            (false, false) => Verdict::Fail,
        }
    }

    /// Whether every case and every model ran to an end, good or bad.
    pub fn is_complete(&self) -> bool {
        let open = |r: &CaseResult| {
            let status = r.expectation.as_ref().map_or(r.status, |expectation| expectation.actual);
            matches!(status, Status::NotRun | Status::NotFinished)
        };
        !self.results.iter().any(open) && self.models.iter().all(|m| m.unfinished.is_none())
    }

    /// What is not finished, as `12 of 1090 cases` or `12 of 1090 cases and the model tiny-llama`.
    pub fn unfinished(&self) -> Option<String> {
        let open = self.results.iter().filter(|r| r.status == Status::NotFinished);
        let ids: BTreeSet<&str> = open.map(|r| r.id.as_str()).collect();
        let cases = (!ids.is_empty()).then(|| format!("{} of {} cases", ids.len(), self.summary.cases));
        let open = self.models.iter().filter(|m| m.unfinished.is_some());
        let parts: Vec<String> = cases.into_iter().chain(open.map(|m| format!("the model {}", m.model))).collect();
        (!parts.is_empty()).then(|| parts.join(" and "))
    }

    /// The results that make the run fail.
    pub fn failures(&self) -> impl Iterator<Item = &CaseResult> {
        self.results.iter().filter(|r| r.status.is_failure())
    }
}

/// Counts of results (case × kernel) by status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Distinct cases.
    pub cases: usize,
    /// [`Status::Pass`].
    pub pass: usize,
    /// [`Status::Warn`].
    pub warn: usize,
    /// [`Status::Info`].
    pub info: usize,
    /// [`Status::Unsupported`].
    pub unsupported: usize,
    /// [`Status::ExpectedFail`].
    #[serde(default)]
    pub expected_fail: usize,
    /// [`Status::NotFinished`].
    #[serde(default)]
    pub not_finished: usize,
    /// [`Status::NotRun`].
    pub not_run: usize,
    /// [`Status::UnexpectedPass`].
    #[serde(default)]
    pub unexpected_pass: usize,
    /// [`Status::Fail`].
    pub fail: usize,
    /// [`Status::Error`].
    pub error: usize,
}

impl Summary {
    /// Counts `results`.
    pub fn of(results: &[CaseResult]) -> Summary {
        let mut ids: Vec<&str> = results.iter().map(|r| r.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut summary = Summary { cases: ids.len(), ..Summary::default() };
        for result in results {
            *summary.count_mut(result.status) += 1;
        }
        summary
    }

    /// The count of one status.
    pub fn count(&self, status: Status) -> usize {
        match status {
            Status::Pass => self.pass,
            Status::Warn => self.warn,
            Status::Info => self.info,
            Status::Unsupported => self.unsupported,
            Status::ExpectedFail => self.expected_fail,
            Status::NotFinished => self.not_finished,
            Status::NotRun => self.not_run,
            Status::UnexpectedPass => self.unexpected_pass,
            Status::Fail => self.fail,
            Status::Error => self.error,
        }
    }

    fn count_mut(&mut self, status: Status) -> &mut usize {
        match status {
            Status::Pass => &mut self.pass,
            Status::Warn => &mut self.warn,
            Status::Info => &mut self.info,
            Status::Unsupported => &mut self.unsupported,
            Status::ExpectedFail => &mut self.expected_fail,
            Status::NotFinished => &mut self.not_finished,
            Status::NotRun => &mut self.not_run,
            Status::UnexpectedPass => &mut self.unexpected_pass,
            Status::Fail => &mut self.fail,
            Status::Error => &mut self.error,
        }
    }

    /// Whether something ran, everything is finished and nothing failed that was not expected to.
    pub fn passed(&self) -> bool {
        self.pass + self.warn + self.expected_fail > 0 && self.failures() == 0 && self.not_finished == 0
    }

    /// The results whose status makes a run fail.
    pub fn failures(&self) -> usize {
        Status::ALL.into_iter().filter(|s| s.is_failure()).map(|s| self.count(s)).sum()
    }
}

/// [`DeviceInfo`] as it stands in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceFacts {
    /// Short name, for `--device`.
    pub id: String,
    /// The name that hardware or driver report.
    pub name: String,
    /// `cpu`, `discrete-gpu`, `integrated-gpu`, `software` or `other`.
    pub kind: String,
    /// `amd`, `intel`, `nvidia`, ….
    pub vendor: String,
    /// PCI vendor id.
    pub vendor_id: u32,
    /// PCI device id.
    pub device_id: u32,
    /// Where it is on the PCI bus, as `0000:01:00.0`; empty where unknown.
    #[serde(default)]
    pub bus: String,
    /// Driver name.
    pub driver: String,
    /// Driver version.
    pub driver_version: String,
    /// `vulkan`, `metal`, `cpu`, ….
    pub api: String,
    /// The tuning profile in use.
    pub profile: String,
    /// Whether it is an API implemented on the processor.
    pub software: bool,
    /// Bytes of device memory, where known.
    pub memory: Option<u64>,
    /// Largest buffer in bytes.
    pub max_buffer_bytes: u64,
    /// Smallest and largest subgroup size, where known.
    pub subgroup_sizes: Option<(u32, u32)>,
    /// Limits by name.
    pub limits: BTreeMap<String, u64>,
    /// Optional features that were granted and are in use.
    pub features: Vec<String>,
    /// Optional features that the backend asks for.
    #[serde(default)]
    pub features_asked: Vec<String>,
    /// The numeric modes that the device declares, by name.
    #[serde(default)]
    pub numeric_modes: Vec<String>,
    /// Versions of libraries, checks on or off.
    pub properties: BTreeMap<String, String>,
}

impl DeviceFacts {
    /// Copies `info`.
    pub fn of(info: &DeviceInfo) -> DeviceFacts {
        DeviceFacts {
            id: info.id.clone(),
            name: info.name.clone(),
            kind: info.kind.name().to_string(),
            vendor: info.vendor.clone(),
            vendor_id: info.vendor_id,
            device_id: info.device_id,
            bus: info.bus.clone(),
            driver: info.driver.clone(),
            driver_version: info.driver_version.clone(),
            api: info.api.clone(),
            profile: info.profile.clone(),
            software: info.kind == unisono_core::DeviceKind::Software,
            memory: info.memory,
            max_buffer_bytes: info.max_buffer_bytes,
            subgroup_sizes: info.subgroup_sizes,
            limits: info.limits.clone(),
            features: info.features.clone(),
            features_asked: info.features_asked.clone(),
            numeric_modes: info.numeric_modes.iter().map(|m| m.name().to_string()).collect(),
            properties: info.properties.clone(),
        }
    }

    /// What tells `other` from this device, as `driver_version: "535.1" is now "535.2"`. How much memory
    /// there is does not.
    pub fn differences(&self, other: &DeviceFacts) -> Vec<String> {
        let fields = |facts: &DeviceFacts| {
            let facts = DeviceFacts { memory: None, ..facts.clone() };
            match serde_json::to_value(facts) {
                Ok(serde_json::Value::Object(fields)) => fields,
                _ => serde_json::Map::new(),
            }
        };
        let (this, other) = (fields(self), fields(other));
        let differs = |(name, value): (&String, &serde_json::Value)| match other.get(name) {
            Some(now) if now == value => None,
            now => Some(format!("{name}: {value} is now {}", now.unwrap_or(&serde_json::Value::Null))),
        };
        this.iter().filter_map(differs).collect()
    }
}

/// One model, run end to end and compared with its golden tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelResult {
    /// The model's name.
    pub model: String,
    /// How many prompts ran.
    pub prompts: usize,
    /// Whether every greedy token agrees with the golden ones.
    pub tokens_match: bool,
    /// The largest error of a logit, divided by its bound, where logits were compared.
    pub max_logit_ratio: Option<Number>,
    /// Generated tokens per second, where timed.
    pub tokens_per_second: Option<f64>,
    /// Why it is not finished, where a limit of time ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<String>,
}
