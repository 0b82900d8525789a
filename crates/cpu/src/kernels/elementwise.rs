//! Functions of one element or a pair. Each run is worked on in blocks that stay in the first
//! cache: load as `f32`, compute, store with rounding. Broadcast and strided operands differ only
//! in how a block is loaded.

use unisono_core::Op;
use unisono_core::op::BinaryOp;

use super::{BLOCK, Launch};
use crate::simd::convert::Run;
use crate::simd::{Simd, math};
use crate::view::{Nest, for_runs};

/// Calls `compute(index of the block's first element, values)` for blocks of `y` that hold `x`,
/// and stores what it leaves there.
///
/// # Safety
/// `n` elements of `x` are readable and `n` of `y` writable, and they do not overlap.
unsafe fn in_blocks(simd: Simd, x: Run, y: Run, n: usize, mut compute: impl FnMut(usize, &mut [f32])) {
    let mut buffer = [0f32; BLOCK];
    for start in (0..n).step_by(BLOCK) {
        let len = BLOCK.min(n - start);
        // SAFETY: the block lies below `n`; a plain `y` is a slice of aligned f32.
        unsafe {
            let (x, y) = (x.skip(start), y.skip(start));
            if y.is_plain() {
                let values = std::slice::from_raw_parts_mut(y.ptr.cast::<f32>(), len);
                x.load(simd, values);
                compute(start, values);
            } else {
                let values = &mut buffer[..len];
                x.load(simd, values);
                compute(start, values);
                y.store(simd, values);
            }
        }
    }
}

/// `y = f(x)`
pub(crate) fn unary(launch: &Launch<'_>) {
    let Op::Unary(op) = *launch.op else { return };
    blocks(launch, &|values| {
        math::unary(launch.simd, op, values);
    });
}

/// `y = f(x)` with a function that takes a few instructions.
fn map(launch: &Launch<'_>, f: &(impl Fn(&mut f32) + Sync)) {
    blocks(launch, &|values| values.iter_mut().for_each(f));
}

fn blocks(launch: &Launch<'_>, f: &(impl Fn(&mut [f32]) + Sync)) {
    let (x, y, simd) = (&launch.inputs[0], &launch.outputs[0], launch.simd);
    let nest = Nest::new(&y.desc.shape, [&x.desc.strides, &y.desc.strides]);
    for_runs(launch.pool, &nest, &|[xo, yo], n, [xs, ys]| {
        // SAFETY: the run lies inside both operands.
        unsafe {
            in_blocks(simd, x.run(xo, xs), y.run(yo, ys), n, |_, values| f(values));
        }
    });
}

/// `y = f(a, b)`
pub(crate) fn binary(launch: &Launch<'_>) {
    let Op::Binary(op) = *launch.op else { return };
    match op {
        BinaryOp::Add => pairs(launch, &|a, b| a + b),
        BinaryOp::Sub => pairs(launch, &|a, b| a - b),
        BinaryOp::Mul => pairs(launch, &|a, b| a * b),
        BinaryOp::Div => pairs(launch, &|a, b| a / b),
        BinaryOp::Minimum => pairs(launch, &|a, b| pick(a < b, a, b)),
        BinaryOp::Maximum => pairs(launch, &|a, b| pick(a > b, a, b)),
        // The language's remainder is exact.
        BinaryOp::Rem => pairs(launch, &|a, b| a % b),
        _ => pairs(launch, &f32::powf),
    }
}

/// `a` where it is `first`, else `b`; NaN where either is NaN.
fn pick(first: bool, a: f32, b: f32) -> f32 {
    if a.is_nan() || first { a } else { b }
}

/// `y = min(max(x, min), max)` or `y = x·scale + shift`
pub(crate) fn with_parameters(launch: &Launch<'_>) {
    match launch.op {
        Op::Clamp(op) => map(launch, &|v: &mut f32| {
            let v0 = if *v < op.min.0 { op.min.0 } else { *v };
            *v = if v0 > op.max.0 { op.max.0 } else { v0 };
        }),
        Op::ScaleShift(op) => map(launch, &|v: &mut f32| *v = *v * op.scale.0 + op.shift.0),
        _ => {}
    }
}

fn pairs(launch: &Launch<'_>, f: &(impl Fn(f32, f32) -> f32 + Sync)) {
    with_second(launch, &|values, b| values.iter_mut().zip(b).for_each(|(v, &b)| *v = f(*v, b)));
}

/// `y = f(gate)·up`
pub(crate) fn gated(launch: &Launch<'_>) {
    let Op::Gated(gate) = *launch.op else { return };
    with_second(launch, &|values, up| math::gated(launch.simd, gate.unary(), values, up));
}

fn with_second(launch: &Launch<'_>, f: &(impl Fn(&mut [f32], &[f32]) + Sync)) {
    let (a, b, y, simd) = (&launch.inputs[0], &launch.inputs[1], &launch.outputs[0], launch.simd);
    let nest = Nest::new(&y.desc.shape, [&a.desc.strides, &b.desc.strides, &y.desc.strides]);
    for_runs(launch.pool, &nest, &|[ao, bo, yo], n, [a_stride, b_stride, y_stride]| {
        let mut buffer = [0f32; BLOCK];
        let second = b.run(bo, b_stride);
        // SAFETY: the run lies inside all operands.
        unsafe {
            in_blocks(simd, a.run(ao, a_stride), y.run(yo, y_stride), n, |start, values| {
                f(values, second.skip(start).as_f32(simd, values.len(), &mut buffer));
            });
        }
    });
}
