//! How other projects compare an output with what it should be, by their own stated thresholds.
//!
//! Each function says whether that project's test would reject an output. The reference is the
//! exact value as the type of the output holds it, where theirs is another backend or a stored
//! output, so they are scored at their best. Sources, read in 2026: ggml `tests/test-backend-ops.cpp` (`nmse`, `max_nmse_err` and
//! the checks of NaN and infinity before it); burn `Tolerance::default` (`balanced`) and its
//! `approx_eq`; the ONNX backend test runner (`rtol = 1e-3`, `atol = 1e-7` through
//! `numpy.testing.assert_allclose`).

use half::{bf16, f16};
use unisono_conformance::{Observation, read_logical};
use unisono_core::DType;

/// Which of the comparators reject an output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    /// ggml: normalised mean squared error over a threshold of the operation.
    pub ggml: bool,
    /// burn: default tolerance.
    pub burn: bool,
    /// ONNX backend tests.
    pub onnx: bool,
}

impl Rejected {
    /// Rejected by every one: a crash is seen by any test.
    pub const ALL: Rejected = Rejected { ggml: true, burn: true, onnx: true };
}

/// Judges one output of an operation of `family`, whose first input has the type `from`.
pub fn judge(family: &str, from: DType, seen: &Observation<'_>) -> Rejected {
    let expected: Vec<f64> = seen.expected.values.iter().map(|&v| stored(seen.desc.dtype, v)).collect();
    let Some(actual) = read_logical(seen.desc, seen.actual).filter(|a| a.len() == expected.len()) else {
        return Rejected::ALL;
    };
    let limit = ggml_limit(family, from, seen.desc.dtype, expected.len());
    Rejected {
        ggml: ggml(&expected, &actual, limit),
        burn: expected.iter().zip(&actual).any(|(&e, &a)| !burn_close(e, a)),
        onnx: expected.iter().zip(&actual).any(|(&e, &a)| !onnx_close(e, a)),
    }
}

/// `value` as `dtype` holds it.
fn stored(dtype: DType, value: f64) -> f64 {
    match dtype {
        DType::F16 => f16::from_f64(value).to_f64(),
        DType::BF16 => bf16::from_f64(value).to_f64(),
        DType::F32 => f64::from(value as f32),
        _ => value,
    }
}

/// The threshold of ggml for the operation that is closest to `family`.
pub fn ggml_limit(family: &str, from: DType, to: DType, elements: usize) -> f64 {
    // One code of a block is off by one: an eighth of the range for 4 bits, a quarter of the square
    // of the range for the mean square.
    if to.is_block() {
        let step: f64 = match to {
            DType::Q8_0 => 1.0 / 64.0,
            DType::Q5_0 | DType::Q5_1 => 1.0 / 16.0,
            _ => 1.0 / 8.0,
        };
        return step * step / (0.25 * elements.max(1) as f64);
    }
    match family {
        "matmul" | "matmul_id" | "linear" | "attention" | "conv1d" | "conv2d" => 5e-4,
        "softmax" => 1e-6,
        "copy" if from == to => 0.0,
        "copy" => 1e-6,
        "argmax" => 0.0,
        _ => 1e-7,
    }
}

/// Σ(a−b)² / Σa² over `limit`, in f32 as they read outputs; NaN, or an infinity on one side only, is
/// rejected before. A quotient that is NaN itself is not over the limit.
fn ggml(expected: &[f64], actual: &[f64], limit: f64) -> bool {
    let huge = |x: f32| x.is_infinite() || x.abs() == f32::MAX;
    let (mut difference, mut size) = (0.0, 0.0);
    for (&e, &a) in expected.iter().zip(actual) {
        let (e, a) = (e as f32, a as f32);
        if e.is_nan() || a.is_nan() {
            return true;
        }
        if huge(e) || huge(a) {
            if !(huge(e) && huge(a)) || e.is_sign_negative() != a.is_sign_negative() {
                return true;
            }
            continue;
        }
        difference += f64::from((e - a) * (e - a));
        size += f64::from(e * e);
    }
    difference / size > limit
}

/// |x − y| < max(1e-5, 0.005·max(|x|, |y|)), or both are NaN.
fn burn_close(x: f64, y: f64) -> bool {
    let (x, y) = (x as f32, y as f32);
    x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() < (0.005 * x.abs().max(y.abs())).max(1e-5)
}

/// |a − e| ≤ 1e-7 + 1e-3·|e|; infinities and NaN must be the same.
fn onnx_close(e: f64, a: f64) -> bool {
    e == a || (e.is_nan() && a.is_nan()) || (e.is_finite() && (a - e).abs() <= 1e-7 + 1e-3 * e.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_threshold() {
        assert!(!ggml(&[1.0, 2.0], &[1.0, 2.04], 5e-4));
        assert!(ggml(&[1.0, 2.0], &[1.0, 2.06], 5e-4));
        assert!(ggml(&[1.0], &[f64::NAN], 5e-4) && ggml(&[1.0], &[f64::INFINITY], 5e-4));
        assert!(!ggml(&[0.0], &[0.0], 0.0), "0/0 is not over the limit");
        assert!(burn_close(1.0, 1.0049) && !burn_close(1.0, 1.0051) && burn_close(0.0, 9e-6));
        assert!(onnx_close(1.0, 1.0009) && !onnx_close(1.0, 1.0011) && !onnx_close(0.0, 1e-6));
        assert!(!onnx_close(f64::INFINITY, 1.0) && onnx_close(f64::NAN, f64::NAN));
    }
}
