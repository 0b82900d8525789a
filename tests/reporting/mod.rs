//! Reports of real runs, and what the tests do to them.

use serde_json::Value;
use unisono_conformance::report::{Report, digest};
use unisono_conformance::{Host, Level, Options, run};
use unisono_core::Backend;

/// A report of the cases with these prefixes, complete in date and commit.
pub(crate) fn report(backend: &dyn Backend, patterns: &[&str]) -> Report {
    let patterns = patterns.iter().map(ToString::to_string).collect();
    let options = Options::new(Level::Quick).with_patterns(patterns);
    let device = run(backend, &options, &mut |_| {});
    let mut report = Report::new(Level::Quick, Host::from_target(), vec![device]).with_options(&options);
    report.commit = Some("0123456789ab".into());
    report.dirty = Some(false);
    report.commit_date = Some("2026-01-01T00:00:00Z".into());
    report.date = Some("2026-01-02T00:00:00Z".into());
    report
}

pub(crate) fn document(report: &Report) -> Value {
    serde_json::from_str(&report.to_json().unwrap()).unwrap()
}

/// The digest computed anew, as a forger would.
pub(crate) fn reseal(document: &mut Value) {
    document["digest"] = digest(document).unwrap().into();
}

/// Counts and verdict computed anew too, as a careful forger would.
pub(crate) fn recount(document: &mut Value) {
    let mut report: Report = serde_json::from_value(document.clone()).unwrap();
    for device in &mut report.devices {
        device.summary = unisono_conformance::Summary::of(&device.results);
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
