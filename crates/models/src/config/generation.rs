//! `generation_config.json`: how the authors of a model generate text with it.
//!
//! Models for chats name the tokens that end a turn there, often more than `config.json` does. How
//! tokens are drawn is the caller's choice, so nothing else of the file is read.

use serde::Deserialize;
use unisono_core::{Error, Result};

use super::raw::TokenIds;
use crate::formats::printable;

#[derive(Deserialize)]
struct RawGeneration {
    eos_token_id: Option<TokenIds>,
}

/// The tokens that end texts. Fails on one outside the vocabulary.
pub(crate) fn end_tokens(json: &[u8], vocab_size: usize) -> Result<Vec<u32>> {
    let fail = |why: String| Error::invalid(format!("generation_config.json: {}", printable(why)));
    let raw: RawGeneration = serde_json::from_slice(json).map_err(|e| fail(e.to_string()))?;
    let ids = raw.eos_token_id.map(TokenIds::into_vec).unwrap_or_default();
    match ids.iter().find(|&&id| id as usize >= vocab_size) {
        Some(id) => Err(fail(format!("eos_token_id {id} is outside the vocabulary of {vocab_size}"))),
        None => Ok(ids),
    }
}
