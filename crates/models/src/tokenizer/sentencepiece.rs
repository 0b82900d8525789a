//! SentencePiece vocabularies of GGUF files: BPE (`tokenizer.ggml.model` is `llama`) and unigram
//! (`t5`). Here is what both share: normalising, bytes, special tokens, decoding.

mod bpe;
mod unigram;

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, MatchKind};
use unisono_core::{Error, Result};

use crate::tokenizer::charsmap::Charsmap;
use crate::tokenizer::gguf::Checked;
use crate::tokenizer::{Reading, TokenType};

/// Stands for a space.
const SPACE: char = '▁';

/// Which pieces a text is cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Bpe,
    Unigram,
}

#[derive(Clone, Debug)]
pub(super) struct SentencePiece {
    algorithm: Algorithm,
    charsmap: Option<Charsmap>,
    pieces: Vec<Piece>,
    /// Bytes of the longest piece.
    longest: usize,
    /// Worst and best score of normal pieces.
    scores: (f32, f32),
    /// Pieces that text may become, by their text.
    ids: HashMap<Box<str>, u32>,
    bytes: Option<Box<[u32; 256]>>,
    unknown: u32,
    /// Tokens for people to define, found in a text before anything is joined.
    defined: Finder,
    control: Finder,
    add_space_prefix: bool,
    join_spaces: bool,
}

#[derive(Clone, Debug)]
struct Piece {
    text: Box<str>,
    score: f32,
    kind: TokenType,
}

/// Finds tokens in a text: from the left, the longest.
#[derive(Clone, Debug)]
struct Finder {
    automaton: AhoCorasick,
    ids: Vec<u32>,
}

impl SentencePiece {
    pub(super) fn new(checked: &Checked<'_>, algorithm: Algorithm) -> Result<SentencePiece> {
        let v = checked.vocabulary;
        if v.scores.is_empty() {
            return Err(Error::invalid("tokenizer.ggml.scores is missing: SentencePiece chooses by scores"));
        }
        let charsmap = (!v.precompiled_charsmap.is_empty()).then(|| Charsmap::new(&v.precompiled_charsmap));
        let charsmap =
            charsmap.transpose().map_err(|e| Error::invalid(format!("tokenizer.ggml.precompiled_charsmap: {e}")))?;
        let normal = (0..v.tokens.len()).filter(|&id| checked.kind(id) == TokenType::Normal).map(|id| v.scores[id]);
        let scores = normal.fold((f32::MAX, f32::MIN), |(low, high), s| (low.min(s), high.max(s)));
        let (mut ids, mut defined, mut control) = (HashMap::new(), Vec::new(), Vec::new());
        let mut bytes = [None; 256];
        for (id, token, kind) in checked.tokens() {
            match kind {
                TokenType::Normal | TokenType::Unused => {
                    ids.insert(token.into(), id);
                }
                TokenType::UserDefined => {
                    // Files spell spaces in these both ways.
                    let token = token.replace(' ', "▁");
                    ids.insert(token.as_str().into(), id);
                    defined.push((token, id));
                }
                TokenType::Control | TokenType::Unknown => control.push((token.to_owned(), id)),
                TokenType::Byte => {
                    let byte = byte_of(token).ok_or_else(|| {
                        Error::invalid(format!(
                            "tokenizer.ggml.tokens[{id}] is {token:?}, which spells no byte (<0x0A>)"
                        ))
                    })?;
                    bytes[usize::from(byte)] = Some(id);
                }
            }
        }
        let bytes = match bytes.iter().position(Option::is_none) {
            None => Some(Box::new(bytes.map(Option::unwrap_or_default))),
            Some(_) if bytes.iter().all(Option::is_none) => None,
            Some(byte) => return Err(Error::invalid(format!("the vocabulary has bytes, but not <0x{byte:02X}>"))),
        };
        let by_type = checked.tokens().find(|token| token.2 == TokenType::Unknown).map(|token| token.0);
        let unknown = v.unk_id.or(by_type);
        if unknown.is_none() && bytes.is_none() {
            return Err(Error::invalid("the vocabulary has neither bytes nor a token for what no token spells"));
        }
        let piece = |(id, text): (usize, &String)| Piece {
            text: text.as_str().into(),
            score: v.scores[id],
            kind: checked.kind(id),
        };
        Ok(SentencePiece {
            algorithm,
            charsmap,
            scores,
            longest: v.tokens.iter().map(String::len).max().unwrap_or(0),
            pieces: v.tokens.iter().enumerate().map(piece).collect(),
            ids,
            bytes,
            unknown: unknown.unwrap_or_default(),
            defined: Finder::new(defined)?,
            control: Finder::new(control)?,
            add_space_prefix: v.add_space_prefix.unwrap_or(true),
            join_spaces: v.remove_extra_whitespaces.unwrap_or(false),
        })
    }

    /// The tokens of a text. A space goes before the text and, as in the formats of chats that were
    /// made for SentencePiece, after a control token in it.
    pub(super) fn encode(&self, text: &str, reading: Reading<'_>) -> Vec<u32> {
        let mut tokens = Vec::new();
        let Reading::Specials(hidden) = reading else {
            self.encode_part(text, &mut tokens);
            return tokens;
        };
        let mut end = 0;
        for (start, len, id) in self.control.find(text) {
            self.encode_part(&hidden.reveal(&text[end..start]), &mut tokens);
            tokens.push(id);
            end = start + len;
        }
        self.encode_part(&hidden.reveal(&text[end..]), &mut tokens);
        tokens
    }

    fn encode_part(&self, text: &str, tokens: &mut Vec<u32>) {
        let text = self.normalise(text);
        match self.algorithm {
            Algorithm::Bpe => self.encode_bpe(&text, tokens),
            Algorithm::Unigram => self.encode_unigram(&text, tokens),
        }
    }

    /// Spaces as `▁`, one more before the text if the vocabulary wants it.
    fn normalise(&self, text: &str) -> String {
        let mapped = self
            .charsmap
            .as_ref()
            .map(|map| map.normalise(text, |rest| self.defined.find(rest).map(|(start, len, _)| (start, len)).next()));
        let text = mapped.as_deref().unwrap_or(text);
        let mut words = String::with_capacity(text.len() + 2);
        if self.join_spaces {
            for word in text.split(' ').filter(|word| !word.is_empty()) {
                words.push_str(if words.is_empty() { "" } else { "▁" });
                words.push_str(word);
            }
        } else {
            words.extend(text.chars().map(|c| if c == ' ' { SPACE } else { c }));
        }
        if self.add_space_prefix && !words.is_empty() {
            words.insert(0, SPACE);
        }
        if self.join_spaces {
            // Written out or not, a space at the end is left out.
            words.truncate(words.trim_end_matches(SPACE).len());
        }
        words
    }

    /// Bytes, or the unknown token once for a run of characters.
    fn emit_unknown(&self, part: &str, tokens: &mut Vec<u32>) {
        match &self.bytes {
            Some(bytes) => tokens.extend(part.bytes().map(|byte| bytes[usize::from(byte)])),
            None if tokens.last() == Some(&self.unknown) => {}
            None => tokens.push(self.unknown),
        }
    }

    /// The text of tokens. The space that encoding put before the text is left out; every byte that
    /// belongs to no character becomes U+FFFD.
    pub(super) fn decode(&self, tokens: &[u32], special: bool) -> String {
        let mut bytes: Vec<u8> = Vec::new();
        let mut begin = self.add_space_prefix || self.join_spaces;
        for piece in tokens.iter().filter_map(|&id| self.pieces.get(id as usize)) {
            match piece.kind {
                TokenType::Control | TokenType::Unknown if special => bytes.extend(piece.text.bytes()),
                TokenType::Control | TokenType::Unknown => {}
                TokenType::Byte => {
                    bytes.extend(byte_of(&piece.text));
                    begin = false;
                }
                TokenType::Normal | TokenType::UserDefined | TokenType::Unused => {
                    let text = if begin { piece.text.strip_prefix(SPACE).unwrap_or(&piece.text) } else { &piece.text };
                    bytes.extend(text.replace(SPACE, " ").bytes());
                    begin = false;
                }
            }
        }
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            text.extend(std::iter::repeat_n(char::REPLACEMENT_CHARACTER, chunk.invalid().len()));
        }
        text
    }

    /// Control tokens with their ids.
    pub(super) fn specials(&self) -> Vec<(String, u32)> {
        let special = |piece: &Piece| matches!(piece.kind, TokenType::Control | TokenType::Unknown);
        let found = self.pieces.iter().enumerate().filter(|(_, piece)| special(piece));
        found.map(|(id, piece)| (piece.text.to_string(), id as u32)).collect()
    }

    pub(super) fn token_id(&self, token: &str) -> Option<u32> {
        let text = self.ids.get(token).copied();
        text.or_else(|| self.pieces.iter().position(|p| &*p.text == token).map(|id| id as u32))
    }

    pub(super) fn token(&self, id: u32) -> Option<&str> {
        self.pieces.get(id as usize).map(|piece| &*piece.text)
    }
}

impl Finder {
    fn new(tokens: Vec<(String, u32)>) -> Result<Finder> {
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(tokens.iter().map(|(text, _)| text))
            .map_err(|e| Error::invalid(format!("the special tokens are too many or too long: {e}")))?;
        Ok(Finder { automaton, ids: tokens.into_iter().map(|(_, id)| id).collect() })
    }

    /// Start, length and id of each token in a text.
    fn find<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (usize, usize, u32)> + 'a {
        self.automaton.find_iter(text).map(|m| (m.start(), m.len(), self.ids[m.pattern().as_usize()]))
    }
}

/// The byte that `<0x0A>` spells.
fn byte_of(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok())?
}
