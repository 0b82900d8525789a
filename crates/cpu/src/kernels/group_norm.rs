//! Normalisation over groups of channels, and of rows to unit length.

use unisono_core::Op;

use super::Launch;
use super::norm::{inverse_deviation, mean};
use crate::scratch::with_scratch;
use crate::simd::reduce;
use crate::view::{Nest, View, split};

/// `group_norm`: a group is gathered into one run, normalised there and stored.
pub(crate) fn group_norm(launch: &Launch<'_>) {
    let Op::GroupNorm(op) = *launch.op else { return };
    let (x, y, simd) = (&launch.inputs[0], &launch.outputs[0], launch.simd);
    if y.desc.is_empty() {
        return;
    }
    let weight = launch.inputs.get(1).filter(|_| op.weight);
    let bias = launch.inputs.last().filter(|_| op.bias);
    let per_group = y.size(1) / op.groups;
    let nest = Nest::in_order(&y.desc.shape[2..], [&x.desc.strides[2..], &y.desc.strides[2..]]);
    let positions = nest.elements();
    let (run, [x_step, y_step]) = nest.inner();
    let outer = nest.outer(1);
    let of = |v: Option<&View>, channel: usize, otherwise: f32| match v {
        Some(v) => {
            let mut value = [0f32];
            // SAFETY: the vectors have an element for each channel.
            unsafe { v.run(channel * v.stride(0), 1).load(simd, &mut value) };
            value[0]
        }
        None => otherwise,
    };
    let n = per_group * positions;
    split(launch.pool, y.size(0) * op.groups, 3 * n, &|units| {
        with_scratch(n, |values| {
            for unit in units {
                let (b, first) = (unit / op.groups, unit % op.groups * per_group);
                for (c, values) in values.chunks_mut(positions).enumerate() {
                    let at = b * x.stride(0) + (first + c) * x.stride(1);
                    let mut runs = values.chunks_mut(run);
                    outer.for_each(0..outer.elements(), |[xo, _]| {
                        if let Some(to) = runs.next() {
                            // SAFETY: the run lies inside `x`.
                            unsafe { x.run(at + xo, x_step).load(simd, to) };
                        }
                    });
                }
                let centre = mean(simd, values);
                let factor = inverse_deviation(simd, values, centre, op.eps.0);
                for (c, values) in values.chunks_mut(positions).enumerate() {
                    let (w, add) = (of(weight, first + c, 1.0), of(bias, first + c, 0.0));
                    values.iter_mut().for_each(|v| *v = (*v - centre) * factor * w + add);
                    let at = b * y.stride(0) + (first + c) * y.stride(1);
                    let mut runs = values.chunks(run);
                    outer.for_each(0..outer.elements(), |[_, yo]| {
                        if let Some(from) = runs.next() {
                            // SAFETY: the run lies inside `y`; only this task writes this group.
                            unsafe { y.run(at + yo, y_step).store(simd, from) };
                        }
                    });
                }
            }
        });
    });
}

/// `l2_norm`; where the squares of a row leave the range of `f32`, they are summed in `f64`.
pub(crate) fn l2_norm(launch: &Launch<'_>) {
    let Op::L2Norm(op) = *launch.op else { return };
    let (x, y, simd) = (&launch.inputs[0], &launch.outputs[0], launch.simd);
    if y.desc.is_empty() {
        return;
    }
    let r = y.desc.rank() - 1;
    let n = y.size(r);
    let nest = Nest::in_order(&y.desc.shape[..r], [&x.desc.strides[..r], &y.desc.strides[..r]]);
    split(launch.pool, nest.elements(), 2 * n, &|units| {
        with_scratch(n, |buffer| {
            nest.for_each(units, |[xo, yo]| {
                // SAFETY: the rows have `n` elements; only this task writes this row of `y`.
                unsafe {
                    let to = y.row(yo);
                    let values = to.place(n, buffer);
                    x.row(xo).load(simd, values);
                    let squares = reduce::sum_squares(simd, values, 0.0);
                    let length = if (1e-30..1e37).contains(&squares) {
                        squares.sqrt()
                    } else {
                        values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt() as f32
                    };
                    let divisor = length.max(op.eps.0);
                    values.iter_mut().for_each(|v| *v /= divisor);
                    if !to.is_plain() {
                        to.store(simd, values);
                    }
                }
            });
        });
    });
}
