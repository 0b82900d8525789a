//! `unisono bench` as people and scripts call it: short runs on the CPU.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const CASE: &str = "matmul/decode:dtype=f16,m=1,k=255,n=513,layout=nt,data=normal:seed=1";

/// Exit code, standard output, standard error.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_unisono"))
        .arg("bench")
        .args(arguments)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[track_caller]
fn fails(arguments: &[&str], code: i32, parts: &[&str]) {
    let (actual, out, err) = run(arguments);
    assert_eq!(actual, code, "{arguments:?}: {out}{err}");
    assert!(!err.contains("panicked"), "{err}");
    for part in parts {
        assert!(err.contains(part), "{arguments:?}: '{part}' is not in: {err}");
    }
}

/// A run of one small case, quick enough for a test.
fn quick<'a>(extra: &[&'a str]) -> Vec<&'a str> {
    let base = ["--device", "cpu", "--case", CASE, "--samples", "3", "--time-limit", "0.05"];
    base.into_iter().chain(extra.iter().copied()).collect()
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_case_is_timed_checked_and_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let (code, out, err) = run(&quick(&["--report", path]));
    assert_eq!(code, 0, "{out}{err}");
    for part in ["median, µs", "GB/s", "matmul/decode", "passed: 1 rows measured and right"] {
        assert!(out.contains(part), "'{part}' is not in: {out}");
    }
    let report = json(&directory.path().join("bench.json"));
    let row = &report["devices"][0]["rows"][0];
    assert_eq!((row["conformant"].as_bool(), row["outcome"].as_str()), (Some(true), Some("measured")));
    assert_eq!(row["checked"], row["elements"], "a small output is checked entirely");
    assert_eq!(row["figures"]["samples"].as_array().unwrap().len(), 3);
    assert!(row["figures"]["time"]["median"].as_f64().unwrap() > 0.0);
    assert!(fs::read_to_string(directory.path().join("bench.csv")).unwrap().contains(CASE));
    assert!(fs::read_to_string(directory.path().join("bench.html")).unwrap().contains("<table"));

    // A report equals itself, and an edited one does not.
    let same = directory.path().join("bench.json");
    let (code, out, err) = run(&["diff", same.to_str().unwrap(), same.to_str().unwrap()]);
    assert!(code == 0 && out.contains("1 rows compared"), "{out}{err}");
    let mut slower = report.clone();
    let figures = &mut slower["devices"][0]["rows"][0]["figures"];
    figures["samples"] = serde_json::json!([1.0, 1.0, 1.0]);
    slower["devices"][0]["reference_spread"] = serde_json::json!(1.0);
    let mut quiet = report;
    quiet["devices"][0]["reference_spread"] = serde_json::json!(1.0);
    for report in [&mut slower, &mut quiet] {
        report["devices"][0]["rows"][0]["flags"] = serde_json::json!([]);
    }
    let other = directory.path().join("slower.json");
    fs::write(&same, quiet.to_string()).unwrap();
    fs::write(&other, slower.to_string()).unwrap();
    let (code, out, err) = run(&["diff", same.to_str().unwrap(), other.to_str().unwrap()]);
    assert!(code == 1 && out.contains("1 regression"), "{out}{err}");
}

#[test]
fn every_candidate_is_timed() {
    let (code, out, err) = run(&quick(&["--candidates"]));
    assert!(code == 0 && out.contains("chosen") && out.contains("✓"), "{out}{err}");
    assert!(out.contains("the choice is"), "{out}");
}

#[test]
fn json_goes_to_standard_output_alone() {
    let (code, out, _) = run(&quick(&["--json"]));
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, report["kind"].as_str()), (0, Some("unisono-bench")));
}

#[test]
fn ceilings_have_transfers_on_every_device() {
    let (code, out, err) = run(&["ceilings", "--device", "cpu", "--short", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{code} {e}: {out}{err}"));
    let ceilings = report["devices"][0]["ceilings"].as_array().unwrap();
    for name in ["submit", "round_trip", "host_to_device", "device_to_host"] {
        let found = ceilings.iter().find(|c| c["name"] == name).unwrap();
        assert!(found["value"].as_f64().unwrap() > 0.0, "{found}");
    }
}

#[test]
fn bad_usage_exits_with_2_and_lists_what_there_is() {
    fails(&["--device", "cpu", "--set", "lama"], 2, &["lama", "llama-decode"]);
    fails(&["--device", "cpu", "--shape", "9b"], 2, &["9b", "70b"]);
    fails(&["--device", "cpu", "--dtype", "q9"], 2, &["q9", "q4_k"]);
    fails(&["--device", "cpu", "--dtype", "i8"], 2, &["i8", "q4_k"]);
    fails(&["--device", "cpu", "--case", "no/such"], 2, &["no/such"]);
    fails(&["--device", "cpu", "--samples", "0"], 2, &["--samples"]);
    fails(&["--device", "cpu", "--tokens", "0"], 2, &["token"]);
    fails(&["--device", "cpu", "--time-limit=-1"], 2, &["--time-limit"]);
    fails(&["diff", "no-such-a.json", "no-such-b.json"], 2, &["no-such-a.json"]);
    fails(&["--device", "abacus", "--case", CASE], 3, &["abacus"]);
}
