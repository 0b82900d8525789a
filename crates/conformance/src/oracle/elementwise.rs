//! Functions of one or two elements.

use unisono_core::op::{BinaryOp, Clamp, Gate, ScaleShift, UnaryOp};
use unisono_core::{DType, TensorDesc};

use super::Tensor;
use super::erf::{erf, erfc};
use crate::bound::{Elements, FLOOR, U, holds, smallest_normal};
use crate::check::Expected;

/// A value with its guaranteed and its probable error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Approx {
    pub(super) value: f64,
    pub(super) bound: f64,
    pub(super) quality: f64,
}

impl Approx {
    fn new(value: f64, bound: f64, quality: f64) -> Approx {
        Approx { value, bound, quality }
    }

    /// A value for which nothing is guaranteed.
    fn unknown(value: f64) -> Approx {
        Approx::new(value, f64::INFINITY, f64::INFINITY)
    }

    /// A value without error.
    fn exact(value: f64) -> Approx {
        Approx::new(value, 0.0, 0.0)
    }

    /// A value with relative errors.
    fn relative(value: f64, bound: f64, quality: f64) -> Approx {
        Approx::new(value, value.abs() * bound, value.abs() * quality)
    }

    /// The result of one addition, subtraction or multiplication: exact where f32 holds it.
    /// `exact` says whether `value` itself is free of error.
    fn rounded(value: f64, exact: bool) -> Approx {
        if exact && holds(DType::F32, value) {
            return Approx::new(value, 0.0, 0.0);
        }
        Approx::new(value, value.abs() * U + FLOOR * U, value.abs() * U + FLOOR * U)
    }
}

/// `1/(1 + e⁻ˣ)` and its relative error: the exponential's 3 + 2|x| units count in proportion to
/// its share of the denominator, then one addition and one division. The probable error has 3 + |x|
/// units for the exponential, as [`UnaryOp::Exp`] has, and 3 for the rest.
fn sigmoid(x: f64) -> (f64, f64, f64) {
    let s = if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) };
    let error = |slope: f64, rest: f64| ((3.0 + slope * x.abs()) * (1.0 - s) + rest) * U;
    (s, error(2.0, 4.5), error(1.0, 3.0))
}

/// A unary function of one f32.
pub(super) fn apply(op: UnaryOp, x: f64) -> Approx {
    if !x.is_finite() {
        return non_finite(op, x);
    }
    match op {
        UnaryOp::Neg => Approx::exact(-x),
        UnaryOp::Abs => Approx::exact(x.abs()),
        UnaryOp::Relu => Approx::exact(x.max(0.0)),
        UnaryOp::Sign => Approx::exact(if x == 0.0 { 0.0 } else { x.signum() }),
        UnaryOp::Floor => Approx::exact(x.floor()),
        UnaryOp::Ceil => Approx::exact(x.ceil()),
        UnaryOp::Round => Approx::exact(x.round_ties_even()),
        // The square of an f32 is exact in f64 unless it underflows there.
        UnaryOp::Square => Approx::rounded(x * x, true),
        UnaryOp::Sqrt if x < 0.0 => Approx::unknown(f64::NAN),
        UnaryOp::Sqrt => Approx::relative(x.sqrt(), 4.5 * U, 2.0 * U),
        UnaryOp::Recip => apply_binary(BinaryOp::Div, 1.0, x, [0.0, FLOOR]),
        UnaryOp::Log if x < FLOOR => Approx::unknown(x.ln()),
        UnaryOp::Log => Approx::relative(x.ln(), 8.0 * U, 4.0 * U),
        UnaryOp::Sin | UnaryOp::Cos if x.abs() > 65536.0 => Approx::unknown(0.0),
        UnaryOp::Sin | UnaryOp::Cos => {
            let y = if op == UnaryOp::Sin { x.sin() } else { x.cos() };
            // The part of the reduced argument that its last constant carries is rounded.
            let reduced = x.abs() * 1e-7 * U;
            Approx::new(y, 4.0 * y.abs() * U + reduced, 2.5 * y.abs() * U + reduced + FLOOR)
        }
        UnaryOp::Erf => {
            let tail = erfc(x.abs());
            let y = erf(x);
            let relative = 1.5e-7 + (4.0 + (12.0 + 2.0 * x * x) * tail) * U;
            Approx::relative(y, relative, relative)
        }
        UnaryOp::GeluQuick => {
            let z = 1.702 * x;
            let (s, relative, probable) = sigmoid(z);
            let y = x * s;
            let argument = 2.0 * z.abs() * (1.0 - s) * U;
            let flushed = (x.abs() + 1.0) * FLOOR;
            let error = |relative: f64, argument: f64| y.abs() * (relative + argument + U) + flushed;
            Approx::new(y, error(relative, argument), error(probable, argument / 2.0))
        }
        UnaryOp::Softplus => {
            let log = (-x.abs()).exp().ln_1p();
            let y = x.max(0.0) + log;
            let error = |of_log: f64| log * of_log * U + y * U + FLOOR;
            Approx::new(y, error(11.0 + 2.0 * x.abs()), error(7.0 + x.abs()))
        }
        UnaryOp::Exp => {
            // Past 1e200 nothing is gained; the comparison knows overflow by the type's range.
            let y = x.exp().min(1e200);
            Approx::new(y, y * (3.0 + 2.0 * x.abs()) * U + FLOOR, y * (3.0 + x.abs()) * U + FLOOR)
        }
        UnaryOp::Rsqrt => {
            let y = 1.0 / x.sqrt();
            if x < FLOOR { Approx::unknown(y) } else { Approx::new(y, y * 2.5 * U, y * 2.0 * U) }
        }
        UnaryOp::Tanh => {
            let y = x.tanh();
            Approx::new(y, 1e-5 + 5.0 * y.abs() * U, 8.0 * y.abs() * U + FLOOR)
        }
        UnaryOp::Sigmoid => {
            let (s, relative, probable) = sigmoid(x);
            Approx::new(s, s * relative + FLOOR, s * probable + FLOOR)
        }
        UnaryOp::Silu => {
            let (s, relative, probable) = sigmoid(x);
            let y = x * s;
            // A sigmoid below the smallest normal number may be flushed: x times that is lost.
            let flushed = (x.abs() + 1.0) * FLOOR;
            Approx::new(y, y.abs() * (relative + U) + flushed, y.abs() * (probable + U) + flushed)
        }
        UnaryOp::Gelu => {
            // x/2·erfc(−x/√2), which is x/2·(1 + erf(x/√2)) without its cancellation. A kernel has
            // no erf: a rational approximation (Abramowitz & Stegun 7.1.26) errs by 1.5e-7, and its
            // exponential by 3 + 2z² units of erfc |z|.
            let z = x / std::f64::consts::SQRT_2;
            let tail = erfc(z.abs());
            let y = x / 2.0 * if x < 0.0 { tail } else { 2.0 - tail };
            let erf_error = 1.5e-7 + ((12.0 + 2.0 * z * z) * tail + 2.0) * U;
            let bound = x.abs() / 2.0 * erf_error + 3.0 * y.abs() * U + FLOOR;
            Approx::new(y, bound, bound)
        }
        UnaryOp::GeluTanh => {
            let z = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
            let s = 1.0 / (1.0 + (-2.0 * z).exp());
            // x/2·(1 + tanh z) = x·sigmoid(2z). The slope of tanh is 4s(1 − s).
            let y = x * s;
            let slope = 4.0 * s * (1.0 - s);
            let z_error = if slope == 0.0 { 0.0 } else { slope * 6.0 * z.abs() * U };
            let rest = 4.0 * y.abs() * U + FLOOR;
            let bound = x.abs() / 2.0 * (1e-5 + z_error + 2.0 * U) + rest;
            Approx::new(y, bound, x.abs() / 2.0 * (z_error + 8.0 * U) + rest)
        }
        _ => Approx::unknown(f64::NAN),
    }
}

/// The limits of the functions at ±∞, and NaN for NaN: what the informative cases report.
fn non_finite(op: UnaryOp, x: f64) -> Approx {
    let positive = x > 0.0;
    let value = match op {
        _ if x.is_nan() => x,
        UnaryOp::Neg => -x,
        UnaryOp::Abs | UnaryOp::Square => x.abs(),
        UnaryOp::Sign | UnaryOp::Erf => x.signum(),
        UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round => x,
        UnaryOp::Sin | UnaryOp::Cos => f64::NAN,
        UnaryOp::Recip => 0.0,
        UnaryOp::Log | UnaryOp::Sqrt if !positive => f64::NAN,
        UnaryOp::Exp => {
            if positive {
                x
            } else {
                0.0
            }
        }
        UnaryOp::Rsqrt => {
            if positive {
                0.0
            } else {
                f64::NAN
            }
        }
        UnaryOp::Tanh => x.signum(),
        UnaryOp::Sigmoid => f64::from(u8::from(positive)),
        _ => {
            if positive {
                x
            } else {
                0.0
            }
        }
    };
    Approx::new(value, 0.0, 0.0)
}

pub(super) fn unary(op: UnaryOp, x: &Tensor, out: &TensorDesc) -> Expected {
    let mut y = Elements::new(out.dtype, x.values.len());
    let least = smallest_normal(x.desc.dtype);
    for &x in &x.values {
        let a = apply(op, x);
        // A subnormal operand may be read as zero. Near zero every slope is at most 2, but for roots
        // and reciprocals; signs and roundings look at the bits.
        let flushed = match op {
            _ if x == 0.0 || x.abs() >= least || x.is_nan() => 0.0,
            UnaryOp::Rsqrt | UnaryOp::Recip | UnaryOp::Log => f64::INFINITY,
            UnaryOp::Sqrt => a.value.abs(),
            UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round => 0.0,
            _ => 2.0 * x.abs(),
        };
        y.push(a.value, a.bound + flushed, a.quality + flushed);
    }
    y.finish()
}

/// `a + b`, `a − b`, `a·b` are exact or correctly rounded in one direction or the other; a
/// quotient is within 2.5 units for divisors from 2⁻¹²⁶ to 2¹²⁶.
///
/// `least` are the smallest normal numbers of the operands' types: an operand below may be read as
/// zero.
fn apply_binary(op: BinaryOp, a: f64, b: f64, least: [f64; 2]) -> Approx {
    if !a.is_finite() || !b.is_finite() {
        let value = match op {
            BinaryOp::Add => a + b,
            BinaryOp::Sub => a - b,
            BinaryOp::Mul => a * b,
            BinaryOp::Div => a / b,
            BinaryOp::Pow => a.powf(b),
            _ if a.is_nan() || b.is_nan() => f64::NAN,
            BinaryOp::Rem => a % b,
            BinaryOp::Minimum => a.min(b),
            _ => a.max(b),
        };
        return Approx::new(value, 0.0, 0.0);
    }
    match op {
        BinaryOp::Add => sum(a, b, least),
        BinaryOp::Sub => sum(a, -b, least),
        // The product of two f32 is exact in f64 unless it underflows there.
        BinaryOp::Mul => {
            let y = Approx::rounded(a * b, true);
            let flushed = if a.abs() < least[0] || b.abs() < least[1] { (a * b).abs() } else { 0.0 };
            Approx::new(y.value, y.bound + flushed, y.quality + flushed)
        }
        BinaryOp::Div => {
            let y = a / b;
            if !(least[1]..=FLOOR.recip()).contains(&b.abs()) {
                return Approx::unknown(y);
            }
            let flushed = if a.abs() < least[0] { y.abs() } else { 0.0 };
            Approx::new(y, 3.0 * y.abs() * U + FLOOR * U + flushed, 1.5 * y.abs() * U + FLOOR * U + flushed)
        }
        BinaryOp::Pow => pow(a, b, least),
        BinaryOp::Minimum => Approx::exact(a.min(b)),
        BinaryOp::Maximum => Approx::exact(a.max(b)),
        BinaryOp::Rem => Approx::exact(remainder(a, b)),
        _ => Approx::unknown(f64::NAN),
    }
}

/// The remainder of `a / b`, by the definition: the divisor times ever smaller powers of two is taken
/// away while it fits. Every difference is exact, because both are multiples of the divisor's last
/// place, and smaller than what was there.
fn remainder(a: f64, b: f64) -> f64 {
    if b == 0.0 {
        return f64::NAN;
    }
    let (mut rest, mut step) = (a.abs(), b.abs());
    // f32 spans fewer than 280 binades: in f64 the step never overflows.
    while step <= rest / 2.0 {
        step *= 2.0;
    }
    while step >= b.abs() {
        if rest >= step {
            rest -= step;
        }
        step /= 2.0;
    }
    rest.copysign(a)
}

/// `aᵇ = e^(b·ln a)`: the logarithm's 8 units and a product's one count b·ln a times, the
/// exponential has 3 + 2|b·ln a|; 8 cover the first two with the logarithm's own.
fn pow(a: f64, b: f64, least: [f64; 2]) -> Approx {
    let tiny = |x: f64, least: f64| x != 0.0 && x.abs() < least;
    let integer = b == b.floor();
    match () {
        () if b == 0.0 => Approx::relative(1.0, 8.0 * U, 4.0 * U),
        () if tiny(a, least[0].max(FLOOR)) || (a == 0.0 && (b < 0.0 || tiny(b, least[1]))) || (a < 0.0 && !integer) => {
            Approx::unknown(f64::NAN)
        }
        () if a == 0.0 => Approx::exact(0.0),
        () => {
            let z = b * a.abs().ln();
            let odd = a < 0.0 && b.rem_euclid(2.0) == 1.0;
            let y = if odd { -1.0 } else { 1.0 } * z.exp().min(1e200);
            let flushed = if tiny(b, least[1]) { z.abs() } else { 0.0 };
            let error = |units: f64| y.abs() * (units * (z.abs() + 1.0) * U + 2.0 * flushed) + FLOOR;
            Approx::new(y, error(8.0), error(5.0))
        }
    }
}

/// One f32 addition; see [`apply_binary`] for `least`.
pub(super) fn sum(a: f64, b: f64, least: [f64; 2]) -> Approx {
    let s = a + b;
    // Knuth's two-sum: what f64 itself lost.
    let c = s - a;
    let lost = (a - (s - c)) + (b - c);
    let y = Approx::rounded(s, lost == 0.0);
    let flushed: f64 = [a.abs(), b.abs()].iter().zip(least).filter(|(x, least)| **x < *least).map(|(x, _)| x).sum();
    Approx::new(y.value, y.bound + flushed, y.quality + flushed)
}

pub(super) fn binary(op: BinaryOp, a: &Tensor, b: &Tensor, out: &TensorDesc) -> Expected {
    let mut y = Elements::new(out.dtype, a.values.len());
    let least = [a, b].map(|t| smallest_normal(t.desc.dtype));
    for (&a, &b) in a.values.iter().zip(&b.values) {
        let r = apply_binary(op, a, b, least);
        y.push(r.value, r.bound, r.quality);
    }
    Expected { signed_zero: op == BinaryOp::Rem, ..y.finish() }
}

/// `min(max(x, min), max)`: a choice among three numbers.
pub(super) fn clamp(op: &Clamp, x: &Tensor, out: &TensorDesc) -> Expected {
    let mut y = Elements::new(out.dtype, x.values.len());
    let least = smallest_normal(x.desc.dtype);
    let (min, max) = (f64::from(op.min.0), f64::from(op.max.0));
    for &x in &x.values {
        let flushed = [(x, least), (min, FLOOR), (max, FLOOR)].into_iter().filter(|(v, least)| v.abs() < *least);
        let flushed = flushed.map(|(v, _)| v.abs()).sum();
        y.push(if x.is_nan() { x } else { x.max(min).min(max) }, flushed, flushed);
    }
    y.finish()
}

/// `x·scale + shift`: a product that may be rounded, then a sum.
pub(super) fn scale_shift(op: &ScaleShift, x: &Tensor, out: &TensorDesc) -> Expected {
    let mut y = Elements::new(out.dtype, x.values.len());
    let least = smallest_normal(x.desc.dtype);
    let (scale, shift) = (f64::from(op.scale.0), f64::from(op.shift.0));
    for &x in &x.values {
        if !x.is_finite() {
            y.push(x * scale + shift, 0.0, 0.0);
            continue;
        }
        let product = apply_binary(BinaryOp::Mul, x, scale, [least, FLOOR]);
        let total = sum(product.value, shift, [FLOOR; 2]);
        y.push(total.value, product.bound + total.bound, product.quality + total.quality);
    }
    y.finish()
}

/// `f(gate)·up`: the error of the activation times `up`, and one multiplication.
pub(super) fn gated(op: Gate, gate: &Tensor, up: &Tensor, out: &TensorDesc) -> Expected {
    let mut y = Elements::new(out.dtype, gate.values.len());
    let least = [gate, up].map(|t| smallest_normal(t.desc.dtype));
    for (&gate, &up) in gate.values.iter().zip(&up.values) {
        let s = apply(op.unary(), gate);
        let value = s.value * up;
        let flushed = if gate.abs() < least[0] || up.abs() < least[1] { (gate * up).abs() } else { 0.0 };
        let rest = value.abs() * U + FLOOR * U + flushed;
        y.push(value, s.bound * up.abs() + rest, s.quality * up.abs() + rest);
    }
    y.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_at_known_points() {
        for (op, x, expected) in [
            (UnaryOp::Neg, 3.0, -3.0),
            (UnaryOp::Exp, 1.0, std::f64::consts::E),
            (UnaryOp::Rsqrt, 4.0, 0.5),
            (UnaryOp::Tanh, 0.5, 0.462_117_157_260_009_8),
            (UnaryOp::Sigmoid, 2.0, 0.880_797_077_977_882_4),
            (UnaryOp::Silu, 2.0, 1.761_594_155_955_764_9),
            (UnaryOp::Gelu, 1.0, 0.841_344_746_068_542_9),
            (UnaryOp::Gelu, -3.0, -0.004_049_694_095_089_9),
            (UnaryOp::GeluTanh, 1.0, 0.841_191_990_608_273_7),
        ] {
            let y = apply(op, x);
            assert!((y.value - expected).abs() < 1e-12, "{} of {x} is {}", op.name(), y.value);
            assert!(y.bound < 1e-4, "{} of {x}: bound {}", op.name(), y.bound);
        }
    }

    #[test]
    fn large_arguments_have_finite_values_and_bounds() {
        for op in UnaryOp::ALL {
            for x in [-1e4, -100.0, 100.0, 1e4] {
                let y = apply(op, x);
                assert!(y.value.is_finite() && !y.bound.is_nan() || y.bound == f64::INFINITY, "{} {x}", op.name());
            }
        }
        assert_eq!(apply(UnaryOp::GeluTanh, -1e4).value, 0.0);
        assert_eq!(apply(UnaryOp::Silu, 1e4).value, 1e4);
    }

    /// The processor's own remainder is another implementation.
    #[test]
    fn remainders_are_exact() {
        for (a, b, expected) in [
            (1e10, 3.0, 1.0),
            (-1e10, 3.0, -1.0),
            (7.5, -2.0, 1.5),
            (5.0, 7.0, 5.0),
            (f64::from(f32::MAX), 1e-45f32.into(), 0.0),
        ] {
            assert_eq!(apply_binary(BinaryOp::Rem, a, b, [FLOOR; 2]), Approx::exact(expected), "{a} by {b}");
        }
        let bits = |i: u32| f64::from(f32::from_bits(i.wrapping_mul(0x9E37_79B9) & 0xBFFF_FFFF));
        for i in 1..20_000 {
            let (a, b) = (bits(i), bits(i.wrapping_mul(7919)));
            assert_eq!(remainder(a, b), a % b, "{a:e} by {b:e}");
            assert!(holds(DType::F32, remainder(a, b)), "{a:e} by {b:e}");
        }
        assert!(remainder(1.0, 0.0).is_nan() && remainder(-6.0, 3.0).is_sign_negative());
    }

    #[test]
    fn integers_add_exactly_and_tiny_parts_are_not_lost() {
        let least = [FLOOR; 2];
        assert_eq!(sum(3.0, 5.0, least).bound, 0.0);
        assert!(sum(1e30, 1e-30, least).bound > 0.0);
        assert_eq!(apply_binary(BinaryOp::Mul, 7.0, -8.0, least).bound, 0.0);
        assert_eq!(apply_binary(BinaryOp::Div, 1.0, 1e-40, least).bound, f64::INFINITY);
    }
}
