//! Tensors of safetensors files, checked and put on a device as they are stored.
//!
//! A file comes from a stranger: its header is read only after its length was compared with the
//! file's, offsets and shapes are checked against each other before any byte is touched, and every
//! error names the file and, where there is one, the tensor.

use std::borrow::Cow;
use std::collections::HashMap;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use unisono_core::{DType, Device, Error, Result, Tensor};

use crate::formats::source::{Data, Shard, Source};

/// Largest header that is read, as in the `safetensors` crate.
const MAX_HEADER: u64 = 100_000_000;

/// The tensors of a checkpoint, not uploaded yet.
#[derive(Debug)]
pub(crate) struct Weights<'a> {
    shards: Vec<OpenShard<'a>>,
    /// Where each tensor is: an index into `shards`.
    shard_of: HashMap<String, usize>,
}

#[derive(Debug)]
struct OpenShard<'a> {
    shard: &'a Shard,
    metadata: Metadata,
    /// Where the data begins, in bytes.
    data_start: u64,
}

impl<'a> Weights<'a> {
    /// Reads the headers of all files.
    pub(crate) fn open(source: &'a Source) -> Result<Weights<'a>> {
        let mut weights = Weights { shards: Vec::new(), shard_of: HashMap::new() };
        for shard in &source.shards {
            let opened = OpenShard::open(shard)?;
            for name in opened.metadata.offset_keys() {
                if let Some(other) = weights.shard_of.insert(name.clone(), weights.shards.len()) {
                    let first = &weights.shards.get(other).map_or(shard, |s| s.shard).name;
                    let message = format!("tensor {name} is in {first} and again in {}", shard.name);
                    return Err(Error::invalid(message));
                }
            }
            weights.shards.push(opened);
        }
        Ok(weights)
    }

    /// Uploads a floating-point tensor as stored. Fails where it is missing, of another shape or
    /// of an element type that operations cannot read.
    pub(crate) fn upload(&self, device: &Device, name: &str, shape: &[usize]) -> Result<Tensor> {
        let (dtype, bytes) = self.bytes(name, shape)?;
        device.tensor_from_bytes(dtype, &bytes, shape)
    }

    /// The element type and the bytes of a tensor of the given shape.
    pub(crate) fn bytes(&self, name: &str, shape: &[usize]) -> Result<(DType, Cow<'_, [u8]>)> {
        let found = self.shard_of.get(name).and_then(|&i| self.shards.get(i));
        let Some((shard, info)) = found.and_then(|s| Some((s, s.metadata.info(name)?))) else {
            let files: Vec<&str> = self.shards.iter().map(|s| s.shard.name.as_str()).collect();
            return Err(Error::invalid(format!("tensor {name} is missing in {}", files.join(", "))));
        };
        let file = &shard.shard.name;
        let dtype = match info.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            other => {
                let message = format!("{file}: tensor {name} is {other:?}; F32, F16 and BF16 are possible");
                return Err(Error::dtype(message));
            }
        };
        if info.shape != shape {
            let message =
                format!("{file}: tensor {name} has shape {:?}, the configuration asks for {shape:?}", info.shape);
            return Err(Error::shape(message));
        }
        Ok((dtype, shard.read(name, info)?))
    }
}

impl<'a> OpenShard<'a> {
    fn open(shard: &'a Shard) -> Result<OpenShard<'a>> {
        let (prefix, size) = shard.data.range(0, 8).map_err(|e| named(shard, &e))?;
        let length = u64::from_le_bytes(prefix.as_ref().try_into().map_err(|_| truncated(shard))?);
        if length > MAX_HEADER || length > size.saturating_sub(8) {
            let message =
                format!("the header claims {length} bytes, the file has {size}: truncated or not safetensors");
            return Err(Error::invalid(format!("{}: {message}", shard.name)));
        }
        let (header, _) = shard.data.range(8, length).map_err(|e| named(shard, &e))?;
        let metadata: Metadata = serde_json::from_slice(&header)
            .map_err(|e| Error::invalid(format!("{}: malformed header: {e}", shard.name)))?;
        let data_start = 8 + length;
        let wanted = data_start.checked_add(metadata.data_len() as u64);
        if wanted != Some(size) {
            let message = format!("the tensors need {} bytes, the file has {}", metadata.data_len(), size - data_start);
            return Err(Error::invalid(format!("{}: {message}: truncated or damaged", shard.name)));
        }
        Ok(OpenShard { shard, metadata, data_start })
    }

    fn read(&self, name: &str, info: &TensorInfo) -> Result<Cow<'a, [u8]>> {
        let (start, end) = info.data_offsets;
        let range = self.shard.data.range(self.data_start + start as u64, end.saturating_sub(start) as u64);
        Ok(range.map_err(|e| Error::invalid(format!("{}: tensor {name}: {}", self.shard.name, e.message())))?.0)
    }
}

impl Data {
    /// `len` bytes from `start`, and the size of the whole.
    fn range(&self, start: u64, len: u64) -> Result<(Cow<'_, [u8]>, u64)> {
        match self {
            Data::Bytes(bytes) => {
                let size = bytes.len() as u64;
                let end = start.checked_add(len).filter(|&end| end <= size);
                let part = end.and_then(|end| bytes.get(start as usize..end as usize));
                let part = part.ok_or_else(|| {
                    Error::invalid(format!("{len} bytes from byte {start} are wanted, there are {size}"))
                })?;
                Ok((Cow::Borrowed(part), size))
            }
            #[cfg(not(target_family = "wasm"))]
            Data::File(path) => {
                let (bytes, size) = crate::formats::source::read_range(path, start, len)?;
                Ok((Cow::Owned(bytes), size))
            }
        }
    }
}

fn named(shard: &Shard, error: &Error) -> Error {
    Error::invalid(format!("{}: {}", shard.name, error.message()))
}

fn truncated(shard: &Shard) -> Error {
    Error::invalid(format!("{}: the file ends inside its header", shard.name))
}
