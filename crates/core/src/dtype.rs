//! Element types: plain ones, and the block formats of quantised weights.
//!
//! A block format packs 32 or 256 consecutive elements with their scales, byte for byte as GGUF
//! files do, so weights go to a device as they lie in the file. Sizes are always computed through
//! blocks (`block_elements`, `block_bytes`); a plain type has blocks of one element. The layout of
//! each block is documented at its variant; all multi-byte numbers are little-endian. The order of
//! the elements within a block, and how a block is made from numbers, stand in `docs/quantisation.md`.
//!
//! A block decodes to the exact value of its formula, rounded at most once (to the type it is
//! decoded to). A scale that is a subnormal f16 counts: K-quants of ordinary weights have such
//! scales, so a device may not flush it to zero. Scales that are infinite or NaN decode to nothing
//! in particular.

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
    /// Signed 8-bit integer.
    I8,
    /// Unsigned 8-bit integer.
    U8,
    /// One byte, 0 or 1.
    Bool,
    /// Signed 64-bit integer: indices. Every device stores, moves and casts it; arithmetic and
    /// comparisons are the CPU's.
    I64,
    /// 32 elements in 18 bytes: f16 `d`; 16 bytes of nibbles. `x = d·(q − 8)`.
    Q4_0,
    /// 32 elements in 20 bytes: f16 `d`, f16 `m`; 16 bytes of nibbles. `x = d·q + m`.
    Q4_1,
    /// 32 elements in 22 bytes: f16 `d`; 32 fifth bits; 16 bytes of nibbles. `x = d·(q − 16)`.
    Q5_0,
    /// 32 elements in 24 bytes: f16 `d`, f16 `m`; 32 fifth bits; 16 bytes of nibbles. `x = d·q + m`.
    Q5_1,
    /// 32 elements in 34 bytes: f16 `d`; 32 signed bytes. `x = d·q`.
    Q8_0,
    /// 256 elements in 84 bytes: 16 bytes of 4-bit scales and minima; 64 bytes of 2-bit numbers;
    /// f16 `d`, f16 `dmin`. `x = d·scale·q − dmin·min`, scales per 16 elements.
    Q2K,
    /// 256 elements in 110 bytes: 32 bytes of third bits; 64 bytes of 2-bit numbers; 12 bytes of
    /// 6-bit scales; f16 `d`. `x = d·(scale − 32)·(q − 4)`, scales per 16 elements.
    Q3K,
    /// 256 elements in 144 bytes: f16 `d`, f16 `dmin`; 12 bytes of 6-bit scales and minima; 128
    /// bytes of nibbles. `x = d·scale·q − dmin·min`, scales per 32 elements.
    Q4K,
    /// 256 elements in 176 bytes: as [`Q4K`](Self::Q4K) with 32 bytes of fifth bits before the
    /// nibbles.
    Q5K,
    /// 256 elements in 210 bytes: 128 bytes of low nibbles; 64 bytes of upper 2-bit parts; 16
    /// signed scales; f16 `d`. `x = d·scale·(q − 32)`, scales per 16 elements.
    Q6K,
    /// 32 elements in 18 bytes: f16 `d`; 16 bytes of nibbles that index a table of 16 values.
    /// `x = d·table[q]`.
    Iq4Nl,
    /// 256 elements in 136 bytes: f16 `d`; upper bits of 8 scales in 2 bytes, lower in 4 bytes;
    /// 128 bytes of nibbles that index the table of [`Iq4Nl`](Self::Iq4Nl).
    /// `x = d·(scale − 32)·table[q]`, scales per 32 elements.
    Iq4Xs,
    /// 32 elements in 17 bytes: a shared exponent `e` (E8M0, 0 to 254); 16 bytes of E2M1 numbers, as
    /// in the OCP Microscaling specification. `x = 2^(e − 127)·E2M1[q]`.
    Mxfp4,
}

impl DType {
    /// Every element type, in a fixed order.
    pub const ALL: [DType; 22] = [
        DType::F32,
        DType::F16,
        DType::BF16,
        DType::I32,
        DType::U32,
        DType::I8,
        DType::U8,
        DType::Bool,
        DType::I64,
        DType::Q4_0,
        DType::Q4_1,
        DType::Q5_0,
        DType::Q5_1,
        DType::Q8_0,
        DType::Q2K,
        DType::Q3K,
        DType::Q4K,
        DType::Q5K,
        DType::Q6K,
        DType::Iq4Nl,
        DType::Iq4Xs,
        DType::Mxfp4,
    ];

    /// The types whose elements are stored one by one, in the order of [`ALL`](Self::ALL).
    pub const PLAIN: [DType; 9] =
        [DType::F32, DType::F16, DType::BF16, DType::I32, DType::U32, DType::I8, DType::U8, DType::Bool, DType::I64];

    /// The block formats, in the order of [`ALL`](Self::ALL).
    pub const BLOCKS: [DType; 13] = [
        DType::Q4_0,
        DType::Q4_1,
        DType::Q5_0,
        DType::Q5_1,
        DType::Q8_0,
        DType::Q2K,
        DType::Q3K,
        DType::Q4K,
        DType::Q5K,
        DType::Q6K,
        DType::Iq4Nl,
        DType::Iq4Xs,
        DType::Mxfp4,
    ];

    /// The floating-point types that operations compute on.
    pub const FLOATS: [DType; 3] = [DType::F32, DType::F16, DType::BF16];

    /// The name used in case ids, reports and error messages (`f32`, `bf16`, `q4_k`, …).
    pub fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::I32 => "i32",
            DType::U32 => "u32",
            DType::I8 => "i8",
            DType::U8 => "u8",
            DType::Bool => "bool",
            DType::I64 => "i64",
            DType::Q4_0 => "q4_0",
            DType::Q4_1 => "q4_1",
            DType::Q5_0 => "q5_0",
            DType::Q5_1 => "q5_1",
            DType::Q8_0 => "q8_0",
            DType::Q2K => "q2_k",
            DType::Q3K => "q3_k",
            DType::Q4K => "q4_k",
            DType::Q5K => "q5_k",
            DType::Q6K => "q6_k",
            DType::Iq4Nl => "iq4_nl",
            DType::Iq4Xs => "iq4_xs",
            DType::Mxfp4 => "mxfp4",
        }
    }

    /// The type with the given [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|d| d.name() == name)
    }

    /// Elements in one storage block (1 for every plain type).
    pub fn block_elements(self) -> usize {
        match self {
            DType::F32
            | DType::F16
            | DType::BF16
            | DType::I32
            | DType::U32
            | DType::I8
            | DType::U8
            | DType::Bool
            | DType::I64 => 1,
            DType::Q4_0 | DType::Q4_1 | DType::Q5_0 | DType::Q5_1 | DType::Q8_0 | DType::Iq4Nl | DType::Mxfp4 => 32,
            DType::Q2K | DType::Q3K | DType::Q4K | DType::Q5K | DType::Q6K | DType::Iq4Xs => 256,
        }
    }

    /// Bytes of one storage block.
    pub fn block_bytes(self) -> usize {
        match self {
            DType::I64 => 8,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::I8 | DType::U8 | DType::Bool => 1,
            DType::Mxfp4 => 17,
            DType::Q4_0 | DType::Iq4Nl => 18,
            DType::Q4_1 => 20,
            DType::Q5_0 => 22,
            DType::Q5_1 => 24,
            DType::Q8_0 => 34,
            DType::Q2K => 84,
            DType::Q3K => 110,
            DType::Iq4Xs => 136,
            DType::Q4K => 144,
            DType::Q5K => 176,
            DType::Q6K => 210,
        }
    }

    /// Bytes that `elements` consecutive elements take, or an error on overflow.
    pub fn bytes_for(self, elements: usize) -> Result<u64> {
        (elements as u64)
            .div_ceil(self.block_elements() as u64)
            .checked_mul(self.block_bytes() as u64)
            .ok_or_else(|| Error::invalid(format!("{elements} elements of {self} overflow the address space")))
    }

    /// Whether this is a block format of quantised weights.
    pub fn is_block(self) -> bool {
        self.block_elements() > 1
    }

    /// Whether numbers can be quantised to this block format by [`Op::Copy`](crate::Op::Copy) and
    /// [`Op::ScatterRows`](crate::Op::ScatterRows). [`Iq4Nl`](Self::Iq4Nl) and
    /// [`Iq4Xs`](Self::Iq4Xs) need a search over the table that belongs into a tool that prepares
    /// weights: blocks in these formats come ready from a file.
    pub fn is_quantisable(self) -> bool {
        self.is_block() && !matches!(self, DType::Iq4Nl | DType::Iq4Xs)
    }

    /// Whether this is a floating-point type.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16 | DType::BF16)
    }

    /// Whether this is an integer type, signed or not. [`Bool`](Self::Bool) is none.
    pub fn is_integer(self) -> bool {
        matches!(self, DType::I32 | DType::U32 | DType::I8 | DType::U8 | DType::I64)
    }

    /// Whether this type can hold row indices and positions.
    pub fn is_index(self) -> bool {
        matches!(self, DType::I32 | DType::U32 | DType::I64)
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
element!(f32 => F32, half::f16 => F16, half::bf16 => BF16, i32 => I32, u32 => U32, i8 => I8, u8 => U8, i64 => I64);
