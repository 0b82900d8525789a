//! Where a tensor lies in a file, in the terms that all formats share.

use std::fmt;
use std::ops::Range;

use ::safetensors::Dtype;
use unisono_core::DType;

use super::gguf::GgmlType;

/// A tensor of a file: what it is, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// The element type, in the words of the format.
    pub stored: StoredType,
    /// Sizes, the slowest first.
    pub shape: Vec<usize>,
    /// Its bytes, from the beginning of the file.
    pub bytes: Range<usize>,
}

/// The element type of a tensor in a file. Displays as the format calls it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StoredType(Kind);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Safetensors(Dtype),
    Ggml(&'static GgmlType),
}

impl StoredType {
    pub(super) fn safetensors(dtype: Dtype) -> StoredType {
        StoredType(Kind::Safetensors(dtype))
    }

    pub(super) fn ggml(ggml: &'static GgmlType) -> StoredType {
        StoredType(Kind::Ggml(ggml))
    }

    /// What operations read it as; `None` if none does.
    pub fn dtype(self) -> Option<DType> {
        match self.0 {
            Kind::Ggml(ggml) => ggml.dtype,
            Kind::Safetensors(Dtype::F32) => Some(DType::F32),
            Kind::Safetensors(Dtype::F16) => Some(DType::F16),
            Kind::Safetensors(Dtype::BF16) => Some(DType::BF16),
            Kind::Safetensors(Dtype::I8) => Some(DType::I8),
            Kind::Safetensors(Dtype::U8) => Some(DType::U8),
            Kind::Safetensors(Dtype::I32) => Some(DType::I32),
            Kind::Safetensors(Dtype::U32) => Some(DType::U32),
            Kind::Safetensors(Dtype::I64) => Some(DType::I64),
            Kind::Safetensors(Dtype::BOOL) => Some(DType::Bool),
            Kind::Safetensors(_) => None,
        }
    }
}

impl fmt::Display for StoredType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Safetensors(dtype) => write!(f, "{dtype:?}"),
            Kind::Ggml(ggml) => f.write_str(ggml.name),
        }
    }
}
