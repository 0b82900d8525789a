//! The `tokenizers` crate, wrapped: what it is given is checked first, and a panic inside it is an
//! error here.
//!
//! The crate was written for files of known origin. What is known to make it panic or to eat memory
//! is refused by [`guard`](super::guard); the rest, malformed tables that it indexes, is caught where
//! the target can unwind.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::{AddedToken, AddedVocabulary, Model, OffsetType, PreTokenizer};
use unisono_core::{Error, Result};

use crate::tokenizer::pieces::Pieces;
use crate::tokenizer::{Reading, guard};

/// A tokenizer of the crate.
#[derive(Clone, Debug)]
pub(super) struct Library {
    inner: tokenizers::Tokenizer,
    /// The added tokens, reading special ones as text.
    plain: AddedVocabulary,
    /// Decodes instead of the crate, where the bytes of tokens are known.
    pieces: Option<Pieces>,
    /// Special tokens, by their numbers. The crate goes by the text, which it no longer finds where a
    /// normaliser changes it.
    special: HashSet<u32>,
    /// Letters that no token spells; a text with one is an error, where the crate would drop it.
    missing: HashSet<char>,
}

impl Library {
    pub(super) fn from_json(json: &[u8]) -> Result<Library> {
        guard::check(json)?;
        Ok(Library::new(guarded("tokenizer.json", || tokenizers::Tokenizer::from_bytes(json))?))
    }

    /// From a tokenizer with its added tokens.
    pub(super) fn new(mut inner: tokenizers::Tokenizer) -> Library {
        inner.with_padding(None);
        // Cannot fail: only parameters are checked, and there are none.
        let _ = inner.with_truncation(None);
        let mut plain = inner.get_added_vocabulary().clone();
        plain.set_encode_special_tokens(true);
        let added = plain.get_added_tokens_decoder();
        let special = added.iter().filter(|(_, token)| token.special).map(|(&id, _)| id).collect();
        Library { inner, plain, pieces: None, special, missing: HashSet::new() }
    }

    /// Decodes by the bytes of tokens, and refuses text with letters that no token spells.
    pub(super) fn with_pieces(mut self, pieces: Pieces, missing: HashSet<char>) -> Library {
        (self.pieces, self.missing) = (Some(pieces), missing);
        self
    }

    pub(super) fn encode(&self, text: &str, reading: Reading<'_>, special: bool) -> Result<Vec<u32>> {
        let (added, hidden) = match reading {
            Reading::Plain => (&self.plain, &[][..]),
            Reading::Specials(hidden) => (self.inner.get_added_vocabulary(), hidden.pairs()),
        };
        guarded("cannot tokenize", || {
            let mut words = added.extract_and_normalize(self.inner.get_normalizer(), text);
            for &(stand_in, original) in hidden {
                words.normalize(|word| word.replace(stand_in, original.encode_utf8(&mut [0; 4])))?;
            }
            if let Some(pre_tokenizer) = self.inner.get_pre_tokenizer() {
                pre_tokenizer.pre_tokenize(&mut words)?;
            }
            words.tokenize(|word| match word.get().chars().find(|c| self.missing.contains(c)) {
                Some(c) => Err(format!("the vocabulary has no token for the byte letter {c:?}").into()),
                None => self.inner.get_model().tokenize(word.get()),
            })?;
            let mut encoding = words.into_encoding(None, 0, OffsetType::None)?;
            if special {
                encoding = self.inner.post_process(encoding, None, true)?;
            }
            Ok(encoding.get_ids().to_vec())
        })
    }

    pub(super) fn decode(&self, tokens: &[u32], special: bool) -> Result<String> {
        match &self.pieces {
            Some(pieces) => Ok(pieces.decode(tokens, special)),
            None if special => guarded("cannot decode", || self.inner.decode(tokens, false)),
            None => {
                let tokens: Vec<u32> = tokens.iter().copied().filter(|id| !self.special.contains(id)).collect();
                guarded("cannot decode", || self.inner.decode(&tokens, false))
            }
        }
    }

    /// Special tokens with their ids.
    pub(super) fn specials(&self) -> Vec<(String, u32)> {
        let added = self.inner.get_added_vocabulary().get_added_tokens_decoder();
        added.iter().filter(|(_, token)| token.special).map(|(&id, token)| (token.content.clone(), id)).collect()
    }

    pub(super) fn vocab_size(&self) -> usize {
        let model = self.inner.get_model();
        let added = self.inner.get_added_vocabulary().get_added_tokens_decoder().keys();
        model.get_vocab_size() + added.filter(|&&id| model.id_to_token(id).is_none()).count()
    }

    pub(super) fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// How the vocabulary spells a token. The crate gives added tokens as normalised text.
    pub(super) fn token(&self, id: u32) -> Option<String> {
        let added = self.inner.get_added_vocabulary().get_added_tokens_decoder().get(&id);
        added.map(|token| token.content.clone()).or_else(|| self.inner.get_model().id_to_token(id))
    }
}

/// An added token as GGUF files mean it: found in the text as it is, whatever is around it.
pub(super) fn added(text: &str, special: bool) -> AddedToken {
    AddedToken::from(text, special).normalized(false)
}

/// Runs the crate; its error or panic becomes ours.
pub(super) fn guarded<T>(what: &str, run: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
    let reason = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            format!("a table is malformed ({})", message.unwrap_or("no details"))
        }
    };
    Err(Error::invalid(format!("{what}: {reason}")))
}
