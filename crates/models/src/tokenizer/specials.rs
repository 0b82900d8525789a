//! Special tokens in text that is not trusted to write them.
//!
//! A chat template writes special tokens around messages, and only in the finished text are tokens
//! found. So that a message cannot write them too, the first character of each special token it
//! spells is replaced by a character of a private-use plane before the template runs, and put back
//! when the special tokens of the finished text have been found. The message keeps its length and
//! its ends, so that templates trim and compare it as ever.

use std::borrow::Cow;
use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;
use unisono_core::{Error, Result};

/// Characters that stand for others: a plane for private use.
const STAND_INS: std::ops::RangeInclusive<char> = '\u{F0000}'..='\u{FFFFD}';

/// The special tokens of a tokenizer.
#[derive(Clone, Debug)]
pub(super) struct Specials {
    ids: BTreeSet<u32>,
    /// First characters of the tokens.
    first: BTreeSet<char>,
    finder: AhoCorasick,
}

/// Which character stands for which.
#[derive(Clone, Debug, Default)]
pub(super) struct Hidden {
    /// Stand-in, original.
    pairs: Vec<(char, char)>,
}

impl Specials {
    pub(super) fn new(tokens: Vec<(String, u32)>) -> Result<Specials> {
        let tokens: Vec<_> = tokens.into_iter().filter(|(text, _)| !text.is_empty()).collect();
        let finder = AhoCorasick::new(tokens.iter().map(|(text, _)| text))
            .map_err(|e| Error::invalid(format!("the special tokens are too many or too long: {e}")))?;
        let first = tokens.iter().filter_map(|(text, _)| text.chars().next()).collect();
        Ok(Specials { ids: tokens.iter().map(|&(_, id)| id).collect(), first, finder })
    }

    pub(super) fn contains(&self, id: u32) -> bool {
        self.ids.contains(&id)
    }

    /// Chooses stand-ins that neither `texts` nor `template` contain, if any text spells a special
    /// token.
    pub(super) fn hide(&self, texts: &[&str], template: &str) -> Result<Hidden> {
        if !texts.iter().any(|text| self.finder.is_match(text)) {
            return Ok(Hidden::default());
        }
        let all = texts.iter().copied().chain([template]);
        let used: BTreeSet<char> = all.flat_map(str::chars).filter(|c| STAND_INS.contains(c)).collect();
        let free = STAND_INS.filter(|c| !used.contains(c));
        let pairs: Vec<_> = free.zip(self.first.iter().copied()).collect();
        if pairs.len() < self.first.len() {
            return Err(Error::invalid("the messages use all characters of plane 15; none is left to mark their text"));
        }
        Ok(Hidden { pairs })
    }

    /// `text` with the first character of each special token in it hidden.
    pub(super) fn apply(&self, text: &str, hidden: &Hidden) -> String {
        if hidden.pairs.is_empty() {
            return text.to_owned();
        }
        // Overlapping ones, too: hiding one must not uncover another.
        let starts: BTreeSet<usize> = self.finder.find_overlapping_iter(text).map(|m| m.start()).collect();
        let stand_in = |c: char| hidden.pairs.iter().find(|&&(_, original)| original == c).map_or(c, |&(s, _)| s);
        text.char_indices().map(|(i, c)| if starts.contains(&i) { stand_in(c) } else { c }).collect()
    }
}

impl Hidden {
    /// Stand-ins with the text that each stands for.
    pub(super) fn pairs(&self) -> &[(char, char)] {
        &self.pairs
    }

    /// The text as it was.
    pub(super) fn reveal<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.pairs.is_empty() {
            return Cow::Borrowed(text);
        }
        let original = |c: char| self.pairs.iter().find(|&&(stand_in, _)| stand_in == c).map_or(c, |&(_, o)| o);
        Cow::Owned(text.chars().map(original).collect())
    }
}
