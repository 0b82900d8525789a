//! Filters and tests that the engine has with other arguments or other answers than Jinja2.

use minijinja::value::{Kwargs, Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, filters};

use super::arguments::Arguments;
use super::cut;
use super::filters::add;
use super::limits::{pay, pay_product, refused};
use super::unicode::is_space;

/// Longest list of attributes to sort by, in bytes: each item looks up all of them.
const MAX_ATTRIBUTES: usize = 1000;

/// Adds them.
pub(super) fn set_up(environment: &mut Environment<'static>) {
    add(environment, "abs", abs);
    add(environment, "attr", attr);
    add(environment, "batch", |state, value, given| {
        let arguments = Arguments::new("batch", given, &["linecount", "fill_with"])?;
        filters::batch(state, value.clone(), count(&arguments, "linecount")?, fill(&arguments))
    });
    add(environment, "d", default);
    add(environment, "default", default);
    add(environment, "dictsort", |state, value, given| {
        pay(state, value.len().unwrap_or(0))?;
        filters::dictsort(value, named("dictsort", given, &["case_sensitive", "by", "reverse"])?)
    });
    add(environment, "float", float);
    add(environment, "indent", indent);
    add(environment, "int", int);
    add(environment, "max", |state, value, given| {
        filters::max(state, value.clone(), named("max", given, &["case_sensitive", "attribute"])?)
    });
    add(environment, "min", |state, value, given| {
        filters::min(state, value.clone(), named("min", given, &["case_sensitive", "attribute"])?)
    });
    add(environment, "round", |_, value, given| {
        let arguments = Arguments::new("round", given, &["precision", "method"])?;
        let precision = arguments.number("precision")?.map(|n| n.clamp(-10_000, 10_000) as i32);
        let none = std::iter::empty::<(&str, Value)>().collect();
        let rounded = filters::round(value.clone(), precision, arguments.text("method")?, none)?;
        // Up and down divide in the end, which gives a number with a fraction.
        let divided = arguments.text("method")?.is_some_and(|method| method != "common");
        if divided { f64::try_from(rounded).map(Value::from) } else { Ok(rounded) }
    });
    add(environment, "slice", |state, value, given| {
        let arguments = Arguments::new("slice", given, &["slices", "fill_with"])?;
        filters::slice(state, value.clone(), count(&arguments, "slices")?, fill(&arguments))
    });
    add(environment, "sort", |state, value, given| {
        let named = named("sort", given, &["reverse", "case_sensitive", "attribute"])?;
        if named.peek::<Option<&str>>("attribute")?.is_some_and(|by| by.len() > MAX_ATTRIBUTES) {
            return Err(refused("there are too many attributes to sort by"));
        }
        filters::sort(state, value.clone(), named)
    });
    add(environment, "unique", |state, value, given| {
        filters::unique(state, value.clone(), named("unique", given, &["case_sensitive", "attribute"])?)
    });
    environment.add_filter("map", |state: &mut State<'_, '_>, value: Value, given: Rest<ValueOrKwargs>| {
        map(state, value, given)
    });
    // A string is a sequence and nothing is not; for the engine it is the other way round.
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    environment.add_test("sequence", |value: &Value| {
        !value.is_none() && value.len().is_some() && value.try_iter().is_ok() || value.is_undefined()
    });
}

/// Arguments by place as arguments by name, which is all that the engine's filter takes.
fn named(what: &'static str, given: &[Value], names: &[&'static str]) -> Result<Kwargs, Error> {
    let arguments = Arguments::new(what, given, names)?;
    let set = names.iter().filter_map(|&name| Some((name, arguments.value(name)?.clone())));
    Ok(set.filter(|(_, value)| !value.is_none()).collect())
}

fn count(arguments: &Arguments, name: &str) -> Result<usize, Error> {
    arguments.required(name)?;
    let count = arguments.number(name)?.and_then(|n| usize::try_from(n).ok());
    count.ok_or_else(|| refused(&format!("{name} must be a number that is not negative")))
}

fn fill(arguments: &Arguments) -> Option<Value> {
    arguments.value("fill_with").filter(|value| !value.is_none()).cloned()
}

fn abs(_: &State<'_, '_>, value: &Value, given: &[Value]) -> Result<Value, Error> {
    Arguments::new("abs", given, &[])?;
    match value.kind() {
        ValueKind::Bool => Ok(i64::from(value.is_true()).into()),
        _ => filters::abs(value.clone()),
    }
}

/// An attribute, which a key of a mapping is not.
fn attr(_: &State<'_, '_>, value: &Value, given: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::new("attr", given, &["name"])?;
    let name = arguments.required_text("name")?;
    match value.kind() {
        ValueKind::Plain => value.get_attr(name),
        _ => Ok(Value::UNDEFINED),
    }
}

fn default(_: &State<'_, '_>, value: &Value, given: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::new("default", given, &["default_value", "boolean"])?;
    if value.is_undefined() || arguments.flag("boolean").unwrap_or(false) && !value.is_true() {
        return Ok(arguments.value("default_value").cloned().unwrap_or_else(|| "".into()));
    }
    Ok(value.clone())
}

/// Python's `float` of a text.
fn parsed(text: &str) -> Option<f64> {
    let digits = text.trim_matches(is_space);
    let joined = digits.as_bytes().windows(3).all(|w| w[1] != b'_' || w[0].is_ascii_digit() && w[2].is_ascii_digit());
    if digits.starts_with('_') || digits.ends_with('_') || !joined {
        return None;
    }
    digits.replace('_', "").parse().ok()
}

/// Python's `float`; `None` where it fails.
fn as_float(value: &Value) -> Result<Option<f64>, Error> {
    match value.kind() {
        ValueKind::Undefined => Err(Error::new(ErrorKind::UndefinedError, "an undefined value is no number")),
        ValueKind::String => Ok(value.as_str().and_then(parsed)),
        ValueKind::Bool => Ok(Some(f64::from(u8::from(value.is_true())))),
        ValueKind::Number => f64::try_from(value.clone()).map(Some),
        _ => Ok(None),
    }
}

fn float(_: &State<'_, '_>, value: &Value, given: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::new("float", given, &["default"])?;
    Ok(match as_float(value)? {
        Some(number) => number.into(),
        None => arguments.value("default").cloned().unwrap_or_else(|| 0.0.into()),
    })
}

/// Python's `int` of a text.
fn whole(text: &str, base: u32) -> Option<i128> {
    let text = text.trim_matches(is_space);
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let prefix = digits.get(..2).map(str::to_ascii_lowercase);
    let (base, digits) = match (prefix.as_deref(), base) {
        (Some("0x"), 0 | 16) => (16, &digits[2..]),
        (Some("0o"), 0 | 8) => (8, &digits[2..]),
        (Some("0b"), 0 | 2) => (2, &digits[2..]),
        (_, 0) => (10, digits),
        (_, base) => (base, digits),
    };
    if digits.is_empty() || digits.starts_with(['_', '+', '-']) || digits.ends_with('_') || digits.contains("__") {
        return None;
    }
    let number = i128::from_str_radix(&digits.replace('_', ""), base).ok()?;
    Some(if negative { -number } else { number })
}

fn int(_: &State<'_, '_>, value: &Value, given: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::new("int", given, &["default", "base"])?;
    let base = arguments.number("base")?.unwrap_or(10);
    let base = u32::try_from(base).ok().filter(|base| matches!(base, 0 | 2..=36));
    let base = base.ok_or_else(|| refused("int: the base must be 0, or 2 to 36"))?;
    if value.is_integer() {
        return Ok(value.clone());
    }
    let exact = value.as_str().and_then(|text| whole(text, base));
    let number = match exact {
        Some(number) => Some(number),
        None => match as_float(value)?.filter(|number| number.is_finite()) {
            Some(number) if number.abs() < 1e38 => Some(number.trunc() as i128),
            Some(_) => return Err(refused("int: the number is too large")),
            None => None,
        },
    };
    Ok(match number {
        Some(number) => i64::try_from(number).map_or_else(|_| number.into(), Value::from),
        None => arguments.value("default").cloned().unwrap_or_else(|| 0.into()),
    })
}

fn indent(state: &State<'_, '_>, value: &Value, given: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::new("indent", given, &["width", "first", "blank"])?;
    let by = match arguments.value("width").and_then(Value::as_str) {
        Some(by) => by.to_owned(),
        None => {
            let width = usize::try_from(arguments.number("width")?.unwrap_or(4)).unwrap_or(0);
            pay(state, width / 64)?;
            " ".repeat(width)
        }
    };
    let (first, blank) = (arguments.flag("first").unwrap_or(false), arguments.flag("blank").unwrap_or(false));
    // A line break at the end makes no line of its own, so there is always one more.
    let text = format!("{value}\n");
    pay_product(state, cut::lines(&text, false).count(), by.len())?;
    let mut out = String::with_capacity(text.len());
    for (i, line) in cut::lines(&text, false).enumerate() {
        if i > 0 {
            out.push('\n');
        }
        if if i == 0 { first } else { blank || !line.is_empty() } {
            out.push_str(&by);
        }
        out.push_str(line);
    }
    Ok(out.into())
}

/// `map`: the engine's drops the names of a filter's arguments.
fn map(state: &mut State<'_, '_>, value: Value, given: Rest<ValueOrKwargs>) -> Result<Vec<Value>, Error> {
    let values = given.into_values();
    let Some((name, rest)) = values.split_first().filter(|(first, _)| !first.is_kwargs()) else {
        let named: Option<Value> = values.into_iter().next();
        return filters::map(state, value, Rest(named.into_iter().map(Into::into).collect()));
    };
    let name = name.as_str().ok_or_else(|| refused("map takes the name of a filter, or attribute"))?.to_owned();
    let mut out = Vec::new();
    for item in value.try_iter()? {
        pay(state, 1)?;
        let arguments: Vec<Value> = std::iter::once(item).chain(rest.iter().cloned()).collect();
        out.push(state.apply_filter(&name, &arguments)?);
    }
    Ok(out)
}
