//! The architectures: one file each, which knows the names and shapes of its weights and the order
//! of its blocks.

mod llama;

use std::fmt;

use unisono_core::{Device, Result, Tensor};

use crate::config::ModelConfig;
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

/// Puts the weights of a decoder on a device, with what it needs for `context_len` positions.
pub(crate) fn load_decoder(
    device: &Device,
    config: &ModelConfig,
    weights: &Weights<'_>,
    context_len: usize,
) -> Result<Box<dyn Decoder>> {
    Ok(Box::new(llama::Llama::load(device, config, weights, context_len)?))
}
