//! `tojson` as transformers defines it: Python's `json.dumps` without escaping letters, where
//! Jinja's own filter would escape for HTML.

use std::io::{self, Write};

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// How deep a value may be nested: writing it recurses.
const MAX_DEPTH: usize = 64;

/// The filter, with the arguments of Python's function that templates use.
#[expect(clippy::needless_pass_by_value, reason = "the engine hands arguments over by value")]
pub(super) fn tojson(state: &State<'_, '_>, value: &Value, arguments: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = arguments.get("indent")?;
    let _ensure_ascii: Option<bool> = arguments.get("ensure_ascii")?;
    let _sort_keys: Option<bool> = arguments.get("sort_keys")?;
    let separators: Option<Vec<String>> = arguments.get("separators")?;
    arguments.assert_all_used()?;
    let [item, key] = match separators.as_deref() {
        Some([item, key]) => [item.clone(), key.clone()],
        Some(_) => return Err(Error::new(ErrorKind::InvalidOperation, "separators are two strings")),
        None => [if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()],
    };
    if indent.is_some_and(|indent| indent > 64) {
        return Err(Error::new(ErrorKind::InvalidOperation, "indent is over 64"));
    }
    pay(state, value, 0)?;
    let mut bytes = Vec::new();
    let style = Style { indent, depth: 0, filled: false, item, key };
    let failed = |e: &dyn std::fmt::Display| Error::new(ErrorKind::BadSerialization, e.to_string());
    let mut out = Bounded { state, bytes: &mut bytes, unpaid: 0 };
    value.serialize(&mut Serializer::with_formatter(&mut out, style)).map_err(|e| failed(&e))?;
    String::from_utf8(bytes).map_err(|e| failed(&e))
}

/// Pays for every item before the value is written: lists that are joined or repeat one another are
/// small in memory and may be endless to visit.
fn pay(state: &State<'_, '_>, value: &Value, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(Error::new(ErrorKind::InvalidOperation, format!("tojson: a value is over {MAX_DEPTH} deep")));
    }
    state.consume_fuel(1)?;
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => value.try_iter()?.try_for_each(|item| pay(state, &item, depth + 1)),
        ValueKind::Map => value.try_iter()?.try_for_each(|key| pay(state, &value.get_item(&key)?, depth + 1)),
        _ => Ok(()),
    }
}

/// Pays for what is written before it is there.
struct Bounded<'a, 'b, 'c> {
    state: &'a State<'b, 'c>,
    bytes: &'a mut Vec<u8>,
    unpaid: u64,
}

impl Write for Bounded<'_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A quarter of a unit for a byte, as the engine's own filter takes it: a value that is
        // small in memory can be written as a large one.
        self.unpaid += bytes.len() as u64;
        self.state.consume_fuel(self.unpaid / 4).map_err(io::Error::other)?;
        self.unpaid %= 4;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Style {
    indent: Option<usize>,
    depth: usize,
    filled: bool,
    item: String,
    key: String,
}

impl Style {
    fn line<W: ?Sized + Write>(&self, out: &mut W) -> io::Result<()> {
        match self.indent {
            Some(indent) => {
                out.write_all(b"\n")?;
                out.write_all(" ".repeat(indent * self.depth).as_bytes())
            }
            None => Ok(()),
        }
    }

    fn begin<W: ?Sized + Write>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.filled = false;
        out.write_all(bracket)
    }

    fn end<W: ?Sized + Write>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if self.filled {
            self.line(out)?;
        }
        self.filled = true;
        out.write_all(bracket)
    }

    fn next<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if !first {
            out.write_all(self.item.as_bytes())?;
        }
        self.filled = true;
        self.line(out)
    }
}

impl Formatter for Style {
    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin(out, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.next(out, first)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin(out, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.next(out, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(self.key.as_bytes())
    }
}
