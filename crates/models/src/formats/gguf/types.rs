//! The element types of GGUF tensors, by the numbers that files have for them.
//!
//! All types that files are found with are known by size, so that a file is checked as a whole;
//! those without a [`DType`] are refused by name when their tensor is asked for.

use unisono_core::DType;

/// An element type of a file.
#[derive(Debug, PartialEq)]
pub(crate) struct GgmlType {
    id: u32,
    pub(crate) name: &'static str,
    /// Elements of a block; the length of a row is a multiple.
    pub(crate) block_elements: usize,
    pub(crate) block_bytes: usize,
    /// What operations read it as, if any does.
    pub(crate) dtype: Option<DType>,
}

const fn other(id: u32, name: &'static str, block_elements: usize, block_bytes: usize) -> GgmlType {
    GgmlType { id, name, block_elements, block_bytes, dtype: None }
}

const fn known(id: u32, name: &'static str, block_elements: usize, block_bytes: usize, dtype: DType) -> GgmlType {
    GgmlType { id, name, block_elements, block_bytes, dtype: Some(dtype) }
}

/// Numbers and sizes as in `GGML_QUANT_SIZES` of the Python package `gguf` 0.19.
const TYPES: [GgmlType; 34] = [
    known(0, "F32", 1, 4, DType::F32),
    known(1, "F16", 1, 2, DType::F16),
    known(2, "Q4_0", 32, 18, DType::Q4_0),
    known(3, "Q4_1", 32, 20, DType::Q4_1),
    known(6, "Q5_0", 32, 22, DType::Q5_0),
    known(7, "Q5_1", 32, 24, DType::Q5_1),
    known(8, "Q8_0", 32, 34, DType::Q8_0),
    other(9, "Q8_1", 32, 40),
    known(10, "Q2_K", 256, 84, DType::Q2K),
    known(11, "Q3_K", 256, 110, DType::Q3K),
    known(12, "Q4_K", 256, 144, DType::Q4K),
    known(13, "Q5_K", 256, 176, DType::Q5K),
    known(14, "Q6_K", 256, 210, DType::Q6K),
    other(15, "Q8_K", 256, 292),
    other(16, "IQ2_XXS", 256, 66),
    other(17, "IQ2_XS", 256, 74),
    other(18, "IQ3_XXS", 256, 98),
    other(19, "IQ1_S", 256, 50),
    known(20, "IQ4_NL", 32, 18, DType::Iq4Nl),
    other(21, "IQ3_S", 256, 110),
    other(22, "IQ2_S", 256, 82),
    known(23, "IQ4_XS", 256, 136, DType::Iq4Xs),
    known(24, "I8", 1, 1, DType::I8),
    other(25, "I16", 1, 2),
    known(26, "I32", 1, 4, DType::I32),
    known(27, "I64", 1, 8, DType::I64),
    other(28, "F64", 1, 8),
    other(29, "IQ1_M", 256, 56),
    known(30, "BF16", 1, 2, DType::BF16),
    other(34, "TQ1_0", 256, 54),
    other(35, "TQ2_0", 256, 66),
    known(39, "MXFP4", 32, 17, DType::Mxfp4),
    other(40, "NVFP4", 64, 36),
    other(41, "Q1_0", 128, 18),
];

impl GgmlType {
    /// The type that stores `dtype`.
    pub(crate) fn of(dtype: DType) -> Option<&'static GgmlType> {
        TYPES.iter().find(|ggml| ggml.dtype == Some(dtype))
    }

    /// The type of a number.
    pub(crate) fn from_id(id: u32) -> Option<&'static GgmlType> {
        TYPES.iter().find(|t| t.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_names_are_those_of_the_contract() {
        for t in &TYPES {
            let Some(dtype) = t.dtype else { continue };
            assert_eq!((t.block_elements, t.block_bytes), (dtype.block_elements(), dtype.block_bytes()), "{}", t.name);
            assert_eq!(t.name.to_lowercase(), dtype.name());
        }
        for dtype in DType::BLOCKS.into_iter().chain(DType::FLOATS) {
            assert_eq!(TYPES.iter().filter(|t| t.dtype == Some(dtype)).count(), 1, "{dtype}");
        }
    }
}
