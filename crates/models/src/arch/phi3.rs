//! Phi-3 (Abdin et al. 2024), as `Phi3ForCausalLM`: the blocks of Llama with queries, keys and
//! values in one weight, gate and up in another, rotary embedding of a part of each head, and
//! LongRoPE for long contexts.

use unisono_core::Result;

use super::blocks::{Attention, DecoderLayer, Loader, Mlp, NormForm, Projections, Stack};
use crate::config::ModelConfig;

/// Loads a model for `context_len` positions.
pub(crate) fn load(loader: &Loader<'_>, config: &ModelConfig, context_len: usize) -> Result<Stack> {
    let (hidden, inner, q_size) = (config.hidden_size, config.intermediate_size, config.q_size());
    Stack::load(loader, config, context_len, NormForm::Weight, |layer, i, rope| {
        let (attention, mlp) = (layer.at("self_attn"), layer.at("mlp"));
        let qkv = attention.linear("qkv_proj", [q_size + 2 * config.kv_size(), hidden], false)?;
        let output = attention.linear("o_proj", [hidden, q_size], false)?;
        let attention = Attention::new(config, i, Projections::Fused(qkv), output, rope);
        let mlp = Mlp::GatedFused {
            gate_up: mlp.linear("gate_up_proj", [2 * inner, hidden], false)?,
            down: mlp.linear("down_proj", [hidden, inner], false)?,
            act: config.hidden_act,
        };
        DecoderLayer::pre_norm(layer, config, attention, mlp)
    })
}
