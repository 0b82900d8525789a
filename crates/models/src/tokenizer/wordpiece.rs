//! WordPiece vocabularies of GGUF files (`tokenizer.ggml.model` is `bert`).
//!
//! The format spells pieces its own way: one that begins a word has `▁` before it, one that goes on
//! has nothing, where BERT writes nothing and `##`. Files that kept BERT's spelling are read, too.
//! Whether text is lower-cased and loses its accents is a key of its own; files without it lower-case
//! if no token has a capital letter, and take accents away where they lower-case, as BERT does.

use tokenizers::Tokenizer;
use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::models::bpe::Vocab;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use unisono_core::{Error, Result};

use crate::tokenizer::gguf::Checked;
use crate::tokenizer::library::{Library, added, guarded};
use crate::tokenizer::{Frame, TokenType};

const BEGIN: char = '▁';

/// The tokenizer, and what goes around a text: `[CLS]` and `[SEP]`.
pub(super) fn library(checked: &Checked<'_>) -> Result<(Library, Frame)> {
    let v = checked.vocabulary;
    // Files without types mark special tokens by brackets alone.
    let special = |token: &str, kind: TokenType| {
        kind != TokenType::Normal || v.types.is_empty() && token.starts_with('[') && token.ends_with(']')
    };
    let marked = checked.tokens().any(|(_, token, kind)| !special(token, kind) && token.starts_with(BEGIN));
    let spell = |token: &str| match token.strip_prefix(BEGIN) {
        Some(word) => word.to_owned(),
        None if marked => format!("##{token}"),
        None => token.to_owned(),
    };
    let mut vocab = Vocab::new();
    let mut specials = Vec::new();
    let mut cased = false;
    for (id, token, kind) in checked.tokens() {
        let spelled = if special(token, kind) {
            specials.push(added(token, true));
            token.to_owned()
        } else {
            // Not `is_uppercase`: vocabularies in lower case have `ℝ`, which has no small form.
            cased |= token.chars().any(|letter| letter.to_lowercase().ne([letter]));
            spell(token)
        };
        if let Some(first) = vocab.insert(spelled.clone(), id) {
            return Err(Error::invalid(format!("tokenizer.ggml.tokens: {first} and {id} are both {spelled:?}")));
        }
    }
    let unknown = v.unk_id.map_or("[UNK]", |id| &v.tokens[id as usize]);
    if !vocab.contains_key(unknown) {
        let message = format!("the vocabulary has no token {unknown}, which stands for what no token spells");
        return Err(Error::invalid(message));
    }
    let named = |id: Option<u32>, name: &str, key: &str| {
        let found = id.or_else(|| vocab.get(name).copied());
        found.ok_or_else(|| {
            Error::invalid(format!("the vocabulary has neither tokenizer.ggml.{key} nor a token {name}"))
        })
    };
    let frame = Frame {
        before: vec![named(v.cls_id.or(v.bos_id), "[CLS]", "cls_token_id")?],
        after: vec![named(v.sep_id.or(v.eos_id), "[SEP]", "seperator_token_id")?],
    };
    let model = WordPiece::builder().unk_token(unknown.to_owned()).vocab(vocab);
    let mut tokenizer = Tokenizer::new(guarded("tokenizer.ggml.tokens", || model.build())?);
    let normalizer = BertNormalizer::new(true, true, v.strip_accents, v.lowercase.unwrap_or(!cased));
    guarded("tokenizer.ggml.tokens", || tokenizer.with_normalizer(Some(normalizer)).map(drop))?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_decoder(Some(WordPieceDecoder::new("##".into(), false)));
    guarded("tokenizer.ggml.tokens", || tokenizer.add_tokens(specials))?;
    Ok((Library::new(tokenizer), frame))
}
