//! Mixtral (Jiang et al. 2024), as `MixtralForCausalLM`: the blocks of Llama with a mixture of
//! experts as feed-forward network.

use unisono_core::Result;

use super::blocks::{Attention, DecoderLayer, ExpertNames, Experts, Loader, Mlp, NormForm, Stack};
use crate::config::ModelConfig;

/// Loads a model for `context_len` positions.
pub(crate) fn load(loader: &Loader<'_>, config: &ModelConfig, context_len: usize) -> Result<Stack> {
    let names = ExpertNames { gate: "w1", up: "w3", down: "w2" };
    Stack::load(loader, config, context_len, NormForm::Weight, |layer, i, rope| {
        let attention = Attention::separate(&layer.at("self_attn"), config, i, rope)?;
        // Published files have the first name, new versions of `transformers` the second.
        let block = layer.at_optional("block_sparse_moe", "gate.weight");
        let block = if block.has("gate.weight") { block } else { layer.at("mlp") };
        let mlp = Mlp::Experts(Box::new(Experts::load(&block, config, names)?));
        DecoderLayer::pre_norm(layer, config, attention, mlp)
    })
}
