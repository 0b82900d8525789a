//! Filters of Jinja2 that the engine lacks, or that give something else there.

use minijinja::value::{Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State};

use super::arguments::Arguments;
use super::cut;
use super::limits::{pay_bytes, pay_product, refused};
use super::text;
use super::unicode::{is_space, is_word};
use super::wrap::{Wrap, wrap};

/// Adds them.
pub(super) fn set_up(environment: &mut Environment<'static>) {
    add(environment, "center", center);
    add(environment, "escape", escape);
    add(environment, "e", escape);
    add(environment, "filesizeformat", filesizeformat);
    add(environment, "forceescape", forceescape);
    add(environment, "striptags", striptags);
    add(environment, "trim", trim);
    add(environment, "truncate", truncate);
    add(environment, "urlencode", urlencode);
    add(environment, "wordcount", wordcount);
    add(environment, "wordwrap", wordwrap);
    add(environment, "xmlattr", xmlattr);
    // The engine's writes values in another form than Python's, which depends on the width of a line.
    environment.remove_filter("pprint");
}

type Filter = fn(&State<'_, '_>, &Value, &[Value]) -> Result<Value, Error>;

/// Adds a filter that binds its arguments as Python does.
pub(super) fn add(environment: &mut Environment<'static>, name: &'static str, filter: Filter) {
    environment.add_filter(name, move |state: &State<'_, '_>, value: &Value, given: Rest<ValueOrKwargs>| {
        filter(state, value, &given.into_values())
    });
}

fn center(state: &State<'_, '_>, value: &Value, given: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::new("center", given, &["width"])?;
    text::center(state, &value.to_string(), arguments.number("width")?.unwrap_or(80), ' ')
}

/// The text with the letters of HTML's syntax written out, as MarkupSafe does it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            _ => out.push(c),
        }
    }
    out
}

fn escape(state: &State<'_, '_>, value: &Value, given: &[Value]) -> Result<Value, Error> {
    if value.is_safe() { Ok(value.clone()) } else { forceescape(state, value, given) }
}

fn forceescape(state: &State<'_, '_>, value: &Value, given: &[Value]) -> Result<Value, Error> {
    Arguments::new("escape", given, &[])?;
    let text = value.to_string();
    pay_bytes(state, text.len().saturating_mul(5))?;
    Ok(Value::from_safe_string(escaped(&text)))
}

fn xmlattr(state: &State<'_, '_>, value: &Value, given: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::new("xmlattr", given, &["autospace"])?;
    let mut out = String::new();
    for key in value.try_iter()? {
        let item = value.get_item(&key)?;
        if item.is_none() || item.is_undefined() {
            continue;
        }
        let name = key.as_str().ok_or_else(|| refused("xmlattr: a name is no string"))?;
        if name.contains(|c: char| is_space(c) || matches!(c, '/' | '>' | '=')) {
            return Err(refused(&format!("xmlattr: invalid character in the name {name:?}")));
        }
        if !out.is_empty() || arguments.flag("autospace").unwrap_or(true) {
            out.push(' ');
        }
        let item = escape(state, &item, &[])?;
        out += &format!("{}=\"{item}\"", escaped(name));
    }
    Ok(out.into())
}

/// A number of bytes for people to read.
fn filesizeformat(_: &State<'_, '_>, value: &Value, given: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::new("filesizeformat", given, &["binary"])?;
    let wrong = || refused(&format!("filesizeformat: {value} is no number"));
    let bytes = match value.as_str() {
        Some(text) => text.trim_matches(is_space).parse().map_err(|_| wrong())?,
        None => f64::try_from(value.clone()).map_err(|_| wrong())?,
    };
    let (base, suffix) = if arguments.flag("binary") == Some(true) { (1024.0_f64, "iB") } else { (1000.0, "B") };
    if bytes == 1.0 {
        return Ok("1 Byte".into());
    }
    if bytes < base {
        return Ok(format!("{} Bytes", bytes.trunc() as i128).into());
    }
    let prefixes = if suffix == "B" { "kMGTPEZY" } else { "KMGTPEZY" };
    let mut unit = base;
    for (i, prefix) in prefixes.chars().enumerate() {
        unit *= base;
        if bytes < unit || i == 7 {
            return Ok(format!("{:.1} {prefix}{suffix}", base * bytes / unit).into());
        }
    }
    Err(wrong())
}

/// Text between tags, each run of white space one space, and entities as the characters they stand for.
fn striptags(state: &State<'_, '_>, value: &Value, given: &[Value]) -> Result<Value, Error> {
    Arguments::new("striptags", given, &[])?;
    let text = value.to_string();
    pay_bytes(state, text.len())?;
    let (mut kept, mut rest) = (String::with_capacity(text.len()), &text[..]);
    while let Some(start) = rest.find('<') {
        let (skipped, end) = if rest[start..].starts_with("<!--") { (4, "-->") } else { (0, ">") };
        let Some(found) = rest[start + skipped..].find(end) else { break };
        kept.push_str(&rest[..start]);
        rest = &rest[start + skipped + found + end.len()..];
    }
    kept.push_str(rest);
    let words: Vec<&str> = cut::split(&kept, None, usize::MAX).collect();
    Ok(html_escape::decode_html_entities(&words.join(" ")).into_owned().into())
}

fn trim(state: &State<'_, '_>, value: &Value, given: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::new("trim", given, &["chars"])?;
    let text = value.to_string();
    let Some(chars) = arguments.text("chars")? else { return Ok(text.trim_matches(is_space).into()) };
    pay_product(state, text.len(), chars.len())?;
    Ok(text.trim_matches(&chars.chars().collect::<Vec<_>>()[..]).into())
}

fn truncate(_: &State<'_, '_>, value: &Value, given: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::new("truncate", given, &["length", "killwords", "end", "leeway"])?;
    let text = match value.as_str() {
        Some(text) => text,
        None if value.is_undefined() => "",
        None => return Err(refused(&format!("truncate: a {} is no string", value.kind()))),
    };
    let end = arguments.text("end")?.unwrap_or("...");
    let (length, leeway) = (arguments.number("length")?.unwrap_or(255), arguments.number("leeway")?.unwrap_or(5));
    let tail = end.chars().count();
    let kept = usize::try_from(length).ok().and_then(|length| length.checked_sub(tail));
    let (Some(kept), 0..) = (kept, leeway) else {
        return Err(refused(&format!("truncate: length is {length} and leeway {leeway}; the end alone has {tail}")));
    };
    if text.chars().count() as i64 <= length.saturating_add(leeway) {
        return Ok(value.clone());
    }
    let cut = text.char_indices().nth(kept).map_or(text.len(), |(at, _)| at);
    let head = &text[..cut];
    let whole = arguments.flag("killwords").unwrap_or(false);
    let head = if whole { head } else { head.rsplit_once(' ').map_or(head, |(words, _)| words) };
    Ok(format!("{head}{end}").into())
}

/// Letters, digits, `_.-~` and what else is safe; every other byte as `%41`.
fn quoted(state: &State<'_, '_>, value: &Value, query: bool) -> Result<String, Error> {
    let text = value.to_string();
    pay_bytes(state, text.len().saturating_mul(3))?;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => out.push(char::from(byte)),
            b'/' if !query => out.push('/'),
            b' ' if query => out.push('+'),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    Ok(out)
}

fn urlencode(state: &State<'_, '_>, value: &Value, given: &[Value]) -> Result<Value, Error> {
    Arguments::new("urlencode", given, &[])?;
    if !matches!(value.kind(), ValueKind::Map | ValueKind::Seq | ValueKind::Iterable) {
        return Ok(quoted(state, value, false)?.into());
    }
    let mut out = String::new();
    for item in value.try_iter()? {
        let (key, item) = match value.kind() {
            ValueKind::Map => (item.clone(), value.get_item(&item)?),
            _ if item.len() == Some(2) => (item.get_item_by_index(0)?, item.get_item_by_index(1)?),
            _ => return Err(refused("urlencode takes pairs")),
        };
        out.push_str(if out.is_empty() { "" } else { "&" });
        out += &format!("{}={}", quoted(state, &key, true)?, quoted(state, &item, true)?);
    }
    Ok(out.into())
}

fn wordcount(_: &State<'_, '_>, value: &Value, given: &[Value]) -> Result<Value, Error> {
    Arguments::new("wordcount", given, &[])?;
    let text = value.to_string();
    Ok(text.split(|c| !is_word(c)).filter(|word| !word.is_empty()).count().into())
}

fn wordwrap(state: &State<'_, '_>, value: &Value, given: &[Value]) -> Result<Value, Error> {
    let names = ["width", "break_long_words", "wrapstring", "break_on_hyphens"];
    let arguments = Arguments::new("wordwrap", given, &names)?;
    let text = value.as_str().ok_or_else(|| refused(&format!("wordwrap: a {} is no string", value.kind())))?;
    let width = arguments.number("width")?.unwrap_or(79);
    let Some(width) = usize::try_from(width).ok().filter(|&width| width > 0) else {
        return Err(refused(&format!("wordwrap: the width is {width}; it must be more than 0")));
    };
    let between = arguments.text("wrapstring")?.unwrap_or("\n");
    let options = Wrap {
        width,
        break_long_words: arguments.flag("break_long_words").unwrap_or(true),
        break_on_hyphens: arguments.flag("break_on_hyphens").unwrap_or(true),
    };
    // Four bytes for each character, and 24 for each chunk and line.
    pay_bytes(state, text.len().saturating_mul(32))?;
    let mut out = String::with_capacity(text.len());
    for (i, paragraph) in cut::lines(text, false).enumerate() {
        if i > 0 {
            pay_bytes(state, between.len())?;
            out.push_str(between);
        }
        for (j, line) in wrap(paragraph, options).iter().enumerate() {
            if j > 0 {
                pay_bytes(state, between.len())?;
                out.push_str(between);
            }
            out.push_str(line);
        }
    }
    Ok(out.into())
}
