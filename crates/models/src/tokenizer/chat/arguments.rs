//! Arguments as Python binds them: each by place or by name.
//!
//! The engine's own way wants one parameter in Rust for each place and another for each name, five at
//! most; Python's functions take every argument either way, and templates use both.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind};

/// The arguments of a call.
pub(super) struct Arguments {
    what: &'static str,
    bound: Vec<(&'static str, Option<Value>)>,
}

impl Arguments {
    /// Binds `given` to `names`. Fails on too many, on names that are not known and on arguments that
    /// are given twice.
    pub(super) fn new(what: &'static str, given: &[Value], names: &[&'static str]) -> Result<Arguments, Error> {
        let (places, named) = match given.split_last() {
            Some((last, rest)) if last.is_kwargs() => (rest, Kwargs::try_from(last.clone()).ok()),
            _ => (given, None),
        };
        let refuse = |why: String| Err(Error::new(ErrorKind::TooManyArguments, format!("{what} {why}")));
        if places.len() > names.len() {
            return refuse(format!("takes at most {} arguments", names.len()));
        }
        let mut bound: Vec<_> = names.iter().map(|&name| (name, None)).collect();
        for (slot, value) in bound.iter_mut().zip(places) {
            slot.1 = Some(value.clone());
        }
        if let Some(named) = named {
            for name in named.args() {
                match bound.iter_mut().find(|slot| slot.0 == name) {
                    Some(slot) if slot.1.is_none() => slot.1 = Some(named.peek(name)?),
                    Some(_) => return refuse(format!("is given {name} twice")),
                    None => return refuse(format!("has no argument {name}")),
                }
            }
        }
        Ok(Arguments { what, bound })
    }

    /// The value of an argument; `None` where it is not given.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.bound.iter().find(|slot| slot.0 == name).and_then(|slot| slot.1.as_ref())
    }

    /// An argument that must be there.
    pub(super) fn required(&self, name: &str) -> Result<&Value, Error> {
        self.value(name).ok_or_else(|| {
            Error::new(ErrorKind::MissingArgument, format!("{} is not given its argument {name}", self.what))
        })
    }

    /// A text; `None` where it is not given or none.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Error> {
        match self.value(name) {
            Some(value) if !value.is_none() => Ok(Some(self.as_text(name, value)?)),
            _ => Ok(None),
        }
    }

    /// A text that must be there.
    pub(super) fn required_text(&self, name: &str) -> Result<&str, Error> {
        self.as_text(name, self.required(name)?)
    }

    /// A whole number; `None` where it is not given or none. Larger ones are as large as fits.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, Error> {
        let Some(value) = self.value(name).filter(|value| !value.is_none()) else { return Ok(None) };
        if let ValueKind::Bool = value.kind() {
            return Ok(Some(i64::from(value.is_true())));
        }
        match i128::try_from(value.clone()) {
            Ok(number) if value.is_integer() => {
                Ok(Some(number.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64))
            }
            _ => Err(self.wrong(name, value, "a whole number")),
        }
    }

    /// Whether an argument is given and true.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.value(name).map(Value::is_true)
    }

    fn as_text<'a>(&self, name: &str, value: &'a Value) -> Result<&'a str, Error> {
        value.as_str().ok_or_else(|| self.wrong(name, value, "a string"))
    }

    fn wrong(&self, name: &str, value: &Value, wanted: &str) -> Error {
        let message = format!("{}: {name} is a {}, not {wanted}", self.what, value.kind());
        Error::new(ErrorKind::InvalidOperation, message)
    }
}
