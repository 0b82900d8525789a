//! Expectations meet results.

use std::collections::BTreeMap;

use super::{Expectations, Selector};
use crate::glob::glob_matches;
use crate::report::{
    CaseResult, DeviceReport, ExpectationEntry, ExpectationKind, ExpectationResult, ExpectedResult, Status, Summary,
};
use crate::runner::fits;

impl Expectations {
    /// Changes the status of the results of `report` that an entry decides, counts anew and notes
    /// what became of each entry about this device. `today` is a day as `2026-11-23`: an entry is
    /// good until the end of its last day.
    pub fn apply(&self, report: &mut DeviceReport, today: &str) {
        let before: Vec<Status> = report.results.iter().map(|r| r.status).collect();
        for (entry, selector) in &self.entries {
            if Selector::matches(selector, &report.device) {
                let expired = today > entry.expires.as_str();
                let outcome = judge(entry, &before, &mut report.results, expired);
                report.expectations.push(outcome);
            }
        }
        report.summary = Summary::of(&report.results);
    }
}

/// What the entries that `report` lists make of its results, computed again from the statuses that
/// these have by themselves. Whether an entry had expired is taken from the report.
///
/// # Errors
///
/// The index of an entry that is not about this device, and why.
pub(crate) fn apply_again(report: &DeviceReport) -> Result<DeviceReport, (usize, String)> {
    let mut again = without(report);
    let before: Vec<Status> = again.results.iter().map(|r| r.status).collect();
    for (i, expectation) in again.expectations.iter_mut().enumerate() {
        let entry = &expectation.entry;
        let selector = Selector::parse(&entry.device).map_err(|e| (i, e))?;
        if !selector.matches(&report.device) {
            return Err((i, format!("'{}' is not about this device", entry.device)));
        }
        *expectation = judge(entry, &before, &mut again.results, expectation.expired);
    }
    Ok(again)
}

/// The report with the statuses that its results have by themselves.
pub(crate) fn without(report: &DeviceReport) -> DeviceReport {
    let mut report = report.clone();
    for result in &mut report.results {
        if let Some(expected) = result.expectation.take() {
            result.status = expected.actual;
        }
    }
    report
}

/// What becomes of one entry, given the statuses that the results have by themselves.
fn judge(entry: &ExpectationEntry, before: &[Status], results: &mut [CaseResult], expired: bool) -> ExpectationResult {
    let mut cases: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, result) in results.iter().enumerate() {
        let kernel = entry.kernel.is_empty() || glob_matches(&entry.kernel, &result.kernel);
        if kernel && fits(&entry.case, &result.id) {
            cases.entry(&result.id).or_default().push(i);
        }
    }
    let (mut met, mut passes) = (Vec::new(), Vec::new());
    let mut outcome =
        ExpectationResult { entry: entry.clone(), expired, cases: cases.len(), met: 0, unexpected_passes: 0 };
    for indices in cases.values() {
        let as_expected = || indices.iter().copied().filter(|&i| is_met(entry.kind, before[i]));
        if as_expected().next().is_some() {
            met.extend(as_expected());
        } else if indices.iter().all(|&i| is_pass(entry.kind, before[i])) {
            outcome.unexpected_passes += 1;
            passes.extend(indices.iter().copied());
        }
    }
    outcome.met = met.len();
    if expired {
        return outcome;
    }
    for i in met {
        if entry.kind == ExpectationKind::Fail {
            results[i].status = Status::ExpectedFail;
        }
        results[i].expectation = Some(ExpectedResult { entry: entry.clone(), actual: before[i] });
    }
    for i in passes {
        results[i].status = Status::UnexpectedPass;
        results[i].expectation = Some(ExpectedResult { entry: entry.clone(), actual: before[i] });
    }
    outcome
}

/// Whether a result is what the kind says.
fn is_met(kind: ExpectationKind, status: Status) -> bool {
    match kind {
        ExpectationKind::Fail => matches!(status, Status::Fail | Status::Error),
        ExpectationKind::Unsupported => status == Status::Unsupported,
        ExpectationKind::Warn => status == Status::Warn,
    }
}

/// Whether a result is better than the kind says.
fn is_pass(kind: ExpectationKind, status: Status) -> bool {
    match kind {
        ExpectationKind::Fail | ExpectationKind::Unsupported => {
            matches!(status, Status::Pass | Status::Warn | Status::Info)
        }
        ExpectationKind::Warn => status == Status::Pass,
    }
}

#[cfg(test)]
mod tests {
    use unisono_core::{DeviceInfo, DeviceKind};

    use super::*;
    use crate::case::Level;
    use crate::runner::{Options, select};

    const TODAY: &str = "2026-11-23";

    /// Results of the first cases of `neg`, one list of kernels and statuses per case.
    fn report(cases: &[&[(&str, Status)]]) -> DeviceReport {
        let options = Options::new(Level::Quick).with_patterns(vec!["neg/".into()]);
        let items = select(&options);
        assert!(items.len() > cases.len());
        let results = items.iter().zip(cases).flat_map(|(item, kernels)| {
            kernels.iter().map(|&(kernel, status)| CaseResult {
                kernel: kernel.into(),
                status,
                ..item.blank("cpu", &options)
            })
        });
        DeviceReport::new(&DeviceInfo::new("cpu", "a processor", DeviceKind::Cpu), results.collect(), 1.0)
    }

    fn applied(mut report: DeviceReport, file: &str) -> DeviceReport {
        Expectations::parse(file).unwrap().apply(&mut report, TODAY);
        report
    }

    fn statuses(report: &DeviceReport) -> Vec<Status> {
        report.results.iter().map(|r| r.status).collect()
    }

    #[test]
    fn an_expected_failure_is_shown_and_does_not_fail_the_run() {
        let cases: [&[_]; 2] = [&[("a", Status::Fail), ("b", Status::Pass)], &[("a", Status::Error)]];
        assert!(!report(&cases).passed());
        let report = applied(report(&cases), "neg/ | cpu | fail | #1 | 2026-11-23");
        assert_eq!(statuses(&report), [Status::ExpectedFail, Status::Pass, Status::ExpectedFail]);
        assert!(report.passed() && report.summary.expected_fail == 2 && report.summary.pass == 1);
        assert_eq!(report.failures().count(), 0);
        let expectation = report.results[2].expectation.as_ref().unwrap();
        assert_eq!((expectation.actual, expectation.entry.issue.as_str()), (Status::Error, "#1"));
        assert!(report.results[1].expectation.is_none());
        let entry = &report.expectations[0];
        assert_eq!((entry.cases, entry.met, entry.unexpected_passes, entry.expired), (2, 2, 0, false));
    }

    #[test]
    fn an_unexpected_pass_fails_the_run() {
        let cases: [&[_]; 2] = [&[("a", Status::Pass), ("b", Status::Warn)], &[("a", Status::Fail)]];
        let report = applied(report(&cases), "neg/ | cpu | fail | #1 | 2027-01-31");
        assert_eq!(statuses(&report), [Status::UnexpectedPass, Status::UnexpectedPass, Status::ExpectedFail]);
        assert!(!report.passed());
        assert_eq!(report.results[1].expectation.as_ref().unwrap().actual, Status::Warn);
        assert_eq!((report.expectations[0].met, report.expectations[0].unexpected_passes), (1, 1));
    }

    #[test]
    fn an_expired_entry_excuses_nothing() {
        let report = applied(report(&[&[("a", Status::Fail)]]), "neg/ | cpu | fail | #1 | 2026-11-22");
        assert_eq!(statuses(&report), [Status::Fail]);
        assert!(!report.passed() && report.expectations[0].expired && report.expectations[0].met == 1);
    }

    #[test]
    fn an_entry_is_about_its_device_its_kernel_and_its_kind() {
        let both: [&[_]; 1] = [&[("a", Status::Fail), ("b", Status::Pass)]];
        let other = applied(report(&both), "neg/ | vulkan | fail | #1 | 2027-01-31");
        assert_eq!(statuses(&other), [Status::Fail, Status::Pass]);
        assert!(other.expectations.is_empty());
        let kernel = |name: &str| applied(report(&both), &format!("neg/ @ {name} | * | fail | #1 | 2027-01-31"));
        assert_eq!(statuses(&kernel("a")), [Status::ExpectedFail, Status::Pass]);
        assert_eq!(statuses(&kernel("b")), [Status::Fail, Status::UnexpectedPass]);
        assert_eq!(statuses(&kernel("c")), [Status::Fail, Status::Pass]);

        let of = |kind: &str, status| {
            statuses(&applied(report(&[&[("a", status)]]), &format!("neg/ | * | {kind} | #1 | 2027-01-31")))[0]
        };
        for (kind, status, expected) in [
            ("fail", Status::NotRun, Status::NotRun),
            ("fail", Status::Unsupported, Status::Unsupported),
            ("fail", Status::Info, Status::UnexpectedPass),
            ("unsupported", Status::Unsupported, Status::Unsupported),
            ("unsupported", Status::Pass, Status::UnexpectedPass),
            ("unsupported", Status::Fail, Status::Fail),
            ("warn", Status::Warn, Status::Warn),
            ("warn", Status::Pass, Status::UnexpectedPass),
            ("warn", Status::Fail, Status::Fail),
        ] {
            assert_eq!(of(kind, status), expected, "{kind} {status:?}");
        }
    }
}
