//! `config.json`, and the files of sentence-transformers beside it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use unisono_models::{ModelConfig, Source};

fuzz_target!(|bytes: &[u8]| {
    let _ = ModelConfig::from_json(bytes);
    let source = || Source::from_bytes("fuzz", &b"{}"[..], Vec::new());
    let modules = br#"[{"path": "", "type": "Transformer"}, {"path": "1_Pooling", "type": "Pooling"}]"#;
    let _ = source().with_sentence_files(bytes, br#"{"pooling_mode": "mean"}"#, None);
    let _ = source().with_sentence_files(modules, bytes, Some(bytes));
    let with_pooling = source().with_sentence_files(modules, br#"{"pooling_mode": "mean"}"#, None);
    let _ = with_pooling.and_then(|source| source.with_sentence_prompts(bytes));
});
