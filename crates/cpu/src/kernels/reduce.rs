//! Sum, mean, maximum and the index of the maximum over one axis.
//!
//! Two shapes of work: `rows` reduces along the axis for one result at a time, `columns` reduces
//! many neighbouring results at once and so reads memory in order where the axis is not the
//! contiguous one.

use unisono_core::op::ReduceOp;
use unisono_core::{Op, TensorDesc};

use super::{BLOCK, Launch};
use crate::simd::reduce;
use crate::view::{Nest, View, split};

/// The loops over the results: every dimension but the axis.
fn results(x: &View, y: &View, axis: usize) -> Nest<2> {
    Nest::new(&y.desc.shape, [&x.desc.strides.with(axis, 0), &y.desc.strides])
}

/// Whether [`reduce_columns`] reads memory in order: the results lie along a contiguous dimension.
pub(crate) fn has_columns(x: &TensorDesc, axis: usize) -> bool {
    (0..x.rank()).any(|i| i != axis && x.strides[i] == 1 && x.shape[i] > 1)
}

fn finish(op: ReduceOp, value: f64, n: usize) -> f32 {
    match op {
        ReduceOp::Mean => (value / n as f64) as f32,
        _ => value as f32,
    }
}

/// One result at a time, along the axis.
pub(crate) fn reduce_rows(launch: &Launch<'_>) {
    let Op::Reduce(r) = *launch.op else { return };
    let (x, y, simd) = (&launch.inputs[0], &launch.outputs[0], launch.simd);
    let (n, stride) = (x.size(r.axis), x.stride(r.axis));
    let nest = results(x, y, r.axis);
    split(launch.pool, nest.elements(), n, &|units| {
        let mut buffer = [0f32; BLOCK];
        nest.for_each(units, |[xo, yo]| {
            let row = x.run(xo, stride);
            let mut total = if r.op == ReduceOp::Max { f64::NEG_INFINITY } else { 0.0 };
            for start in (0..n).step_by(BLOCK) {
                // SAFETY: the block lies in the row.
                let values = unsafe { row.skip(start).as_f32(simd, BLOCK.min(n - start), &mut buffer) };
                match r.op {
                    ReduceOp::Max => total = total.max(f64::from(reduce::max(simd, values))),
                    _ => total += f64::from(reduce::sum(simd, values)),
                }
            }
            // SAFETY: `yo` addresses an element of `y`.
            unsafe { y.run(yo, 1).store(simd, &[finish(r.op, total, n)]) };
        });
    });
}

/// A block of neighbouring results at a time.
pub(crate) fn reduce_columns(launch: &Launch<'_>) {
    let Op::Reduce(r) = *launch.op else { return };
    let (x, y, simd) = (&launch.inputs[0], &launch.outputs[0], launch.simd);
    let (n, stride) = (x.size(r.axis), x.stride(r.axis));
    let nest = results(x, y, r.axis);
    if nest.elements() == 0 {
        return;
    }
    let (columns, [x_step, y_step]) = nest.inner();
    let (outer, blocks) = (nest.outer(1), columns.div_ceil(BLOCK));
    split(launch.pool, outer.elements() * blocks, columns.min(BLOCK) * n, &|units| {
        let (mut buffer, mut totals) = ([0f32; BLOCK], [0f32; BLOCK]);
        for unit in units {
            let first = unit % blocks * BLOCK;
            let totals = &mut totals[..BLOCK.min(columns - first)];
            outer.for_each(unit / blocks..unit / blocks + 1, |[xo, yo]| {
                totals.fill(if r.op == ReduceOp::Max { f32::NEG_INFINITY } else { 0.0 });
                for i in 0..n {
                    let run = x.run(xo + first * x_step + i * stride, x_step);
                    // SAFETY: the block lies inside `x`.
                    let values = unsafe { run.as_f32(simd, totals.len(), &mut buffer) };
                    match r.op {
                        ReduceOp::Max => reduce::max_to(simd, totals, values),
                        _ => reduce::add_to(simd, totals, values),
                    }
                }
                if r.op == ReduceOp::Mean {
                    totals.iter_mut().for_each(|t| *t /= n as f32);
                }
                // SAFETY: the block lies inside `y`.
                unsafe { y.run(yo + first * y_step, y_step).store(simd, totals) };
            });
        }
    });
}

/// Index of the largest element along the axis; the lowest wins a tie.
pub(crate) fn argmax(launch: &Launch<'_>) {
    let Op::ArgMax(a) = *launch.op else { return };
    let (x, y, simd) = (&launch.inputs[0], &launch.outputs[0], launch.simd);
    let (n, stride) = (x.size(a.axis), x.stride(a.axis));
    let nest = results(x, y, a.axis);
    split(launch.pool, nest.elements(), n, &|units| {
        let mut buffer = [0f32; BLOCK];
        nest.for_each(units, |[xo, yo]| {
            let row = x.run(xo, stride);
            let mut best = (f32::NEG_INFINITY, 0usize);
            for start in (0..n).step_by(BLOCK) {
                // SAFETY: the block lies in the row.
                let values = unsafe { row.skip(start).as_f32(simd, BLOCK.min(n - start), &mut buffer) };
                if reduce::max(simd, values) > best.0 {
                    for (i, &v) in values.iter().enumerate() {
                        if v > best.0 {
                            best = (v, start + i);
                        }
                    }
                }
            }
            // SAFETY: `yo` addresses an element of `y`, which is u32.
            unsafe { y.at(yo).cast::<u32>().write(best.1 as u32) };
        });
    });
}
