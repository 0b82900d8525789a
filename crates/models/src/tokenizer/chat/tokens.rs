//! The tokens of a template's tags, read as the engine reads them.

use unisono_core::{Error, Result};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or keyword.
    Word,
    /// A string or number.
    Literal,
    /// One of `( [ {`.
    Open,
    /// One of `) ] }`.
    Close,
    /// An operator, a comma, a colon, a dot.
    Other,
}

/// A token and its place in the template.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Token {
    pub(super) fn text(self, source: &str) -> &str {
        source.get(self.start..self.end).unwrap_or_default()
    }
}

/// The tokens between the delimiters of a tag.
#[derive(Debug)]
pub(super) struct Tag {
    /// Whether it is a statement (`{% %}`), not an expression (`{{ }}`).
    statement: bool,
    pub(super) tokens: Vec<Token>,
}

impl Tag {
    /// The first word of a statement; nothing for an expression.
    pub(super) fn keyword<'a>(&self, source: &'a str) -> &'a str {
        self.tokens.first().filter(|_| self.statement).map_or("", |token| token.text(source))
    }

    /// The `=` of a `set`, which one of a block does not have.
    pub(super) fn assignment(&self, source: &str) -> Option<usize> {
        self.find(source, "=")
    }

    /// The first token of that text outside of brackets.
    pub(super) fn find(&self, source: &str, text: &str) -> Option<usize> {
        let mut depth = 0usize;
        self.tokens.iter().position(|token| {
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth = depth.saturating_sub(1),
                Kind::Word | Kind::Literal | Kind::Other => {}
            }
            depth == 0 && token.text(source) == text
        })
    }
}

type Fail<'a> = &'a dyn Fn(usize, &str) -> Error;

/// Calls `visit` for each tag, in order. Comments and raw blocks have none. Fails where a tag does
/// not end.
pub(super) fn tags(source: &str, fail: Fail<'_>, visit: &mut dyn FnMut(Tag) -> Result<()>) -> Result<()> {
    let bytes = source.as_bytes();
    let mut at = 0;
    while let Some(start) = find(bytes, at, b"{") {
        at = start + 2;
        match bytes.get(start + 1) {
            Some(b'#') => at = find(bytes, at, b"#}").ok_or_else(|| fail(start, "a comment has no end"))? + 2,
            Some(&delimiter @ (b'{' | b'%')) => {
                at += usize::from(matches!(bytes.get(at), Some(b'-' | b'+')));
                let raw = if delimiter == b'%' { word_tag(bytes, at, b"raw") } else { None };
                if let Some(end) = raw {
                    at = raw_end(bytes, end).ok_or_else(|| fail(start, "a raw block has no end"))?;
                    continue;
                }
                let statement = delimiter == b'%';
                let mut reader = Reader { source, at, open: Vec::new(), end: if statement { b"%}" } else { b"}}" } };
                let mut tokens = Vec::new();
                while let Some(token) = reader.next(fail)? {
                    tokens.push(token);
                }
                at = reader.at;
                visit(Tag { statement, tokens })?;
            }
            _ => at = start + 1,
        }
    }
    Ok(())
}

/// Where `what` is, from `at` on.
fn find(bytes: &[u8], at: usize, what: &[u8]) -> Option<usize> {
    let rest = bytes.get(at..)?;
    rest.windows(what.len()).position(|window| window == what).map(|found| at + found)
}

/// The end of a statement that is one word, whose delimiter ended at `at`.
fn word_tag(bytes: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    let space = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let mut at = at + space(bytes.get(at..)?);
    at += bytes.get(at..)?.starts_with(word).then_some(word.len())?;
    at += space(bytes.get(at..)?);
    at += usize::from(matches!(bytes.get(at), Some(b'-' | b'+')));
    bytes.get(at..)?.starts_with(b"%}").then_some(at + 2)
}

/// The end of the `endraw` after `at`.
fn raw_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = find(bytes, at, b"{%")? + 2;
        let trimmed = at + usize::from(matches!(bytes.get(at), Some(b'-' | b'+')));
        if let Some(end) = word_tag(bytes, trimmed, b"endraw") {
            return Some(end);
        }
    }
}

/// Reads the tokens of one tag.
struct Reader<'a> {
    source: &'a str,
    at: usize,
    /// Brackets that must be closed.
    open: Vec<u8>,
    end: &'static [u8],
}

impl Reader<'_> {
    fn rest(&self) -> &[u8] {
        self.source.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The next token; `None` behind the end of the tag.
    fn next(&mut self, fail: Fail<'_>) -> Result<Option<Token>> {
        self.at += self.rest().iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        if self.open.is_empty() {
            let trimmed = usize::from(matches!(self.rest().first(), Some(b'-' | b'+')));
            for skipped in [0, trimmed] {
                if self.rest()[skipped..].starts_with(self.end) {
                    self.at += skipped + self.end.len();
                    return Ok(None);
                }
            }
        }
        let rest = self.rest();
        let Some(&first) = rest.first() else { return Err(fail(self.at, "a tag has no end")) };
        let (kind, length) = match first {
            b'\'' | b'"' => {
                let length = string(rest).ok_or_else(|| fail(self.at, "a string has no end"))?;
                (Kind::Literal, length)
            }
            b'0'..=b'9' => (Kind::Literal, self.number()),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                (Kind::Word, rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count())
            }
            b'(' | b'[' | b'{' => {
                self.open.push(first);
                (Kind::Open, 1)
            }
            b')' | b']' | b'}' => {
                let opened = match first {
                    b')' => b'(',
                    b']' => b'[',
                    _ => b'{',
                };
                if self.open.pop() != Some(opened) {
                    return Err(fail(self.at, "brackets do not match"));
                }
                (Kind::Close, 1)
            }
            _ => {
                let two = [b"//", b"**", b"==", b"!=", b">=", b"<="].iter().any(|two| rest.starts_with(*two));
                if !two && !b"+-*/%.,:~|=><".contains(&first) {
                    return Err(fail(self.at, "unexpected character"));
                }
                (Kind::Other, 1 + usize::from(two))
            }
        };
        let start = self.at;
        self.at += length;
        Ok(Some(Token { kind, start, end: self.at }))
    }

    /// The length of a number, as the engine takes it: `1.x` is an attribute of 1, and a number
    /// behind a dot has no fraction.
    fn number(&self) -> usize {
        let (rest, bytes) = (self.rest(), self.source.as_bytes());
        let after_dot = self.at > 0 && bytes[self.at - 1] == b'.';
        let hexadecimal = matches!(rest.get(..2), Some(b"0x" | b"0X"));
        if hexadecimal || matches!(rest.get(..2), Some(b"0b" | b"0B" | b"0o" | b"0O")) {
            let digit = |b: &&u8| b.is_ascii_digit() || **b == b'_' || hexadecimal && b.is_ascii_hexdigit();
            return 2 + rest[2..].iter().take_while(digit).count();
        }
        let (mut fraction, mut exponent, mut length) = (false, 0, 0);
        while let Some(&byte) = rest.get(length) {
            let next = |offset: usize| rest.get(length + offset).copied().unwrap_or(b' ');
            match byte {
                b'0'..=b'9' => exponent = if exponent > 0 { 2 } else { 0 },
                b'_' => {}
                b'.' if !fraction && exponent == 0 && !after_dot => {
                    let power = matches!(next(1), b'e' | b'E') && matches!(next(2), b'+' | b'-' | b'0'..=b'9');
                    if !power && (next(1).is_ascii_alphabetic() || next(1) == b'_') {
                        break;
                    }
                    fraction = true;
                }
                b'e' | b'E' if exponent == 0 => exponent = 1,
                b'+' | b'-' if exponent == 1 => exponent = 2,
                _ => break,
            }
            length += 1;
        }
        length
    }
}

/// The length of a string with its quotes.
fn string(bytes: &[u8]) -> Option<usize> {
    let quote = *bytes.first()?;
    let mut at = 1;
    loop {
        match *bytes.get(at)? {
            b'\\' => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}
