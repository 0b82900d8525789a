//! Reports of real runs, and what the tests do to them.

use serde_json::Value;
use unisono_conformance::report::{OperationErrors, Report, VerifyOptions, digest, verify};
use unisono_conformance::{Host, Level, Options, run};
use unisono_core::Backend;

/// When the tests verify.
pub(crate) const NOW: &str = "2026-02-01T00:00:00Z";

/// What somebody may do to a report, how, and words of the problem that names it.
pub(crate) type Tampering = (&'static str, fn(&mut Value), &'static str);

/// A report of the cases with these prefixes, complete in date and commit.
pub(crate) fn report(backend: &dyn Backend, patterns: &[&str]) -> Report {
    let patterns = patterns.iter().map(ToString::to_string).collect();
    report_of(backend, &Options::new(Level::Quick).with_patterns(patterns))
}

/// A report of a run with these options, complete in date and commit.
pub(crate) fn report_of(backend: &dyn Backend, options: &Options) -> Report {
    let device = run(backend, options, &mut |_| {});
    let mut report = Report::new(Level::Quick, Host::from_target(), vec![device]).with_options(options);
    report.commit = Some("0123456789ab".into());
    report.dirty = Some(false);
    report.commit_date = Some("2026-01-01T00:00:00Z".into());
    report.date = Some("2026-01-02T12:00:00Z".into());
    report
}

pub(crate) fn document(report: &Report) -> Value {
    serde_json::from_str(&report.to_json().unwrap()).unwrap()
}

/// The digest computed anew, as a forger would.
fn reseal(document: &mut Value) {
    document["digest"] = digest(document).unwrap().into();
}

/// Counts and verdict computed anew too, as a careful forger would.
pub(crate) fn recount(document: &mut Value) {
    let mut report: Report = serde_json::from_value(document.clone()).unwrap();
    for device in &mut report.devices {
        device.summary = unisono_conformance::Summary::of(&device.results);
        device.operations = OperationErrors::of(&device.results);
    }
    report.seal().unwrap();
    *document = serde_json::to_value(&report).unwrap();
}

/// The results of the first device.
pub(crate) fn results(document: &mut Value) -> &mut Vec<Value> {
    document["devices"][0]["results"].as_array_mut().unwrap()
}

/// The first result that fits.
pub(crate) fn result(document: &mut Value, fits: impl Fn(&Value) -> bool) -> &mut Value {
    results(document).iter_mut().find(|r| fits(r)).expect("a result that fits")
}

/// Paths and messages of what a verification finds.
pub(crate) fn problems(document: &Value) -> Vec<String> {
    let options = VerifyOptions { deep: true, now: Some(NOW.into()) };
    let found = verify(&document.to_string(), &options, &|_, _| {}).unwrap();
    found.problems.iter().map(ToString::to_string).collect()
}

/// Each kind is found by the digest as it was, and by what it contradicts once that is computed anew.
pub(crate) fn check_all(genuine: &Report, table: &[Tampering]) {
    let mut missed = Vec::new();
    for (name, tamper, words) in table {
        let mut forged = document(genuine);
        let before = forged["digest"].clone();
        tamper(&mut forged);
        forged["digest"] = before;
        let found = problems(&forged);
        if !found.iter().any(|p| p.starts_with("digest: ")) {
            missed.push(format!("{name}: the digest was not noticed: {found:?}"));
        }
        reseal(&mut forged);
        let found = problems(&forged);
        if found.iter().any(|p| p.starts_with("digest: ")) || !found.iter().any(|p| p.contains(words)) {
            missed.push(format!("{name}: '{words}' is not in {:#?}", found.iter().take(5).collect::<Vec<_>>()));
        }
    }
    assert!(missed.is_empty(), "{} of {}:\n{}", missed.len(), table.len(), missed.join("\n"));
}
