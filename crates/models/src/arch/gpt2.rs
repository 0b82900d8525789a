//! GPT-2 (Radford et al. 2019), as `GPT2LMHeadModel`: learned positions, layer norms before
//! attention and a plain feed-forward network, biases everywhere.

use unisono_core::Result;

use super::blocks::{Attention, DecoderLayer, Embedding, Loader, Mlp, Projections, Stack};
use crate::config::ModelConfig;

/// Loads a model: `wte` `[vocab, hidden]`, `wpe` `[positions, hidden]`, the layers `h.N`, `ln_f`.
pub(crate) fn load(loader: &Loader<'_>, config: &ModelConfig) -> Result<Stack> {
    let model = loader.at("transformer");
    let (hidden, eps) = (config.hidden_size, config.norm_eps);
    let (tokens, head) = loader.embedding_and_head("transformer.wte", config)?;
    let positions = model.tensor("wpe.weight", &[config.max_position_embeddings, hidden])?;
    let layer = |i: usize| {
        let layer = model.at(format_args!("h.{i}"));
        let (attention, mlp) = (layer.at("attn"), layer.at("mlp"));
        let qkv = Projections::Fused(attention.conv1d("c_attn", [3 * hidden, hidden])?);
        let output = attention.conv1d("c_proj", [hidden, hidden])?;
        Ok(DecoderLayer {
            attention_norm: layer.layer_norm("ln_1", hidden, eps)?,
            attention: Attention::new(config, i, qkv, output, None),
            post_attention_norm: None,
            mlp_norm: layer.layer_norm("ln_2", hidden, eps)?,
            mlp: Mlp::Plain {
                up: mlp.conv1d("c_fc", [config.intermediate_size, hidden])?,
                down: mlp.conv1d("c_proj", [hidden, config.intermediate_size])?,
                act: config.hidden_act,
            },
            post_mlp_norm: None,
        })
    };
    let layers = (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?;
    let norm = model.layer_norm("ln_f", hidden, eps)?;
    let embedding = Embedding { tokens, positions: Some(positions), scale: None };
    Ok(Stack { embedding, layers, norm, head, softcap: None, parameters: loader.parameters() })
}
