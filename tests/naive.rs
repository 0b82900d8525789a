//! The quick level on the naive backend: a backend written from outside passes the suite with the
//! primitives that it has alone, and the report of that run survives its file formats.

use unisono_conformance::{Case, DECOMPOSITION, Host, Level, Options, Report, Status, case_ids, html, run, suite};
use unisono_core::decomposition;
use unisono_tests::naive::{KERNEL, Naive, covers};

#[test]
fn naive_backend_passes_the_quick_level() {
    let options = Options::new(Level::Quick);
    let mut seen = Vec::new();
    let device = run(&Naive::default(), &options, &mut |progress| seen.push(progress.id.to_string()));
    assert_eq!(seen, case_ids(&options), "every case of the list runs, in order");

    let failures: Vec<String> =
        device.failures().map(|r| format!("{} on {}: {} {:?}", r.id, r.kernel, r.detail, r.worst)).collect();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    // What the backend covers ran: every composite, and only as its decomposition; every primitive
    // on the one kernel. The rest was declined, and nothing else.
    let cases = suite(Level::Quick);
    let covered = |case: &Case| match decomposition(&case.desc) {
        Ok(program) if case.desc.op.is_composite() => program.steps().iter().all(|step| covers(&step.desc())),
        _ => covers(&case.desc),
    };
    assert!(cases.iter().filter(|c| covered(c)).count() > 450);
    assert!(cases.iter().any(|c| c.desc.op.is_composite() && covered(c)));
    for case in &cases {
        if !covered(case) {
            let declined = device.results.iter().filter(|r| r.id == case.id);
            assert!(declined.clone().count() == 1, "{}", case.id);
            declined.for_each(|r| assert_eq!(r.status, Status::Unsupported, "{}: {}", r.id, r.detail));
            continue;
        }
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
