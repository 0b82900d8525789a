//! Texts in pieces, as Python's strings are cut: by a separator or by white space, from either side,
//! and into lines.

use super::unicode::is_space;

/// A piece of the text.
pub(super) type Piece<'a> = &'a str;
type Pieces<'a> = Box<dyn Iterator<Item = Piece<'a>> + 'a>;

/// `str.split`: by a separator that is not empty, or by runs of white space; after `most` cuts the rest
/// is one piece.
pub(super) fn split<'a>(text: &'a str, by: Option<&'a str>, most: usize) -> Pieces<'a> {
    if let Some(by) = by {
        return Box::new(text.splitn(most.saturating_add(1), by));
    }
    let (mut rest, mut cuts) = (text.trim_start_matches(is_space), 0);
    Box::new(std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = if cuts == most { rest.len() } else { rest.find(is_space).unwrap_or(rest.len()) };
        cuts += 1;
        let (piece, behind) = rest.split_at(end);
        rest = behind.trim_start_matches(is_space);
        Some(piece)
    }))
}

/// `str.rsplit`: as [`split`], with the cuts counted from the end. The pieces are in order.
pub(super) fn split_from_right<'a>(text: &'a str, by: Option<&'a str>, most: usize) -> Pieces<'a> {
    if most == usize::MAX && by.is_none() {
        return split(text, by, most);
    }
    let pieces: Vec<&str> = match by {
        Some(by) => text.rsplitn(most.saturating_add(1), by).collect(),
        None => {
            let (mut rest, mut pieces) = (text.trim_end_matches(is_space), Vec::new());
            while !rest.is_empty() {
                let space = rest.char_indices().rev().find(|&(_, c)| is_space(c)).filter(|_| pieces.len() < most);
                let start = space.map_or(0, |(at, c)| at + c.len_utf8());
                pieces.push(&rest[start..]);
                rest = rest[..start].trim_end_matches(is_space);
            }
            pieces
        }
    };
    Box::new(pieces.into_iter().rev())
}

/// `str.splitlines`: at every line break that Unicode knows.
pub(super) fn lines(text: &str, keep: bool) -> Pieces<'_> {
    let mut rest = text;
    Box::new(std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let ends =
            |c: char| matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}');
        let Some((at, c)) = rest.char_indices().find(|&(_, c)| ends(c)) else {
            return Some(std::mem::take(&mut rest));
        };
        let end = at + if rest[at..].starts_with("\r\n") { 2 } else { c.len_utf8() };
        let line = if keep { &rest[..end] } else { &rest[..at] };
        rest = &rest[end..];
        Some(line)
    }))
}
