//! The files of one model: a single one, or the parts of a split one.

use std::collections::BTreeMap;

use unisono_core::{Error, Result};

use super::{Architecture, File, Metadata};
use crate::formats::data::Data;
use crate::formats::text::shown;

/// A model's files, checked to belong together, the first part first.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) parts: Vec<Part>,
    pub(crate) architecture: Architecture,
}

/// One file.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) data: Data,
    pub(crate) file: File,
}

impl Set {
    /// Opens all parts of a model, given in any order.
    pub(crate) fn open(files: Vec<(String, Data)>) -> Result<Set> {
        let mut parts = Vec::new();
        for (name, data) in files {
            let file = File::parse(&name, data.bytes()?)?;
            parts.push(Part { name, data, file });
        }
        check_parts(&mut parts)?;
        let Some(first) = parts.first() else {
            return Err(Error::invalid("a GGUF model needs at least one file"));
        };
        let architecture = Architecture::of(&first.name, first.file.metadata())?;
        Ok(Set { parts, architecture })
    }

    /// The metadata of the first part, which describes the model.
    pub(crate) fn metadata(&self) -> &Metadata {
        self.parts[0].file.metadata()
    }

    /// The name of the first part, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.parts[0].name
    }
}

/// How many parts the metadata of a part announces.
pub(crate) fn split_count(metadata: &Metadata) -> Result<u64> {
    Ok(metadata.u64("split.count")?.unwrap_or(1).max(1))
}

/// Puts the parts in order and checks that they are all there and agree.
fn check_parts(parts: &mut [Part]) -> Result<()> {
    let given = parts.len() as u64;
    let mut numbers = BTreeMap::new();
    for part in parts.iter() {
        let (name, metadata) = (&part.name, part.file.metadata());
        let count = split_count(metadata)?;
        if count != given {
            let message = format!("{name}: the model has {count} parts (split.count), {given} are given");
            return Err(Error::invalid(message));
        }
        if count == 1 {
            return Ok(());
        }
        let number = metadata.u64("split.no")?.ok_or_else(|| metadata.wrong("split.no", "the number of the part"))?;
        if number >= count {
            return Err(metadata.wrong("split.no", format_args!("a number below split.count, {count}")));
        }
        if let Some(other) = numbers.insert(number, name) {
            return Err(Error::invalid(format!("{name}: split.no is {number}, as in {other}")));
        }
    }
    parts.sort_by_key(|part| part.file.metadata().u64("split.no").ok().flatten());
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for part in parts.iter() {
        for tensor in part.file.tensors().keys() {
            if let Some(other) = names.insert(tensor, &part.name) {
                let message = format!("tensor {} is in {other} and again in {}", shown(tensor), part.name);
                return Err(Error::invalid(message));
            }
        }
    }
    let total = names.len() as u64;
    let architecture = |part: &Part| part.file.metadata().str("general.architecture").ok().flatten().map(str::to_owned);
    let first = parts.first().and_then(architecture);
    for part in parts.iter() {
        let metadata = part.file.metadata();
        if metadata.u64("split.tensors.count")?.is_some_and(|count| count != total) {
            return Err(metadata.wrong("split.tensors.count", format_args!("{total}, which the parts have together")));
        }
        if architecture(part).is_some_and(|name| Some(&name) != first.as_ref()) {
            return Err(metadata.wrong("general.architecture", "what the first part says"));
        }
    }
    Ok(())
}

/// A file name `prefix-00002-of-00003.gguf`, as parts of a split model have.
#[cfg(not(target_family = "wasm"))]
pub(crate) struct SplitName {
    pub(crate) prefix: String,
    /// From 1 on.
    pub(crate) number: u64,
    pub(crate) count: u64,
}

#[cfg(not(target_family = "wasm"))]
impl SplitName {
    /// `None` for other names.
    pub(crate) fn parse(name: &str) -> Option<SplitName> {
        let (rest, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
        let (prefix, number) = rest.rsplit_once('-')?;
        let digits = |text: &str| (text.len() == 5).then(|| text.parse::<u64>().ok()).flatten();
        let (number, count) = (digits(number)?, digits(count)?);
        (1..=count).contains(&number).then(|| SplitName { prefix: prefix.to_owned(), number, count })
    }

    /// The name of part `i`, from 1 on.
    pub(crate) fn part(&self, i: u64) -> String {
        format!("{}-{i:05}-of-{:05}.gguf", self.prefix, self.count)
    }
}
