//! The methods of Python's strings. Positions count characters, white space is Python's, and every
//! method pays for what it makes before it makes it.

use minijinja::formatting::FormatStyle;
use minijinja::value::{Kwargs, StringInput, Tuple, Value};
use minijinja::{Error, State, filters};

use super::arguments::Arguments;
use super::cut::{Piece, lines, split, split_from_right};
use super::limits::{formatted, pay, pay_bytes, pay_product, refused};
use super::unicode::{
    casefold, is_alpha, is_alphanumeric, is_decimal, is_digit, is_numeric, is_printable, is_space, is_title,
};

/// Calls a method of `text`; `None` where the engine's own does what Python's does, or where there is
/// no such method.
pub(super) fn call(
    state: &State<'_, '_>,
    text: &str,
    method: &str,
    given: &[Value],
    size: usize,
) -> Result<Option<Value>, Error> {
    let value = match method {
        "casefold" => none(given, "casefold", || casefold(text).into())?,
        "swapcase" => none(given, "swapcase", || swapcase(text).into())?,
        "title" => title(state, text)?,
        "center" => justified(state, text, "center", given)?,
        "ljust" => justified(state, text, "ljust", given)?,
        "rjust" => justified(state, text, "rjust", given)?,
        "zfill" => zfill(state, text, given)?,
        "expandtabs" => expandtabs(state, text, given)?,
        "strip" => strip(state, text, &Arguments::new("strip", given, &["chars"])?, (true, true))?,
        "lstrip" => strip(state, text, &Arguments::new("lstrip", given, &["chars"])?, (true, false))?,
        "rstrip" => strip(state, text, &Arguments::new("rstrip", given, &["chars"])?, (false, true))?,
        "removeprefix" => {
            let arguments = Arguments::new("removeprefix", given, &["prefix"])?;
            text.strip_prefix(arguments.required_text("prefix")?).unwrap_or(text).into()
        }
        "removesuffix" => {
            let arguments = Arguments::new("removesuffix", given, &["suffix"])?;
            text.strip_suffix(arguments.required_text("suffix")?).unwrap_or(text).into()
        }
        "find" => search(text, "find", given, |text, sub| text.find(sub))?.map_or(-1, |at| at as i64).into(),
        "rfind" => search(text, "rfind", given, |text, sub| text.rfind(sub))?.map_or(-1, |at| at as i64).into(),
        "index" => search(text, "index", given, |text, sub| text.find(sub))?.map(Value::from).ok_or_else(not_found)?,
        "rindex" => {
            search(text, "rindex", given, |text, sub| text.rfind(sub))?.map(Value::from).ok_or_else(not_found)?
        }
        "count" => count(text, given)?.into(),
        "startswith" => affix(text, "startswith", given, |text, part| text.starts_with(part))?.into(),
        "endswith" => affix(text, "endswith", given, |text, part| text.ends_with(part))?.into(),
        "partition" => {
            let arguments = Arguments::new("partition", given, &["sep"])?;
            let by = separator(arguments.required_text("sep")?)?;
            triple(text.split_once(by).map_or([text, "", ""], |(before, after)| [before, by, after]))
        }
        "rpartition" => {
            let arguments = Arguments::new("rpartition", given, &["sep"])?;
            let by = separator(arguments.required_text("sep")?)?;
            triple(text.rsplit_once(by).map_or(["", "", text], |(before, after)| [before, by, after]))
        }
        "split" => cut(state, text, "split", given, split)?,
        "rsplit" => cut(state, text, "rsplit", given, split_from_right)?,
        "splitlines" => {
            let arguments = Arguments::new("splitlines", given, &["keepends"])?;
            list(state, lines(text, arguments.flag("keepends").unwrap_or(false)))?
        }
        "join" => join(state, text, given)?,
        "format" => formatted(state, FormatStyle::StrFormat, text, given, size)?.into(),
        "format_map" => {
            let arguments = Arguments::new("format_map", given, &["mapping"])?;
            let mapping = arguments.required("mapping")?;
            let keys = mapping.try_iter()?.map(|key| Ok((key.to_string(), mapping.get_item(&key)?)));
            let named: Kwargs = keys.collect::<Result<Vec<_>, Error>>()?.into_iter().collect();
            formatted(state, FormatStyle::StrFormat, text, &[named.into()], size)?.into()
        }
        "isalpha" => none(given, "isalpha", || all(text, is_alpha))?,
        "isalnum" => none(given, "isalnum", || all(text, is_alphanumeric))?,
        "isdecimal" => none(given, "isdecimal", || all(text, is_decimal))?,
        "isdigit" => none(given, "isdigit", || all(text, is_digit))?,
        "isnumeric" => none(given, "isnumeric", || all(text, is_numeric))?,
        "isspace" => none(given, "isspace", || all(text, is_space))?,
        "isprintable" => none(given, "isprintable", || text.chars().all(is_printable).into())?,
        "istitle" => none(given, "istitle", || titled(text).into())?,
        _ => return Ok(None),
    };
    Ok(Some(value))
}

/// The value of a method without arguments.
fn none(given: &[Value], what: &'static str, value: impl FnOnce() -> Value) -> Result<Value, Error> {
    Arguments::new(what, given, &[])?;
    Ok(value())
}

fn all(text: &str, test: impl Fn(char) -> bool) -> Value {
    (!text.is_empty() && text.chars().all(test)).into()
}

fn not_found() -> Error {
    refused("substring not found")
}

fn separator(by: &str) -> Result<&str, Error> {
    if by.is_empty() { Err(refused("the separator is empty")) } else { Ok(by) }
}

fn triple(parts: [&str; 3]) -> Value {
    Tuple::from(parts.map(Value::from)).into()
}

fn list<'a>(state: &State<'_, '_>, pieces: impl Iterator<Item = Piece<'a>>) -> Result<Value, Error> {
    let mut values: Vec<Value> = Vec::new();
    for piece in pieces {
        // A piece is a value of 24 bytes and costs half a unit, as the engine takes it afterwards.
        if values.len() % 2 == 1 {
            pay(state, 1)?;
        }
        values.push(piece.into());
    }
    Ok(values.into())
}

type Cut = for<'a> fn(&'a str, Option<&'a str>, usize) -> Box<dyn Iterator<Item = Piece<'a>> + 'a>;

fn cut(state: &State<'_, '_>, text: &str, what: &'static str, given: &[Value], how: Cut) -> Result<Value, Error> {
    let arguments = Arguments::new(what, given, &["sep", "maxsplit"])?;
    let by = arguments.text("sep")?.map(separator).transpose()?;
    let most = arguments.number("maxsplit")?.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    list(state, how(text, by, most))
}

fn join(state: &State<'_, '_>, by: &str, given: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::new("join", given, &["iterable"])?;
    let mut out = String::new();
    for (i, item) in arguments.required("iterable")?.try_iter()?.enumerate() {
        let wrong = || refused(&format!("join: item {i} is a {}, not a string", item.kind()));
        let text = item.as_str().ok_or_else(wrong)?;
        if i > 0 {
            pay_bytes(state, by.len())?;
            out.push_str(by);
        }
        pay_bytes(state, text.len())?;
        out.push_str(text);
    }
    Ok(out.into())
}

fn strip(
    state: &State<'_, '_>,
    text: &str,
    arguments: &Arguments,
    (left, right): (bool, bool),
) -> Result<Value, Error> {
    let chars: Option<Vec<char>> = arguments.text("chars")?.map(|chars| chars.chars().collect());
    if let Some(chars) = &chars {
        pay_product(state, text.len(), chars.len())?;
    }
    let dropped = |c: char| chars.as_ref().map_or_else(|| is_space(c), |chars| chars.contains(&c));
    let text = if left { text.trim_start_matches(dropped) } else { text };
    Ok(if right { text.trim_end_matches(dropped) } else { text }.into())
}

/// The part of a text between two positions, and the first of them; `None` where they are the wrong way
/// round. Negative ones count from the end.
fn window<'a>(text: &'a str, arguments: &Arguments) -> Result<Option<(&'a str, usize)>, Error> {
    let (start, end) = (arguments.number("start")?, arguments.number("end")?);
    if start.is_none() && end.is_none() {
        return Ok(Some((text, 0)));
    }
    let length = text.chars().count();
    let place = |at: i64| if at < 0 { length.saturating_sub(at.unsigned_abs() as usize) } else { at as usize };
    let (start, end) = (start.map_or(0, place), end.map_or(length, place).min(length));
    if start > end {
        return Ok(None);
    }
    let byte = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte);
    Ok(Some((&text[byte(start)..byte(end)], start)))
}

const SUB: &[&str] = &["sub", "start", "end"];

fn search(
    text: &str,
    what: &'static str,
    given: &[Value],
    find: fn(&str, &str) -> Option<usize>,
) -> Result<Option<usize>, Error> {
    let arguments = Arguments::new(what, given, SUB)?;
    let sub = arguments.required_text("sub")?;
    let Some((part, start)) = window(text, &arguments)? else { return Ok(None) };
    Ok(find(part, sub).map(|at| start + part[..at].chars().count()))
}

fn count(text: &str, given: &[Value]) -> Result<usize, Error> {
    let arguments = Arguments::new("count", given, SUB)?;
    let sub = arguments.required_text("sub")?;
    Ok(window(text, &arguments)?.map_or(0, |(part, _)| part.matches(sub).count()))
}

fn affix(text: &str, what: &'static str, given: &[Value], test: fn(&str, &str) -> bool) -> Result<bool, Error> {
    let arguments = Arguments::new(what, given, SUB)?;
    let sub = arguments.required("sub")?;
    let Some((part, _)) = window(text, &arguments)? else { return Ok(false) };
    if let Some(one) = sub.as_str() {
        return Ok(test(part, one));
    }
    if !sub.is_tuple() {
        return Err(refused(&format!("{what} takes a string or a tuple of strings, not a {}", sub.kind())));
    }
    for one in sub.try_iter()? {
        let one = one.as_str().ok_or_else(|| refused(&format!("{what}: a {} is no string", one.kind())))?.to_owned();
        if test(part, &one) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `text` with `before` and `after` times `fill` around it.
fn padded(state: &State<'_, '_>, text: &str, fill: char, before: usize, after: usize) -> Result<Value, Error> {
    pay_product(state, before.saturating_add(after), fill.len_utf8())?;
    let side = |n| std::iter::repeat_n(fill, n);
    Ok(side(before).chain(text.chars()).chain(side(after)).collect::<String>().into())
}

/// `center` as strings and the filter have it: where the sides cannot be equal, Python gives the odd
/// character to the left if the width is odd.
pub(super) fn center(state: &State<'_, '_>, text: &str, width: i64, fill: char) -> Result<Value, Error> {
    let missing = missing(text, width);
    let before = missing / 2 + (missing & width.max(0) as usize & 1);
    padded(state, text, fill, before, missing - before)
}

/// Characters that a text lacks to be `width` long.
fn missing(text: &str, width: i64) -> usize {
    usize::try_from(width).unwrap_or(0).saturating_sub(text.chars().count())
}

fn justified(state: &State<'_, '_>, text: &str, what: &'static str, given: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::new(what, given, &["width", "fillchar"])?;
    arguments.required("width")?;
    let width = arguments.number("width")?.unwrap_or(0);
    let mut fill = arguments.text("fillchar")?.unwrap_or(" ").chars();
    let (Some(fill), None) = (fill.next(), fill.next()) else {
        return Err(refused(&format!("{what}: the fill character must be exactly one character long")));
    };
    match what {
        "ljust" => padded(state, text, fill, 0, missing(text, width)),
        "rjust" => padded(state, text, fill, missing(text, width), 0),
        _ => center(state, text, width, fill),
    }
}

fn zfill(state: &State<'_, '_>, text: &str, given: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::new("zfill", given, &["width"])?;
    arguments.required("width")?;
    let zeros = missing(text, arguments.number("width")?.unwrap_or(0));
    pay_bytes(state, zeros)?;
    let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
    Ok(format!("{sign}{}{digits}", "0".repeat(zeros)).into())
}

fn expandtabs(state: &State<'_, '_>, text: &str, given: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::new("expandtabs", given, &["tabsize"])?;
    let size = usize::try_from(arguments.number("tabsize")?.unwrap_or(8)).unwrap_or(0);
    pay_product(state, text.matches('\t').count(), size)?;
    let (mut out, mut column) = (String::with_capacity(text.len()), 0);
    for c in text.chars() {
        match c {
            '\t' if size > 0 => {
                let spaces = size - column % size;
                out.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            '\t' => {}
            '\n' | '\r' => {
                out.push(c);
                column = 0;
            }
            _ => {
                out.push(c);
                column += 1;
            }
        }
    }
    Ok(out.into())
}

fn swapcase(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_uppercase() {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
    }
    out
}

/// `str.title`: every letter behind something that is no letter is large, also behind an apostrophe.
fn title(state: &State<'_, '_>, text: &str) -> Result<Value, Error> {
    let cased = |c: &char| c.is_lowercase() || c.is_uppercase() || is_title(*c);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if !cased(&c) {
            out.push(c);
            continue;
        }
        let mut word = String::from(c);
        while let Some(next) = rest.next_if(cased) {
            word.push(next);
        }
        // The engine's filter knows the forms of title case, and the small sigma that ends a word.
        let made = filters::capitalize(StringInput::new(state, &Value::from(word))?);
        out.push_str(made.as_str().unwrap_or_default());
    }
    Ok(out.into())
}

fn titled(text: &str) -> bool {
    let (mut inside, mut any) = (false, false);
    for c in text.chars() {
        let large = c.is_uppercase() || is_title(c);
        if large && inside || c.is_lowercase() && !inside {
            return false;
        }
        inside = large || c.is_lowercase();
        any |= inside;
    }
    any
}
