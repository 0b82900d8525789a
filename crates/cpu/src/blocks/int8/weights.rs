//! Blocks of a weight as parts of 256 unsigned codes with a factor for each lane.
//!
//! Any format is unpacked as for f32 products, which gives signed codes in the order of the elements, and put
//! into the order of the lanes. With AVX-512 the common ones have code of their own.

use unisono_core::DType;

use super::super::Codes;
use super::super::dot::with_format;
use super::super::unpack::{self, Format};
use super::{Activations, Kind, LANES, Level, PART, ROWS, Weights};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512, parts};
use crate::simd::Simd;

/// Blocks of a part, at most.
const MOST_BLOCKS: usize = PART / 32;

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

/// Calls `f` with the blocks of a column that fill parts, and with the rest in one that zeros fill up: bytes of
/// zeros are blocks whose factors are zeros, or whose codes stand for them.
fn whole_parts(dtype: DType, bytes: &[u8], mut f: impl FnMut(&[u8])) {
    let per_part = PART / dtype.block_elements() * dtype.block_bytes();
    let (whole, rest) = bytes.split_at(bytes.len() / per_part * per_part);
    f(whole);
    if !rest.is_empty() {
        let mut last = [0; MOST_BLOCKS * 34];
        last[..rest.len()].copy_from_slice(rest);
        f(&last[..per_part]);
    }
}

/// Unpacks the blocks `bytes` into as many parts as they fill. What the last part has beyond them gives zeros.
pub(crate) fn unpack((simd, level): (Simd, Level), dtype: DType, bytes: &[u8], to: &mut [Weights]) {
    let (mut to, zero) = (to, kind(dtype).zero());
    whole_parts(dtype, bytes, |bytes| {
        let parts = bytes.len() * dtype.block_elements() / dtype.block_bytes() / PART;
        let (some, rest) = std::mem::take(&mut to).split_at_mut(parts);
        to = rest;
        #[cfg(target_arch = "x86_64")]
        if reads_blocks(level, dtype) {
            // SAFETY: the level exists only where the processor has AVX-512 with VNNI.
            return unsafe { parts::unpack(dtype, bytes, some) };
        }
        let _ = level;
        with_format!(dtype, F => unpack_all::<F>(simd, bytes, zero, some), {});
    });
}

/// Whether [`dots_of_blocks`] exists.
pub(crate) fn reads_blocks(level: Level, dtype: DType) -> bool {
    #[cfg(target_arch = "x86_64")]
    if level == Level::Avx512 {
        return parts::has_own(dtype);
    }
    let _ = (level, dtype);
    false
}

/// The dot products of the column `bytes` with `rows ≤ ROWS` rows of activations, without parts in memory: for few
/// rows. Zeros where [`reads_blocks`] denies it.
///
/// # Safety
/// Each row has as many parts as the column fills, `parts` after the one before.
pub(crate) unsafe fn dots_of_blocks(
    level: Level,
    dtype: DType,
    bytes: &[u8],
    (x, rows): (*const Activations, usize),
    parts: usize,
) -> [f32; ROWS] {
    let mut sums = [0.0; ROWS];
    #[cfg(target_arch = "x86_64")]
    if reads_blocks(level, dtype) {
        let mut x = x;
        whole_parts(dtype, bytes, |bytes| {
            // SAFETY: passed on; the level exists only where the processor has AVX-512 with VNNI.
            let some = unsafe { avx512::dots_of_blocks(kind(dtype), (dtype, bytes), (x, rows), parts) };
            sums.iter_mut().zip(some).for_each(|(sum, more)| *sum += more);
            x = x.wrapping_add(bytes.len() * dtype.block_elements() / dtype.block_bytes() / PART);
        });
    }
    let _ = (level, dtype, bytes, x, rows, parts);
    sums
}

fn unpack_all<F: Format>(simd: Simd, bytes: &[u8], zero: u8, to: &mut [Weights]) {
    #[cfg(target_arch = "x86_64")]
    if simd.has_avx2() {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn with_avx2<F: Format>(bytes: &[u8], zero: u8, to: &mut [Weights]) {
            each_part::<F, true>(bytes, to, |codes, to| avx2::in_lanes(|l| codes_of_lane::<F>(codes, l), zero, to));
        }
        // SAFETY: levels with AVX2 exist only where the processor has these features.
        return unsafe { with_avx2::<F>(bytes, zero, to) };
    }
    let _ = simd;
    each_part::<F, false>(bytes, to, |codes, to| {
        for l in 0..LANES {
            let codes = codes_of_lane::<F>(codes, l).as_chunks::<4>().0;
            for (four, to) in codes.iter().zip(to.code.chunks_exact_mut(4 * LANES)) {
                to[4 * l..4 * l + 4].copy_from_slice(&four.map(|c| c.cast_unsigned().wrapping_add(zero)));
            }
        }
    });
}

/// Unpacks part by part: factors and offsets to where they belong; `order` does that with the codes of the blocks.
#[inline(always)]
fn each_part<F: Format, const FMA: bool>(
    bytes: &[u8],
    to: &mut [Weights],
    mut order: impl FnMut(&[Codes; MOST_BLOCKS], &mut Weights),
) {
    let lanes = F::ELEMENTS / LANES;
    let mut codes = [Codes::ZERO; MOST_BLOCKS];
    for (bytes, to) in bytes.chunks_exact(PART / F::ELEMENTS * F::BYTES).zip(to) {
        for (b, (block, codes)) in bytes.chunks_exact(F::BYTES).zip(&mut codes).enumerate() {
            F::unpack::<FMA>(block, codes);
            to.factor[b * lanes..(b + 1) * lanes].copy_from_slice(&codes.factor[..lanes]);
            // Offsets that a format does not have stay those of `ZERO`.
            to.offset[b * lanes..(b + 1) * lanes].copy_from_slice(&codes.offset[..lanes]);
        }
        order(&codes, to);
    }
}

/// The codes of lane `l`, in the blocks where they were unpacked: to move them would take loads of what was stored in
/// smaller pieces, for which processors wait.
#[inline(always)]
fn codes_of_lane<F: Format>(codes: &[Codes; MOST_BLOCKS], l: usize) -> &[i8; LANES] {
    let lanes = F::ELEMENTS / LANES;
    codes[l / lanes].code[l % lanes * LANES..].first_chunk().unwrap_or(&[0; LANES])
}
