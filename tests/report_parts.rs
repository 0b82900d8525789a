//! Reports with profiles, groups of an isolated run, expectations and a fingerprint: they verify, and
//! every kind of tampering with these parts is found, with the digest as it was and computed anew.

#[allow(dead_code, reason = "the table of results is another test's")]
mod reporting;

use std::sync::{Arc, OnceLock};

use reporting::{Tampering, check_all, document, problems, recount, report_of, result};
use serde_json::{Value, json};
use unisono_conformance::isolate::groups;
use unisono_conformance::report::{GroupOutcome, GroupResult, Report};
use unisono_conformance::{Expectations, Level, Options};
use unisono_mutants::host::{HostFault, Planted, Rewrite};
use unisono_tests::naive::Naive;

/// The profile `core` on a backend that drops the last term of each product, which is expected of it
/// in plain products. The first entry is over, the second is met, the third is about what passes.
const EXPECTATIONS: &str = "matmul/ | * | fail | #1 | 2026-01-01
matmul/plain | * | fail | #2 | 2026-06-01
add/ @ nothing | * | fail | #3 | 2026-06-01
";

fn genuine() -> &'static Report {
    static REPORT: OnceLock<Report> = OnceLock::new();
    REPORT.get_or_init(|| {
        let fault = HostFault::Rewrite(Rewrite::MatMulDropsLastK);
        let broken = Planted::new(Arc::new(Naive::default()), Some(fault)).named("matmul-drops-last-k");
        let mut report = report_of(&broken, &Options::new(Level::Quick).with_profile(Some("core".into())));
        let device = &mut report.devices[0];
        let mut cases: Vec<(&str, &str)> = device.results.iter().map(|r| (&*r.id, &*r.family)).collect();
        cases.dedup();
        let groups = groups(cases).into_iter().map(|g| GroupResult {
            name: g.name,
            cases: g.cases.len(),
            workers: 1,
            alone: false,
            seconds: 0.0,
            outcome: GroupOutcome::Completed,
            during: String::new(),
            detail: String::new(),
        });
        device.groups = groups.collect();
        Expectations::parse(EXPECTATIONS).unwrap().apply(device, "2026-01-02");
        report
    })
}

fn profile(d: &mut Value) -> &mut Value {
    &mut d["devices"][0]["profiles"][0]
}

fn group(d: &mut Value) -> &mut Value {
    &mut d["devices"][0]["groups"][0]
}

fn entry(d: &mut Value, number: usize) -> &mut Value {
    &mut d["devices"][0]["expectations"][number]
}

fn unfinish(r: &mut Value) {
    (r["status"], r["detail"], r["ratio"], r["worst"]) =
        ("not_finished".into(), "no time".into(), Value::Null, Value::Null);
    (r["output_hash"], r["input_hash"]) = ("".into(), "".into());
    r.as_object_mut().unwrap().remove("expectation");
}

fn excused(r: &Value) -> bool {
    r["status"] == "expected_fail"
}

fn failed(r: &Value) -> bool {
    r["status"] == "fail"
}

const PARTS: &[Tampering] = &[
    ("the verdict of a profile", |d| profile(d)["verdict"] = "pass".into(), "profiles[0].verdict: 'pass'"),
    (
        "a profile without its failures",
        |d| {
            let cases = profile(d)["cases"].clone();
            let p = profile(d);
            (p["passed"], p["failed"], p["verdict"]) = (cases, 0.into(), "pass".into());
        },
        "profiles[0].passed: ",
    ),
    ("the list of a profile", |d| profile(d)["list_hash"] = "0123456789abcdef".into(), "profiles[0].list_hash"),
    ("a shorter profile", |d| profile(d)["cases"] = 3.into(), "profiles[0].cases: '3'"),
    ("another profile's name", |d| profile(d)["name"] = "bert".into(), "profiles: 'bert'"),
    ("no profile", |d| d["devices"][0]["profiles"] = json!([]), "a run like this one is about 'core'"),
    ("a profile that did not run", |d| d["profile"] = "bert".into(), "the list has no case"),
    ("a profile that is none", |d| d["profile"] = "everything".into(), "the list has no case"),
    ("a part shown as the whole level", |d| d["profile"] = Value::Null, "no result of case"),
    ("a group dropped", |d| drop(d["devices"][0]["groups"].as_array_mut().unwrap().remove(0)), "make the groups"),
    ("a group with fewer cases", |d| group(d)["cases"] = 1.into(), "make the groups"),
    ("a group renamed", |d| group(d)["name"] = "attention".into(), "make the groups"),
    ("a group that crashed", |d| group(d)["outcome"] = json!({"kind": "lost"}), "groups[0].detail: lost its device"),
    (
        "a crash in a case that has a result",
        |d| {
            let id = d["devices"][0]["results"][0]["id"].clone();
            let g = group(d);
            (g["outcome"], g["during"], g["detail"]) = (json!({"kind": "lost"}), id, "the device was lost".into());
        },
        "groups[0].during: ",
    ),
    ("a crash left over", |d| group(d)["detail"] = "it crashed".into(), "completed, and ended early"),
    (
        "a case that did not run in a completed group",
        |d| {
            let r = result(d, |r| r["status"] == "pass");
            (r["status"], r["detail"], r["ratio"], r["worst"]) =
                ("not_run".into(), "no time".into(), Value::Null, Value::Null);
            (r["output_hash"], r["input_hash"]) = ("".into(), "".into());
            recount(d);
        },
        "completed, and a case did not run",
    ),
    (
        "a case that is not finished in a completed group",
        |d| {
            unfinish(result(d, |r| r["status"] == "pass"));
            recount(d);
        },
        "completed, and a case did not run",
    ),
    (
        "a failure shown as not finished",
        |d| {
            unfinish(result(d, excused));
            let g = group(d);
            (g["outcome"], g["detail"]) = (json!({"kind": "stopped"}), "the time limit was reached".into());
            recount(d);
        },
        "the results of its cases make it",
    ),
    (
        "a limit that ended a case which has a result",
        |d| {
            let id = d["devices"][0]["results"][0]["id"].clone();
            let g = group(d);
            (g["outcome"], g["during"], g["detail"]) = (json!({"kind": "stopped"}), id, "no time".into());
        },
        "which is not not_finished",
    ),
    ("a second attempt that there was none of", |d| group(d)["alone"] = true.into(), "there was no second worker"),
    (
        "a failure excused by hand",
        |d| {
            let expectation = result(d, excused)["expectation"].clone();
            let r = result(d, failed);
            (r["status"], r["expectation"]) = ("expected_fail".into(), expectation);
            recount(d);
        },
        "expectation: ",
    ),
    (
        "an excuse for an error that was another",
        |d| result(d, excused)["expectation"]["actual"] = "pass".into(),
        "pass, and ",
    ),
    (
        "an expected failure shown as a pass",
        |d| {
            let r = result(d, excused);
            r["status"] = "pass".into();
            recount(d);
        },
        "the expectations make it expected_fail",
    ),
    (
        "an expectation widened",
        |d| {
            let case = json!("matmul/");
            for r in d["devices"][0]["results"].as_array_mut().unwrap().iter_mut().filter(|r| excused(r)) {
                r["expectation"]["entry"]["case"] = case.clone();
            }
            entry(d, 1)["entry"]["case"] = case;
        },
        "the expectations make it expected_fail",
    ),
    (
        "an expectation for another device",
        |d| entry(d, 1)["entry"]["device"] = "vendor=nvidia".into(),
        "not about this",
    ),
    ("an expectation that was over, used again", |d| entry(d, 0)["expired"] = false.into(), "expectations[0].expired"),
    ("an expectation ended early", |d| entry(d, 1)["expired"] = true.into(), "expectations[1].expired: true"),
    ("how often an expectation was met", |d| entry(d, 1)["met"] = 1.into(), "expectations[1]: "),
    ("how many cases an expectation has", |d| entry(d, 1)["cases"] = 1.into(), "expectations[1]: 1 cases"),
    ("unexpected passes", |d| entry(d, 2)["unexpected_passes"] = 2.into(), "2 unexpected passes"),
    (
        "an expectation dropped",
        |d| drop(d["devices"][0]["expectations"].as_array_mut().unwrap().remove(1)),
        "the expectations make it fail",
    ),
];

#[test]
fn a_report_with_all_its_parts_verifies() {
    let device = &genuine().devices[0];
    let met: Vec<usize> = device.expectations.iter().map(|e| e.met).collect();
    assert!(met[0] > met[1] && met[1] > 5 && met[2] == 0, "{met:?}");
    assert!(device.groups.len() > 1 && device.profiles.len() == 1 && device.profiles[0].failed > 5);
    assert_eq!(problems(&document(genuine())), Vec::<String>::new());
}

#[test]
fn every_kind_of_tampering_with_the_parts_is_found() {
    check_all(genuine(), PARTS);
}
