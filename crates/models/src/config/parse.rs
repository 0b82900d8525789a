//! From the fields of the file to a configuration: the names of each architecture, its defaults,
//! and what is refused.

use unisono_core::Result;

use super::architecture::{Activation, Architecture, missing};
use super::raw::{RawConfig, TokenIds};
use super::{ExpertsConfig, MAX_LAYERS, MAX_SIZE, ModelConfig, invalid, nested, rope};

/// The configuration, not checked yet.
pub(super) fn parse(json: &[u8]) -> Result<ModelConfig> {
    let raw: RawConfig = serde_json::from_slice(json).map_err(invalid)?;
    let raw = nested::text_model(raw)?;
    let class = raw.architectures.as_ref().and_then(|a| a.first());
    let architecture = Architecture::named(class.map(String::as_str), raw.model_type.as_deref())?;
    refuse_unsupported(&raw, architecture)?;
    use Architecture::{Bert, Gemma2, Gemma3, Gpt2, Llama, Mixtral, Qwen2, Qwen3};

    let gpt2 = architecture == Gpt2;
    let size = |name: &str, value: Option<usize>, gpt2_name: &str, gpt2_value: Option<usize>| {
        let name = if gpt2 { gpt2_name } else { name };
        value.or(gpt2_value.filter(|_| gpt2)).ok_or_else(|| missing(name))
    };
    let hidden_size = size("hidden_size", raw.hidden_size, "n_embd", raw.n_embd)?;
    let num_hidden_layers = size("num_hidden_layers", raw.num_hidden_layers, "n_layer", raw.n_layer)?;
    let heads = size("num_attention_heads", raw.num_attention_heads, "n_head", raw.n_head)?;
    let max_positions = size("max_position_embeddings", raw.max_position_embeddings, "n_positions", raw.n_positions)?;
    // Everything below is as long as the list of layers, so that is checked here.
    for (name, value, most) in
        [("num_hidden_layers", num_hidden_layers, MAX_LAYERS), ("hidden_size", hidden_size, MAX_SIZE)]
    {
        if value > most {
            return Err(invalid(format!("{name} is {value}; 1 to {most} is possible")));
        }
    }
    let inner = raw.n_inner.or(gpt2.then_some(4 * hidden_size));
    let intermediate_size = size("intermediate_size", raw.intermediate_size, "n_inner", inner)?;
    let head_dim = head_dim(&raw, architecture, hidden_size, heads)?;
    let norm_eps = match architecture {
        Gpt2 => raw.layer_norm_epsilon,
        Bert => raw.layer_norm_eps,
        _ => raw.rms_norm_eps,
    };
    let norm_eps = norm_eps.ok_or_else(|| missing(architecture.norm_eps_field()))? as f32;
    let (rope, local_rope) = rope::parse(&raw, architecture, head_dim, max_positions)?;
    let (sliding_window, sliding_layers) = windows(&raw, architecture, num_hidden_layers)?;
    let gemma = matches!(architecture, Gemma2 | Gemma3);
    let scores = match architecture {
        Gemma2 | Gemma3 => raw.query_pre_attn_scalar.unwrap_or(256.0),
        Gpt2 if raw.scale_attn_weights == Some(false) => 1.0,
        _ => head_dim as f64,
    };
    let softcap = |value: Option<Option<f64>>, default: f64| {
        let default = (architecture == Gemma2).then_some(default);
        value.unwrap_or(default).filter(|_| gemma).map(|cap| cap as f32)
    };
    let attention_bias = raw.attention_bias == Some(true);
    let biased = matches!(architecture, Gpt2 | Bert);
    Ok(ModelConfig {
        architecture,
        hidden_size,
        intermediate_size,
        num_hidden_layers,
        num_attention_heads: heads,
        num_key_value_heads: if biased { heads } else { raw.num_key_value_heads.unwrap_or(heads) },
        head_dim,
        vocab_size: raw.vocab_size.ok_or_else(|| missing("vocab_size"))?,
        max_position_embeddings: max_positions,
        norm_eps,
        hidden_act: activation(&raw, architecture)?,
        rope,
        local_rope,
        sliding_window,
        sliding_layers,
        attention_scale: (1.0 / scores.sqrt()) as f32,
        attention_scale_by_layer: gpt2 && raw.scale_attn_by_inverse_layer_idx == Some(true),
        attention_softcap: softcap(raw.attn_logit_softcapping, 50.0),
        final_softcap: softcap(raw.final_logit_softcapping, 30.0),
        embedding_scale: gemma.then_some((hidden_size as f64).sqrt() as f32),
        qkv_bias: biased || architecture == Qwen2 || attention_bias,
        output_bias: biased || (attention_bias && matches!(architecture, Llama | Qwen3 | Gemma2 | Gemma3)),
        mlp_bias: biased || raw.mlp_bias == Some(true),
        experts: if architecture == Mixtral { Some(experts(&raw)?) } else { None },
        type_vocab_size: if architecture.is_encoder() { raw.type_vocab_size.unwrap_or(2) } else { 0 },
        pooling: raw.pooling,
        tie_word_embeddings: raw.tie_word_embeddings.unwrap_or(architecture.ties_by_default()),
        bos_token_ids: raw.bos_token_id.map(TokenIds::into_vec).unwrap_or_default(),
        eos_token_ids: raw.eos_token_id.map(TokenIds::into_vec).unwrap_or_default(),
    })
}

/// Fields whose effect is not implemented.
fn refuse_unsupported(raw: &RawConfig, architecture: Architecture) -> Result<()> {
    use Architecture::{Gemma2, Gemma3, Llama, Qwen2, Qwen3};
    let name = architecture.name();
    if raw.quantization_config.is_some() {
        return Err(invalid("quantization_config is not supported; quantised weights come in GGUF files"));
    }
    let has_attention_bias = matches!(architecture, Llama | Qwen2 | Qwen3 | Gemma2 | Gemma3);
    let bidirectional = raw.use_bidirectional_attention.as_ref();
    let flags = [
        ("attention_bias", raw.attention_bias == Some(true) && !has_attention_bias),
        ("mlp_bias", raw.mlp_bias == Some(true) && architecture != Llama),
        ("use_bidirectional_attention", bidirectional.is_some_and(|v| !v.is_null() && v != false)),
        ("is_decoder", raw.is_decoder == Some(true) && architecture.is_encoder()),
        ("add_cross_attention", raw.add_cross_attention == Some(true)),
    ];
    if let Some((field, _)) = flags.into_iter().find(|(_, set)| *set) {
        return Err(invalid(format!("{field} is true, which is not supported for {name}")));
    }
    if architecture == Gemma3 && raw.attn_logit_softcapping.flatten().is_some() {
        return Err(invalid(format!("attn_logit_softcapping is not supported for {name}")));
    }
    if raw.norm_topk_prob == Some(false) {
        return Err(invalid("norm_topk_prob is false, which is not supported"));
    }
    if let Some(kind) = raw.position_embedding_type.as_deref().filter(|&kind| kind != "absolute") {
        return Err(invalid(format!("position_embedding_type {kind} is not supported; absolute is")));
    }
    Ok(())
}

/// Width of a head, derived where the file has none. Sizes of 0 are refused later.
fn head_dim(raw: &RawConfig, architecture: Architecture, hidden: usize, heads: usize) -> Result<usize> {
    let divided = matches!(architecture, Architecture::Gpt2 | Architecture::Bert);
    if let Some(head_dim) = raw.head_dim.filter(|_| !divided) {
        return Ok(head_dim);
    }
    if heads != 0 && !hidden.is_multiple_of(heads) {
        return Err(invalid(format!("num_attention_heads {heads} does not divide hidden_size {hidden}")));
    }
    Ok(hidden.checked_div(heads).unwrap_or(0))
}

fn activation(raw: &RawConfig, architecture: Architecture) -> Result<Activation> {
    let (field, name, default) = match architecture {
        Architecture::Gemma2 | Architecture::Gemma3 => {
            ("hidden_activation", raw.hidden_activation.as_deref(), "gelu_pytorch_tanh")
        }
        Architecture::Gpt2 => ("activation_function", raw.activation_function.as_deref(), "gelu_new"),
        Architecture::Bert => ("hidden_act", raw.hidden_act.as_deref(), "gelu"),
        _ => ("hidden_act", raw.hidden_act.as_deref(), "silu"),
    };
    Activation::named(field, name.unwrap_or(default))
}

fn experts(raw: &RawConfig) -> Result<ExpertsConfig> {
    Ok(ExpertsConfig {
        experts: raw.num_local_experts.or(raw.num_experts).ok_or_else(|| missing("num_local_experts"))?,
        used: raw.num_experts_per_tok.ok_or_else(|| missing("num_experts_per_tok"))?,
    })
}

/// The window, and the layers that have it.
fn windows(raw: &RawConfig, architecture: Architecture, layers: usize) -> Result<(Option<u32>, Vec<bool>)> {
    use Architecture::{Gemma2, Gemma3, Mistral, Mixtral, Phi3, Qwen2, Qwen3};
    let default = matches!(architecture, Mistral | Gemma2 | Gemma3).then_some(4096);
    let window = match architecture {
        Mistral | Mixtral | Phi3 | Gemma2 | Gemma3 => raw.sliding_window.unwrap_or(default),
        Qwen2 | Qwen3 if raw.use_sliding_window == Some(true) => raw.sliding_window.unwrap_or(Some(4096)),
        _ => None,
    };
    let window = window.map(|window| u32::try_from(window).unwrap_or(u32::MAX));
    let pattern = raw.sliding_window_pattern.or(raw._sliding_window_pattern).unwrap_or(6);
    if pattern == 0 {
        return Err(invalid("sliding_window_pattern is 0; at least 1 is needed"));
    }
    let is_sliding = |layer: usize| match architecture {
        Mistral | Mixtral | Phi3 => window.is_some(),
        Gemma2 => layer.is_multiple_of(2),
        Gemma3 => !(layer + 1).is_multiple_of(pattern),
        Qwen2 | Qwen3 => window.is_some() && layer >= raw.max_window_layers.unwrap_or(28),
        _ => false,
    };
    let by_rule: Vec<bool> = (0..layers).map(is_sliding).collect();
    let Some(types) = &raw.layer_types else { return Ok((window, by_rule)) };
    let sliding = |name: &String| match name.as_str() {
        "sliding_attention" => Ok(true),
        "full_attention" => Ok(false),
        _ => Err(invalid(format!("layer type {name} is not supported; full_attention and sliding_attention are"))),
    };
    let listed: Vec<bool> = types.iter().map(sliding).collect::<Result<_>>()?;
    if listed.len() != layers {
        return Err(invalid(format!("layer_types has {} entries for {layers} layers", listed.len())));
    }
    let free = matches!(architecture, Gemma2 | Gemma3 | Qwen2 | Qwen3);
    if !free && listed != by_rule {
        return Err(invalid(format!("layer_types does not fit sliding_window for {}", architecture.name())));
    }
    if window.is_none() && architecture != Gemma2 && architecture != Gemma3 && listed.contains(&true) {
        return Err(invalid("layer_types has sliding_attention, but there is no sliding_window"));
    }
    Ok((window, listed))
}
