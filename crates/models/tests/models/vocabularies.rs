//! Tokenizers from GGUF metadata against independent implementations: the files of
//! `tests/tokenizers`, which `scripts/tokenizer_goldens.py` writes.

use std::path::PathBuf;

use serde_json::Value;
use unisono_models::{Detokenizer, Tokenizer, Vocabulary};

/// Directory of the golden files; another one with more texts can be named.
fn directory() -> PathBuf {
    let own = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tokenizers");
    std::env::var_os("UNISONO_TOKENIZER_GOLDENS").map_or_else(own, PathBuf::from)
}

pub(crate) fn golden(name: &str) -> Value {
    let path = directory().join(format!("{name}.json"));
    let json = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&json).unwrap()
}

fn numbers(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u32).collect()
}

/// The vocabulary as a file's reader would fill it.
pub(crate) fn vocabulary(json: &Value) -> Vocabulary {
    let strings = |key: &str| {
        let list = json[key].as_array().into_iter().flatten();
        list.map(|v| v.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let id = |key: &str| json[key].as_u64().map(|id| id as u32);
    let list = |key: &str| json.get(key).map(numbers).unwrap_or_default();
    Vocabulary {
        model: json["model"].as_str().unwrap().into(),
        pre: json["pre"].as_str().map(str::to_owned),
        tokens: strings("tokens"),
        scores: json["scores"].as_array().into_iter().flatten().map(|v| v.as_f64().unwrap() as f32).collect(),
        types: list("types"),
        merges: strings("merges"),
        bos_id: id("bos_id"),
        eos_id: id("eos_id"),
        unk_id: id("unk_id"),
        cls_id: id("cls_id"),
        sep_id: id("sep_id"),
        add_bos: json["add_bos"].as_bool(),
        add_eos: json["add_eos"].as_bool(),
        add_space_prefix: json["add_space_prefix"].as_bool(),
        remove_extra_whitespaces: json["remove_extra_whitespaces"].as_bool(),
        precompiled_charsmap: list("precompiled_charsmap").into_iter().map(|b| b as u8).collect(),
        ..Vocabulary::default()
    }
}

/// How decoded text relates to the text.
enum Round {
    /// It is the text.
    Same,
    /// It is the text with spaces where it has `▁`.
    Spaces,
    /// It is the text for texts already in this form.
    Normalised,
    /// Normalising loses too much to compare.
    Lossy,
}

fn check(name: &str, round: &Round) {
    let (golden, texts) = (golden(name), golden("texts"));
    let tokenizer = Tokenizer::from_gguf(&vocabulary(&golden["vocabulary"])).unwrap();
    let tokens = golden["vocabulary"]["tokens"].as_array().unwrap();
    assert_eq!(tokenizer.vocab_size(), tokens.len());
    let (texts, plain) = (texts.as_array().unwrap(), golden["plain"].as_array().unwrap());
    assert_eq!(texts.len(), plain.len());
    assert!(texts.len() >= 300, "{} texts", texts.len());
    let (mut wrong, mut skipped) = (Vec::new(), 0);
    for (text, expected) in texts.iter().zip(plain) {
        if expected.is_null() {
            skipped += 1;
            continue;
        }
        let (text, expected) = (text.as_str().unwrap(), numbers(expected));
        let found = tokenizer.encode_text(text, false).unwrap();
        if found != expected {
            wrong.push(format!("{text:?}: {found:?}, expected {expected:?}"));
            continue;
        }
        let mut stream = Detokenizer::new(&tokenizer);
        let mut streamed: String = found.iter().map(|&token| stream.push(token).unwrap()).collect();
        streamed += &stream.finish().unwrap();
        assert_eq!(streamed, tokenizer.decode(&found).unwrap(), "{text:?} as a stream");
        let unknown = golden["vocabulary"]["unk_id"].as_u64().is_some_and(|id| found.contains(&(id as u32)));
        match round {
            Round::Same => assert_eq!(streamed, text),
            Round::Spaces if !unknown => assert_eq!(streamed, text.replace('▁', " ")),
            Round::Normalised if !unknown => {
                let again = tokenizer.encode_text(&streamed, false).unwrap();
                assert_eq!(again, found, "{text:?} decodes to {streamed:?}");
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{name}: {} of {} texts differ\n{}", wrong.len(), texts.len(), wrong.join("\n"));
    assert!(skipped * 50 <= texts.len(), "{name}: {skipped} texts have no golden");
    for case in golden["special"].as_array().unwrap() {
        let (text, expected) = (case[0].as_str().unwrap(), numbers(&case[1]));
        assert_eq!(tokenizer.encode(text, false).unwrap(), expected, "{name}: {text:?}");
        // As plain text, no special token comes out, and the text is all there.
        let plain = tokenizer.encode_text(text, false).unwrap();
        let special =
            |id: u32| tokenizer.is_special(id) && Some(u64::from(id)) != golden["vocabulary"]["unk_id"].as_u64();
        assert!(!plain.iter().any(|&id| special(id)), "{text:?} is {plain:?}");
        if matches!(round, Round::Same | Round::Spaces) {
            assert_eq!(tokenizer.decode(&plain).unwrap(), text);
        }
    }
    for case in golden["decode"].as_array().unwrap() {
        assert_eq!(tokenizer.decode(&numbers(&case[0])).unwrap(), case[1].as_str().unwrap(), "{name}: {}", case[0]);
    }
    let (bos, eos) = (golden["vocabulary"]["bos_id"].as_u64(), golden["vocabulary"]["eos_id"].as_u64());
    let around = tokenizer.encode("the fox", true).unwrap();
    let inner = tokenizer.encode("the fox", false).unwrap();
    let expected: Vec<u32> = [vec![bos.unwrap() as u32], inner, vec![eos.unwrap() as u32]].concat();
    assert_eq!(around, expected, "{name}: what goes around a text");
}

#[test]
fn byte_level_of_gpt_2() {
    check("gpt-2", &Round::Same);
}

#[test]
fn byte_level_of_llama_3() {
    check("llama-bpe", &Round::Same);
    check("dbrx", &Round::Same);
}

#[test]
fn byte_level_of_qwen_2() {
    check("qwen2", &Round::Normalised);
    check("qwen35", &Round::Normalised);
}

#[test]
fn byte_level_of_others() {
    for name in ["tekken", "gpt-4o", "deepseek-v3", "deepseek-coder", "falcon", "starcoder"] {
        check(name, &Round::Same);
    }
}

#[test]
fn sentencepiece_with_bytes() {
    check("sentencepiece", &Round::Spaces);
    check("sentencepiece-gemma", &Round::Spaces);
}

#[test]
fn sentencepiece_without_bytes() {
    check("sentencepiece-no-bytes", &Round::Lossy);
    check("sentencepiece-nfkc", &Round::Lossy);
}

#[test]
fn unigram() {
    check("unigram", &Round::Spaces);
    check("unigram-t5", &Round::Lossy);
}

#[test]
fn wordpiece() {
    check("wordpiece", &Round::Lossy);
    check("wordpiece-cased", &Round::Lossy);
}

/// `tokenizer.ggml.normalizer.lowercase` and `.strip_accents`: what a file says goes before what its
/// tokens look like.
#[test]
fn wordpiece_reads_as_the_file_says() {
    let golden = golden("wordpiece-flags");
    let texts = golden["texts"].as_array().unwrap();
    let (mut results, mut compared) = (Vec::new(), 0);
    for case in golden["cases"].as_array().unwrap() {
        let (lowercase, strip_accents) = (case["lowercase"].as_bool(), case["strip_accents"].as_bool());
        let vocabulary = Vocabulary { lowercase, strip_accents, ..vocabulary(&golden["vocabulary"]) };
        let tokenizer = Tokenizer::from_gguf(&vocabulary).unwrap();
        for (text, expected) in texts.iter().zip(case["plain"].as_array().unwrap()) {
            if !expected.is_null() {
                let found = tokenizer.encode_text(text.as_str().unwrap(), false).unwrap();
                assert_eq!(found, numbers(expected), "{lowercase:?} {strip_accents:?} {text}");
                compared += 1;
            }
        }
        results.push(tokenizer.encode_text("Größe ÜBUNG HELLO", false).unwrap());
    }
    results.sort_unstable();
    results.dedup();
    // Four ways to read: nothing is said and false are one for this vocabulary.
    assert_eq!((compared > 1000, results.len()), (true, 4));
}
