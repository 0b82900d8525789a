//! From a text with its prompt to tokens, as sentence-transformers does it.

use serde::Deserialize;
use serde_json::{Value, json};
use unisono_core::{Error, Result};

use super::TextEncoder;
use crate::formats::{Source, printable, python_json};
use crate::tokenizer::Tokenizer;

/// The tokens of a text, special ones included.
#[derive(Clone, Copy, Debug)]
pub struct EncoderText<'a> {
    /// Token ids.
    pub tokens: &'a [u32],
    /// The type of each token (0 for a first sentence, 1 for a second); empty if all are 0.
    pub types: &'a [u32],
    /// How many of the first tokens are a prompt that pooling leaves out.
    pub prompt: usize,
}

impl<'a> From<&'a [u32]> for EncoderText<'a> {
    fn from(tokens: &'a [u32]) -> EncoderText<'a> {
        EncoderText { tokens, types: &[], prompt: 0 }
    }
}

impl<'a> From<&'a Vec<u32>> for EncoderText<'a> {
    fn from(tokens: &'a Vec<u32>) -> EncoderText<'a> {
        tokens.as_slice().into()
    }
}

impl<'a> From<&'a EncodedText> for EncoderText<'a> {
    fn from(text: &'a EncodedText) -> EncoderText<'a> {
        EncoderText { tokens: &text.tokens, types: &[], prompt: text.prompt }
    }
}

/// A text as the model reads it. Made by [`TextEncoder::encode`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedText {
    /// Token ids, special ones included.
    pub tokens: Vec<u32>,
    /// How many of the first tokens are a prompt that pooling leaves out.
    pub prompt: usize,
    /// Whether the text has more tokens than the model looks at.
    pub truncated: bool,
}

impl TextEncoder {
    /// The tokens of `text` after `prompt`, which may be empty
    /// ([`SentenceConfig::prompt`](crate::SentenceConfig::prompt) has those of the model). A text that
    /// is longer than [`max_tokens`](Self::max_tokens) is cut; what the tokenizer puts at its end
    /// stays. Fails without a tokenizer.
    pub fn encode(&self, text: &str, prompt: &str) -> Result<EncodedText> {
        let all = self.tokenizer()?.encode(&format!("{prompt}{text}"), true)?;
        let truncated = all.len() > self.max_tokens();
        let tokens = if truncated { self.cut(&format!("{prompt}{text}"), all)? } else { all };
        let counts = self.sentence().is_none_or(|s| s.include_prompt);
        let prompt = if counts || prompt.is_empty() { 0 } else { self.prompt_len(prompt)? };
        Ok(EncodedText { tokens, prompt, truncated })
    }

    /// The first tokens of a text that is too long, with what ends it at the end.
    fn cut(&self, text: &str, mut all: Vec<u32>) -> Result<Vec<u32>> {
        let plain = self.tokenizer()?.encode(text, false)?;
        let most = self.max_tokens();
        // What stands around the text: `[CLS]` and `[SEP]`, say.
        let around = all.len().saturating_sub(plain.len());
        let before = (0..=around).find(|&before| all.get(before..).is_some_and(|rest| rest.starts_with(&plain)));
        let after = around - before.unwrap_or(around);
        let end = all.split_off(all.len() - after.min(most));
        all.truncate(most - end.len());
        Ok([all, end].concat())
    }

    /// Tokens of a prompt alone, less a special one that ends it.
    fn prompt_len(&self, prompt: &str) -> Result<usize> {
        let tokenizer = self.tokenizer()?;
        let all = tokenizer.encode(prompt, true)?;
        let tokens = if all.len() > self.max_tokens() { self.cut(prompt, all)? } else { all };
        let Some(&last) = tokens.last() else { return Ok(0) };
        let special = tokenizer.decode(&[last])?.is_empty() && !tokenizer.decode_with_special(&[last])?.is_empty();
        Ok(tokens.len() - usize::from(special))
    }
}

const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// `model_max_length` of `tokenizer_config.json`, which is a very large number where there is no limit.
pub(super) fn model_max_length(source: &Source) -> Result<Option<usize>> {
    #[derive(Deserialize)]
    struct Raw {
        model_max_length: Option<f64>,
    }
    let Some(json) = &source.chat.config else { return Ok(None) };
    let fail = |e: serde_json::Error| Error::invalid(format!("{TOKENIZER_CONFIG}: {}", printable(e)));
    let raw: Raw = serde_json::from_slice(&python_json(TOKENIZER_CONFIG, json)?).map_err(fail)?;
    Ok(raw.model_max_length.map(|length| length as usize))
}

/// The tokenizer of a checkpoint, one that lower-cases text first if `lower_case`.
pub(super) fn tokenizer(source: &Source, lower_case: bool) -> Result<Result<Tokenizer>> {
    let Some(json) = source.tokenizer.as_deref().filter(|_| lower_case) else {
        return source.tokenizer_or_why();
    };
    let fail = |e: serde_json::Error| Error::invalid(format!("tokenizer.json: {}", printable(e)));
    let mut tokenizer: Value = serde_json::from_slice(json).map_err(fail)?;
    let Value::Object(fields) = &mut tokenizer else {
        return Err(Error::invalid("tokenizer.json: an object is wanted"));
    };
    let lower = json!({"type": "Lowercase"});
    let normalizer = match fields.remove("normalizer") {
        None | Some(Value::Null) => lower,
        Some(other) => json!({"type": "Sequence", "normalizers": [lower, other]}),
    };
    fields.insert("normalizer".to_owned(), normalizer);
    Tokenizer::from_bytes(tokenizer.to_string().as_bytes()).map(Ok)
}
