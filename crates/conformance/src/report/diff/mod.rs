//! What changed from one report to another: new failures, fixes, missing and added results, error
//! that grew, bits that changed.
//!
//! Devices are compared by id, or as the caller pairs them, or because each report has only one. Results
//! of one device are compared by case and kernel; where it chooses another kernel for a case than
//! before, its choices are compared with each other. Two devices have kernels of their own, so their
//! results are compared by case: the choice of one with the choice of the other.

mod devices;
mod operations;

use serde::Serialize;

use super::{Report, ReportError, Verdict};

pub use operations::{ErrorsOf, OperationDifference};

/// How to compare.
#[derive(Clone, Debug, PartialEq)]
pub struct DiffOptions {
    /// Pairs of device ids, in the first report and in the second. Empty pairs devices of one id, or
    /// the only device of one report with the only one of the other.
    pub devices: Vec<(String, String)>,
    /// Error/bound that grew by more than this factor is drift.
    pub drift: f64,
    /// A family whose results together take more than this factor longer, and a tenth of a second
    /// more, is slower.
    pub slower: f64,
}

impl Default for DiffOptions {
    fn default() -> DiffOptions {
        DiffOptions { devices: Vec::new(), drift: 2.0, slower: 2.0 }
    }
}

/// What changed between two reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Difference {
    /// Facts about the runs that differ: name, before, after.
    pub facts: Vec<FactChange>,
    /// One per pair of devices.
    pub devices: Vec<DeviceDifference>,
    /// Devices of the first report that the second lacks: a regression.
    pub missing_devices: Vec<String>,
    /// Devices of the second report that the first lacks.
    pub added_devices: Vec<String>,
    /// How many changes are regressions, missing devices included.
    pub regressions: usize,
    /// Results that are not finished in the second report, whatever they were in the first.
    pub unfinished: usize,
}

impl Difference {
    /// Whether nothing became worse.
    pub fn passed(&self) -> bool {
        self.verdict() == Verdict::Pass
    }

    /// Whether something became worse, or, where nothing did, whether all of the second report is there
    /// to tell.
    pub fn verdict(&self) -> Verdict {
        match (self.regressions, self.unfinished) {
            (1.., _) => Verdict::Fail,
            (0, 1..) => Verdict::NotFinished,
            (0, 0) => Verdict::Pass,
        }
    }
}

/// A fact that is another one now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FactChange {
    /// The field.
    pub name: String,
    /// In the first report.
    pub before: String,
    /// In the second.
    pub after: String,
}

/// What changed on a device.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DeviceDifference {
    /// Its id in the first report.
    pub before: String,
    /// Its id in the second.
    pub after: String,
    /// Whether these are two devices and not one: another name, API or kind. Then results are compared
    /// by case, and kernels, bits, times and sizes of errors are no changes.
    pub other_device: bool,
    /// Facts about it that differ.
    pub facts: Vec<FactChange>,
    /// The largest error/bound of each operation and element type, side by side.
    pub operations: Vec<OperationDifference>,
    /// Results that were compared.
    pub compared: usize,
    /// Results that are the same in status and bits.
    pub identical: usize,
    /// Results of the second report that are not finished.
    pub unfinished: usize,
    /// What changed, in the order of [`ChangeKind`] and of the first report.
    pub changes: Vec<Change>,
}

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It fails and did not.
    NewFailure,
    /// The second report lacks the result.
    Missing,
    /// Another status, for the worse, and no failure.
    Worse,
    /// Error/bound grew by more than the factor.
    Drift,
    /// It failed and does not any more.
    Fixed,
    /// Another status, for the better or a failure of another kind.
    OtherStatus,
    /// It is not finished in the second report, which says nothing of it.
    NotFinished,
    /// Error/bound shrank by more than the factor.
    LessError,
    /// Another kernel is chosen.
    OtherKernel,
    /// The first report lacks the result.
    Added,
    /// Other output bits, with nothing else changed.
    OtherBits,
    /// A family takes longer by more than the factor. Times vary: a hint, not a regression.
    Slower,
}

impl ChangeKind {
    /// Every kind, in the order of reports.
    pub const ALL: [ChangeKind; 12] = [
        ChangeKind::NewFailure,
        ChangeKind::Missing,
        ChangeKind::Worse,
        ChangeKind::Drift,
        ChangeKind::Fixed,
        ChangeKind::OtherStatus,
        ChangeKind::NotFinished,
        ChangeKind::LessError,
        ChangeKind::OtherKernel,
        ChangeKind::Added,
        ChangeKind::OtherBits,
        ChangeKind::Slower,
    ];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            ChangeKind::NewFailure => "new failure",
            ChangeKind::Missing => "missing",
            ChangeKind::Worse => "worse",
            ChangeKind::Drift => "error drift",
            ChangeKind::Fixed => "fixed",
            ChangeKind::OtherStatus => "other status",
            ChangeKind::NotFinished => "not finished",
            ChangeKind::LessError => "less error",
            ChangeKind::OtherKernel => "other kernel",
            ChangeKind::Added => "added",
            ChangeKind::OtherBits => "other bits",
            ChangeKind::Slower => "slower",
        }
    }

    /// Whether it makes the comparison fail.
    pub fn is_regression(self) -> bool {
        matches!(self, ChangeKind::NewFailure | ChangeKind::Missing | ChangeKind::Worse | ChangeKind::Drift)
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// What kind.
    pub kind: ChangeKind,
    /// Whether it makes the comparison fail.
    pub regression: bool,
    /// The case; a family where it is about all of it.
    pub id: String,
    /// The kernel.
    pub kernel: String,
    /// Before: a status, a number or a hash.
    pub before: String,
    /// After.
    pub after: String,
    /// More, where there is more to say.
    pub detail: String,
}

/// Compares two reports.
///
/// # Errors
///
/// If no device of one is in the other, or a pair names a device that a report lacks.
pub fn diff(before: &Report, after: &Report, options: &DiffOptions) -> Result<Difference, ReportError> {
    let find = |report: &Report, id: &str| report.devices.iter().position(|d| d.device.id == id);
    let ids = |report: &Report| report.devices.iter().map(|d| d.device.id.clone()).collect::<Vec<_>>();
    let mut pairs = Vec::new();
    for (a, b) in &options.devices {
        let missing = |id: &str, which: &str, report: &Report| {
            ReportError(format!("the {which} report has no device '{id}'; it has {}", ids(report).join(", ")))
        };
        let a = find(before, a).ok_or_else(|| missing(a, "first", before))?;
        pairs.push((a, find(after, b).ok_or_else(|| missing(b, "second", after))?));
    }
    let mut found = Difference { facts: runs(before, after), ..Difference::default() };
    if options.devices.is_empty() {
        pairs.extend(before.devices.iter().enumerate().filter_map(|(i, d)| Some((i, find(after, &d.device.id)?))));
        let lacks = |report: &Report, other: &Report| {
            ids(report).into_iter().filter(|id| find(other, id).is_none()).collect::<Vec<_>>()
        };
        if pairs.is_empty() && before.devices.len() == 1 && after.devices.len() == 1 {
            pairs.push((0, 0));
        } else {
            found.missing_devices = lacks(before, after);
            found.added_devices = lacks(after, before);
        }
    }
    if pairs.is_empty() {
        return Err(ReportError(format!(
            "the reports have no device in common: {} and {}; pair them, as in --device {}={}",
            ids(before).join(", "),
            ids(after).join(", "),
            ids(before).first().map_or("A", String::as_str),
            ids(after).first().map_or("B", String::as_str)
        )));
    }
    found.devices =
        pairs.into_iter().map(|(a, b)| devices::compare(&before.devices[a], &after.devices[b], options)).collect();
    let changes = found.devices.iter().flat_map(|d| &d.changes);
    found.unfinished = found.devices.iter().map(|d| d.unfinished).sum();
    found.regressions = changes.filter(|c| c.regression).count() + found.missing_devices.len();
    Ok(found)
}

fn facts<const N: usize>(all: [(&str, String, String); N]) -> Vec<FactChange> {
    let changed = all.into_iter().filter(|(_, before, after)| before != after);
    changed.map(|(name, before, after)| FactChange { name: name.to_string(), before, after }).collect()
}

fn runs(a: &Report, b: &Report) -> Vec<FactChange> {
    let of = |text: &Option<String>| text.clone().unwrap_or_default();
    facts([
        ("version", a.version.clone(), b.version.clone()),
        ("commit", of(&a.commit), of(&b.commit)),
        ("level", a.level.clone(), b.level.clone()),
        ("patterns", a.patterns.join(" "), b.patterns.join(" ")),
        ("kernel", of(&a.kernel), of(&b.kernel)),
        ("seed", format!("{:?}", a.seed), format!("{:?}", b.seed)),
        ("case_list_hash", a.case_list_hash.clone(), b.case_list_hash.clone()),
        ("host.os", a.host.os.clone(), b.host.os.clone()),
        ("host.cpu", a.host.cpu.clone(), b.host.cpu.clone()),
    ])
}
