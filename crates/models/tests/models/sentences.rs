//! Models for embedding as sentence-transformers saves them: prompts, pooling, length and case decide
//! about the vector as much as the network does. Models and vectors are from
//! `scripts/sentence_goldens.py`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use unisono_models::{Model, ModelOptions, Pooling, Source, TextEncoder};

use crate::tiny;

#[derive(Deserialize)]
struct Goldens {
    max_tokens: usize,
    texts: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    prompt: Option<String>,
    prompt_name: Option<String>,
    embeddings: Vec<Vec<f32>>,
}

fn dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sentences").join(name)
}

fn goldens(name: &str) -> Goldens {
    serde_json::from_slice(&std::fs::read(dir(&format!("{name}.json"))).unwrap()).unwrap()
}

fn load(source: &Source) -> TextEncoder {
    TextEncoder::load(&tiny::device(), source).unwrap()
}

/// The vectors of a case.
fn embed(encoder: &TextEncoder, texts: &[String], case: &Case) -> Vec<Vec<f32>> {
    let sentence = encoder.sentence().unwrap();
    let prompt = match &case.prompt {
        Some(prompt) => prompt,
        None => sentence.prompt(case.prompt_name.as_deref()).unwrap(),
    };
    let encoded: Vec<_> = texts.iter().map(|text| encoder.encode(text, prompt).unwrap()).collect();
    encoder.embed(&encoded.iter().collect::<Vec<_>>(), sentence.pooling, sentence.normalise).unwrap()
}

/// The largest difference of two lists of vectors.
fn apart(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, |worst, x| if x > worst || x.is_nan() { x } else { worst })
}

#[test]
fn vectors_are_those_of_sentence_transformers() {
    for (name, cases) in [("bert", 7), ("qwen3", 6)] {
        let golden = goldens(name);
        assert_eq!((golden.cases.len(), golden.texts.len()), (cases, 6));
        let encoder = load(&Source::open(dir(name)).unwrap());
        assert_eq!(encoder.max_tokens(), golden.max_tokens, "{name}");
        assert!(encoder.notes().is_empty(), "{:?}", encoder.notes());
        for (i, case) in golden.cases.iter().enumerate() {
            let found = embed(&encoder, &golden.texts, case);
            let worst = apart(&found, &case.embeddings);
            assert!(worst < 5e-6, "{name}, case {i}: off by {worst}");
        }
        // The prompt matters: the default one of BERT is no empty one, that of Qwen is.
        let plain = &golden.cases.iter().find(|case| case.prompt.as_deref() == Some("")).unwrap().embeddings;
        assert_eq!(apart(&golden.cases[0].embeddings, plain) > 0.01, name == "bert");
        assert!(apart(&golden.cases[1].embeddings, plain) > 0.01, "{name}");
    }
}

#[test]
fn texts_are_cut_before_what_ends_them() {
    for (name, last) in [("bert", 3), ("qwen3", 0)] {
        let golden = goldens(name);
        let encoder = load(&Source::open(dir(name)).unwrap());
        let long = encoder.encode(&golden.texts[5], "").unwrap();
        assert!(long.truncated && long.tokens.len() == golden.max_tokens, "{name}");
        let whole = encoder.tokenizer().unwrap().encode(&golden.texts[5], true).unwrap();
        assert_eq!(long.tokens[..golden.max_tokens - 1], whole[..golden.max_tokens - 1]);
        assert_eq!((long.tokens.last(), whole.last()), (Some(&last), Some(&last)));
        let short = encoder.encode("Yes", "").unwrap();
        assert!(!short.truncated && short.prompt == 0 && short.tokens.ends_with(&[last]));
    }
    // Where nothing ends a text, its first tokens are all there is.
    let json = std::fs::read(dir("qwen3").join("tokenizer.json")).unwrap();
    let mut tokenizer: serde_json::Value = serde_json::from_slice(&json).unwrap();
    tokenizer["post_processor"] = serde_json::Value::Null;
    let source = Source::open(dir("qwen3")).unwrap().with_tokenizer(tokenizer.to_string().into_bytes());
    let (encoder, text) = (load(&source), &goldens("qwen3").texts[5]);
    let whole = encoder.tokenizer().unwrap().encode(text, true).unwrap();
    assert_eq!(encoder.encode(text, "").unwrap().tokens, whole[..96]);
}

#[test]
fn prompts_that_are_not_there_are_named() {
    let encoder = load(&Source::open(dir("bert")).unwrap());
    let sentence = encoder.sentence().unwrap();
    assert_eq!((sentence.prompt(None).unwrap(), sentence.include_prompt), ("passage: ", false));
    assert_eq!((sentence.prompt(Some("query")).unwrap(), sentence.prompt(Some("document")).unwrap()), ("query: ", ""));
    let message = sentence.prompt(Some("title")).unwrap_err().to_string();
    assert!(message.contains(r#"no prompt "title"; there are document, passage, query"#), "{message}");

    let read = |name: &str| std::fs::read(dir("bert").join(name)).unwrap();
    let (modules, pooling) = (read("modules.json"), read("1_Pooling/config.json"));
    let with = |prompts: &str| {
        let source = Source::open(dir("bert")).unwrap().with_sentence_files(&modules, &pooling, None).unwrap();
        source.with_sentence_prompts(prompts.as_bytes())
    };
    assert_eq!(load(&with("{}").unwrap()).sentence().unwrap().prompt(None).unwrap(), "");
    let message = with(r#"{"prompts": {"a": "x"}, "default_prompt_name": "b"}"#).unwrap_err().to_string();
    for part in ["config_sentence_transformers.json", "default_prompt_name", "a, document, query"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(with(r#"{"prompts": {"a": 1}}"#).unwrap_err().to_string().contains("config_sentence_transformers.json"));
}

/// A checkpoint for embedding has no output projection; a decoder with one embeds, too.
#[test]
fn decoders_embed_without_their_output_projection() {
    let source = Source::open(dir("qwen3")).unwrap();
    let untied = String::from_utf8(std::fs::read(dir("qwen3").join("config.json")).unwrap()).unwrap();
    let untied = untied.replace(r#""tie_word_embeddings": true"#, r#""tie_word_embeddings": false"#);
    let weights = std::fs::read(dir("qwen3").join("model.safetensors")).unwrap();
    let files = vec![("model.safetensors".to_owned(), weights.into())];
    let untied = Source::from_bytes("untied", untied.into_bytes(), files);
    let tokens = [5u32, 9, 200, 0];
    let of = |source: &Source| load(source).embed(&[&tokens[..]], Pooling::Last, true).unwrap();
    assert_eq!(of(&untied), of(&source));
    let message = Model::load(&tiny::device(), &untied, &ModelOptions::default()).unwrap_err().to_string();
    assert!(message.contains("lm_head.weight is missing"), "{message}");

    // As a session of the whole model has it; the next text may be longer than the last.
    let model = Model::load(&tiny::device(), &source, &ModelOptions::default()).unwrap();
    let mut session = model.session().unwrap();
    let encoder = load(&source);
    for len in [3, 70, 5, 96] {
        let tokens: Vec<u32> = (0..len).map(|i| i * 7 % 300).collect();
        let hidden = encoder.hidden(&[&tokens]).unwrap().remove(0);
        session.reset();
        assert_eq!(hidden, session.all_hidden(&tokens).unwrap());
        for pooling in [Pooling::First, Pooling::Mean, Pooling::Last] {
            let vector = encoder.embed(&[&tokens], pooling, false).unwrap().remove(0);
            assert_eq!(vector, session.embed(&tokens, pooling, false).unwrap());
        }
    }
    let message = encoder.hidden(&[&vec![1u32; 97]]).unwrap_err().to_string();
    assert!(message.contains("97 tokens; 1 to 96"), "{message}");
}
