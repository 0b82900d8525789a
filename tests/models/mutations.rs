//! The bound from the other side: small faults must exceed it.
//!
//! Each fault is a field of the configuration that somebody read wrongly, or weights that somebody
//! put into the wrong place, on the CPU.

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use super::models::compare::run_source;
use super::models::golden::Golden;
use super::models::weights::StoredTensor;

/// A wrong value of a field, by JSON pointer; null removes it.
type WrongField = (&'static str, &'static str, fn() -> Value);

const WRONG_FIELDS: &[WrongField] = &[
    ("llama2-theta-eps", "/rms_norm_eps", || json!(1.1e-3)),
    ("llama2-theta-eps", "/rope_theta", || json!(101.0)),
    ("llama2-tied", "/rms_norm_eps", || json!(1e-4)),
    ("llama3-gqa4", "/rope_scaling/factor", || json!(8.1)),
    ("llama3-gqa4", "/rope_scaling/low_freq_factor", || json!(1.01)),
    ("llama3-gqa4", "/rope_scaling/high_freq_factor", || json!(4.1)),
    ("llama3-gqa4", "/rope_scaling/original_max_position_embeddings", || json!(17)),
    ("llama3-gqa4", "/rope_scaling", || Value::Null),
    ("llama3-layout5", "/rope_parameters/factor", || json!(7.9)),
    ("llama3-layout5", "/rope_parameters/rope_theta", || json!(490_000.0)),
    ("llama-linear", "/rope_scaling/factor", || json!(4.01)),
    ("mistral-window8", "/sliding_window", || json!(9)),
    ("mistral-window8", "/sliding_window", || json!(7)),
    ("mistral-window8", "/sliding_window", || Value::Null),
    ("mixtral-4-experts", "/num_experts_per_tok", || json!(1)),
    ("mixtral-8-experts", "/num_experts_per_tok", || json!(3)),
    ("mixtral-top1-window", "/sliding_window", || json!(5)),
    ("qwen2-gqa2", "/rope_theta", || json!(990_000.0)),
    ("qwen3-gqa8", "/rms_norm_eps", || json!(1e-4)),
    ("gemma2-heads32", "/attn_logit_softcapping", || Value::Null),
    ("gemma2-heads32", "/final_logit_softcapping", || Value::Null),
    ("gemma2-heads32", "/attn_logit_softcapping", || json!(49.0)),
    ("gemma2-heads32", "/final_logit_softcapping", || json!(29.9)),
    ("gemma2-heads32", "/query_pre_attn_scalar", || json!(33)),
    ("gemma2-heads32", "/sliding_window", || json!(9)),
    ("gemma2-caps", "/sliding_window", || json!(4)),
    ("gemma3-pattern2", "/rope_local_base_freq", || json!(10_100.0)),
    ("gemma3-pattern2", "/rope_theta", || json!(990_000.0)),
    ("gemma3-pattern2", "/sliding_window_pattern", || json!(3)),
    ("gemma3-pattern2", "/query_pre_attn_scalar", || json!(31)),
    ("gemma3-pattern6-linear", "/rope_scaling/factor", || json!(8.1)),
    ("gemma3-pattern6-linear", "/sliding_window", || json!(7)),
    ("gemma3-layout5", "/rope_parameters/sliding_attention/rope_theta", || json!(9900.0)),
    ("gemma3-layout5", "/layer_types/1", || json!("sliding_attention")),
    ("phi3-window", "/sliding_window", || json!(8)),
    ("phi3-partial", "/rope_theta", || json!(10_100.0)),
    ("phi3-longrope", "/rope_scaling/long_factor/3", || json!(2.2)),
    ("phi3-longrope-short", "/rope_scaling/short_factor/3", || json!(1.2)),
    ("gpt2-heads32", "/layer_norm_epsilon", || json!(1e-4)),
    ("gpt2-heads32", "/n_head", || json!(2)),
    ("gpt2-heads64", "/activation_function", || json!("gelu")),
    ("bert-heads80", "/layer_norm_eps", || json!(1e-4)),
    ("bert-heads32", "/num_attention_heads", || json!(2)),
    ("bert-heads64", "/hidden_act", || json!("gelu_new")),
];

/// What is wrong with the weights of a model.
type WrongWeights = (&'static str, &'static str, fn(&mut Vec<StoredTensor>));

const WRONG_WEIGHTS: &[WrongWeights] = &[
    ("llama2-heads64-gqa2", "the key-value heads change places", |t| {
        swap_rows(t, "model.layers.1.self_attn.k_proj.weight", 64);
        swap_rows(t, "model.layers.1.self_attn.v_proj.weight", 64);
    }),
    ("llama2-heads32", "two heads of the queries change places", |t| {
        swap_rows(t, "model.layers.0.self_attn.q_proj.weight", 32);
    }),
    ("llama2-heads32", "the output projection is the embedding table", |t| {
        let table = find(t, "model.embed_tokens.weight").bytes.clone();
        find(t, "lm_head.weight").bytes = table;
    }),
    ("llama2-heads32", "gate and up change places", |t| {
        swap(t, "model.layers.0.mlp.gate_proj.weight", "model.layers.0.mlp.up_proj.weight");
    }),
    ("llama2-heads32", "the norms of a layer change places", |t| {
        swap(t, "model.layers.1.input_layernorm.weight", "model.layers.1.post_attention_layernorm.weight");
    }),
    ("mixtral-4-experts", "two experts change places", |t| {
        for w in ["w1", "w2", "w3"] {
            let name = |e: u32| format!("model.layers.0.block_sparse_moe.experts.{e}.{w}.weight");
            swap(t, &name(0), &name(3));
        }
    }),
    ("qwen2-gqa2", "the bias of the values is missing", |t| zero(t, "model.layers.0.self_attn.v_proj.bias")),
    ("qwen3-gqa8", "the norms of queries and keys change places", |t| {
        swap(t, "model.layers.0.self_attn.q_norm.weight", "model.layers.0.self_attn.k_norm.weight");
    }),
    ("gemma2-heads32", "the norms around the network change places", |t| {
        let name = |which| format!("model.layers.2.{which}_feedforward_layernorm.weight");
        swap(t, &name("pre"), &name("post"));
    }),
    ("gemma3-pattern2", "a norm lacks its one", |t| zero(t, "model.layers.3.self_attn.q_norm.weight")),
    ("phi3-gqa2", "gate and up change places", |t| swap_rows(t, "model.layers.0.mlp.gate_up_proj.weight", 168)),
    ("bert-heads32", "the types of tokens change places", |t| {
        swap_rows(t, "embeddings.token_type_embeddings.weight", 1);
    }),
    ("bert-heads32", "the norms of a layer change places", |t| {
        let name = |which| format!("encoder.layer.1.{which}output.LayerNorm.weight");
        swap(t, &name("attention."), &name(""));
    }),
    ("gpt2-heads32", "a position is off by one", |t| swap_rows(t, "transformer.wpe.weight", 1)),
    ("gpt2-heads32", "a bias is missing", |t| zero(t, "transformer.h.1.mlp.c_proj.bias")),
];

/// One test for each fault.
pub(crate) fn trials() -> Vec<Trial> {
    let fields = WRONG_FIELDS.iter().map(|&(model, pointer, value)| {
        Trial::test(format!("fault::{model}{}={}", pointer.replace('/', "."), value()), move || {
            let golden = Golden::open(&format!("goldens/{model}"));
            let mut config = golden.config.clone();
            let field = config.pointer_mut(pointer).ok_or_else(|| format!("{model} has no {pointer}"))?;
            *field = value();
            seen(&golden, &config, &golden.tensors())
        })
    });
    let weights = WRONG_WEIGHTS.iter().map(|&(model, what, wrong)| {
        Trial::test(format!("fault::{model}::{}", what.replace(' ', "_")), move || {
            let golden = Golden::open(&format!("goldens/{model}"));
            let mut tensors = golden.tensors();
            wrong(&mut tensors);
            seen(&golden, &golden.config, &tensors)
        })
    });
    fields.chain(weights).collect()
}

fn seen(golden: &Golden, config: &Value, tensors: &[StoredTensor]) -> Result<(), Failed> {
    let device = unisono::open("cpu")?;
    let outcome = run_source(&device, golden, &golden.source_of(config, tensors))?;
    println!("{}: error over bound {:.1}", golden.name, outcome.ratio);
    if outcome.ratio > 1.0 { Ok(()) } else { Err(format!("not seen: {outcome:?}").into()) }
}

fn find<'a>(tensors: &'a mut [StoredTensor], name: &str) -> &'a mut StoredTensor {
    tensors.iter_mut().find(|t| t.name == name).unwrap_or_else(|| panic!("there is no {name}"))
}

/// The first `rows` rows of a tensor and the next ones change places.
fn swap_rows(tensors: &mut [StoredTensor], name: &str, rows: usize) {
    let tensor = find(tensors, name);
    let size = rows * tensor.bytes.len() / tensor.shape[0];
    let (first, rest) = tensor.bytes.split_at_mut(size);
    first.swap_with_slice(&mut rest[..size]);
}

/// Two tensors of one shape change places.
fn swap(tensors: &mut [StoredTensor], a: &str, b: &str) {
    let taken = std::mem::take(&mut find(tensors, a).bytes);
    let other = std::mem::replace(&mut find(tensors, b).bytes, taken);
    find(tensors, a).bytes = other;
}

fn zero(tensors: &mut [StoredTensor], name: &str) {
    find(tensors, name).bytes.fill(0);
}
