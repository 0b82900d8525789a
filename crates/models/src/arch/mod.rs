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

/// Puts the weights of a decoder on a device, with what it needs for `context_len` positions.
pub(crate) fn load_decoder(
    device: &Device,
    config: &ModelConfig,
    weights: &Weights<'_>,
    context_len: usize,
) -> Result<Box<dyn Decoder>> {
    let parameters = Cell::new(0);
    let loader = &Loader::new(device, weights, &parameters);
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
            return Err(Error::invalid("config.json: BertModel is an encoder; it predicts no tokens"));
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
        other => {
            let message = format!("config.json: {} is a decoder; encoders are wanted here", other.name());
            Err(Error::invalid(message))
        }
    }
}
