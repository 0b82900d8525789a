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

#[inline(always)]
fn min_body<const FMA: bool>(x: &[f32]) -> f32 {
    let pick = |a: f32, v: f32| if v < a { v } else { a };
    join(lanes!(x, f32::INFINITY, pick), pick)
}

simd_fn! {
    /// The smallest element; +∞ for none. A NaN is passed over.
    pub(crate) fn min(x: &[f32]) -> f32 = min_body
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
    y.iter_mut().zip(x).for_each(|(y, &x)| *y = if x > *y { x } else { *y });
}

simd_fn! {
    /// `y = max(y, x)`
    pub(crate) fn max_to(y: &mut [f32], x: &[f32]) = max_to_body
}

#[inline(always)]
fn min_to_body<const FMA: bool>(y: &mut [f32], x: &[f32]) {
    y.iter_mut().zip(x).for_each(|(y, &x)| *y = if x < *y { x } else { *y });
}

simd_fn! {
    /// `y = min(y, x)`
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
