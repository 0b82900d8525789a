//! The command as a child process: how it ended and what it printed. Shared by all tests of the
//! command line, of which each is a crate of its own and uses what it needs.
#![allow(dead_code)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// The command, without colours.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unisono"));
    command.args(arguments).env("NO_COLOR", "1");
    command
}

/// Runs a command with this standard input: exit code, standard output, standard error.
pub(crate) fn finish(command: &mut Command, input: &[u8]) -> (i32, String, String) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that refuses its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Runs the command without input: exit code, standard output, standard error.
pub(crate) fn run(arguments: &[&str]) -> (i32, String, String) {
    finish(&mut command(arguments), b"")
}

/// Holds a result to an exit code, and to an error that has these parts.
#[track_caller]
pub(crate) fn assert_fails(arguments: &[&str], result: &(i32, String, String), code: i32, parts: &[&str]) {
    let (actual, out, err) = result;
    assert_eq!(*actual, code, "{arguments:?}: {out}{err}");
    assert!(!err.contains("panicked"), "{err}");
    for part in parts {
        assert!(err.contains(part), "{arguments:?}: '{part}' is not in: {err}");
    }
}

/// Runs the command, which fails with this exit code and names these parts.
#[track_caller]
pub(crate) fn fails(arguments: &[&str], code: i32, parts: &[&str]) {
    assert_fails(arguments, &run(arguments), code, parts);
}

/// Puts the embedded model as files into a directory.
pub(crate) fn copy_model(to: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/assets/tiny-llama");
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

/// Writes an encoder with small weights and a vocabulary of a few words into a directory.
pub(crate) fn write_encoder(to: &Path) {
    const HIDDEN: usize = 32;
    let words = ["[PAD]", "[UNK]", "once", "upon", "a", "time"];
    let config = serde_json::json!({
        "architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu", "layer_norm_eps": 1e-12,
        "max_position_embeddings": 16, "type_vocab_size": 2, "pad_token_id": 0, "hidden_size": HIDDEN,
        "intermediate_size": HIDDEN, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": words.len(),
    });
    let mut tensors: Vec<(String, Vec<usize>)> = Vec::new();
    for (table, rows) in [("word", words.len()), ("position", 16), ("token_type", 2)] {
        tensors.push((format!("embeddings.{table}_embeddings.weight"), vec![rows, HIDDEN]));
    }
    let square = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"];
    for name in square.into_iter().chain(["intermediate.dense", "output.dense"]) {
        tensors.push((format!("encoder.layer.0.{name}.weight"), vec![HIDDEN, HIDDEN]));
        tensors.push((format!("encoder.layer.0.{name}.bias"), vec![HIDDEN]));
    }
    for norm in ["embeddings.", "encoder.layer.0.attention.output.", "encoder.layer.0.output."] {
        tensors.push((format!("{norm}LayerNorm.weight"), vec![HIDDEN]));
        tensors.push((format!("{norm}LayerNorm.bias"), vec![HIDDEN]));
    }
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape) in &tensors {
        let begin = data.len();
        for i in 0..shape.iter().product::<usize>() {
            let value = ((i * 37 + begin) % 101) as f32 / 101.0 - 0.5;
            data.extend(value.to_le_bytes());
        }
        let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, data.len()]});
        header.insert(name.clone(), entry);
    }
    let header = serde_json::Value::from(header).to_string();
    let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
    let vocabulary: serde_json::Map<_, _> =
        words.iter().enumerate().map(|(i, word)| ((*word).to_owned(), i.into())).collect();
    let tokenizer = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": vocabulary},
    });
    std::fs::write(to.join("config.json"), config.to_string()).unwrap();
    std::fs::write(to.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    std::fs::write(to.join("model.safetensors"), file).unwrap();
}
