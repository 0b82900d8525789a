//! `generation_config.json`: how the authors of a model generate text with it.
//!
//! Models for chats name the tokens that end a turn there, often more than `config.json` does. How
//! tokens are drawn is the caller's choice, so nothing else of the file is read.

use unisono_core::Result;

use super::fields::Fields;
use super::{tokens, within};
use crate::formats::python_json;

const FILE: &str = "generation_config.json";

/// The tokens that end texts, and notes on those that are outside the vocabulary.
pub(crate) fn end_tokens(json: &[u8], vocab_size: usize) -> Result<(Vec<u32>, Vec<String>)> {
    let json = python_json(FILE, json)?;
    let ids = Fields::parse(&json).and_then(|fields| fields.tokens("eos_token_id")).map_err(|e| within(FILE, &e))?;
    let mut notes = Vec::new();
    let ids = tokens::inside("eos_token_id", ids, vocab_size, &mut notes);
    Ok((ids, notes.into_iter().map(|note| format!("{FILE}: {note}")).collect()))
}
