//! `unisono tokenize`: text to tokens and back on the command line.

mod common;

use std::path::Path;

use common::{command, finish};

/// Exit code, standard output, standard error.
fn run(arguments: &[&str], input: &str) -> (i32, String, String) {
    finish(&mut command(&[&["tokenize"], arguments].concat()), input.as_bytes())
}

fn json(arguments: &[&str], input: &str) -> serde_json::Value {
    let (code, out, err) = run(&[arguments, &["--json"]].concat(), input);
    assert_eq!(code, 0, "{out}{err}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn text_becomes_tokens_and_text_again() {
    let text = "Once upon a time, 東京\n";
    let found = json(&[], text);
    assert_eq!((found["model"].as_str(), found["text"].as_str()), (Some("tiny-llama"), Some(text)));
    let tokens: Vec<u64> = found["tokens"].as_array().unwrap().iter().map(|t| t.as_u64().unwrap()).collect();
    assert_eq!(found["pieces"].as_array().unwrap().len(), tokens.len());
    assert_eq!(json(&["--text", text], "")["tokens"], found["tokens"]);
    let list = tokens.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let (code, out, err) = run(&["--decode", &list], "");
    assert_eq!((code, out.as_str()), (0, format!("{text}\n").as_str()), "{err}");

    let (_, out, _) = run(&["--text", "Once upon"], "");
    let first: Vec<u64> = out.lines().map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect();
    assert_eq!(first, tokens[..first.len()]);
}

#[test]
fn special_tokens_are_added_and_read_on_request() {
    let length = |arguments: &[&str]| json(arguments, "")["tokens"].as_array().unwrap().len();
    let (plain, special) = (length(&["--text", "a"]), length(&["--text", "a", "--special"]));
    assert!(special > plain, "{special} {plain}");
    let ids = json(&["--text", "a", "--special"], "")["tokens"].clone();
    let begin = ids[0].as_u64().unwrap().to_string();
    let spelled = run(&["--decode", &begin, "--special"], "").1;
    let spelled = spelled.trim_end();
    assert!(!spelled.is_empty() && run(&["--decode", &begin], "").1 == "\n");
    assert_eq!(json(&["--text", spelled], "")["tokens"], serde_json::json!([ids[0]]));
    assert!(length(&["--text", spelled, "--plain"]) > 1);
}

#[test]
fn what_is_wrong_is_named() {
    let fails = |arguments: &[&str], code: i32, part: &str| {
        let (found, out, err) = run(arguments, "");
        assert!(found == code && err.contains(part) && !err.contains("panicked"), "{arguments:?}: {found} {out}{err}");
    };
    fails(&["--decode", "1,x"], 2, "\"x\"");
    fails(&["--decode", "1,99999"], 2, "99999 is outside the vocabulary");
    fails(&["--decode", "1", "--text", "a"], 2, "--text");
    fails(&["--model", "nowhere"], 1, "nowhere");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokenizer.json");
    std::fs::write(&file, "{}").unwrap();
    for path in [dir.path(), &file] {
        fails(&["--model", path.to_str().unwrap()], 1, "tokenizer.json");
    }
}

#[test]
fn a_tokenizer_needs_no_weights() {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/assets/tiny-llama/tokenizer.json");
    let expected = json(&["--text", "the fox"], "");
    let found = json(&["--text", "the fox", "--model", from.to_str().unwrap()], "");
    assert_eq!(found["tokens"], expected["tokens"]);
}

/// Tables have more rows than vocabularies have tokens, for padding: what no token is decodes to nothing,
/// as in transformers. Beyond the table is an error.
#[test]
fn rows_without_a_token_decode_to_nothing() {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/assets/tiny-llama");
    let dir = tempfile::tempdir().unwrap();
    let copy = |name: &str| std::fs::copy(assets.join(name), dir.path().join(name)).unwrap();
    copy("tokenizer.json");
    let path = dir.path().to_str().unwrap();
    let size = 100_000;
    let config = |json: serde_json::Value| std::fs::write(dir.path().join("config.json"), json.to_string()).unwrap();
    let ids = json(&["--text", "the fox"], "")["tokens"].clone();
    let ids: Vec<String> = ids.as_array().unwrap().iter().map(ToString::to_string).collect();
    let list = format!("99998,{},99999", ids.join(","));
    for given in [serde_json::json!({"vocab_size": size}), serde_json::json!({"text_config": {"vocab_size": size}})] {
        config(given);
        let (code, out, err) = run(&["--model", path, "--decode", &list], "");
        assert_eq!((code, out.as_str()), (0, "the fox\n"), "{err}");
        let found = json(&["--model", path, "--decode", &list], "");
        assert_eq!(
            (&found["pieces"][0], found["tokens"].as_array().unwrap().len()),
            (&serde_json::Value::Null, ids.len() + 2)
        );
        let (code, _, err) = run(&["--model", path, "--decode", "1,100000"], "");
        assert!(code == 2 && err.contains("100000 is outside the vocabulary of 100000"), "{code} {err}");
    }
    // Without a model, the tokenizer alone says what there is.
    let file = dir.path().join("tokenizer.json");
    let (code, _, err) = run(&["--model", file.to_str().unwrap(), "--decode", "99999"], "");
    assert!(code == 2 && err.contains("99999 is outside the vocabulary"), "{code} {err}");
}

#[test]
fn folders_without_tokenizer_json_are_read_or_explained() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("tokenizer.model", "x");
    let (code, _, err) = run(&["--model", path, "--text", "a"], "");
    assert!(code == 1 && err.contains("SentencePiece") && err.contains("save_pretrained"), "{code} {err}");
    write("vocab.json", r#"{"a": 0, "b": 1, "ab": 2}"#);
    write("merges.txt", "#version: 0.2\na b\n");
    write("config.json", r#"{"model_type": "gpt2"}"#);
    assert_eq!(json(&["--model", path, "--text", "abba"], "")["tokens"], serde_json::json!([2, 1, 0]));
}
