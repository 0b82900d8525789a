//! The methods of Python's lists, tuples and mappings that change nothing: templates run where those
//! that change something are forbidden.

use minijinja::value::{Tuple, Value, ValueKind};
use minijinja::{Error, State};

use super::arguments::Arguments;
use super::helpers::from_keys;
use super::limits::{pay, refused};

/// Calls a method; `None` where the engine's own does what Python's does, or where there is none.
pub(super) fn call(
    state: &State<'_, '_>,
    value: &Value,
    method: &str,
    given: &[Value],
) -> Result<Option<Value>, Error> {
    let mapping = value.kind() == ValueKind::Map;
    // The engine's views keep what they show alive; these are lists.
    let pairs = || {
        let keys = value.try_iter()?;
        keys.map(|key| value.get_item(&key).map(|item| (key, item))).collect::<Result<Vec<_>, Error>>()
    };
    let value = match (method, value.kind()) {
        ("copy", ValueKind::Map | ValueKind::Seq) => {
            Arguments::new("copy", given, &[])?;
            value.clone()
        }
        ("index", ValueKind::Seq) => index(state, value, given)?,
        ("fromkeys", ValueKind::Map) => from_keys(state, given)?,
        ("keys" | "values" | "items", ValueKind::Map) if !given.is_empty() => return Ok(None),
        ("keys", _) if mapping => value.try_iter()?.collect(),
        ("values", _) if mapping => pairs()?.into_iter().map(|pair| pair.1).collect(),
        ("items", _) if mapping => pairs()?.into_iter().map(|(k, v)| Value::from(Tuple::from([k, v]))).collect(),
        _ => return Ok(None),
    };
    Ok(Some(value))
}

/// Where a list has a value first, between two positions.
fn index(state: &State<'_, '_>, value: &Value, given: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::new("index", given, &["value", "start", "stop"])?;
    let wanted = arguments.required("value")?;
    let length = value.len().unwrap_or(0);
    let place = |at: i64| if at < 0 { length.saturating_sub(at.unsigned_abs() as usize) } else { at as usize };
    let start = arguments.number("start")?.map_or(0, place);
    let stop = arguments.number("stop")?.map_or(length, place);
    for (at, item) in value.try_iter()?.enumerate().take(stop).skip(start) {
        pay(state, 1)?;
        if item == *wanted {
            return Ok(at.into());
        }
    }
    Err(refused("index: the value is not in the list"))
}
