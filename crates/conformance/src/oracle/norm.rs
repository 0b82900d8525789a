//! Normalisations over the last dimension.

use unisono_core::TensorDesc;
use unisono_core::op::Real;

use super::Tensor;
use super::elementwise::sum;
use crate::bound::{Elements, FLOOR, U, gamma, probable, smallest_normal};
use crate::check::Expected;

/// Reciprocal root mean square of a row, and its relative error for a chain of `g(n + 4)`: half of
/// the sum's error (the root), 4u for the root, its reciprocal and the two products; squares that
/// are flushed count against mean and eps.
fn reciprocal_rms(row: &[f64], eps: f64, chain: fn(usize) -> f64) -> (f64, f64) {
    let n = row.len();
    let mean = row.iter().map(|x| x * x).sum::<f64>() / n as f64 + eps;
    (1.0 / mean.sqrt(), 0.5 * chain(n + 4) + 4.0 * U + 0.5 * FLOOR / mean)
}

pub(super) fn rms_norm(eps: Real, x: &Tensor, weight: &Tensor, out: &TensorDesc) -> Expected {
    let mut y = Elements::new(out.dtype, out.elements());
    for i in 0..x.rows() {
        let row = x.row(i);
        let (r, bound) = reciprocal_rms(row, f64::from(eps.0), gamma);
        let (_, quality) = reciprocal_rms(row, f64::from(eps.0), probable);
        for (&x, &w) in row.iter().zip(&weight.values) {
            let value = x * r * w;
            let flushed = FLOOR * (1.0 + w.abs() * r.max(1.0));
            y.push(value, value.abs() * bound + flushed, value.abs() * quality + flushed);
        }
    }
    y.finish()
}

/// The mean is off by γₙ·mean|x|, which enters every element and, squared, the variance; the rest
/// is as in [`rms_norm`], with one addition for the bias.
pub(super) fn layer_norm(eps: Real, x: &Tensor, weight: &Tensor, bias: &Tensor, out: &TensorDesc) -> Expected {
    let n = x.last();
    let mut y = Elements::new(out.dtype, out.elements());
    for i in 0..x.rows() {
        let row = x.row(i);
        let mean = row.iter().sum::<f64>() / n as f64;
        let size = row.iter().map(|x| x.abs()).sum::<f64>() / n as f64;
        let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n as f64 + f64::from(eps.0);
        let r = 1.0 / variance.sqrt();
        for ((&x, &w), &b) in row.iter().zip(&weight.values).zip(&bias.values) {
            let centred = x - mean;
            let scaled = centred * r * w;
            let error = |chain: fn(usize) -> f64| {
                // 3u: the division by n; the mean enters u times itself where it is stored.
                let shift = (chain(n) + 3.0 * U) * size;
                let spread = 0.5 * chain(n + 4) + 5.0 * U + 0.5 * (shift * shift + FLOOR) / variance;
                r * w.abs() * (shift + U * centred.abs())
                    + scaled.abs() * spread
                    + U * (b.abs() + (scaled + b).abs())
                    + FLOOR * (1.0 + w.abs() * r.max(1.0))
            };
            y.push(scaled + b, error(gamma), error(probable));
        }
    }
    y.finish()
}

/// The norm is of the sum as the device stored it, which is one unit of the stored type from the
/// exact sum: the bound of `y` carries that through its own element and through the mean square.
pub(super) fn add_rms_norm(eps: Real, x: &[Tensor], outputs: &[TensorDesc]) -> Vec<Expected> {
    let (sum_out, y_out) = (&outputs[0], &outputs[1]);
    let weight = &x[2];
    let mut sums = Elements::new(sum_out.dtype, sum_out.elements());
    let least = [&x[0], &x[1]].map(|t| smallest_normal(t.desc.dtype));
    for (&x, &r) in x[0].values.iter().zip(&x[1].values) {
        let s = sum(x, r, least);
        sums.push(s.value, s.bound, s.quality);
    }
    let sums = sums.finish();
    let n = x[0].last();
    let mut y = Elements::new(y_out.dtype, y_out.elements());
    for i in 0..x[0].rows() {
        let row = &sums.values[i * n..(i + 1) * n];
        // A value that may be flushed is off by itself.
        let moved: Vec<f64> = (i * n..(i + 1) * n)
            .map(|j| {
                let (value, bound) = (sums.values[j].abs(), sums.bounds[j]);
                if value - bound < sums.flush_below { bound.max(value) } else { bound }
            })
            .collect();
        let (r, bound) = reciprocal_rms(row, f64::from(eps.0), gamma);
        let (_, quality) = reciprocal_rms(row, f64::from(eps.0), probable);
        let spread = row.iter().zip(&moved).map(|(s, d)| s.abs() * d + d * d).sum::<f64>() / n as f64 * r * r;
        for ((&s, &d), &w) in row.iter().zip(&moved).zip(&weight.values) {
            let value = s * r * w;
            let common = r * w.abs() * d + value.abs() * spread + FLOOR * (1.0 + w.abs() * r.max(1.0));
            y.push(value, value.abs() * bound + common, value.abs() * quality + common);
        }
    }
    vec![sums, y.finish()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use unisono_core::DType;

    fn tensor(shape: &[usize], values: &[f64]) -> Tensor {
        Tensor { desc: TensorDesc::contiguous(DType::F32, shape).unwrap(), values: values.to_vec() }
    }

    #[test]
    fn norms_by_hand() {
        let out = TensorDesc::contiguous(DType::F32, &[1, 2]).unwrap();
        let (x, w, b) = (tensor(&[1, 2], &[1.0, 7.0]), tensor(&[2], &[1.0, 2.0]), tensor(&[2], &[0.5, 0.0]));
        let y = rms_norm(Real(0.0), &x, &w, &out);
        assert!((y.values[0] - 0.2).abs() < 1e-15 && (y.values[1] - 2.8).abs() < 1e-15);
        let y = layer_norm(Real(0.0), &x, &w, &b, &out);
        assert!((y.values[0] + 0.5).abs() < 1e-15 && (y.values[1] - 2.0).abs() < 1e-15);
        let y = rms_norm(Real(1.0), &tensor(&[1, 2], &[0.0, 0.0]), &w, &out);
        assert_eq!(y.values, [0.0, 0.0]);
    }

    #[test]
    fn add_norm_is_the_norm_of_the_sum() {
        let out = TensorDesc::contiguous(DType::F32, &[1, 2]).unwrap();
        let x = [tensor(&[1, 2], &[0.0, 3.0]), tensor(&[1, 2], &[1.0, 4.0]), tensor(&[2], &[1.0, 2.0])];
        let y = add_rms_norm(Real(0.0), &x, &[out, out]);
        assert_eq!((&y[0].values[..], &y[0].bounds[..]), (&[1.0, 7.0][..], &[0.0, 0.0][..]));
        assert!((y[1].values[1] - 2.8).abs() < 1e-15 && y[1].bounds[1] < 1e-5);
    }
}
