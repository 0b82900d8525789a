//! Gemma 2 (Gemma Team 2024), as `Gemma2ForCausalLM`: the blocks of [`gemma`](super::gemma), a
//! window in every other layer, bounds on attention scores and logits.

use unisono_core::Result;

use super::blocks::{Loader, Stack};
use super::gemma;
use crate::config::ModelConfig;

/// Loads a model for `context_len` positions.
pub(crate) fn load(loader: &Loader<'_>, config: &ModelConfig, context_len: usize) -> Result<Stack> {
    gemma::load(loader, config, context_len, false)
}
