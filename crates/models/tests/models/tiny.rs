//! A random model with every shape different, written as safetensors bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use half::f16;
use unisono_core::Device;
use unisono_models::Source;

pub(crate) const LAYERS: usize = 2;
pub(crate) const HIDDEN: usize = 24;
pub(crate) const FFN: usize = 40;
pub(crate) const HEADS: usize = 4;
pub(crate) const KV_HEADS: usize = 2;
pub(crate) const HEAD_DIM: usize = 8;
pub(crate) const VOCAB: usize = 50;
pub(crate) const EPS: f64 = 1e-3;
pub(crate) const THETA: f64 = 100.0;

pub(crate) fn device() -> Device {
    Device::new(Arc::new(unisono_tests::naive::Naive::default()))
}

/// `config.json` with further fields.
pub(crate) fn config_json(extra: &str) -> String {
    format!(
        r#"{{"architectures": ["LlamaForCausalLM"], "hidden_size": {HIDDEN}, "intermediate_size": {FFN},
        "num_hidden_layers": {LAYERS}, "num_attention_heads": {HEADS}, "num_key_value_heads": {KV_HEADS},
        "head_dim": {HEAD_DIM}, "vocab_size": {VOCAB}, "max_position_embeddings": 64,
        "rms_norm_eps": {EPS}, "rope_theta": {THETA} {extra}}}"#
    )
}

/// Tensors by name: shape and values, all exact in f16.
pub(crate) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f64>)>;

pub(crate) fn tensors() -> Tensors {
    let mut state = 1u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f64 / (1u64 << 24) as f64 * 2.0 - 1.0
    };
    let mut all = Tensors::new();
    let mut add = |name: String, shape: &[usize], scale: f64, shift: f64| {
        let n = shape.iter().product();
        let values = (0..n).map(|_| f16::from_f64(shift + scale * uniform()).to_f64()).collect();
        all.insert(name, (shape.to_vec(), values));
    };
    let (q, kv) = (HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM);
    add("model.embed_tokens.weight".into(), &[VOCAB, HIDDEN], 1.0, 0.0);
    add("lm_head.weight".into(), &[VOCAB, HIDDEN], 1.0, 0.0);
    add("model.norm.weight".into(), &[HIDDEN], 0.5, 1.0);
    for i in 0..LAYERS {
        let mut add = |name: &str, shape: &[usize], scale, shift| {
            add(format!("model.layers.{i}.{name}.weight"), shape, scale, shift);
        };
        add("input_layernorm", &[HIDDEN], 0.5, 1.0);
        add("post_attention_layernorm", &[HIDDEN], 0.5, 1.0);
        add("self_attn.q_proj", &[q, HIDDEN], 0.5, 0.0);
        add("self_attn.k_proj", &[kv, HIDDEN], 0.5, 0.0);
        add("self_attn.v_proj", &[kv, HIDDEN], 0.5, 0.0);
        add("self_attn.o_proj", &[HIDDEN, q], 0.5, 0.0);
        add("mlp.gate_proj", &[FFN, HIDDEN], 0.5, 0.0);
        add("mlp.up_proj", &[FFN, HIDDEN], 0.5, 0.0);
        add("mlp.down_proj", &[HIDDEN, FFN], 0.5, 0.0);
    }
    all
}

/// A safetensors file with f16 data.
pub(crate) fn safetensors(tensors: &Tensors) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, (shape, values)) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|&v| f16::from_f64(v).to_le_bytes()));
        let info = serde_json::json!({"dtype": "F16", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(name.clone(), info);
    }
    file(serde_json::Value::Object(header).to_string().as_bytes(), &data)
}

/// Length, header and data.
pub(crate) fn file(header: &[u8], data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header, data].concat()
}

pub(crate) fn source_of(weights: Vec<u8>) -> Source {
    let weights = vec![("model.safetensors".to_owned(), Cow::from(weights))];
    Source::from_bytes("tiny", config_json("").into_bytes(), weights)
}

pub(crate) fn source() -> Source {
    source_of(safetensors(&tensors()))
}
