//! `wordwrap`: Python's `textwrap` as Jinja2 calls it, with tabs and white space left as they are.

use super::unicode::{is_decimal, is_space, is_word};

/// How lines are made.
#[derive(Clone, Copy)]
pub(super) struct Wrap {
    /// Characters of a line, at least 1.
    pub(super) width: usize,
    /// Whether words that are longer than a line are cut.
    pub(super) break_long_words: bool,
    /// Whether words are cut behind hyphens.
    pub(super) break_on_hyphens: bool,
}

/// The lines of one paragraph. The work is linear in its length.
pub(super) fn wrap(text: &str, options: Wrap) -> Vec<String> {
    let text: Vec<char> = text.chars().collect();
    let mut chunks: Vec<&[char]> = chunks(&text, options.break_on_hyphens);
    chunks.reverse();
    let mut lines: Vec<String> = Vec::new();
    while !chunks.is_empty() {
        if !lines.is_empty() && chunks.last().is_some_and(|chunk| blank(chunk)) {
            chunks.pop();
        }
        let (mut line, mut length): (Vec<&[char]>, usize) = (Vec::new(), 0);
        while let Some(chunk) = chunks.pop_if(|chunk| length + chunk.len() <= options.width) {
            length += chunk.len();
            line.push(chunk);
        }
        if let Some(chunk) = chunks.pop_if(|chunk| chunk.len() > options.width) {
            if options.break_long_words {
                let (head, rest) = chunk.split_at(cut(chunk, options.width - length, options.break_on_hyphens));
                line.push(head);
                chunks.push(rest);
            } else if line.is_empty() {
                line.push(chunk);
            } else {
                chunks.push(chunk);
            }
        }
        line.pop_if(|last| blank(last));
        if !line.is_empty() {
            lines.push(line.concat().into_iter().collect());
        }
    }
    lines
}

fn blank(chunk: &[char]) -> bool {
    chunk.iter().all(|&c| is_space(c))
}

/// Where a word that is longer than a line is cut: behind the last hyphen that fits, if anything but
/// hyphens is before it.
fn cut(chunk: &[char], space: usize, break_on_hyphens: bool) -> usize {
    let hyphen = chunk[..space].iter().rposition(|&c| c == '-').filter(|_| break_on_hyphens);
    match hyphen {
        Some(at) if chunk[..at].iter().any(|&c| c != '-') => at + 1,
        _ => space,
    }
}

/// White space that separates words here; others belong to words.
fn separates(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\x0b' | '\x0c' | '\r' | ' ')
}

/// Words, the white space between them and, of words with hyphens, their parts: what is not cut unless
/// it is too long.
fn chunks(text: &[char], hyphens: bool) -> Vec<&[char]> {
    let mut chunks = Vec::new();
    let (mut start, mut run) = (0, 0);
    while start < text.len() {
        let space = separates(text[start]);
        if start == run {
            run += text[start..].iter().take_while(|&&c| separates(c) == space).count();
        }
        let end = if space || !hyphens { run } else { word(text, start, run) };
        chunks.push(&text[start..end]);
        start = end;
    }
    chunks
}

/// The end of the part of a word that begins at `start`; the word ends at `run`.
fn word(text: &[char], start: usize, run: usize) -> usize {
    let letter = |at: usize| text.get(at).is_some_and(|&c| is_word(c) && !is_decimal(c));
    let before = |at: usize, n: usize| at.checked_sub(n);
    let punctuated = |at: usize| before(at, 1).is_some_and(|at| is_word(text[at]) || "!\"'&.,?".contains(text[at]));
    // A dash of several hyphens that a word follows.
    let dash = |at: usize| {
        let length = text[at..run].iter().take_while(|&&c| c == '-').count();
        (length >= 2 && at + length < run && is_word(text[at + length])).then_some(at + length)
    };
    if let Some(end) = dash(start).filter(|_| punctuated(start)) {
        return end;
    }
    let mut at = start + 1;
    while at < run {
        // A hyphen with two letters, or a letter and a hyphen with a letter, before it.
        let halves = text[at] == '-'
            && at > start
            && before(at, 2).is_some_and(|b| letter(at - 1) && (letter(b) || text[b] == '-' && b > 0 && letter(b - 1)))
            && letter(at + 1)
            && (letter(at + 2) || text.get(at + 2) == Some(&'-') && letter(at + 3));
        if halves {
            return at + 1;
        }
        if text[at] == '-' && punctuated(at) {
            if dash(at).is_some() {
                return at;
            }
            // What is no dash here is none a hyphen later.
            at += text[at..run].iter().take_while(|&&c| c == '-').count();
            continue;
        }
        at += 1;
    }
    run
}
