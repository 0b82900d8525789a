//! The metadata of one architecture: its keys begin with its name.

use std::fmt::Display;

use unisono_core::{Error, Result};

use super::metadata::{Array, Value};
use super::{Metadata, Set};

/// Getters that complete a key with the name of the architecture.
pub(super) struct Keys<'a> {
    pub(super) set: &'a Set,
    metadata: &'a Metadata,
}

impl<'a> Keys<'a> {
    pub(super) fn new(set: &'a Set) -> Keys<'a> {
        Keys { set, metadata: set.metadata() }
    }

    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.set.architecture.name())
    }

    /// An error about a key: what its value should be.
    pub(super) fn wrong(&self, key: &str, wanted: impl Display) -> Error {
        self.metadata.wrong(&self.key(key), wanted)
    }

    pub(super) fn optional_size(&self, key: &str) -> Result<Option<usize>> {
        let value = self.metadata.u64(&self.key(key))?;
        value.map(|v| v.try_into().map_err(|_| self.wrong(key, "a size"))).transpose()
    }

    pub(super) fn size(&self, key: &str) -> Result<usize> {
        self.optional_size(key)?.ok_or_else(|| self.wrong(key, "a whole number"))
    }

    /// A size that files may give for each layer. It must be the same in all.
    pub(super) fn optional_heads(&self, key: &str) -> Result<Option<usize>> {
        let full = self.key(key);
        if !matches!(self.metadata.get(&full), Some(Value::Array(_))) {
            return self.optional_size(key);
        }
        match self.metadata.u32s(&full)?.as_deref() {
            Some([first, rest @ ..]) if rest.iter().all(|v| v == first) => Ok(Some(*first as usize)),
            _ => Err(self.wrong(key, "the same number for every layer")),
        }
    }

    pub(super) fn heads(&self, key: &str) -> Result<usize> {
        self.optional_heads(key)?.ok_or_else(|| self.wrong(key, "a whole number"))
    }

    /// The number of layers. Each has tensors of its own, so more than tensors cannot be.
    pub(super) fn layers(&self) -> Result<usize> {
        let layers = self.size("block_count")?;
        let tensors: usize = self.set.parts.iter().map(|part| part.file.tensors().len()).sum();
        if layers > tensors {
            return Err(self.wrong("block_count", format_args!("at most {tensors}, the number of tensors")));
        }
        Ok(layers)
    }

    /// A number that JSON can hold.
    pub(super) fn optional_number(&self, key: &str) -> Result<Option<f64>> {
        let value = self.metadata.f64(&self.key(key))?;
        if value.is_some_and(|v| !v.is_finite()) {
            return Err(self.wrong(key, "a finite number"));
        }
        Ok(value)
    }

    pub(super) fn number(&self, key: &str) -> Result<f64> {
        self.optional_number(key)?.ok_or_else(|| self.wrong(key, "a number"))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>> {
        self.metadata.str(&self.key(key))
    }

    /// Truth values, if the key has those.
    pub(super) fn bools(&self, key: &str) -> Option<&'a [bool]> {
        match self.metadata.get(&self.key(key)) {
            Some(Value::Array(Array::Bool(values))) => Some(values),
            _ => None,
        }
    }

    /// True or false.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.metadata.bool(&self.key(key))
    }

    /// Special tokens by their kinds (`bos`, `eos`, …), each once. Those outside the vocabulary, which
    /// can never be predicted, become notes.
    pub(super) fn token_ids(&self, kinds: &[&str], vocab_size: usize, notes: &mut Vec<String>) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        for kind in kinds {
            let key = format!("tokenizer.ggml.{kind}_token_id");
            let Some(number) = self.metadata.integer(&key)? else { continue };
            match u32::try_from(number) {
                Ok(id) if (id as usize) < vocab_size => {
                    if !ids.contains(&id) {
                        ids.push(id);
                    }
                }
                _ => {
                    let (file, outside) = (self.set.name(), format!("is outside the vocabulary of {vocab_size}"));
                    notes.push(format!("{file}: {key} {number} {outside} and is ignored"));
                }
            }
        }
        Ok(ids)
    }
}
