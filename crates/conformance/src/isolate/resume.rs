//! The rest of a run that was not finished: what has a result keeps it, what has none runs now, on
//! the same device, and both together are the report of a whole run.

use std::collections::{HashMap, HashSet};
use std::process::Command;

use super::supervisor::{Before, run_rest};
use super::{IsolatedRun, Isolation, IsolationError};
use crate::expect::{apply_again, without};
use crate::report::{CaseResult, DeviceReport, GroupOutcome, GroupResult, Status, Summary};
use crate::runner::{Options, Progress};

/// Runs the cases of `before` that did not run or did not finish, as [`run_isolated`] does, and
/// returns the report of both runs. The options are those of the run that `before` is of. Models and
/// the fingerprint stay as they are; the expectations apply to the new results as well.
///
/// [`run_isolated`]: super::run_isolated
///
/// # Errors
///
/// As [`run_isolated`], and if the device is another one than that of `before`, or has another
/// driver, other limits or other features.
pub fn resume(
    before: &DeviceReport,
    options: &Options,
    isolation: &Isolation,
    worker: &mut (dyn FnMut() -> Command + Send),
    progress: &mut (dyn FnMut(&Progress<'_>) + Send),
) -> Result<IsolatedRun, IsolationError> {
    let before = without(before);
    let results = finished(&before.results);
    let (mut run, ran) = {
        let before = Before { results, sources: before.sources.clone(), facts: Some(&before.device) };
        run_rest(options, isolation, before, worker, progress)?
    };
    let report = &mut run.report;
    report.seconds += before.seconds;
    // A run in one process has no groups, and then the report of both has none.
    if before.groups.len() == report.groups.len() {
        let pairs = report.groups.iter_mut().zip(&before.groups).zip(&ran);
        pairs.for_each(|((now, then), &ran)| *now = together(then, now, ran, &report.results));
    } else {
        report.groups.clear();
    }
    (report.models, report.fingerprint) = (before.models, before.fingerprint);
    report.expectations = before.expectations;
    let again = apply_again(report);
    *report = again.map_err(|(_, reason)| IsolationError::new(format!("an expectation of the report: {reason}")))?;
    report.summary = Summary::of(&report.results);
    Ok(run)
}

/// The results of each case that has them all.
fn finished(results: &[CaseResult]) -> HashMap<String, Vec<CaseResult>> {
    let open = |r: &&CaseResult| matches!(r.status, Status::NotRun | Status::NotFinished);
    let open: HashSet<&str> = results.iter().filter(open).map(|r| r.id.as_str()).collect();
    let mut finished: HashMap<String, Vec<CaseResult>> = HashMap::new();
    for result in results.iter().filter(|r| !open.contains(r.id.as_str())) {
        finished.entry(result.id.clone()).or_default().push(result.clone());
    }
    finished
}

/// One group over both runs. An early end that still has its case, or that no case explains, stays.
fn together(then: &GroupResult, now: &GroupResult, ran: bool, results: &[CaseResult]) -> GroupResult {
    let stays = !then.outcome.is_inconclusive()
        && then.outcome != GroupOutcome::NotStarted
        && (then.during.is_empty() || results.iter().any(|r| r.id == then.during && r.status == Status::Error));
    let shown = match () {
        () if !ran => then,
        () if now.outcome.is_completed() && !then.outcome.is_completed() && stays => then,
        () => now,
    };
    GroupResult {
        workers: then.workers + now.workers,
        alone: then.alone || now.alone,
        seconds: then.seconds + now.seconds,
        ..shown.clone()
    }
}
