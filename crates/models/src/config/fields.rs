//! The fields of a configuration, each read when it is asked for.
//!
//! Fields come and go between versions of `transformers`, and one name means different things to
//! different architectures (`intermediate_size` is a list in some). So nothing is given a type
//! before the architecture is known, and what an architecture does not use may be anything.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use unisono_core::{Error, Result};

use super::invalid;
use crate::formats::shown;

/// The fields of one JSON object, as text.
#[derive(Default)]
pub(super) struct Fields<'a> {
    /// What the object is called in front of its fields, with a dot at the end.
    path: String,
    given: BTreeMap<String, &'a RawValue>,
    /// Names that are there more than once. The last of equal ones counts, as in Python.
    repeated: Vec<String>,
    /// JSON of fields that may be missing.
    defaults: &'static [(&'static str, &'static str)],
}

impl<'a> Fields<'a> {
    /// The object of a file. Fails where it is none.
    pub(super) fn parse(json: &'a [u8]) -> Result<Fields<'a>> {
        serde_json::from_slice(json).map_err(invalid)
    }

    /// Takes what is missing from here.
    pub(super) fn with_defaults(mut self, defaults: &'static [(&'static str, &'static str)]) -> Fields<'a> {
        self.defaults = defaults;
        self
    }

    /// Fields of another object that go before these, if they are there and not null.
    pub(super) fn overlay(&mut self, other: &Fields<'a>, names: &[&str]) {
        for &name in names {
            if let Some(value) = other.given.get(name).filter(|value| value.get() != "null") {
                self.given.insert(name.to_owned(), value);
            }
        }
    }

    /// Names that the object has more than once.
    pub(super) fn repeated(&self) -> &[String] {
        &self.repeated
    }

    /// Whether there is such a field, `null` included.
    pub(super) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// The error of a field whose value is not what is wanted.
    pub(super) fn wrong(&self, name: &str, wanted: impl fmt::Display) -> Error {
        let value = shown(self.raw(name).unwrap_or("absent"));
        invalid(format!("{}{name} is {value}; {wanted}", self.path))
    }

    /// A whole number that is not negative.
    pub(super) fn size(&self, name: &str) -> Result<Option<usize>> {
        self.typed(name, "a whole number is wanted")
    }

    /// A number; NaN and infinities, which Python writes, are some.
    pub(super) fn number(&self, name: &str) -> Result<Option<f64>> {
        match self.raw(name) {
            Some(r#""NaN""#) => Ok(Some(f64::NAN)),
            Some(r#""Infinity""#) => Ok(Some(f64::INFINITY)),
            Some(r#""-Infinity""#) => Ok(Some(f64::NEG_INFINITY)),
            _ => self.typed(name, "a number is wanted"),
        }
    }

    /// True or false.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>> {
        self.typed(name, "true or false is wanted")
    }

    /// Whether the field is there and true.
    pub(super) fn is_true(&self, name: &str) -> Result<bool> {
        Ok(self.flag(name)? == Some(true))
    }

    /// A string.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>> {
        self.typed(name, "a string is wanted")
    }

    /// Strings.
    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<String>>> {
        self.typed(name, "a list of strings is wanted")
    }

    /// Numbers.
    pub(super) fn numbers(&self, name: &str) -> Result<Option<Vec<f64>>> {
        self.typed(name, "a list of numbers is wanted")
    }

    /// One token or several. They may be outside of every vocabulary.
    pub(super) fn tokens(&self, name: &str) -> Result<Vec<i128>> {
        if let Some(token) = self.raw(name).and_then(|raw| serde_json::from_str(raw).ok()) {
            return Ok(vec![token]);
        }
        Ok(self.typed(name, "a token or a list of tokens is wanted")?.unwrap_or_default())
    }

    /// An object inside.
    pub(super) fn object(&self, name: &str) -> Result<Option<Fields<'a>>> {
        let Some(value) = self.given.get(name).filter(|value| value.get() != "null") else { return Ok(None) };
        let inner: Result<Fields<'a>, _> = serde_json::from_str(value.get());
        let mut inner = inner.map_err(|_| self.wrong(name, "an object is wanted"))?;
        inner.path = format!("{}{name}.", self.path);
        Ok(Some(inner))
    }

    /// The JSON of a field. `null` and `false` are as if it were not there.
    pub(super) fn set(&self, name: &str) -> Option<&str> {
        self.raw(name).filter(|&raw| raw != "null" && raw != "false")
    }

    fn raw(&self, name: &str) -> Option<&str> {
        let default = || self.defaults.iter().find(|(field, _)| *field == name).map(|(_, json)| *json);
        self.given.get(name).map(|value| value.get()).or_else(default)
    }

    fn typed<T: DeserializeOwned>(&self, name: &str, wanted: &str) -> Result<Option<T>> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        serde_json::from_str(raw).map_err(|_| self.wrong(name, wanted))
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Fields::default();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if fields.given.insert(name.clone(), value).is_some() && !fields.repeated.contains(&name) {
                        fields.repeated.push(name);
                    }
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Members)
    }
}
