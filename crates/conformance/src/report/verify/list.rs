//! The list of cases: that the report is about the list that this program has, and that each case
//! of it ran once per kernel, on every device.

use std::collections::{HashMap, HashSet};

use super::{Suite, Verification, of_device, of_result, parts};
use crate::Level;
use crate::report::{CaseResult, Report, Status, Summary};
use crate::runner::{DECOMPOSITION, Item, Options, case_list_hash, is_sampled};

/// What the report says was asked of the run.
pub(super) fn options_of(report: &Report, found: &mut Verification) -> Option<Options> {
    report.options().map_err(|e| found.problem("level", e.to_string())).ok()
}

/// Whether the report is about another list than this program's, which ends the comparison.
pub(super) fn is_stale(report: &Report, level: Level, found: &mut Verification) -> bool {
    let (own, version) = (case_list_hash(level), env!("CARGO_PKG_VERSION"));
    if own == report.case_list_hash {
        return false;
    }
    let commit = report.commit.as_ref().map(|c| format!(", commit {c}")).unwrap_or_default();
    found.problem(
        "case_list_hash",
        format!(
            "stale list: the report names the {} list {}, this program ({version}) has {own}; verify with the program \
             that wrote the report (version {}{commit}), or run the check anew",
            report.level, report.case_list_hash, report.version
        ),
    );
    true
}

pub(super) fn check(report: &Report, suite: &Suite<'_>, found: &mut Verification) {
    for (pattern, i) in report.patterns.iter().zip(0..) {
        let alone = Options::new(suite.run.level).with_patterns(vec![pattern.clone()]);
        if crate::runner::select(&alone).is_empty() {
            found.problem(format!("patterns[{i}]"), format!("no case matches '{pattern}'"));
        }
    }
    for (d, device) in report.devices.iter().enumerate() {
        check_device(d, &device.results, suite, report.kernel.is_some(), found);
        parts::profiles(d, device, suite, found);
        parts::groups(d, device, suite, found);
        let counted = Summary::of(&device.results);
        if counted != device.summary {
            let message = format!("the report counts {:?}, its results are {counted:?}", device.summary);
            found.problem(of_device(d, "summary"), message);
        }
    }
}

fn check_device(d: usize, results: &[CaseResult], suite: &Suite<'_>, one_kernel: bool, found: &mut Verification) {
    let order: HashMap<&str, usize> = suite.items.iter().enumerate().map(|(i, item)| (item.id(), i)).collect();
    let mut seen: HashSet<(&str, &str)> = HashSet::new();
    let mut by_case: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut latest = 0;
    for (i, result) in results.iter().enumerate() {
        if !seen.insert((&result.id, &result.kernel)) {
            let message = format!("a second result of {} on the kernel '{}'", result.id, result.kernel);
            found.problem(of_result(d, i, "id"), message);
        }
        by_case.entry(&result.id).or_default().push(i);
        match order.get(result.id.as_str()) {
            None => found.problem(of_result(d, i, "id"), format!("the list has no case {}", result.id)),
            Some(&at) if at < latest => found.problem(of_result(d, i, "id"), "out of the order of the list"),
            Some(&at) => latest = at,
        }
    }
    for item in suite.items {
        match by_case.get(item.id()) {
            None if one_kernel => {}
            None => found.problem(of_device(d, "results"), format!("no result of case {}", item.id())),
            Some(of_case) => check_case(d, item, of_case, results, suite, one_kernel, found),
        }
    }
}

/// The results of one case: exactly one is of the selected kernel, and none of the others is gone.
fn check_case(
    d: usize,
    item: &Item,
    of_case: &[usize],
    results: &[CaseResult],
    suite: &Suite<'_>,
    one_kernel: bool,
    found: &mut Verification,
) {
    let first = of_case[0];
    for &i in of_case {
        if results[i].kernels != of_case.len() {
            let message = format!("the case had {} results, the report has {}", results[i].kernels, of_case.len());
            found.problem(of_result(d, i, "kernels"), message);
        }
    }
    let selected: Vec<usize> = of_case.iter().copied().filter(|&i| results[i].selected).collect();
    if selected.len() > 1 || (selected.is_empty() && !one_kernel) {
        let message = format!("{} results of {} are of the selected kernel, not one", selected.len(), item.id());
        found.problem(of_result(d, first, "selected"), message);
    }
    let Item::Case(case) = item else { return };
    let decomposed = |i: &usize| results[*i].kernel == DECOMPOSITION;
    let ran = selected.first().is_some_and(|&i| {
        let status = effective(&results[i]);
        !results[i].kernel.is_empty() && !matches!(status, Status::Unsupported | Status::NotFinished | Status::NotRun)
    });
    let due = suite.runs_all() || is_sampled(case, DECOMPOSITION);
    if ran && !one_kernel && due && case.desc.op.is_composite() && !of_case.iter().any(decomposed) {
        found.problem(of_device(d, "results"), format!("no result of {} on its decomposition", item.id()));
    }
    for &i in of_case.iter().filter(|&&i| !results[i].selected) {
        if !one_kernel && !suite.runs_all() && !is_sampled(case, &results[i].kernel) {
            let message =
                format!("level {} does not run {} on '{}'", suite.run.level.name(), item.id(), results[i].kernel);
            found.problem(of_result(d, i, "kernel"), message);
        }
    }
}

/// How the case itself ended, whatever was expected of it.
pub(super) fn effective(result: &CaseResult) -> Status {
    result.expectation.as_ref().map_or(result.status, |expectation| expectation.actual)
}
