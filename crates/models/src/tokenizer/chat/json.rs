//! `tojson` as transformers defines it: Python's `json.dumps` without escaping letters, where
//! Jinja's own filter would escape for HTML.

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, State};

use super::arguments::Arguments;
use super::limits::{pay, refused};
use super::number::float;

/// How deep a value may be nested: writing it recurses.
const MAX_DEPTH: usize = 64;
/// Longest indentation of a level, in bytes.
const MAX_INDENT: usize = 64;

/// Adds the filter.
pub(super) fn set_up(environment: &mut Environment<'static>) {
    super::filters::add(environment, "tojson", tojson);
}

fn tojson(state: &State<'_, '_>, value: &Value, given: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::new("tojson", given, &["ensure_ascii", "indent", "separators", "sort_keys"])?;
    let indent = indentation(&arguments)?;
    let [item, key] = match arguments.value("separators").filter(|value| !value.is_none()) {
        Some(pair) => {
            let mut texts = pair.try_iter()?.map(|text| text.as_str().map(str::to_owned));
            match (texts.next().flatten(), texts.next().flatten(), texts.next()) {
                (Some(item), Some(key), None) => [item, key],
                _ => return Err(refused("tojson: separators are two strings")),
            }
        }
        None => [if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()],
    };
    let ascii = arguments.flag("ensure_ascii").unwrap_or(false);
    let sorted = arguments.flag("sort_keys").unwrap_or(false);
    let mut writer = Writer { state, out: String::new(), unpaid: 0, indent, item, key, ascii, sorted };
    writer.value(value, 0)?;
    Ok(writer.out.into())
}

/// What stands before each line, for each level; `None` for a single line.
fn indentation(arguments: &Arguments) -> Result<Option<String>, Error> {
    let indent = match arguments.value("indent") {
        Some(value) if value.as_str().is_some() => value.as_str().map(str::to_owned),
        _ => {
            let spaces = arguments.number("indent")?.map(|n| n.clamp(0, MAX_INDENT as i64 + 1) as usize);
            spaces.map(|spaces| " ".repeat(spaces))
        }
    };
    if indent.as_ref().is_some_and(|indent| indent.len() > MAX_INDENT) {
        return Err(refused(&format!("tojson: indent is over {MAX_INDENT}")));
    }
    Ok(indent)
}

struct Writer<'a, 'b, 'c> {
    state: &'a State<'b, 'c>,
    out: String,
    /// Bytes that are written and not paid.
    unpaid: usize,
    indent: Option<String>,
    item: String,
    key: String,
    ascii: bool,
    sorted: bool,
}

impl Writer<'_, '_, '_> {
    /// Pays for text and writes it: a value that is small in memory can be written as a large one. A
    /// byte is a quarter of a unit, as the engine's own filter takes it.
    fn push(&mut self, text: &str) -> Result<(), Error> {
        self.unpaid += text.len();
        pay(self.state, self.unpaid / 4)?;
        self.unpaid %= 4;
        self.out.push_str(text);
        Ok(())
    }

    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(refused(&format!("tojson: a value is over {MAX_DEPTH} deep")));
        }
        pay(self.state, 1)?;
        match value.kind() {
            ValueKind::None => self.push("null"),
            ValueKind::Bool => self.push(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.push(&number(value)?),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let mut items = value.try_iter()?;
                self.list(["[", "]"], depth, &mut |writer, first| {
                    let Some(item) = items.next() else { return Ok(false) };
                    writer.next(first, depth)?;
                    writer.value(&item, depth + 1).map(|()| true)
                })
            }
            ValueKind::Map => {
                let keys = self.keys(value)?;
                let mut keys = keys.iter();
                self.list(["{", "}"], depth, &mut |writer, first| {
                    let Some(key) = keys.next() else { return Ok(false) };
                    writer.next(first, depth)?;
                    let name = name(key)?;
                    writer.string(&name)?;
                    let between = writer.key.clone();
                    writer.push(&between)?;
                    writer.value(&value.get_item(key)?, depth + 1).map(|()| true)
                })
            }
            kind => Err(refused(&format!("tojson: a value of type {kind} cannot be written as JSON"))),
        }
    }

    /// Writes items between brackets; `item` writes one, or says that there is none.
    fn list(
        &mut self,
        [open, close]: [&str; 2],
        depth: usize,
        item: &mut dyn FnMut(&mut Self, bool) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        self.push(open)?;
        let mut first = true;
        while item(self, first)? {
            first = false;
        }
        if !first {
            self.line(depth)?;
        }
        self.push(close)
    }

    fn next(&mut self, first: bool, depth: usize) -> Result<(), Error> {
        if !first {
            let between = self.item.clone();
            self.push(&between)?;
        }
        self.line(depth + 1)
    }

    fn line(&mut self, depth: usize) -> Result<(), Error> {
        let Some(indent) = &self.indent else { return Ok(()) };
        let line = format!("\n{}", indent.repeat(depth));
        self.push(&line)
    }

    /// The keys of a mapping in the order in which they are written.
    fn keys(&self, value: &Value) -> Result<Vec<Value>, Error> {
        let mut keys = Vec::new();
        for key in value.try_iter()? {
            pay(self.state, 1)?;
            keys.push(key);
        }
        if self.sorted {
            let kind = keys.first().map(Value::kind);
            if keys.iter().any(|key| Some(key.kind()) != kind) {
                return Err(refused("tojson: keys of different types cannot be sorted"));
            }
            keys.sort();
        }
        Ok(keys)
    }

    fn string(&mut self, text: &str) -> Result<(), Error> {
        self.push("\"")?;
        let mut plain = 0;
        for (at, c) in text.char_indices() {
            let escape = match c {
                '"' => "\\\"".to_owned(),
                '\\' => "\\\\".to_owned(),
                '\n' => "\\n".to_owned(),
                '\r' => "\\r".to_owned(),
                '\t' => "\\t".to_owned(),
                '\x08' => "\\b".to_owned(),
                '\x0c' => "\\f".to_owned(),
                '\0'..'\x20' => format!("\\u{:04x}", u32::from(c)),
                '\x7f'.. if self.ascii => {
                    c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
                }
                _ => continue,
            };
            self.push(&text[plain..at])?;
            self.push(&escape)?;
            plain = at + c.len_utf8();
        }
        self.push(&text[plain..])?;
        self.push("\"")
    }
}

fn number(value: &Value) -> Result<String, Error> {
    if value.is_integer() {
        return Ok(value.to_string());
    }
    let number = f64::try_from(value.clone())?;
    Ok(match number {
        _ if number.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        _ => float(number),
    })
}

/// A key as JSON has it: a string.
fn name(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::String => Ok(key.to_string()),
        ValueKind::None => Ok("null".to_owned()),
        ValueKind::Bool => Ok(if key.is_true() { "true" } else { "false" }.to_owned()),
        ValueKind::Number => number(key),
        kind => Err(refused(&format!("tojson: a key of type {kind} cannot be written as JSON"))),
    }
}
