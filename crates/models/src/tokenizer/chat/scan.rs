//! Prepares a template for being run: bounds what its text can make the engine recurse into, and
//! puts a check of the value behind every operand.
//!
//! The engine charges for instructions and strings, but values share their parts: a list joined
//! with itself sixty times is small in memory and endless to print, compare or drop. No hook of the
//! engine sees operators. So each operand `x` becomes `x|__bounded`, a filter that knows how large
//! the value is when every part is counted as often as it appears (`limits.rs`). What an expression
//! makes is then at most as large as its operands together, and an expression has few.

use unisono_core::{Error, Result};

use super::limits::{BOUNDED, FACTOR, INDEXED, SCOPE};
use super::tokens::{Kind, Tag, Token, tags};

/// Longest template, in bytes. The longest known have some 20,000.
const MAX_BYTES: usize = 1 << 20;
/// Brackets that may be open at a time.
const MAX_BRACKETS: usize = 32;
/// Operators, filters and attributes that may wait for one another: the engine recurses for each.
const MAX_CHAIN: usize = 200;
/// Blocks that may be open at a time, branches of `elif` included.
const MAX_BLOCKS: usize = 64;

/// The template with checks. Fails where it is too long, too deep or cannot be read.
pub(super) fn guard(source: &str) -> Result<String> {
    if source.len() > MAX_BYTES {
        let message = format!("chat template: it has {} bytes; at most {MAX_BYTES} are read", source.len());
        return Err(Error::invalid(message));
    }
    let fail = |at: usize, why: &str| {
        let line = source.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count() + 1;
        Error::invalid(format!("chat template, line {line}: {why}"))
    };
    let mut insertions: Vec<(usize, String)> = Vec::new();
    let mut blocks = Blocks::default();
    tags(source, &fail, &mut |tag| {
        let first = tag.tokens.first().map_or(0, |token| token.start);
        blocks.enter(source, &tag).map_err(|why| fail(first, why))?;
        let mut walk = Walk::new(source, &tag);
        for i in 0..tag.tokens.len() {
            match walk.step(i).map_err(|why| fail(tag.tokens[i].start, why))? {
                Some(Check::Operand(filter)) => insertions.push((tag.tokens[i].end, format!("|{filter}"))),
                Some(Check::Subscript(start)) => {
                    insertions.push((tag.tokens[start].start, "(".to_owned()));
                    insertions.push((tag.tokens[i].end, format!("|{INDEXED})")));
                }
                None => {}
            }
        }
        Ok(())
    })?;
    // Stable: what was put first at a place stays first.
    insertions.sort_by_key(|insertion| insertion.0);
    let (mut out, mut copied) = (String::with_capacity(source.len() * 2), 0);
    for (at, text) in &insertions {
        out.push_str(&source[copied..*at]);
        out.push_str(text);
        copied = *at;
    }
    out.push_str(&source[copied..]);
    Ok(out)
}

/// What goes around the operand that ends at a token.
enum Check {
    /// A filter behind it.
    Operand(&'static str),
    /// A filter and brackets that begin at the token of that index: a subscript follows.
    Subscript(usize),
}

/// The blocks that are open, each with its branches.
#[derive(Default)]
struct Blocks {
    open: Vec<usize>,
    depth: usize,
}

impl Blocks {
    fn enter(&mut self, source: &str, tag: &Tag) -> Result<(), &'static str> {
        let keyword = tag.keyword(source);
        let added = match keyword {
            "if" | "for" | "macro" | "call" | "filter" | "with" | "autoescape" => {
                self.open.push(1);
                1
            }
            "set" if tag.assignment(source).is_none() => {
                self.open.push(1);
                1
            }
            "elif" => self.open.last_mut().map_or(0, |branches| {
                *branches += 1;
                1
            }),
            _ => 0,
        };
        self.depth += added;
        if keyword.starts_with("end") {
            self.depth -= self.open.pop().unwrap_or(0);
        }
        if self.depth > MAX_BLOCKS { Err("blocks are nested too deep") } else { Ok(()) }
    }
}

/// What is open at one level of brackets.
#[derive(Clone, Copy)]
struct Level {
    /// Where the operand that is being read began.
    operand: Option<usize>,
    /// Operators since the last comma.
    chain: usize,
    /// Whether these are the parameters of a macro.
    parameters: bool,
    /// Whether namespaces may be operands here: arguments of a macro.
    scopes: bool,
}

/// Goes through the tokens of a tag and says what goes behind each.
struct Walk<'a> {
    source: &'a str,
    tokens: &'a [Token],
    keyword: &'a str,
    /// Where expressions begin.
    begin: usize,
    /// Whether what stands outside of brackets is an operand: not in `call`, `do`, `filter` and the
    /// filters of a `set` block, where the engine wants a bare call.
    outer: bool,
    levels: Vec<Level>,
    chain: usize,
}

impl<'a> Walk<'a> {
    fn new(source: &'a str, tag: &'a Tag) -> Walk<'a> {
        let keyword = tag.keyword(source);
        let (mut begin, mut outer, mut scopes) = (1, true, false);
        match keyword {
            "" => begin = 0,
            "if" | "elif" | "autoescape" => {}
            "for" => begin = tag.find(source, "in").map_or(tag.tokens.len(), |i| i + 1),
            "set" => match tag.assignment(source) {
                Some(i) => {
                    begin = i + 1;
                    scopes = !tag.tokens[..i].iter().any(|token| token.text(source) == ".");
                }
                None => outer = false,
            },
            "with" => scopes = true,
            "macro" | "call" | "do" | "filter" => outer = false,
            _ => begin = tag.tokens.len(),
        }
        let bottom = Level { operand: None, chain: 0, parameters: false, scopes };
        Walk { source, tokens: &tag.tokens, keyword, begin, outer, levels: vec![bottom], chain: 0 }
    }

    fn text(&self, i: usize) -> &'a str {
        self.tokens.get(i).map_or("", |token| token.text(self.source))
    }

    fn before(&self, i: usize) -> &'a str {
        i.checked_sub(1).map_or("", |i| self.text(i))
    }

    /// Whether a token is the name of a test, as in `x is not defined`.
    fn is_test(&self, i: usize) -> bool {
        let name = self.tokens[i].kind == Kind::Word;
        name && (self.before(i) == "is" || self.before(i) == "not" && i >= 2 && self.text(i - 2) == "is")
    }

    /// Whether a word stands for an operator or a part of the statement.
    fn is_operator(&self, i: usize) -> bool {
        if matches!(self.before(i), "." | "|") || self.is_test(i) {
            return false;
        }
        match self.text(i) {
            "and" | "or" | "not" | "in" | "is" | "if" | "else" => true,
            "recursive" => self.keyword == "for" && i + 1 == self.tokens.len(),
            _ => false,
        }
    }

    /// Reads the token `i`; the filter that goes behind it, if an operand ends there.
    fn step(&mut self, i: usize) -> Result<Option<Check>, &'static str> {
        let (token, text) = (self.tokens[i], self.text(i));
        match token.kind {
            Kind::Open => {
                // A group is an operand; an argument list or a subscript is part of one.
                let called = i > self.begin && self.ends_operand(i - 1) && text != "{";
                let first = i == 1 && self.keyword == "call" || i == 2 && self.keyword == "macro";
                let macros = called && self.tokens[i - 1].kind == Kind::Word && !self.is_test(i - 1);
                let builtin = matches!(self.before(i), "cycler" | "dict" | "joiner" | "namespace" | "range");
                let bare = i < 2 || !matches!(self.text(i - 2), "." | "|");
                self.start(i);
                self.count()?;
                let scopes = macros && bare && !builtin && text == "(";
                self.levels.push(Level { operand: None, chain: 0, parameters: first, scopes });
                if self.levels.len() > MAX_BRACKETS { Err("brackets are nested too deep") } else { Ok(None) }
            }
            Kind::Close => {
                if self.levels.len() > 1
                    && let Some(level) = self.levels.pop()
                {
                    self.chain -= level.chain;
                }
                Ok(self.end(i))
            }
            Kind::Other => {
                if matches!(text, "," | ":" | "=") {
                    self.chain -= std::mem::take(&mut self.level().chain);
                } else {
                    self.count()?;
                }
                if !matches!(text, "." | "|") {
                    self.level().operand = None;
                }
                Ok(None)
            }
            Kind::Word if self.is_operator(i) => {
                self.count()?;
                self.level().operand = None;
                Ok(None)
            }
            Kind::Word | Kind::Literal => {
                self.start(i);
                Ok(self.end(i))
            }
        }
    }

    fn level(&mut self) -> &mut Level {
        if self.levels.is_empty() {
            self.levels.push(Level { operand: None, chain: 0, parameters: false, scopes: false });
        }
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    fn count(&mut self) -> Result<(), &'static str> {
        self.level().chain += 1;
        self.chain += 1;
        if self.chain > MAX_CHAIN { Err("an expression is too long") } else { Ok(()) }
    }

    fn start(&mut self, i: usize) {
        if i >= self.begin {
            self.level().operand.get_or_insert(i);
        }
    }

    /// Whether an operand may end at a token, if nothing behind it goes on with it.
    fn ends_operand(&self, i: usize) -> bool {
        match self.tokens[i].kind {
            Kind::Literal | Kind::Close => true,
            Kind::Word => !self.is_operator(i),
            Kind::Open | Kind::Other => false,
        }
    }

    /// The check behind token `i`, if an operand ends there.
    fn end(&mut self, i: usize) -> Option<Check> {
        let (token, next) = (self.tokens[i], self.tokens.get(i + 1));
        let follows = self.text(i + 1);
        let inside = self.levels.len() > 1;
        if i < self.begin || !inside && !self.outer || matches!(follows, "." | "(" | "=") {
            return None;
        }
        let level = *self.level();
        if level.parameters && self.levels.len() == 2 && matches!(self.before(i), "(" | ",") {
            return None;
        }
        // Targets of `with (a, b) = x` are no operands.
        if self.keyword == "with" && self.target(i) {
            return None;
        }
        let starts_operand = next.is_some_and(|next| match next.kind {
            Kind::Word => !matches!(follows, "and" | "or" | "else" | "is"),
            Kind::Literal => true,
            Kind::Open | Kind::Other | Kind::Close => matches!(follows, "+" | "-" | "[" | "{"),
        });
        if self.is_test(i) && starts_operand {
            return None;
        }
        let start = level.operand.unwrap_or(i);
        if follows == "[" {
            return Some(Check::Subscript(start));
        }
        let plain = match token.kind {
            Kind::Literal => true,
            Kind::Word => matches!(self.text(i), "true" | "True" | "false" | "False" | "none" | "None"),
            Kind::Open | Kind::Close | Kind::Other => false,
        };
        if follows != "|" {
            self.level().operand = None;
        }
        if plain && start == i {
            return None;
        }
        let splat = start >= 2 && matches!(self.text(start - 2), "(" | ",");
        let multiplied = follows == "*" || self.before(start) == "*" && !splat;
        Some(Check::Operand(match (multiplied, level.scopes && follows != "|") {
            (true, _) => FACTOR,
            (false, true) => SCOPE,
            (false, false) => BOUNDED,
        }))
    }

    /// Whether token `i` is in the target of an assignment of `with`: brackets that an `=` follows.
    fn target(&self, i: usize) -> bool {
        let mut depth = self.levels.len() as isize - 1;
        for j in i + 1..self.tokens.len() {
            match self.tokens[j].kind {
                Kind::Open => depth += 1,
                Kind::Close => depth -= 1,
                Kind::Word if depth > 0 => {}
                Kind::Other if depth > 0 && self.text(j) == "," => {}
                _ => return false,
            }
            if depth == 0 {
                return self.text(j + 1) == "=";
            }
        }
        false
    }
}
