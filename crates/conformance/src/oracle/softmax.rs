//! Softmax, for itself and for attention.

use unisono_core::op::Softmax;
use unisono_core::{DType, TensorDesc};

use super::Tensor;
use crate::bound::{Elements, FLOOR, U, gamma, probable};
use crate::check::{Expected, max_finite};

/// The error of a built-in logarithm between ½ and 2; 3 units elsewhere (WGSL).
const LOG_ABSOLUTE: f64 = 1.0 / 2_097_152.0;

/// The scores of one row, −∞ where masked, with the absolute error of each and its probable size.
#[derive(Default)]
pub(super) struct Scores {
    pub(super) z: Vec<f64>,
    pub(super) bound: Vec<f64>,
    pub(super) quality: Vec<f64>,
}

impl Scores {
    pub(super) fn push(&mut self, z: f64, bound: f64, quality: f64) {
        self.z.push(z);
        self.bound.push(bound);
        self.quality.push(quality);
    }
}

/// One row's probabilities with their relative errors, and the logarithm of its sum.
pub(super) struct Row {
    pub(super) p: Vec<f64>,
    pub(super) relative: Vec<f64>,
    pub(super) quality: Vec<f64>,
    /// The largest of scores and sink.
    top: f64,
    /// `ln Σ exp(z − top)`, its error and the probable size of that.
    log_sum: [f64; 3],
    /// How often a kernel may rescale what it has: at each new maximum, and where parts join.
    rescales: u32,
}

/// Softmax of scores, with a sink that takes part in the sum alone.
///
/// `ε_j = (4 + 6|z_j − max|)·u` covers subtraction and exponential; an error of the scores acts on
/// `p` as `e^δ − 1`; the sum adds γ_{n−1}, the division 2.5u (Blanchard, D. Higham & N. Higham
/// 2021). A kernel that sees the row in one pass rescales at each new maximum, and where partial
/// sums are joined: 5u each. With a NaN or +∞ nothing is guaranteed: every bound is NaN.
pub(super) fn softmax_row(scores: &Scores, sink: Option<f64>) -> Row {
    if scores.z.iter().chain(&sink).any(|z| z.is_nan() || *z == f64::INFINITY) {
        let unknown = vec![f64::NAN; scores.z.len()];
        let (relative, quality) = (unknown.clone(), unknown.clone());
        return Row { p: unknown, relative, quality, top: f64::NAN, log_sum: [f64::NAN; 3], rescales: 0 };
    }
    let visible = || scores.z.iter().copied().filter(|z| *z > f64::NEG_INFINITY);
    if visible().next().is_none() {
        let zeros = vec![0.0; scores.z.len()];
        return Row {
            p: zeros.clone(),
            relative: zeros.clone(),
            quality: zeros,
            top: f64::NEG_INFINITY,
            log_sum: [0.0; 3],
            rescales: 0,
        };
    }
    let top = visible().chain(sink).fold(f64::NEG_INFINITY, f64::max);
    let e: Vec<f64> = scores.z.iter().map(|z| (z - top).exp()).collect();
    let sunk = sink.map_or(0.0, |sink| (sink - top).exp());
    let sum: f64 = e.iter().sum::<f64>() + sunk;
    let p: Vec<f64> = e.iter().map(|e| e / sum).collect();
    let extra = usize::from(sink.is_some());
    let seen = visible().count() + extra;
    let mut highest = f64::NEG_INFINITY;
    let mut maxima = extra as u32;
    for z in visible() {
        maxima += u32::from(z > highest);
        highest = highest.max(z);
    }
    let rescales = maxima - 1 + (2 * seen - 1).ilog2();
    let rescaled = 5.0 * U * f64::from(rescales);
    // An error of the maximum is common to all elements and cancels, but rounds each difference.
    let exponential = |z: f64, dz: f64| (dz + (4.0 + 6.0 * (z - top).abs()) * U).exp_m1();
    let bounds = |dz: &[f64], chain: f64| -> (Vec<f64>, f64) {
        let relative = |(&z, &dz): (&f64, &f64)| if z == f64::NEG_INFINITY { 0.0 } else { exponential(z, dz) };
        let each: Vec<f64> = scores.z.iter().zip(dz).map(relative).collect();
        let mean: f64 = p.iter().zip(&each).filter(|(p, _)| **p > 0.0).map(|(p, e)| p * e).sum();
        let of_sink = sink.filter(|_| sunk > 0.0).map_or(0.0, |sink| sunk / sum * exponential(sink, 0.0));
        let of_sum = mean + of_sink + chain + rescaled;
        (each.iter().map(|e| e + of_sum + 2.5 * U).collect(), of_sum)
    };
    let (relative, of_sum) = bounds(&scores.bound, gamma(seen - 1));
    let (quality, probable_of_sum) = bounds(&scores.quality, probable(seen - 1));
    let log = sum.ln();
    let log_error = |of_sum: f64| {
        let moved = if of_sum < 1.0 { -(-of_sum).ln_1p() } else { f64::INFINITY };
        moved + (3.0 * U * log.abs()).max(LOG_ABSOLUTE)
    };
    Row { p, relative, quality, top, log_sum: [log, log_error(of_sum), log_error(probable_of_sum)], rescales }
}

impl Row {
    /// `Σ exp(z − top)`, by which a kernel divides at the end.
    pub(super) fn sum(&self) -> f64 {
        self.log_sum[0].exp()
    }

    /// How many terms a weighted sum of `n` seems to have where partial sums are rescaled.
    pub(super) fn chain(&self, n: usize) -> usize {
        n + self.rescales as usize
    }
}

/// `scale·x + mask`, and the error of computing it: the product, the sum, each rounded once.
pub(super) fn score(scaled: f64, mask: f64) -> (f64, f64) {
    if mask == f64::NEG_INFINITY {
        return (mask, 0.0);
    }
    (scaled + mask, U * (scaled.abs() + (scaled + mask).abs()))
}

/// What element `i` of a mask adds: a boolean one 0 or −∞.
pub(super) fn mask_at(mask: Option<&Tensor>, i: usize) -> f64 {
    let Some(t) = mask else { return 0.0 };
    match (t.desc.dtype, t.values[i]) {
        (DType::Bool, 0.0) => f64::NEG_INFINITY,
        (DType::Bool, _) => 0.0,
        (_, value) => value,
    }
}

/// The elements that take part before any mask: `window` of them below `end`.
pub(super) fn visible_range(end: usize, window: Option<u32>) -> std::ops::Range<usize> {
    let first = window.map_or(0, |w| end.saturating_sub(w as usize));
    first..end
}

pub(super) fn softmax(op: &Softmax, x: &[Tensor], out: &TensorDesc) -> Expected {
    let mut y = Elements::new(out.dtype, out.elements());
    let mut rest = x[1..].iter();
    let mask = if op.mask { rest.next() } else { None };
    let limits = if op.limits { rest.next() } else { None };
    let sinks = if op.sinks { rest.next() } else { None };
    let scale = f64::from(op.scale.0);
    let n = x[0].last();
    for i in 0..x[0].rows() {
        let range = visible_range(limits.map_or(n, |t| (t.values[i] as usize).min(n)), op.window);
        let mut scores = Scores::default();
        for (j, &x) in x[0].row(i).iter().enumerate() {
            let mask = if range.contains(&j) { mask_at(mask, i * n + j) } else { f64::NEG_INFINITY };
            let (z, error) = score(scale * x, mask);
            scores.push(z, error, error);
        }
        let row = softmax_row(&scores, sinks.map(|t| t.values[i]));
        for (j, &z) in scores.z.iter().enumerate() {
            if row.top.is_nan() {
                y.push_exact(f64::NAN, f64::INFINITY, f64::INFINITY);
                continue;
            }
            // A masked element is exact; any other probability may be flushed on the way.
            if z == f64::NEG_INFINITY {
                y.push(if op.log { -max_finite(out.dtype) } else { 0.0 }, 0.0, 0.0);
            } else if op.log {
                let below = z - row.top;
                let [log, bound, quality] = row.log_sum;
                let rounding = U * (below.abs() + (below - log).abs());
                y.push(below - log, bound + scores.bound[j] + rounding, quality + scores.quality[j] + rounding);
            } else {
                let p = row.p[j];
                y.push(p, p * row.relative[j] + FLOOR, p * row.quality[j] + FLOOR);
            }
        }
    }
    y.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize], values: &[f64]) -> Tensor {
        Tensor { desc: TensorDesc::contiguous(DType::F32, shape).unwrap(), values: values.to_vec() }
    }

    fn row(z: &[f64], sink: Option<f64>) -> Row {
        let zeros = vec![0.0; z.len()];
        softmax_row(&Scores { z: z.to_vec(), bound: zeros.clone(), quality: zeros }, sink)
    }

    #[test]
    fn probabilities_by_hand() {
        let out = TensorDesc::contiguous(DType::F32, &[1, 2]).unwrap();
        let y = softmax(&Softmax::new(2.0), &[tensor(&[1, 2], &[0.0, 0.5])], &out);
        assert!((y.values[1] - 0.731_058_578_630_004_9).abs() < 1e-14);
        assert!(y.bounds.iter().all(|b| *b < 5e-6));
    }

    #[test]
    fn masked_elements_and_rows_are_zero() {
        let op = Softmax { mask: true, limits: true, ..Softmax::new(1.0) };
        let out = TensorDesc::contiguous(DType::F32, &[3, 3]).unwrap();
        let hidden = f64::NEG_INFINITY;
        let x = tensor(&[3, 3], &[7.0; 9]);
        let mask = tensor(&[3, 3], &[0.0, hidden, 0.0, 0.0, 0.0, 0.0, hidden, 0.0, 0.0]);
        let y = softmax(&op, &[x, mask, tensor(&[3], &[3.0, 0.0, 1.0])], &out);
        assert_eq!(y.values, [0.5, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert!(y.bounds[3..].iter().all(|&b| b == 0.0));
    }

    #[test]
    fn a_window_and_a_boolean_mask_hide_elements() {
        let op = Softmax { mask: true, limits: true, window: Some(2), ..Softmax::new(1.0) };
        let out = TensorDesc::contiguous(DType::F32, &[2, 4]).unwrap();
        let mask = Tensor {
            desc: TensorDesc::contiguous(DType::Bool, &[2, 4]).unwrap(),
            values: vec![1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
        };
        let x = [tensor(&[2, 4], &[7.0; 8]), mask, tensor(&[2], &[3.0, 9.0])];
        let y = softmax(&op, &x, &out);
        assert_eq!(y.values, [0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn a_sink_takes_its_share_and_the_logarithm_agrees() {
        let half = row(&[0.0], Some(0.0));
        assert_eq!(half.p, [0.5]);
        assert_eq!(row(&[f64::NEG_INFINITY], Some(0.0)).p, [0.0]);
        let out = TensorDesc::contiguous(DType::F16, &[2, 2]).unwrap();
        let op = Softmax { log: true, sinks: true, limits: true, ..Softmax::new(1.0) };
        let x = [tensor(&[2, 2], &[1.0, 3.0, 1.0, 3.0]), tensor(&[2], &[2.0, 0.0]), tensor(&[2], &[2.0, 2.0])];
        let y = softmax(&op, &x, &out);
        let sum = (1f64.exp() + 2f64.exp() + 3f64.exp()).ln();
        assert!((y.values[0] - (1.0 - sum)).abs() < 1e-14 && (y.values[1] - (3.0 - sum)).abs() < 1e-14);
        assert_eq!(y.values[2..], [-65504.0; 2]);
    }

    #[test]
    fn huge_scores_do_not_overflow() {
        let row = row(&[1e4, 0.0, -1e4], None);
        assert_eq!(row.p, [1.0, 0.0, 0.0]);
        assert!(row.relative[0] < 1e-5);
    }
}
