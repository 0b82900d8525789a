//! Reports of real runs: they hold to the published schema, verify, and every kind of tampering
//! with them is found, with the digest as it was and with the digest computed anew.

mod reporting;

use std::sync::{Arc, OnceLock};

use reporting::{NOW, Tampering, check_all, document, recount, report, result, results};
use serde_json::{Value, json};
use unisono_conformance::report::{
    ChangeKind, DiffOptions, Report, VerifyOptions, badge, csv, diff, html, junit, markdown, verify,
};
use unisono_conformance::{Level, Options, run};
use unisono_mutants::host::{HostFault, Planted, Rewrite};
use unisono_tests::naive::Naive;

/// A passing report of the processor.
fn passing() -> &'static Report {
    static REPORT: OnceLock<Report> = OnceLock::new();
    REPORT.get_or_init(|| {
        let device = unisono::open("cpu").unwrap();
        report(&**device.backend(), &["matmul/plain", "add/", "softmax/", "argmax/", "swiglu/", "program/"])
    })
}

/// A backend that drops the last term of each product.
fn broken() -> Planted {
    let fault = HostFault::Rewrite(Rewrite::MatMulDropsLastK);
    Planted::new(Arc::new(Naive::default()), Some(fault)).named("matmul-drops-last-k")
}

/// A report of the broken backend.
fn failing() -> &'static Report {
    static REPORT: OnceLock<Report> = OnceLock::new();
    REPORT.get_or_init(|| report(&broken(), &["matmul/plain"]))
}

#[test]
fn genuine_reports_verify() {
    for report in [passing(), failing()] {
        let options = VerifyOptions { deep: true, now: Some(NOW.into()) };
        let found = verify(&report.to_json().unwrap(), &options, &|_, _| {}).unwrap();
        assert!(found.passed(), "{:#?}", found.problems);
        assert!(found.recomputed > 20 && found.skipped == 0);
    }
    assert!(passing().passed() && !failing().passed());
    assert!(passing().devices[0].sources.is_empty());
    let found = verify(&passing().to_json().unwrap(), &VerifyOptions::default(), &|_, _| {}).unwrap();
    assert!(found.exact > 20, "{found:?}");
}

fn status(wanted: &'static str) -> impl Fn(&Value) -> bool {
    move |r| r["status"] == wanted
}

fn inexact(r: &Value) -> bool {
    r["worst"].is_object() && r["ratio"].as_f64().is_some_and(|ratio| ratio > 0.01)
}

fn exact(r: &Value) -> bool {
    r["family"] == "argmax"
}

/// What somebody may do to a passing report, and words of the problem that names it.
const PASSING: &[Tampering] = &[
    ("a case dropped", |d| drop(drop_first_case(d)), "no result of case matmul/"),
    (
        "a case dropped and the rest recounted",
        |d| {
            drop_first_case(d);
            recount(d);
        },
        "no result of case matmul/",
    ),
    (
        "one kernel of a case dropped",
        |d| {
            let at = results(d).iter().position(|r| r["selected"] == false).unwrap();
            results(d).remove(at);
            recount(d);
        },
        "kernels: the case had",
    ),
    (
        "the decomposition of a case dropped",
        |d| {
            let id = result(d, |r| r["family"] == "swiglu" && r["kernel"] == "decomposition")["id"].clone();
            results(d).retain(|r| r["id"] != id || r["kernel"] != "decomposition");
            results(d).iter_mut().filter(|r| r["id"] == id).for_each(|r| r["kernels"] = 1.into());
            recount(d);
        },
        "on its decomposition",
    ),
    (
        "a result twice",
        |d| {
            let r = results(d)[0].clone();
            results(d).insert(0, r);
            recount(d);
        },
        "a second result of",
    ),
    (
        "a case added",
        |d| {
            let mut r = results(d)[0].clone();
            r["id"] = "matmul/plain:dtype=f32,m=3,k=3,n=3,layout=nt,data=magic:seed=1".into();
            results(d).push(r);
            recount(d);
        },
        "the list has no case matmul/plain:dtype=f32,m=3",
    ),
    ("results in another order", |d| results(d).rotate_left(9), "out of the order"),
    (
        "a pass turned into a failure",
        |d| {
            results(d)[0]["status"] = "fail".into();
            recount(d);
        },
        "fail without a reason",
    ),
    (
        "a failure invented with a reason",
        |d| {
            let r = &mut results(d)[0];
            (r["status"], r["detail"]) = ("fail".into(), "y: 3 of 4 elements over the bound".into());
            recount(d);
        },
        "the error is within it",
    ),
    (
        "a pass turned into an error",
        |d| {
            let r = &mut results(d)[0];
            (r["status"], r["detail"]) = ("error".into(), "the driver crashed".into());
            recount(d);
        },
        "error, and there is an output",
    ),
    (
        "a pass turned into unsupported",
        |d| {
            let r = &mut results(d)[0];
            (r["status"], r["detail"]) = ("unsupported".into(), "no such kernel".into());
            recount(d);
        },
        "unsupported, and there is an output",
    ),
    (
        "a result that was expected to fail",
        |d| {
            results(d)[0]["status"] = "expected_fail".into();
            recount(d);
        },
        "without an expectation",
    ),
    ("a smaller ratio", |d| result(d, inexact)["ratio"] = 0.001.into(), "the worst element give"),
    ("another expected value", |d| result(d, inexact)["worst"]["expected"] = 123.0.into(), "worst.expected: 123"),
    ("another computed value", |d| result(d, inexact)["worst"]["actual"] = 0.123456789.into(), "is no number of type"),
    (
        "a wider bound",
        |d| {
            let worst = &mut result(d, inexact)["worst"];
            worst["bound"] = (worst["bound"].as_f64().unwrap() * 2.0).into();
        },
        "worst.bound: ",
    ),
    (
        "another element",
        |d| {
            let worst = &mut result(d, |r| inexact(r) && r["worst"]["index"][0] == 0)["worst"];
            worst["index"][0] = 100_000.into();
        },
        "is outside of",
    ),
    ("another output", |d| result(d, inexact)["worst"]["output"] = 7.into(), "no output 7"),
    ("no worst element", |d| result(d, inexact)["worst"] = Value::Null, "no element has it"),
    ("another input hash", |d| results(d)[0]["input_hash"] = "0123456789abcdef".into(), "the data of the case have"),
    ("no input hash", |d| results(d)[0]["input_hash"] = "".into(), "input_hash: "),
    ("another output hash", |d| result(d, exact)["output_hash"] = "0123456789abcdef".into(), "the only right output"),
    ("no output hash", |d| results(d)[0]["output_hash"] = "".into(), "without an output"),
    ("a hash that is none", |d| results(d)[0]["output_hash"] = "f00".into(), "is no hash"),
    (
        "the ids of two results swapped",
        |d| {
            let (a, b) = (results(d)[0]["id"].clone(), result(d, exact)["id"].clone());
            result(d, exact)["id"] = a;
            results(d)[0]["id"] = b;
        },
        "the case is of family",
    ),
    ("another family", |d| results(d)[0]["family"] = "add".into(), "family: 'add'"),
    ("another dtype", |d| results(d)[0]["dtype"] = "f64".into(), "dtype: 'f64'"),
    ("a case made informative", |d| results(d)[0]["informative"] = true.into(), "informative: true"),
    ("another kernel", |d| results(d)[0]["kernel"] = "matmul.fast".into(), "reproduce: the command says"),
    ("another choice", |d| results(d)[0]["selected"] = false.into(), "are of the selected kernel, not one"),
    ("another command", |d| results(d)[0]["reproduce"] = "unisono check --device cpu".into(), "reproduce: the command"),
    ("a mode claimed", |d| results(d)[0]["numeric_modes"] = json!(["f16-accumulate"]), "declares no mode"),
    ("a reason on a pass", |d| results(d)[0]["detail"] = "fine".into(), "pass, and yet"),
    ("a negative time", |d| results(d)[0]["seconds"] = (-1.0).into(), "is no duration"),
    ("a count", |d| d["devices"][0]["summary"]["pass"] = 9999.into(), "devices[0].summary"),
    ("the verdict", |d| d["verdict"] = "fail".into(), "verdict: "),
    ("the hash of the list", |d| d["case_list_hash"] = "0123456789abcdef".into(), "stale list"),
    ("another level", |d| d["level"] = "full".into(), "stale list"),
    ("a level that is none", |d| d["level"] = "thorough".into(), "there is no level"),
    ("fewer patterns", |d| d["patterns"] = json!(["matmul/plain"]), "the list has no case add/"),
    ("no patterns: a part shown as the whole", |d| d["patterns"] = json!([]), "no result of case linear/"),
    ("a seed", |d| d["seed"] = 77.into(), "the list has no case"),
    (
        "a device twice",
        |d| {
            let device = d["devices"][0].clone();
            d["devices"].as_array_mut().unwrap().push(device);
        },
        "a second device 'cpu'",
    ),
    (
        "no device",
        |d| {
            d["devices"] = json!([]);
            recount(d);
        },
        "about no device",
    ),
    ("a processor shown as a GPU", |d| d["devices"][0]["device"]["kind"] = "discrete-gpu".into(), "api: 'cpu'"),
    ("the software flag", |d| d["devices"][0]["device"]["software"] = true.into(), "software: true"),
    ("the name of a software adapter", |d| d["devices"][0]["device"]["name"] = "llvmpipe".into(), "software adapter"),
    ("an error that is smaller than the worst", |d| operation(d)["ratio"] = 0.001.into(), "operations[0].ratio"),
    ("another worst case", |d| operation(d)["case"] = "add/x:seed=1".into(), "operations[0].case: add/x"),
    ("the kernel of the worst case", |d| operation(d)["kernel"] = "fast".into(), "operations[0].kernel: fast"),
    ("fewer results in an operation", |d| operation(d)["results"] = 1.into(), "operations[0].results: 1"),
    (
        "a histogram that is nearer to zero",
        |d| {
            let counts = operation(d)["histogram"].as_array_mut().unwrap();
            counts.rotate_left(1);
        },
        "operations[0].histogram",
    ),
    ("an operation left out", |d| drop(operations(d).pop()), "operations: "),
    ("another operation", |d| operation(d)["family"] = "sub".into(), "operations[0].family: sub"),
    ("another type of an operation", |d| operation(d)["dtype"] = "f64".into(), "operations[0].dtype: f64"),
    (
        "a text that no failure names",
        |d| {
            let hash = "cbf29ce484222325";
            d["devices"][0]["sources"] = json!([{"name": "x", "hash": hash, "text": ""}]);
        },
        "no result was built from 'x'",
    ),
    (
        "what a pass was built from",
        |d| results(d)[0]["sources"] = json!([{"name": "x", "hash": "0123456789abcdef", "constants": {}}]),
        "named for a result that is pass",
    ),
    ("a place on the bus", |d| d["devices"][0]["device"]["bus"] = "0000:01:00.0".into(), "bus: '0000:01:00.0', and"),
    ("a place that is none", |d| d["devices"][0]["device"]["bus"] = "slot 1".into(), "is no address on a PCI bus"),
    ("no memory", |d| d["devices"][0]["device"]["memory"] = 0.into(), "memory: 0 bytes"),
    ("a vendor", |d| d["devices"][0]["device"]["vendor_id"] = 0x10de.into(), "vendor: 'cpu'"),
    ("subgroup sizes", |d| d["devices"][0]["device"]["subgroup_sizes"] = json!([48, 32]), "subgroup_sizes: 48"),
    ("a feature", |d| d["devices"][0]["device"]["features"] = json!(["magic"]), "was granted and not asked for"),
    ("a limit", |d| d["devices"][0]["device"]["limits"] = json!({"max-buffer-size": 5}), "max_buffer_bytes"),
    ("the time of the run", |d| d["devices"][0]["seconds"] = 0.0.into(), "a part of the run took"),
    ("a date before the commit", |d| d["date"] = "2025-12-31T00:00:00Z".into(), "before the commit"),
    ("a date in the future", |d| d["date"] = "2026-03-01T00:00:00Z".into(), "in the future"),
    ("a date that is none", |d| d["date"] = "yesterday".into(), "date: 'yesterday'"),
    ("a commit that is none", |d| d["commit"] = "the good one".into(), "is no commit"),
    ("a field more", |d| d["blessed"] = true.into(), "blessed: the schema has no such field"),
    ("a field less", |d| drop(d.as_object_mut().unwrap().remove("patterns")), "patterns: the field is missing"),
    (
        "a model that agrees",
        |d| {
            let model = json!({"model": "m", "prompts": 0, "tokens_match": true, "max_logit_ratio": 7.0, "tokens_per_second": null});
            d["devices"][0]["models"] = json!([model]);
        },
        "models[0].tokens_match",
    ),
    (
        "a profile that passes",
        |d| {
            let counts = json!({"name": "llama-f32", "list_hash": "0123456789abcdef", "cases": 9, "passed": 8, "failed": 1,
            "unsupported": 0, "missing": 0, "verdict": "pass"});
            d["devices"][0]["profiles"] = json!([counts]);
        },
        "a run like this one is about ''",
    ),
];

/// The errors by operation.
fn operations(document: &mut Value) -> &mut Vec<Value> {
    document["devices"][0]["operations"].as_array_mut().unwrap()
}

/// The first operation that has an error.
fn operation(document: &mut Value) -> &mut Value {
    let first = &mut operations(document)[0];
    assert!(first["ratio"].as_f64().unwrap() > 0.01, "{first}");
    first
}

/// The first case goes, with all its results.
fn drop_first_case(document: &mut Value) -> Value {
    let id = results(document)[0]["id"].clone();
    results(document).retain(|r| r["id"] != id);
    id
}

/// What somebody may do to make a failing report pass.
const FAILING: &[Tampering] = &[
    (
        "failures shown as passes",
        |d| {
            results(d).iter_mut().for_each(|r| (r["status"], r["detail"]) = ("pass".into(), "".into()));
            recount(d);
        },
        "pass, and the error is",
    ),
    (
        "and with ratios that pass",
        |d| {
            for r in results(d).iter_mut().filter(|r| r["status"] == "fail") {
                (r["status"], r["detail"], r["ratio"]) = ("pass".into(), "".into(), 0.5.into());
            }
            recount(d);
        },
        "the worst element give",
    ),
    (
        "and with no error at all, where the data are exact",
        |d| {
            for r in results(d).iter_mut().filter(|r| r["status"] == "fail") {
                (r["status"], r["detail"], r["ratio"], r["worst"]) =
                    ("pass".into(), "".into(), 0.0.into(), Value::Null);
            }
            recount(d);
        },
        "the only right output has",
    ),
    (
        "the failures dropped",
        |d| {
            results(d).retain(|r| r["status"] != "fail");
            recount(d);
        },
        "no result of case",
    ),
    (
        "the failures shown as declined",
        |d| {
            results(d).iter_mut().filter(|r| r["status"] == "fail").for_each(|r| r["status"] = "unsupported".into());
            recount(d);
        },
        "unsupported, and there is an output",
    ),
    (
        "the failures made informative",
        |d| {
            let failed = results(d).iter_mut().filter(|r| r["status"] == "fail");
            failed.for_each(|r| (r["status"], r["informative"]) = ("info".into(), true.into()));
            recount(d);
        },
        "informative: true, the case says false",
    ),
    (
        "the planted fault hidden",
        |d| drop(d["devices"][0]["device"]["properties"].as_object_mut().unwrap().remove("planted-fault")),
        "reproduce: the command says",
    ),
    ("another text", |d| source(d)["text"] = "fn main() {}".into(), "sources[0].hash"),
    (
        "another text under its own hash",
        |d| (source(d)["text"], source(d)["hash"]) = ("".into(), "cbf29ce484222325".into()),
        "no result was built from 'naive.rs'",
    ),
    ("no text", |d| d["devices"][0]["sources"] = json!([]), "the report has no text 'naive.rs'"),
    (
        "a text twice",
        |d| {
            let text = source(d).clone();
            d["devices"][0]["sources"].as_array_mut().unwrap().push(text);
        },
        "a second 'naive.rs'",
    ),
    (
        "a failure that is built from something else",
        |d| result(d, status("fail"))["sources"][0]["name"] = "other.rs".into(),
        "the report has no text 'other.rs'",
    ),
    ("a failure without its error", |d| result(d, status("fail"))["ratio"] = 0.1.into(), "the error is within it"),
];

fn source(document: &mut Value) -> &mut Value {
    &mut document["devices"][0]["sources"][0]
}

#[test]
fn every_kind_of_tampering_with_a_passing_report_is_found() {
    check_all(passing(), PASSING);
}

#[test]
fn every_kind_of_tampering_with_a_failing_report_is_found() {
    check_all(failing(), FAILING);
}

/// The same path as the printed command: one case, one kernel, a backend opened anew.
#[test]
fn a_failing_report_is_replayed_case_by_case_with_the_same_bits() {
    let recorded = &failing().devices[0].results;
    let failures: Vec<_> = recorded.iter().filter(|r| r.status.is_failure()).collect();
    assert!(failures.len() >= 5, "{} failures", failures.len());
    for old in failures {
        let options =
            Options::new(Level::Quick).with_patterns(vec![old.id.clone()]).with_kernel(Some(old.kernel.clone()));
        let again = run(&broken(), &options, &mut |_| {});
        assert_eq!(again.results.len(), 1, "{}", old.id);
        let new = &again.results[0];
        assert_eq!((new.status, &new.input_hash, &new.output_hash), (old.status, &old.input_hash, &old.output_hash));
        assert_eq!((new.ratio, &new.worst, &new.reproduce), (old.ratio, &old.worst, &old.reproduce));
    }
}

#[test]
fn other_files_and_other_versions_are_refused_by_name() {
    let refused = |text: &str| verify(text, &VerifyOptions::default(), &|_, _| {}).unwrap_err().to_string();
    assert!(refused("no JSON").contains("expected"));
    assert!(refused("{}").contains("schema_version"));
    let mut old = document(passing());
    for version in [1, 2] {
        old["schema_version"] = version.into();
        assert!(refused(&old.to_string()).contains(&format!("schema version {version}")));
    }
    old["schema_version"] = 99.into();
    assert!(refused(&old.to_string()).contains("schema version 99"));
}

#[test]
fn reports_hold_to_the_published_schema_and_others_do_not() {
    let schema: Value = serde_json::from_str(include_str!("../docs/report.schema.json")).unwrap();
    let schema = jsonschema::draft202012::new(&schema).unwrap();
    let wrong = |document: &Value| schema.iter_errors(document).map(|e| e.to_string()).collect::<Vec<_>>();
    for report in [passing(), failing()] {
        assert_eq!(wrong(&document(report)), Vec::<String>::new());
    }
    let invalid: [fn(&mut Value); 11] = [
        |d| d["schema_version"] = 4.into(),
        |d| drop(d.as_object_mut().unwrap().remove("digest")),
        |d| d["blessed"] = true.into(),
        |d| d["verdict"] = "maybe".into(),
        |d| results(d)[0]["status"] = "passed".into(),
        |d| results(d)[0]["ratio"] = "small".into(),
        |d| drop(results(d)[0].as_object_mut().unwrap().remove("reproduce")),
        |d| d["devices"][0]["device"]["vendor_id"] = "0x10de".into(),
        |d| d["devices"][0]["device"]["bus"] = "slot 1".into(),
        |d| drop(operation(d)["histogram"].as_array_mut().unwrap().pop()),
        |d| d["devices"][0]["sources"] = json!([{"name": "x", "text": ""}]),
    ];
    for (i, spoil) in invalid.iter().enumerate() {
        let mut spoilt = document(passing());
        spoil(&mut spoilt);
        assert!(!wrong(&spoilt).is_empty(), "invalid document {i} is accepted");
    }
}

#[test]
fn a_comparison_names_what_changed() {
    let same = diff(passing(), passing(), &DiffOptions::default()).unwrap();
    assert!(same.passed() && same.devices[0].changes.is_empty() && same.devices[0].identical > 50);

    let mut after = document(passing());
    let total = results(&mut after).len();
    results(&mut after).remove(total - 1);
    results(&mut after)[0]["status"] = "fail".into();
    results(&mut after)[1]["output_hash"] = "0123456789abcdef".into();
    let drifted = result(&mut after, inexact);
    drifted["ratio"] = (drifted["ratio"].as_f64().unwrap() * 3.0).into();
    let after: Report = serde_json::from_value(after).unwrap();
    let kinds = |a: &Report, b: &Report| {
        let found = diff(a, b, &DiffOptions::default()).unwrap();
        let kinds: Vec<ChangeKind> = found.devices[0].changes.iter().map(|c| c.kind).collect();
        (kinds, found.regressions)
    };
    use ChangeKind::{Added, Drift, Fixed, LessError, Missing, NewFailure, OtherBits};
    assert_eq!(kinds(passing(), &after), (vec![NewFailure, Missing, Drift, OtherBits], 3));
    assert_eq!(kinds(&after, passing()), (vec![Fixed, LessError, Added, OtherBits], 0));

    // The only devices of two reports are compared; where there are several, they have to be paired.
    assert!(!diff(passing(), failing(), &DiffOptions::default()).unwrap().passed());
    let mut two = passing().clone();
    two.devices.push(two.devices[0].clone());
    two.devices[1].device.id = "cpu:1".into();
    let error = diff(&two, failing(), &DiffOptions::default()).unwrap_err().to_string();
    assert!(error.contains("no device in common") && error.contains("--device cpu=naive"), "{error}");
    let name = failing().devices[0].device.id.clone();
    let paired = DiffOptions { devices: vec![("cpu".into(), name)], ..DiffOptions::default() };
    assert!(!diff(&two, failing(), &paired).unwrap().passed());
}

/// Two devices that pass have other kernels, other bits and other errors, and none of that is a
/// regression; what only one of them can do is one.
#[test]
fn two_devices_are_compared_by_case() {
    let cases = ["matmul/plain", "add/", "softmax/", "swiglu/", "program/"];
    let naive = report(&Naive::default(), &cases);
    assert!(naive.passed());
    let found = diff(&naive, passing(), &DiffOptions::default()).unwrap();
    let device = &found.devices[0];
    let kinds = |of: &unisono_conformance::report::DeviceDifference| {
        let mut kinds: Vec<ChangeKind> = of.changes.iter().map(|c| c.kind).collect();
        kinds.dedup();
        kinds
    };
    assert!(found.passed() && device.other_device && device.compared > 50, "{:?}", kinds(device));
    assert_eq!(kinds(device), [ChangeKind::OtherStatus, ChangeKind::Added], "what the first declines, what it lacks");
    let matmul = device.operations.iter().find(|row| row.family == "matmul" && row.dtype == "f32").unwrap();
    let (before, after) = (matmul.before.as_ref().unwrap(), matmul.after.as_ref().unwrap());
    assert!(before.results > 0 && before.kernel == "naive" && after.kernel != "naive", "{matmul:?}");

    let back = diff(passing(), &naive, &DiffOptions::default()).unwrap();
    let regressions: Vec<_> = back.devices[0].changes.iter().filter(|c| c.regression).collect();
    assert!(
        !regressions.is_empty() && regressions.iter().all(|c| c.after == "unsupported" || c.id.starts_with("argmax/"))
    );

    // The same device under another driver is one device.
    let mut newer = passing().clone();
    newer.devices[0].device.driver_version = "2".into();
    newer.devices[0].device.name += " (driver 2)";
    assert!(!diff(passing(), &newer, &DiffOptions::default()).unwrap().devices[0].other_device);
}

#[test]
fn every_form_counts_alike() {
    for report in [passing(), failing()] {
        let device = &report.devices[0];
        let failures = device.failures().count();

        let table = csv::render(report).unwrap();
        let mut reader = ::csv::Reader::from_reader(table.as_bytes());
        assert_eq!(reader.headers().unwrap().iter().collect::<Vec<_>>(), csv::COLUMNS);
        let records: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(records.len(), device.results.len());
        for (record, result) in records.iter().zip(&device.results) {
            assert_eq!((&record[1], &record[5], &record[7]), (&*result.id, &*result.kernel, result.status.name()));
            assert_eq!(&record[21], result.reproduce);
        }

        let xml = junit::render(report).unwrap();
        let (mut cases, mut failed) = (0, 0);
        let mut reader = quick_xml::Reader::from_str(&xml);
        loop {
            use quick_xml::events::Event;
            match reader.read_event().unwrap() {
                Event::Start(e) | Event::Empty(e) => match e.name().as_ref() {
                    "testcase" => cases += 1,
                    "failure" | "error" => failed += 1,
                    _ => {}
                },
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!((cases, failed), (device.results.len(), failures));

        let page = markdown::render(report);
        assert_eq!(page.matches("\n      unisono check ").count(), failures.min(50));
        assert_eq!(page.contains(": passed\n"), report.passed());

        let page = html::render(report);
        assert_eq!(page.matches("class=\"case fail\"").count(), failures.min(500));

        let badge = badge(report);
        assert_eq!((&badge["schemaVersion"], &badge["isError"]), (&json!(1), &json!(failures > 0)));
        let colour = if failures > 0 { "red" } else { "lightgrey" };
        assert_eq!(badge["color"], colour, "a part of a level is never green");
    }
}
