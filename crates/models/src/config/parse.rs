//! From the fields of the file to a configuration: the names of each architecture, its defaults,
//! and what is refused.

use unisono_core::Result;

use super::architecture::{Activation, Architecture, missing};
use super::fields::Fields;
use super::{ExpertsConfig, MAX_LAYERS, MAX_POSITIONS, MAX_SIZE, ModelConfig, invalid, nested, rope, tokens};
use crate::formats::shown;
use crate::pooling::Pooling;

/// The configuration, not checked yet.
pub(super) fn parse(json: &[u8]) -> Result<ModelConfig> {
    // The architecture comes first: it decides what the other fields mean.
    let (class, raw) = nested::text_model(Fields::parse(json)?)?;
    let model_type = if class.is_none() { raw.text("model_type")? } else { None };
    let architecture = Architecture::named(class.as_deref(), model_type.as_deref())?;
    refuse_unsupported(&raw, architecture)?;
    use Architecture::{Bert, Gemma2, Gemma3, Gpt2, Llama, Mixtral, Qwen2, Qwen3};

    let gpt2 = architecture == Gpt2;
    let mut notes: Vec<String> = raw.repeated().iter().map(|name| repeated(name)).collect();
    // GPT-2 has words of its own, beside which newer files have those of the others.
    let optional = |name: &str, gpt2_name: &str| match raw.size(name)? {
        None if gpt2 => raw.size(gpt2_name),
        size => Ok(size),
    };
    let size = |name: &str, gpt2_name: &str| {
        optional(name, gpt2_name)?.ok_or_else(|| missing(if gpt2 { gpt2_name } else { name }))
    };
    let hidden_size = size("hidden_size", "n_embd")?;
    let num_hidden_layers = size("num_hidden_layers", "n_layer")?;
    let heads = size("num_attention_heads", "n_head")?;
    // Everything below is as long as the list of layers, so that is checked here.
    for (name, value, most) in
        [("num_hidden_layers", num_hidden_layers, MAX_LAYERS), ("hidden_size", hidden_size, MAX_SIZE)]
    {
        if value > most {
            return Err(invalid(format!("{name} is {value}; 1 to {most} is possible")));
        }
    }
    let max_positions = match optional("max_position_embeddings", "n_positions")? {
        Some(positions) => positions,
        None => {
            let (name, default) =
                (if gpt2 { "n_positions" } else { "max_position_embeddings" }, architecture.context());
            notes.push(format!("{name} is not there; {default} is taken, the default of transformers"));
            default
        }
    };
    let intermediate_size = match optional("intermediate_size", "n_inner")? {
        None if gpt2 => 4 * hidden_size,
        inner => inner.ok_or_else(|| missing("intermediate_size"))?,
    };
    let head_dim = head_dim(&raw, architecture, hidden_size, heads)?;
    let norm_eps = raw.number(architecture.norm_eps_field())?;
    let norm_eps = norm_eps.ok_or_else(|| missing(architecture.norm_eps_field()))? as f32;
    let (rope, local_rope) = rope::parse(&raw, architecture, head_dim, max_positions)?;
    let (sliding_window, sliding_layers) = windows(&raw, architecture, num_hidden_layers)?;
    let gemma = matches!(architecture, Gemma2 | Gemma3);
    let scores = match architecture {
        Gemma2 | Gemma3 => raw.number("query_pre_attn_scalar")?.unwrap_or(256.0),
        Gpt2 if raw.flag("scale_attn_weights")? == Some(false) => 1.0,
        _ => head_dim as f64,
    };
    let softcap = |name: &str, default: f32| match raw.has(name) {
        true if gemma => Ok(raw.number(name)?.map(|cap| cap as f32)),
        _ => Ok::<_, unisono_core::Error>((architecture == Gemma2).then_some(default)),
    };
    let has_bias = |name: &str, architectures: &[Architecture]| match architectures.contains(&architecture) {
        true => raw.is_true(name),
        false => Ok(false),
    };
    let attention_bias = has_bias("attention_bias", &[Llama, Qwen3, Gemma2, Gemma3])?;
    let biased = matches!(architecture, Gpt2 | Bert);
    let vocab_size = raw.size("vocab_size")?.ok_or_else(|| missing("vocab_size"))?;
    let mut inside =
        |name: &str| Ok::<_, unisono_core::Error>(tokens::inside(name, raw.tokens(name)?, vocab_size, &mut notes));
    let (bos_token_ids, eos_token_ids) = (inside("bos_token_id")?, inside("eos_token_id")?);
    Ok(ModelConfig {
        architecture,
        hidden_size,
        intermediate_size,
        num_hidden_layers,
        num_attention_heads: heads,
        num_key_value_heads: if biased { heads } else { raw.size("num_key_value_heads")?.unwrap_or(heads) },
        head_dim,
        vocab_size,
        // Positions are signed 32-bit numbers; no text is longer.
        max_position_embeddings: max_positions.min(MAX_POSITIONS),
        norm_eps,
        hidden_act: activation(&raw, architecture)?,
        rope,
        local_rope,
        sliding_window,
        sliding_layers,
        attention_scale: (1.0 / scores.sqrt()) as f32,
        attention_scale_by_layer: gpt2 && raw.is_true("scale_attn_by_inverse_layer_idx")?,
        attention_softcap: softcap("attn_logit_softcapping", 50.0)?,
        final_softcap: softcap("final_logit_softcapping", 30.0)?,
        embedding_scale: gemma.then_some((hidden_size as f64).sqrt() as f32),
        qkv_bias: biased || architecture == Qwen2 || attention_bias,
        output_bias: biased || attention_bias,
        mlp_bias: biased || has_bias("mlp_bias", &[Llama])?,
        experts: if architecture == Mixtral { Some(experts(&raw)?) } else { None },
        type_vocab_size: if architecture.is_encoder() { raw.size("type_vocab_size")?.unwrap_or(2) } else { 0 },
        pooling: pooling(&raw)?,
        tie_word_embeddings: raw.flag("tie_word_embeddings")?.unwrap_or(architecture.ties_by_default()),
        bos_token_ids,
        eos_token_ids,
        notes,
    })
}

fn repeated(name: &str) -> String {
    format!("{} is there more than once; the last is taken", shown(name))
}

/// How a GGUF file says that hidden states become one vector. Files of Hugging Face say it elsewhere.
fn pooling(raw: &Fields<'_>) -> Result<Option<Pooling>> {
    match raw.text("gguf.pooling")?.as_deref() {
        None => Ok(None),
        Some("mean") => Ok(Some(Pooling::Mean)),
        Some("cls") => Ok(Some(Pooling::First)),
        Some("last") => Ok(Some(Pooling::Last)),
        Some(_) => Err(raw.wrong("gguf.pooling", "mean, cls and last are possible")),
    }
}

/// Fields whose effect is not implemented.
fn refuse_unsupported(raw: &Fields<'_>, architecture: Architecture) -> Result<()> {
    use Architecture::{Bert, Gemma2, Gemma3, Gpt2, Llama, Qwen2, Qwen3};
    let name = architecture.name();
    if raw.set("quantization_config").is_some() {
        return Err(invalid("quantization_config is not supported; quantised weights come in GGUF files"));
    }
    let has_attention_bias = matches!(architecture, Llama | Qwen2 | Qwen3 | Gemma2 | Gemma3);
    let flags = [
        ("attention_bias", !has_attention_bias),
        ("mlp_bias", architecture != Llama),
        ("use_bidirectional_attention", true),
        ("is_decoder", architecture.is_encoder()),
        ("add_cross_attention", matches!(architecture, Bert | Gpt2)),
    ];
    if let Some((field, _)) = flags.into_iter().find(|&(field, refused)| refused && raw.set(field).is_some()) {
        return Err(invalid(format!("{field} is true, which is not supported for {name}")));
    }
    if architecture == Gemma3 && raw.number("attn_logit_softcapping")?.is_some() {
        return Err(invalid(format!("attn_logit_softcapping is not supported for {name}")));
    }
    if architecture == Architecture::Mixtral && raw.flag("norm_topk_prob")? == Some(false) {
        return Err(invalid("norm_topk_prob is false, which is not supported"));
    }
    if architecture == Bert
        && let Some(kind) = raw.text("position_embedding_type")?.filter(|kind| kind != "absolute")
    {
        return Err(invalid(format!("position_embedding_type {kind} is not supported; absolute is")));
    }
    Ok(())
}

/// Width of a head, derived where the file has none. Sizes of 0 are refused later.
fn head_dim(raw: &Fields<'_>, architecture: Architecture, hidden: usize, heads: usize) -> Result<usize> {
    if !matches!(architecture, Architecture::Gpt2 | Architecture::Bert)
        && let Some(head_dim) = raw.size("head_dim")?
    {
        return Ok(head_dim);
    }
    if heads != 0 && !hidden.is_multiple_of(heads) {
        return Err(invalid(format!("num_attention_heads {heads} does not divide hidden_size {hidden}")));
    }
    Ok(hidden.checked_div(heads).unwrap_or(0))
}

fn activation(raw: &Fields<'_>, architecture: Architecture) -> Result<Activation> {
    let (field, default) = match architecture {
        Architecture::Gemma2 | Architecture::Gemma3 => ("hidden_activation", "gelu_pytorch_tanh"),
        Architecture::Gpt2 => ("activation_function", "gelu_new"),
        Architecture::Bert => ("hidden_act", "gelu"),
        _ => ("hidden_act", "silu"),
    };
    Activation::named(field, raw.text(field)?.as_deref().unwrap_or(default))
}

fn experts(raw: &Fields<'_>) -> Result<ExpertsConfig> {
    let count = match raw.size("num_local_experts")? {
        Some(count) => Some(count),
        None => raw.size("num_experts")?,
    };
    Ok(ExpertsConfig {
        experts: count.ok_or_else(|| missing("num_local_experts"))?,
        used: raw.size("num_experts_per_tok")?.ok_or_else(|| missing("num_experts_per_tok"))?,
    })
}

/// The window, and the layers that have it.
fn windows(raw: &Fields<'_>, architecture: Architecture, layers: usize) -> Result<(Option<u32>, Vec<bool>)> {
    use Architecture::{Bert, Gemma2, Gemma3, Gpt2, Mistral, Mixtral, Phi3, Qwen2, Qwen3};
    let qwen = matches!(architecture, Qwen2 | Qwen3);
    let default = matches!(architecture, Mistral | Gemma2 | Gemma3 | Qwen2 | Qwen3).then_some(4096);
    let has_window = match architecture {
        Mistral | Mixtral | Phi3 | Gemma2 | Gemma3 => true,
        _ => qwen && raw.is_true("use_sliding_window")?,
    };
    let window = match has_window {
        true if raw.has("sliding_window") => raw.size("sliding_window")?,
        true => default,
        false => None,
    };
    let window = window.map(|window| u32::try_from(window).unwrap_or(u32::MAX));
    let (mut pattern, mut first) = (6, 0);
    if architecture == Gemma3 {
        let given = match raw.size("sliding_window_pattern")? {
            Some(pattern) => Some(pattern),
            None => raw.size("_sliding_window_pattern")?,
        };
        pattern = given.unwrap_or(pattern);
    }
    if pattern == 0 {
        return Err(invalid("sliding_window_pattern is 0; at least 1 is needed"));
    }
    if qwen && window.is_some() {
        first = raw.size("max_window_layers")?.unwrap_or(28);
    }
    let is_sliding = |layer: usize| match architecture {
        Mistral | Mixtral | Phi3 => window.is_some(),
        Gemma2 => layer.is_multiple_of(2),
        Gemma3 => !(layer + 1).is_multiple_of(pattern),
        Qwen2 | Qwen3 => window.is_some() && layer >= first,
        _ => false,
    };
    let by_rule: Vec<bool> = (0..layers).map(is_sliding).collect();
    if matches!(architecture, Gpt2 | Bert) {
        return Ok((window, by_rule));
    }
    let Some(types) = raw.texts("layer_types")? else { return Ok((window, by_rule)) };
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
