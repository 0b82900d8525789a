//! Key-value pairs at the head of a GGUF file: what a model looks like, and its vocabulary.

use std::collections::BTreeMap;

use unisono_core::{Error, Result};

use super::reader::Reader;
use crate::formats::text::shown;

/// Fewest bytes of a pair: the length of an empty key, a type and one byte.
const MIN_PAIR: u64 = 13;

/// A value of the metadata, in the type that the file has it in.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Unsigned 8-bit integer.
    U8(u8),
    /// Signed 8-bit integer.
    I8(i8),
    /// Unsigned 16-bit integer.
    U16(u16),
    /// Signed 16-bit integer.
    I16(i16),
    /// Unsigned 32-bit integer.
    U32(u32),
    /// Signed 32-bit integer.
    I32(i32),
    /// Unsigned 64-bit integer.
    U64(u64),
    /// Signed 64-bit integer.
    I64(i64),
    /// 32-bit float.
    F32(f32),
    /// 64-bit float.
    F64(f64),
    /// True or false.
    Bool(bool),
    /// Text.
    String(String),
    /// Many values of one type.
    Array(Array),
}

/// Values of one type. Arrays of arrays are refused: no model uses them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Array {
    /// Unsigned 8-bit integers.
    U8(Vec<u8>),
    /// Signed 8-bit integers.
    I8(Vec<i8>),
    /// Unsigned 16-bit integers.
    U16(Vec<u16>),
    /// Signed 16-bit integers.
    I16(Vec<i16>),
    /// Unsigned 32-bit integers.
    U32(Vec<u32>),
    /// Signed 32-bit integers.
    I32(Vec<i32>),
    /// Unsigned 64-bit integers.
    U64(Vec<u64>),
    /// Signed 64-bit integers.
    I64(Vec<i64>),
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit floats.
    F64(Vec<f64>),
    /// True or false.
    Bool(Vec<bool>),
    /// Texts.
    Strings(Strings),
}

/// Many strings in one allocation, as large as they are in the file: a vocabulary has hundreds of
/// thousands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Strings {
    text: String,
    ends: Vec<usize>,
}

impl Strings {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The string of a number.
    pub fn get(&self, i: usize) -> Option<&str> {
        let end = *self.ends.get(i)?;
        let start = i.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.text.get(start..end)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|i| self.get(i))
    }
}

/// The metadata of a file. Getters return `None` where a key is absent and an error, which names
/// the file and the key, where its value is of another type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    file: String,
    values: BTreeMap<String, Value>,
}

impl Metadata {
    /// The value of a key, as it is in the file.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// All pairs, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// A text.
    pub fn str(&self, key: &str) -> Result<Option<&str>> {
        self.typed(key, "a string", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A whole number from 0 on, of any integer type.
    pub fn u64(&self, key: &str) -> Result<Option<u64>> {
        self.typed(key, "a whole number", |value| match *value {
            Value::U8(v) => Some(v.into()),
            Value::U16(v) => Some(v.into()),
            Value::U32(v) => Some(v.into()),
            Value::U64(v) => Some(v),
            Value::I8(v) => v.try_into().ok(),
            Value::I16(v) => v.try_into().ok(),
            Value::I32(v) => v.try_into().ok(),
            Value::I64(v) => v.try_into().ok(),
            _ => None,
        })
    }

    /// A whole number of any integer type, which may be negative: the number of a token, or -1 for
    /// none.
    pub(crate) fn integer(&self, key: &str) -> Result<Option<i128>> {
        self.typed(key, "a whole number", |value| match *value {
            Value::U8(v) => Some(v.into()),
            Value::U16(v) => Some(v.into()),
            Value::U32(v) => Some(v.into()),
            Value::U64(v) => Some(v.into()),
            Value::I8(v) => Some(v.into()),
            Value::I16(v) => Some(v.into()),
            Value::I32(v) => Some(v.into()),
            Value::I64(v) => Some(v.into()),
            _ => None,
        })
    }

    /// A whole number that fits 32 bits: the number of a token.
    pub fn u32(&self, key: &str) -> Result<Option<u32>> {
        let value = self.u64(key)?;
        value.map(|v| v.try_into().map_err(|_| self.wrong(key, "a whole number below 2³²"))).transpose()
    }

    /// A number of any type.
    pub fn f64(&self, key: &str) -> Result<Option<f64>> {
        self.typed(key, "a number", |value| match *value {
            Value::U8(v) => Some(v.into()),
            Value::I8(v) => Some(v.into()),
            Value::U16(v) => Some(v.into()),
            Value::I16(v) => Some(v.into()),
            Value::U32(v) => Some(v.into()),
            Value::I32(v) => Some(v.into()),
            Value::U64(v) => Some(v as f64),
            Value::I64(v) => Some(v as f64),
            Value::F32(v) => Some(v.into()),
            Value::F64(v) => Some(v),
            _ => None,
        })
    }

    /// True or false.
    pub fn bool(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "true or false", |value| match *value {
            Value::Bool(v) => Some(v),
            _ => None,
        })
    }

    /// Texts.
    pub fn strings(&self, key: &str) -> Result<Option<&Strings>> {
        self.typed(key, "an array of strings", |value| match value {
            Value::Array(Array::Strings(v)) => Some(v),
            _ => None,
        })
    }

    /// Numbers of a floating-point type.
    pub fn f32s(&self, key: &str) -> Result<Option<Vec<f32>>> {
        self.typed(key, "an array of f32", |value| match value {
            Value::Array(Array::F32(v)) => Some(v.clone()),
            _ => None,
        })
    }

    /// Whole numbers from 0 on that fit 32 bits, of any integer type.
    pub fn u32s(&self, key: &str) -> Result<Option<Vec<u32>>> {
        fn all<T: Copy + TryInto<u32>>(values: &[T]) -> Option<Vec<u32>> {
            values.iter().map(|&v| v.try_into().ok()).collect()
        }
        self.typed(key, "an array of whole numbers below 2³²", |value| match value {
            Value::Array(Array::U8(v)) => all(v),
            Value::Array(Array::I8(v)) => all(v),
            Value::Array(Array::U16(v)) => all(v),
            Value::Array(Array::I16(v)) => all(v),
            Value::Array(Array::U32(v)) => Some(v.clone()),
            Value::Array(Array::I32(v)) => all(v),
            Value::Array(Array::U64(v)) => all(v),
            Value::Array(Array::I64(v)) => all(v),
            _ => None,
        })
    }

    /// An error about a key: what its value should be.
    pub(crate) fn wrong(&self, key: &str, wanted: impl std::fmt::Display) -> Error {
        let is = match self.get(key) {
            None => "missing".to_owned(),
            Some(Value::Array(array)) => format!("an array of {}", array.type_name()),
            Some(Value::String(text)) => format!("\"{}\"", shown(text)),
            Some(value) => format!("{value:?}"),
        };
        Error::invalid(format!("{}: metadata {} is {is}; wanted is {wanted}", self.file, shown(key)))
    }

    fn typed<'a, T>(&'a self, key: &str, wanted: &str, get: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>> {
        self.get(key).map(|value| get(value).ok_or_else(|| self.wrong(key, wanted))).transpose()
    }

    /// Reads `count` pairs.
    pub(super) fn read(file: &str, count: u64, reader: &mut Reader<'_>) -> Result<Metadata> {
        reader.fits(count, MIN_PAIR, format_args!("the number of metadata pairs"))?;
        let mut values = BTreeMap::new();
        for i in 0..count {
            let key = reader.string(format_args!("the key of metadata pair {i}"))?;
            let id = reader.u32(format_args!("the type of metadata {}", shown(key)))?;
            let value = read_value(reader, key, id)?;
            if values.insert(key.to_owned(), value).is_some() {
                return Err(reader.error(format_args!("metadata {} is there twice", shown(key))));
            }
        }
        Ok(Metadata { file: file.to_owned(), values })
    }
}

impl Array {
    fn type_name(&self) -> &'static str {
        match self {
            Array::U8(_) => "u8",
            Array::I8(_) => "i8",
            Array::U16(_) => "u16",
            Array::I16(_) => "i16",
            Array::U32(_) => "u32",
            Array::I32(_) => "i32",
            Array::U64(_) => "u64",
            Array::I64(_) => "i64",
            Array::F32(_) => "f32",
            Array::F64(_) => "f64",
            Array::Bool(_) => "bool",
            Array::Strings(_) => "strings",
        }
    }
}

/// The one element of an array, which was read with a count of 1.
macro_rules! first {
    ($array:expr, $($kind:ident),*) => {
        match $array {
            $(Array::$kind(values) => values.first().copied().map(Value::$kind),)*
            Array::Strings(strings) => strings.get(0).map(|text| Value::String(text.to_owned())),
        }
    };
}

/// A value of the type `id`. A single value is read like an array of one.
fn read_value(reader: &mut Reader<'_>, key: &str, id: u32) -> Result<Value> {
    const ARRAY: u32 = 9;
    if id == ARRAY {
        let element = reader.u32(format_args!("the element type of metadata {}", shown(key)))?;
        if element == ARRAY {
            return Err(reader.error(format_args!("metadata {} is an array of arrays", shown(key))));
        }
        let count = reader.u64(format_args!("the length of metadata {}", shown(key)))?;
        return Ok(Value::Array(read_array(reader, key, element, count)?));
    }
    let one = read_array(reader, key, id, 1)?;
    first!(&one, U8, I8, U16, I16, U32, I32, U64, I64, F32, F64, Bool)
        .ok_or_else(|| Error::internal("an array of one value is empty"))
}

fn read_array(reader: &mut Reader<'_>, key: &str, id: u32, count: u64) -> Result<Array> {
    macro_rules! numbers {
        ($kind:ident, $type:ty) => {{
            const SIZE: usize = size_of::<$type>();
            reader.fits(count, SIZE as u64, format_args!("the length of metadata {}", shown(key)))?;
            let bytes = reader.take(count * SIZE as u64, format_args!("metadata {}", shown(key)))?;
            Array::$kind(bytes.as_chunks::<SIZE>().0.iter().map(|&b| <$type>::from_le_bytes(b)).collect())
        }};
    }
    Ok(match id {
        0 => numbers!(U8, u8),
        1 => numbers!(I8, i8),
        2 => numbers!(U16, u16),
        3 => numbers!(I16, i16),
        4 => numbers!(U32, u32),
        5 => numbers!(I32, i32),
        6 => numbers!(F32, f32),
        10 => numbers!(U64, u64),
        11 => numbers!(I64, i64),
        12 => numbers!(F64, f64),
        7 => {
            let bytes = reader.take(count, format_args!("metadata {}", shown(key)))?;
            if let Some(other) = bytes.iter().find(|&&b| b > 1) {
                let message =
                    format_args!("metadata {} has a truth value of {other}; 0 and 1 are possible", shown(key));
                return Err(reader.error(message));
            }
            Array::Bool(bytes.iter().map(|&b| b == 1).collect())
        }
        8 => {
            reader.fits(count, 8, format_args!("the length of metadata {}", shown(key)))?;
            let mut strings = Strings::default();
            for i in 0..count {
                strings.text.push_str(reader.string(format_args!("string {i} of metadata {}", shown(key)))?);
                strings.ends.push(strings.text.len());
            }
            Array::Strings(strings)
        }
        other => {
            let message = format_args!("metadata {} has the type {other}; 0 to 12 are possible", shown(key));
            return Err(reader.error(message));
        }
    })
}
