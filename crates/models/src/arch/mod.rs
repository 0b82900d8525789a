//! The architectures: one file each, which knows the names and shapes of its weights and the order
//! of its blocks. What the blocks compute is in [`blocks`].

mod bert;
mod blocks;
mod gemma;
mod gemma2;
mod gemma3;
mod gpt2;
mod llama;
mod mistral;
mod mixtral;
mod phi3;
mod qwen2;
mod qwen3;

use std::cell::Cell;
use std::fmt;

use unisono_core::{Device, Error, Result, Tensor};

use crate::arch::blocks::{Loader, Stack};
use crate::config::{Architecture, ModelConfig};
use crate::engine::cache::KvCache;
use crate::engine::step::StepInputs;
use crate::formats::Weights;

/// A network that predicts the next token: its weights on a device, and its graph.
pub(crate) trait Decoder: fmt::Debug + Send + Sync {
    /// Hidden states after the final norm, f32 `[n, hidden]`. Updates the cache.
    fn hidden(&self, step: &StepInputs, cache: &KvCache) -> Result<Tensor>;

    /// Logits of hidden states `[n, hidden]`, f32 `[n, vocab]`.
    fn logits(&self, hidden: &Tensor) -> Result<Tensor>;

    /// Number of weights, tied ones once.
    fn parameters(&self) -> u64;
}

/// A network that turns whole texts into hidden states.
pub(crate) trait Encoder: fmt::Debug + Send + Sync {
    /// Hidden states after the last layer, f32 `[batch, tokens, hidden]`. Those of padding are
    /// finite and mean nothing.
    fn hidden(&self, inputs: &EncoderInputs) -> Result<Tensor>;

    /// Number of weights.
    fn parameters(&self) -> u64;
}

/// Several texts, padded at the end to one length.
#[derive(Debug)]
pub(crate) struct EncoderInputs {
    /// Token ids, u32 `[batch, tokens]`.
    pub(crate) tokens: Tensor,
    /// Types of the tokens, u32 `[batch, tokens]`.
    pub(crate) types: Tensor,
    /// Tokens of each text, u32 `[batch]`.
    pub(crate) lengths: Tensor,
}

/// Whether a decoder predicts tokens, or its hidden states are all that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// With the output projection.
    Predict,
    /// Without: checkpoints for embedding often have none.
    Embed,
}

/// Decides whether the output projection is the embedding table. Where the configuration says so and
/// the file has a projection with other values, that is used, as transformers does: the note says so.
pub(crate) fn resolve_tying(config: &mut ModelConfig, weights: &Weights<'_>) -> Result<Option<String>> {
    let embedding = match config.architecture {
        Architecture::Gpt2 => "transformer.wte.weight",
        _ => "model.embed_tokens.weight",
    };
    let stored = config.tie_word_embeddings && weights.contains(embedding) && weights.contains(HEAD);
    if config.architecture.is_encoder() || !stored || weights.equal(embedding, HEAD)? {
        return Ok(None);
    }
    config.tie_word_embeddings = false;
    Ok(Some(format!(
        "tie_word_embeddings is true, but {} has {HEAD} with other values than {embedding}: the stored output \
         projection is used",
        weights.file_names()
    )))
}

/// The output projection.
const HEAD: &str = "lm_head.weight";

/// Puts the weights of a decoder on a device, with what it needs for `context_len` positions.
pub(crate) fn load_decoder(
    device: &Device,
    config: &ModelConfig,
    weights: &Weights<'_>,
    context_len: usize,
    purpose: Purpose,
) -> Result<Box<dyn Decoder>> {
    let parameters = Cell::new(0);
    let loader = &Loader::new(device, weights, &parameters).with_head(purpose == Purpose::Predict);
    let stack: Stack = match config.architecture {
        Architecture::Llama => llama::load(loader, config, context_len)?,
        Architecture::Mistral => mistral::load(loader, config, context_len)?,
        Architecture::Mixtral => mixtral::load(loader, config, context_len)?,
        Architecture::Qwen2 => qwen2::load(loader, config, context_len)?,
        Architecture::Qwen3 => qwen3::load(loader, config, context_len)?,
        Architecture::Gemma2 => gemma2::load(loader, config, context_len)?,
        Architecture::Gemma3 => gemma3::load(loader, config, context_len)?,
        Architecture::Phi3 => phi3::load(loader, config, context_len)?,
        Architecture::Gpt2 => gpt2::load(loader, config)?,
        Architecture::Bert => {
            let (files, name) = (weights.file_names(), config.architecture.name());
            return Err(Error::invalid(format!(
                "{files}: {name} is an encoder; it embeds texts and predicts no tokens"
            )));
        }
    };
    Ok(Box::new(stack))
}

/// Puts the weights of an encoder on a device.
pub(crate) fn load_encoder(device: &Device, config: &ModelConfig, weights: &Weights<'_>) -> Result<Box<dyn Encoder>> {
    let parameters = Cell::new(0);
    let loader = Loader::new(device, weights, &parameters);
    match config.architecture {
        Architecture::Bert => Ok(Box::new(bert::load(&loader, config)?)),
        other => Err(Error::internal(format!("{} is no encoder", other.name()))),
    }
}
