//! The comparison: element by element against the oracle's value and its bound.
//!
//! The test is "not (error ≤ bound) fails", so that a NaN never passes by accident. Two things a
//! device may do are admitted here once for all operations: a result below the smallest normal
//! number may be flushed to zero, and a result that may lie beyond the range of its type may be
//! the infinity or the largest finite number of the right sign.

use unisono_core::{DType, TensorDesc};

use crate::data::{read_integers, read_logical};

/// What one output must be: a value and two bounds per element, in logical row-major order.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// The exact result of the inputs as stored.
    pub values: Vec<f64>,
    /// The largest admissible error. 0 asks for equality, +∞ marks an element for which nothing is
    /// guaranteed (a division by a subnormal number, say).
    pub bounds: Vec<f64>,
    /// The error that is probable for correct code; more of it is a warning.
    pub quality: Vec<f64>,
    /// A value smaller than this may come out as zero.
    pub flush_below: f64,
    /// Whether the sign of a zero counts (data that is moved, bit for bit).
    pub signed_zero: bool,
    /// The exact elements of an `i64` output, which must be met exactly; `values` are rounded.
    pub integers: Option<Vec<i64>>,
}

/// One element that is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mismatch {
    /// Its logical row-major index.
    pub index: usize,
    /// The oracle's value.
    pub expected: f64,
    /// What the device wrote.
    pub actual: f64,
    /// The admissible error.
    pub bound: f64,
}

/// The result of comparing one output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// How many elements were compared.
    pub elements: usize,
    /// How many are over their bound.
    pub failures: usize,
    /// How many are within their bound and over the probable error.
    pub warnings: usize,
    /// The largest error/bound.
    pub worst_ratio: f64,
    /// The largest error/(probable error).
    pub worst_quality_ratio: f64,
    /// The element with the largest error/bound, or the first failure; none where nothing deviates.
    pub worst: Option<Mismatch>,
}

impl Outcome {
    /// Whether every element is within its bound.
    pub fn passed(&self) -> bool {
        self.failures == 0
    }
}

/// The largest finite number of a floating-point type.
pub(crate) fn max_finite(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 65504.0,
        DType::BF16 => f64::from(half::bf16::MAX),
        _ => f64::from(f32::MAX),
    }
}

impl Expected {
    /// error/bound of `actual` at `index`: above 1, or infinite, is a failure.
    pub(crate) fn ratio(&self, index: usize, actual: f64, bound: f64, dtype: DType) -> f64 {
        let value = self.values[index];
        if bound == f64::INFINITY || (value.is_nan() && actual.is_nan()) {
            return 0.0;
        }
        if value == actual {
            let sign_matters = self.signed_zero && value == 0.0;
            return if sign_matters && value.is_sign_negative() != actual.is_sign_negative() {
                f64::INFINITY
            } else {
                0.0
            };
        }
        if actual == 0.0 && value.abs() - bound < self.flush_below {
            return 0.0;
        }
        let max = max_finite(dtype);
        if dtype.is_float() && bound > 0.0 && value.abs() + bound >= max && actual.abs() >= max {
            let right_sign = actual.is_sign_negative() == value.is_sign_negative();
            return if right_sign { 0.0 } else { f64::INFINITY };
        }
        let error = (actual - value).abs();
        // NaN fails this comparison, and is reported as infinitely wrong.
        if error <= bound {
            return error / bound;
        }
        if error.is_finite() && bound > 0.0 { (error / bound).max(1.0 + f64::EPSILON) } else { f64::INFINITY }
    }
}

/// Compares an output, given as the bytes over the span of `desc`, with what it must be. An output
/// with a different number of elements, or too few bytes, fails in every element.
pub fn check(expected: &Expected, desc: &TensorDesc, bytes: &[u8]) -> Outcome {
    let mut outcome = Outcome { elements: expected.values.len(), ..Outcome::default() };
    let Some(actual) = read_logical(desc, bytes).filter(|a| a.len() == expected.values.len()) else {
        outcome.failures = expected.values.len().max(1);
        outcome.worst_ratio = f64::INFINITY;
        return outcome;
    };
    let exact = expected.integers.as_ref().zip(read_integers(desc, bytes));
    for (index, &actual) in actual.iter().enumerate() {
        if let Some((wanted, read)) = &exact
            && wanted[index] != read[index]
        {
            outcome.failures += 1;
            outcome.worst_ratio = f64::INFINITY;
            let expected = expected.values[index];
            outcome.worst.get_or_insert(Mismatch { index, expected, actual, bound: 0.0 });
            continue;
        }
        let bound = expected.bounds[index];
        let ratio = expected.ratio(index, actual, bound, desc.dtype);
        let quality = expected.ratio(index, actual, expected.quality[index].min(bound), desc.dtype);
        let failed = ratio > 1.0;
        outcome.failures += usize::from(failed);
        outcome.warnings += usize::from(!failed && quality > 1.0);
        outcome.worst_quality_ratio = outcome.worst_quality_ratio.max(quality);
        if ratio > outcome.worst_ratio {
            outcome.worst_ratio = ratio;
            outcome.worst = Some(Mismatch { index, expected: expected.values[index], actual, bound });
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: f64, bound: f64, actual: f32) -> bool {
        let expected = Expected {
            values: vec![value],
            bounds: vec![bound],
            quality: vec![bound],
            flush_below: f64::from(f32::MIN_POSITIVE),
            ..Expected::default()
        };
        let desc = TensorDesc::contiguous(DType::F32, &[1]).unwrap();
        check(&expected, &desc, &actual.to_le_bytes()).passed()
    }

    #[test]
    fn nan_never_passes() {
        assert!(!one(1.0, 1e9, f32::NAN));
        assert!(!one(0.0, 0.0, f32::NAN));
        assert!(!one(1.0, 0.5, f32::INFINITY));
        assert!(one(f64::NAN, 0.0, f32::NAN), "a NaN that the contract asks for");
    }

    #[test]
    fn flush_and_overflow_are_admitted_at_the_edges_only() {
        assert!(one(1e-40, 0.0, 0.0));
        assert!(!one(1e-30, 0.0, 0.0));
        assert!(one(3.5e38, 1e32, f32::INFINITY));
        assert!(one(3.5e38, 1e32, f32::MAX));
        assert!(!one(3.5e38, 1e32, f32::NEG_INFINITY));
        assert!(!one(3.0e38, 1e32, f32::INFINITY));
        assert!(!one(f64::INFINITY, 0.0, f32::MAX), "a cast must give the infinity itself");
    }

    #[test]
    fn bound_is_a_bound() {
        assert!(one(1.0, 0.25, 1.25));
        assert!(!one(1.0, 0.25, 1.2500001));
        assert!(!one(1.0, 0.0, 1.0000001));
    }

    #[test]
    fn short_output_fails() {
        let expected =
            Expected { values: vec![0.0; 2], bounds: vec![0.0; 2], quality: vec![0.0; 2], ..Expected::default() };
        let desc = TensorDesc::contiguous(DType::F32, &[2]).unwrap();
        assert!(!check(&expected, &desc, &[0; 4]).passed());
    }
}
