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
    if samples.is_empty() {
        return None;
    }
    let tail = ((1.0 - confidence) / 2.0).clamp(0.0, 0.5);
    // The same samples give the same interval, whatever else was measured.
    let seed = samples.iter().fold(samples.len() as u128, |s, x| s.rotate_left(9) ^ u128::from(x.to_bits()));
    let mut random = Rand64::new(seed);
    let mut medians = Vec::with_capacity(RESAMPLES);
    let mut drawn = vec![0.0; samples.len()];
    for _ in 0..RESAMPLES {
        for slot in &mut drawn {
            *slot = samples[random.rand_range(0..samples.len() as u64) as usize];
        }
        medians.push(middle(&mut drawn));
    }
    medians.sort_by(f64::total_cmp);
    Some((quantile(&medians, tail)?, quantile(&medians, 1.0 - tail)?))
}

fn middle(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    if n % 2 == 1 { values[n / 2] } else { 0.5 * (values[n / 2 - 1] + values[n / 2]) }
}

/// The two-sided p-value of the hypothesis that `a` and `b` come from one distribution, by their
/// ranks (Mann & Whitney 1947, normal approximation with ties): outliers count no more than others.
/// 1 where either is empty.
pub fn rank_test(a: &[f64], b: &[f64]) -> f64 {
    let (n, m) = (a.len() as f64, b.len() as f64);
    let mut all: Vec<(f64, bool)> = a.iter().map(|&x| (x, true)).chain(b.iter().map(|&x| (x, false))).collect();
    all.sort_by(|x, y| x.0.total_cmp(&y.0));
    let (mut ranks, mut ties, mut before) = (0.0, 0.0, 0.0);
    for equal in all.chunk_by(|x, y| x.0 == y.0) {
        let size = equal.len() as f64;
        // Equal values share the middle of their ranks.
        ranks += (before + (size + 1.0) / 2.0) * equal.iter().filter(|x| x.1).count() as f64;
        ties += size * (size * size - 1.0);
        before += size;
    }
    let total = n + m;
    let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)).max(1.0));
    let distance = (ranks - n * (n + 1.0) / 2.0 - n * m / 2.0).abs() - 0.5;
    if variance <= 0.0 || distance <= 0.0 { 1.0 } else { libm::erfc(distance / (2.0 * variance).sqrt()) }
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

    /// Against tables of the exact distribution, to which the approximation is close.
    #[test]
    fn ranks_tell_samples_apart() {
        let a: Vec<f64> = (0..15).map(f64::from).collect();
        let beyond: Vec<f64> = a.iter().map(|x| x + 100.0).collect();
        assert!(rank_test(&a, &beyond) < 5e-6);
        assert!(rank_test(&a, &a) > 0.9 && rank_test(&a, &[]) == 1.0 && rank_test(&[2.0; 9], &[2.0; 9]) == 1.0);
        // n = m = 5, U = 2: exactly 0.0317.
        let p = rank_test(&[1.0, 2.0, 3.0, 4.0, 7.0], &[5.0, 6.0, 8.0, 9.0, 10.0]);
        assert!((p - 0.0317).abs() < 0.006, "{p}");
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
