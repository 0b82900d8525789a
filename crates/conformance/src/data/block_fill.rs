//! Blocks made byte by byte: random codes under scales of a chosen kind. Quantising numbers would
//! never give most of the codes and scales that a file may hold.

use unisono_core::DType;

use super::Stream;
use super::convert::f32_to_f16_bits;

/// What kind of scales the blocks have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scales {
    /// Values of the order of one.
    Normal,
    /// ±1 (2 in mxfp4), and small group scales: all values are integers of at most a few hundred.
    Exact,
    /// The largest finite ones.
    Max,
    /// ±0.
    Zero,
    /// Subnormal f16 numbers; the smallest safe exponents in mxfp4.
    Subnormal,
}

/// The bytes of block number `number`.
pub(super) fn block(dtype: DType, scales: Scales, stream: &Stream, number: u64) -> Vec<u8> {
    let counter = |i: usize| number * 256 + i as u64;
    let mut b: Vec<u8> = (0..dtype.block_bytes()).map(|i| stream.bits(counter(i)) as u8).collect();
    if dtype == DType::Mxfp4 {
        let spread = stream.below(counter(255), 5) as u8;
        b[0] = match scales {
            Scales::Normal => 124 + spread,
            Scales::Exact => 128,
            Scales::Max => 178 + spread,
            Scales::Zero => 0,
            Scales::Subnormal => 2 + spread,
        };
        if scales == Scales::Zero {
            // There is no scale of zero: the codes are (both signs of) zero instead.
            b[1..].iter_mut().for_each(|q| *q &= 0x88);
        }
        return b;
    }
    if scales == Scales::Exact {
        tame(dtype, &mut b);
    }
    for (field, &at) in fields(dtype).iter().enumerate() {
        let random = stream.bits(counter(250 + field));
        let sign = (random as u16 & 1) << 15;
        let bits = match scales {
            Scales::Normal => {
                let unit = (random >> 16) as f32 / (1u64 << 48) as f32;
                f32_to_f16_bits(ordinary(dtype, field) * (0.5 + unit))
            }
            Scales::Exact => 0x3C00,
            Scales::Max => 0x7BFF,
            Scales::Zero => 0,
            Scales::Subnormal => 1 + (random >> 16) as u16 % 0x3FF,
        };
        b[at..at + 2].copy_from_slice(&(bits | sign).to_le_bytes());
    }
    b
}

/// Where the f16 fields of a block start.
fn fields(dtype: DType) -> &'static [usize] {
    match dtype {
        DType::Q4_1 | DType::Q5_1 | DType::Q4K | DType::Q5K => &[0, 2],
        DType::Q2K => &[80, 82],
        DType::Q3K => &[108],
        DType::Q6K => &[208],
        _ => &[0],
    }
}

/// The scale, or the minimum, that gives values around one.
fn ordinary(dtype: DType, field: usize) -> f32 {
    match (dtype, field) {
        (DType::Q4_0, _) => 0.2,
        (DType::Q4_1 | DType::Q5_1, 1) => 1.0,
        (DType::Q4_1, _) => 0.1,
        (DType::Q5_0 | DType::Q5_1, _) => 0.06,
        (DType::Q8_0, _) => 0.012,
        (DType::Q2K, 0) => 0.04,
        (DType::Q2K, _) => 0.06,
        (DType::Q3K, _) => 0.015,
        (DType::Q4K, 0) => 0.003,
        (DType::Q4K | DType::Q5K, 1) => 0.02,
        (DType::Q5K, _) => 0.0015,
        (DType::Q6K, _) => 0.000_5,
        (DType::Iq4Nl, _) => 0.015,
        _ => 0.000_6,
    }
}

/// Makes group scales small, so that sums of thousands of products stay below 2²⁴.
fn tame(dtype: DType, b: &mut [u8]) {
    match dtype {
        // Scales up to 15; the upper bits of the others are those of bytes 0 to 7.
        DType::Q5K => b[4..12].iter_mut().for_each(|s| *s &= 0x0F),
        DType::Q6K => b[192..208].iter_mut().for_each(|s| *s = (*s % 17).wrapping_sub(8)),
        // Scales of 24 to 39 stand for −8 to 7.
        DType::Iq4Xs => {
            b[2..4].fill(0);
            for g in 0..8 {
                let negative = b[4 + g / 2] >> (g % 2 * 4) & 8 != 0;
                b[2 + g / 4] |= (if negative { 1 } else { 2 }) << (g % 4 * 2);
            }
        }
        _ => {}
    }
}
