//! Elements as stored and as numbers. Rounding to 16 bits is written here in integer arithmetic,
//! apart from any library or backend, because it is the oracle of every cast.

use unisono_core::{DType, TensorDesc};

use super::blocks::decode_block;

/// The elements stored in `bytes`, in storage order; a partial element (or block) at the end is left
/// out.
pub fn decode(dtype: DType, bytes: &[u8]) -> Vec<f64> {
    if dtype.is_block() {
        let mut values = Vec::with_capacity(bytes.len() / dtype.block_bytes() * dtype.block_elements());
        bytes.chunks_exact(dtype.block_bytes()).for_each(|b| decode_block(dtype, b, &mut values));
        return values;
    }
    bytes.chunks_exact(dtype.block_bytes()).map(|b| decode_one(dtype, b)).collect()
}

fn decode_one(dtype: DType, b: &[u8]) -> f64 {
    match dtype {
        DType::F32 => f64::from(f32::from_bits(word(b))),
        DType::I64 => long(b) as f64,
        DType::F16 => f16_to_f64(word(b) as u16),
        DType::BF16 => f64::from(f32::from_bits(word(b) << 16)),
        DType::I32 => f64::from(word(b) as i32),
        DType::I8 => f64::from(word(b) as u8 as i8),
        _ => f64::from(word(b)),
    }
}

fn long(b: &[u8]) -> i64 {
    b.iter().rev().fold(0, |w, &byte| w << 8 | i64::from(byte))
}

fn word(b: &[u8]) -> u32 {
    b.iter().rev().fold(0, |w, &byte| w << 8 | u32::from(byte))
}

pub(super) fn f16_to_f64(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let mantissa = f64::from(bits & 0x3FF);
    sign * match (bits >> 10) & 0x1F {
        0 => mantissa / 16_777_216.0,
        0x1F if mantissa == 0.0 => f64::INFINITY,
        0x1F => f64::NAN,
        e => (1.0 + mantissa / 1024.0) * f64::from_bits(u64::from(e + 1023 - 15) << 52),
    }
}

/// The elements of `desc` in logical row-major order, from the bytes over its span; none where
/// the bytes are too few.
pub fn read_logical(desc: &TensorDesc, bytes: &[u8]) -> Option<Vec<f64>> {
    if (bytes.len() as u64) < desc.span_bytes() {
        return None;
    }
    let size = desc.dtype.block_bytes();
    let mut values = Vec::with_capacity(desc.elements());
    if desc.dtype.is_block() {
        // Positions count elements; the span is a whole number of blocks.
        let stored = decode(desc.dtype, &bytes[..desc.span_bytes() as usize]);
        for_each_position(desc, &desc.shape, |_, at| values.push(stored[at]));
        return Some(values);
    }
    for_each_position(desc, &desc.shape, |_, at| {
        values.push(decode_one(desc.dtype, &bytes[at * size..(at + 1) * size]));
    });
    Some(values)
}

/// The elements of an integer or bool tensor in logical row-major order, exact also where `f64` is
/// not; none for other types, or where the bytes are too few.
pub fn read_integers(desc: &TensorDesc, bytes: &[u8]) -> Option<Vec<i64>> {
    let integer = desc.dtype.is_integer() || desc.dtype == DType::Bool;
    if !integer || (bytes.len() as u64) < desc.span_bytes() {
        return None;
    }
    let size = desc.dtype.block_bytes();
    let mut values = Vec::with_capacity(desc.elements());
    for_each_position(desc, &desc.shape, |_, at| {
        let b = &bytes[at * size..(at + 1) * size];
        values.push(if desc.dtype == DType::I64 { long(b) } else { decode_one(desc.dtype, b) as i64 });
    });
    Some(values)
}

/// Calls `f` with each index of `shape` in row-major order and its position in storage.
pub(crate) fn for_each_position(desc: &TensorDesc, shape: &[usize], mut f: impl FnMut(&[usize], usize)) {
    if shape.contains(&0) {
        return;
    }
    let mut index = vec![0usize; shape.len()];
    let mut at = 0;
    loop {
        f(&index, at);
        let mut d = shape.len();
        loop {
            if d == 0 {
                return;
            }
            d -= 1;
            index[d] += 1;
            at += desc.strides[d];
            if index[d] < shape[d] {
                break;
            }
            at -= desc.strides[d] * shape[d];
            index[d] = 0;
        }
    }
}

/// The bits of `value` stored as `dtype`: rounded to nearest even, kept finite unless `value` is
/// not; integers saturate.
pub(crate) fn encode(dtype: DType, value: f64) -> u64 {
    if dtype == DType::I64 { value as i64 as u64 } else { u64::from(encode_word(dtype, value)) }
}

fn encode_word(dtype: DType, value: f64) -> u32 {
    let finite = |max: f32| if value.is_finite() { (value as f32).clamp(-max, max) } else { value as f32 };
    match dtype {
        DType::F32 => finite(f32::MAX).to_bits(),
        DType::F16 => u32::from(f32_to_f16_bits(finite(65504.0))),
        DType::BF16 => u32::from(f32_to_bf16_bits(finite(f32::from_bits(0x7F7F_0000)))),
        DType::I32 => value as i32 as u32,
        DType::U32 => value as u32,
        DType::I8 => u32::from(value as i8 as u8),
        DType::Bool => u32::from(value != 0.0),
        _ => u32::from(value as u8),
    }
}

/// Rounds to binary16, to nearest even; too large becomes infinite, NaN stays NaN.
pub(crate) fn f32_to_f16_bits(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let exponent = (bits >> 23) as i32 & 0xFF;
    let mantissa = bits & 0x7F_FFFF;
    if exponent == 0xFF {
        return sign | 0x7C00 | if mantissa == 0 { 0 } else { 0x200 };
    }
    // The significand in units of the target's last place: 13 bits go for a normal result, more
    // for a subnormal one.
    let e = exponent - 127 + 15;
    if e >= 0x1F {
        return sign | 0x7C00;
    }
    let (significand, dropped) = if e > 0 {
        ((e as u32) << 23 | mantissa, 13)
    } else {
        (mantissa | if exponent == 0 { 0 } else { 0x80_0000 }, (14 - e).min(31) as u32)
    };
    sign | round_to_even(significand, dropped) as u16
}

/// Rounds to bfloat16, to nearest even; NaN stays NaN.
pub(crate) fn f32_to_bf16_bits(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits >> 16) & 0x8000) as u16 | round_to_even(bits & 0x7FFF_FFFF, 16) as u16
}

/// `value / 2^dropped`, to nearest, ties to even.
fn round_to_even(value: u32, dropped: u32) -> u32 {
    let (kept, rest, half) = (value >> dropped, value & ((1 << dropped) - 1), 1 << (dropped - 1));
    kept + u32::from(rest > half || (rest == half && kept & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The `half` crate is an independent implementation of the same rounding.
    #[test]
    fn rounding_agrees_with_an_independent_implementation() {
        for i in 0..(1u32 << 20) {
            let x = f32::from_bits(i.wrapping_mul(4099));
            if x.is_nan() {
                assert!(f16_to_f64(f32_to_f16_bits(x)).is_nan());
                assert!(half::bf16::from_bits(f32_to_bf16_bits(x)).is_nan());
                continue;
            }
            assert_eq!(f32_to_f16_bits(x), half::f16::from_f32(x).to_bits(), "f16 of {x:e}");
            assert_eq!(f32_to_bf16_bits(x), half::bf16::from_f32(x).to_bits(), "bf16 of {x:e}");
        }
    }

    #[test]
    fn ties_and_edges() {
        for (x, bits) in [(2049.0, 0x6800), (2051.0, 0x6802), (65519.9, 0x7BFF), (65520.0, 0x7C00), (1e-8, 0)] {
            assert_eq!(f32_to_f16_bits(x), bits, "{x}");
        }
        assert_eq!(f32_to_f16_bits(-0.0), 0x8000);
        assert_eq!(f32_to_bf16_bits(f32::MAX), 0x7F80);
    }

    #[test]
    fn every_f16_survives_the_round_trip() {
        for bits in 0..=u16::MAX {
            let x = f16_to_f64(bits);
            assert_eq!(x.is_nan(), half::f16::from_bits(bits).is_nan());
            if !x.is_nan() {
                assert_eq!(x, half::f16::from_bits(bits).to_f64());
                assert_eq!(encode(DType::F16, x), u64::from(bits));
            }
        }
    }

    #[test]
    fn logical_order_follows_strides() {
        let desc = TensorDesc::strided(DType::U8, &[2, 3], &[1, 2]).unwrap();
        assert_eq!(read_logical(&desc, &[0, 1, 2, 3, 4, 5]).unwrap(), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        assert!(read_logical(&desc, &[0; 5]).is_none());
    }
}
