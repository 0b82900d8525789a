//! Elementary functions on `f32`, accurate to a few units in the last place and without branches,
//! so that loops over them vectorise.
//!
//! `exp` and `tanh` follow the Cephes library's range reductions and polynomials (Moshier 1989).
//! GELU uses the complementary error function in the scaled form `½·erfc(x/√2)·exp(x²/2)`, a
//! polynomial in `1/(1+p·x)` fitted at Chebyshev nodes: the result keeps its relative accuracy far
//! into the negative tail, where `1 + erf` would cancel.

use unisono_core::op::UnaryOp;

use super::reduce::join;
use super::{fma, functions, simd_fn};

/// Adding and subtracting it rounds a small `f32` to the nearest integer.
const ROUND: f32 = 12_582_912.0;

/// `½·erfc(x/√2)·exp(x²/2) = t·Σ TAIL[i]·tⁱ` with `t = 1/(1 + TAIL_P·x)`, for 0 ≤ x ≤ 14.5.
const TAIL_P: f32 = 0.45;
const TAIL: [f32; 11] = [
    0.179_524_27,
    0.179_530_83,
    0.142_836_75,
    0.075_261_15,
    -0.052_662_89,
    0.090_429_27,
    -0.524_119_8,
    0.850_627_7,
    -0.660_511_8,
    0.262_370_74,
    -0.043_286_24,
];

#[inline(always)]
fn pow2(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32).wrapping_shl(23))
}

/// `eˣ`, with gradual underflow; overflows to infinity.
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    // The comparisons are written so that a NaN passes through.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.0 { -104.0 } else { x };
    let shifted = fma::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let p = exp_of_rest::<FMA>(x, shifted - ROUND);
    let half = n >> 1;
    p * pow2(half) * pow2(n.wrapping_sub(half))
}

/// `eˣ` for x ≤ 0, with zeros where it is below the smallest normal number: half the work of [`exp`].
#[inline(always)]
fn exp_of_negative<const FMA: bool>(x: f32) -> f32 {
    // A NaN passes through; there the power of two is 0.
    let x = if x < -88.0 { -88.0 } else { x };
    let shifted = fma::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    // The bits of ROUND vanish in the shift.
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    exp_of_rest::<FMA>(x, shifted - ROUND) * power
}

/// `e^(x − whole·ln 2)`, which is between √½ and √2.
#[inline(always)]
fn exp_of_rest<const FMA: bool>(x: f32, whole: f32) -> f32 {
    let r = fma::<FMA>(whole, -0.693_359_4, x);
    let r = fma::<FMA>(whole, 2.121_944_4e-4, r);
    let p = fma::<FMA>(1.987_569_1e-4, r, 1.398_2e-3);
    let p = fma::<FMA>(p, r, 8.333_452e-3);
    let p = fma::<FMA>(p, r, 4.166_579_6e-2);
    let p = fma::<FMA>(p, r, 1.666_666_5e-1);
    let p = fma::<FMA>(p, r, 0.5);
    fma::<FMA>(p, r * r, r) + 1.0
}

#[inline(always)]
fn tanh<const FMA: bool>(x: f32) -> f32 {
    let a = x.abs();
    let z = x * x;
    let p = fma::<FMA>(-5.704_988_7e-3, z, 2.063_909e-2);
    let p = fma::<FMA>(p, z, -5.373_971_6e-2);
    let p = fma::<FMA>(p, z, 1.333_144_2e-1);
    let p = fma::<FMA>(p, z, -3.333_328e-1);
    let small = fma::<FMA>(p * z, x, x);
    let large = (1.0 - 2.0 / (exp::<FMA>(2.0 * a) + 1.0)).copysign(x);
    if a < 0.625 { small } else { large }
}

#[inline(always)]
pub(super) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    let e = exp::<FMA>(-x.abs());
    let top = if x < 0.0 { e } else { 1.0 };
    top / (1.0 + e)
}

#[inline(always)]
pub(crate) fn silu<const FMA: bool>(x: f32) -> f32 {
    x * sigmoid::<FMA>(x)
}

#[inline(always)]
fn gelu<const FMA: bool>(x: f32) -> f32 {
    let a = x.abs();
    let a = if a > 14.5 { 14.5 } else { a };
    // exp(−a²/2): the square is split into an exact leading part and a small remainder, whose
    // exponential is a short series, so that rounding a² costs nothing.
    let lead = f32::from_bits(a.to_bits() & 0xffff_f000);
    let rest = -0.5 * (a - lead) * (a + lead);
    let series = fma::<FMA>(fma::<FMA>(fma::<FMA>(rest, 1.0 / 6.0, 0.5), rest, 1.0), rest, 1.0);
    let gauss = exp::<FMA>(-0.5 * lead * lead) * series;
    let t = 1.0 / fma::<FMA>(TAIL_P, a, 1.0);
    let p = TAIL.iter().rev().skip(1).fold(TAIL[TAIL.len() - 1], |p, &c| fma::<FMA>(p, t, c));
    let tail = p * t * gauss;
    x * if x < 0.0 { tail } else { 1.0 - tail }
}

#[inline(always)]
fn gelu_tanh<const FMA: bool>(x: f32) -> f32 {
    // ½·(1 + tanh y) = sigmoid(2y), which does not cancel for negative y.
    let c = 1.595_769;
    x * sigmoid::<FMA>(x * fma::<FMA>(c * 0.044_715, x * x, c))
}

#[inline(always)]
fn unary_body<const FMA: bool>(op: UnaryOp, y: &mut [f32]) -> bool {
    match op {
        UnaryOp::Neg => y.iter_mut().for_each(|v| *v = -*v),
        UnaryOp::Exp => y.iter_mut().for_each(|v| *v = exp::<FMA>(*v)),
        UnaryOp::Rsqrt => y.iter_mut().for_each(|v| *v = 1.0 / v.sqrt()),
        UnaryOp::Tanh => y.iter_mut().for_each(|v| *v = tanh::<FMA>(*v)),
        UnaryOp::Sigmoid => y.iter_mut().for_each(|v| *v = sigmoid::<FMA>(*v)),
        UnaryOp::Silu => y.iter_mut().for_each(|v| *v = silu::<FMA>(*v)),
        UnaryOp::Gelu => y.iter_mut().for_each(|v| *v = gelu::<FMA>(*v)),
        UnaryOp::GeluTanh => y.iter_mut().for_each(|v| *v = gelu_tanh::<FMA>(*v)),
        _ => return functions::apply::<FMA>(op, y),
    }
    true
}

simd_fn! {
    /// Applies `op` to every element in place; `false` for a function that is not known here.
    pub(crate) fn unary(op: UnaryOp, y: &mut [f32]) -> bool = unary_body
}

#[inline(always)]
fn gated_body<const FMA: bool>(op: UnaryOp, gate: &mut [f32], up: &[f32]) {
    unary_body::<FMA>(op, gate);
    gate.iter_mut().zip(up).for_each(|(g, u)| *g *= u);
}

simd_fn! {
    /// `gate = op(gate) · up`.
    pub(crate) fn gated(op: UnaryOp, gate: &mut [f32], up: &[f32]) = gated_body
}

#[inline(always)]
fn exp_minus_body<const FMA: bool>(y: &mut [f32], max: f32) -> f32 {
    let mut lanes = [0f32; 32];
    let mut chunks = y.chunks_exact_mut(32);
    for chunk in &mut chunks {
        for (v, lane) in chunk.iter_mut().zip(&mut lanes) {
            *v = exp_of_negative::<FMA>(*v - max);
            *lane += *v;
        }
    }
    for (v, lane) in chunks.into_remainder().iter_mut().zip(&mut lanes) {
        *v = exp_of_negative::<FMA>(*v - max);
        *lane += *v;
    }
    join(lanes, |a, b| a + b)
}

simd_fn! {
    /// `y = exp(y − max)` in place, for `max` no less than any element; returns the sum.
    pub(crate) fn exp_minus(y: &mut [f32], max: f32) -> f32 = exp_minus_body
}

#[inline(always)]
fn exp_scaled_body<const FMA: bool>(x: &[f32], scale: f32, max: f32, y: &mut [f32]) -> f32 {
    let mut lanes = [0f32; 32];
    for (x, y) in x.chunks(32).zip(y.chunks_mut(32)) {
        for ((x, y), lane) in x.iter().zip(y).zip(&mut lanes) {
            *y = exp_of_negative::<FMA>(*x * scale - max);
            *lane += *y;
        }
    }
    join(lanes, |a, b| a + b)
}

simd_fn! {
    /// `y = exp(x·scale − max)`, for `max` no less than any `x·scale`; returns the sum.
    pub(crate) fn exp_scaled(x: &[f32], scale: f32, max: f32, y: &mut [f32]) -> f32 = exp_scaled_body
}
