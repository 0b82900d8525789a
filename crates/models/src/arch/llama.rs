//! Llama 2 and 3 (Touvron et al. 2023; Dubey et al. 2024), as `LlamaForCausalLM`: RMS norms before
//! grouped-query attention with rotary embedding and before a SwiGLU network.

use unisono_core::Result;

use super::blocks::{Attention, DecoderLayer, Loader, Mlp, NormForm, Stack};
use crate::config::ModelConfig;

/// Loads a model for `context_len` positions.
pub(crate) fn load(loader: &Loader<'_>, config: &ModelConfig, context_len: usize) -> Result<Stack> {
    Stack::load(loader, config, context_len, NormForm::Weight, |layer, i, rope| {
        let attention = Attention::separate(&layer.at("self_attn"), config, i, rope)?;
        let mlp = Mlp::gated(&layer.at("mlp"), config)?;
        DecoderLayer::pre_norm(layer, config, attention, mlp)
    })
}
