//! The commands that run a model: what they print for people and for machines.

mod common;

use std::path::Path;

use common::{assert_fails, command, finish};
use serde_json::Value;

/// Exit code, standard output, standard error.
fn run_with(arguments: &[&str], input: &[u8]) -> (i32, String, String) {
    finish(command(arguments).env("UNISONO_DEVICE", "cpu"), input)
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    run_with(arguments, b"")
}

fn json(arguments: &[&str]) -> Value {
    let (code, out, err) = run(arguments);
    assert_eq!(code, 0, "{out}{err}");
    assert!(!err.contains('\u{1b}'), "a progress bar without a terminal: {err}");
    serde_json::from_str(&out).unwrap()
}

#[track_caller]
fn fails(arguments: &[&str], code: i32, parts: &[&str]) {
    assert_fails(arguments, &run(arguments), code, parts);
}

const BASE: [&str; 5] = ["generate", "--prompt", "Once upon a time", "--max-tokens", "24"];

fn generate<'a>(more: &[&'a str]) -> Vec<&'a str> {
    BASE.iter().chain(more).copied().collect()
}

#[test]
fn a_text_as_json_is_the_text_as_printed() {
    let (code, printed, err) = run(&BASE);
    assert!(code == 0 && err.contains("tokens/s"), "{err}");
    let found = json(&generate(&["--json"]));
    assert_eq!(printed, format!("Once upon a time{}\n", found["text"].as_str().unwrap()));
    assert_eq!((found["stop"].as_str(), found["stop_string"].as_str()), (Some("max-tokens"), None));
    assert_eq!((found["device_id"].as_str(), found["model"].as_str()), (Some("cpu"), Some("tiny-llama")));
    assert_eq!(found["tokens"].as_array().unwrap().len(), 24);
    assert!(found["decode_tokens_per_second"].as_f64().unwrap() > 0.0);
    // The prompt from standard input, with the line break that an editor leaves.
    let (code, piped, _) = run_with(&["generate", "--max-tokens", "24"], b"Once upon a time\n");
    assert_eq!((code, piped), (0, printed));
}

#[test]
fn sampling_options_reach_the_engine() {
    let text = |more: &[&str]| json(&generate(&[&["--json"], more].concat()))["text"].as_str().unwrap().to_owned();
    let greedy = text(&[]);
    let warm = ["--temperature", "1.2", "--seed", "5"];
    assert_eq!(text(&warm), text(&warm));
    assert_ne!(text(&warm), greedy);
    assert_ne!(text(&warm), text(&["--temperature", "1.2", "--seed", "6"]));
    for filter in [["--top-k", "1"], ["--top-p", "0.000001"], ["--min-p", "1"]] {
        assert_eq!(text(&[&warm[..], &filter].concat()), greedy, "{filter:?} leaves one token");
    }
    assert_ne!(text(&["--repetition-penalty", "1.8"]), greedy);
    let stop = &greedy[10..14];
    let found = json(&generate(&["--json", "--stop", "\u{1}", "--stop", stop]));
    assert_eq!((found["stop"].as_str(), found["stop_string"].as_str()), (Some("stop-string"), Some(stop)));
    assert_eq!(found["text"].as_str().unwrap(), &greedy[..greedy.find(stop).unwrap()]);
    let full = json(&generate(&["--json", "--context", "8"]));
    assert_eq!(full["stop"].as_str(), Some("context-full"));
    assert_eq!(json(&generate(&["--json", "--cache-dtype", "f16"]))["tokens"].as_array().unwrap().len(), 24);
}

#[test]
fn options_that_make_no_sense_exit_with_2() {
    fails(&generate(&["--temperature=-1"]), 2, &["temperature is -1"]);
    fails(&generate(&["--top-p", "0"]), 2, &["top-p is 0"]);
    fails(&generate(&["--min-p", "2"]), 2, &["min-p is 2"]);
    fails(&generate(&["--repetition-penalty", "0"]), 2, &["repetition-penalty is 0"]);
    fails(&generate(&["--stop", ""]), 2, &["--stop"]);
    fails(&generate(&["--context", "0"]), 2, &["--context"]);
    fails(&["generate"], 2, &["standard input"]);
    fails(&generate(&["--context", "4096"]), 1, &["context_len is 4096", "1 to 512"]);
    fails(&generate(&["--cache-dtype", "q8_0"]), 1, &["32 does not divide head_dim 16"]);
    let text = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/perplexity/text.txt");
    fails(&["perplexity", "nowhere.txt"], 2, &["nowhere.txt"]);
    fails(&["perplexity", text, "--window", "1"], 2, &["--window", "from 2 to"]);
    fails(&["perplexity", text, "--window", "64", "--stride", "64"], 2, &["--stride is 64", "1 to 63"]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bytes");
    std::fs::write(&path, [b'a', 0xff]).unwrap();
    fails(&["perplexity", path.to_str().unwrap()], 2, &["is not UTF-8"]);
    std::fs::write(&path, "").unwrap();
    fails(&["perplexity", path.to_str().unwrap()], 2, &["two are needed"]);
}

#[test]
fn perplexity_is_that_of_transformers() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/perplexity");
    let golden: Value = serde_json::from_slice(&std::fs::read(dir.join("golden.json")).unwrap()).unwrap();
    let text = dir.join("text.txt");
    let number = |value: &Value, name: &str| value[name].as_f64().unwrap();
    let runs = golden["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 4);
    for run in runs {
        let (window, stride) = (run["window"].to_string(), run["stride"].to_string());
        let found = json(&["perplexity", text.to_str().unwrap(), "--window", &window, "--stride", &stride, "--json"]);
        assert_eq!((&found["tokens"], &found["scored"]), (&golden["tokens"], &run["scored"]));
        for name in ["mean", "mean_error"] {
            let (is, should) = (number(&found, name), number(run, name));
            assert!((is - should).abs() < 2e-5 * should, "window {window}: {name} is {is}, not {should}");
        }
        let value = number(run, "mean").exp();
        assert!((number(&found, "perplexity") - value).abs() < 1e-3 * value);
    }
    let (code, out, _) = run(&["perplexity", text.to_str().unwrap()]);
    let value = format!("perplexity {:.2}", number(&runs[0], "mean").exp());
    assert!(code == 0 && out.starts_with(&value) && out.contains("window 512, stride 256"), "{value}: {out}");
}
