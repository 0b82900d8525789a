//! Block formats as numbers, in f64: element by element, by the formulas of `docs/quantisation.md`.
//!
//! Written for the oracle alone and as plainly as the page says it; nothing here is shared with a
//! backend.

use unisono_core::DType;

use super::convert::f16_to_f64;

/// The values that the codes of iq4_nl and iq4_xs stand for.
const IQ4: [f64; 16] =
    [-127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0];

/// The magnitudes of E2M1.
pub(crate) const E2M1: [f64; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];

/// Appends the elements of one block.
pub(super) fn decode_block(dtype: DType, block: &[u8], values: &mut Vec<f64>) {
    values.extend((0..dtype.block_elements()).map(|i| element(dtype, block, i)));
}

/// The f16 at byte `at`.
fn half(b: &[u8], at: usize) -> f64 {
    f16_to_f64(u16::from_le_bytes([b[at], b[at + 1]]))
}

/// `count` bits of byte `b` from bit `from` on.
fn bits(b: u8, from: usize, count: usize) -> u32 {
    u32::from(b) >> from & ((1 << count) - 1)
}

/// The nibble of element `i` where the low nibbles of 16 bytes come first.
fn nibble(qs: &[u8], i: usize) -> u32 {
    bits(qs[i % 16], i / 16 * 4, 4)
}

/// 2^(e − 127); 255 is no number.
pub(crate) fn e8m0(e: u8) -> f64 {
    if e == 255 { f64::NAN } else { f64::from_bits((u64::from(e) + 1023 - 127) << 52) }
}

/// Scale and minimum of group `g` in q4_k and q5_k.
fn scale_and_min(s: &[u8], g: usize) -> (f64, f64) {
    let (scale, min) = if g < 4 {
        (bits(s[g], 0, 6), bits(s[g + 4], 0, 6))
    } else {
        (
            bits(s[g + 4], 0, 4) | bits(s[g - 4], 6, 2) << 4, //
            bits(s[g + 4], 4, 4) | bits(s[g], 6, 2) << 4,
        )
    };
    (f64::from(scale), f64::from(min))
}

fn element(dtype: DType, b: &[u8], i: usize) -> f64 {
    // The position of an element of a K-quant: half, quarter of the half, place in the quarter.
    let (h, j, l) = (i / 128, i / 32 % 4, i % 32);
    match dtype {
        DType::Q4_0 => half(b, 0) * (f64::from(nibble(&b[2..], i)) - 8.0),
        DType::Q4_1 => half(b, 0) * f64::from(nibble(&b[4..], i)) + half(b, 2),
        DType::Q5_0 => {
            let q = nibble(&b[6..], i) | bits(b[2 + i / 8], i % 8, 1) << 4;
            half(b, 0) * (f64::from(q) - 16.0)
        }
        DType::Q5_1 => {
            let q = nibble(&b[8..], i) | bits(b[4 + i / 8], i % 8, 1) << 4;
            half(b, 0) * f64::from(q) + half(b, 2)
        }
        DType::Q8_0 => half(b, 0) * f64::from(b[2 + i] as i8),
        DType::Q2K => {
            let q = bits(b[16 + 32 * h + l], 2 * j, 2);
            let group = b[i / 16];
            half(b, 80) * f64::from(bits(group, 0, 4)) * f64::from(q) - half(b, 82) * f64::from(bits(group, 4, 4))
        }
        DType::Q3K => {
            let q = bits(b[32 + 32 * h + l], 2 * j, 2) | bits(b[l], 4 * h + j, 1) << 2;
            let (g, s) = (i / 16, &b[96..108]);
            let scale = bits(s[g % 8], g / 8 * 4, 4) | bits(s[8 + g % 4], g / 4 * 2, 2) << 4;
            half(b, 108) * (f64::from(scale) - 32.0) * (f64::from(q) - 4.0)
        }
        DType::Q4K => {
            let (scale, min) = scale_and_min(&b[4..16], i / 32);
            let q = bits(b[16 + i / 64 * 32 + l], i / 32 % 2 * 4, 4);
            half(b, 0) * scale * f64::from(q) - half(b, 2) * min
        }
        DType::Q5K => {
            let (scale, min) = scale_and_min(&b[4..16], i / 32);
            let q = bits(b[48 + i / 64 * 32 + l], i / 32 % 2 * 4, 4) | bits(b[16 + l], i / 32, 1) << 4;
            half(b, 0) * scale * f64::from(q) - half(b, 2) * min
        }
        DType::Q6K => {
            let q = bits(b[64 * h + 32 * (j % 2) + l], j / 2 * 4, 4) | bits(b[128 + 32 * h + l], 2 * j, 2) << 4;
            half(b, 208) * f64::from(b[192 + i / 16] as i8) * (f64::from(q) - 32.0)
        }
        DType::Iq4Nl => half(b, 0) * IQ4[nibble(&b[2..], i) as usize],
        DType::Iq4Xs => {
            let g = i / 32;
            let scale = bits(b[4 + g / 2], g % 2 * 4, 4) | bits(b[2 + g / 4], g % 4 * 2, 2) << 4;
            half(b, 0) * (f64::from(scale) - 32.0) * IQ4[nibble(&b[8 + 16 * g..], l) as usize]
        }
        DType::Mxfp4 => {
            let q = nibble(&b[1..], i);
            let sign = if q < 8 { 1.0 } else { -1.0 };
            sign * e8m0(b[0]) * E2M1[q as usize % 8]
        }
        // Plain types have no blocks.
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(dtype: DType, block: &[u8]) -> Vec<f64> {
        let mut values = Vec::new();
        decode_block(dtype, block, &mut values);
        values
    }

    #[test]
    fn blocks_by_hand() {
        let mut b = vec![0u8; 18];
        (b[1], b[2], b[17]) = (0x3C, 0x1F, 0xA0);
        let x = decoded(DType::Q4_0, &b);
        assert_eq!([x[0], x[16], x[15], x[31], x[1]], [7.0, -7.0, -8.0, 2.0, -8.0]);
        let table = decoded(DType::Iq4Nl, &b);
        assert_eq!([table[0], table[16]], [113.0, -104.0]);

        let mut b = vec![0u8; 17];
        (b[0], b[1]) = (128, 0x9F);
        let x = decoded(DType::Mxfp4, &b);
        assert_eq!([x[0], x[16], x[1]], [-12.0, -1.0, 0.0]);
        assert!(decoded(DType::Mxfp4, &[0xFF; 17])[0].is_nan());

        // d = 1, dmin = 2; scale 33 and minimum 5 in group 6, code 11 in its first element.
        let mut b = vec![0u8; 144];
        (b[1], b[3]) = (0x3C, 0x40);
        b[4 + 10] = 1 | 5 << 4;
        b[4 + 2] = 2 << 6;
        b[16 + 96] = 11;
        let x = decoded(DType::Q4K, &b);
        assert_eq!([x[192], x[193], x[0]], [353.0, -10.0, 0.0]);

        // d = 1; scale 3 in group 9 (first sixteen after 128 + 16), code 63 there.
        let mut b = vec![0u8; 210];
        b[209] = 0x3C;
        b[192 + 9] = 3;
        b[64 + 16] = 0x0F;
        b[128 + 32 + 16] = 3;
        let x = decoded(DType::Q6K, &b);
        assert_eq!([x[144], x[145], x[0]], [93.0, -96.0, 0.0]);
    }
}
