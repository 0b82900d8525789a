//! Byte-level BPE of GGUF files (`tokenizer.ggml.model` is `gpt2`), put together from parts of the
//! `tokenizers` crate.

use std::collections::HashSet;

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{SplitDelimiterBehavior, Tokenizer};
use unisono_core::{Error, Result};

use crate::tokenizer::TokenType;
use crate::tokenizer::gguf::Checked;
use crate::tokenizer::library::{Library, added, guarded};
use crate::tokenizer::pieces::{Piece, Pieces, byte_letter, letter_bytes};
use crate::tokenizer::pre::{Rules, rules};

/// The tokenizer, and the rules of its pre-tokenizer.
pub(super) fn library(checked: &Checked<'_>) -> Result<(Library, Rules)> {
    let rules = rules(checked.vocabulary.pre.as_deref())?;
    let vocab: Vocab = checked.tokens().map(|(id, token, _)| (token.to_owned(), id)).collect();
    let merges = merges(&checked.vocabulary.merges, &vocab)?;
    let mut missing: HashSet<char> = (0..=255).map(byte_letter).collect();
    missing.retain(|letter| !vocab.contains_key(letter.encode_utf8(&mut [0; 4]) as &str));

    let mut model = BPE::builder().ignore_merges(rules.ignore_merges).vocab_and_merges(vocab, merges);
    if let Some(unknown) = checked.vocabulary.unk_id.filter(|_| !missing.is_empty()) {
        model = model.unk_token(checked.vocabulary.tokens[unknown as usize].clone());
        missing.clear();
    }
    let mut tokenizer = Tokenizer::new(guarded("tokenizer.ggml.merges", || model.build())?);
    tokenizer.with_pre_tokenizer(Some(pre_tokenizer(&rules)?));
    guarded("tokenizer.ggml.pre", || tokenizer.with_normalizer(rules.nfc.then_some(NFC)).map(drop))?;
    let kinds = [(TokenType::Control, true), (TokenType::Unknown, true), (TokenType::UserDefined, false)];
    let of_kind = |kind| checked.tokens().filter(move |token| token.2 == kind);
    let tokens: Vec<_> =
        kinds.into_iter().flat_map(|(kind, special)| of_kind(kind).map(move |t| added(t.1, special))).collect();
    guarded("tokenizer.ggml.tokens", || tokenizer.add_tokens(tokens))?;
    let library = Library::new(tokenizer).with_pieces(pieces(checked), missing);
    Ok((library, rules))
}

/// Merges as pairs of tokens. Both halves and what they make must be tokens.
fn merges(lines: &[String], vocab: &Vocab) -> Result<Vec<(String, String)>> {
    let pair = |(i, line): (usize, &String)| {
        let wrong = |why: String| Error::invalid(format!("tokenizer.ggml.merges[{i}] is {line:?}: {why}"));
        let (a, b) = line.split_once(' ').ok_or_else(|| wrong("a merge is two tokens with a space between".into()))?;
        for part in [a, b, &format!("{a}{b}")] {
            if !vocab.contains_key(part) {
                return Err(wrong(format!("{part:?} is no token")));
            }
        }
        Ok((a.to_owned(), b.to_owned()))
    };
    lines.iter().enumerate().map(pair).collect()
}

fn pre_tokenizer(rules: &Rules) -> Result<Sequence> {
    let split = |pattern: &&str| {
        guarded("the pattern of a pre-tokenizer", || {
            Split::new(SplitPattern::Regex((*pattern).into()), SplitDelimiterBehavior::Isolated, false)
        })
        .map(PreTokenizerWrapper::Split)
    };
    let mut steps = rules.patterns.iter().map(split).collect::<Result<Vec<_>>>()?;
    steps.push(PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, false)));
    steps.extend(rules.byte_patterns.iter().map(split).collect::<Result<Vec<_>>>()?);
    Ok(Sequence::new(steps))
}

/// What tokens decode to. Added tokens are text; all others are spelled in byte letters, and one
/// that is not stands for its text.
fn pieces(checked: &Checked<'_>) -> Pieces {
    let piece = |(id, token): (usize, &String)| {
        let raw = || token.clone().into_bytes();
        let bytes = match checked.kind(id) {
            TokenType::Control | TokenType::UserDefined | TokenType::Unknown => raw(),
            TokenType::Normal | TokenType::Unused | TokenType::Byte => letter_bytes(token).unwrap_or_else(raw),
        };
        Piece { bytes: bytes.into(), special: checked.special(id) }
    };
    Pieces::new(checked.vocabulary.tokens.iter().enumerate().map(piece).collect())
}
