//! Softmax over rows, with the masks of attention. The largest score is subtracted first, so
//! nothing overflows; a row that sees nothing gives zeros.

use unisono_core::op::Softmax;
use unisono_core::{DType, Op};

use super::{BLOCK, Launch};
use crate::scratch::with_scratch;
use crate::simd::convert::Run;
use crate::simd::{Simd, math, reduce};
use crate::view::{Nest, View, split};

/// Adds a mask to scores; a boolean one hides where it is false.
///
/// # Safety
/// The mask has as many readable elements.
pub(crate) unsafe fn add_mask(simd: Simd, scores: &mut [f32], mask: Run) {
    if mask.dtype == DType::Bool {
        for (i, score) in scores.iter_mut().enumerate() {
            // SAFETY: the caller's promise; an element has one byte.
            if unsafe { mask.ptr.add(i * mask.stride).read() } == 0 {
                *score = f32::NEG_INFINITY;
            }
        }
        return;
    }
    let mut buffer = [0f32; BLOCK];
    for (i, block) in scores.chunks_mut(BLOCK).enumerate() {
        // SAFETY: the caller's promise.
        let mask = unsafe { mask.skip(i * BLOCK).as_f32(simd, block.len(), &mut buffer) };
        // −∞ masks whatever the score is, an infinite one included.
        block.iter_mut().zip(mask).for_each(|(s, &m)| *s = if m == f32::NEG_INFINITY { m } else { *s + m });
    }
}

/// Turns scores (−∞ where masked) into probabilities or their logarithms in place.
fn normalise(simd: Simd, scores: &mut [f32], sink: Option<f32>, log: Option<f32>) {
    let max = reduce::max(simd, scores);
    if max == f32::NEG_INFINITY {
        return scores.fill(log.unwrap_or(0.0));
    }
    let max = sink.map_or(max, |s| max.max(s));
    let sunk = sink.map_or(0.0, |s| math::exp::<false>(s - max));
    let Some(lowest) = log else {
        let sum = math::exp_minus(simd, scores, max) + sunk;
        return reduce::scale_by(simd, scores, 1.0 / sum);
    };
    let sum: f32 = scores
        .chunks(BLOCK)
        .map(|block| {
            let mut e = [0f32; BLOCK];
            e[..block.len()].copy_from_slice(block);
            math::exp_minus(simd, &mut e[..block.len()], max)
        })
        .sum();
    let log_sum = (sum + sunk).ln();
    scores.iter_mut().for_each(|z| *z = if *z == f32::NEG_INFINITY { lowest } else { (*z - max) - log_sum });
}

/// Probabilities of the scores `x·scale`, which stay where they are: a row that is not copied first costs a pass
/// less, and its place in `y` is written only once its largest score is known.
fn scores_of(simd: Simd, x: &[f32], scale: f32, sink: Option<f32>, y: &mut [f32]) {
    let max = reduce::max(simd, x) * scale;
    if max == f32::NEG_INFINITY {
        return y.fill(0.0);
    }
    let max = sink.map_or(max, |s| max.max(s));
    let sunk = sink.map_or(0.0, |s| math::exp::<false>(s - max));
    let sum = math::exp_scaled(simd, x, scale, max, y) + sunk;
    reduce::scale_by(simd, y, 1.0 / sum);
}

/// What a masked element of a log_softmax is.
fn lowest(dtype: DType) -> f32 {
    match dtype {
        DType::F16 => -65504.0,
        DType::BF16 => f32::from_bits(0xff7f_0000),
        _ => f32::MIN,
    }
}

/// The elements of a row that take part before any mask.
fn seen(op: &Softmax, limit: usize) -> [usize; 2] {
    [op.window.map_or(0, |w| limit.saturating_sub(w as usize)), limit]
}

/// One row at a time: `x [mask] [limits] [sinks] -> y`.
pub(crate) fn softmax(launch: &Launch<'_>) {
    let Op::Softmax(s) = *launch.op else { return };
    let (x, y, simd) = (&launch.inputs[0], &launch.outputs[0], launch.simd);
    let at = s.inputs();
    let input = |i: Option<usize>| i.and_then(|i| launch.inputs.get(i));
    let (mask, limits, sinks) = (input(at.mask), input(at.limits), input(at.sinks));
    let rows = y.desc.rank() - 1;
    let n = y.size(rows);
    let other = |v: Option<&View>| v.map_or(x.desc.strides, |v| v.desc.strides);
    let (m, l, k) = (other(mask), other(limits), other(sinks));
    let strides = [&x.desc.strides[..rows], &m[..rows], &l[..rows], &k[..rows], &y.desc.strides[..rows]];
    let nest = Nest::in_order(&y.desc.shape[..rows], strides);
    let log = s.log.then(|| lowest(y.dtype()));
    // An exponential costs several times what a plain element does.
    split(launch.pool, nest.elements(), 4 * n, &|units| {
        with_scratch(n, |scores| {
            nest.for_each(units, |[xo, mo, lo, ko, yo]| {
                // SAFETY: `lo` addresses an element of `limits`, which is u32.
                let limit = limits.map_or(n, |l| unsafe { l.at(lo).cast::<u32>().read() } as usize).min(n);
                let [first, end] = seen(&s, limit);
                let sink = sinks.map(|k| {
                    let mut sink = [0f32];
                    // SAFETY: `ko` addresses an element of `sinks`.
                    unsafe { k.run(ko, 1).load(simd, &mut sink) };
                    sink[0]
                });
                let to = y.row(yo);
                let plain = to.dtype == DType::F32 && to.stride == 1;
                // SAFETY: the rows have `n` elements; a plain row of `y` is a slice of f32 that
                // only this task writes.
                unsafe {
                    let row = if plain { std::slice::from_raw_parts_mut(to.ptr.cast(), n) } else { &mut *scores };
                    let (from, visible) = (x.row(xo).skip(first), &mut row[first..end]);
                    if from.is_plain() && mask.is_none() && log.is_none() && s.scale.0 > 0.0 {
                        let from = std::slice::from_raw_parts(from.ptr.cast(), end - first);
                        scores_of(simd, from, s.scale.0, sink, visible);
                    } else {
                        from.load(simd, visible);
                        if s.scale.0 != 1.0 {
                            reduce::scale_by(simd, visible, s.scale.0);
                        }
                        if let Some(mask) = mask {
                            add_mask(simd, visible, mask.row(mo).skip(first));
                        }
                        normalise(simd, visible, sink, log);
                    }
                    row[..first].fill(log.unwrap_or(0.0));
                    row[end..].fill(log.unwrap_or(0.0));
                    if !plain {
                        to.store(simd, row);
                    }
                }
            });
        });
    });
}
