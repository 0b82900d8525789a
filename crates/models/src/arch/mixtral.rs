//! Mixtral (Jiang et al. 2024), as `MixtralForCausalLM`: the blocks of Llama with a mixture of
//! experts as feed-forward network.

use unisono_core::Result;

use super::blocks::{Attention, DecoderLayer, ExpertNames, Experts, Loader, Mlp, NormForm, Stack};
use crate::config::ModelConfig;

/// Published files have experts one by one; those with stacked ones have them below `mlp`.
const NAMES: ExpertNames = ExpertNames {
    router: ["block_sparse_moe.gate.weight", "mlp.gate.weight"],
    stacked: "mlp.experts",
    single: "block_sparse_moe.experts",
    gate: "w1",
    up: "w3",
    down: "w2",
};

/// Loads a model for `context_len` positions.
pub(crate) fn load(loader: &Loader<'_>, config: &ModelConfig, context_len: usize) -> Result<Stack> {
    Stack::load(loader, config, context_len, NormForm::Weight, |layer, i, rope| {
        let attention = Attention::separate(&layer.at("self_attn"), config, i, rope)?;
        let mlp = Mlp::Experts(Box::new(Experts::load(layer, config, &NAMES)?));
        DecoderLayer::pre_norm(layer, config, attention, mlp)
    })
}
