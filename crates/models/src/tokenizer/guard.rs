//! What a `tokenizer.json` may not contain, because the `tokenizers` crate (0.23) would panic, hang
//! or fill memory: found by reading its source, and by the fuzz test of this module.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use unisono_core::{Error, Result};

use crate::tokenizer::charsmap::Charsmap;

/// Most bytes that normalising may make of one, over all steps. SentencePiece's own table makes 33.
const MAX_GROWTH: usize = 100_000;
/// Most characters of a word that WordPiece tries to cut, at a cost that is cubic.
const MAX_WORD: usize = 1000;
/// Most tokens that a template puts around a text.
const MAX_AROUND: usize = 1000;

#[derive(Deserialize)]
struct Shape {
    model: Model,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    vocab: Size,
    #[serde(default)]
    merges: Longest,
    continuing_subword_prefix: Option<String>,
    max_input_chars_per_word: Option<usize>,
    dropout: Option<f64>,
}

/// A `tokenizer.json` read for its merges alone.
#[derive(Deserialize)]
struct WithMerges {
    model: Merges,
}

#[derive(Deserialize)]
struct Merges {
    #[serde(default)]
    merges: Vec<Value>,
}

/// What matters of a vocabulary, whose tokens are not kept.
#[derive(Default)]
struct Size {
    tokens: usize,
    largest_id: u64,
    /// Bytes of the longest token.
    longest: usize,
}

/// Bytes of a text that is not kept.
struct Length(usize);

/// The number of the merge that makes most bytes, and how many.
#[derive(Default)]
struct Longest {
    merge: usize,
    bytes: usize,
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Length, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Length;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a token")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Length, E> {
                Ok(Length(text.len()))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl<'de> Deserialize<'de> for Longest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Longest, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Merge {
            Pair(Length, Length),
            Line(Length),
            Other(IgnoredAny),
        }
        struct Merges;
        impl<'de> Visitor<'de> for Merges {
            type Value = Longest;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of merges")
            }
            fn visit_unit<E: serde::de::Error>(self) -> Result<Longest, E> {
                Ok(Longest::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Longest, A::Error> {
                let (mut longest, mut merge) = (Longest::default(), 0);
                while let Some(next) = list.next_element()? {
                    let bytes = match next {
                        Merge::Pair(a, b) => a.0 + b.0,
                        // Two tokens with a space between.
                        Merge::Line(line) => line.0.saturating_sub(1),
                        Merge::Other(IgnoredAny) => 0,
                    };
                    if bytes > longest.bytes {
                        longest = Longest { merge, bytes };
                    }
                    merge += 1;
                }
                Ok(longest)
            }
        }
        deserializer.deserialize_any(Merges)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        struct Sizes;
        impl<'de> Visitor<'de> for Sizes {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a vocabulary")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Size, A::Error> {
                let mut size = Size::default();
                while let Some((token, id)) = map.next_entry::<Length, u64>()? {
                    size.tokens += 1;
                    size.largest_id = size.largest_id.max(id);
                    size.longest = size.longest.max(token.0);
                }
                Ok(size)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Size, A::Error> {
                let mut size = Size::default();
                while let Some(IgnoredAny) = list.next_element()? {
                    size.tokens += 1;
                }
                Ok(size)
            }
        }
        deserializer.deserialize_any(Sizes)
    }
}

/// Refuses what the crate cannot bear.
pub(super) fn check(json: &[u8]) -> Result<()> {
    let shape: Shape = serde_json::from_slice(json).map_err(|e| wrong(e.to_string()))?;
    let Model { vocab, merges, continuing_subword_prefix, max_input_chars_per_word, dropout } = shape.model;
    if vocab.tokens == 0 {
        return Err(wrong("the vocabulary is empty".into()));
    }
    if vocab.largest_id > u64::from(u32::MAX / 2) {
        return Err(wrong(format!("the vocabulary has the id {}", vocab.largest_id)));
    }
    if max_input_chars_per_word.is_some_and(|n| n > MAX_WORD) {
        return Err(wrong(format!("max_input_chars_per_word is over {MAX_WORD}")));
    }
    if dropout.is_some_and(|p| p != 0.0) {
        return Err(wrong("dropout makes tokens random; it is for training".into()));
    }
    let prefix = continuing_subword_prefix.filter(|prefix| !prefix.is_empty());
    // The crate makes the text of a merge in a buffer as long as the longest token.
    if vocab.longest + prefix.as_ref().map_or(0, String::len) < merges.bytes {
        return Err(wrong(format!("merge {} makes a text that is longer than any token", merges.merge)));
    }
    if let Some(prefix) = prefix {
        check_merges(json, &prefix)?;
    }
    for (name, part) in [("normalizer", &shape.normalizer), ("decoder", &shape.decoder)] {
        let growth = growth(part)?;
        if growth > MAX_GROWTH {
            return Err(wrong(format!("the {name} makes up to {growth} bytes of one")));
        }
    }
    each(&shape.pre_tokenizer, &mut |part| match (kind(part), part.get("length").and_then(Value::as_u64)) {
        ("FixedLength", Some(0)) => Err(wrong("the pre-tokenizer FixedLength has length 0".into())),
        _ => Ok(()),
    })?;
    each(&shape.post_processor, &mut check_template)
}

/// The second half of a merge is cut by the prefix that continues a word.
fn check_merges(json: &[u8], prefix: &str) -> Result<()> {
    let WithMerges { model } = serde_json::from_slice(json).map_err(|e| wrong(e.to_string()))?;
    for (i, merge) in model.merges.iter().enumerate() {
        let second = match merge {
            Value::String(line) => line.split_once(' ').map(|(_, second)| second),
            pair => pair.get(1).and_then(Value::as_str),
        };
        if !second.is_some_and(|second| second.starts_with(prefix)) {
            return Err(wrong(format!("merge {i} does not continue a word with {prefix:?}: {merge}")));
        }
    }
    Ok(())
}

/// Special tokens that a template names must be listed, and add little.
fn check_template(part: &Value) -> Result<()> {
    if kind(part) != "TemplateProcessing" {
        return Ok(());
    }
    let lengths: BTreeMap<&str, usize> = part
        .get("special_tokens")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, token)| (name.as_str(), token.get("ids").and_then(Value::as_array).map_or(0, Vec::len)))
        .collect();
    for side in ["single", "pair"] {
        let pieces = part.get(side).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut around = 0;
        for piece in pieces {
            let name = piece.pointer("/SpecialToken/id").and_then(Value::as_str);
            around += match name {
                Some(name) => *lengths
                    .get(name)
                    .ok_or_else(|| wrong(format!("the template {side} names {name:?}, which special_tokens lacks")))?,
                None => 1,
            };
        }
        if around > MAX_AROUND {
            return Err(wrong(format!("the template {side} adds {around} tokens")));
        }
    }
    Ok(())
}

/// How many bytes a chain of normalisers or decoders makes of one at most.
fn growth(part: &Value) -> Result<usize> {
    let text = |key: &str| part.get(key).and_then(Value::as_str).unwrap_or_default();
    Ok(match kind(part) {
        "Sequence" => {
            let mut product = 1usize;
            for step in ["normalizers", "decoders"].iter().filter_map(|key| part.get(key)?.as_array()).flatten() {
                product = product.saturating_mul(growth(step)?);
            }
            product
        }
        "Replace" => {
            let least = part.pointer("/pattern/String").and_then(Value::as_str).map_or(0, str::len);
            match (least, text("content").len()) {
                // An empty match stands between any two characters.
                (0, content) => content.saturating_add(1),
                (least, content) => content.div_ceil(least).max(1),
            }
        }
        "Prepend" => text("prepend").len().saturating_add(1),
        "Precompiled" => {
            let blob = base64::decode(text("precompiled_charsmap")).map_err(|e| wrong(e.to_string()))?;
            Charsmap::new(&blob).map_err(|e| wrong(format!("precompiled_charsmap: {e}")))?.longest()
        }
        // Steps without parameters: doing them twice adds nothing, but they are few.
        "BPEDecoder" | "WordPiece" | "CTC" => 4,
        _ => 1,
    })
}

/// Calls `visit` for a part and all that it is made of.
fn each(part: &Value, visit: &mut impl FnMut(&Value) -> Result<()>) -> Result<()> {
    visit(part)?;
    let inner = ["pretokenizers", "processors"].iter().filter_map(|key| part.get(key)?.as_array()).flatten();
    for step in inner {
        each(step, visit)?;
    }
    Ok(())
}

fn kind(part: &Value) -> &str {
    part.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn wrong(mut message: String) -> Error {
    message.insert_str(0, "tokenizer.json: ");
    Error::invalid(message)
}
