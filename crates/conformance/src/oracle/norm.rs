//! Normalisations over the last dimension and over groups of channels.

use unisono_core::TensorDesc;
use unisono_core::op::{GroupNorm, Real};

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

pub(super) fn rms_norm(eps: Real, x: &Tensor, weight: Option<&Tensor>, out: &TensorDesc) -> Expected {
    let mut y = Elements::new(out.dtype, out.elements());
    for i in 0..x.rows() {
        let row = x.row(i);
        let (r, bound) = reciprocal_rms(row, f64::from(eps.0), gamma);
        let (_, quality) = reciprocal_rms(row, f64::from(eps.0), probable);
        for (j, &x) in row.iter().enumerate() {
            let w = weight.map_or(1.0, |w| w.values[j]);
            let value = x * r * w;
            let flushed = FLOOR * (1.0 + w.abs() * r.max(1.0));
            y.push(value, value.abs() * bound + flushed, value.abs() * quality + flushed);
        }
    }
    y.finish()
}

/// Weight and bias among the operands, where an operation has them.
pub(super) fn vectors(weight: bool, bias: bool, x: &[Tensor]) -> (Option<&Tensor>, Option<&Tensor>) {
    (x.get(1).filter(|_| weight), x.get(1 + usize::from(weight)).filter(|_| bias))
}

/// Elements that share a mean and a variance.
struct Centred {
    n: usize,
    mean: f64,
    /// mean |x|
    size: f64,
    variance: f64,
}

impl Centred {
    fn new(x: &[f64], eps: Real) -> Centred {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let size = x.iter().map(|x| x.abs()).sum::<f64>() / n;
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n + f64::from(eps.0);
        Centred { n: x.len(), mean, size, variance }
    }

    /// The mean is off by γₙ·mean|x|, which enters every element and, squared, the variance; the
    /// rest is as in [`rms_norm`], with one addition for the bias.
    fn push(&self, y: &mut Elements, x: f64, w: f64, b: f64) {
        let r = 1.0 / self.variance.sqrt();
        let centred = x - self.mean;
        let scaled = centred * r * w;
        let error = |chain: fn(usize) -> f64| {
            // 3u: the division by n; the mean enters u times itself where it is stored.
            let shift = (chain(self.n) + 3.0 * U) * self.size;
            let spread = 0.5 * chain(self.n + 4) + 5.0 * U + 0.5 * (shift * shift + FLOOR) / self.variance;
            r * w.abs() * (shift + U * centred.abs())
                + scaled.abs() * spread
                + U * (b.abs() + (scaled + b).abs())
                + FLOOR * (1.0 + w.abs() * r.max(1.0))
        };
        y.push(scaled + b, error(gamma), error(probable));
    }
}

pub(super) fn layer_norm(
    eps: Real,
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    out: &TensorDesc,
) -> Expected {
    let mut y = Elements::new(out.dtype, out.elements());
    let of = |t: Option<&Tensor>, j: usize, otherwise: f64| t.map_or(otherwise, |t| t.values[j]);
    for i in 0..x.rows() {
        let row = Centred::new(x.row(i), eps);
        for (j, &x) in x.row(i).iter().enumerate() {
            row.push(&mut y, x, of(weight, j, 1.0), of(bias, j, 0.0));
        }
    }
    y.finish()
}

/// A group is a run of elements in row-major order: its channels with all their positions.
pub(super) fn group_norm(op: &GroupNorm, x: &[Tensor], out: &TensorDesc) -> Expected {
    let (weight, bias) = vectors(op.weight, op.bias, x);
    let channels = out.shape[1];
    let positions: usize = out.shape[2..].iter().product();
    let group = channels / op.groups * positions;
    let mut y = Elements::new(out.dtype, out.elements());
    let of = |t: Option<&Tensor>, c: usize, otherwise: f64| t.map_or(otherwise, |t| t.values[c]);
    for (g, values) in x[0].values.chunks(group.max(1)).enumerate() {
        let centred = Centred::new(values, op.eps);
        for (j, &x) in values.iter().enumerate() {
            let channel = (g * group + j) / positions % channels;
            centred.push(&mut y, x, of(weight, channel, 1.0), of(bias, channel, 0.0));
        }
    }
    y.finish()
}

/// The sum of squares has a relative error γₙ₊₁, of which the root takes half; root, reciprocal and
/// product make the rest. Squares that are flushed count against the divisor.
pub(super) fn l2_norm(eps: Real, x: &Tensor, out: &TensorDesc) -> Expected {
    let n = x.last();
    let mut y = Elements::new(out.dtype, out.elements());
    for i in 0..x.rows() {
        let row = x.row(i);
        let squares = row.iter().map(|x| x * x).sum::<f64>();
        let divisor = squares.sqrt().max(f64::from(eps.0));
        let lost = n as f64 * FLOOR;
        let flushed = lost.sqrt().min(lost / squares.sqrt().max(FLOOR)) / divisor.max(FLOOR);
        for &x in row {
            let value = x / divisor;
            let error = |chain: fn(usize) -> f64| {
                value.abs() * (0.5 * chain(n + 1) + 8.0 * U + flushed) + FLOOR * (1.0 + 1.0 / divisor.max(FLOOR))
            };
            if divisor > 0.0 {
                y.push(value, error(gamma), error(probable));
            } else {
                y.push_exact(0.0, f64::INFINITY, f64::INFINITY);
            }
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
        let y = rms_norm(Real(0.0), &x, Some(&w), &out);
        assert!((y.values[0] - 0.2).abs() < 1e-15 && (y.values[1] - 2.8).abs() < 1e-15);
        let y = layer_norm(Real(0.0), &x, Some(&w), Some(&b), &out);
        assert!((y.values[0] + 0.5).abs() < 1e-15 && (y.values[1] - 2.0).abs() < 1e-15);
        let y = rms_norm(Real(1.0), &tensor(&[1, 2], &[0.0, 0.0]), Some(&w), &out);
        assert_eq!(y.values, [0.0, 0.0]);
    }

    #[test]
    fn groups_and_lengths_by_hand() {
        let out = TensorDesc::contiguous(DType::F32, &[1, 2, 2]).unwrap();
        let x = [tensor(&[1, 2, 2], &[1.0, 3.0, 10.0, 30.0]), tensor(&[2], &[2.0, 3.0])];
        let op = GroupNorm { groups: 2, eps: Real(0.0), weight: true, bias: false };
        assert_eq!(group_norm(&op, &x, &out).values, [-2.0, 2.0, -3.0, 3.0]);
        let out = TensorDesc::contiguous(DType::F32, &[2, 2]).unwrap();
        let y = l2_norm(Real(10.0), &tensor(&[2, 2], &[3.0, 4.0, 30.0, 40.0]), &out);
        let wanted = [0.3, 0.4, 0.6, 0.8];
        assert!(y.values.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-15));
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
