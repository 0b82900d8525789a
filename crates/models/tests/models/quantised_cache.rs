//! A cache in q8_0, on the CPU backend: the simple one has no block formats.

use half::f16;
use unisono_core::{DType, Device, ErrorKind};
use unisono_models::{BatchOptions, CacheKind, Model, ModelOptions, Source};

use crate::tiny;

const TOKENS: [u32; 17] = [3, 17, 29, 0, 8, 8, 31, 22, 5, 30, 11, 2, 19, 1, 6, 27, 15];

/// One layer with two heads of 32 and one for keys and values.
fn source() -> Source {
    let mut state = 5u64;
    let mut tensors = tiny::Tensors::new();
    let mut add = |name: &str, shape: &[usize], scale: f64, shift: f64| {
        let mut value = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            f16::from_f64(shift + scale * ((state >> 40) as f64 / f64::from(1 << 23) - 1.0)).to_f64()
        };
        let values = (0..shape.iter().product()).map(|_| value()).collect();
        tensors.insert(name.to_owned(), (shape.to_vec(), values));
    };
    add("model.embed_tokens.weight", &[32, 64], 1.0, 0.0);
    add("model.norm.weight", &[64], 0.2, 1.0);
    for (name, shape) in [
        ("self_attn.q_proj", [64, 64]),
        ("self_attn.k_proj", [32, 64]),
        ("self_attn.v_proj", [32, 64]),
        ("self_attn.o_proj", [64, 64]),
        ("mlp.gate_proj", [96, 64]),
        ("mlp.up_proj", [96, 64]),
        ("mlp.down_proj", [64, 96]),
    ] {
        add(&format!("model.layers.0.{name}.weight"), &shape, 0.2, 0.0);
    }
    add("model.layers.0.input_layernorm.weight", &[64], 0.2, 1.0);
    add("model.layers.0.post_attention_layernorm.weight", &[64], 0.2, 1.0);
    let config = r#"{"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 32,
        "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": true}"#;
    let weights = vec![("model.safetensors".to_owned(), tiny::safetensors(&tensors).into())];
    Source::from_bytes("q8", config.as_bytes(), weights)
}

fn model(cache_dtype: DType) -> Model {
    let device = Device::new(unisono_cpu::CpuBackend::new().unwrap());
    Model::load(&device, &source(), &ModelOptions { cache_dtype, ..ModelOptions::default() }).unwrap()
}

/// Logits after each token from the fifth on: a prompt, then one token after the other.
fn in_a_session(model: &Model) -> Vec<f32> {
    let mut session = model.session().unwrap();
    let mut all = session.prefill(&TOKENS[..5]).unwrap();
    TOKENS[5..].iter().for_each(|&token| all.extend(session.decode(token).unwrap()));
    all
}

fn in_a_batch(model: &Model, cache: CacheKind) -> Vec<f32> {
    let mut batch = model.batch(&BatchOptions { sequences: 3, cache }).unwrap();
    let other = batch.add(&[9, 4]).unwrap();
    let text = batch.add(&TOKENS[..5]).unwrap();
    let mut all = Vec::new();
    for next in TOKENS[5..].iter().map(Some).chain([None]) {
        let found = batch.step_logits().unwrap();
        all.extend(&found.iter().find(|(id, _)| *id == text).unwrap().1);
        if let Some(&token) = next {
            batch.push(text, token).unwrap();
            batch.push(other, 31 - token).unwrap();
        }
    }
    all
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn a_q8_0_cache_is_close_to_one_of_f32_and_rounds() {
    let exact = in_a_session(&model(DType::F32));
    let spread = exact.iter().fold(0f32, |m, z| m.max(z.abs()));
    let model = model(DType::Q8_0);
    let paged = CacheKind::Paged { pages: 16, page_size: 4 };
    let found = [in_a_session(&model), in_a_batch(&model, CacheKind::Contiguous), in_a_batch(&model, paged)];
    for (i, logits) in found.iter().enumerate() {
        let error = apart(logits, &exact);
        // Keys and values are rounded to 1/254 of the largest of a head.
        assert!(error < 0.02 * spread, "{i}: {error} of {spread}");
        assert!(error > 1e-4 * spread, "{i}: the cache does not round: {error}");
        assert!(apart(logits, &found[0]) < 1e-4 * spread, "{i}: far from a session");
    }
}

#[test]
fn heads_that_blocks_do_not_divide_are_refused() {
    let options = ModelOptions { cache_dtype: DType::Q8_0, ..ModelOptions::default() };
    let error = Model::load(&tiny::device(), &tiny::source(), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DType);
    assert!(error.to_string().contains("32 does not divide head_dim 8"), "{error}");
}
