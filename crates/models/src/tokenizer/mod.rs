//! Text to tokens and back, by the `tokenizers` crate and a checkpoint's `tokenizer.json`.

mod detokenizer;
mod vocabulary;

use unisono_core::{Error, Result};

pub use detokenizer::Detokenizer;
pub use vocabulary::{TokenType, Vocabulary};

/// The tokenizer of a model.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

impl Tokenizer {
    /// From the content of `tokenizer.json`.
    pub fn from_bytes(json: &[u8]) -> Result<Tokenizer> {
        let inner =
            tokenizers::Tokenizer::from_bytes(json).map_err(|e| Error::invalid(format!("tokenizer.json: {e}")))?;
        Ok(Tokenizer { inner })
    }

    /// The tokens of a text. `special` adds what the tokenizer's template asks for, usually the
    /// token that begins a text.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        let encoding =
            self.inner.encode_fast(text, special).map_err(|e| Error::invalid(format!("cannot tokenize: {e}")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of tokens, without special ones. Incomplete UTF-8 becomes U+FFFD; use
    /// [`Detokenizer`] for a stream.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        self.inner.decode(tokens, true).map_err(|e| Error::invalid(format!("cannot decode {tokens:?}: {e}")))
    }

    /// Number of tokens, added ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The number of a token by its exact text.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }
}
