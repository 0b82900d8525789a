//! Values that are not finite are errors that name what happened, on every way out of the engine.

use half::f16;
use unisono_core::DType;
use unisono_models::{Batch, BatchOptions, Model, ModelOptions, PerplexityOptions, Pooling, SequenceId, Source};

use crate::tiny::{self, Tensors, VOCAB};

const TEXT: [u32; 4] = [4, 9, 30, 7];

fn load(tensors: &Tensors, cache_dtype: DType) -> Model {
    let options = ModelOptions { cache_dtype, ..ModelOptions::default() };
    Model::load(&tiny::device(), &tiny::source_of(tiny::safetensors(tensors)), &options).unwrap()
}

/// The model with values near 10⁶, which f16 does not hold: keys and values as large as norms make
/// them.
fn large() -> Tensors {
    let mut tensors = tiny::tensors();
    for name in ["input_layernorm", "self_attn.v_proj"] {
        let (_, values) = tensors.get_mut(&format!("model.layers.0.{name}.weight")).unwrap();
        values.iter_mut().for_each(|v| *v = f16::from_f64(*v * 1000.0).to_f64());
    }
    tensors
}

/// The model with one value of the output projection replaced: the logit of token 20 is spoiled, the
/// others are as they were.
fn spoiled(value: f64) -> Tensors {
    let mut tensors = tiny::tensors();
    let (shape, values) = tensors.get_mut("lm_head.weight").unwrap();
    values[20 * shape[1]] = value;
    tensors
}

/// What every way of computing says.
fn errors(model: &Model) -> Vec<(&'static str, String)> {
    let session = || model.session().unwrap();
    let mut said = Vec::new();
    let mut add = |what, result: Result<(), unisono_core::Error>| said.push((what, result.unwrap_err().to_string()));
    add("prefill", session().prefill(&TEXT).map(drop));
    add("prefill_token", session().prefill_token(&TEXT).map(drop));
    add("all_logits", session().all_logits(&TEXT).map(drop));
    add("decode_token", {
        let mut session = session();
        session.read(&TEXT[..3]).unwrap();
        session.decode_token(TEXT[3]).map(drop)
    });
    let options = PerplexityOptions { window: None, stride: None };
    add("perplexity", session().perplexity(&TEXT, options, &mut |_, _| ()).map(drop));
    let mut batch = model.batch(&BatchOptions::default()).unwrap();
    batch.add(&TEXT).unwrap();
    add("step_tokens", batch.step_tokens().map(drop));
    add("step_logits", batch.step_logits().map(drop));
    said
}

#[test]
fn values_beyond_the_cache_are_an_error_on_every_path() {
    let model = load(&large(), DType::F16);
    let mut said = errors(&model);
    said.push(("all_hidden", model.session().unwrap().all_hidden(&TEXT).unwrap_err().to_string()));
    let embedding = model.session().unwrap().embed(&TEXT, Pooling::Mean, true);
    said.push(("embed", embedding.unwrap_err().to_string()));
    for (what, message) in &said {
        for part in ["after token", "not finite", "cache is f16", "65504", "bf16"] {
            assert!(message.contains(part), "{what}: '{part}' is not in: {message}");
        }
    }
    // With room for them, the same values are no error.
    let model = load(&large(), DType::F32);
    let logits = model.session().unwrap().prefill(&TEXT).unwrap();
    let best = (0..VOCAB).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap() as u32;
    assert_eq!(model.session().unwrap().prefill_token(&TEXT).unwrap(), best);
}

#[test]
fn one_bad_logit_is_enough() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for (what, message) in errors(&load(&spoiled(value), DType::F32)) {
            assert!(message.contains("not finite") && !message.contains("cache"), "{value}, {what}: {message}");
        }
    }
}

/// Large logits are finite, and so is the sum that is looked at.
#[test]
fn large_logits_are_no_error() {
    let mut tensors = tiny::tensors();
    let (shape, values) = tensors.get_mut("lm_head.weight").unwrap();
    values.iter_mut().for_each(|v| *v = 0.0);
    for row in values.chunks_mut(shape[1]) {
        row[0] = 60000.0;
    }
    let (_, norm) = tensors.get_mut("model.norm.weight").unwrap();
    norm.iter_mut().for_each(|v| *v = 60000.0);
    let bytes = tiny::safetensors(&tensors);
    let model = Model::load(&tiny::device(), &tiny::source_of(bytes), &ModelOptions::default()).unwrap();
    let logits = model.session().unwrap().prefill(&TEXT).unwrap();
    assert!(logits.iter().all(|z| z.is_finite()));
    assert_eq!(model.session().unwrap().prefill_token(&TEXT).unwrap(), 0, "the lowest of equals");
}

/// One step of a batch, however it chooses tokens.
type Step = fn(&mut Batch) -> Result<Vec<(SequenceId, u32)>, unisono_core::Error>;

/// A text whose logits are not finite is named; the others go on when it is gone.
#[test]
fn one_text_of_a_batch_does_not_spoil_the_others() {
    // Token 13 alone is read as something infinite.
    let mut tensors = tiny::tensors();
    let (shape, values) = tensors.get_mut("model.embed_tokens.weight").unwrap();
    values[13 * shape[1]] = f64::INFINITY;
    let model = load(&tensors, DType::F32);
    let expected = model.session().unwrap().prefill_token(&TEXT).unwrap();
    let logits = model.session().unwrap().prefill(&TEXT).unwrap();
    let by_logits: Step = |batch| {
        let rows = batch.step_logits()?;
        let best = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap() as u32;
        Ok(rows.into_iter().map(|(id, row)| (id, best(&row))).collect())
    };
    for step in [Batch::step_tokens as Step, by_logits] {
        let mut batch = model.batch(&BatchOptions::default()).unwrap();
        let good = batch.add(&TEXT).unwrap();
        let bad = batch.add(&[4, 13]).unwrap();
        let message = step(&mut batch).unwrap_err().to_string();
        assert!(message.contains("after token 2 of text 1") && message.contains("not finite"), "{message}");
        assert_eq!(batch.failed(), [bad]);
        assert!(batch.has_work());
        batch.remove(bad).unwrap();
        assert_eq!(step(&mut batch).unwrap(), [(good, expected)]);
        assert!(batch.failed().is_empty());
    }
    assert!(logits.iter().all(|z| z.is_finite()));
}

#[test]
fn an_encoder_says_so_too() {
    let source: Source = crate::encoder::source_with(f64::INFINITY);
    let encoder = unisono_models::TextEncoder::load(&tiny::device(), &source).unwrap();
    let tokens: &[u32] = &[3, 17, 4];
    let message = encoder.embed(&[tokens], Pooling::Mean, true).unwrap_err().to_string();
    assert!(message.contains("embeddings on") && message.contains("not finite"), "{message}");
    assert!(encoder.hidden(&[tokens]).unwrap_err().to_string().contains("hidden states on"));
}
