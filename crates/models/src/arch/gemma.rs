//! What Gemma 2 (Gemma Team 2024) and Gemma 3 (Gemma Team 2025) share: embedded tokens times
//! `√hidden`, norms by `1 + weight` before and after attention and feed-forward network, a gate
//! with the tanh form of GELU, and windows in some layers.

use unisono_core::Result;

use super::blocks::{Attention, DecoderLayer, Loader, Mlp, NormForm, Stack};
use crate::config::ModelConfig;

/// Loads a model for `context_len` positions; with `head_norms`, queries and keys are normed.
pub(crate) fn load(loader: &Loader<'_>, config: &ModelConfig, context_len: usize, head_norms: bool) -> Result<Stack> {
    Stack::load(loader, config, context_len, NormForm::OnePlusWeight, |layer, i, rope| {
        let heads = layer.at("self_attn");
        let mut attention = Attention::separate(&heads, config, i, rope)?;
        if head_norms {
            attention = attention.with_head_norms(&heads, config, NormForm::OnePlusWeight)?;
        }
        let norm = |name| layer.rms_norm(name, config.hidden_size, config.norm_eps, NormForm::OnePlusWeight);
        Ok(DecoderLayer {
            attention_norm: norm("input_layernorm")?,
            attention,
            post_attention_norm: Some(norm("post_attention_layernorm")?),
            mlp_norm: norm("pre_feedforward_layernorm")?,
            mlp: Mlp::gated(&layer.at("mlp"), config)?,
            post_mlp_norm: Some(norm("post_feedforward_layernorm")?),
        })
    })
}
