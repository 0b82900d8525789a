//! Reductions over one axis, and the index of the largest or smallest element.
//!
//! Two shapes of work: `rows` reduces along the axis for one result at a time, `columns` reduces
//! many neighbouring results at once and so reads memory in order where the axis is not the
//! contiguous one. Integers and booleans have loops of their own.

use unisono_core::op::{ArgOp, ReduceOp};
use unisono_core::{DType, Op, TensorDesc};

use super::{BLOCK, Launch};
use crate::simd::reduce;
use crate::view::{Nest, View, split};

/// The loops over the results: every dimension but the axis.
pub(super) fn results(x: &View, y: &View, axis: usize) -> Nest<2> {
    Nest::new(&y.desc.shape, [&x.desc.strides.with(axis, 0), &y.desc.strides])
}

/// Whether [`reduce_columns`] reads memory in order: the results lie along a contiguous dimension.
pub(crate) fn has_columns(x: &TensorDesc, axis: usize) -> bool {
    (0..x.rank()).any(|i| i != axis && x.strides[i] == 1 && x.shape[i] > 1)
}

/// What a reduction over nothing is.
fn start(op: ReduceOp) -> f32 {
    match op {
        ReduceOp::Max => f32::NEG_INFINITY,
        ReduceOp::Min => f32::INFINITY,
        ReduceOp::Prod => 1.0,
        _ => 0.0,
    }
}

/// The extreme of two numbers; NaN where either is.
fn keep(a: f64, b: f64, extreme: impl Fn(f64, f64) -> f64) -> f64 {
    if a.is_nan() {
        a
    } else if b.is_nan() {
        b
    } else {
        extreme(a, b)
    }
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
            let mut total = f64::from(start(r.op));
            for start in (0..n).step_by(BLOCK) {
                // SAFETY: the block lies in the row.
                let values = unsafe { row.skip(start).as_f32(simd, BLOCK.min(n - start), &mut buffer) };
                match r.op {
                    ReduceOp::Max => total = keep(total, f64::from(reduce::max_or_nan(simd, values)), f64::max),
                    ReduceOp::Min => total = keep(total, f64::from(reduce::min_or_nan(simd, values)), f64::min),
                    ReduceOp::Prod => total *= values.iter().map(|&v| f64::from(v)).product::<f64>(),
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
                totals.fill(start(r.op));
                for i in 0..n {
                    let run = x.run(xo + first * x_step + i * stride, x_step);
                    // SAFETY: the block lies inside `x`.
                    let values = unsafe { run.as_f32(simd, totals.len(), &mut buffer) };
                    match r.op {
                        ReduceOp::Max => reduce::max_to(simd, totals, values),
                        ReduceOp::Min => reduce::min_to(simd, totals, values),
                        ReduceOp::Prod => reduce::multiply_to(simd, totals, values),
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

/// Index of the largest or smallest element along the axis; the lowest wins a tie, the first NaN
/// everything.
pub(crate) fn arg_reduce(launch: &Launch<'_>) {
    let Op::ArgReduce(a) = *launch.op else { return };
    let (x, y, simd) = (&launch.inputs[0], &launch.outputs[0], launch.simd);
    let (n, stride) = (x.size(a.axis), x.stride(a.axis));
    let nest = results(x, y, a.axis);
    let better = |v: f32, best: f32| if a.op == ArgOp::Max { v > best } else { v < best };
    split(launch.pool, nest.elements(), n, &|units| {
        let mut buffer = [0f32; BLOCK];
        nest.for_each(units, |[xo, yo]| {
            let row = x.run(xo, stride);
            let worst = if a.op == ArgOp::Max { f32::NEG_INFINITY } else { f32::INFINITY };
            let mut best = (worst, 0usize);
            for start in (0..n).step_by(BLOCK) {
                // SAFETY: the block lies in the row.
                let values = unsafe { row.skip(start).as_f32(simd, BLOCK.min(n - start), &mut buffer) };
                let top = if a.op == ArgOp::Max {
                    reduce::max_or_nan(simd, values)
                } else {
                    reduce::min_or_nan(simd, values)
                };
                if top.is_nan() {
                    best.1 = start + values.iter().position(|v| v.is_nan()).unwrap_or(0);
                    break;
                }
                if better(top, best.0) {
                    for (i, &v) in values.iter().enumerate() {
                        if better(v, best.0) {
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

/// An integer or boolean element as a number.
///
/// # Safety
/// The element at `offset` is readable.
unsafe fn integer(x: &View, offset: usize) -> i64 {
    let at = x.at(offset);
    // SAFETY: the caller's promise.
    unsafe {
        match x.dtype() {
            DType::Bool => i64::from(at.read()),
            DType::I32 => i64::from(at.cast::<i32>().read()),
            _ => i64::from(at.cast::<u32>().read()),
        }
    }
}

/// Integers modulo 2³² and booleans, one result at a time.
pub(crate) fn reduce_integers(launch: &Launch<'_>) {
    let Op::Reduce(r) = *launch.op else { return };
    let (x, y) = (&launch.inputs[0], &launch.outputs[0]);
    let (n, stride) = (x.size(r.axis), x.stride(r.axis));
    let nest = results(x, y, r.axis);
    split(launch.pool, nest.elements(), n, &|units| {
        nest.for_each(units, |[xo, yo]| {
            // SAFETY: the line has `n` elements.
            let line = (0..n).map(|i| unsafe { integer(x, xo + i * stride) });
            let value = match r.op {
                ReduceOp::Max => line.max().unwrap_or(0),
                ReduceOp::Min => line.min().unwrap_or(0),
                ReduceOp::Prod => i64::from(line.fold(1u32, |p, v| p.wrapping_mul(v as u32))),
                _ => i64::from(line.fold(0u32, |s, v| s.wrapping_add(v as u32))),
            };
            // SAFETY: `yo` addresses an element of `y`, which has the type of `x`.
            unsafe {
                match y.dtype() {
                    DType::Bool => y.at(yo).write(value as u8),
                    _ => y.at(yo).cast::<u32>().write(value as u32),
                }
            }
        });
    });
}

/// [`arg_reduce`] of integers.
pub(crate) fn arg_reduce_integers(launch: &Launch<'_>) {
    let Op::ArgReduce(a) = *launch.op else { return };
    let (x, y) = (&launch.inputs[0], &launch.outputs[0]);
    let (n, stride) = (x.size(a.axis), x.stride(a.axis));
    let nest = results(x, y, a.axis);
    let sign = if a.op == ArgOp::Max { 1 } else { -1 };
    split(launch.pool, nest.elements(), n, &|units| {
        nest.for_each(units, |[xo, yo]| {
            let mut best = (i64::MIN, 0);
            for i in 0..n {
                // SAFETY: the line has `n` elements.
                let v = sign * unsafe { integer(x, xo + i * stride) };
                if v > best.0 {
                    best = (v, i);
                }
            }
            // SAFETY: `yo` addresses an element of `y`, which is u32.
            unsafe { y.at(yo).cast::<u32>().write(best.1 as u32) };
        });
    });
}
