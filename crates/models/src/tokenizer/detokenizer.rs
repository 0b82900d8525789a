//! Text as it is generated.
//!
//! A token of a byte-level vocabulary can end inside a character, and some decoders treat the
//! first token of a text differently. So the text of the recent tokens is decoded as a whole, and
//! only what follows the text already given out is new; a trailing replacement character means
//! that more bytes may come, and is held back.

use unisono_core::Result;

use crate::tokenizer::Tokenizer;

/// Turns a stream of tokens into a stream of text that never splits a character.
#[derive(Debug)]
pub struct Detokenizer<'a> {
    tokenizer: &'a Tokenizer,
    /// Tokens that still matter: those of the last piece of text, for context, then new ones.
    recent: Vec<u32>,
    /// How many of `recent` have been given out.
    given: usize,
}

impl<'a> Detokenizer<'a> {
    /// At the beginning of a text.
    pub fn new(tokenizer: &'a Tokenizer) -> Detokenizer<'a> {
        Detokenizer { tokenizer, recent: Vec::new(), given: 0 }
    }

    /// Continues after `tokens`, whose text is not given out again.
    pub fn after(tokenizer: &'a Tokenizer, tokens: &[u32]) -> Detokenizer<'a> {
        // A few tokens are context enough, and keep the cost of a step constant.
        let recent = tokens[tokens.len().saturating_sub(8)..].to_vec();
        Detokenizer { tokenizer, given: recent.len(), recent }
    }

    /// Adds a token and returns the text that became certain, often all of it, sometimes none.
    pub fn push(&mut self, token: u32) -> Result<String> {
        self.recent.push(token);
        let (before, now) = self.texts()?;
        if now.ends_with('\u{FFFD}') {
            return Ok(String::new());
        }
        let text = suffix(&before, &now);
        if !text.is_empty() {
            self.recent.drain(..self.given);
            self.given = self.recent.len();
        }
        Ok(text)
    }

    /// The text held back, with U+FFFD for bytes that never became a character.
    pub fn finish(self) -> Result<String> {
        let (before, now) = self.texts()?;
        Ok(suffix(&before, &now))
    }

    fn texts(&self) -> Result<(String, String)> {
        Ok((self.tokenizer.decode(&self.recent[..self.given])?, self.tokenizer.decode(&self.recent)?))
    }
}

/// What `now` says beyond `before`. A prompt that ends inside a character leaves a replacement
/// character in `before` that the next token resolves: the comparison ends there.
fn suffix(before: &str, now: &str) -> String {
    let before = before.trim_end_matches('\u{FFFD}');
    now.strip_prefix(before).unwrap_or_default().to_owned()
}
