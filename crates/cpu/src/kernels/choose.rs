//! Choice and constants: where, fill and pad. Elements of one type move as bits.

use unisono_core::Op;

use super::{BLOCK, Launch, movement};
use crate::pool::Pool;
use crate::view::{Nest, View, for_runs};

/// `y = condition ? a : b`
pub(crate) fn choose(launch: &Launch<'_>) {
    let [condition, a, b] = launch.inputs else { return };
    let y = &launch.outputs[0];
    if a.dtype() != y.dtype() || b.dtype() != y.dtype() {
        return choose_floats(launch);
    }
    match y.dtype().block_bytes() {
        1 => choose_bits::<u8>(launch.pool, condition, a, b, y),
        2 => choose_bits::<u16>(launch.pool, condition, a, b, y),
        4 => choose_bits::<u32>(launch.pool, condition, a, b, y),
        _ => choose_bits::<u64>(launch.pool, condition, a, b, y),
    }
}

fn nest(condition: &View, a: &View, b: &View, y: &View) -> Nest<4> {
    Nest::new(&y.desc.shape, [&condition.desc.strides, &a.desc.strides, &b.desc.strides, &y.desc.strides])
}

fn choose_bits<T: Copy>(pool: &Pool, condition: &View, a: &View, b: &View, y: &View) {
    for_runs(pool, &nest(condition, a, b, y), &|[co, ao, bo, yo], n, [cs, a_stride, b_stride, ys]| {
        let (left, right, to) = (a.at(ao).cast::<T>(), b.at(bo).cast::<T>(), y.at(yo).cast::<T>());
        for i in 0..n {
            // SAFETY: element `i` of the run lies inside each operand; `T` is as large as theirs.
            unsafe {
                let (l, r) = (left.add(i * a_stride).read(), right.add(i * b_stride).read());
                to.add(i * ys).write(if condition.at(co + i * cs).read() != 0 { l } else { r });
            }
        }
    });
}

/// Floats of different types go through `f32`.
fn choose_floats(launch: &Launch<'_>) {
    let (condition, a, b) = (&launch.inputs[0], &launch.inputs[1], &launch.inputs[2]);
    let (y, simd) = (&launch.outputs[0], launch.simd);
    for_runs(launch.pool, &nest(condition, a, b, y), &|[co, ao, bo, yo], n, [cs, a_stride, b_stride, ys]| {
        let (mut chosen, mut other) = ([0f32; BLOCK], [0f32; BLOCK]);
        let (left, right, to) = (a.run(ao, a_stride), b.run(bo, b_stride), y.run(yo, ys));
        for start in (0..n).step_by(BLOCK) {
            let len = BLOCK.min(n - start);
            // SAFETY: the block lies inside the run, which lies inside all operands.
            unsafe {
                left.skip(start).load(simd, &mut chosen[..len]);
                right.skip(start).load(simd, &mut other[..len]);
                for (i, (l, r)) in chosen[..len].iter_mut().zip(&other).enumerate() {
                    if condition.at(co + (start + i) * cs).read() == 0 {
                        *l = *r;
                    }
                }
                to.skip(start).store(simd, &chosen[..len]);
            }
        }
    });
}

/// `y = value` everywhere
pub(crate) fn fill(launch: &Launch<'_>) {
    let Op::Fill(value) = *launch.op else { return };
    fill_view(launch.pool, &launch.outputs[0], value.bits(launch.outputs[0].dtype()));
}

fn fill_view(pool: &Pool, y: &View, bits: u64) {
    fn of<T: Copy + Sync>(pool: &Pool, y: &View, value: T) {
        let nest = Nest::new(&y.desc.shape, [&y.desc.strides]);
        for_runs(pool, &nest, &|[yo], n, [ys]| {
            let to = y.at(yo).cast::<T>();
            for i in 0..n {
                // SAFETY: element `i` of the run lies inside the output; `T` is as large.
                unsafe { to.add(i * ys).write(value) };
            }
        });
    }
    match y.dtype().block_bytes() {
        1 => of(pool, y, bits as u8),
        2 => of(pool, y, bits as u16),
        4 => of(pool, y, bits as u32),
        _ => of(pool, y, bits),
    }
}

/// `y` is `x` with a border: everything is filled, then `x` goes to its place.
pub(crate) fn pad(launch: &Launch<'_>) {
    let Op::Pad(pad) = launch.op else { return };
    let (x, y) = (&launch.inputs[0], &launch.outputs[0]);
    fill_view(launch.pool, y, pad.value.bits(y.dtype()));
    let start: usize = pad.before.iter().zip(y.desc.strides.iter()).map(|(b, s)| b * s).sum();
    let mut inner = View { ptr: y.at(start), ..*y };
    inner.desc.shape = x.desc.shape;
    if !x.desc.is_empty() {
        movement::copy_view(launch.pool, launch.simd, x, &inner);
    }
}
