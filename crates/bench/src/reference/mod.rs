//! A fixed kernel that is timed again and again between the others, to see whether the machine stays
//! the same: a processor that throttles or a neighbour on the same memory slows it down too.
//!
//! There are two, since either may happen alone: a product of matrices that fit a cache, and a copy
//! that does not. They are always the same operations, whatever is measured.

#[cfg(not(target_family = "wasm"))]
mod kernels;

use serde::{Deserialize, Serialize};

use crate::stats::{median, quantile};

#[cfg(not(target_family = "wasm"))]
pub use kernels::Reference;

/// How far the reference may stray from its median over the run before a row is flagged.
pub const DRIFT_LIMIT: f64 = 0.10;

/// Seconds of one run of the two references.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Beat {
    /// The product of two f32 matrices of 256 × 256.
    pub compute: f64,
    /// The copy of 16 MiB.
    pub memory: f64,
}

/// The median of both over `beats`.
pub fn middle(beats: &[Beat]) -> Option<Beat> {
    let of = |f: fn(&Beat) -> f64| median(&beats.iter().map(f).collect::<Vec<f64>>());
    Some(Beat { compute: of(|b| b.compute)?, memory: of(|b| b.memory)? })
}

/// How much slower the slowest fifth of `beats` is at least than the fastest fifth at most, as a
/// ratio: of the reference that varies more.
pub fn spread(beats: &[Beat]) -> Option<f64> {
    let of = |f: fn(&Beat) -> f64| {
        let mut seconds: Vec<f64> = beats.iter().map(f).collect();
        seconds.sort_by(f64::total_cmp);
        Some(quantile(&seconds, 0.8)? / quantile(&seconds, 0.2)?)
    };
    Some(of(|b| b.compute)?.max(of(|b| b.memory)?)).filter(|s| s.is_finite())
}

/// How far the references were from `usual` during a row: the one that strayed further, as a ratio
/// (1.2: a fifth slower).
pub fn drift(during: &[Beat], usual: Beat) -> Option<f64> {
    let now = middle(during)?;
    let ratios = [now.compute / usual.compute, now.memory / usual.memory];
    ratios.into_iter().filter(|r| r.is_finite() && *r > 0.0).max_by(|a, b| a.ln().abs().total_cmp(&b.ln().abs()))
}

/// Whether so much drift makes a row doubtful.
pub fn strays(drift: f64) -> bool {
    drift.ln().abs() > DRIFT_LIMIT.ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_that_of_the_reference_that_strayed_further() {
        let beat = |compute, memory| Beat { compute, memory };
        let usual = beat(1.0, 2.0);
        assert_eq!(drift(&[beat(1.0, 2.0)], usual), Some(1.0));
        assert_eq!(drift(&[beat(1.05, 3.0), beat(1.05, 3.0)], usual), Some(1.5));
        assert_eq!(drift(&[beat(0.5, 2.2)], usual), Some(0.5));
        assert_eq!(drift(&[], usual), None);
        let beats: Vec<Beat> = (0..6).map(|i| beat(1.0, 1.0 + 0.1 * f64::from(i))).collect();
        assert!((spread(&beats).unwrap() - 1.4 / 1.1).abs() < 1e-12 && spread(&[]).is_none());
        assert!(strays(1.11) && !strays(1.09) && strays(0.90) && !strays(0.92));
    }
}
