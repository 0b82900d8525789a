//! What values a template may make, and what the methods and filters may do that the engine's fuel
//! does not see: work that is a product of two sizes.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State};

use super::{lists, text};

/// The filter behind an operand: its value is small enough and holds no namespace.
pub(super) const BOUNDED: &str = "__bounded";
/// The filter behind an operand that may be a namespace.
pub(super) const SCOPE: &str = "__scope";
/// The filter behind an operand of `*`: a list, repeated, would be a large one.
pub(super) const FACTOR: &str = "__factor";
/// The filter before a subscript, for which the engine charges the length of a string.
pub(super) const INDEXED: &str = "__indexed";

/// How deep a value may be nested: printing, comparing and dropping recurse.
const MAX_DEPTH: usize = 64;
/// Parts of a value, each counted as often as it appears.
const MAX_PARTS: usize = 100_000;
/// Bytes of all strings in a list or mapping, counted so.
const MAX_BYTES: usize = 4 << 20;
/// Parts that cost one unit.
const PARTS_PER_UNIT: usize = 16;
/// Bytes that cost one unit, as in the engine.
const BYTES_PER_UNIT: usize = 64;
/// Largest width or precision in a format.
const MAX_WIDTH: usize = 1000;

/// Adds the checks. `given` is how many bytes the caller hands in: values may be as much larger.
pub(super) fn set_up(environment: &mut Environment<'static>, given: usize) {
    let check = move |state: &State<'_, '_>, value: &Value, scope: bool| {
        let mut weight = Weight::new(given);
        let result = if scope && is_namespace(value) { Ok(()) } else { weight.add(value, 0) };
        pay(state, weight.parts / PARTS_PER_UNIT)?;
        result.map(|()| value.clone())
    };
    environment.add_filter(BOUNDED, move |state: &State<'_, '_>, value: &Value| check(state, value, false));
    environment.add_filter(SCOPE, move |state: &State<'_, '_>, value: &Value| check(state, value, true));
    environment.add_filter(FACTOR, |value: &Value| match value.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => Err(refused("a list cannot be multiplied")),
        _ => Ok(value.clone()),
    });
    environment.add_filter(INDEXED, |value: &Value| value.clone());
    environment.add_filter("format", move |state: &State<'_, '_>, text: &str, arguments: Rest<ValueOrKwargs>| {
        formatted(state, FormatStyle::Printf, text, &arguments.into_values(), given)
    });
    // It prints every variable, and Jinja does not have it.
    environment.remove_global("debug");
    environment.set_unknown_method_callback(move |state, value, method, given_values| {
        called(state, value, method, given_values, given)?.map_or_else(
            || minijinja_contrib::pycompat::unknown_method_callback(state, value, method, given_values),
            Ok,
        )
    });
}

/// Calls a method, or pays for it before the engine's own is called.
fn called(
    state: &State<'_, '_>,
    value: &Value,
    method: &str,
    arguments: &[Value],
    given: usize,
) -> Result<Option<Value>, Error> {
    if let Some(text) = value.as_str() {
        // The engine does not charge for what a method reads.
        pay_bytes(state, text.len())?;
        return text::call(state, text, method, arguments, given);
    }
    let mut weight = Weight::new(given);
    let result = weight.add(value, 0);
    pay(state, weight.parts / PARTS_PER_UNIT)?;
    result?;
    lists::call(state, value, method, arguments)
}

/// Writes values by a format. Each field may write each of them once more.
pub(super) fn formatted(
    state: &State<'_, '_>,
    style: FormatStyle,
    text: &str,
    arguments: &[Value],
    given: usize,
) -> Result<String, Error> {
    check_widths(style, text)?;
    let mark = if style == FormatStyle::Printf { '%' } else { '{' };
    let mut longest = MAX_WIDTH;
    for argument in arguments {
        if style == FormatStyle::Printf && text.contains('*') {
            return Err(refused("a format cannot take its width from a value"));
        }
        let mut weight = Weight::new(given);
        weight.add(argument, 0)?;
        longest = longest.max(argument.as_str().map_or(weight.bytes + weight.parts * 32, str::len));
    }
    pay_product(state, text.matches(mark).count(), longest)?;
    format(style, text, arguments)
}

/// Fails on a width or precision that is too large: a number in `{}`, or between `%` and a letter.
fn check_widths(style: FormatStyle, text: &str) -> Result<(), Error> {
    let (mut field, mut name, mut number) = (false, false, 0usize);
    for byte in text.bytes() {
        number = if byte.is_ascii_digit() { number * 10 + usize::from(byte - b'0') } else { 0 };
        if field && number > MAX_WIDTH {
            return Err(refused(&format!("a number in a format is over {MAX_WIDTH}")));
        }
        number = number.min(MAX_WIDTH + 1);
        match (style, byte) {
            (FormatStyle::StrFormat, b'{') => field = true,
            (FormatStyle::StrFormat, b'}') => field = false,
            (FormatStyle::Printf, b'%') => field = !field,
            (FormatStyle::Printf, b'(') => name = field,
            (FormatStyle::Printf, b')') => name = false,
            (FormatStyle::Printf, b'a'..=b'z' | b'A'..=b'Z') if !name => field = false,
            _ => {}
        }
    }
    Ok(())
}

/// The size of a value, every part counted as often as it appears.
struct Weight {
    parts: usize,
    bytes: usize,
    most_parts: usize,
    most_bytes: usize,
}

impl Weight {
    fn new(given: usize) -> Weight {
        Weight { parts: 0, bytes: 0, most_parts: MAX_PARTS + given, most_bytes: MAX_BYTES + 4 * given }
    }

    fn add(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.parts += 1;
        if is_namespace(value) {
            return Err(refused("a namespace can be assigned or handed to a macro, and nothing else"));
        }
        if depth > MAX_DEPTH {
            return Err(refused(&format!("a value is nested over {MAX_DEPTH} deep")));
        }
        match value.kind() {
            ValueKind::String if depth > 0 => self.bytes += value.as_str().map_or(0, str::len),
            ValueKind::Seq | ValueKind::Iterable => {
                for item in value.try_iter()? {
                    self.add(&item, depth + 1)?;
                }
            }
            ValueKind::Map => {
                for key in value.try_iter()? {
                    self.add(&key, depth + 1)?;
                    self.add(&value.get_item(&key)?, depth + 1)?;
                }
            }
            _ => {}
        }
        if self.parts > self.most_parts || self.bytes > self.most_bytes {
            return Err(refused("a value is too large"));
        }
        Ok(())
    }
}

/// Whether a value can be changed after it was made, or holds what can: those could hold themselves.
/// The engine has no other way to tell than the names of its types.
fn is_namespace(value: &Value) -> bool {
    value.as_object().is_some_and(|object| {
        let name = object.type_name();
        name.ends_with("::Namespace") || name.ends_with("::Loop")
    })
}

/// Pays for work.
pub(super) fn pay(state: &State<'_, '_>, units: usize) -> Result<(), Error> {
    state.consume_fuel(units as u64)
}

/// Pays for bytes before they are there.
pub(super) fn pay_bytes(state: &State<'_, '_>, bytes: usize) -> Result<(), Error> {
    pay(state, bytes / BYTES_PER_UNIT)
}

/// Pays for work in which every byte of one meets every byte of the other.
pub(super) fn pay_product(state: &State<'_, '_>, a: usize, b: usize) -> Result<(), Error> {
    pay(state, a.saturating_mul(b) / BYTES_PER_UNIT)
}

/// An error of a template that wants what it may not have.
pub(super) fn refused(why: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, why.to_owned())
}
