//! Blocks of a weight as parts of 256 unsigned codes with a factor for each lane.
//!
//! Any format is unpacked as for f32 products, which gives signed codes in the order of the elements, and put
//! into the order of the lanes. With AVX-512 the common ones have code of their own.

use unisono_core::DType;

use super::super::Codes;
use super::super::dot::with_format;
use super::super::unpack::{self, Format};
#[cfg(target_arch = "x86_64")]
use super::parts;
use super::{Kind, LANES, Level, PART, Weights};
use crate::simd::Simd;

/// What a format has beside codes and factors.
pub(crate) fn kind(dtype: DType) -> Kind {
    match dtype {
        DType::Q4_0 => Kind::Centred(8),
        DType::Q5_0 => Kind::Centred(16),
        DType::Q3K => Kind::Centred(4),
        DType::Q6K => Kind::Centred(32),
        // Signed codes with all eight bits.
        DType::Q8_0 | DType::Iq4Nl | DType::Iq4Xs | DType::Mxfp4 => Kind::Centred(128),
        _ => Kind::Offset,
    }
}

/// Unpacks the blocks at `from`, `elements` of them (a whole number of blocks), into as many parts as they fill.
/// What the last part has beyond them gives zeros.
///
/// # Safety
/// The blocks are readable.
pub(crate) unsafe fn unpack(
    (simd, level): (Simd, Level),
    dtype: DType,
    from: *const u8,
    elements: usize,
    to: &mut [Weights],
) {
    let per_part = PART / dtype.block_elements() * dtype.block_bytes();
    // SAFETY: the caller's promise.
    let bytes = unsafe { std::slice::from_raw_parts(from, elements / dtype.block_elements() * dtype.block_bytes()) };
    let mut last = [0; PART / 32 * 34];
    let (whole, rest) = bytes.split_at(bytes.len() / per_part * per_part);
    let last = &mut last[..if rest.is_empty() { 0 } else { per_part }];
    if !rest.is_empty() {
        // Bytes of zeros are blocks whose factors are zeros, or whose codes stand for zeros.
        last[..rest.len()].copy_from_slice(rest);
    }
    let (to, end) = to.split_at_mut(whole.len() / per_part);
    for (bytes, to) in [(whole, to), (last, end)] {
        #[cfg(target_arch = "x86_64")]
        if level == Level::Avx512 {
            // SAFETY: the level exists only where the processor has AVX-512.
            unsafe {
                if !parts::unpack(dtype, bytes, to) {
                    with_format!(dtype, F => parts::unpack_any::<F>(bytes, kind(dtype).zero(), to), {});
                }
            }
            continue;
        }
        let _ = level;
        with_format!(dtype, F => unpack_all::<F>(simd, bytes, kind(dtype).zero(), to), {});
    }
}

fn unpack_all<F: Format>(simd: Simd, bytes: &[u8], zero: u8, to: &mut [Weights]) {
    #[cfg(target_arch = "x86_64")]
    if simd.has_avx2() {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn avx2<F: Format>(bytes: &[u8], zero: u8, to: &mut [Weights]) {
            body::<F, true>(bytes, zero, to);
        }
        // SAFETY: levels with AVX2 exist only where the processor has these features.
        return unsafe { avx2::<F>(bytes, zero, to) };
    }
    let _ = simd;
    body::<F, false>(bytes, zero, to);
}

#[inline(always)]
fn body<F: Format, const FMA: bool>(bytes: &[u8], zero: u8, to: &mut [Weights]) {
    let mut codes = Codes::ZERO;
    for (bytes, to) in bytes.chunks_exact(PART / F::ELEMENTS * F::BYTES).zip(to) {
        for (b, block) in bytes.chunks_exact(F::BYTES).enumerate() {
            F::unpack::<FMA>(block, &mut codes);
            let first = b * F::ELEMENTS / LANES;
            for (g, codes) in codes.code[..F::ELEMENTS].chunks_exact(LANES).enumerate() {
                for (four, to) in codes.as_chunks::<4>().0.iter().zip(to.code.chunks_exact_mut(4 * LANES)) {
                    let at = 4 * (first + g);
                    to[at..at + 4].copy_from_slice(&four.map(|c| c.cast_unsigned().wrapping_add(zero)));
                }
            }
            let lanes = first..first + F::ELEMENTS / LANES;
            to.factor[lanes.clone()].copy_from_slice(&codes.factor[..F::ELEMENTS / LANES]);
            // Offsets that a format does not have stay those of `ZERO`.
            to.offset[lanes].copy_from_slice(&codes.offset[..F::ELEMENTS / LANES]);
        }
    }
}
