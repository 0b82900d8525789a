//! Normalisations over rows. The variance is computed in two passes; where the squares of a row
//! leave the range of `f32`, the row's statistics are computed again in `f64`.

use unisono_core::Op;

use super::Launch;
use crate::scratch::with_scratch;
use crate::simd::{Simd, reduce};
use crate::view::{Nest, View, split};

/// `1/√(mean((x − mean)²) + eps)`
pub(super) fn inverse_deviation(simd: Simd, x: &[f32], mean: f32, eps: f32) -> f32 {
    let n = x.len() as f32;
    let squares = reduce::sum_squares(simd, x, mean);
    if (1e-30..1e37).contains(&squares) {
        return 1.0 / (squares / n + eps).sqrt();
    }
    let wide: f64 = x.iter().map(|&v| (f64::from(v) - f64::from(mean)).powi(2)).sum();
    (1.0 / (wide / f64::from(n) + f64::from(eps)).sqrt()) as f32
}

pub(super) fn mean(simd: Simd, x: &[f32]) -> f32 {
    let sum = reduce::sum(simd, x);
    if sum.is_finite() {
        return sum / x.len() as f32;
    }
    (x.iter().map(|&v| f64::from(v)).sum::<f64>() / x.len() as f64) as f32
}

/// Statistics and weights of one row, in place.
#[derive(Clone, Copy)]
struct Norm<'a> {
    simd: Simd,
    eps: f32,
    /// Whether the mean is subtracted.
    centred: bool,
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
}

impl Norm<'_> {
    fn apply(&self, row: &mut [f32]) {
        let centre = if self.centred { mean(self.simd, row) } else { 0.0 };
        let factor = inverse_deviation(self.simd, row, centre, self.eps);
        reduce::norm_apply(self.simd, row, centre, factor, self.weight);
        if let Some(bias) = self.bias {
            reduce::add_to(self.simd, row, bias);
        }
    }
}

fn vector<'a>(simd: Simd, v: &View, n: usize, buffer: &'a mut [f32]) -> &'a [f32] {
    // SAFETY: a norm's vectors have `n` elements, and programs do not write an operand they read.
    unsafe { v.row(0).as_f32(simd, n, buffer) }
}

/// `rms_norm` and `layer_norm`
pub(crate) fn norm(launch: &Launch<'_>) {
    let (eps, centred, has_weight, has_bias) = match *launch.op {
        Op::RmsNorm(op) => (op.eps.0, false, op.weight, false),
        Op::LayerNorm(op) => (op.eps.0, true, op.weight, op.bias),
        _ => return,
    };
    let (x, y, simd) = (&launch.inputs[0], &launch.outputs[0], launch.simd);
    let rows = y.desc.rank() - 1;
    let n = y.size(rows);
    if y.desc.is_empty() {
        return;
    }
    let nest = Nest::in_order(&y.desc.shape[..rows], [&x.desc.strides[..rows], &y.desc.strides[..rows]]);
    with_scratch(2 * n, |vectors| {
        let (weight, bias) = vectors.split_at_mut(n);
        let weight = match launch.inputs.get(1).filter(|_| has_weight) {
            Some(w) => vector(simd, w, n, weight),
            None => {
                weight.fill(1.0);
                weight
            }
        };
        let bias = launch.inputs.last().filter(|_| has_bias).map(|b| vector(simd, b, n, bias));
        let norm = Norm { simd, eps, centred, weight, bias };
        split(launch.pool, nest.elements(), 2 * n, &|units| {
            with_scratch(n, |buffer| {
                nest.for_each(units, |[xo, yo]| {
                    // SAFETY: the rows have `n` elements; only this task writes this row of `y`.
                    unsafe {
                        let to = y.row(yo);
                        let values = to.place(n, buffer);
                        x.row(xo).load(simd, values);
                        norm.apply(values);
                        if !to.is_plain() {
                            to.store(simd, values);
                        }
                    }
                });
            });
        });
    });
}

/// `sum = x + residual`, `y = rms_norm(sum)` of the sum as stored.
pub(crate) fn add_rms_norm(launch: &Launch<'_>) {
    let Op::AddRmsNorm(op) = *launch.op else { return };
    let (x, residual, simd) = (&launch.inputs[0], &launch.inputs[1], launch.simd);
    let (sum, y) = (&launch.outputs[0], &launch.outputs[1]);
    let rows = y.desc.rank() - 1;
    let n = y.size(rows);
    if y.desc.is_empty() {
        return;
    }
    let of = |v: &View| v.desc.strides.without_last(1);
    let nest = Nest::in_order(&y.desc.shape[..rows], [&of(x), &of(residual), &of(sum), &of(y)]);
    with_scratch(n, |weight| {
        let weight = vector(simd, &launch.inputs[2], n, weight);
        let norm = Norm { simd, eps: op.eps.0, centred: false, weight, bias: None };
        split(launch.pool, nest.elements(), 3 * n, &|units| {
            with_scratch(2 * n, |buffers| {
                let (first, second) = buffers.split_at_mut(n);
                nest.for_each(units, |[xo, ro, so, yo]| {
                    // SAFETY: the rows have `n` elements; only this task writes these rows.
                    unsafe {
                        let (to_sum, to) = (sum.row(so), y.row(yo));
                        let values = to.place(n, first);
                        x.row(xo).load(simd, values);
                        reduce::add_to(simd, values, residual.row(ro).as_f32(simd, n, second));
                        to_sum.store(simd, values);
                        if to_sum.dtype != unisono_core::DType::F32 {
                            to_sum.load(simd, values);
                        }
                        norm.apply(values);
                        if !to.is_plain() {
                            to.store(simd, values);
                        }
                    }
                });
            });
        });
    });
}
