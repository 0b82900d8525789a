//! Integers and truth values: wrapping arithmetic, comparisons, logic. Each element is read, computed
//! and written in its own type, run by run; the loops are plain and vectorise where strides are 1.

use unisono_core::op::{BinaryOp, CompareOp, LogicalOp, UnaryOp};
use unisono_core::{DType, Op};

use super::{BLOCK, Launch};
use crate::simd::convert::Run;
use crate::view::{Nest, for_runs};

/// A signed integer type with the functions of one element.
trait Signed: Copy {
    fn apply(op: UnaryOp, x: Self) -> Self;
}

/// An integer type with the functions of two elements.
trait Integer: Copy {
    fn apply(op: BinaryOp, a: Self, b: Self) -> Self;
}

macro_rules! signed {
    ($($t:ty),*) => { $(impl Signed for $t {
        fn apply(op: UnaryOp, x: $t) -> $t {
            match op {
                UnaryOp::Neg => x.wrapping_neg(),
                UnaryOp::Abs => x.wrapping_abs(),
                UnaryOp::Sign => x.signum(),
                UnaryOp::Square => x.wrapping_mul(x),
                _ => x.max(0),
            }
        }
    })* };
}
signed!(i32, i64);

macro_rules! integer {
    ($($t:ty),*) => { $(impl Integer for $t {
        fn apply(op: BinaryOp, a: $t, b: $t) -> $t {
            match op {
                BinaryOp::Add => a.wrapping_add(b),
                BinaryOp::Sub => a.wrapping_sub(b),
                BinaryOp::Mul => a.wrapping_mul(b),
                BinaryOp::Minimum => a.min(b),
                BinaryOp::Maximum => a.max(b),
                BinaryOp::Rem if b == 0 => a,
                BinaryOp::Rem => a.wrapping_rem(b),
                _ if b == 0 => 0,
                _ => a.wrapping_div(b),
            }
        }
    })* };
}
integer!(i32, u32, i64);

/// `y = f(x)` for every element, in the types `X` and `Y` of the operands.
fn map<X: Copy, Y>(launch: &Launch<'_>, f: impl Fn(X) -> Y + Sync) {
    let (x, y) = (&launch.inputs[0], &launch.outputs[0]);
    let nest = Nest::new(&y.desc.shape, [&x.desc.strides, &y.desc.strides]);
    for_runs(launch.pool, &nest, &|[xo, yo], n, [xs, ys]| {
        let (from, to) = (x.at(xo).cast::<X>(), y.at(yo).cast::<Y>());
        for i in 0..n {
            // SAFETY: element `i` of the run lies inside each operand, whose elements have the
            // types `X` and `Y`.
            unsafe { to.add(i * ys).write(f(from.add(i * xs).read())) };
        }
    });
}

/// `y = f(a, b)` for every pair of elements, in the types `X` and `Y` of the operands.
fn pairs<X: Copy, Y>(launch: &Launch<'_>, f: impl Fn(X, X) -> Y + Sync) {
    let (a, b, y) = (&launch.inputs[0], &launch.inputs[1], &launch.outputs[0]);
    let nest = Nest::new(&y.desc.shape, [&a.desc.strides, &b.desc.strides, &y.desc.strides]);
    for_runs(launch.pool, &nest, &|[ao, bo, yo], n, [a_stride, b_stride, y_stride]| {
        let (left, right, to) = (a.at(ao).cast::<X>(), b.at(bo).cast::<X>(), y.at(yo).cast::<Y>());
        for i in 0..n {
            // SAFETY: as in `map`.
            unsafe { to.add(i * y_stride).write(f(left.add(i * a_stride).read(), right.add(i * b_stride).read())) };
        }
    });
}

/// `y = f(x)` of integers, or the logical not.
pub(crate) fn unary(launch: &Launch<'_>) {
    let Op::Unary(op) = *launch.op else { return };
    match launch.outputs[0].dtype() {
        DType::Bool => map::<u8, u8>(launch, |x| u8::from(x == 0)),
        DType::I32 => map::<i32, i32>(launch, |x| Signed::apply(op, x)),
        _ => map::<i64, i64>(launch, |x| Signed::apply(op, x)),
    }
}

/// `y = f(a, b)` of integers.
pub(crate) fn binary(launch: &Launch<'_>) {
    fn of<T: Integer>(launch: &Launch<'_>, op: BinaryOp) {
        pairs::<T, T>(launch, |a, b| T::apply(op, a, b));
    }
    let Op::Binary(op) = *launch.op else { return };
    match launch.outputs[0].dtype() {
        DType::I32 => of::<i32>(launch, op),
        DType::U32 => of::<u32>(launch, op),
        _ => of::<i64>(launch, op),
    }
}

fn holds<T: PartialOrd + Copy>(op: CompareOp, a: T, b: T) -> u8 {
    u8::from(match op {
        CompareOp::Eq => a == b,
        CompareOp::Ne => a != b,
        CompareOp::Lt => a < b,
        CompareOp::Le => a <= b,
        CompareOp::Gt => a > b,
        _ => a >= b,
    })
}

/// `y = a ? b` for any of the comparisons.
pub(crate) fn compare(launch: &Launch<'_>) {
    let Op::Compare(op) = *launch.op else { return };
    match launch.inputs[0].dtype() {
        DType::I32 => pairs::<i32, u8>(launch, |a, b| holds(op, a, b)),
        DType::U32 => pairs::<u32, u8>(launch, |a, b| holds(op, a, b)),
        DType::I8 => pairs::<i8, u8>(launch, |a, b| holds(op, a, b)),
        DType::U8 => pairs::<u8, u8>(launch, |a, b| holds(op, a, b)),
        DType::Bool => pairs::<u8, u8>(launch, |a, b| holds(op, a != 0, b != 0)),
        DType::I64 => pairs::<i64, u8>(launch, |a, b| holds(op, a, b)),
        _ => compare_floats(launch, op),
    }
}

/// Floats of any types are compared as `f32`.
fn compare_floats(launch: &Launch<'_>, op: CompareOp) {
    let (a, b, y, simd) = (&launch.inputs[0], &launch.inputs[1], &launch.outputs[0], launch.simd);
    let nest = Nest::new(&y.desc.shape, [&a.desc.strides, &b.desc.strides, &y.desc.strides]);
    for_runs(launch.pool, &nest, &|[ao, bo, yo], n, [a_stride, b_stride, y_stride]| {
        let mut buffers = [[0f32; BLOCK]; 2];
        let [first, second] = &mut buffers;
        let (left, right): (Run, Run) = (a.run(ao, a_stride), b.run(bo, b_stride));
        for start in (0..n).step_by(BLOCK) {
            let len = BLOCK.min(n - start);
            // SAFETY: the block lies inside the run, which lies inside all operands.
            unsafe {
                let left = left.skip(start).as_f32(simd, len, first);
                let right = right.skip(start).as_f32(simd, len, second);
                let to = y.at(yo + start * y_stride);
                for (i, (&l, &r)) in left.iter().zip(right).enumerate() {
                    to.add(i * y_stride).write(holds(op, l, r));
                }
            }
        }
    });
}

/// `y = f(a, b)` of truth values.
pub(crate) fn logical(launch: &Launch<'_>) {
    let Op::Logical(op) = *launch.op else { return };
    pairs::<u8, u8>(launch, |a, b| {
        let (a, b) = (a != 0, b != 0);
        u8::from(match op {
            LogicalOp::And => a && b,
            LogicalOp::Or => a || b,
            _ => a != b,
        })
    });
}
