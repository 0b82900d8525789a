//! Checkpoints as people have them: what the commands say of files that are odd, and that no command
//! prints what is not a number.

mod common;

use std::path::{Path, PathBuf};

use common::{assert_fails, command, copy_model, finish};
use serde_json::Value;

fn run(arguments: &[&str]) -> (i32, String, String) {
    finish(command(arguments).env("UNISONO_DEVICE", "cpu"), b"")
}

#[track_caller]
fn json(arguments: &[&str]) -> (Value, String) {
    let (code, out, err) = run(arguments);
    assert_eq!(code, 0, "{out}{err}");
    (serde_json::from_str(&out).unwrap(), err)
}

/// Directories with golden values of other implementations.
fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests")
}

/// The embedded model as files, with the first layer's norm and values 2¹⁰ times as large: f16 does not
/// hold what becomes of them.
fn large_model(to: &Path) {
    copy_model(to);
    let path = to.join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    for name in ["input_layernorm", "self_attn.v_proj"] {
        let entry = &header[&format!("model.layers.0.{name}.weight")];
        assert_eq!(entry["dtype"], "F16");
        let at = |i: usize| 8 + length + entry["data_offsets"][i].as_u64().unwrap() as usize;
        for value in bytes[at(0)..at(1)].as_chunks_mut::<2>().0 {
            let bits = u16::from_le_bytes(*value);
            if (1..20).contains(&(bits >> 10 & 31)) {
                *value = (bits + (10 << 10)).to_le_bytes();
            }
        }
    }
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn no_command_prints_what_is_not_a_number() {
    let dir = tempfile::tempdir().unwrap();
    large_model(dir.path());
    let text = dir.path().join("text.txt");
    std::fs::write(&text, "Once upon a time there was a fox.").unwrap();
    let (path, text) = (dir.path().to_str().unwrap(), text.to_str().unwrap());
    let f16 = ["--model", path, "--cache-dtype", "f16"];
    for base in [
        &["generate", "--prompt", "Once upon a time", "--max-tokens", "4"][..],
        &["generate", "--prompt", "Once upon a time", "--max-tokens", "4", "--temperature", "1", "--json"],
        &["logits", "--tokens", "3,4,5", "--json"],
        &["logits", "--tokens", "3,4,5"],
        &["perplexity", text, "--json"],
    ] {
        let arguments = [base, &f16].concat();
        let result = run(&arguments);
        assert_fails(&arguments, &result, 1, &["not finite", "after token", "cache is f16", "f32 or bf16"]);
        assert!(!result.1.contains("null"), "{}", result.1);
        // The same values are nothing special in f32.
        let arguments = [base, &["--model", path]].concat();
        let (code, out, err) = run(&arguments);
        // No text stopped it.
        let out = out.replace("\"stop_string\": null", "");
        assert!(code == 0 && !out.contains("null"), "{arguments:?}: {out}{err}");
    }
}

#[test]
fn what_was_decided_is_said_once_on_standard_error() {
    let path = models().join("loading/tied-other-head");
    let (found, err) = json(&["logits", "--model", path.to_str().unwrap(), "--tokens", "3,17,0,25,9", "--json"]);
    assert_eq!(found["shape"], serde_json::json!([5, 30]));
    let notes: Vec<&str> = err.lines().filter(|line| line.starts_with("note: ")).collect();
    assert!(notes.len() == 1 && notes[0].contains("the stored output projection is used"), "{err}");
    let path = models().join("loading/tied");
    let (_, err) = json(&["logits", "--model", path.to_str().unwrap(), "--tokens", "3", "--json"]);
    assert!(!err.contains("note: "), "{err}");
}

#[test]
fn prompts_of_a_model_go_before_its_texts() {
    let path = models().join("sentences/bert");
    let text = std::fs::read(models().join("sentences/bert.json")).unwrap();
    let golden: Value = serde_json::from_slice(&text).unwrap();
    let base = ["embed", "--model", path.to_str().unwrap(), "--text", "A cat sleeps on the warm sill.", "--json"];
    let instruct = "Instruct: find what answers the question.\nQuery: ";
    for (case, more, prompt) in [
        (0, &[][..], "passage: "),
        (1, &["--prompt-name", "query"], "query: "),
        (2, &["--prompt-name", "document"], ""),
        (4, &["--prompt", instruct], instruct),
        (5, &["--prompt", ""], ""),
    ] {
        let (found, _) = json(&[&base[..], more].concat());
        assert_eq!(found["prompt"], prompt);
        let numbers = |value: &Value| value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<_>>();
        let is = numbers(&found["embeddings"][0]["embedding"]);
        let should = numbers(&golden["cases"][case]["embeddings"][0]);
        let worst = is.iter().zip(&should).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(is.len() == should.len() && worst < 1e-5, "case {case}: off by {worst}");
    }
    let fails = |more: &[&str], parts: &[&str]| {
        let arguments = [&base[..], more].concat();
        assert_fails(&arguments, &run(&arguments), 2, parts);
    };
    fails(&["--prompt-name", "title"], &["--prompt-name", "there are document, passage, query"]);
    fails(&["--prompt-name", "query", "--prompt", "x"], &["--prompt-name"]);
}

/// A decoder embeds: by the last token, with the one that its tokenizer appends.
#[test]
fn a_decoder_embeds() {
    let path = models().join("sentences/qwen3");
    let text = std::fs::read(models().join("sentences/qwen3.json")).unwrap();
    let golden: Value = serde_json::from_slice(&text).unwrap();
    let base = ["embed", "--model", path.to_str().unwrap(), "--text", "What is a token?", "--json"];
    let (found, _) = json(&[&base[..], &["--prompt-name", "query"]].concat());
    let (is, should) = (&found["embeddings"][0]["embedding"], &golden["cases"][1]["embeddings"][2]);
    for (is, should) in is.as_array().unwrap().iter().zip(should.as_array().unwrap()) {
        assert!((is.as_f64().unwrap() - should.as_f64().unwrap()).abs() < 1e-5, "{is} is not {should}");
    }
    assert_eq!((found["normalized"].as_bool(), found["dimensions"].as_u64()), (Some(true), Some(32)));
}

#[test]
fn errors_say_what_a_file_is() {
    let dir = tempfile::tempdir().unwrap();
    copy_model(dir.path());
    let path = dir.path().to_str().unwrap();
    let arguments = ["logits", "--model", path, "--tokens", "1"];
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n";
    std::fs::write(dir.path().join("model.safetensors"), pointer).unwrap();
    assert_fails(&arguments, &run(&arguments), 1, &["model.safetensors is a Git LFS pointer", "git lfs pull"]);
    std::fs::rename(dir.path().join("model.safetensors"), dir.path().join("pytorch_model.bin")).unwrap();
    assert_fails(
        &arguments,
        &run(&arguments),
        1,
        &["has only pytorch_model.bin", "safetensors and GGUF", "transformers"],
    );
}
