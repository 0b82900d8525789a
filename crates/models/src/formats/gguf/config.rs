//! From the metadata of a GGUF model to the `config.json` that the same model has at Hugging Face,
//! so that networks know one kind of configuration.
//!
//! What the metadata leaves out and readers of GGUF know (the layers of Gemma that have a window,
//! its factor on scores) is filled in as llama.cpp does. Keys are those of `constants.py` of the
//! Python package `gguf`.

use serde_json::{Map, Value, json};
use unisono_core::{Error, Result};

use super::keys::Keys;
use super::{Architecture, Set, rope};
use crate::formats::tensor::TensorInfo;

/// The text of `config.json`. What the metadata says that is not followed is added to `notes`.
pub(crate) fn config_json(set: &Set, notes: &mut Vec<String>) -> Result<Vec<u8>> {
    let keys = Keys::new(set);
    let mut config = Map::new();
    let fields = match set.architecture {
        Architecture::Gpt2 => gpt2(&keys)?,
        Architecture::Bert => bert(&keys)?,
        _ => decoder(&keys)?,
    };
    if let Value::Object(fields) = fields {
        config.extend(fields.into_iter().filter(|(_, value)| !value.is_null()));
    }
    let vocab_size = rows(set, "token_embd.weight")?;
    config.insert("vocab_size".into(), vocab_size.into());
    config.insert("bos_token_id".into(), json!(keys.token_ids(&["bos"], vocab_size, notes)?));
    config.insert("eos_token_id".into(), json!(keys.token_ids(&["eos", "eot", "eom"], vocab_size, notes)?));
    Ok(Value::Object(config).to_string().into_bytes())
}

/// A tensor of any part.
pub(super) fn tensor<'a>(set: &'a Set, name: &str) -> Option<&'a TensorInfo> {
    set.parts.iter().find_map(|part| part.file.tensors().get(name))
}

fn rows(set: &Set, name: &str) -> Result<usize> {
    match tensor(set, name).map(|info| info.shape.as_slice()) {
        Some(&[rows, _]) => Ok(rows),
        Some(shape) => Err(Error::shape(format!("{}: tensor {name} has shape {shape:?}, no matrix", set.name()))),
        None => Err(Error::invalid(format!("tensor {name} is missing in {}", set.name()))),
    }
}

/// Llama and its relatives.
fn decoder(keys: &Keys<'_>) -> Result<Value> {
    let set = keys.set;
    let (hidden, heads, layers) = (keys.size("embedding_length")?, keys.heads("attention.head_count")?, keys.layers()?);
    let divided = hidden.checked_div(heads).unwrap_or(0);
    let head_dim = keys.optional_size("attention.key_length")?.unwrap_or(divided);
    let value_length = keys.optional_size("attention.value_length")?.unwrap_or(divided);
    if value_length != head_dim {
        return Err(keys.wrong("attention.value_length", format_args!("{head_dim}, the length of keys")));
    }
    let experts = keys.optional_size("expert_count")?.filter(|&count| count > 0);
    let window = keys.optional_size("attention.sliding_window")?.filter(|&window| window > 0);
    let (class, model_type) = match (set.architecture, experts, window) {
        (Architecture::Llama, Some(_), _) => ("MixtralForCausalLM", "mixtral"),
        (Architecture::Llama, None, Some(_)) => ("MistralForCausalLM", "mistral"),
        (Architecture::Qwen2, ..) => ("Qwen2ForCausalLM", "qwen2"),
        (Architecture::Qwen3, ..) => ("Qwen3ForCausalLM", "qwen3"),
        (Architecture::Gemma2, ..) => ("Gemma2ForCausalLM", "gemma2"),
        (Architecture::Gemma3, ..) => ("Gemma3ForCausalLM", "gemma3_text"),
        (Architecture::Phi3, ..) => ("Phi3ForCausalLM", "phi3"),
        _ => ("LlamaForCausalLM", "llama"),
    };
    if experts.is_some() && model_type != "mixtral" {
        return Err(keys.wrong("expert_count", "0: experts are supported for llama alone"));
    }
    let gemma = matches!(set.architecture, Architecture::Gemma2 | Architecture::Gemma3);
    let qwen = matches!(set.architecture, Architecture::Qwen2 | Architecture::Qwen3);
    let has = |name: &str| tensor(set, name).is_some();
    let biased = |name: &str| (set.architecture != Architecture::Qwen2 && has(name)).then_some(true);
    let expert_size = keys.optional_size("expert_feed_forward_length")?.filter(|_| experts.is_some());
    let rope = rope::parameters(keys, head_dim)?;
    if keys.flag("attention.causal")? == Some(false) {
        return Err(keys.wrong("attention.causal", "true: attention in both directions is supported for bert alone"));
    }
    Ok(json!({
        "architectures": [class],
        "model_type": model_type,
        "hidden_size": hidden,
        "intermediate_size": match expert_size {
            Some(size) => size,
            None => keys.heads("feed_forward_length")?,
        },
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys.optional_heads("attention.head_count_kv")?.unwrap_or(heads),
        "head_dim": head_dim,
        "max_position_embeddings": keys.size("context_length")?,
        "rms_norm_eps": keys.number("attention.layer_norm_rms_epsilon")?,
        "rope_theta": rope.theta,
        "rope_local_base_freq": rope.local_theta,
        "rope_scaling": rope.scaling,
        "partial_rotary_factor": rope.share,
        "original_max_position_embeddings": rope.original_context,
        "sliding_window": window,
        "use_sliding_window": qwen.then_some(window.is_some()),
        "max_window_layers": qwen.then_some(0),
        "layer_types": layer_types(keys, layers, window)?,
        "query_pre_attn_scalar": if gemma { Some(query_scalar(keys, hidden, heads, head_dim, layers)?) } else { None },
        "attn_logit_softcapping": keys.optional_number("attn_logit_softcapping")?,
        "final_logit_softcapping": keys.optional_number("final_logit_softcapping")?,
        "attention_bias": biased("blk.0.attn_q.bias").or(biased("blk.0.attn_qkv.bias")),
        "mlp_bias": biased("blk.0.ffn_up.bias"),
        "num_local_experts": experts,
        "num_experts_per_tok": match experts {
            Some(_) => Some(keys.size("expert_used_count")?),
            None => None,
        },
        "tie_word_embeddings": !has("output.weight"),
        // Not of `config.json`: Hugging Face has it in a file of its own.
        "gguf.pooling": pooling(keys)?,
    }))
}

/// Which layers have the window. Files of Gemma leave out that every second (2) or all but every
/// sixth (3) has it.
fn layer_types(keys: &Keys<'_>, layers: usize, window: Option<usize>) -> Result<Option<Vec<&'static str>>> {
    const KEY: &str = "attention.sliding_window_pattern";
    let period = match keys.set.architecture {
        Architecture::Gemma2 => Some(2),
        Architecture::Gemma3 => Some(6),
        _ => None,
    };
    let sliding: Vec<bool> = match (keys.bools(KEY), window) {
        (_, None) => return Ok(None),
        (Some(listed), _) if listed.len() == layers => listed.to_vec(),
        (Some(_), _) => return Err(keys.wrong(KEY, format_args!("{layers} entries, one for each layer"))),
        (None, _) => match keys.optional_size(KEY)?.or(period) {
            None => return Ok(None),
            Some(0) => return Err(keys.wrong(KEY, "at least 1")),
            Some(period) => (1..=layers).map(|layer| !layer.is_multiple_of(period)).collect(),
        },
    };
    let name = |&sliding: &bool| if sliding { "sliding_attention" } else { "full_attention" };
    Ok(Some(sliding.iter().map(name).collect()))
}

/// Scores of Gemma are divided by the root of this. Where the file does not say, it is the width of
/// a head, in the models of 27 billion weights the hidden size per head.
fn query_scalar(keys: &Keys<'_>, hidden: usize, heads: usize, head_dim: usize, layers: usize) -> Result<f64> {
    if let Some(scale) = keys.optional_number("attention.scale")?.filter(|&scale| scale != 0.0) {
        return Ok(1.0 / (scale * scale));
    }
    let largest = if keys.set.architecture == Architecture::Gemma2 { 46 } else { 62 };
    Ok(if layers == largest { hidden as f64 / heads as f64 } else { head_dim as f64 })
}

fn gpt2(keys: &Keys<'_>) -> Result<Value> {
    let layers = keys.layers()?;
    Ok(json!({
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "n_embd": keys.size("embedding_length")?,
        "n_inner": keys.heads("feed_forward_length")?,
        "n_layer": layers,
        "n_head": keys.heads("attention.head_count")?,
        "n_positions": keys.size("context_length")?,
        "layer_norm_epsilon": keys.number("attention.layer_norm_epsilon")?,
        "activation_function": "gelu_new",
        "tie_word_embeddings": tensor(keys.set, "output.weight").is_none(),
    }))
}

fn bert(keys: &Keys<'_>) -> Result<Value> {
    let layers = keys.layers()?;
    let pooling = pooling(keys)?;
    Ok(json!({
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": keys.size("embedding_length")?,
        "intermediate_size": keys.heads("feed_forward_length")?,
        "num_hidden_layers": layers,
        "num_attention_heads": keys.heads("attention.head_count")?,
        "max_position_embeddings": keys.size("context_length")?,
        "type_vocab_size": rows(keys.set, "token_types.weight")?,
        "layer_norm_eps": keys.number("attention.layer_norm_epsilon")?,
        "hidden_act": "gelu",
        // Not of `config.json`: Hugging Face has it in a file of its own.
        "gguf.pooling": pooling,
    }))
}

/// How hidden states become one vector, if the file says. That of a ranking model (4) has none, and
/// predicts tokens all the same.
fn pooling(keys: &Keys<'_>) -> Result<Option<&'static str>> {
    match keys.optional_size("pooling_type")? {
        None | Some(0) => Ok(None),
        Some(1) => Ok(Some("mean")),
        Some(2) => Ok(Some("cls")),
        Some(3) => Ok(Some("last")),
        Some(4) if keys.set.architecture != Architecture::Bert => Ok(None),
        Some(_) => Err(keys.wrong("pooling_type", "0 (none), 1 (mean), 2 (first token) or 3 (last token)")),
    }
}
