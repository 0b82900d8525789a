use unisono_core::{DeviceInfo, DeviceKind};

use super::*;

fn entry() -> ExpectationEntry {
    ExpectationEntry {
        line: 3,
        case: "add/*".into(),
        kernel: String::new(),
        device: "*".into(),
        kind: ExpectationKind::Fail,
        issue: "https://example.org/<1>".into(),
        expires: "2027-01-31".into(),
    }
}

/// One result of each status, with texts and numbers that formats like to break on.
pub(super) fn report() -> Report {
    let results = Status::ALL.iter().enumerate().map(|(i, &status)| CaseResult {
        id: format!("add/<b>&\"{i}\"':dtype=f16:seed={i}"),
        family: if i < 4 { "add".into() } else { "mul".into() },
        dtype: "f16".into(),
        informative: status == Status::Info,
        kernel: "kernel<8>".into(),
        selected: true,
        status,
        detail: "y: 1 of 2 elements & more".into(),
        ratio: Some(Number([0.5, 2.5, f64::NAN, 0.0, 3.0, 0.25, 1.0, 0.5, f64::INFINITY, f64::NEG_INFINITY][i])),
        numeric_modes: if i == 1 { vec!["f16-accumulate".into()] } else { Vec::new() },
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
        kernels: 1,
        reproduce: "unisono check --device 'x' --case 'y'".into(),
        sources: Vec::new(),
        expectation: matches!(status, Status::ExpectedFail | Status::UnexpectedPass).then(|| ExpectedResult {
            entry: entry(),
            actual: if status == Status::ExpectedFail { Status::Error } else { Status::Pass },
        }),
    });
    let info = DeviceInfo::new("wgpu:0", "A <script>alert(1)</script> device {{body}}", DeviceKind::Software);
    let mut device = DeviceReport::new(&info, results.collect(), 2.0);
    device.models.push(ModelResult {
        model: "tiny".into(),
        prompts: 3,
        tokens_match: true,
        max_logit_ratio: Some(Number(0.25)),
        tokens_per_second: None,
        unfinished: None,
    });
    device.groups = vec![
        group("add", GroupOutcome::Completed),
        group("mul", GroupOutcome::Crashed { signal: Some(6), exit_code: None }),
        group("div", GroupOutcome::TimedOut { limit_seconds: 60.0, stalled: true }),
        group("sub", GroupOutcome::Lost),
        group("neg", GroupOutcome::Silent { limit_seconds: 900.0 }),
    ];
    device.profiles.push(ProfileResult {
        name: "llama-f16".into(),
        list_hash: "0123456789abcdef".into(),
        cases: 5,
        passed: 1,
        failed: 1,
        unsupported: 1,
        missing: 1,
        unfinished: 1,
        verdict: ProfileVerdict::Fail,
    });
    device.expectations.push(ExpectationResult {
        entry: entry(),
        expired: false,
        cases: 2,
        met: 1,
        unexpected_passes: 1,
    });
    Report {
        version: "0".into(),
        date: Some("2000-01-01".into()),
        ..Report::new(crate::Level::Quick, Host::from_target(), vec![device])
    }
}

fn group(name: &str, outcome: GroupOutcome) -> GroupResult {
    let bad = !outcome.is_completed();
    let text = |text: &str| if bad { text.to_string() } else { String::new() };
    GroupResult {
        name: name.into(),
        cases: 3,
        workers: 1 + usize::from(bad),
        alone: false,
        seconds: 0.5,
        outcome,
        during: text("add/<b>:seed=1"),
        detail: text("the driver said <boom>"),
    }
}

#[test]
fn json_round_trips_with_every_non_finite_number() {
    let mut report = report();
    report.seal().unwrap();
    let json = report.to_json().unwrap();
    assert!(json.contains("\"nan\"") && json.contains("\"inf\"") && json.contains("\"-inf\""));
    assert_eq!(Report::from_json(&json).unwrap(), report);
}

#[test]
fn a_report_without_groups_profiles_and_expectations_is_read() {
    let mut report = report();
    report.devices[0].results.truncate(4);
    let (device, summary) = (&mut report.devices[0], Summary::of(&[]));
    (device.summary, device.groups, device.profiles, device.expectations) = (summary, vec![], vec![], vec![]);
    report.seal().unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    let device = json["devices"][0].as_object_mut().unwrap();
    for name in ["groups", "profiles", "expectations"] {
        assert!(device.remove(name).is_some(), "{name}");
    }
    let summary = device["summary"].as_object_mut().unwrap();
    for name in ["expected_fail", "unexpected_pass", "not_finished"] {
        assert!(summary.remove(name).is_some(), "{name}");
    }
    assert_eq!(Report::from_json(&json.to_string()).unwrap(), report);
}

#[test]
fn outcomes_of_groups_are_said_in_words() {
    let crashed = |signal, exit_code| GroupOutcome::Crashed { signal, exit_code }.to_string();
    assert_eq!(crashed(Some(6), None), "was killed by signal 6 (SIGABRT)");
    assert_eq!(crashed(Some(99), None), "was killed by signal 99");
    assert_eq!(crashed(None, Some(3)), "exited with code 3");
    let json = serde_json::to_string(&GroupOutcome::TimedOut { limit_seconds: 2.0, stalled: false }).unwrap();
    assert_eq!(json, r#"{"kind":"timed_out","limit_seconds":2.0,"stalled":false}"#);
}

#[test]
fn a_newer_schema_is_refused_by_its_number() {
    let newer = format!("{{\"schema_version\": {}, \"other\": 1}}", SCHEMA_VERSION + 1);
    assert!(Report::from_json(&newer).unwrap_err().to_string().contains("schema version"));
}

#[test]
fn older_versions_are_read() {
    let mut old = serde_json::to_value(report()).unwrap();
    for name in ["digest", "verdict", "dirty", "commit_date", "patterns", "kernel", "seed"] {
        old.as_object_mut().unwrap().remove(name).unwrap();
    }
    old["schema_version"] = 1.into();
    let read = Report::from_json(&old.to_string()).unwrap();
    assert_eq!((read.schema_version, read.devices), (1, report().devices));
}

#[test]
fn a_report_of_nothing_does_not_pass() {
    assert!(!Report::new(crate::Level::Quick, Host::from_target(), Vec::new()).passed());
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
        let verdict = match status {
            Status::NotFinished => Verdict::NotFinished,
            status if status.is_failure() => Verdict::Fail,
            _ => Verdict::Pass,
        };
        assert_eq!((alone.verdict(), alone.passed()), (verdict, verdict == Verdict::Pass), "{status:?}");
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

/// A report of which one device passed a case and has not finished another.
fn unfinished() -> Report {
    let mut report = report();
    let device = &mut report.devices[0];
    device.results.retain(|r| matches!(r.status, Status::Pass | Status::NotFinished));
    device.summary = Summary::of(&device.results);
    device.profiles.retain(|profile| profile.verdict != ProfileVerdict::Fail);
    device.groups = vec![group("add", GroupOutcome::Completed), group("mul", GroupOutcome::Stopped)];
    report
}

#[test]
fn what_is_not_finished_is_neither_a_pass_nor_a_failure_in_any_form() {
    let report = unfinished();
    let device = &report.devices[0];
    assert_eq!(
        (report.verdict(), device.verdict(), report.passed()),
        (Verdict::NotFinished, Verdict::NotFinished, false)
    );
    assert_eq!((device.unfinished().as_deref(), device.is_complete()), (Some("1 of 2 cases"), false));
    assert!(report.to_json().unwrap().contains("\"verdict\": \"not_finished\""));
    let page = html::render(&report);
    for text in [&page, &markdown::render(&report)] {
        assert!(text.contains("not finished") && text.contains("check --resume"), "{text}");
        assert!(!text.contains("FAILED") && !text.contains("badge fail"), "{text}");
    }
    assert!(page.contains("<h1>Unisono conformance <span class=\"badge not_finished\">not finished</span></h1>"));
    let badge = badge(&report);
    assert_eq!((&badge["color"], &badge["isError"]), (&"yellow".into(), &false.into()));
    assert!(badge["message"].as_str().unwrap().starts_with("not finished on "), "{badge}");
    let table = OpTable::new(std::slice::from_ref(&report));
    let verdicts: Vec<&str> = table.rows.iter().map(|r| r.cells[0].as_ref().unwrap().verdict()).collect();
    assert_eq!(verdicts, ["native", "not_finished"]);

    // A failure outweighs it, on the same device and on another.
    let mut both = report.clone();
    let mut other = super::tests::report().devices.remove(0);
    other.groups.clear();
    both.devices.push(other);
    assert_eq!(both.verdict(), Verdict::Fail);
    // A model alone keeps a device open, and nothing at all that ran does not make it fail.
    let mut device = report.devices[0].clone();
    device.results.truncate(1);
    device.summary = Summary::of(&device.results);
    device.groups.truncate(1);
    assert_eq!(device.verdict(), Verdict::Pass);
    (device.models[0].tokens_match, device.models[0].unfinished) = (false, Some("it was stopped".into()));
    assert_eq!((device.verdict(), device.unfinished().as_deref()), (Verdict::NotFinished, Some("the model tiny")));
    let mut device = report.devices[0].clone();
    device.results.remove(0);
    device.summary = Summary::of(&device.results);
    assert_eq!(device.verdict(), Verdict::NotFinished);
}

#[cfg(feature = "formats")]
#[test]
fn what_is_not_finished_is_skipped_in_junit_and_named_in_csv() {
    let mut report = unfinished();
    report.devices[0].models[0].unfinished = Some("it was stopped".into());
    report.devices[0].models[0].tokens_match = false;
    let xml = junit::render(&report).unwrap();
    assert!(xml.contains("failures=\"0\" errors=\"0\" skipped=\"2\"") && !xml.contains("<failure"), "{xml}");
    assert_eq!(xml.matches("message=\"not finished, neither passed nor failed").count(), 2, "{xml}");
    assert!(csv::render(&report).unwrap().contains(",not_finished,"));
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
    assert!(page.contains("href=\"#result-0-9\""), "the cell of mul links its worst result");
    assert!(page.contains(", by kernel</h3>"));
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

#[test]
fn the_page_has_devices_side_by_side_worst_cases_and_sources() {
    let mut report = report();
    let source = SourceText::new("tile<8>".into(), "fn main() { if (a < b) { } }".into());
    let used = SourceUse {
        name: source.name.clone(),
        hash: source.hash.clone(),
        constants: [("TILE".to_string(), Number(8.0))].into(),
    };
    report.devices[0].results[8].sources = vec![used];
    report.devices[0].sources = vec![source];
    let page = html::render(&report);
    assert!(!page.contains("Side by side"), "one device has nothing beside it");
    report.devices.push(report.devices[0].clone());
    let second = &mut report.devices[1];
    (second.device.id, second.device.bus, second.sources) = ("wgpu:1".into(), "0000:01:00.0".into(), Vec::new());
    let page = html::render(&report);
    for part in [
        "Side by side",
        "<td>0000:<wbr>01:<wbr>00.0</td>",
        "<td class=\"none\">–</td>",
        "aria-label=\"0: 1; &lt;= 1: 1; &lt;= 10: 1\"",
        "<b class=\"over\">2.500</b> <code>add/<wbr>&lt;b&gt;",
        "source <a href=\"#source-0-0\">tile&lt;8&gt;</a> with TILE = 8",
        "<details id=\"source-0-0\">",
        "if (a &lt; b)",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("fn main").count(), 1, "a text stands once");
    for link in page.split("href=\"#").skip(1) {
        let anchor = link.split('"').next().unwrap();
        assert!(page.contains(&format!("id=\"{anchor}\"")), "{anchor}");
    }
}
