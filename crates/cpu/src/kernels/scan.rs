//! Running sums, in the two shapes of the reductions: a line at a time, summed in `f64`, or many
//! neighbouring lines at once.

use unisono_core::{DType, Op};

use super::reduce::results;
use super::{BLOCK, Launch};
use crate::simd::reduce;
use crate::view::split;

/// Position along the axis of the `i`-th term.
fn place(i: usize, n: usize, reverse: bool) -> usize {
    if reverse { n - 1 - i } else { i }
}

/// One line at a time.
pub(crate) fn cumsum_rows(launch: &Launch<'_>) {
    let Op::CumSum(c) = *launch.op else { return };
    let (x, y, simd) = (&launch.inputs[0], &launch.outputs[0], launch.simd);
    let n = x.size(c.axis);
    if y.desc.is_empty() {
        return;
    }
    let mut lines = *y;
    lines.desc.shape[c.axis] = 1;
    let nest = results(x, &lines, c.axis);
    let (x_step, y_step) = (x.stride(c.axis), y.stride(c.axis));
    split(launch.pool, nest.elements(), 2 * n, &|units| {
        let mut buffer = [0f32; BLOCK];
        nest.for_each(units, |[xo, yo]| {
            let mut total = 0f64;
            for start in (0..n).step_by(BLOCK) {
                let len = BLOCK.min(n - start);
                // A block in reverse begins at its last term.
                let first = if c.reverse { n - start - len } else { start };
                let values = &mut buffer[..len];
                // SAFETY: the block lies in the line, of which only this task writes the result.
                unsafe { x.run(xo + first * x_step, x_step).load(simd, values) };
                for i in 0..len {
                    let value = &mut values[place(i, len, c.reverse)];
                    let before = total;
                    total += f64::from(*value);
                    *value = if c.exclusive { before } else { total } as f32;
                }
                // SAFETY: as above.
                unsafe { y.run(yo + first * y_step, y_step).store(simd, values) };
            }
        });
    });
}

/// A block of neighbouring lines at a time.
pub(crate) fn cumsum_columns(launch: &Launch<'_>) {
    let Op::CumSum(c) = *launch.op else { return };
    let (x, y, simd) = (&launch.inputs[0], &launch.outputs[0], launch.simd);
    let n = x.size(c.axis);
    if y.desc.is_empty() {
        return;
    }
    let mut lines = *y;
    lines.desc.shape[c.axis] = 1;
    let nest = results(x, &lines, c.axis);
    let (x_along, y_along) = (x.stride(c.axis), y.stride(c.axis));
    let (columns, [x_step, y_step]) = nest.inner();
    let (outer, blocks) = (nest.outer(1), columns.div_ceil(BLOCK));
    split(launch.pool, outer.elements() * blocks, 2 * columns.min(BLOCK) * n, &|units| {
        let (mut buffer, mut totals) = ([0f32; BLOCK], [0f32; BLOCK]);
        for unit in units {
            let first = unit % blocks * BLOCK;
            let totals = &mut totals[..BLOCK.min(columns - first)];
            outer.for_each(unit / blocks..unit / blocks + 1, |[xo, yo]| {
                totals.fill(0.0);
                for i in 0..n {
                    let j = place(i, n, c.reverse);
                    let to = y.run(yo + first * y_step + j * y_along, y_step);
                    let from = x.run(xo + first * x_step + j * x_along, x_step);
                    // SAFETY: the block lies inside `x` and `y`; only this task writes it.
                    unsafe {
                        if c.exclusive {
                            to.store(simd, totals);
                        }
                        reduce::add_to(simd, totals, from.as_f32(simd, totals.len(), &mut buffer));
                        if !c.exclusive {
                            to.store(simd, totals);
                        }
                    }
                }
            });
        }
    });
}

/// Integers modulo 2³², one line at a time.
pub(crate) fn cumsum_integers(launch: &Launch<'_>) {
    let Op::CumSum(c) = *launch.op else { return };
    let (x, y) = (&launch.inputs[0], &launch.outputs[0]);
    debug_assert!(matches!(y.dtype(), DType::I32 | DType::U32));
    let n = x.size(c.axis);
    if y.desc.is_empty() {
        return;
    }
    let mut lines = *y;
    lines.desc.shape[c.axis] = 1;
    let nest = results(x, &lines, c.axis);
    split(launch.pool, nest.elements(), 2 * n, &|units| {
        nest.for_each(units, |[xo, yo]| {
            let mut total = 0u32;
            for i in 0..n {
                let j = place(i, n, c.reverse);
                // SAFETY: the line has `n` elements of four bytes; only this task writes its result.
                unsafe {
                    let before = total;
                    total = total.wrapping_add(x.at(xo + j * x.stride(c.axis)).cast::<u32>().read());
                    let value = if c.exclusive { before } else { total };
                    y.at(yo + j * y.stride(c.axis)).cast::<u32>().write(value);
                }
            }
        });
    });
}
