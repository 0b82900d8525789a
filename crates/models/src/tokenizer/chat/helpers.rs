//! Functions and tests of Jinja2 that the engine lacks: `cycler`, `joiner`, `dict` with its
//! `fromkeys`, and `callable`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use minijinja::value::{Kwargs, Object, ObjectRepr, Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, functions};

use super::arguments::Arguments;
use super::limits::{pay, refused};

/// Adds them.
pub(super) fn set_up(environment: &mut Environment<'static>) {
    environment.add_function("cycler", |given: Rest<ValueOrKwargs>| Cycler::made(given.into_values()));
    environment.add_function("joiner", |given: Rest<ValueOrKwargs>| Joiner::made(&given.into_values()));
    environment.add_global("dict", Value::from_object(Dict));
    environment.add_function("namespace", |state: &State<'_, '_>, given: Rest<ValueOrKwargs>| {
        namespace(state, &given.into_values())
    });
    environment.add_test("callable", callable);
}

/// Gives its items in turn.
#[derive(Debug)]
struct Cycler {
    items: Vec<Value>,
    at: AtomicUsize,
}

impl Cycler {
    fn made(items: Vec<Value>) -> Result<Value, Error> {
        if items.is_empty() {
            return Err(refused("cycler: at least one item has to be provided"));
        }
        // What hides in a cycler is not seen when values are weighed; one in another would nest unseen.
        for item in &items {
            if item.is_kwargs() {
                return Err(refused("cycler takes no names"));
            }
            plain(item)?;
        }
        Ok(Value::from_object(Cycler { items, at: AtomicUsize::new(0) }))
    }

    fn current(&self) -> Value {
        self.items[self.at.load(Ordering::Relaxed)].clone()
    }
}

/// Fails on a value that holds a cycler or a joiner. Its size was checked before.
fn plain(value: &Value) -> Result<(), Error> {
    if value.downcast_object_ref::<Cycler>().is_some() || value.downcast_object_ref::<Joiner>().is_some() {
        return Err(refused("a cycler or joiner cannot be part of another"));
    }
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map) {
        return Ok(());
    }
    for key in value.try_iter()? {
        plain(&key)?;
        if value.kind() == ValueKind::Map {
            plain(&value.get_item(&key)?)?;
        }
    }
    Ok(())
}

impl Object for Cycler {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        (key.as_str() == Some("current")).then(|| self.current())
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, given: &[Value]) -> Result<Value, Error> {
        match method {
            "next" => {
                Arguments::new("next", given, &[])?;
                let item = self.current();
                let next = (self.at.load(Ordering::Relaxed) + 1) % self.items.len();
                self.at.store(next, Ordering::Relaxed);
                Ok(item)
            }
            "reset" => {
                Arguments::new("reset", given, &[])?;
                self.at.store(0, Ordering::Relaxed);
                Ok(().into())
            }
            _ => Err(ErrorKind::UnknownMethod.into()),
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<Cycler>")
    }
}

/// Gives nothing when called first, then a separator.
#[derive(Debug)]
struct Joiner {
    separator: Value,
    used: AtomicBool,
}

impl Joiner {
    fn made(given: &[Value]) -> Result<Value, Error> {
        let arguments = Arguments::new("joiner", given, &["sep"])?;
        let separator = arguments.value("sep").cloned().unwrap_or_else(|| ", ".into());
        plain(&separator)?;
        Ok(Value::from_object(Joiner { separator, used: AtomicBool::new(false) }))
    }
}

impl Object for Joiner {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, given: &[Value]) -> Result<Value, Error> {
        Arguments::new("a joiner", given, &[])?;
        let used = self.used.swap(true, Ordering::Relaxed);
        Ok(if used { self.separator.clone() } else { "".into() })
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<Joiner>")
    }
}

/// The type of mappings.
#[derive(Debug)]
struct Dict;

impl Object for Dict {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, given: &[Value]) -> Result<Value, Error> {
        pairs(state, given).map(Value::from_pairs)
    }

    fn call_method(self: &Arc<Self>, state: &mut State<'_, '_>, method: &str, given: &[Value]) -> Result<Value, Error> {
        match method {
            "fromkeys" => from_keys(state, given),
            _ => Err(ErrorKind::UnknownMethod.into()),
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<class 'dict'>")
    }
}

/// The pairs of a mapping or a list of pairs, and named ones.
fn pairs(state: &State<'_, '_>, given: &[Value]) -> Result<Vec<(Value, Value)>, Error> {
    let (places, named) = match given.split_last() {
        Some((last, rest)) if last.is_kwargs() => (rest, Some(last)),
        _ => (given, None),
    };
    let ([] | [_]) = places else { return Err(refused("dict takes one mapping or list of pairs, and names")) };
    let mut pairs: Vec<(Value, Value)> = Vec::new();
    for value in places.iter().chain(named) {
        for item in value.try_iter()? {
            pay(state, 1)?;
            pairs.push(match value.kind() {
                ValueKind::Map => (item.clone(), value.get_item(&item)?),
                _ if item.len() == Some(2) => {
                    let mut both = item.try_iter()?;
                    (both.next().unwrap_or_default(), both.next().unwrap_or_default())
                }
                _ => return Err(refused("dict takes a mapping or pairs")),
            });
        }
    }
    Ok(pairs)
}

/// `dict.fromkeys`: each key with the same value.
pub(super) fn from_keys(state: &State<'_, '_>, given: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::new("fromkeys", given, &["iterable", "value"])?;
    let value = arguments.value("value").cloned().unwrap_or_else(|| ().into());
    let mut pairs = Vec::new();
    for key in arguments.required("iterable")?.try_iter()? {
        pay(state, 1)?;
        pairs.push((key, value.clone()));
    }
    Ok(Value::from_pairs(pairs))
}

/// A namespace. transformers refuses names that begin with an underscore.
fn namespace(state: &State<'_, '_>, given: &[Value]) -> Result<Value, Error> {
    let mut named = Vec::new();
    for (key, value) in pairs(state, given)? {
        let name = key.as_str().ok_or_else(|| refused("namespace: a name is no string"))?;
        if name.starts_with('_') {
            return Err(refused(&format!("namespace: the name {name} begins with an underscore")));
        }
        named.push((name.to_owned(), value));
    }
    functions::namespace(Some(Value::from(named.into_iter().collect::<Kwargs>()).into()))
}

/// Whether a value can be called. The engine has no other way to tell than the names of its types.
fn callable(value: &Value) -> bool {
    value.as_object().is_some_and(|object| {
        let name = object.type_name();
        let own = value.downcast_object_ref::<Joiner>().is_some() || value.downcast_object_ref::<Dict>().is_some();
        own || ["::BoxedFunction", "::Macro", "::Caller"].iter().any(|kind| name.ends_with(kind))
    })
}
