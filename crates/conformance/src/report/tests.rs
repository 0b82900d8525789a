use unisono_core::{DeviceInfo, DeviceKind};

use super::*;

/// One result of each status, with texts and numbers that formats like to break on.
fn report() -> Report {
    let results = Status::ALL.iter().enumerate().map(|(i, &status)| CaseResult {
        id: format!("add/<b>&\"{i}\"':dtype=f16:seed={i}"),
        family: if i < 4 { "add".into() } else { "mul".into() },
        dtype: "f16".into(),
        informative: status == Status::Info,
        kernel: "kernel<8>".into(),
        selected: true,
        status,
        detail: "y: 1 of 2 elements & more".into(),
        ratio: Some(Number([0.5, 2.5, f64::NAN, 0.0, 1.0, f64::INFINITY, f64::NEG_INFINITY][i])),
        worst: Some(Worst {
            output: 0,
            index: vec![3, 1],
            expected: Number(f64::from(f32::MIN_POSITIVE)),
            actual: Number(f64::NAN),
            bound: Number(0.1 + 0.2),
        }),
        input_hash: "0123456789abcdef".into(),
        output_hash: String::new(),
        seconds: 1.5e-5,
        reproduce: "unisono check --device 'x' --case 'y'".into(),
    });
    let info = DeviceInfo::new("wgpu:0", "A <script>alert(1)</script> device {{body}}", DeviceKind::Software);
    let mut device = DeviceReport::new(&info, results.collect(), 2.0);
    device.models.push(ModelResult {
        model: "tiny".into(),
        prompts: 3,
        tokens_match: true,
        max_logit_ratio: Some(Number(0.25)),
        tokens_per_second: None,
    });
    Report {
        schema_version: SCHEMA_VERSION,
        version: "0".into(),
        commit: None,
        date: Some("2000-01-01".into()),
        host: Host::from_target(),
        level: "quick".into(),
        case_list_hash: String::new(),
        devices: vec![device],
    }
}

#[test]
fn json_round_trips_with_every_non_finite_number() {
    let report = report();
    let json = report.to_json().unwrap();
    assert!(json.contains("\"nan\"") && json.contains("\"inf\"") && json.contains("\"-inf\""));
    assert_eq!(Report::from_json(&json).unwrap(), report);
}

#[test]
fn a_newer_schema_is_refused_by_its_number() {
    let newer = format!("{{\"schema_version\": {}, \"other\": 1}}", SCHEMA_VERSION + 1);
    assert!(Report::from_json(&newer).unwrap_err().to_string().contains("schema version"));
}

#[test]
fn counts_agree_with_the_results_and_every_failing_status_fails() {
    let device = &report().devices[0];
    assert_eq!(device.summary.cases, Status::ALL.len());
    for status in Status::ALL {
        assert_eq!(device.summary.count(status), 1, "{status:?}");
        let results = device.results.iter().filter(|r| r.status == Status::Pass || r.status == status);
        let alone = DeviceReport { results: results.cloned().collect(), ..device.clone() };
        let alone = DeviceReport { summary: Summary::of(&alone.results), ..alone };
        assert_eq!(alone.passed(), !status.is_failure(), "{status:?}");
    }
    assert!(!Summary::of(&[]).passed(), "a run of nothing proves nothing");
}

#[test]
fn models_that_differ_fail_the_device() {
    let mut device = report().devices.remove(0);
    device.results.truncate(1);
    device.summary = Summary::of(&device.results);
    assert!(device.passed());
    device.models[0].tokens_match = false;
    assert!(!device.passed());
}

#[test]
fn html_escapes_what_a_report_says_and_lists_every_failure() {
    let report = report();
    let page = html::render(&report);
    assert!(!page.contains("<script") && !page.contains("<b>&") && !page.contains("kernel<8>"));
    assert!(page.contains("device {{body}}</h3>"), "text that looks like the template's stays text");
    for (number, result) in report.devices[0].results.iter().enumerate() {
        let listed = page.contains(&format!("id=\"result-0-{number}\""));
        assert_eq!(listed, !matches!(result.status, Status::Pass | Status::Unsupported), "{:?}", result.status);
    }
    // Each link of the page has its target.
    for link in page.split("href=\"#").skip(1) {
        let anchor = link.split('"').next().unwrap();
        assert!(page.contains(&format!("id=\"{anchor}\"")), "{anchor}");
    }
    assert!(page.contains("href=\"#result-0-6\""), "the cell of mul links its worst result");
}

#[test]
fn the_table_of_operations_shows_what_happened() {
    let report = report();
    let table = OpTable::new(std::slice::from_ref(&report));
    let cell = |family: &str| {
        let row = table.rows.iter().find(|r| r.family == family && r.dtype == "f16").expect(family);
        row.cells[0].clone().expect("the device ran it")
    };
    // pass, warn, info, unsupported: the worst ratio leaves the informative result out.
    let add = cell("add");
    assert_eq!((add.native, add.composed, add.unsupported, add.failed, add.worst), (3, 0, 1, 0, 2.5));
    assert_eq!((add.verdict(), cell("mul").verdict()), ("unsupported", "FAILED"));
    let text = table.markdown();
    assert!(text.contains("| add | f16 | unsupported 2.50 [1] |"), "{text}");
    assert!(text.contains("1. y: 1 of 2 elements & more"), "{text}");

    let mut composed = report.devices[0].clone();
    composed.results.retain(|r| r.status == Status::Pass);
    composed.results[0].kernel = crate::DECOMPOSITION.into();
    let both = Report { devices: vec![composed.clone()], ..report.clone() };
    assert_eq!(OpTable::new(std::slice::from_ref(&both)).rows[0].cells[0].as_ref().unwrap().verdict(), "composed");
    composed.results.push(CaseResult { kernel: "k".into(), ..composed.results[0].clone() });
    let both = Report { devices: vec![composed], ..report };
    assert_eq!(OpTable::new(&[both]).rows[0].cells[0].as_ref().unwrap().verdict(), "mixed");
}
