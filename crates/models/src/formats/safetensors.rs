//! Safetensors files, and the index of a checkpoint in several of them.
//!
//! A file is a JSON header, its length before it, and the tensors' bytes, one after the other
//! without gaps. All of that is checked when a file is opened.

use std::collections::BTreeMap;
use std::fmt;

use ::safetensors::Dtype;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use unisono_core::{Error, Result};

use super::pointer;
use super::tensor::{StoredType, TensorInfo};
use super::text::{printable, shown};
use super::unique::Unique;

/// Largest header that is read, as in the `safetensors` crate.
const MAX_HEADER: u64 = 100_000_000;
/// Most dimensions of a tensor.
const MAX_RANK: usize = 8;

/// The checked header of a safetensors file.
#[derive(Clone, Debug)]
pub struct Header {
    tensors: BTreeMap<String, TensorInfo>,
}

impl Header {
    /// Reads and checks the header of the file `bytes`. Errors begin with `name`.
    ///
    /// ```
    /// let json = br#"{"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}"#;
    /// let file = [&(json.len() as u64).to_le_bytes()[..], json, &[0; 8]].concat();
    /// let header = unisono_models::safetensors::Header::parse("x.safetensors", &file)?;
    /// assert_eq!(header.tensors()["x"].shape, [2]);
    /// # Ok::<(), unisono_core::Error>(())
    /// ```
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Header> {
        let fail = |message: fmt::Arguments<'_>| Error::invalid(format!("{name}: {message}"));
        pointer::check(name, bytes)?;
        let size = bytes.len() as u64;
        let Some((length, rest)) = bytes.split_first_chunk() else {
            return Err(fail(format_args!("the file ends inside its header: it has {size} bytes")));
        };
        let length = u64::from_le_bytes(*length);
        if length > MAX_HEADER || length > rest.len() as u64 {
            return Err(fail(format_args!(
                "the header claims {length} bytes, the file has {size}: truncated or not safetensors"
            )));
        }
        let (json, data) = rest.split_at(length as usize);
        let Entries(entries) =
            serde_json::from_slice(json).map_err(|e| fail(format_args!("malformed header: {}", printable(e))))?;
        let mut order: Vec<_> = entries.iter().map(|(tensor, entry)| (entry.data_offsets, tensor.as_str())).collect();
        order.sort_unstable();
        let mut end = 0;
        for ([start, stop], tensor) in order {
            if start != end || stop < start {
                let tensor = shown(tensor);
                return Err(fail(format_args!(
                    "tensor {tensor} has data_offsets [{start}, {stop}] where {end} is next: tensors lie without gaps"
                )));
            }
            end = stop;
        }
        if end != data.len() as u64 {
            let has = data.len();
            return Err(fail(format_args!("the tensors need {end} bytes, the file has {has}: truncated or damaged")));
        }
        let data_start = bytes.len() - data.len();
        let mut tensors = BTreeMap::new();
        for (tensor, Entry { dtype, shape: Shape(shape), data_offsets: [start, stop] }) in entries {
            let bits = shape.iter().try_fold(dtype.bitsize(), |bits, &size| bits.checked_mul(size));
            if bits.map(|bits| (bits as u64, bits % 8)) != (stop - start).checked_mul(8).map(|bits| (bits, 0)) {
                let (tensor, bytes) = (shown(&tensor), stop - start);
                let message = format_args!("tensor {tensor} of shape {shape:?} in {dtype:?} has {bytes} bytes");
                return Err(fail(message));
            }
            let bytes = data_start + start as usize..data_start + stop as usize;
            tensors.insert(tensor, TensorInfo { stored: StoredType::safetensors(dtype), shape, bytes });
        }
        Ok(Header { tensors })
    }

    /// The tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }

    pub(super) fn into_tensors(self) -> BTreeMap<String, TensorInfo> {
        self.tensors
    }
}

/// The header as it is written.
struct Entries(BTreeMap<String, Entry>);

#[derive(Deserialize)]
struct Entry {
    dtype: Dtype,
    shape: Shape,
    data_offsets: [u64; 2],
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Entries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut all = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    if key == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let entry =
                        map.next_value().map_err(|e| A::Error::custom(format_args!("tensor {}: {e}", shown(&key))))?;
                    if all.contains_key(&key) {
                        return Err(A::Error::custom(format_args!("tensor {} is there twice", shown(&key))));
                    }
                    all.insert(key, entry);
                }
                Ok(Entries(all))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Sizes, few enough to be a tensor's.
struct Shape(Vec<usize>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sizes;
        impl<'de> Visitor<'de> for Sizes {
            type Value = Shape;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX_RANK} sizes")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
                let mut shape = Vec::new();
                while let Some(size) = seq.next_element()? {
                    if shape.len() == MAX_RANK {
                        return Err(A::Error::invalid_length(MAX_RANK + 1, &self));
                    }
                    shape.push(size);
                }
                Ok(Shape(shape))
            }
        }
        deserializer.deserialize_seq(Sizes)
    }
}

/// Which file of a checkpoint each tensor is in: `model.safetensors.index.json`.
#[derive(Clone, Debug)]
pub struct Index {
    name: String,
    weight_map: BTreeMap<String, String>,
}

impl Index {
    /// Reads the index. Files must be plain names: a checkpoint must not make anybody read outside
    /// its directory. Errors begin with `name`.
    pub fn parse(name: &str, json: &[u8]) -> Result<Index> {
        #[derive(Deserialize)]
        struct Raw {
            weight_map: Unique<String>,
        }
        pointer::check(name, json)?;
        let raw: Raw = serde_json::from_slice(json).map_err(|e| Error::invalid(format!("{name}: {}", printable(e))))?;
        let Unique(weight_map) = raw.weight_map;
        for file in weight_map.values() {
            let plain = !file.is_empty() && file != "." && file != ".." && !file.contains(['/', '\\', ':', '\0']);
            if !plain {
                return Err(Error::invalid(format!("{name}: \"{}\" is not a plain file name", shown(file))));
            }
        }
        Ok(Index { name: name.to_owned(), weight_map })
    }

    /// The files of the checkpoint, each once.
    pub fn files(&self) -> Vec<&str> {
        let mut files: Vec<&str> = self.weight_map.values().map(String::as_str).collect();
        files.sort_unstable();
        files.dedup();
        files
    }

    /// The file that the index names for a tensor.
    pub(super) fn file_of(&self, tensor: &str) -> Option<&str> {
        self.weight_map.get(tensor).map(String::as_str)
    }

    /// Whether each tensor is in the file that the index names. `file_of` says where it is.
    pub(super) fn check<'a>(&self, file_of: impl Fn(&str) -> Option<&'a str>) -> Result<()> {
        for (tensor, file) in &self.weight_map {
            let found = file_of(tensor);
            if found != Some(file) {
                let found = found.map_or_else(|| "in no file".to_owned(), |other| format!("in {other}"));
                let (tensor, file) = (shown(tensor), shown(file));
                let message = format!("{}: tensor {tensor} should be in {file} and is {found}", self.name);
                return Err(Error::invalid(message));
            }
        }
        Ok(())
    }
}
