//! Functions of one number, of the operations that WGSL has and no others: the built-in logarithm
//! has no accuracy near 1 and the built-in sine none beyond π, and there is no error function.
//!
//! Logarithm, sine and cosine use the polynomials of the Cephes library (Moshier 1989), the error
//! function Abramowitz & Stegun 7.1.26.

use unisono_core::op::{BinaryOp, UnaryOp};

use super::arithmetic::F;
use super::{Fault, Host};

/// A polynomial by Horner's rule, the highest coefficient first.
fn horner(x: F, coefficients: &[f32]) -> F {
    coefficients[1..].iter().fold(F(coefficients[0]), |sum, &c| sum * x + c)
}

/// ln x for normal x: the exponent times ln 2 in two parts, and a polynomial around 1.
fn log(x: F) -> F {
    let bits = x.0.to_bits();
    let mantissa = bits & 0x7f_ffff;
    let below_root = mantissa < 0x35_04f3;
    let e = F((bits >> 23) as f32 - if below_root { 127.0 } else { 126.0 });
    let f = F(f32::from_bits(mantissa | if below_root { 0x3f80_0000 } else { 0x3f00_0000 })) - 1.0;
    let polynomial = [
        7.037_683_6e-2,
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ];
    let z = f * f;
    let small = horner(f, &polynomial) * f * z + e * -2.121_944_4e-4 - 0.5 * z;
    e * 0.693_359_4 + (f + small)
}

/// sin(x + shift·π/2) for |x| ≤ 2¹⁶, with π/2 in four parts.
fn sine(x: F, shift: i64) -> F {
    let k = F((x.max(F(-65536.0)).min(F(65536.0)) * std::f32::consts::FRAC_2_PI + 0.5).0.floor());
    let parts = [1.570_312_5, 4.825_592e-4, 1.266_598_7e-6, 9.920_936e-10];
    let r = parts.into_iter().fold(x, |r, part| r - k * part);
    let z = r * r;
    let s = horner(z, &[-1.951_529_6e-4, 8.332_161e-3, -1.666_665_5e-1]) * z * r + r;
    let c = horner(z, &[2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_6e-2]) * z * z - 0.5 * z + 1.0;
    let quarter = k.0 as i64 + shift;
    let y = if quarter & 1 == 1 { c } else { s };
    if quarter & 2 == 2 { -y } else { y }
}

/// Abramowitz & Stegun 7.1.26, the approximation that kernels use.
fn erf(x: F) -> F {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let p = horner(t, &[1.061_405_4, -1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6]) * t;
    F((1.0 - p * (-x * x).exp()).0.copysign(x.0))
}

/// max(x, 0) + ln(1 + t) with t = e^(−|x|), the logarithm as the series of 2·artanh(t/(2 + t)).
fn softplus(x: F) -> F {
    let t = (-x.abs()).exp();
    let s = t / (2.0 + t);
    let series = [1.0 / 15.0, 1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 0.2, 1.0 / 3.0, 1.0];
    2.0 * s * horner(s * s, &series) + x.max(F(0.0))
}

/// aᵇ = ±e^(b·ln |a|), negative where the base is and b is odd.
fn power(a: F, b: F) -> F {
    if b.0 == 0.0 {
        return F(1.0);
    }
    if a.0 == 0.0 {
        return F(0.0);
    }
    let size = (b * log(a.abs())).max(F(-200.0)).min(F(200.0)).exp();
    if a.0 < 0.0 && b.0.abs() < 16_777_216.0 && b.0.rem_euclid(2.0) == 1.0 { -size } else { size }
}

impl Host {
    pub(crate) fn tanh(&self, z: F) -> F {
        if self.has(Fault::TanhByExponentials) { ((2.0 * z).exp() - 1.0) / ((2.0 * z).exp() + 1.0) } else { z.tanh() }
    }

    pub(crate) fn unary(&self, op: UnaryOp, x: F) -> F {
        let gelu_tanh = |x: F| 0.5 * x * (1.0 + self.tanh(0.797_884_6 * (x + 0.044_715 * x * x * x)));
        match op {
            UnaryOp::Neg => -x,
            UnaryOp::Exp => x.exp(),
            UnaryOp::Rsqrt => x.rsqrt(),
            UnaryOp::Tanh => self.tanh(x),
            UnaryOp::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            UnaryOp::Silu => x / (1.0 + (-x).exp()),
            UnaryOp::Gelu if self.has(Fault::TanhForErf) => gelu_tanh(x),
            UnaryOp::Gelu => 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)),
            UnaryOp::GeluTanh => gelu_tanh(x),
            UnaryOp::Abs => x.abs(),
            UnaryOp::Sign if x.0 == 0.0 => x,
            UnaryOp::Sign => F(x.0.signum()),
            UnaryOp::Square => x * x,
            UnaryOp::Sqrt => x.sqrt(),
            UnaryOp::Recip => 1.0 / x,
            UnaryOp::Log => log(x),
            UnaryOp::Sin => sine(x, 0),
            UnaryOp::Cos => sine(x, 1),
            // The rational approximation loses small arguments to cancellation.
            UnaryOp::Erf if x.0.abs() < 0.5 && !self.has(Fault::TanhForErf) => {
                let terms = [1.0 / 9360.0, -1.0 / 1320.0, 1.0 / 216.0, -1.0 / 42.0, 0.1, -1.0 / 3.0, 1.0];
                std::f32::consts::FRAC_2_SQRT_PI * x * horner(x * x, &terms)
            }
            UnaryOp::Erf => erf(x),
            UnaryOp::Relu => self.larger(x, F(0.0)),
            UnaryOp::GeluQuick => x / (1.0 + (-1.702 * x).exp()),
            UnaryOp::Softplus if self.has(Fault::NoMaximum) => (1.0 + x.exp()).ln(),
            UnaryOp::Softplus => softplus(x),
            UnaryOp::Floor if self.has(Fault::Truncate) => F(x.0.trunc()),
            UnaryOp::Floor => F(x.0.floor()),
            UnaryOp::Ceil => F(x.0.ceil()),
            _ if self.has(Fault::RoundAway) => F(x.0.round()),
            _ => F(x.0.round_ties_even()),
        }
    }

    pub(crate) fn binary(&self, op: BinaryOp, a: F, b: F) -> F {
        match op {
            BinaryOp::Add => a + b,
            BinaryOp::Sub => a - b,
            BinaryOp::Mul => a * b,
            BinaryOp::Pow if self.has(Fault::WrongSign) => power(a.abs(), b),
            BinaryOp::Pow => power(a, b),
            BinaryOp::Minimum => self.smaller(a, b),
            BinaryOp::Maximum => self.larger(a, b),
            BinaryOp::Rem if self.has(Fault::RoundedQuotient) => F(a.0 - b.0 * (a.0 / b.0).trunc()),
            BinaryOp::Rem => F(a.0 % b.0),
            _ => a / b,
        }
    }

    /// The larger number; NaN where either is.
    pub(crate) fn larger(&self, a: F, b: F) -> F {
        self.unless_nan(a, b, a.max(b))
    }

    /// The smaller number; NaN where either is.
    pub(crate) fn smaller(&self, a: F, b: F) -> F {
        self.unless_nan(a, b, a.min(b))
    }

    fn unless_nan(&self, a: F, b: F, y: F) -> F {
        if (a.0.is_nan() || b.0.is_nan()) && !self.has(Fault::LosesNan) { F(f32::NAN) } else { y }
    }
}
