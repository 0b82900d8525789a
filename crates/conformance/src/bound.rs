//! The constants and small functions that every error bound is made of; `docs/numerics.md`
//! derives the bounds themselves.
//!
//! The unit of error is one unit in the last place (not half of one), because WGSL lets a device
//! round in either direction.

use unisono_core::DType;

use crate::check::Expected;

/// Relative error of one f32 operation.
pub(crate) const U: f64 = 1.0 / 8_388_608.0;

/// The smallest normal f32: results below it may be flushed to zero.
pub(crate) const FLOOR: f64 = 1.175_494_350_822_287_5e-38;

/// Higham's γₙ = n·u/(1 − n·u): the relative error of n chained operations.
pub(crate) fn gamma(n: usize) -> f64 {
    let nu = n as f64 * U;
    if nu < 1.0 { nu / (1.0 - nu) } else { f64::INFINITY }
}

/// The probable size of the same error: 5·√n·u (Higham & Mary 2019), never above γₙ.
pub(crate) fn probable(n: usize) -> f64 {
    (5.0 * (n as f64).sqrt() * U).min(gamma(n))
}

/// Unit of rounding, smallest subnormal and smallest normal number of a floating-point type.
fn format(dtype: DType) -> (f64, f64, f64) {
    match dtype {
        DType::F16 => (1.0 / 1024.0, 1.0 / 16_777_216.0, 1.0 / 16384.0),
        DType::BF16 => (1.0 / 128.0, FLOOR / 128.0, FLOOR),
        _ => (U, FLOOR * U, FLOOR),
    }
}

/// The smallest normal number of `dtype`; 0 for integers.
pub(crate) fn smallest_normal(dtype: DType) -> f64 {
    if dtype.is_float() { format(dtype).2 } else { 0.0 }
}

/// Whether `dtype` holds `x` exactly.
pub(crate) fn holds(dtype: DType, x: f64) -> bool {
    let (unit, least, normal) = format(dtype);
    if x == 0.0 || x.abs() > crate::check::max_finite(dtype) {
        return x == 0.0;
    }
    // The spacing of the type at x: the unit times the power of two at or below |x|.
    let binade = f64::from_bits(x.abs().to_bits() & 0x7FF0_0000_0000_0000);
    let spacing = if x.abs() < normal { least } else { binade * unit };
    (x / spacing).fract() == 0.0
}

/// Collects the elements of one output; adds what storing them costs.
#[derive(Debug)]
pub(crate) struct Elements {
    dtype: DType,
    expected: Expected,
}

impl Elements {
    /// For an output of `dtype` with room for `n` elements.
    pub(crate) fn new(dtype: DType, n: usize) -> Elements {
        let mut expected = Expected { flush_below: smallest_normal(dtype).max(FLOOR), ..Expected::default() };
        expected.values.reserve(n);
        expected.bounds.reserve(n);
        expected.quality.reserve(n);
        Elements { dtype, expected }
    }

    /// A value that f32 arithmetic computes with at most `bound` (probably `quality`) error.
    pub(crate) fn push(&mut self, value: f64, bound: f64, quality: f64) {
        let stored = |error: f64| {
            // Infinities and NaN are in every type.
            if error == 0.0 && (!value.is_finite() || holds(self.dtype, value)) {
                return 0.0;
            }
            let (unit, least, _) = format(self.dtype);
            // A computed f32 is stored as it is; an exact value that f32 does not hold is rounded once.
            let as_it_is = self.dtype == DType::F32 && error > 0.0;
            let storing = if as_it_is { 0.0 } else { unit * (value.abs() + error) };
            error + storing.max(least)
        };
        let (bound, quality) = (stored(bound), stored(quality));
        self.push_exact(value, bound, quality);
    }

    /// As [`push`](Self::push), with bounds that need no addition.
    pub(crate) fn push_exact(&mut self, value: f64, bound: f64, quality: f64) {
        self.expected.values.push(value);
        self.expected.bounds.push(if bound.is_nan() { f64::INFINITY } else { bound });
        self.expected.quality.push(if quality.is_nan() { f64::INFINITY } else { quality });
    }

    /// The finished output.
    pub(crate) fn finish(self) -> Expected {
        self.expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_hold_what_they_hold() {
        for (dtype, x, expected) in [
            (DType::F16, 2048.0, true),
            (DType::F16, 2049.0, false),
            (DType::F16, 65504.0, true),
            (DType::F16, 65536.0, false),
            (DType::F16, 3.0 / 16_777_216.0, true),
            (DType::F16, 0.5 / 16_777_216.0, false),
            (DType::BF16, 257.0, false),
            (DType::BF16, 258.0, true),
            (DType::F32, 16_777_217.0, false),
            (DType::F32, 0.1, false),
        ] {
            assert_eq!(holds(dtype, x), expected, "{dtype} {x}");
        }
    }

    #[test]
    fn gamma_grows_and_saturates() {
        assert!(gamma(1) > U && gamma(1000) > 1000.0 * U);
        assert_eq!(gamma(1 << 24), f64::INFINITY);
        assert!(probable(4) <= gamma(4) && probable(10_000) < gamma(10_000));
    }
}
