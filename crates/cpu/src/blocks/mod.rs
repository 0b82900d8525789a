//! Block formats on the CPU: unpacking, packing, and dot products with packed rows.
//!
//! Every format unpacks to the same thing, signed byte codes with a factor and an offset per 16
//! elements, so one loop decodes and one loop multiplies whatever the format. The layouts are those
//! of `docs/quantisation.md`.

#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod direct;
mod dot;
pub(crate) mod int8;
mod pack;
mod unpack;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use dot::{ROWS, decode, dots};
pub(crate) use pack::pack;

/// Elements of the largest block.
pub(crate) const MAX_BLOCK: usize = 256;
/// Elements that share a factor and an offset.
const GROUP: usize = 16;

/// A block as codes: element `i` is `factor[i / 16]·code[i] + offset[i / 16]`. The product is exact
/// in f32, so the sum is rounded once, fused or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Codes {
    code: [i8; MAX_BLOCK],
    factor: [f32; MAX_BLOCK / GROUP],
    offset: [f32; MAX_BLOCK / GROUP],
}

impl Codes {
    const ZERO: Codes =
        Codes { code: [0; MAX_BLOCK], factor: [0.0; MAX_BLOCK / GROUP], offset: [0.0; MAX_BLOCK / GROUP] };
}

/// The values that the codes of iq4_nl and iq4_xs stand for.
const IQ4: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// E2M1 numbers, doubled.
const E2M1: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Simd;
    use unisono_core::DType;

    /// Two rows of blocks with every byte value somewhere, and finite scales.
    fn rows(dtype: DType) -> (Vec<u8>, usize) {
        let k = 1024;
        let bytes = dtype.bytes_for(2 * k).unwrap() as usize;
        // Bytes below 0x7C as the upper half of an f16 are never an exponent of all ones.
        ((0..bytes).map(|i| ((i * 73 + i / 251) % 256) as u8 & 0xBB).collect(), k)
    }

    #[test]
    fn vector_code_and_plain_code_unpack_alike() {
        for dtype in DType::BLOCKS {
            let (bytes, k) = rows(dtype);
            let decoded = |simd| {
                let mut values = vec![0f32; 2 * k];
                // SAFETY: there are two rows of `k` elements.
                unsafe { decode(simd, dtype, bytes.as_ptr(), &mut values) };
                values.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            let plain = decoded(Simd::Portable);
            for simd in Simd::all() {
                assert_eq!(decoded(simd), plain, "{dtype} {simd:?}");
            }
        }
    }

    #[test]
    fn dot_products_are_those_of_the_decoded_row() {
        for dtype in DType::BLOCKS {
            let (bytes, k) = rows(dtype);
            let row = &bytes[bytes.len() / 2..];
            let x: Vec<f32> = (0..ROWS * k).map(|i| ((i * 37 % 101) as f32 - 50.0) / 32.0).collect();
            let mut decoded = vec![0f32; k];
            // SAFETY: the row has `k` elements, and so has each of the vectors.
            unsafe { decode(Simd::Portable, dtype, row.as_ptr(), &mut decoded) };
            for simd in Simd::all() {
                for n in 1..=ROWS {
                    // SAFETY: as above.
                    let sums = unsafe { dots(simd, (dtype, row.as_ptr()), (x.as_ptr(), k, n), k) };
                    for (r, sum) in sums.into_iter().enumerate() {
                        let products = || decoded.iter().zip(&x[r * k..]).map(|(&w, &x)| f64::from(w) * f64::from(x));
                        let (exact, size) = (products().sum::<f64>(), products().map(f64::abs).sum::<f64>());
                        let expected = if r < n { exact } else { 0.0 };
                        let error = (f64::from(sum) - expected).abs();
                        assert!(error <= 1e-5 * size, "{dtype} {simd:?} {n}: sum {r} is {sum}, not {expected}");
                    }
                }
            }
        }
    }
}
