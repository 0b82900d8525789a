//! The elementary functions beyond the activations: logarithm, sine and cosine, error function.
//!
//! Logarithm, sine, cosine and the inner part of the error function use the polynomials of the
//! Cephes library (Moshier 1989), the tail of the error function the Chebyshev fit of Numerical
//! Recipes in C (6.2). Arguments of sine and cosine are reduced by π/2 in four parts, of which the
//! first three have eight bits: their products with a multiple below 2¹⁶ are exact.

use unisono_core::op::UnaryOp;

use super::fma;
use super::math::{exp, sigmoid};

/// π/2 in parts of eight bits and a remainder.
const QUARTER: [f32; 4] = [1.570_312_5, 4.825_592e-4, 1.266_598_7e-6, 9.920_936e-10];

/// `ln x`; −∞ for 0, NaN for negative numbers.
#[inline(always)]
fn log<const FMA: bool>(x: f32) -> f32 {
    let tiny = x < f32::MIN_POSITIVE;
    let bits = if tiny { x * 16_777_216.0 } else { x }.to_bits();
    let m = f32::from_bits((bits & 0x7f_ffff) | 0x3f00_0000);
    let low = m < std::f32::consts::FRAC_1_SQRT_2;
    let e = (bits >> 23) as i32 - 126 - i32::from(low) - if tiny { 24 } else { 0 };
    let f = if low { m + m - 1.0 } else { m - 1.0 };
    let p = fma::<FMA>(7.037_683_6e-2, f, -1.151_461e-1);
    let p = fma::<FMA>(p, f, 1.167_699_87e-1);
    let p = fma::<FMA>(p, f, -1.242_014_1e-1);
    let p = fma::<FMA>(p, f, 1.424_932_3e-1);
    let p = fma::<FMA>(p, f, -1.666_805_8e-1);
    let p = fma::<FMA>(p, f, 2.000_071_5e-1);
    let p = fma::<FMA>(p, f, -2.499_999_4e-1);
    let p = fma::<FMA>(p, f, 3.333_333e-1);
    let z = f * f;
    let y = fma::<FMA>(e as f32, -2.121_944_4e-4, p * f * z);
    let y = fma::<FMA>(z, -0.5, y);
    let y = fma::<FMA>(e as f32, 0.693_359_4, f + y);
    let y = if x == f32::INFINITY { x } else { y };
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    if x >= 0.0 { y } else { f32::NAN }
}

/// `sin(x + shift·π/2)`.
#[inline(always)]
fn sine<const FMA: bool>(x: f32, shift: i32) -> f32 {
    let k = (x * std::f32::consts::FRAC_2_PI).round_ties_even();
    let r = QUARTER.iter().fold(x, |r, &part| fma::<FMA>(-k, part, r));
    let z = r * r;
    let s = fma::<FMA>(fma::<FMA>(-1.951_529_6e-4, z, 8.332_161e-3), z, -1.666_665_5e-1);
    let s = fma::<FMA>(s * z, r, r);
    let c = fma::<FMA>(fma::<FMA>(2.443_315_7e-5, z, -1.388_731_6e-3), z, 4.166_664_6e-2);
    let c = fma::<FMA>(c * z, z, fma::<FMA>(z, -0.5, 1.0));
    let q = (k as i32).wrapping_add(shift);
    let y = if q & 1 == 0 { s } else { c };
    if q & 2 == 0 { y } else { -y }
}

#[inline(always)]
fn erf<const FMA: bool>(x: f32) -> f32 {
    let z = x * x;
    let p = fma::<FMA>(7.853_861e-5, z, -8.010_194e-4);
    let p = fma::<FMA>(p, z, 5.188_327_7e-3);
    let p = fma::<FMA>(p, z, -2.685_381_2e-2);
    let p = fma::<FMA>(p, z, 1.128_358_5e-1);
    let p = fma::<FMA>(p, z, -3.761_262_6e-1);
    let inner = fma::<FMA>(p, z, std::f32::consts::FRAC_2_SQRT_PI) * x;
    let a = if x.abs() > 9.0 { 9.0 } else { x.abs() };
    let t = 2.0 / (2.0 + a);
    let fit = [0.170_872_77, -0.822_152_2, 1.488_515_9, -1.135_204, 0.278_868_07, -0.186_288_06, 0.096_784_18];
    let s = fit.iter().fold(0.0, |s, &c| fma::<FMA>(s, t, c));
    let s = fma::<FMA>(fma::<FMA>(fma::<FMA>(s, t, 0.374_091_96), t, 1.000_023_7), t, -1.265_512_2);
    let outer = (1.0 - t * exp::<FMA>(fma::<FMA>(-a, a, s))).copysign(x);
    if x.abs() < 1.0 { inner } else { outer }
}

/// `max(x, 0) + ln(1 + t)` with `t = e^(−|x|)`; the logarithm as `2·artanh(t/(2 + t))`.
#[inline(always)]
fn softplus<const FMA: bool>(x: f32) -> f32 {
    let t = exp::<FMA>(-x.abs());
    let s = t / (2.0 + t);
    let z = s * s;
    let p = [1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 0.2, 1.0 / 3.0, 1.0];
    let series = p.iter().fold(1.0 / 15.0, |series, &c| fma::<FMA>(series, z, c));
    let positive = if x < 0.0 { 0.0 } else { x };
    fma::<FMA>(2.0 * s, series, positive)
}

#[inline(always)]
fn sign(x: f32) -> f32 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x
    }
}

/// Applies `op` to every element in place; `false` for a function that is not known here.
#[inline(always)]
pub(super) fn apply<const FMA: bool>(op: UnaryOp, y: &mut [f32]) -> bool {
    match op {
        UnaryOp::Abs => y.iter_mut().for_each(|v| *v = v.abs()),
        UnaryOp::Sign => y.iter_mut().for_each(|v| *v = sign(*v)),
        UnaryOp::Square => y.iter_mut().for_each(|v| *v *= *v),
        UnaryOp::Sqrt => y.iter_mut().for_each(|v| *v = v.sqrt()),
        UnaryOp::Recip => y.iter_mut().for_each(|v| *v = 1.0 / *v),
        UnaryOp::Log => y.iter_mut().for_each(|v| *v = log::<FMA>(*v)),
        UnaryOp::Sin => y.iter_mut().for_each(|v| *v = sine::<FMA>(*v, 0)),
        UnaryOp::Cos => y.iter_mut().for_each(|v| *v = sine::<FMA>(*v, 1)),
        UnaryOp::Erf => y.iter_mut().for_each(|v| *v = erf::<FMA>(*v)),
        // A NaN stays.
        UnaryOp::Relu => y.iter_mut().for_each(|v| *v = if *v < 0.0 { 0.0 } else { *v }),
        UnaryOp::GeluQuick => y.iter_mut().for_each(|v| *v *= sigmoid::<FMA>(1.702 * *v)),
        UnaryOp::Softplus => y.iter_mut().for_each(|v| *v = softplus::<FMA>(*v)),
        UnaryOp::Floor => y.iter_mut().for_each(|v| *v = v.floor()),
        UnaryOp::Ceil => y.iter_mut().for_each(|v| *v = v.ceil()),
        UnaryOp::Round => y.iter_mut().for_each(|v| *v = v.round_ties_even()),
        _ => return false,
    }
    true
}
