//! Element types.
//!
//! Sizes are always computed through blocks (`block_elements`, `block_bytes`), even though every
//! type of this version has blocks of one element: quantised formats then join without a change
//! to any caller.

use std::fmt;

use crate::error::{Error, Result};

/// The type of a tensor's elements, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DType {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16. Stored by every device; arithmetic may happen in f32.
    F16,
    /// bfloat16: the upper half of an f32. Stored by every device; arithmetic may happen in f32.
    BF16,
    /// Signed 32-bit integer.
    I32,
    /// Unsigned 32-bit integer.
    U32,
    /// Unsigned 8-bit integer.
    U8,
    /// One byte, 0 or 1.
    Bool,
}

impl DType {
    /// Every element type, in a fixed order.
    pub const ALL: [DType; 7] = [DType::F32, DType::F16, DType::BF16, DType::I32, DType::U32, DType::U8, DType::Bool];

    /// The floating-point types that operations compute on.
    pub const FLOATS: [DType; 3] = [DType::F32, DType::F16, DType::BF16];

    /// The name used in case ids, reports and error messages (`f32`, `bf16`, …).
    pub fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::I32 => "i32",
            DType::U32 => "u32",
            DType::U8 => "u8",
            DType::Bool => "bool",
        }
    }

    /// The type with the given [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|d| d.name() == name)
    }

    /// Elements in one storage block (1 for every plain type).
    pub fn block_elements(self) -> usize {
        1
    }

    /// Bytes of one storage block.
    pub fn block_bytes(self) -> usize {
        match self {
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::U8 | DType::Bool => 1,
        }
    }

    /// Bytes that `elements` consecutive elements take, or an error on overflow.
    pub fn bytes_for(self, elements: usize) -> Result<u64> {
        (elements as u64)
            .div_ceil(self.block_elements() as u64)
            .checked_mul(self.block_bytes() as u64)
            .ok_or_else(|| Error::invalid(format!("{elements} elements of {self} overflow the address space")))
    }

    /// Whether this is a floating-point type.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16 | DType::BF16)
    }

    /// Whether this type can hold row indices and positions.
    pub fn is_index(self) -> bool {
        matches!(self, DType::I32 | DType::U32)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A Rust type that is stored as a [`DType`].
pub trait Element: bytemuck::Pod + Send + Sync {
    /// The element type it is stored as.
    const DTYPE: DType;
}

macro_rules! element {
    ($($rust:ty => $dtype:ident),*) => { $(impl Element for $rust { const DTYPE: DType = DType::$dtype; })* };
}
element!(f32 => F32, half::f16 => F16, half::bf16 => BF16, i32 => I32, u32 => U32, u8 => U8);
