//! The text of the kernels that failed, as the device's compiler got it: what its maker needs to see what
//! the compiler made wrong, without this project at hand.
//!
//! A text stands once in a report, however many results failed with it, and a device that fails in
//! everything brings no more than [`MOST_SOURCES`] of them; each result names its texts by name and
//! hash, with the constants that went into them.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use unisono_core::KernelSource;

use super::{CaseResult, Number};
use crate::hash::Fnv;

/// Texts of one device that a report holds; results that failed with further ones only name them.
pub const MOST_SOURCES: usize = 64;

/// A text that a kernel was built from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceText {
    /// Its name on the device.
    pub name: String,
    /// FNV-1a over the text.
    pub hash: String,
    /// The text: WGSL on a GPU that is reached through wgpu.
    pub text: String,
}

/// What a result ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceUse {
    /// The name of a [`SourceText`].
    pub name: String,
    /// Its hash.
    pub hash: String,
    /// The constants that it was built with.
    pub constants: BTreeMap<String, Number>,
}

impl SourceText {
    /// A text under its hash.
    pub fn new(name: String, text: String) -> SourceText {
        SourceText { name, hash: hash(&text), text }
    }
}

/// The hash that names a text.
pub(crate) fn hash(text: &str) -> String {
    let mut hash = Fnv::new();
    hash.update(text.as_bytes());
    hash.hex()
}

/// What a device says of a kernel, as uses and texts.
pub(crate) fn split(sources: Vec<KernelSource>) -> (Vec<SourceUse>, Vec<SourceText>) {
    let parts = sources.into_iter().map(|source| {
        let text = SourceText::new(source.name.clone(), source.text);
        let constants = source.constants.into_iter().map(|(name, value)| (name, Number(value))).collect();
        (SourceUse { name: source.name, hash: text.hash.clone(), constants }, text)
    });
    parts.unzip()
}

/// The texts that the failures among `results` name, in their order, out of those that are known.
pub(crate) fn of_failures(results: &[CaseResult], known: Vec<SourceText>) -> Vec<SourceText> {
    let mut known: HashMap<(String, String), SourceText> =
        known.into_iter().map(|text| ((text.name.clone(), text.hash.clone()), text)).collect();
    let uses = results.iter().flat_map(|result| &result.sources);
    let texts = uses.filter_map(|used| known.remove(&(used.name.clone(), used.hash.clone())));
    texts.take(MOST_SOURCES).collect()
}

/// Texts that were not seen before.
#[derive(Debug, Default)]
pub(crate) struct Seen(HashSet<(String, String)>);

impl Seen {
    /// Those of `texts` that are new.
    pub(crate) fn fresh(&mut self, mut texts: Vec<SourceText>) -> Vec<SourceText> {
        texts.retain(|text| self.0.len() < MOST_SOURCES && self.0.insert((text.name.clone(), text.hash.clone())));
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, text: &str) -> SourceText {
        SourceText::new(name.into(), text.into())
    }

    #[test]
    fn a_text_is_sent_once_and_no_more_than_a_report_holds() {
        let mut seen = Seen::default();
        let (a, b) = (text("a", "1"), text("b", "1"));
        assert_eq!(seen.fresh(vec![a.clone(), b.clone(), a.clone()]), [a.clone(), b.clone()]);
        assert_eq!(seen.fresh(vec![b, text("a", "2")]), [text("a", "2")]);
        let many = (0..2 * MOST_SOURCES).map(|i| text(&format!("m{i}"), "")).collect();
        assert_eq!(seen.fresh(many).len(), MOST_SOURCES - 3);
    }

    #[test]
    fn texts_stand_in_the_order_of_the_failures_that_name_them() {
        let constants = vec![("TILE".to_string(), 8.0)];
        let source = |name: &str| KernelSource { name: name.into(), constants: constants.clone(), text: name.into() };
        let (uses, texts) = split(vec![source("x"), source("y")]);
        assert_eq!((uses[1].constants["TILE"], &uses[1].hash), (Number(8.0), &texts[1].hash));
        let mut results = crate::report::tests::report().devices.remove(0).results;
        results[3].sources = vec![uses[1].clone()];
        results[5].sources = uses;
        let mut known = texts.clone();
        known.push(text("unused", ""));
        assert_eq!(of_failures(&results, known), [texts[1].clone(), texts[0].clone()]);
    }
}
