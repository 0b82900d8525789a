//! Qwen 3 without experts (Yang et al. 2025), as `Qwen3ForCausalLM`: the blocks of Llama with an
//! RMS norm of each head's queries and keys before they are rotated.

use unisono_core::Result;

use super::blocks::{Attention, DecoderLayer, Loader, Mlp, NormForm, Stack};
use crate::config::ModelConfig;

/// Loads a model for `context_len` positions.
pub(crate) fn load(loader: &Loader<'_>, config: &ModelConfig, context_len: usize) -> Result<Stack> {
    Stack::load(loader, config, context_len, NormForm::Weight, |layer, i, rope| {
        let heads = layer.at("self_attn");
        let attention = Attention::separate(&heads, config, i, rope)?;
        let attention = attention.with_head_norms(&heads, config, NormForm::Weight)?;
        let mlp = Mlp::gated(&layer.at("mlp"), config)?;
        DecoderLayer::pre_norm(layer, config, attention, mlp)
    })
}
