//! GGUF files, versions 2 and 3, little-endian.
//!
//! A file is a header (magic, version, counts), key-value pairs, one description for each tensor,
//! and the tensors' data at aligned offsets. All of it is checked when a file is opened: counts and
//! lengths against what is left of the file before anything is allocated, names for duplicates,
//! shapes for overflow and whole blocks, places for alignment, order and the file's end. What was
//! opened can be used without further checks.
//!
//! Source of the layout: the specification of GGUF in the documentation of ggml, and the Python
//! package `gguf`.

mod architecture;
mod config;
mod keys;
mod metadata;
mod names;
mod reader;
mod rope;
mod set;
mod types;
mod vocabulary;

use std::collections::BTreeMap;
use std::ops::Range;

use unisono_core::Result;

pub(crate) use architecture::Architecture;
pub(crate) use config::config_json;
pub use metadata::{Array, Metadata, Strings, Value};
pub(crate) use names::translate;
use reader::Reader;
pub(crate) use set::Set;
#[cfg(not(target_family = "wasm"))]
pub(crate) use set::{SplitName, split_count};
pub(crate) use types::GgmlType;
pub(crate) use vocabulary::vocabulary;

use super::pointer;
use super::tensor::{StoredType, TensorInfo};
use super::text::shown;

/// Most dimensions of a tensor, as in ggml.
const MAX_RANK: u32 = 4;
/// Fewest bytes of a tensor's description: an empty name, no dimension, type and offset.
const MIN_TENSOR: u64 = 24;
const DEFAULT_ALIGNMENT: u64 = 32;

/// The checked header of one file.
#[derive(Clone, Debug)]
pub struct File {
    version: u32,
    metadata: Metadata,
    tensors: BTreeMap<String, TensorInfo>,
}

impl File {
    /// Reads and checks the header of the file `bytes`. Errors begin with `name`.
    ///
    /// ```
    /// let header = [&b"GGUF"[..], &3u32.to_le_bytes(), &[0; 16]].concat();
    /// let file = unisono_models::gguf::File::parse("empty.gguf", &header)?;
    /// assert_eq!((file.version(), file.tensors().len()), (3, 0));
    /// let error = unisono_models::gguf::File::parse("cut.gguf", &header[..20]).unwrap_err();
    /// assert!(error.to_string().starts_with("cut.gguf: "));
    /// # Ok::<(), unisono_core::Error>(())
    /// ```
    pub fn parse(name: &str, bytes: &[u8]) -> Result<File> {
        pointer::check(name, bytes)?;
        let mut reader = Reader::new(name, bytes);
        let magic = reader.take(4, format_args!("the magic number"))?;
        if magic != b"GGUF" {
            return Err(reader.error(format_args!("not a GGUF file: it begins with {}", magic.escape_ascii())));
        }
        let version = reader.u32(format_args!("the version"))?;
        if matches!(version.swap_bytes(), 2 | 3) {
            return Err(reader.error(format_args!("the file is big-endian; only little-endian files can be read")));
        }
        if !matches!(version, 2 | 3) {
            return Err(reader.error(format_args!("GGUF version {version} is not supported; 2 and 3 are")));
        }
        let tensor_count = reader.count(MIN_TENSOR, format_args!("the number of tensors"))?;
        let pair_count = reader.u64(format_args!("the number of metadata pairs"))?;
        let metadata = Metadata::read(name, pair_count, &mut reader)?;
        let alignment = metadata.u64("general.alignment")?.unwrap_or(DEFAULT_ALIGNMENT);
        if !alignment.is_power_of_two() {
            return Err(metadata.wrong("general.alignment", "a power of two"));
        }
        reader.fits(tensor_count, MIN_TENSOR, format_args!("the number of tensors"))?;
        let mut tensors = BTreeMap::new();
        for i in 0..tensor_count {
            let (tensor, info) = read_tensor(&mut reader, i)?;
            if tensors.insert(tensor.to_owned(), info).is_some() {
                return Err(reader.error(format_args!("tensor {} is there twice", shown(tensor))));
            }
        }
        // Written so that no sum overflows: the header lies in memory, an alignment may be anything.
        let data_start = (reader.at() as u64).checked_next_multiple_of(alignment).unwrap_or(u64::MAX);
        let mut places = Vec::new();
        for (tensor, info) in &mut tensors {
            let offset = info.bytes.start as u64;
            if !offset.is_multiple_of(alignment) {
                let message = format_args!("tensor {} has offset {offset}, no multiple of {alignment}", shown(tensor));
                return Err(reader.error(message));
            }
            let place = place(data_start, &info.bytes, bytes.len()).ok_or_else(|| {
                let (length, size) = (info.bytes.len(), bytes.len());
                reader.error(format_args!(
                    "tensor {} has {length} bytes at offset {offset} of the data, the file ends at byte {size}: truncated or damaged",
                    shown(tensor)
                ))
            })?;
            info.bytes = place.clone();
            places.push((place.start, place.end, tensor.as_str()));
        }
        places.sort_unstable();
        for pair in places.windows(2) {
            if let [(_, end, first), (start, _, second)] = pair
                && start < end
            {
                return Err(reader.error(format_args!("tensors {} and {} overlap", shown(first), shown(second))));
            }
        }
        Ok(File { version, metadata, tensors })
    }

    /// The version of the format: 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The key-value pairs.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }
}

/// A tensor's bytes within the file, if they lie there as a whole.
fn place(data_start: u64, offsets: &Range<usize>, size: usize) -> Option<Range<usize>> {
    let start = data_start.checked_add(offsets.start as u64)?;
    let end = data_start.checked_add(offsets.end as u64)?;
    (end <= size as u64).then_some(start as usize..end as usize)
}

/// The name and description of a tensor; its bytes count from the beginning of the data yet.
fn read_tensor<'a>(reader: &mut Reader<'a>, i: u64) -> Result<(&'a str, TensorInfo)> {
    let name = reader.string(format_args!("the name of tensor {i}"))?;
    let rank = reader.u32(format_args!("the rank of tensor {}", shown(name)))?;
    if rank > MAX_RANK {
        return Err(reader.error(format_args!("tensor {} has {rank} dimensions; {MAX_RANK} are possible", shown(name))));
    }
    // The fastest dimension comes first in the file.
    let mut shape = Vec::new();
    for _ in 0..rank {
        let size = reader.u64(format_args!("a dimension of tensor {}", shown(name)))?;
        let size = usize::try_from(size)
            .ok()
            .filter(|&size| size > 0)
            .ok_or_else(|| reader.error(format_args!("tensor {} has a dimension of {size}", shown(name))))?;
        shape.insert(0, size);
    }
    let id = reader.u32(format_args!("the type of tensor {}", shown(name)))?;
    let Some(ggml) = GgmlType::from_id(id) else {
        return Err(reader.error(format_args!("tensor {} has the unknown type {id}", shown(name))));
    };
    let row = shape.last().copied().unwrap_or(1);
    if !row.is_multiple_of(ggml.block_elements) {
        return Err(reader.error(format_args!(
            "tensor {} has rows of {row} elements; {} has blocks of {}",
            shown(name),
            ggml.name,
            ggml.block_elements
        )));
    }
    let offset = reader.u64(format_args!("the offset of tensor {}", shown(name)))?;
    let elements = shape.iter().try_fold(1usize, |all, &size| all.checked_mul(size));
    let length = elements.and_then(|n| (n / ggml.block_elements).checked_mul(ggml.block_bytes));
    let bytes = usize::try_from(offset).ok().and_then(|start| Some(start..start.checked_add(length?)?));
    let Some(bytes) = bytes else {
        let message = format_args!("tensor {} of shape {shape:?} at offset {offset} is too large", shown(name));
        return Err(reader.error(message));
    };
    Ok((name, TensorInfo { stored: StoredType::ggml(ggml), shape, bytes }))
}
