//! Statistics of a handful of times: the median with its spread, and how sure it is.
//!
//! Times of a kernel are not normal: they have a floor and a long tail of interruptions. So nothing
//! here uses a mean or a deviation, and the interval comes from resampling (Efron's bootstrap), with
//! a fixed seed, so that the same samples always give the same interval.

use oorandom::Rand64;
use serde::{Deserialize, Serialize};

/// How sure intervals of a report are.
pub const CONFIDENCE: f64 = 0.95;

/// Draws of a bootstrap: enough for the quantiles of an interval of 95%.
const RESAMPLES: usize = 1000;

/// What a set of samples says, in their unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The middle.
    pub median: f64,
    /// A fifth of the samples is below.
    pub p20: f64,
    /// A fifth of the samples is above.
    pub p80: f64,
    /// Lower end of the bootstrap interval of the median, at [`CONFIDENCE`].
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
}

impl Summary {
    /// Of at least one sample.
    pub fn of(samples: &[f64]) -> Option<Summary> {
        let sorted = sorted(samples);
        let (low, high) = interval(samples, CONFIDENCE)?;
        Some(Summary {
            median: quantile(&sorted, 0.5)?,
            p20: quantile(&sorted, 0.2)?,
            p80: quantile(&sorted, 0.8)?,
            low,
            high,
        })
    }
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The value below which the fraction `q` of `sorted` lies, with linear interpolation between
/// neighbours (Hyndman & Fan's type 7). `None` of nothing.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = q.clamp(0.0, 1.0) * last as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(last);
    Some(sorted[below] + (sorted[above] - sorted[below]) * (at - below as f64))
}

/// The middle of `samples` in any order; `None` of nothing.
pub fn median(samples: &[f64]) -> Option<f64> {
    quantile(&sorted(samples), 0.5)
}

/// The percentile bootstrap interval of the median at the given confidence; `None` of nothing.
pub fn interval(samples: &[f64], confidence: f64) -> Option<(f64, f64)> {
    ends(medians(samples)?, confidence)
}

/// The percentile bootstrap interval of the ratio of two medians; `None` where either has no sample.
pub fn ratio_interval(above: &[f64], below: &[f64], confidence: f64) -> Option<(f64, f64)> {
    let ratios = medians(above)?.into_iter().zip(medians(below)?).map(|(a, b)| a / b);
    ends(ratios.collect(), confidence)
}

fn ends(mut drawn: Vec<f64>, confidence: f64) -> Option<(f64, f64)> {
    let tail = ((1.0 - confidence) / 2.0).clamp(0.0, 0.5);
    drawn.sort_by(f64::total_cmp);
    Some((quantile(&drawn, tail)?, quantile(&drawn, 1.0 - tail)?))
}

/// The medians of samples drawn from `samples`, each as many as these.
fn medians(samples: &[f64]) -> Option<Vec<f64>> {
    if samples.is_empty() {
        return None;
    }
    // The same samples give the same interval, whatever else was measured.
    let seed = samples.iter().fold(samples.len() as u128, |s, x| s.rotate_left(9) ^ u128::from(x.to_bits()));
    let mut random = Rand64::new(seed);
    let mut drawn = vec![0.0; samples.len()];
    let mut draw = || {
        for slot in &mut drawn {
            *slot = samples[random.rand_range(0..samples.len() as u64) as usize];
        }
        middle(&mut drawn)
    };
    Some((0..RESAMPLES).map(|_| draw()).collect())
}

fn middle(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    if n % 2 == 1 { values[n / 2] } else { 0.5 * (values[n / 2 - 1] + values[n / 2]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_by_hand() {
        let x = [1.0, 2.0, 3.0, 4.0, 10.0];
        assert_eq!(quantile(&x, 0.5), Some(3.0));
        assert_eq!(quantile(&x, 0.2), Some(1.8));
        assert!((quantile(&x, 0.8).unwrap() - 5.2).abs() < 1e-12);
        assert_eq!(quantile(&x, 1.0), Some(10.0));
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
    }

    #[test]
    fn intervals_hold_the_median_and_widen_with_confidence() {
        let mut random = Rand64::new(7);
        let samples: Vec<f64> = (0..25).map(|_| 1.0 + random.rand_float()).collect();
        let middle = median(&samples).unwrap();
        let (low, high) = interval(&samples, 0.95).unwrap();
        assert!(low <= middle && middle <= high && low < high, "{low} {middle} {high}");
        let (wider_low, wider_high) = interval(&samples, 0.99).unwrap();
        assert!(wider_low <= low && high <= wider_high && wider_high - wider_low > high - low);
        assert_eq!(interval(&samples, 0.95), Some((low, high)), "the same samples, the same interval");
        assert_eq!(interval(&[3.0; 15], 0.95), Some((3.0, 3.0)));
        assert_eq!(interval(&[], 0.95), None);
    }

    #[test]
    fn the_interval_of_a_ratio_holds_it() {
        let mut random = Rand64::new(3);
        let mut around = |middle: f64| -> Vec<f64> {
            (0..15).map(|_| middle * (1.0 + 0.04 * (random.rand_float() - 0.5))).collect()
        };
        let (fast, slow, same) = (around(2.0), around(2.5), around(2.0));
        let (low, high) = ratio_interval(&slow, &fast, 0.99).unwrap();
        assert!(1.2 < low && low < 1.25 && 1.25 < high && high < 1.3, "{low} {high}");
        let (low, high) = ratio_interval(&same, &fast, 0.99).unwrap();
        assert!(low <= 1.0 && high >= 1.0, "{low} {high}");
        let (narrow_low, narrow_high) = ratio_interval(&same, &fast, 0.8).unwrap();
        assert!(low <= narrow_low && narrow_high <= high && narrow_high - narrow_low < high - low);
        assert_eq!((ratio_interval(&[], &fast, 0.99), ratio_interval(&fast, &[], 0.99)), (None, None));
    }

    /// The interval of 95% must hold the true median in about that share of experiments.
    #[test]
    fn intervals_cover_what_they_promise() {
        let mut random = Rand64::new(11);
        let holds = |random: &mut Rand64| {
            let samples: Vec<f64> = (0..21).map(|_| -random.rand_float().max(1e-12).ln()).collect();
            let (low, high) = interval(&samples, 0.95).unwrap();
            (low..=high).contains(&std::f64::consts::LN_2)
        };
        let held = (0..400).filter(|_| holds(&mut random)).count();
        assert!((364..=396).contains(&held), "{held} of 400");
    }
}
