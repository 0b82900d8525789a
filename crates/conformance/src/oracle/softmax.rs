//! Softmax, for itself and for attention.

use unisono_core::TensorDesc;
use unisono_core::op::Softmax;

use super::Tensor;
use crate::bound::{Elements, FLOOR, U, gamma, probable};
use crate::check::Expected;

/// One row's probabilities with their relative errors.
pub(super) struct Row {
    pub(super) p: Vec<f64>,
    pub(super) relative: Vec<f64>,
    pub(super) quality: Vec<f64>,
}

/// Softmax of scores `z` with absolute errors `dz` in each; a masked score is −∞.
///
/// `ε_j = (4 + 6|z_j − max|)·u` covers subtraction and exponential; an error of the scores acts on
/// `p` as `e^δ − 1`; the sum adds γ_{n−1}, the division 2.5u (Blanchard, D. Higham & N. Higham
/// 2021). A kernel that sees the row in one pass rescales at each new maximum, and where partial
/// sums are joined: 5u each.
pub(super) fn softmax_row(z: &[f64], dz: &[f64], probable_dz: &[f64]) -> Row {
    let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if max == f64::NEG_INFINITY {
        let zeros = vec![0.0; z.len()];
        return Row { p: zeros.clone(), relative: zeros.clone(), quality: zeros };
    }
    let e: Vec<f64> = z.iter().map(|z| (z - max).exp()).collect();
    let sum: f64 = e.iter().sum();
    let p: Vec<f64> = e.iter().map(|e| e / sum).collect();
    let seen = z.iter().filter(|z| **z > f64::NEG_INFINITY).count();
    let mut highest = f64::NEG_INFINITY;
    let mut maxima = 0u32;
    for &z in z.iter().filter(|z| **z > f64::NEG_INFINITY) {
        maxima += u32::from(z > highest);
        highest = highest.max(z);
    }
    let rescaled = 5.0 * U * f64::from(maxima - 1 + (2 * seen - 1).ilog2());
    let bounds = |dz: &[f64], chain: f64| -> Vec<f64> {
        // An error of the maximum is common to all elements and cancels, but rounds each difference.
        let each: Vec<f64> = z
            .iter()
            .zip(dz)
            .map(
                |(&z, &dz)| {
                    if z == f64::NEG_INFINITY { 0.0 } else { (dz + (4.0 + 6.0 * (z - max).abs()) * U).exp_m1() }
                },
            )
            .collect();
        let mean: f64 = p.iter().zip(&each).filter(|(p, _)| **p > 0.0).map(|(p, e)| p * e).sum();
        each.iter().map(|e| e + mean + chain + rescaled + 2.5 * U).collect()
    };
    let relative = bounds(dz, gamma(seen.saturating_sub(1)));
    let quality = bounds(probable_dz, probable(seen.saturating_sub(1)));
    Row { p, relative, quality }
}

/// `scale·x + mask`, and the error of computing it: the product, the sum, each rounded once.
pub(super) fn score(scaled: f64, mask: f64) -> (f64, f64) {
    if mask == f64::NEG_INFINITY {
        return (mask, 0.0);
    }
    (scaled + mask, U * (scaled.abs() + (scaled + mask).abs()))
}

pub(super) fn softmax(op: &Softmax, x: &[Tensor], out: &TensorDesc) -> Expected {
    let mut y = Elements::new(out.dtype, out.elements());
    let mut rest = x[1..].iter();
    let mask = if op.mask { rest.next() } else { None };
    let limits = if op.limits { rest.next() } else { None };
    let scale = f64::from(op.scale.0);
    for i in 0..x[0].rows() {
        let limit = limits.map_or(usize::MAX, |t| t.values[i] as usize);
        let (z, dz): (Vec<f64>, Vec<f64>) = x[0]
            .row(i)
            .iter()
            .enumerate()
            .map(|(j, &x)| {
                let mask = if j >= limit { f64::NEG_INFINITY } else { mask.map_or(0.0, |t| t.row(i)[j]) };
                score(scale * x, mask)
            })
            .unzip();
        let row = softmax_row(&z, &dz, &dz);
        for (j, &p) in row.p.iter().enumerate() {
            // A masked element is exactly 0; any other may be flushed on the way.
            if z[j] == f64::NEG_INFINITY {
                y.push(0.0, 0.0, 0.0);
            } else {
                y.push(p, p * row.relative[j] + FLOOR, p * row.quality[j] + FLOOR);
            }
        }
    }
    y.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use unisono_core::DType;
    use unisono_core::op::Real;

    fn tensor(shape: &[usize], values: &[f64]) -> Tensor {
        Tensor { desc: TensorDesc::contiguous(DType::F32, shape).unwrap(), values: values.to_vec() }
    }

    #[test]
    fn probabilities_by_hand() {
        let op = Softmax { scale: Real(2.0), mask: false, limits: false };
        let out = TensorDesc::contiguous(DType::F32, &[1, 2]).unwrap();
        let y = softmax(&op, &[tensor(&[1, 2], &[0.0, 0.5])], &out);
        assert!((y.values[1] - 0.731_058_578_630_004_9).abs() < 1e-14);
        assert!(y.bounds.iter().all(|b| *b < 5e-6));
    }

    #[test]
    fn masked_elements_and_rows_are_zero() {
        let op = Softmax { scale: Real(1.0), mask: true, limits: true };
        let out = TensorDesc::contiguous(DType::F32, &[3, 3]).unwrap();
        let hidden = f64::NEG_INFINITY;
        let x = tensor(&[3, 3], &[7.0; 9]);
        let mask = tensor(&[3, 3], &[0.0, hidden, 0.0, 0.0, 0.0, 0.0, hidden, 0.0, 0.0]);
        let y = softmax(&op, &[x, mask, tensor(&[3], &[3.0, 0.0, 1.0])], &out);
        assert_eq!(y.values, [0.5, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert!(y.bounds[3..].iter().all(|&b| b == 0.0));
    }

    #[test]
    fn huge_scores_do_not_overflow() {
        let row = softmax_row(&[1e4, 0.0, -1e4], &[0.0; 3], &[0.0; 3]);
        assert_eq!(row.p, [1.0, 0.0, 0.0]);
        assert!(row.relative[0] < 1e-5);
    }
}
