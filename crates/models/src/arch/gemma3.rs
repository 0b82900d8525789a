//! Gemma 3 (Gemma Team 2025), text only, as `Gemma3ForCausalLM`: the blocks of
//! [`gemma`](super::gemma), norms of queries and keys, a window in five of six layers, which have a
//! rotary base of their own.

use unisono_core::Result;

use super::blocks::{Loader, Stack};
use super::gemma;
use crate::config::ModelConfig;

/// Loads a model for `context_len` positions.
pub(crate) fn load(loader: &Loader<'_>, config: &ModelConfig, context_len: usize) -> Result<Stack> {
    gemma::load(loader, config, context_len, true)
}
