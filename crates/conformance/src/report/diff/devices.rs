//! One device against another, or against itself: which results belong together, and what became of
//! each.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::operations::side_by_side;
use super::{Change, ChangeKind, DeviceDifference, DiffOptions, facts};
use crate::report::{CaseResult, DeviceFacts, DeviceReport, OperationErrors, Status};

pub(super) fn compare(a: &DeviceReport, b: &DeviceReport, options: &DiffOptions) -> DeviceDifference {
    let (x, y) = (&a.device, &b.device);
    let features = |d: &DeviceFacts| d.features.join(" ");
    let memory = |d: &DeviceFacts| d.memory.map(|bytes| format!("{} MiB", bytes >> 20)).unwrap_or_default();
    let mut found = DeviceDifference {
        before: x.id.clone(),
        after: y.id.clone(),
        other_device: is_other(x, y),
        facts: facts([
            ("name", x.name.clone(), y.name.clone()),
            ("api", x.api.clone(), y.api.clone()),
            ("bus", x.bus.clone(), y.bus.clone()),
            ("memory", memory(x), memory(y)),
            ("driver", x.driver.clone(), y.driver.clone()),
            ("driver_version", x.driver_version.clone(), y.driver_version.clone()),
            ("profile", x.profile.clone(), y.profile.clone()),
            ("subgroup_sizes", format!("{:?}", x.subgroup_sizes), format!("{:?}", y.subgroup_sizes)),
            ("features", features(x), features(y)),
            ("numeric_modes", x.numeric_modes.join(" "), y.numeric_modes.join(" ")),
        ]),
        operations: side_by_side(&OperationErrors::of(&a.results), &OperationErrors::of(&b.results)),
        ..DeviceDifference::default()
    };
    if found.other_device {
        by_case(a, b, options, &mut found);
    } else {
        by_kernel(a, b, options, &mut found);
        slower(a, b, options, &mut found);
    }
    found.unfinished = b.results.iter().filter(|r| r.status == Status::NotFinished).count();
    found.changes.sort_by_key(|change| change.kind);
    found
}

/// Whether two descriptions are of two devices. What a driver writes behind the name in parentheses, its
/// own version as a rule, does not make another one.
fn is_other(a: &DeviceFacts, b: &DeviceFacts) -> bool {
    let own = |d: &DeviceFacts| {
        let name = d.name.split(" (").next().unwrap_or_default().to_string();
        (name, d.kind.clone(), d.api.clone(), d.vendor_id, d.device_id)
    };
    own(a) != own(b)
}

type Place<'a> = (&'a str, &'a str);

fn place(r: &CaseResult) -> Place<'_> {
    (&r.id, &r.kernel)
}

/// The results of the selected kernels, by case.
fn choices(report: &DeviceReport) -> HashMap<&str, &CaseResult> {
    report.results.iter().filter(|r| r.selected).map(|r| (r.id.as_str(), r)).collect()
}

/// The cases that are not finished: each has one result without a kernel in place of all that it had.
fn unfinished(report: &DeviceReport) -> HashSet<&str> {
    report.results.iter().filter(|r| r.status == Status::NotFinished).map(|r| r.id.as_str()).collect()
}

/// The same device: by kernel, and by choice where another one is chosen.
fn by_kernel(a: &DeviceReport, b: &DeviceReport, options: &DiffOptions, found: &mut DeviceDifference) {
    let by_kernel: HashMap<Place<'_>, &CaseResult> = b.results.iter().map(|r| (place(r), r)).collect();
    let chosen = choices(b);
    let known: HashSet<Place<'_>> = a.results.iter().map(place).collect();
    let mut matched: HashSet<Place<'_>> = HashSet::new();
    let open = unfinished(b);
    for old in &a.results {
        let same = by_kernel.get(&place(old)).copied();
        // The choice of now, unless it is compared with itself as one of the others of before.
        let choice =
            || chosen.get(old.id.as_str()).copied().filter(|&new| old.selected && !known.contains(&place(new)));
        match same.or_else(choice) {
            Some(new) => {
                matched.insert(place(new));
                one(old, new, options, found);
            }
            None if open.contains(old.id.as_str()) => {}
            None => found.push(ChangeKind::Missing, old, old.status.name(), "", &old.detail),
        }
    }
    for new in b.results.iter().filter(|r| !matched.contains(&place(r))) {
        let kind = if new.status.is_failure() { ChangeKind::NewFailure } else { ChangeKind::Added };
        found.push(kind, new, "", new.status.name(), &new.detail);
    }
}

/// Two devices: the choice of one against that of the other. Kernels that only one of them has are
/// looked at where they fail.
fn by_case(a: &DeviceReport, b: &DeviceReport, options: &DiffOptions, found: &mut DeviceDifference) {
    let chosen = choices(b);
    let cases = |report: &'_ DeviceReport| report.results.iter().map(|r| r.id.clone()).collect::<HashSet<String>>();
    let (of_a, of_b) = (cases(a), cases(b));
    let mut failed: HashSet<&str> = HashSet::new();
    for old in &a.results {
        if old.status.is_failure() {
            failed.insert(&old.id);
        }
        match chosen.get(old.id.as_str()) {
            Some(new) if old.selected => one(old, new, options, found),
            None if !of_b.contains(&old.id) => {
                found.push(ChangeKind::Missing, old, old.status.name(), "", &old.detail);
            }
            _ => {}
        }
    }
    for new in &b.results {
        let status = new.status.name();
        if !of_a.contains(&new.id) {
            let kind = if new.status.is_failure() { ChangeKind::NewFailure } else { ChangeKind::Added };
            found.push(kind, new, "", status, &new.detail);
        } else if new.status.is_failure() && !new.selected && !failed.contains(new.id.as_str()) {
            found.push(ChangeKind::NewFailure, new, "", status, &new.detail);
        }
    }
}

impl DeviceDifference {
    fn push(&mut self, kind: ChangeKind, of: &CaseResult, before: &str, after: &str, detail: &str) {
        self.changes.push(Change {
            kind,
            regression: kind.is_regression(),
            id: of.id.clone(),
            kernel: of.kernel.clone(),
            before: before.to_string(),
            after: after.to_string(),
            detail: detail.to_string(),
        });
    }
}

/// How bad a status is, among those that are no failure.
fn rank(status: Status) -> usize {
    match status {
        Status::Pass => 0,
        Status::Info => 1,
        Status::Warn => 2,
        Status::ExpectedFail => 3,
        Status::Unsupported => 4,
        Status::NotFinished => 5,
        Status::UnexpectedPass | Status::NotRun | Status::Fail | Status::Error => 6,
    }
}

/// Two results that belong together.
fn one(old: &CaseResult, new: &CaseResult, options: &DiffOptions, found: &mut DeviceDifference) {
    found.compared += 1;
    let across = found.other_device;
    let changes = found.changes.len();
    if old.kernel != new.kernel && !across && new.status != Status::NotFinished {
        found.push(ChangeKind::OtherKernel, new, &old.kernel, &new.kernel, "");
    }
    if old.status != new.status {
        // What WGSL leaves open, and what is right and not as good as can be, is no fault of the other.
        let loses = !across || !matches!(new.status, Status::Info | Status::Warn);
        let kind = match (old.status.is_failure(), new.status.is_failure()) {
            _ if new.status == Status::NotFinished => ChangeKind::NotFinished,
            (false, true) => ChangeKind::NewFailure,
            (true, false) => ChangeKind::Fixed,
            (false, false) if rank(new.status) > rank(old.status) && loses => ChangeKind::Worse,
            _ => ChangeKind::OtherStatus,
        };
        let detail = if new.detail.is_empty() { &old.detail } else { &new.detail };
        found.push(kind, new, old.status.name(), new.status.name(), detail);
    } else if let (Some(a), Some(b)) = (old.ratio, new.ratio)
        && !new.informative
        && !across
    {
        let (before, after) = (format!("{a:.4}"), format!("{b:.4}"));
        if b.0 > a.0 * options.drift {
            found.push(ChangeKind::Drift, new, &before, &after, "");
        } else if a.0 > b.0 * options.drift {
            found.push(ChangeKind::LessError, new, &before, &after, "");
        }
    }
    if found.changes.len() > changes {
        return;
    }
    if old.output_hash == new.output_hash {
        found.identical += 1;
    } else if !across {
        found.push(ChangeKind::OtherBits, new, &old.output_hash, &new.output_hash, "");
    }
}

/// Families that take longer, over the results that both reports have.
fn slower(a: &DeviceReport, b: &DeviceReport, options: &DiffOptions, found: &mut DeviceDifference) {
    let new: HashMap<Place<'_>, f64> = b.results.iter().map(|r| (place(r), r.seconds)).collect();
    let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for r in &a.results {
        if let Some(seconds) = new.get(&place(r)) {
            let sum = sums.entry(&r.family).or_default();
            *sum = (sum.0 + r.seconds, sum.1 + seconds);
        }
    }
    for (family, (before, after)) in sums {
        if after > before * options.slower && after > before + 0.1 {
            found.changes.push(Change {
                kind: ChangeKind::Slower,
                regression: false,
                id: family.to_string(),
                kernel: String::new(),
                before: format!("{before:.3} s"),
                after: format!("{after:.3} s"),
                detail: String::new(),
            });
        }
    }
}
