//! The graph, its cache and its captured steps, against the reference.

use unisono_core::{DType, ErrorKind};
use unisono_models::{Model, ModelOptions, Session};

use crate::{reference, tiny};

const TOKENS: [u32; 21] = [3, 17, 49, 0, 8, 8, 31, 22, 5, 40, 11, 2, 19, 33, 6, 27, 45, 14, 9, 1, 38];

fn session(options: &ModelOptions) -> Session {
    Model::load(&tiny::device(), &tiny::source(), options).unwrap().session().unwrap()
}

fn assert_close(logits: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(logits.len(), expected.len(), "{what}");
    for (i, (&z, &e)) in logits.iter().zip(expected).enumerate() {
        let err = (f64::from(z) - e).abs();
        assert!(err <= tolerance, "{what}: logit {i} is {z}, not {e}");
    }
}

#[test]
fn prefill_of_every_length_and_decode_match_the_reference() {
    let expected = reference::forward(&tiny::tensors(), &TOKENS);
    let mut session = session(&ModelOptions::default());
    for len in 1..=TOKENS.len() {
        session.reset();
        let logits = session.prefill(&TOKENS[..len]).unwrap();
        assert_close(&logits, &expected[len - 1], 2e-5, &format!("prefill of {len}"));
    }
    session.reset();
    for (i, &token) in TOKENS.iter().enumerate() {
        let logits = session.decode(token).unwrap();
        assert_close(&logits, &expected[i], 2e-5, &format!("decode of token {i}"));
    }
}

#[test]
fn chunks_continue_where_the_cache_ends() {
    let expected = reference::forward(&tiny::tensors(), &TOKENS);
    let mut session = session(&ModelOptions { prefill_chunk: 8, ..ModelOptions::default() });
    session.prefill(&TOKENS[..3]).unwrap();
    session.decode(TOKENS[3]).unwrap();
    // 17 tokens in chunks of 8, 8 and 1, at an odd position.
    let logits = session.all_logits(&TOKENS[4..]).unwrap();
    assert_eq!(session.len(), TOKENS.len());
    assert_close(&logits, &expected[4..].concat(), 2e-5, "all logits");
}

#[test]
fn the_token_chosen_on_the_device_has_the_largest_logit() {
    let expected = reference::forward(&tiny::tensors(), &TOKENS);
    let mut session = session(&ModelOptions::default());
    for (i, &token) in TOKENS.iter().enumerate() {
        let chosen = session.decode_token(token).unwrap() as usize;
        let largest = expected[i].iter().copied().fold(f64::MIN, f64::max);
        assert!(expected[i][chosen] >= largest - 4e-5, "token {chosen} after {i}");
    }
    session.reset();
    let chosen = session.prefill_token(&TOKENS[..13]).unwrap() as usize;
    assert!(expected[12].iter().all(|&z| z <= expected[12][chosen] + 4e-5));
}

#[test]
fn a_16_bit_cache_rounds_keys_and_values_only() {
    let expected = reference::forward(&tiny::tensors(), &TOKENS);
    for (dtype, tolerance) in [(DType::F16, 0.05), (DType::BF16, 0.4)] {
        let mut session = session(&ModelOptions { cache_dtype: dtype, ..ModelOptions::default() });
        let logits = session.prefill(&TOKENS).unwrap();
        assert_close(&logits, &expected[TOKENS.len() - 1], tolerance, dtype.name());
        let exact = logits.iter().zip(&expected[TOKENS.len() - 1]).all(|(&z, &e)| (f64::from(z) - e).abs() < 2e-5);
        assert!(!exact, "the cache is not {dtype}");
    }
}

#[test]
fn a_decode_step_compiles_nothing_and_is_one_submission() {
    let mut session = session(&ModelOptions::default());
    let device = session.model().device().clone();
    session.prefill_token(&TOKENS[..5]).unwrap();
    session.decode_token(1).unwrap();
    for token in 2..10 {
        let before = device.counters();
        session.decode_token(token).unwrap();
        let after = device.counters();
        assert_eq!(after.plans, before.plans, "a plan was compiled");
        assert_eq!(after.submissions, before.submissions + 1);
    }
    // A second session of the model finds the plans of the first.
    let before = device.counters();
    let mut second = session.model().session().unwrap();
    second.prefill_token(&TOKENS[..7]).unwrap();
    second.decode_token(1).unwrap();
    assert_eq!(device.counters().plans, before.plans);
}

#[test]
fn sessions_do_not_share_their_caches() {
    let expected = reference::forward(&tiny::tensors(), &TOKENS);
    let mut first = session(&ModelOptions::default());
    let mut second = first.model().session().unwrap();
    first.prefill(&TOKENS[..10]).unwrap();
    second.prefill(&[7; 12]).unwrap();
    let logits = first.decode(TOKENS[10]).unwrap();
    assert_close(&logits, &expected[10], 2e-5, "after another session");
}

#[test]
fn tied_embeddings_are_the_head() {
    let mut tensors = tiny::tensors();
    tensors.remove("lm_head.weight");
    let config = tiny::config_json(r#", "tie_word_embeddings": true"#);
    let weights = vec![("model.safetensors".to_owned(), tiny::safetensors(&tensors).into())];
    let source = unisono_models::Source::from_bytes("tied", config.into_bytes(), weights);
    let model = Model::load(&tiny::device(), &source, &ModelOptions::default()).unwrap();
    let parameters: usize = tensors.values().map(|(_, v)| v.len()).sum();
    assert_eq!(model.parameters(), parameters as u64);
    let embedding = tensors["model.embed_tokens.weight"].clone();
    tensors.insert("lm_head.weight".to_owned(), embedding);
    let expected = reference::forward(&tensors, &TOKENS);
    let logits = model.session().unwrap().prefill(&TOKENS).unwrap();
    assert_close(&logits, &expected[TOKENS.len() - 1], 2e-5, "tied");
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let mut session = session(&ModelOptions { context_len: Some(12), ..ModelOptions::default() });
    session.prefill(&TOKENS[..10]).unwrap();
    let full = session.prefill(&TOKENS[10..13]).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Invalid);
    assert!(full.to_string().contains("context of 12 tokens is full"), "{full}");
    assert!(session.decode(50).unwrap_err().to_string().contains("token 50 is outside the vocabulary of 50"));
    assert!(session.prefill(&[]).is_err());
    assert_eq!(session.len(), 10);
    session.prefill(&TOKENS[10..12]).unwrap();
    assert_eq!(session.remaining(), 0);
    assert!(session.decode_token(1).is_err());
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let load = |options: ModelOptions| Model::load(&tiny::device(), &tiny::source(), &options);
    assert!(load(ModelOptions { context_len: Some(0), ..Default::default() }).is_err());
    assert!(load(ModelOptions { context_len: Some(65), ..Default::default() }).is_err());
    assert!(load(ModelOptions { cache_dtype: DType::U32, ..Default::default() }).is_err());
    load(ModelOptions { prefill_chunk: 0, ..Default::default() }).unwrap().session().unwrap().prefill(&TOKENS).unwrap();
}
