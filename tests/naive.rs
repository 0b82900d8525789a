//! The quick level on the naive backend: a backend written from outside passes the suite with the
//! primitives alone, and the report of that run survives its file formats.

use unisono_conformance::{DECOMPOSITION, Host, Level, Options, Report, Status, case_ids, html, run, suite};
use unisono_tests::naive::{KERNEL, Naive};

#[test]
fn naive_backend_passes_the_quick_level() {
    let options = Options::new(Level::Quick);
    let mut seen = Vec::new();
    let device = run(&Naive::default(), &options, &mut |progress| seen.push(progress.id.to_string()));
    assert_eq!(seen, case_ids(&options), "every case of the list runs, in order");

    let failures: Vec<String> =
        device.failures().map(|r| format!("{} on {}: {} {:?}", r.id, r.kernel, r.detail, r.worst)).collect();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    let declined = device.results.iter().find(|r| r.status == Status::Unsupported);
    assert_eq!(declined.map(|r| (&r.id, &r.detail)), None, "the backend has every primitive");

    // Every composite ran, and only as its decomposition; every primitive on the one kernel.
    let cases = suite(Level::Quick);
    assert!(cases.iter().any(|c| c.desc.op.is_composite()));
    for case in &cases {
        let kernels: Vec<&str> = device.results.iter().filter(|r| r.id == case.id).map(|r| r.kernel.as_str()).collect();
        let expected = if case.desc.op.is_composite() { DECOMPOSITION } else { KERNEL };
        assert_eq!(kernels, [expected], "{}", case.id);
    }

    let report = Report::new(Level::Quick, Host::from_target(), vec![device]);
    assert!(report.passed());
    let json = report.to_json().expect("a report is JSON");
    assert_eq!(Report::from_json(&json).expect("its own JSON is readable"), report);
    let page = html::render(&report);
    for family in unisono_conformance::families() {
        assert!(page.contains(&format!(">{family}</th>")), "the matrix has no row {family}");
    }
}
