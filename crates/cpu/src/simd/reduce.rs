//! Sums and maxima over slices, with 32 independent lanes: enough for the latency of four vector
//! additions, and a summation error that grows with n/32.

use super::{fma, simd_fn};

const LANES: usize = 32;

macro_rules! lanes {
    ($x:expr, $start:expr, $step:expr) => {{
        let mut lanes = [$start; LANES];
        let chunks = $x.chunks_exact(LANES);
        let rest = chunks.remainder();
        for chunk in chunks {
            for (lane, &v) in lanes.iter_mut().zip(chunk) {
                *lane = $step(*lane, v);
            }
        }
        for (lane, &v) in lanes.iter_mut().zip(rest) {
            *lane = $step(*lane, v);
        }
        lanes
    }};
}

/// All lanes joined, in halves: five steps where one after the other would be 31.
#[inline(always)]
pub(super) fn join(mut lanes: [f32; LANES], step: impl Fn(f32, f32) -> f32) -> f32 {
    for half in [16, 8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] = step(lanes[i], lanes[i + half]);
        }
    }
    lanes[0]
}

#[inline(always)]
fn sum_body<const FMA: bool>(x: &[f32]) -> f32 {
    join(lanes!(x, 0f32, |a: f32, v: f32| a + v), |a, b| a + b)
}

simd_fn! {
    /// Σx
    pub(crate) fn sum(x: &[f32]) -> f32 = sum_body
}

#[inline(always)]
fn max_body<const FMA: bool>(x: &[f32]) -> f32 {
    let pick = |a: f32, v: f32| if v > a { v } else { a };
    join(lanes!(x, f32::NEG_INFINITY, pick), pick)
}

simd_fn! {
    /// The largest element; −∞ for none. A NaN is passed over.
    pub(crate) fn max(x: &[f32]) -> f32 = max_body
}

/// `step` over all elements, and NaN where there is one. Two neighbours are looked at with one
/// comparison, because a pair is unordered where either is NaN.
#[inline(always)]
fn pick_or_nan(x: &[f32], start: f32, step: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let mut nan = [0u32; LANES];
    let chunks = x.chunks_exact(2 * LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        let (a, b) = chunk.split_at(LANES);
        for (((lane, found), &a), &b) in lanes.iter_mut().zip(&mut nan).zip(a).zip(b) {
            *lane = step(step(*lane, a), b);
            *found |= if a.is_nan() | b.is_nan() { u32::MAX } else { 0 };
        }
    }
    for (i, &v) in rest.iter().enumerate() {
        let lane = i % LANES;
        lanes[lane] = step(lanes[lane], v);
        nan[lane] |= u32::from(v.is_nan());
    }
    let value = join(lanes, step);
    if nan.iter().fold(0, |all, &found| all | found) == 0 { value } else { f32::NAN }
}

#[inline(always)]
fn max_or_nan_body<const FMA: bool>(x: &[f32]) -> f32 {
    pick_or_nan(x, f32::NEG_INFINITY, |a, v| if v > a { v } else { a })
}

simd_fn! {
    /// The largest element, −∞ for none; NaN where there is one.
    pub(crate) fn max_or_nan(x: &[f32]) -> f32 = max_or_nan_body
}

#[inline(always)]
fn min_or_nan_body<const FMA: bool>(x: &[f32]) -> f32 {
    pick_or_nan(x, f32::INFINITY, |a, v| if v < a { v } else { a })
}

simd_fn! {
    /// The smallest element, +∞ for none; NaN where there is one.
    pub(crate) fn min_or_nan(x: &[f32]) -> f32 = min_or_nan_body
}

#[inline(always)]
fn sum_squares_body<const FMA: bool>(x: &[f32], mean: f32) -> f32 {
    join(lanes!(x, 0f32, |a: f32, v: f32| fma::<FMA>(v - mean, v - mean, a)), |a, b| a + b)
}

simd_fn! {
    /// Σ(x − mean)²
    pub(crate) fn sum_squares(x: &[f32], mean: f32) -> f32 = sum_squares_body
}

#[inline(always)]
fn scale_by_body<const FMA: bool>(y: &mut [f32], factor: f32) {
    y.iter_mut().for_each(|v| *v *= factor);
}

simd_fn! {
    /// `y = y · factor`
    pub(crate) fn scale_by(y: &mut [f32], factor: f32) = scale_by_body
}

#[inline(always)]
fn add_to_body<const FMA: bool>(y: &mut [f32], x: &[f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
}

simd_fn! {
    /// `y = y + x`
    pub(crate) fn add_to(y: &mut [f32], x: &[f32]) = add_to_body
}

#[inline(always)]
fn max_to_body<const FMA: bool>(y: &mut [f32], x: &[f32]) {
    y.iter_mut().zip(x).for_each(|(y, &x)| {
        let larger = if x > *y { x } else { *y };
        *y = if x.is_nan() { x } else { larger };
    });
}

simd_fn! {
    /// `y = max(y, x)`, NaN where either is.
    pub(crate) fn max_to(y: &mut [f32], x: &[f32]) = max_to_body
}

#[inline(always)]
fn min_to_body<const FMA: bool>(y: &mut [f32], x: &[f32]) {
    y.iter_mut().zip(x).for_each(|(y, &x)| {
        let smaller = if x < *y { x } else { *y };
        *y = if x.is_nan() { x } else { smaller };
    });
}

simd_fn! {
    /// `y = min(y, x)`, NaN where either is.
    pub(crate) fn min_to(y: &mut [f32], x: &[f32]) = min_to_body
}

#[inline(always)]
fn multiply_to_body<const FMA: bool>(y: &mut [f32], x: &[f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y *= x);
}

simd_fn! {
    /// `y = y · x`
    pub(crate) fn multiply_to(y: &mut [f32], x: &[f32]) = multiply_to_body
}

#[inline(always)]
fn norm_apply_body<const FMA: bool>(y: &mut [f32], mean: f32, factor: f32, weight: &[f32]) {
    y.iter_mut().zip(weight).for_each(|(y, w)| *y = (*y - mean) * factor * w);
}

simd_fn! {
    /// `y = (y − mean) · factor · weight`
    pub(crate) fn norm_apply(y: &mut [f32], mean: f32, factor: f32, weight: &[f32]) = norm_apply_body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Simd;

    #[test]
    fn extremes_keep_a_nan_wherever_it_stands() {
        for simd in Simd::all() {
            for n in [0usize, 1, 2, 31, 32, 33, 63, 64, 65, 200] {
                let x: Vec<f32> = (0..n).map(|i| (i * 37 % 41) as f32 - 20.0).collect();
                let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let smallest = x.iter().copied().fold(f32::INFINITY, f32::min);
                assert_eq!((max_or_nan(simd, &x), min_or_nan(simd, &x)), (largest, smallest), "{simd:?}, {n}");
                for at in 0..n {
                    for nan in [f32::NAN, -f32::NAN] {
                        let mut with = x.clone();
                        with[at] = nan;
                        assert!(max_or_nan(simd, &with).is_nan(), "{simd:?}, {at} of {n}");
                        assert!(min_or_nan(simd, &with).is_nan(), "{simd:?}, {at} of {n}");
                        let (mut up, mut down) = (x.clone(), x.clone());
                        max_to(simd, &mut up, &with);
                        min_to(simd, &mut down, &with);
                        assert!(up[at].is_nan() && down[at].is_nan(), "{simd:?}, {at} of {n}");
                        assert_eq!(up.iter().chain(&down).filter(|v| v.is_nan()).count(), 2, "{simd:?}, {at} of {n}");
                        max_to(simd, &mut up, &x);
                        assert!(up[at].is_nan(), "a NaN stays");
                    }
                }
            }
        }
    }
}
