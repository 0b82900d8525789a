//! Rows of blocks decoded to f32, and their dot products with a few vectors.
//!
//! A dot product never writes the decoded row anywhere: it unpacks a block to codes on the stack and
//! multiplies from there, so a weight is read once and the time is that of memory or of the
//! unpacking, whichever is longer.

use unisono_core::DType;

use super::unpack::{self, Format};
use super::{Codes, GROUP};
#[cfg(target_arch = "x86_64")]
use super::{avx512, direct, x86};
use crate::simd::Simd;

/// How many vectors one call serves.
pub(crate) const ROWS: usize = 8;
/// How many of them share a pass over a row where registers are sixteen.
const HALF_ROWS: usize = 4;
/// Sums that run side by side, in elements: hides the latency of additions.
const LANES: usize = 32;

/// Runs `$call` with `$format` bound to the type of the format.
macro_rules! with_format {
    ($dtype:expr, $format:ident => $call:expr, $other:expr) => {
        match $dtype {
            DType::Q4_0 => {
                type $format = unpack::Q40;
                $call
            }
            DType::Q4_1 => {
                type $format = unpack::Q41;
                $call
            }
            DType::Q5_0 => {
                type $format = unpack::Q50;
                $call
            }
            DType::Q5_1 => {
                type $format = unpack::Q51;
                $call
            }
            DType::Q8_0 => {
                type $format = unpack::Q80;
                $call
            }
            DType::Q2K => {
                type $format = unpack::Q2K;
                $call
            }
            DType::Q3K => {
                type $format = unpack::Q3K;
                $call
            }
            DType::Q4K => {
                type $format = unpack::Q4K;
                $call
            }
            DType::Q5K => {
                type $format = unpack::Q5K;
                $call
            }
            DType::Q6K => {
                type $format = unpack::Q6K;
                $call
            }
            DType::Iq4Nl => {
                type $format = unpack::Iq4Nl;
                $call
            }
            DType::Iq4Xs => {
                type $format = unpack::Iq4Xs;
                $call
            }
            DType::Mxfp4 => {
                type $format = unpack::Mxfp4;
                $call
            }
            _ => $other,
        }
    };
}
pub(super) use with_format;

/// Decodes the blocks at `from` into `to`, whose length is a whole number of blocks.
///
/// # Safety
/// The blocks are readable.
pub(crate) unsafe fn decode(simd: Simd, dtype: DType, from: *const u8, to: &mut [f32]) {
    let blocks = to.len() / dtype.block_elements();
    // SAFETY: the caller's promise.
    let bytes = unsafe { std::slice::from_raw_parts(from, blocks * dtype.block_bytes()) };
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx512 {
        // SAFETY: the level exists only where the processor has AVX-512.
        return unsafe { avx512::decode(dtype, bytes, to) };
    }
    with_format!(dtype, F => decode_row::<F>(simd, bytes, to), {});
}

fn decode_row<F: Format>(simd: Simd, from: &[u8], to: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if simd.has_avx2() {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn avx2<F: Format>(from: &[u8], to: &mut [f32]) {
            decode_body::<F, true>(from, to);
        }
        // SAFETY: levels with AVX2 exist only where the processor has these features.
        return unsafe { avx2::<F>(from, to) };
    }
    let _ = simd;
    decode_body::<F, false>(from, to);
}

#[inline(always)]
fn decode_body<F: Format, const FMA: bool>(from: &[u8], to: &mut [f32]) {
    let mut codes = Codes::ZERO;
    for (b, to) in from.chunks_exact(F::BYTES).zip(to.chunks_exact_mut(F::ELEMENTS)) {
        F::unpack::<FMA>(b, &mut codes);
        for (g, to) in to.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
            let (factor, offset) = (codes.factor[g], codes.offset[g]);
            for (to, &code) in to.iter_mut().zip(&codes.code[GROUP * g..]) {
                // An offset of zero is not added: −0 stays −0.
                let product = factor * f32::from(code);
                *to = if F::CENTRED { product } else { product + offset };
            }
        }
    }
}

/// The dot products of the row of blocks at `w` (`k` elements) with the `rows ≤ ROWS` vectors that
/// start at `x`, `ldx` apart; zeros for those that are not there.
///
/// # Safety
/// The blocks and the vectors are readable.
pub(crate) unsafe fn dots(
    simd: Simd,
    (dtype, w): (DType, *const u8),
    (x, ldx, rows): (*const f32, usize, usize),
    k: usize,
) -> [f32; ROWS] {
    debug_assert!(rows <= ROWS);
    let mut sums = [0.0; ROWS];
    // SAFETY: the caller's promise; a level exists only where the processor has its features.
    unsafe {
        let w = std::slice::from_raw_parts(w, k / dtype.block_elements() * dtype.block_bytes());
        #[cfg(target_arch = "x86_64")]
        if simd == Simd::Avx512 && (rows > 1 || avx512::gains_alone(dtype)) {
            return avx512::dot_rows(dtype, w, (x, ldx, rows));
        }
        #[cfg(target_arch = "x86_64")]
        if simd.has_avx2()
            && rows == 1
            && let Some(sum) = direct::dot_row(dtype, w, x)
        {
            sums[0] = sum;
            return sums;
        }
        for first in (0..rows).step_by(HALF_ROWS) {
            let x = x.add(first * ldx);
            let to = &mut sums[first..rows.min(first + HALF_ROWS)];
            with_format!(dtype, F => match to.len() {
                1 => to.copy_from_slice(&dot_row::<F, 1>(simd, w, x, ldx)),
                2 => to.copy_from_slice(&dot_row::<F, 2>(simd, w, x, ldx)),
                3 => to.copy_from_slice(&dot_row::<F, 3>(simd, w, x, ldx)),
                _ => to.copy_from_slice(&dot_row::<F, 4>(simd, w, x, ldx)),
            }, {});
        }
    }
    sums
}

/// # Safety
/// `N` vectors of as many elements as `w` has are readable from `x` on.
unsafe fn dot_row<F: Format, const N: usize>(simd: Simd, w: &[u8], x: *const f32, ldx: usize) -> [f32; N] {
    // SAFETY: the caller's promise; levels with AVX2 exist only where the processor has it.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if simd.has_avx2() {
            return x86::dot_row::<F, N>(w, x, ldx);
        }
        let _ = simd;
        dot_body::<F, N>(w, x, ldx)
    }
}

/// # Safety
/// As [`dot_row`].
#[inline(always)]
unsafe fn dot_body<F: Format, const N: usize>(w: &[u8], x: *const f32, ldx: usize) -> [f32; N] {
    let mut codes = Codes::ZERO;
    let mut sums = [[0f32; LANES]; N];
    for (b, block) in w.chunks_exact(F::BYTES).enumerate() {
        F::unpack::<false>(block, &mut codes);
        for part in 0..F::ELEMENTS / LANES {
            let mut wide = [0f32; LANES];
            for (i, wide) in wide.iter_mut().enumerate() {
                let g = part * (LANES / GROUP) + i / GROUP;
                let product = codes.factor[g] * f32::from(codes.code[part * LANES + i]);
                *wide = if F::CENTRED { product } else { product + codes.offset[g] };
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                // SAFETY: vector `r` has an element for each of the row.
                let x = unsafe { std::slice::from_raw_parts(x.add(r * ldx + b * F::ELEMENTS + part * LANES), LANES) };
                for (sum, (&w, &x)) in sums.iter_mut().zip(wide.iter().zip(x)) {
                    *sum += w * x;
                }
            }
        }
    }
    sums.map(|sums| sums.iter().sum())
}
