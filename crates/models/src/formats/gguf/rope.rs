//! Rotary parameters of a GGUF model in the words of `config.json`.
//!
//! llama.cpp turns pair `i` of a token at position `p` by `p·θ^(−2i/d) / (factorᵢ·scale)`, with the
//! factors in a tensor (`rope_freqs`; for Phi-3 `rope_factors_short` and `rope_factors_long`) and
//! the scale in the metadata.

use serde_json::{Value, json};
use unisono_core::{DType, Error, Result};

use super::config::tensor;
use super::keys::Keys;
use super::{Architecture, Set};

/// Fields of `config.json`; those that are `None` stay out of it.
pub(super) struct Rope {
    pub(super) theta: f64,
    /// The base in layers with a window, where it differs (Gemma 3).
    pub(super) local_theta: Option<f64>,
    pub(super) scaling: Option<Value>,
    /// How much of a head is rotated, if not all.
    pub(super) share: Option<f64>,
    pub(super) original_context: Option<usize>,
}

pub(super) fn parameters(keys: &Keys<'_>, head_dim: usize) -> Result<Rope> {
    let rotated = keys.optional_size("rope.dimension_count")?.unwrap_or(head_dim);
    if rotated > head_dim {
        return Err(keys.wrong("rope.dimension_count", format_args!("at most {head_dim}, the width of a head")));
    }
    let local_theta = match keys.set.architecture {
        Architecture::Gemma3 => Some(keys.optional_number("rope.freq_base_swa")?.unwrap_or(10_000.0)),
        _ => None,
    };
    Ok(Rope {
        theta: keys.optional_number("rope.freq_base")?.unwrap_or(10_000.0),
        local_theta,
        scaling: scaling(keys, rotated / 2)?,
        share: (rotated != head_dim).then(|| share(rotated, head_dim)),
        original_context: keys.optional_size("rope.scaling.original_context_length")?,
    })
}

/// `rotated / head_dim`, rounded so that the product with `head_dim` is not below `rotated`.
fn share(rotated: usize, head_dim: usize) -> f64 {
    let share = rotated as f64 / head_dim as f64;
    if share * (head_dim as f64) < rotated as f64 { share.next_up() } else { share }
}

fn scaling(keys: &Keys<'_>, pairs: usize) -> Result<Option<Value>> {
    let attention = keys.optional_number("rope.scaling.attn_factor")?;
    if let Some(long) = factors(keys.set, "rope_factors_long.weight", pairs)? {
        let short = factors(keys.set, "rope_factors_short.weight", pairs)?.ok_or_else(|| {
            Error::invalid(format!("tensor rope_factors_short.weight is missing in {}", keys.set.name()))
        })?;
        let attention = attention.unwrap_or(1.0);
        let scaling =
            json!({"rope_type": "longrope", "short_factor": short, "long_factor": long, "attention_factor": attention});
        return Ok(Some(scaling));
    }
    // 0 stands for no scaling, and the second key is that of early files.
    let scale = keys.optional_number("rope.scaling.factor")?.or(keys.optional_number("rope.scale_linear")?);
    let scale = scale.filter(|&scale| scale != 0.0).unwrap_or(1.0);
    let kind = keys.text("rope.scaling.type")?.unwrap_or("linear");
    match (factors(keys.set, "rope_freqs.weight", pairs)?, kind) {
        (Some(factors), "none") => Ok(Some(json!({"rope_type": "factors", "factors": factors}))),
        (Some(factors), "linear") => {
            let factors: Vec<f64> = factors.into_iter().map(|factor| factor * scale).collect();
            Ok(Some(json!({"rope_type": "factors", "factors": factors})))
        }
        (Some(_), _) => Err(keys.wrong("rope.scaling.type", "none or linear, as there is a tensor rope_freqs.weight")),
        (None, "none") => Ok(None),
        (None, "linear") if scale == 1.0 => Ok(None),
        (None, "linear") => Ok(Some(json!({"rope_type": "linear", "factor": scale}))),
        (None, "yarn") => {
            let original = keys.size("rope.scaling.original_context_length")?;
            // llama.cpp multiplies its own temperature with the factor of the file.
            let attention = attention.map(|factor| factor * (1.0 + 0.1 * scale.max(1.0).ln()));
            let mut scaling = json!({
                "rope_type": "yarn", "factor": scale, "original_max_position_embeddings": original,
                "attention_factor": attention,
                "beta_fast": keys.optional_number("rope.scaling.yarn_beta_fast")?,
                "beta_slow": keys.optional_number("rope.scaling.yarn_beta_slow")?,
            });
            if let Some(fields) = scaling.as_object_mut() {
                fields.retain(|_, value| !value.is_null());
            }
            Ok(Some(scaling))
        }
        (None, _) => Err(keys.wrong("rope.scaling.type", "none, linear or yarn")),
    }
}

/// The values of a tensor `[pairs]` in f32, if it is there.
fn factors(set: &Set, name: &str, pairs: usize) -> Result<Option<Vec<f64>>> {
    let Some(info) = tensor(set, name) else { return Ok(None) };
    let Some(part) = set.parts.iter().find(|part| part.file.tensors().contains_key(name)) else { return Ok(None) };
    if info.stored.dtype() != Some(DType::F32) || info.shape != [pairs] {
        let (is, shape) = (info.stored, &info.shape);
        let message = format!("{}: tensor {name} is {is} {shape:?}; F32 [{pairs}] is possible", part.name);
        return Err(Error::shape(message));
    }
    let bytes = part.data.bytes()?.get(info.bytes.clone()).unwrap_or_default();
    let values: Vec<f64> = bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b).into()).collect();
    if values.iter().any(|v| !v.is_finite()) {
        return Err(Error::invalid(format!("{}: tensor {name} holds values that are not finite", part.name)));
    }
    Ok(Some(values))
}
