//! The vocabulary of a GGUF model, from its metadata.

use unisono_core::Result;

use super::Metadata;
use super::metadata::{Array, Strings, Value};
use crate::tokenizer::Vocabulary;

/// The vocabulary; `None` if the file has none.
pub(crate) fn vocabulary(metadata: &Metadata) -> Result<Option<Vocabulary>> {
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let Some(model) = metadata.str(&key("model"))?.filter(|&model| model != "none" && model != "no_vocab") else {
        return Ok(None);
    };
    let text = |key: &str| Ok::<_, unisono_core::Error>(metadata.str(key)?.map(str::to_owned));
    let list = |name: &str| {
        let strings = metadata.strings(&key(name))?;
        Ok::<_, unisono_core::Error>(strings.map_or_else(Vec::new, |s| s.iter().map(str::to_owned).collect()))
    };
    let id = |name: &str| metadata.u32(&key(&format!("{name}_token_id")));
    let count = metadata.strings(&key("tokens"))?.map_or(0, Strings::len);
    // Tokens that a text can do without: a number outside the vocabulary, -1 say, stands for none.
    let inside = |name: &str| {
        let number = metadata.integer(&key(&format!("{name}_token_id")))?;
        let id = number.and_then(|number| u32::try_from(number).ok());
        Ok::<_, unisono_core::Error>(id.filter(|&id| (id as usize) < count))
    };
    let flag = |name: &str| metadata.bool(&key(name));
    if metadata.strings(&key("tokens"))?.is_none_or(Strings::is_empty) {
        return Err(metadata.wrong(&key("tokens"), "an array of strings with at least one token"));
    }
    Ok(Some(Vocabulary {
        model: model.to_owned(),
        pre: text(&key("pre"))?,
        tokens: list("tokens")?,
        scores: metadata.f32s(&key("scores"))?.unwrap_or_default(),
        types: metadata.u32s(&key("token_type"))?.unwrap_or_default(),
        merges: list("merges")?,
        bos_id: inside("bos")?,
        eos_id: inside("eos")?,
        eot_id: inside("eot")?,
        eom_id: inside("eom")?,
        unk_id: id("unknown")?,
        pad_id: inside("padding")?,
        cls_id: id("cls")?,
        sep_id: id("seperator")?,
        mask_id: inside("mask")?,
        add_bos: flag("add_bos_token")?,
        add_eos: flag("add_eos_token")?,
        add_space_prefix: flag("add_space_prefix")?,
        remove_extra_whitespaces: flag("remove_extra_whitespaces")?,
        lowercase: flag("normalizer.lowercase")?,
        strip_accents: flag("normalizer.strip_accents")?,
        precompiled_charsmap: charsmap(metadata, &key("precompiled_charsmap"))?,
        chat_template: text("tokenizer.chat_template")?,
    }))
}

/// Bytes, which files have as signed or unsigned numbers.
fn charsmap(metadata: &Metadata, key: &str) -> Result<Vec<u8>> {
    match metadata.get(key) {
        None => Ok(Vec::new()),
        Some(Value::Array(Array::U8(bytes))) => Ok(bytes.clone()),
        Some(Value::Array(Array::I8(bytes))) => Ok(bytes.iter().map(|&b| b as u8).collect()),
        Some(_) => Err(metadata.wrong(key, "an array of bytes")),
    }
}
