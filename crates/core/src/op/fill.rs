//! Constants written by the device: filling a tensor and padding its border.

use super::{Real, check};
use crate::desc::TensorDesc;
use crate::dims::Dims;
use crate::dtype::DType;
use crate::error::{Error, Result};

/// One number that becomes an element of any plain type, by the rules of [`Op::Copy`](super::Op::Copy)
/// from `f32` or from `i64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// A real number.
    Real(Real),
    /// An integer.
    Int(i64),
}

impl From<f32> for Scalar {
    fn from(value: f32) -> Scalar {
        Scalar::Real(Real(value))
    }
}
impl From<i64> for Scalar {
    fn from(value: i64) -> Scalar {
        Scalar::Int(value)
    }
}

impl Scalar {
    /// The bits of the element in the low end, as `dtype` stores it; 0 for block formats.
    pub fn bits(self, dtype: DType) -> u64 {
        match self {
            Scalar::Real(Real(x)) => real_bits(x, dtype),
            Scalar::Int(i) => int_bits(i, dtype),
        }
    }
}

fn real_bits(x: f32, dtype: DType) -> u64 {
    // Conversions with `as` truncate toward zero and saturate, and take a NaN to 0.
    match dtype {
        DType::F32 => u64::from(x.to_bits()),
        DType::F16 => u64::from(half::f16::from_f32(x).to_bits()),
        DType::BF16 => u64::from(half::bf16::from_f32(x).to_bits()),
        DType::I32 => u64::from(x as i32 as u32),
        DType::U32 => u64::from(x as u32),
        DType::I8 => u64::from(x as i8 as u8),
        DType::U8 => u64::from(x as u8),
        DType::Bool => u64::from(x != 0.0),
        DType::I64 => x as i64 as u64,
        _ => 0,
    }
}

fn int_bits(i: i64, dtype: DType) -> u64 {
    match dtype {
        DType::F32 => u64::from((i as f32).to_bits()),
        DType::F16 => u64::from(half::f16::from_f32(to_odd(i)).to_bits()),
        DType::BF16 => u64::from(half::bf16::from_f32(to_odd(i)).to_bits()),
        DType::I32 | DType::U32 => u64::from(i as u32),
        DType::I8 | DType::U8 => u64::from(i as u8),
        DType::Bool => u64::from(i != 0),
        DType::I64 => i as u64,
        _ => 0,
    }
}

/// `i` in f32, rounded to odd: truncated, with the last bit set where that was not exact. Rounding
/// the result once more, to a type with two bits less or fewer, equals rounding `i` once.
fn to_odd(i: i64) -> f32 {
    let magnitude = i.unsigned_abs();
    let dropped = 40u32.saturating_sub(magnitude.leading_zeros());
    let kept = magnitude >> dropped;
    let lost = magnitude != kept << dropped;
    // At most 24 bits and a power of two: both conversions are exact.
    let odd = (kept | u64::from(lost)) as f32 * (1u64 << dropped) as f32;
    if i < 0 { -odd } else { odd }
}

/// `y` is `x` with a border: `before[i]` elements before and `after[i]` after it along dimension
/// `i`, which all hold `value`. `x` and `y` share a plain type; elements move bit for bit. An empty
/// `x` gives a `y` full of `value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pad {
    /// Elements before, one number for each dimension.
    pub before: Dims,
    /// Elements after, one number for each dimension.
    pub after: Dims,
    /// What the border holds.
    pub value: Scalar,
}

impl Pad {
    pub(super) fn check(&self, x: &TensorDesc, y: &TensorDesc) -> Result<()> {
        check::plain("x", x)?;
        check::dtype("y", y, x.dtype)?;
        if self.before.len() != x.rank() || self.after.len() != x.rank() {
            let ranks = [self.before.len(), self.after.len(), x.rank()];
            return Err(Error::shape(format!("before, after and x have the ranks {ranks:?}")));
        }
        let mut wanted = x.shape;
        for i in 0..x.rank() {
            let grown = x.shape[i].checked_add(self.before[i]).and_then(|n| n.checked_add(self.after[i]));
            wanted[i] = grown.ok_or_else(|| Error::shape(format!("dimension {i} overflows")))?;
        }
        check::shape("y", y, &wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_rounded_once() {
        // 2¹¹ + 1 and a tail far below: a tie in f16 that the tail breaks.
        let int = |i: i64, dtype| Scalar::Int(i).bits(dtype);
        assert_eq!(int(2049, DType::F16), 0x6800);
        assert_eq!(int(2051, DType::F16), 0x6802);
        assert_eq!(int(-65520, DType::F16), 0xFC00);
        assert_eq!(int((257 << 40) + 1, DType::BF16), 0x5781);
        assert_eq!(int(257 << 40, DType::BF16), 0x5780);
        assert_eq!(int(i64::MIN, DType::BF16), 0xDF00);
        assert_eq!(int(-1, DType::U8), 0xFF);
        assert_eq!(int(0x1_0000_0002, DType::I32), 2);
    }

    #[test]
    fn reals_truncate_and_saturate() {
        let real = |x: f32, dtype| Scalar::from(x).bits(dtype);
        assert_eq!(real(-1.9, DType::I8), 0xFF);
        assert_eq!(real(300.0, DType::U8), 255);
        assert_eq!(real(-3.0, DType::U32), 0);
        assert_eq!(real(f32::NAN, DType::I64), 0);
        assert_eq!(real(1e30, DType::I64), i64::MAX as u64);
        assert_eq!(real(0.25, DType::Bool), 1);
    }
}
