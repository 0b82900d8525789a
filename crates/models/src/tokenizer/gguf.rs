//! A tokenizer from the metadata of a GGUF file: what holds for every kind of vocabulary is checked
//! here, before a module of its own builds each kind.

use std::collections::HashMap;

use unisono_core::{Error, Result};

use crate::tokenizer::library::Library;
use crate::tokenizer::sentencepiece::{Algorithm, SentencePiece};
use crate::tokenizer::specials::Specials;
use crate::tokenizer::{Encoder, Frame, TokenType, Tokenizer, Vocabulary, byte_level, wordpiece};

/// A vocabulary whose lists agree, whose ids exist and whose tokens differ.
pub(super) struct Checked<'a> {
    pub(super) vocabulary: &'a Vocabulary,
    kinds: Vec<TokenType>,
}

impl Checked<'_> {
    /// What a token is.
    pub(super) fn kind(&self, id: usize) -> TokenType {
        self.kinds.get(id).copied().unwrap_or(TokenType::Normal)
    }

    /// Whether a token is structure, not text.
    pub(super) fn special(&self, id: usize) -> bool {
        matches!(self.kind(id), TokenType::Control | TokenType::Unknown)
    }

    /// Tokens with their ids and kinds, without empty ones, which nothing spells.
    pub(super) fn tokens(&self) -> impl Iterator<Item = (u32, &str, TokenType)> {
        let tokens = self.vocabulary.tokens.iter().enumerate().filter(|(_, token)| !token.is_empty());
        tokens.map(|(id, token)| (id as u32, token.as_str(), self.kind(id)))
    }

    fn new(vocabulary: &Vocabulary) -> Result<Checked<'_>> {
        let n = vocabulary.tokens.len();
        if n == 0 {
            return Err(Error::invalid("tokenizer.ggml.tokens is empty: the file has no vocabulary"));
        }
        for (key, len) in [("scores", vocabulary.scores.len()), ("token_type", vocabulary.types.len())] {
            if len != 0 && len != n {
                return Err(Error::invalid(format!(
                    "tokenizer.ggml.{key} has {len} entries, the vocabulary {n} tokens"
                )));
            }
        }
        if let Some(i) = vocabulary.scores.iter().position(|s| s.is_nan()) {
            return Err(Error::invalid(format!("tokenizer.ggml.scores[{i}] is not a number")));
        }
        let kind = |(i, &number): (usize, &u32)| {
            let known = TokenType::new(number);
            known.ok_or_else(|| Error::invalid(format!("tokenizer.ggml.token_type[{i}] is {number}; 1 to 6 are types")))
        };
        let kinds = vocabulary.types.iter().enumerate().map(kind).collect::<Result<_>>()?;
        let ids = [
            ("bos", vocabulary.bos_id),
            ("eos", vocabulary.eos_id),
            ("eot", vocabulary.eot_id),
            ("eom", vocabulary.eom_id),
            ("unknown", vocabulary.unk_id),
            ("padding", vocabulary.pad_id),
            ("cls", vocabulary.cls_id),
            ("seperator", vocabulary.sep_id),
            ("mask", vocabulary.mask_id),
        ];
        for (name, id) in ids {
            if let Some(id) = id.filter(|&id| id as usize >= n) {
                return Err(Error::invalid(format!(
                    "tokenizer.ggml.{name}_token_id is {id}, the vocabulary has {n} tokens"
                )));
            }
        }
        let checked = Checked { vocabulary, kinds };
        let mut seen = HashMap::with_capacity(n);
        for (id, token, _) in checked.tokens() {
            if let Some(first) = seen.insert(token, id) {
                return Err(Error::invalid(format!("tokenizer.ggml.tokens: {first} and {id} are both {token:?}")));
            }
        }
        Ok(checked)
    }

    /// What goes around a text: `add_bos` and `add_eos` of the file, or the habit of the kind.
    fn frame(&self, add_bos: bool, add_eos: bool) -> Result<Frame> {
        let side = |name: &str, asked: Option<bool>, habit: bool, id: Option<u32>| match (asked, id) {
            (Some(true), None) => {
                let message = format!("tokenizer.ggml.add_{name}_token is true, but there is no {name}_token_id");
                Err(Error::invalid(message))
            }
            (asked, id) => Ok(id.filter(|_| asked.unwrap_or(habit)).into_iter().collect()),
        };
        let v = self.vocabulary;
        Ok(Frame {
            before: side("bos", v.add_bos, add_bos, v.bos_id)?,
            after: side("eos", v.add_eos, add_eos, v.eos_id)?,
        })
    }
}

/// Builds the tokenizer that a vocabulary describes.
pub(super) fn build(vocabulary: &Vocabulary) -> Result<Tokenizer> {
    let checked = Checked::new(vocabulary)?;
    let library = |library: Library, frame: Frame| Tokenizer::from_library(library, frame);
    let mut tokenizer = match vocabulary.model.as_str() {
        "gpt2" => {
            let (parts, rules) = byte_level::library(&checked)?;
            library(parts, checked.frame(rules.add_bos, false)?)?
        }
        model @ ("llama" | "t5") => {
            let bpe = model == "llama";
            let model = SentencePiece::new(&checked, if bpe { Algorithm::Bpe } else { Algorithm::Unigram })?;
            Tokenizer {
                specials: Specials::new(model.specials())?,
                encoder: Encoder::SentencePiece(Box::new(model)),
                frame: checked.frame(bpe, !bpe)?,
                end: Vec::new(),
                vocab_size: vocabulary.tokens.len(),
            }
        }
        "bert" => {
            let (parts, frame) = wordpiece::library(&checked)?;
            library(parts, frame)?
        }
        other => {
            let message = format!("tokenizer.ggml.model is {other:?}; known are gpt2, llama, bert and t5");
            return Err(Error::invalid(message));
        }
    };
    tokenizer.end = [vocabulary.eos_id, vocabulary.eot_id, vocabulary.eom_id].into_iter().flatten().collect();
    Ok(tokenizer)
}
