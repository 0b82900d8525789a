//! f32 arithmetic as a device may do it.
//!
//! WGSL asks for a correctly rounded result without saying in which direction, lets subnormal
//! numbers become zero as operand and as result, and gives every built-in function an error of its
//! own. A kernel that is written once in [`F`] runs under each of these choices. As on real
//! hardware the choice is a state around the code, not an argument of each operation: it belongs to
//! the thread, and [`Arithmetic::run`] sets it.
//!
//! Directions are exact: a sum is split into its f64 value and the part that f64 loses (Knuth's
//! two-sum), a product of two f32 fits in f64, a quotient and a root have a remainder by fused
//! multiply-add. Value and remainder are joined by rounding to odd, after which one rounding to a
//! shorter type equals rounding the exact number (Boldo & Melquiond 2008).

use std::cell::Cell;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

use unisono_core::DType;

/// The direction in which an inexact result is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// To the nearest number, ties to the even one.
    Nearest,
    /// Toward zero.
    TowardZero,
    /// Toward +∞.
    Up,
    /// Up or down, as a hash of the exact result says: WGSL fixes no direction, not even one for all
    /// operations.
    Either,
}

/// How well the built-in functions are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Builtins {
    /// Correctly rounded, in the direction of the arithmetic.
    Accurate,
    /// As far off as the WGSL specification admits ("Floating point accuracy"), to the side that a
    /// hash of the result chooses: division 2.5 units, `inverseSqrt` 2, `exp` 3 + 2|x|, `log` 3 or
    /// 2⁻²¹ between ½ and 2, `tanh` 10⁻⁵, `sqrt` as a reciprocal of `inverseSqrt`.
    Worst,
}

/// One admissible way to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Arithmetic {
    /// How results are rounded.
    pub rounding: Rounding,
    /// Whether subnormal operands and results become zero.
    pub flush: bool,
    /// How built-in functions err.
    pub builtins: Builtins,
}

thread_local! {
    static CURRENT: Cell<Arithmetic> = const { Cell::new(Arithmetic::IEEE) };
}

impl Arithmetic {
    /// What a processor does by default.
    pub const IEEE: Arithmetic = Arithmetic { rounding: Rounding::Nearest, flush: false, builtins: Builtins::Accurate };

    /// Every combination: four directions, with and without subnormal numbers, and built-in functions
    /// as good and as bad as they may be.
    pub fn all() -> Vec<Arithmetic> {
        let mut all = Vec::new();
        for builtins in [Builtins::Accurate, Builtins::Worst] {
            for rounding in [Rounding::Nearest, Rounding::TowardZero, Rounding::Up, Rounding::Either] {
                all.extend([false, true].map(|flush| Arithmetic { rounding, flush, builtins }));
            }
        }
        all
    }

    /// A short name for tables: `nearest`, `up+ftz`, `either+ftz+worst`.
    pub fn name(self) -> String {
        let direction = match self.rounding {
            Rounding::Nearest => "nearest",
            Rounding::TowardZero => "zero",
            Rounding::Up => "up",
            Rounding::Either => "either",
        };
        let flush = if self.flush { "+ftz" } else { "" };
        let builtins = if self.builtins == Builtins::Worst { "+worst" } else { "" };
        format!("{direction}{flush}{builtins}")
    }

    /// Runs `work` on this thread under this arithmetic.
    pub fn run<R>(self, work: impl FnOnce() -> R) -> R {
        let before = CURRENT.replace(self);
        let result = work();
        CURRENT.set(before);
        result
    }

    /// The exact number `value + rest` as an f32.
    fn round(self, value: f64, rest: f64) -> f32 {
        if !value.is_finite() {
            return value as f32;
        }
        let exact = to_odd(value, rest);
        let nearest = exact as f32;
        let away = f64::from(nearest) != exact;
        let result = match self.rounding {
            _ if !away => nearest,
            Rounding::Nearest => nearest,
            Rounding::TowardZero if exact > 0.0 => down(nearest, exact),
            Rounding::TowardZero => up(nearest, exact),
            Rounding::Up => up(nearest, exact),
            Rounding::Either if hash(exact) & 1 == 0 => up(nearest, exact),
            Rounding::Either => down(nearest, exact),
        };
        self.flushed(result)
    }

    /// Zero for a subnormal number where those are flushed.
    fn flushed(self, x: f32) -> f32 {
        if self.flush && x.is_subnormal() { 0.0f32.copysign(x) } else { x }
    }

    /// `x` as a floating-point type holds it: rounded in the direction of this arithmetic, subnormal
    /// numbers of the type flushed with the others.
    pub fn store(self, dtype: DType, x: f32) -> f32 {
        let x = f64::from(x);
        let Some((digits, least, normal, max)) = format(dtype) else { return x as f32 };
        if x == 0.0 || !x.is_finite() {
            return x as f32;
        }
        let binade = f64::from_bits(x.abs().to_bits() & 0x7FF0_0000_0000_0000);
        let spacing = if x.abs() < normal { least } else { binade / digits };
        let steps = x / spacing;
        let rounded = spacing
            * match self.rounding {
                Rounding::Nearest => steps.round_ties_even(),
                Rounding::TowardZero => steps.trunc(),
                Rounding::Up => steps.ceil(),
                Rounding::Either if hash(x) & 1 == 0 => steps.ceil(),
                Rounding::Either => steps.floor(),
            };
        let outward = match self.rounding {
            Rounding::Nearest => true,
            Rounding::TowardZero => false,
            Rounding::Up => x > 0.0,
            Rounding::Either => (hash(x) & 1 == 0) == (x > 0.0),
        };
        let held = match rounded.abs() > max {
            true if outward => f64::INFINITY.copysign(x),
            true => max.copysign(x),
            false => rounded,
        };
        if self.flush && held.abs() < normal { 0.0f32.copysign(x as f32) } else { held as f32 }
    }

    /// The result of a built-in function with the exact value `value`, which may be `error` off.
    fn builtin(self, value: f64, error: f64) -> f32 {
        if self.builtins == Builtins::Accurate || error == 0.0 || !value.is_finite() {
            return self.round(value, 0.0);
        }
        let sign = if hash(value) & 2 == 0 { 1.0 } else { -1.0 };
        let moved = value + sign * error;
        // Rounded toward the exact value, so that it stays admissible.
        let nearest = moved as f32;
        self.flushed(if sign > 0.0 { down(nearest, moved) } else { up(nearest, moved) })
    }
}

/// 2^(digits − 1), smallest subnormal, smallest normal and largest number of a 16-bit type.
fn format(dtype: DType) -> Option<(f64, f64, f64, f64)> {
    match dtype {
        DType::F16 => Some((1024.0, 1.0 / 16_777_216.0, 1.0 / 16384.0, 65504.0)),
        DType::BF16 => {
            let normal = f64::from(f32::MIN_POSITIVE);
            Some((128.0, normal / 128.0, normal, f64::from(half::bf16::MAX)))
        }
        _ => None,
    }
}

/// `value + rest`, with |rest| at most half a unit of `value`, rounded to odd.
fn to_odd(value: f64, rest: f64) -> f64 {
    if rest == 0.0 || value.to_bits() & 1 == 1 {
        return value;
    }
    if rest > 0.0 { value.next_up() } else { value.next_down() }
}

/// The f32 at or below `exact`, of which `nearest` is the nearest.
fn down(nearest: f32, exact: f64) -> f32 {
    if f64::from(nearest) > exact { nearest.next_down() } else { nearest }
}

fn up(nearest: f32, exact: f64) -> f32 {
    if f64::from(nearest) < exact { nearest.next_up() } else { nearest }
}

/// Bits that depend on `x` alone, so that a function gives one result for one argument.
fn hash(x: f64) -> u64 {
    let mut z = x.to_bits().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 32)
}

/// One unit in the last place of f32 at `x`.
fn unit(x: f64) -> f64 {
    let binade = f64::from_bits(x.abs().to_bits() & 0x7FF0_0000_0000_0000);
    binade.max(f64::from(f32::MIN_POSITIVE)) / 8_388_608.0
}

/// An f32 under the arithmetic of the thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub(crate) struct F(pub(crate) f32);

impl F {
    /// As an operand: zero where it is subnormal and those are flushed.
    fn read(self) -> f64 {
        f64::from(CURRENT.get().flushed(self.0))
    }

    fn builtin(value: f64, error: f64) -> F {
        F(CURRENT.get().builtin(value, error))
    }

    pub(crate) fn abs(self) -> F {
        F(self.0.abs())
    }

    pub(crate) fn max(self, other: F) -> F {
        F(self.0.max(other.0))
    }

    pub(crate) fn min(self, other: F) -> F {
        F(self.0.min(other.0))
    }

    /// The exponential of an argument that is clamped to where the result is not zero anyway. Without
    /// that the 3 + 2|x| units of the specification, which are 2⁻¹⁴⁹ each near 0, would be more than
    /// 2⁻¹²⁶ for x below −4·10⁶.
    pub(crate) fn exp(self) -> F {
        let x = self.read().max(-150.0);
        let y = x.exp();
        if y > f64::from(f32::MAX) {
            return F(CURRENT.get().round(y.min(1e300), 0.0));
        }
        F::builtin(y, (3.0 + 2.0 * x.abs()) * unit(y))
    }

    /// The built-in logarithm.
    pub(crate) fn ln(self) -> F {
        let x = self.read();
        let y = x.ln();
        let near = (0.5..=2.0).contains(&x);
        F::builtin(y, if near { 1.0 / 2_097_152.0 } else { 3.0 * unit(y) })
    }

    pub(crate) fn tanh(self) -> F {
        F::builtin(self.read().tanh(), 1e-5)
    }

    pub(crate) fn rsqrt(self) -> F {
        let y = 1.0 / self.read().sqrt();
        F::builtin(y, 2.0 * unit(y))
    }

    /// The root; as a reciprocal of `inverseSqrt` where built-in functions are at their worst.
    pub(crate) fn sqrt(self) -> F {
        let x = self.read();
        if CURRENT.get().builtins == Builtins::Worst && x > 0.0 {
            return F(1.0) / self.rsqrt();
        }
        let y = x.sqrt();
        F(CURRENT.get().round(y, (-y).mul_add(y, x)))
    }
}

impl Add for F {
    type Output = F;
    fn add(self, other: F) -> F {
        let (a, b) = (self.read(), other.read());
        let s = a + b;
        let c = s - a;
        F(CURRENT.get().round(s, (a - (s - c)) + (b - c)))
    }
}

impl Mul for F {
    type Output = F;
    fn mul(self, other: F) -> F {
        F(CURRENT.get().round(self.read() * other.read(), 0.0))
    }
}

impl Div for F {
    type Output = F;
    fn div(self, other: F) -> F {
        let (a, b) = (self.read(), other.read());
        let q = a / b;
        let arithmetic = CURRENT.get();
        let limited = (2f64.powi(-126)..=2f64.powi(126)).contains(&b.abs());
        if arithmetic.builtins == Builtins::Worst && limited && q.is_finite() && q != 0.0 {
            return F(arithmetic.builtin(q, 2.5 * unit(q)));
        }
        let rest = if q.is_finite() { (-q).mul_add(b, a) * b.signum() } else { 0.0 };
        F(arithmetic.round(q, rest))
    }
}

impl Neg for F {
    type Output = F;
    fn neg(self) -> F {
        F(-self.0)
    }
}

impl Sub for F {
    type Output = F;
    fn sub(self, other: F) -> F {
        self + -other
    }
}

impl AddAssign for F {
    fn add_assign(&mut self, other: F) {
        *self = *self + other;
    }
}

macro_rules! with_constants {
    ($($operation:ident $name:ident),*) => {$(
        impl $operation<f32> for F {
            type Output = F;
            fn $name(self, other: f32) -> F {
                $operation::$name(self, F(other))
            }
        }
        impl $operation<F> for f32 {
            type Output = F;
            fn $name(self, other: F) -> F {
                $operation::$name(F(self), other)
            }
        }
    )*};
}

with_constants!(Add add, Sub sub, Mul mul, Div div);
