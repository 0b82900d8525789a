//! The parts of a device's report that sum results up: models, profiles, groups of an isolated run,
//! and expectations.

use std::collections::HashSet;

use super::list::effective;
use super::{Suite, Verification, of_device, of_result};
use crate::expect::apply_again;
use crate::fingerprint::Fingerprint;
use crate::report::{
    CaseResult, DeviceReport, ExpectationResult, GroupOutcome, MOST_SOURCES, Number, OperationErrors, ProfileResult,
    Report, Status,
};

pub(super) fn check(report: &Report, found: &mut Verification) {
    for (d, device) in report.devices.iter().enumerate() {
        models(d, device, found);
        operations(d, device, found);
        sources(d, device, found);
        expectations(d, device, report.date.as_deref(), found);
        if let Some(fingerprint) = &device.fingerprint {
            let hash = Fingerprint::of(fingerprint.traits.clone()).hash;
            if hash != fingerprint.hash {
                let message = format!("'{}', its answers have {hash}", fingerprint.hash);
                found.problem(of_device(d, "fingerprint.hash"), message);
            }
        }
    }
}

/// The errors of each operation, from the results.
fn operations(d: usize, device: &DeviceReport, found: &mut Verification) {
    let due = OperationErrors::of(&device.results);
    if device.operations.len() != due.len() {
        let message = format!("{} rows, the results make it {}", device.operations.len(), due.len());
        return found.problem(of_device(d, "operations"), message);
    }
    for (i, (is, should)) in device.operations.iter().zip(&due).enumerate() {
        let mut at = |field: &str, is: String, should: String| {
            if is != should {
                let path = of_device(d, &format!("operations[{i}].{field}"));
                found.problem(path, format!("{is}, the results make it {should}"));
            }
        };
        at("family", is.family.clone(), should.family.clone());
        at("dtype", is.dtype.clone(), should.dtype.clone());
        at("results", is.results.to_string(), should.results.to_string());
        at("ratio", format!("{:?}", is.ratio), format!("{:?}", should.ratio));
        at("case", is.case.clone(), should.case.clone());
        at("kernel", is.kernel.clone(), should.kernel.clone());
        at("histogram", format!("{:?}", is.histogram), format!("{:?}", should.histogram));
    }
}

/// The texts of kernels against their hashes and the failures that name them.
fn sources(d: usize, device: &DeviceReport, found: &mut Verification) {
    for (i, source) in device.sources.iter().enumerate() {
        let mut at = |field: &str, message: String| {
            found.problem(of_device(d, &format!("sources[{i}].{field}")), message);
        };
        let hash = crate::report::sources::hash(&source.text);
        if hash != source.hash {
            at("hash", format!("'{}', the text has {hash}", source.hash));
        }
        if device.sources[..i].iter().any(|s| (&s.name, &s.hash) == (&source.name, &source.hash)) {
            at("name", format!("a second '{}'", source.name));
        }
        let names =
            |r: &CaseResult| r.sources.iter().any(|used| (&used.name, &used.hash) == (&source.name, &source.hash));
        if !device.results.iter().any(names) {
            at("name", format!("no result was built from '{}'", source.name));
        }
    }
    if device.sources.len() > MOST_SOURCES {
        let message = format!("{} texts, a report holds at most {MOST_SOURCES}", device.sources.len());
        found.problem(of_device(d, "sources"), message);
    }
    let known: HashSet<(&str, &str)> = device.sources.iter().map(|s| (s.name.as_str(), s.hash.as_str())).collect();
    for (i, result) in device.results.iter().enumerate() {
        if !result.sources.is_empty() && !effective(result).is_failure() {
            let message = format!("named for a result that is {}", effective(result).name());
            found.problem(of_result(d, i, "sources"), message);
        }
        // A report that is full leaves further texts out.
        let missing = result.sources.iter().find(|s| !known.contains(&(s.name.as_str(), s.hash.as_str())));
        if let Some(missing) = missing.filter(|_| device.sources.len() < MOST_SOURCES) {
            let message = format!("the report has no text '{}' with the hash '{}'", missing.name, missing.hash);
            found.problem(of_result(d, i, "sources"), message);
        }
    }
}

fn models(d: usize, device: &DeviceReport, found: &mut Verification) {
    for (i, model) in device.models.iter().enumerate() {
        let over = model.max_logit_ratio.is_some_and(|Number(r)| r.is_nan() || r > 1.0);
        if model.tokens_match && model.unfinished.is_some() {
            let message = "true, and the model is said not to be finished";
            found.problem(of_device(d, &format!("models[{i}].unfinished")), message);
        }
        if model.tokens_match && (model.prompts == 0 || over) {
            let message =
                format!("true, of {} prompts with a logit error of {:?}", model.prompts, model.max_logit_ratio);
            found.problem(of_device(d, &format!("models[{i}].tokens_match")), message);
        }
    }
}

/// Each profile again: its list from this program, its counts and verdict from the results.
pub(super) fn profiles(d: usize, device: &DeviceReport, suite: &Suite<'_>, found: &mut Verification) {
    let due = crate::profiles::of_run(&suite.run, suite.items, &device.results);
    let names = |profiles: &[ProfileResult]| profiles.iter().map(|p| p.name.clone()).collect::<Vec<_>>().join(", ");
    let (has, should) = (names(&device.profiles), names(&due));
    if has != should {
        let message = format!("'{has}', a run like this one is about '{should}'");
        return found.problem(of_device(d, "profiles"), message);
    }
    for (i, (is, should)) in device.profiles.iter().zip(&due).enumerate() {
        let mut at = |field: &str, is: &str, should: &str| {
            if is != should {
                let path = of_device(d, &format!("profiles[{i}].{field}"));
                found.problem(path, format!("'{is}', the results of its cases make it '{should}'"));
            }
        };
        at("list_hash", &is.list_hash, &should.list_hash);
        at("verdict", is.verdict.name(), should.verdict.name());
        let counts = |p: &ProfileResult| {
            let counts = [p.passed, p.failed, p.unsupported, p.missing, p.unfinished];
            let names = ["passed", "failed", "unsupported", "missing", "not finished"];
            counts.iter().zip(names).map(|(n, name)| format!("{n} {name}")).collect::<Vec<_>>().join(", ")
        };
        at("cases", &is.cases.to_string(), &should.cases.to_string());
        at("passed", &counts(is), &counts(should));
    }
}

/// Each group against the results of its cases. Which groups there are follows from the list.
pub(super) fn groups(d: usize, device: &DeviceReport, suite: &Suite<'_>, found: &mut Verification) {
    if device.groups.is_empty() {
        return;
    }
    let due = crate::isolate::groups(suite.items.iter().map(|item| (item.id(), item.family())));
    let named =
        |groups: &[(&str, usize)]| groups.iter().map(|(n, c)| format!("{n} ({c})")).collect::<Vec<_>>().join(", ");
    let has: Vec<(&str, usize)> = device.groups.iter().map(|g| (g.name.as_str(), g.cases)).collect();
    let should: Vec<(&str, usize)> = due.iter().map(|g| (g.name.as_str(), g.cases.len())).collect();
    if has != should {
        let message = format!("{}; the cases make the groups {}", named(&has), named(&should));
        return found.problem(of_device(d, "groups"), message);
    }
    for (i, (group, cases)) in device.groups.iter().zip(&due).enumerate() {
        let cases: HashSet<&str> = cases.cases.iter().map(String::as_str).collect();
        let of_group = || device.results.iter().filter(|r| cases.contains(r.id.as_str()));
        let mut at = |field: &str, message: String| {
            found.problem(of_device(d, &format!("groups[{i}].{field}")), message);
        };
        let completed = group.outcome.is_completed();
        if completed && !(group.during.is_empty() && group.detail.is_empty()) {
            at("outcome", format!("completed, and ended early: {} {}", group.during, group.detail));
        }
        if !completed && group.detail.is_empty() {
            at("detail", format!("{} without a reason", group.outcome));
        }
        if completed && of_group().any(|r| matches!(effective(r), Status::NotRun | Status::NotFinished)) {
            at("outcome", "completed, and a case did not run".into());
        }
        let broken = if group.outcome.is_inconclusive() { Status::NotFinished } else { Status::Error };
        let broke = |r: &CaseResult| r.id == group.during && effective(r) == broken;
        if !group.during.is_empty() && !of_group().any(broke) {
            let message = format!("the worker ended during '{}', which is not {}", group.during, broken.name());
            at("during", message);
        }
        if !completed && group.workers == 0 && group.outcome != GroupOutcome::NotStarted {
            at("workers", format!("none, and one {}", group.outcome));
        }
        if group.alone && group.workers < 2 {
            at("alone", "true, and there was no second worker".into());
        }
    }
}

/// What the entries make of the results, computed again.
fn expectations(d: usize, device: &DeviceReport, now: Option<&str>, found: &mut Verification) {
    for (i, e) in device.expectations.iter().enumerate() {
        // The day may have changed during the run, before which an entry was still good.
        let day = now.and_then(|date| date.get(..10));
        if let Some(day) = day.filter(|&day| e.expired && day <= e.entry.expires.as_str()) {
            let message = format!("true on {day}, and the last day is {}", e.entry.expires);
            found.problem(of_device(d, &format!("expectations[{i}].expired")), message);
        }
        let over = day.filter(|&day| !e.expired && day > e.entry.expires.as_str());
        if let Some(day) = over.filter(|_| !began_the_day_before(now, device.seconds)) {
            let message = format!("false on {day}, and the last day was {}", e.entry.expires);
            found.problem(of_device(d, &format!("expectations[{i}].expired")), message);
        }
    }
    let again = match apply_again(device) {
        Ok(again) => again,
        Err((i, why)) => return found.problem(of_device(d, &format!("expectations[{i}].entry.device")), why),
    };
    for (i, (is, should)) in device.expectations.iter().zip(&again.expectations).enumerate() {
        if is != should {
            let counts = |e: &ExpectationResult| {
                format!("{} cases, {} met, {} unexpected passes", e.cases, e.met, e.unexpected_passes)
            };
            let message = format!("{}; the results make it {}", counts(is), counts(should));
            found.problem(of_device(d, &format!("expectations[{i}]")), message);
        }
    }
    for (i, (is, should)) in device.results.iter().zip(&again.results).enumerate() {
        if is.status != should.status || is.expectation != should.expectation {
            let message = format!("{}, the expectations make it {}", is.status.name(), should.status.name());
            found.problem(of_result(d, i, "expectation"), message);
        }
    }
}

/// Whether a run of so many seconds that ended at `date`, or whose report waited for other devices,
/// can have begun on the day before.
fn began_the_day_before(date: Option<&str>, seconds: f64) -> bool {
    const HOUR: f64 = 3600.0;
    let part = |range: std::ops::Range<usize>| date.and_then(|d| d.get(range)).and_then(|t| t.parse::<f64>().ok());
    match (part(11..13), part(14..16)) {
        (Some(hours), Some(minutes)) => hours * HOUR + minutes * 60.0 < seconds + HOUR,
        _ => true,
    }
}
