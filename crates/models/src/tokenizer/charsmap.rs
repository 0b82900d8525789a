//! SentencePiece's table of replacements, with which its models normalise text: the length of a
//! double-array trie in bytes (u32), its units (u32), then texts that end with NUL. The value of a
//! key is where its text begins.

use std::collections::HashSet;

/// Longest text that may replace something, in bytes. SentencePiece's own table has 33.
const LONGEST: usize = 1024;

/// A table that was checked: no walk leaves the trie, every value begins a text.
#[derive(Clone, Debug)]
pub(super) struct Charsmap {
    units: Vec<u32>,
    texts: String,
}

impl Charsmap {
    /// From bytes; the error says what is wrong.
    pub(super) fn new(blob: &[u8]) -> Result<Charsmap, &'static str> {
        let (size, rest) = blob.split_first_chunk().ok_or("it has no length")?;
        let size = u32::from_le_bytes(*size) as usize;
        let (trie, texts) = rest.split_at_checked(size).ok_or("the trie is longer than the table")?;
        let (units, []) = trie.as_chunks::<4>() else { return Err("the trie is cut off") };
        let units = units.iter().map(|&unit| u32::from_le_bytes(unit)).collect();
        let texts = std::str::from_utf8(texts).map_err(|_| "a text is no UTF-8")?.to_owned();
        let map = Charsmap { units, texts };
        if map.longest() > LONGEST {
            return Err("a text is too long");
        }
        map.check()?;
        Ok(map)
    }

    /// Bytes of the longest text, at least 1.
    pub(super) fn longest(&self) -> usize {
        self.texts.split('\0').map(str::len).max().unwrap_or(0).max(1)
    }

    /// The text with the longest key at each position replaced. What `fixed` finds stays as it is:
    /// it gives start and length of the first such part of a text.
    pub(super) fn normalise(&self, text: &str, fixed: impl Fn(&str) -> Option<(usize, usize)>) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        // Where in what is left the next fixed part begins, and its length.
        let mut next = fixed(rest);
        while let Some(first) = rest.chars().next() {
            let before = rest.len();
            if let Some((0, len)) = next {
                out.push_str(&rest[..len]);
                rest = &rest[len..];
                next = fixed(rest);
                continue;
            }
            let found = self.longest_key(rest.as_bytes()).filter(|&(len, _)| rest.is_char_boundary(len));
            match found {
                Some((len, value)) => {
                    out.push_str(self.texts[value..].split('\0').next().unwrap_or_default());
                    rest = &rest[len..];
                }
                None => {
                    out.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
            let step = before - rest.len();
            next = match next {
                Some((start, _)) if start < step => fixed(rest),
                Some((start, len)) => Some((start - step, len)),
                None => None,
            };
        }
        out
    }

    /// Length and value of the longest key that begins `text`.
    fn longest_key(&self, text: &[u8]) -> Option<(usize, usize)> {
        let (mut base, mut found) = (offset(self.units[0]), None);
        for (i, &label) in text.iter().enumerate().take_while(|&(_, &label)| label != 0) {
            let at = base ^ usize::from(label);
            let Some(unit) = self.child(at, label) else { break };
            base = at ^ offset(unit);
            if has_value(unit) {
                found = Some((i + 1, self.value(base)?));
            }
        }
        found
    }

    fn child(&self, at: usize, label: u8) -> Option<u32> {
        self.units.get(at).copied().filter(|unit| unit & (1 << 31 | 0xFF) == u32::from(label))
    }

    fn value(&self, base: usize) -> Option<usize> {
        Some((self.units.get(base)? & !(1 << 31)) as usize)
    }

    fn check(&self) -> Result<(), &'static str> {
        let root = offset(*self.units.first().ok_or("the trie is empty")?);
        let (mut seen, mut open) = (HashSet::from([root]), vec![root]);
        while let Some(base) = open.pop() {
            if base | 0xFF >= self.units.len() {
                return Err("the trie points outside itself");
            }
            for label in 1..=0xFF {
                let at = base ^ usize::from(label);
                let Some(unit) = self.child(at, label) else { continue };
                let next = at ^ offset(unit);
                if has_value(unit) {
                    let value = self.value(next).ok_or("the trie points outside itself")?;
                    if !self.texts.is_char_boundary(value) {
                        return Err("a value points to no text");
                    }
                }
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        Ok(())
    }
}

fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize
}

fn has_value(unit: u32) -> bool {
    unit >> 8 & 1 == 1
}
