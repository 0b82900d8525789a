//! Softmax over rows, with the masks of attention. The largest score is subtracted first, so
//! nothing overflows; a row that sees nothing gives zeros.

use unisono_core::{DType, Op};

use super::{BLOCK, Launch};
use crate::scratch::with_scratch;
use crate::simd::convert::Run;
use crate::simd::{Simd, math, reduce};
use crate::view::{Nest, View, split};

/// Turns scores into probabilities in place.
pub(crate) fn normalise(simd: Simd, scores: &mut [f32]) {
    let max = reduce::max(simd, scores);
    if max == f32::NEG_INFINITY {
        return scores.fill(0.0);
    }
    let sum = math::exp_minus(simd, scores, max);
    reduce::scale_by(simd, scores, 1.0 / sum);
}

/// Adds a mask to scores.
///
/// # Safety
/// The mask has as many readable elements.
pub(crate) unsafe fn add_mask(simd: Simd, scores: &mut [f32], mask: Run) {
    let mut buffer = [0f32; BLOCK];
    for (i, block) in scores.chunks_mut(BLOCK).enumerate() {
        // SAFETY: the caller's promise.
        let mask = unsafe { mask.skip(i * BLOCK).as_f32(simd, block.len(), &mut buffer) };
        // −∞ masks whatever the score is, an infinite one included.
        block.iter_mut().zip(mask).for_each(|(s, &m)| *s = if m == f32::NEG_INFINITY { m } else { *s + m });
    }
}

/// One row at a time.
pub(crate) fn softmax(launch: &Launch<'_>) {
    let Op::Softmax(s) = *launch.op else { return };
    let (x, y, simd) = (&launch.inputs[0], &launch.outputs[0], launch.simd);
    let mut rest = launch.inputs[1..].iter();
    let mask: Option<&View> = if s.mask { rest.next() } else { None };
    let limits: Option<&View> = if s.limits { rest.next() } else { None };
    let rows = y.desc.rank() - 1;
    let n = y.size(rows);
    let other = |v: Option<&View>| v.map_or(x.desc.strides, |v| v.desc.strides);
    let (m, l) = (other(mask), other(limits));
    let strides = [&x.desc.strides[..rows], &m[..rows], &l[..rows], &y.desc.strides[..rows]];
    let nest = Nest::in_order(&y.desc.shape[..rows], strides);
    // An exponential costs several times what a plain element does.
    split(launch.pool, nest.elements(), 4 * n, &|units| {
        with_scratch(n, |scores| {
            nest.for_each(units, |[xo, mo, lo, yo]| {
                // SAFETY: `lo` addresses an element of `limits`, which is u32.
                let limit = limits.map_or(n, |l| unsafe { l.at(lo).cast::<u32>().read() } as usize).min(n);
                let to = y.row(yo);
                let plain = to.dtype == DType::F32 && to.stride == 1;
                // SAFETY: the rows have `n` elements; a plain row of `y` is a slice of f32 that
                // only this task writes.
                unsafe {
                    let row = if plain { std::slice::from_raw_parts_mut(to.ptr.cast(), n) } else { &mut *scores };
                    let (seen, unseen) = row.split_at_mut(limit);
                    x.row(xo).load(simd, seen);
                    if s.scale.0 != 1.0 {
                        reduce::scale_by(simd, seen, s.scale.0);
                    }
                    if let Some(mask) = mask {
                        add_mask(simd, seen, mask.row(mo));
                    }
                    normalise(simd, seen);
                    unseen.fill(0.0);
                    if !plain {
                        to.store(simd, row);
                    }
                }
            });
        });
    });
}
