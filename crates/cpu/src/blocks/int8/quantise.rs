//! Activations as 8-bit integers: one scale, the largest magnitude over 127, for each block of the
//! weight that they meet.

use super::{Activations, LANES, PART};
use crate::simd::simd_fn;

/// Below this largest magnitude the scale would not be a normal number: all codes are 0.
const SMALLEST: f32 = 127.0 * f32::MIN_POSITIVE;
/// A number whose last bit stands for 1: adding it rounds to the nearest integer, ties to even.
const ROUNDER: f32 = 12_582_912.0;

simd_fn! {
    /// Rounds `x`, whose blocks have `block` elements (32 or 256), for weights whose codes are around
    /// `zero`. There are as many parts in `to` as `x` fills, the last one perhaps in part.
    ///
    /// A block with a number that is not finite has the scale NaN, and so has every product with it.
    pub(crate) fn quantise(x: &[f32], block: usize, zero: i32, to: &mut [Activations]) = body
}

#[inline(always)]
fn body<const FMA: bool>(x: &[f32], block: usize, zero: i32, to: &mut [Activations]) {
    for (x, to) in x.chunks(PART).zip(to) {
        if x.len() < PART {
            *to = Activations::ZERO;
        }
        for (b, x) in x.chunks(block).enumerate() {
            let first = b * block / LANES;
            let (scale, inverse) = scale(x);
            for (g, x) in x.as_chunks::<LANES>().0.iter().enumerate() {
                let l = first + g;
                let mut codes = [0i8; LANES];
                for (code, x) in codes.iter_mut().zip(x) {
                    *code = (x * inverse + ROUNDER).to_bits() as i8;
                }
                let sum: i32 = codes.iter().map(|&c| i32::from(c)).sum();
                (to.scale[l], to.start[l], to.sum[l]) = (scale, -zero * sum, scale * sum as f32);
                for (four, to) in codes.as_chunks::<4>().0.iter().zip(to.code.chunks_exact_mut(4 * LANES)) {
                    to[4 * l..4 * l + 4].copy_from_slice(four);
                }
            }
        }
    }
}

/// The scale of a block, and what its elements are multiplied with.
#[inline(always)]
fn scale(x: &[f32]) -> (f32, f32) {
    let (mut largest, mut finite) = ([0f32; LANES], [true; LANES]);
    for x in x.as_chunks::<LANES>().0 {
        for (l, &x) in x.iter().enumerate() {
            largest[l] = largest[l].max(x.abs());
            finite[l] &= x.abs() <= f32::MAX;
        }
    }
    let largest = largest.iter().fold(0f32, |a, &b| a.max(b));
    if finite.contains(&false) {
        (f32::NAN, 0.0)
    } else if largest < SMALLEST {
        (0.0, 0.0)
    } else {
        (largest / 127.0, 127.0 / largest)
    }
}
