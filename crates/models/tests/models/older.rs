//! Folders without `tokenizer.json` against transformers: `tests/tokenizers/older.json`, which
//! `scripts/older_goldens.py` writes; and those that are not read.

use std::path::Path;

use serde_json::{Value, json};
use unisono_models::Tokenizer;

use crate::vocabularies::golden;

fn write(dir: &Path, name: &str, content: &Value) {
    let text = content.as_str().map_or_else(|| content.to_string(), str::to_owned);
    std::fs::write(dir.join(name), text).unwrap();
}

fn numbers(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn vocab_and_merges_are_read_as_transformers_reads_them() {
    let golden = golden("older");
    let texts = golden["texts"].as_array().unwrap();
    let cases = golden["cases"].as_array().unwrap();
    for case in cases {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "vocab.json", &golden["vocab"]);
        write(dir.path(), "merges.txt", &golden["merges"]);
        write(dir.path(), "config.json", &json!({"model_type": case["model_type"]}));
        if !case["tokenizer_config"].is_null() {
            write(dir.path(), "tokenizer_config.json", &case["tokenizer_config"]);
        }
        for (name, content) in case["files"].as_object().unwrap() {
            write(dir.path(), name, content);
        }
        let about = format!("{} {}", case["model_type"], case["tokenizer_config"]);
        let tokenizer = Tokenizer::from_dir(dir.path()).unwrap().unwrap();
        assert_eq!(tokenizer.vocab_size() as u64, case["size"].as_u64().unwrap(), "{about}");
        for ((text, ids), decoded) in
            texts.iter().zip(case["ids"].as_array().unwrap()).zip(case["decoded"].as_array().unwrap())
        {
            let found = tokenizer.encode(text.as_str().unwrap(), false).unwrap();
            assert_eq!(found, numbers(ids), "{about}: {text}");
            assert_eq!(tokenizer.decode(&found).unwrap(), decoded.as_str().unwrap(), "{about}: {text}");
        }
        assert_eq!(tokenizer.encode("the fox", true).unwrap(), numbers(&case["around"]), "{about}");
    }
    assert!(cases.len() >= 10 && texts.len() >= 100);
}

#[test]
fn what_is_not_read_is_named_with_what_to_do() {
    let fails = |files: &[(&str, Value)], parts: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            write(dir.path(), name, content);
        }
        let error = Tokenizer::from_dir(dir.path()).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
    };
    let text = |text: &str| Value::from(text);
    for (name, what) in
        [("tokenizer.model", "SentencePiece"), ("spiece.model", "SentencePiece"), ("vocab.txt", "WordPiece")]
    {
        fails(&[(name, text("x"))], &[name, what, "save_pretrained"]);
    }
    fails(&[("vocab.json", json!({"a": 0}))], &["vocab.json", "merges.txt", "save_pretrained"]);
    let bpe = |more: &[(&'static str, Value)]| {
        let vocab = json!({"a": 0, "b": 1, "ab": 2});
        [&[("vocab.json", vocab), ("merges.txt", text("#version: 0.2\na b\n"))], more].concat()
    };
    fails(&bpe(&[]), &["vocab.json and merges.txt", "save_pretrained"]);
    fails(&bpe(&[("config.json", json!({"model_type": "roberta"}))]), &["roberta", "GPT2Tokenizer", "save_pretrained"]);
    let class = |class: &str| ("tokenizer_config.json", json!({"tokenizer_class": class}));
    fails(&bpe(&[class("BartTokenizer")]), &["BartTokenizer", "save_pretrained"]);
    let gpt2 = |more: &[(&'static str, Value)]| bpe(&[&[class("GPT2Tokenizer")], more].concat());
    fails(&gpt2(&[("merges.txt", text("#version: 0.2\na b c\n"))]), &["merges.txt", "line 2"]);
    fails(&gpt2(&[("merges.txt", text("a x\n"))]), &["tokenizer.json", "x"]);
    fails(&gpt2(&[("vocab.json", json!({"a": -1}))]), &["vocab.json", "-1"]);
    fails(&gpt2(&[("vocab.json", json!([]))]), &["vocab.json", "no object"]);
    fails(&gpt2(&[("vocab.json", text("{"))]), &["vocab.json"]);
    fails(&gpt2(&[("added_tokens.json", json!({"<x>": 7}))]), &["<x>", "7", "3"]);
    let dir = tempfile::tempdir().unwrap();
    assert!(Tokenizer::from_dir(dir.path()).unwrap().is_none());
}
