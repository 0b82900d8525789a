//! Checkpoints that say something twice, wrongly or not at all: they load as transformers loads them,
//! and a note says what was decided. Directories and logits are from `scripts/loading_goldens.py`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use unisono_models::{Model, ModelOptions, Source};

use crate::tiny;

#[derive(Deserialize)]
struct Goldens {
    tokens: Vec<u32>,
    logits: BTreeMap<String, Vec<f32>>,
}

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/loading")
}

fn load(path: &Path) -> Result<Model, String> {
    let source = Source::open(path).map_err(|e| e.to_string())?;
    Model::load(&tiny::device(), &source, &ModelOptions::default()).map_err(|e| e.to_string())
}

/// What is noted of each case; nothing of the others.
const NOTES: [(&str, &[&str]); 6] = [
    ("tied-other-head", &["tie_word_embeddings is true", "lm_head.weight", "the stored output projection is used"]),
    ("gpt2-tied-other-head", &["lm_head.weight with other values than transformer.wte.weight"]),
    (
        "special-tokens-outside",
        &["config.json: eos_token_id 50256 is outside the vocabulary of 30", "bos_token_id 50256"],
    ),
    ("special-token-negative", &["eos_token_id -1 is outside", "bos_token_id -1 is outside"]),
    ("single-and-index", &["has model.safetensors and model.safetensors.index.json; the former is taken"]),
    ("overlay", &["1 tensors are in more files", "mlp.down_proj.weight in model-overlay.safetensors and model-base"]),
];

#[test]
fn checkpoints_load_as_in_transformers_and_say_what_was_decided() {
    let goldens: Goldens = serde_json::from_slice(&std::fs::read(dir().join("goldens.json")).unwrap()).unwrap();
    assert_eq!(goldens.logits.len(), 12);
    for (case, expected) in &goldens.logits {
        let model = load(&dir().join(case)).unwrap_or_else(|e| panic!("{case}: {e}"));
        let logits = model.session().unwrap().prefill(&goldens.tokens).unwrap();
        let worst = logits.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(logits.len() == expected.len() && worst < 2e-5, "{case}: off by {worst}");
        let notes = model.notes().join("\n");
        match NOTES.iter().find(|(name, _)| name == case) {
            Some((_, parts)) => parts.iter().for_each(|part| assert!(notes.contains(part), "{case}: {notes}")),
            // GPT-2 has default tokens outside of its small vocabulary.
            None if case == "no-context" => {
                assert!(notes.contains("max_position_embeddings is not there; 2048"), "{notes}");
            }
            None => assert_eq!(notes, "", "{case}"),
        }
    }
}

#[test]
fn special_tokens_in_the_vocabulary_stay() {
    let model = load(&dir().join("special-token-negative")).unwrap();
    assert_eq!((&model.config().eos_token_ids[..], &model.config().bos_token_ids[..]), (&[2][..], &[][..]));
    let generation = br#"{"eos_token_id": [7, 30, -1]}"#;
    let source = Source::open(dir().join("tied")).unwrap().with_generation_config(&generation[..]);
    let model = Model::load(&tiny::device(), &source, &ModelOptions::default()).unwrap();
    assert_eq!(model.config().eos_token_ids, [2, 7]);
    let notes = model.notes().join("\n");
    for part in ["generation_config.json: eos_token_id 30 is outside the vocabulary of 30", "eos_token_id -1"] {
        assert!(notes.contains(part), "{notes}");
    }
}

#[test]
fn a_long_context_is_no_reason_to_refuse() {
    let source = Source::open(dir().join("long-context")).unwrap();
    assert_eq!(source.config().unwrap().max_position_embeddings, 10_485_760);
    for context_len in [100, 1 << 21] {
        let options = ModelOptions { context_len: Some(context_len), ..ModelOptions::default() };
        let model = Model::load(&tiny::device(), &source, &options).unwrap();
        assert_eq!(model.context_len(), context_len);
    }
}

/// An index names a file; one shard of it stands for the whole, `model.safetensors` for itself.
#[test]
fn a_shard_stands_for_its_checkpoint_and_a_single_file_for_itself() {
    let logits = |path: &Path| load(path).unwrap().session().unwrap().prefill(&[3, 17]).unwrap();
    let overlay = dir().join("overlay");
    for shard in ["model-base.safetensors", "model-overlay.safetensors"] {
        assert_eq!(logits(&overlay.join(shard)), logits(&overlay));
    }
    let both = dir().join("single-and-index");
    assert_eq!(logits(&both.join("model.safetensors")), logits(&both));
    assert_ne!(logits(&both.join("old.safetensors")), logits(&both));
}

fn copy(case: &str) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir().join(case)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}

const POINTER: &str = "version https://git-lfs.github.com/spec/v1\n\
    oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 438\n";

#[test]
fn pointers_of_git_lfs_are_named_in_every_place() {
    for name in [
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "generation_config.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "modules.json",
    ] {
        let copy = copy("tied");
        std::fs::write(copy.path().join(name), POINTER).unwrap();
        let message = load(copy.path()).unwrap_err();
        let parts = [name, "is a Git LFS pointer to a file of 438 bytes", "git lfs pull"];
        parts.iter().for_each(|part| assert!(message.contains(part), "{name}: {message}"));
    }
    let overlay = copy("overlay");
    for name in ["model-overlay.safetensors", "model.safetensors.index.json"] {
        std::fs::write(overlay.path().join(name), POINTER).unwrap();
        let message = load(overlay.path()).unwrap_err();
        assert!(message.contains(name) && message.contains("Git LFS"), "{message}");
    }
    let gguf = overlay.path().join("model.gguf");
    std::fs::write(&gguf, POINTER).unwrap();
    assert!(load(&gguf).unwrap_err().contains("model.gguf is a Git LFS pointer"));
    std::fs::write(&gguf, "\n<!DOCTYPE html><title>Sign in</title>").unwrap();
    assert!(load(&gguf).unwrap_err().contains("model.gguf is a web page"));

    // The same from memory.
    let pointer = || POINTER.as_bytes().to_vec();
    let weights = |bytes| vec![("model.safetensors".to_owned(), std::borrow::Cow::Owned(bytes))];
    let good = || tiny::safetensors(&tiny::tensors());
    let config = || tiny::config_json("").into_bytes();
    for (source, name) in [
        (Source::from_bytes("tiny", config(), weights(pointer())), "model.safetensors"),
        (Source::from_bytes("tiny", pointer(), weights(good())), "config.json"),
        (Source::from_bytes("tiny", config(), weights(good())).with_tokenizer(pointer()), "tokenizer.json"),
        (
            Source::from_bytes("tiny", config(), weights(good())).with_generation_config(pointer()),
            "generation_config.json",
        ),
    ] {
        let message = Model::load(&tiny::device(), &source, &ModelOptions::default()).unwrap_err().to_string();
        assert!(message.contains(name) && message.contains("Git LFS"), "{message}");
    }
    let message = Source::from_gguf_bytes("m", vec![("m.gguf".to_owned(), pointer().into())]).unwrap_err().to_string();
    assert!(message.contains("m.gguf is a Git LFS pointer"), "{message}");
}

#[test]
fn weights_in_other_forms_are_named_with_what_to_do() {
    let cases: [(&str, &[&str]); 6] = [
        ("pytorch_model.bin", &["pytorch_model.bin", "safetensors and GGUF", "save_pretrained"]),
        ("pytorch_model.bin.index.json", &["pytorch_model.bin.index.json", "save_pretrained"]),
        ("tf_model.h5", &["tf_model.h5", "save_pretrained"]),
        ("consolidated.00.pth", &["consolidated.00.pth", "save_pretrained"]),
        ("adapter_model.safetensors", &["an adapter (adapter_model.safetensors)", "merge_and_unload"]),
        ("model.fp16.safetensors", &["no model.safetensors, but model.fp16.safetensors"]),
    ];
    for (name, parts) in cases {
        let copy = copy("tied");
        std::fs::rename(copy.path().join("model.safetensors"), copy.path().join(name)).unwrap();
        let message = load(copy.path()).unwrap_err();
        parts.iter().for_each(|part| assert!(message.contains(part), "{name}: {message}"));
        if !name.contains("safetensors") && !name.ends_with("json") {
            let message = load(&copy.path().join(name)).unwrap_err();
            assert!(message.contains(name) && message.contains("save_pretrained"), "{message}");
        }
    }
    let empty = copy("tied");
    std::fs::remove_file(empty.path().join("model.safetensors")).unwrap();
    assert!(load(empty.path()).unwrap_err().contains("model.safetensors does not exist"));
}

#[test]
fn of_two_formats_in_a_directory_one_is_taken_and_named() {
    let copy = copy("tied");
    std::fs::write(copy.path().join("model-q4.gguf"), crate::tiny_gguf::tiny_llama().bytes()).unwrap();
    let model = load(copy.path()).unwrap();
    assert_eq!(model.config().vocab_size, 30);
    assert!(model.notes()[0].contains("has safetensors files and model-q4.gguf; the former are taken"));
}
