//! The command as people and scripts call it: exit codes, and errors that name the thing.

mod common;

use std::path::Path;

use common::{copy_model, fails, run};

#[test]
fn devices_as_json_and_as_a_table() {
    let (code, out, _) = run(&["devices", "--json"]);
    let devices: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, devices[0]["id"].as_str()), (0, Some("cpu")));
    let (code, out, _) = run(&["devices"]);
    assert!(code == 0 && out.contains("cpu") && !out.contains('\u{1b}'), "no colours with NO_COLOR: {out}");
}

#[test]
fn unknown_devices_exit_with_3_and_list_what_there_is() {
    fails(&["check", "--device", "abacus"], 3, &["abacus", "cpu ("]);
    fails(&["generate", "--prompt", "x", "--device", "abacus"], 3, &["abacus"]);
}

#[test]
fn bad_usage_exits_with_2() {
    fails(&["check", "--level", "sometimes"], 2, &["sometimes"]);
    fails(&["frobnicate"], 2, &["frobnicate"]);
    fails(&["generate"], 2, &["--prompt"]);
    fails(&["check", "--device", "cpu", "--case", "no/such:case"], 2, &["no/such:case"]);
    fails(&["check", "--device", "cpu", "--case", "add/", "--kernel", "no_such"], 2, &["no_such", "cpu"]);
    fails(&["generate", "--prompt", "x", "--device", "cpu", "--max-tokens", "0"], 2, &["--max-tokens"]);
}

#[test]
fn embed_says_what_it_cannot_do() {
    let decoder = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/assets/tiny-llama");
    fails(&["embed", "--text", "x"], 2, &["--model"]);
    fails(&["embed", "--model", decoder, "--pooling", "most"], 2, &["most"]);
    // No text: standard input has none.
    fails(&["embed", "--model", decoder, "--device", "cpu"], 2, &["--text"]);
    fails(&["embed", "--model", decoder, "--device", "abacus", "--text", "x"], 3, &["abacus"]);
    fails(&["embed", "--model", "no/such/model", "--text", "x"], 1, &["no/such/model"]);
}

#[test]
fn models_that_cannot_be_loaded_are_named() {
    let generate = |dir: &Path, parts: &[&str]| {
        let dir = dir.to_str().unwrap();
        fails(&["generate", "--prompt", "x", "--device", "cpu", "--model", dir], 1, parts);
    };
    let dir = tempfile::tempdir().unwrap();
    generate(&dir.path().join("nowhere"), &["nowhere"]);
    generate(dir.path(), &["config.json"]);

    copy_model(dir.path());
    let weights = dir.path().join("model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    for length in [0, 4, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&weights, &bytes[..length]).unwrap();
        generate(dir.path(), &["model.safetensors"]);
    }
    std::fs::remove_file(&weights).unwrap();
    generate(dir.path(), &["model.safetensors"]);
}

#[test]
fn a_model_in_a_directory_writes_like_the_embedded_one() {
    let dir = tempfile::tempdir().unwrap();
    copy_model(dir.path());
    let base = ["generate", "--prompt", "Once upon a time", "--device", "cpu", "--max-tokens", "16"];
    let (code, embedded, err) = run(&base);
    assert!(code == 0 && embedded.starts_with("Once upon a time"), "{embedded}{err}");
    assert!(err.contains("tokens/s"), "{err}");
    let mut with_model = base.to_vec();
    with_model.extend(["--model", dir.path().to_str().unwrap()]);
    assert_eq!(run(&with_model).1, embedded);
}

#[test]
fn a_check_writes_its_report_and_replays_a_case() {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().to_str().unwrap();
    let (code, out, err) = run(&["check", "--device", "cpu", "--case", "argmax/", "--report", report]);
    assert_eq!(code, 0, "{out}{err}");
    let json = std::fs::read_to_string(dir.path().join("report.json")).unwrap();
    let report = unisono_conformance::report::Report::from_json(&json).unwrap();
    let first = &report.devices[0].results[0];
    assert!(first.id.starts_with("argmax/") && report.passed());
    let html = std::fs::read_to_string(dir.path().join("report.html")).unwrap();
    assert!(html.contains("argmax") && html.contains("</html>"));
    let (code, out, _) = run(&["check", "--device", "cpu", "--case", &first.id]);
    assert!(code == 0 && out.contains(&first.id), "{out}");
}

#[test]
fn logits_of_every_position() {
    let base = ["logits", "--device", "cpu", "--tokens", "0,5,9"];
    let json = |more: &[&str]| {
        let (code, out, err) = run(&[&base[..], &["--json"], more].concat());
        assert_eq!(code, 0, "{out}{err}");
        serde_json::from_str::<serde_json::Value>(&out).unwrap()
    };
    let found = json(&[]);
    assert_eq!((found["model"].as_str(), found["device_id"].as_str()), (Some("tiny-llama"), Some("cpu")));
    assert_eq!((&found["tokens"], &found["shape"]), (&serde_json::json!([0, 5, 9]), &serde_json::json!([3, 1024])));
    let rows = found["logits"].as_array().unwrap();
    assert_eq!((rows.len(), rows[2].as_array().unwrap().len()), (3, 1024));
    // The cache rounds, so its type is seen in the last row and not in the first digits.
    let (a, b) = (rows[2][7].as_f64().unwrap(), json(&["--cache-dtype", "bf16"])["logits"][2][7].as_f64().unwrap());
    assert!(a != b && (a - b).abs() < 0.1, "{a} {b}");

    let (code, out, _) = run(&base);
    let logits: Vec<f64> = rows[2].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    let best = (0..1024).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
    let last = out.lines().rev().nth(1).unwrap();
    assert!(code == 0 && last.contains(&format!("{best} ")), "{best}: {out}");

    fails(&["logits", "--device", "cpu", "--tokens", "0,1024"], 2, &["1024 is outside the vocabulary"]);
    fails(&["logits", "--device", "cpu", "--tokens", "x"], 2, &["--tokens"]);
    fails(&["logits", "--device", "cpu"], 2, &["--tokens"]);
    fails(&["logits", "--device", "cpu", "--tokens", "0", "--cache-dtype", "u32"], 2, &["bf16 and q8_0 are possible"]);
}
