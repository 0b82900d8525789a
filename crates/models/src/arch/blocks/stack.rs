//! The graph that all decoders share: norms before attention and feed-forward network, residual
//! additions after them, a final norm and a projection to the vocabulary.
//!
//! One function serves prefill and decode: `n` tokens with their positions go in, their keys and
//! values go into the cache, and attention reads the cache. Each addition runs together with the
//! norm after it.

use unisono_core::op::UnaryOp;
use unisono_core::{Error, Result, Tensor};

use super::norm::NormForm;
use super::rope::Rope;
use super::{Attention, Embedding, Linear, Loader, Mlp, Norm, Ropes};
use crate::arch::Decoder;
use crate::config::ModelConfig;
use crate::engine::cache::KvCache;
use crate::engine::step::StepInputs;

/// A decoder on a device.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) embedding: Embedding,
    pub(crate) layers: Vec<DecoderLayer>,
    pub(crate) norm: Norm,
    /// `[vocab, hidden]`; absent where only hidden states are wanted.
    pub(crate) head: Option<Linear>,
    /// Bound on the logits.
    pub(crate) softcap: Option<f32>,
    /// Number of weights.
    pub(crate) parameters: u64,
}

/// One layer: `x + post(attention(norm(x)))`, then `x + post(mlp(norm(x)))`.
#[derive(Debug)]
pub(crate) struct DecoderLayer {
    pub(crate) attention_norm: Norm,
    pub(crate) attention: Attention,
    /// A norm of what attention adds (Gemma).
    pub(crate) post_attention_norm: Option<Norm>,
    pub(crate) mlp_norm: Norm,
    pub(crate) mlp: Mlp,
    /// A norm of what the feed-forward network adds (Gemma).
    pub(crate) post_mlp_norm: Option<Norm>,
}

impl Stack {
    /// A model with the names of the Llama family: `model.embed_tokens` `[vocab, hidden]`,
    /// `model.layers.N`, `model.norm` `[hidden]` and, if it is not tied, `lm_head`
    /// `[vocab, hidden]`. `layer` loads one layer from the tensors below its name.
    pub(crate) fn load(
        loader: &Loader<'_>,
        config: &ModelConfig,
        context_len: usize,
        norm: NormForm,
        layer: impl Fn(&Loader<'_>, usize, Option<Rope>) -> Result<DecoderLayer>,
    ) -> Result<Stack> {
        let model = loader.at("model");
        let (tokens, head) = loader.embedding_and_head("model.embed_tokens", config)?;
        let ropes = Ropes::load(loader, config, context_len)?;
        let load = |i| layer(&model.at(format_args!("layers.{i}")), i, ropes.of_layer(config, i));
        let layers = (0..config.num_hidden_layers).map(load).collect::<Result<_>>()?;
        let norm = model.rms_norm("norm", config.hidden_size, config.norm_eps, norm)?;
        let embedding = Embedding { tokens, positions: None, scale: config.embedding_scale };
        Ok(Stack { embedding, layers, norm, head, softcap: config.final_softcap, parameters: loader.parameters() })
    }
}

impl DecoderLayer {
    /// With norms before attention and feed-forward network only, in the names of Llama.
    pub(crate) fn pre_norm(
        loader: &Loader<'_>,
        config: &ModelConfig,
        attention: Attention,
        mlp: Mlp,
    ) -> Result<DecoderLayer> {
        let norm = |name| loader.rms_norm(name, config.hidden_size, config.norm_eps, NormForm::Weight);
        Ok(DecoderLayer {
            attention_norm: norm("input_layernorm")?,
            attention,
            post_attention_norm: None,
            mlp_norm: norm("post_attention_layernorm")?,
            mlp,
            post_mlp_norm: None,
        })
    }
}

impl Decoder for Stack {
    fn hidden(&self, step: &StepInputs, cache: &KvCache) -> Result<Tensor> {
        let normed = |norm: &Option<Norm>, x: Tensor| norm.as_ref().map_or(Ok(x.clone()), |norm| norm.forward(&x));
        let first = self.layers.first().ok_or_else(|| Error::invalid("the model has no layer"))?;
        let mut residual = self.embedding.forward(step)?;
        let mut x = first.attention_norm.forward(&residual)?;
        for (i, layer) in self.layers.iter().enumerate() {
            let attended = normed(&layer.post_attention_norm, layer.attention.forward(i, &x, step, cache)?)?;
            (residual, x) = layer.mlp_norm.after_add(&attended, &residual)?;
            let computed = normed(&layer.post_mlp_norm, layer.mlp.forward(&x)?)?;
            let next = self.layers.get(i + 1).map_or(&self.norm, |next| &next.attention_norm);
            (residual, x) = next.after_add(&computed, &residual)?;
        }
        Ok(x)
    }

    fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let head = self.head.as_ref().ok_or_else(|| Error::invalid("the model was loaded for embedding"))?;
        let logits = head.forward(hidden)?;
        match self.softcap {
            Some(cap) => logits.scale_shift(1.0 / cap, 0.0)?.unary(UnaryOp::Tanh)?.scale_shift(cap, 0.0),
            None => Ok(logits),
        }
    }

    fn parameters(&self) -> u64 {
        self.parameters
    }
}
