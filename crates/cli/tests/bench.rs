//! `unisono bench` as people and scripts call it: short runs on the CPU.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

const CASE: &str = "matmul/decode:dtype=f16,m=1,k=255,n=513,layout=nt,data=normal:seed=1";

/// Exit code, standard output, standard error.
fn run(arguments: &[&str]) -> (i32, String, String) {
    common::run(&[&["bench"], arguments].concat())
}

#[track_caller]
fn fails(arguments: &[&str], code: i32, parts: &[&str]) {
    common::fails(&[&["bench"], arguments].concat(), code, parts);
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
    assert!(err.contains("5/5 matmul/decode"), "{err}");
    let report = json(&directory.path().join("bench.json"));
    assert_eq!(report["complete"], true);
    let row = &report["devices"][0]["rows"][0];
    assert_eq!((row["conformant"].as_bool(), row["outcome"].as_str()), (Some(true), Some("measured")));
    assert_eq!(row["checked"], row["elements"], "a small output is checked entirely");
    assert_eq!(row["figures"]["samples"].as_array().unwrap().len(), 5, "one in each round");
    assert!(row["figures"]["time"]["median"].as_f64().unwrap() > 0.0);
    assert!(fs::read_to_string(directory.path().join("bench.csv")).unwrap().contains(CASE));
    assert!(fs::read_to_string(directory.path().join("bench.html")).unwrap().contains("<table"));

    // A report equals itself, and an edited one does not.
    let same = directory.path().join("bench.json");
    let (code, out, err) = run(&["diff", same.to_str().unwrap(), same.to_str().unwrap()]);
    assert!(code == 0 && out.contains("1 rows compared"), "{out}{err}");
    let steady = |seconds: f64| {
        let mut steady = report.clone();
        let figures = &mut steady["devices"][0]["rows"][0]["figures"];
        figures["samples"] = serde_json::json!(vec![seconds; 5]);
        let rounds = figures["rounds"].as_array_mut().unwrap();
        let reference = rounds[0]["reference"].clone();
        rounds.iter_mut().for_each(|round| round["reference"] = reference.clone());
        steady
    };
    let (quiet, slower) = (steady(1.0), steady(1.25));
    let other = directory.path().join("slower.json");
    fs::write(&same, quiet.to_string()).unwrap();
    fs::write(&other, slower.to_string()).unwrap();
    let (code, out, err) = run(&["diff", same.to_str().unwrap(), other.to_str().unwrap()]);
    assert!(code == 1 && out.contains("1 regression") && out.contains("+25.0%"), "{out}{err}");
    // Faster is no failure, and a report of version 1, which has no rounds, is still read.
    let (code, out, err) = run(&["diff", other.to_str().unwrap(), same.to_str().unwrap()]);
    assert!(code == 0 && out.contains("1 improvement"), "{out}{err}");
    let old = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/results/2026-11-24-bench-cpu.json");
    let (code, out, err) = run(&["diff", old, old]);
    assert!(code == 0 && out.contains("69 rows compared") && out.contains("more than 82%"), "{out}{err}");
}

/// Each row is printed when it is measured, and the files are there before the run ends.
#[test]
fn what_is_interrupted_has_lost_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    // So many rounds that the run is far from its end when the first row is there.
    let endless = ["bench", "--device", "cpu", "--case", CASE, "--rounds", "100000", "--report", path];
    let mut child = common::command(&endless).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = lines.find(|line| line.as_ref().unwrap().starts_with("2/100000 matmul/decode")).unwrap().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.contains(" µs, ") && line.contains("GB/s"), "{line}");
    let report = json(&directory.path().join("bench.json"));
    assert_eq!(report["complete"], false);
    let row = &report["devices"][0]["rows"][0];
    assert!(row["conformant"] == true && row["figures"]["time"]["median"].as_f64().unwrap() > 0.0, "{row}");
    assert!(fs::read_to_string(directory.path().join("bench.html")).unwrap().contains("not at its end"));
}

#[test]
fn rows_are_chosen_by_a_part_of_their_id_and_given_up_in_time() {
    let rows = ["--device", "cpu", "--set", "llama-decode", "--dtype", "q4_0", "--only", "rms_norm"];
    let (code, out, err) = run(&[&rows[..], &["--row-limit", "0"]].concat());
    assert!(code == 0 && out.contains("2 skipped") && out.contains("/add_rms_norm"), "{out}{err}");
    assert!(out.contains("are over the 0 s of a row"), "{out}");
    fails(&[&rows[..], &["--row-limit=-1"]].concat(), 2, &["--row-limit"]);
    fails(&["--device", "cpu", "--only", "nothing_like_it"], 2, &["nothing_like_it"]);
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
    fails(&["--device", "cpu", "--rounds", "0"], 2, &["--rounds"]);
    fails(&["--device", "cpu", "--tokens", "0"], 2, &["token"]);
    fails(&["--device", "cpu", "--time-limit=-1"], 2, &["--time-limit"]);
    fails(&["diff", "no-such-a.json", "no-such-b.json"], 2, &["no-such-a.json"]);
    fails(&["--device", "abacus", "--case", CASE], 3, &["abacus"]);
}
