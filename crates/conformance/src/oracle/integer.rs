//! Integers and truth values: everything here is exact, in `i128` where 64 bits could overflow.
//!
//! `f64` does not hold every `i64`, so these functions read elements as integers; the results carry
//! them exactly beside their rounded values.

use unisono_core::op::{BinaryOp, CompareOp, LogicalOp, Scalar, UnaryOp};
use unisono_core::{DType, TensorDesc};

use super::movement;
use crate::check::Expected;

/// A number before a cast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Real(f64),
    Int(i64),
}

impl From<Scalar> for Number {
    fn from(scalar: Scalar) -> Number {
        match scalar {
            Scalar::Real(x) => Number::Real(f64::from(x.0)),
            Scalar::Int(i) => Number::Int(i),
        }
    }
}

/// Bits of an integer type, and whether it has a sign.
fn width(dtype: DType) -> (u32, bool) {
    match dtype {
        DType::I64 => (64, true),
        DType::I32 => (32, true),
        DType::U32 => (32, false),
        DType::I8 => (8, true),
        DType::U8 => (8, false),
        _ => (1, false),
    }
}

/// The low bits of `x` as the type reads them.
pub(super) fn wrap(dtype: DType, x: i128) -> i64 {
    let (bits, signed) = width(dtype);
    let modulus = 1i128 << bits;
    let low = x.rem_euclid(modulus);
    (if signed && low >= modulus / 2 { low - modulus } else { low }) as i64
}

/// A number as an integer or bool type stores it.
pub(super) fn to_integer(dtype: DType, x: Number) -> i64 {
    let (bits, signed) = width(dtype);
    match x {
        Number::Int(i) if dtype == DType::Bool => i64::from(i != 0),
        Number::Real(x) if dtype == DType::Bool => i64::from(x != 0.0),
        Number::Int(i) => wrap(dtype, i128::from(i)),
        Number::Real(x) if x.is_nan() => 0,
        Number::Real(x) => {
            let span = 1i128 << (bits - u32::from(signed));
            let (low, high) = (if signed { -span } else { 0 }, span - 1);
            // i128 holds every f32 but the largest; those saturate anyway.
            (x.trunc().clamp(-1e30, 1e30) as i128).clamp(low, high) as i64
        }
    }
}

/// An integer as a floating-point type stores it: rounded once, to nearest even.
pub(super) fn to_float(dtype: DType, i: i64) -> f64 {
    let (digits, max) = match dtype {
        DType::F16 => (11, 65504.0),
        DType::BF16 => (8, f64::MAX),
        _ => (24, f64::MAX),
    };
    let magnitude = i.unsigned_abs();
    let dropped = (64 - magnitude.leading_zeros()).saturating_sub(digits);
    let unit = 1u128 << dropped;
    let (kept, rest) = (u128::from(magnitude) / unit, u128::from(magnitude) % unit);
    let up = 2 * rest > unit || (2 * rest == unit && kept % 2 == 1);
    let rounded = ((kept + u128::from(up)) * unit) as f64;
    let value = if rounded > max { f64::INFINITY } else { rounded };
    if i < 0 { -value } else { value }
}

/// An output of integers, every one exact.
pub(super) fn exact(dtype: DType, integers: Vec<i64>) -> Expected {
    let zeros = vec![0.0; integers.len()];
    Expected {
        values: integers.iter().map(|&i| i as f64).collect(),
        bounds: zeros.clone(),
        quality: zeros,
        integers: (dtype == DType::I64).then_some(integers),
        ..Expected::default()
    }
}

/// A cast of which at least one side is no float.
pub(super) fn cast(numbers: &[Number], out: &TensorDesc) -> Expected {
    let to = out.dtype;
    if !to.is_float() {
        return exact(to, numbers.iter().map(|&x| to_integer(to, x)).collect());
    }
    let value = |x: &Number| match *x {
        Number::Int(i) => to_float(to, i),
        Number::Real(x) => movement::cast(DType::F32, to, x),
    };
    let values: Vec<f64> = numbers.iter().map(value).collect();
    let zeros = vec![0.0; values.len()];
    Expected { values, bounds: zeros.clone(), quality: zeros, ..Expected::default() }
}

/// A function of one integer, or of one truth value; arithmetic wraps.
pub(super) fn unary(op: UnaryOp, x: &[i64], out: &TensorDesc) -> Expected {
    let f = |&x: &i64| {
        let x = i128::from(x);
        let y = match op {
            UnaryOp::Neg => -x,
            UnaryOp::Abs => x.abs(),
            UnaryOp::Sign => x.signum(),
            UnaryOp::Square => x * x,
            UnaryOp::Relu => x.max(0),
            // Not: the only function of a truth value.
            _ => i128::from(x == 0),
        };
        wrap(out.dtype, y)
    };
    exact(out.dtype, x.iter().map(f).collect())
}

/// A function of two integers; arithmetic wraps.
pub(super) fn binary(op: BinaryOp, a: &[i64], b: &[i64], out: &TensorDesc) -> Expected {
    let f = |(&a, &b): (&i64, &i64)| {
        let (a, b) = (i128::from(a), i128::from(b));
        let y = match op {
            BinaryOp::Add => a + b,
            BinaryOp::Sub => a - b,
            BinaryOp::Mul => a * b,
            BinaryOp::Minimum => a.min(b),
            BinaryOp::Maximum => a.max(b),
            BinaryOp::Rem if b == 0 => a,
            BinaryOp::Rem => a % b,
            _ if b == 0 => 0,
            _ => a / b,
        };
        wrap(out.dtype, y)
    };
    exact(out.dtype, a.iter().zip(b).map(f).collect())
}

/// A comparison of integers or truth values.
pub(super) fn compare(op: CompareOp, a: &[i64], b: &[i64]) -> Expected {
    let holds = |(a, b): (&i64, &i64)| match op {
        CompareOp::Eq => a == b,
        CompareOp::Ne => a != b,
        CompareOp::Lt => a < b,
        CompareOp::Le => a <= b,
        CompareOp::Gt => a > b,
        _ => a >= b,
    };
    exact(DType::Bool, a.iter().zip(b).map(|pair| i64::from(holds(pair))).collect())
}

/// A comparison of floats, as numbers.
pub(super) fn compare_floats(op: CompareOp, a: &[f64], b: &[f64]) -> Expected {
    let holds = |(a, b): (&f64, &f64)| match op {
        CompareOp::Eq => a == b,
        CompareOp::Ne => a != b,
        CompareOp::Lt => a < b,
        CompareOp::Le => a <= b,
        CompareOp::Gt => a > b,
        _ => a >= b,
    };
    exact(DType::Bool, a.iter().zip(b).map(|pair| i64::from(holds(pair))).collect())
}

/// A function of two truth values.
pub(super) fn logical(op: LogicalOp, a: &[i64], b: &[i64]) -> Expected {
    let f = |(&a, &b): (&i64, &i64)| {
        let (a, b) = (a != 0, b != 0);
        i64::from(match op {
            LogicalOp::And => a && b,
            LogicalOp::Or => a || b,
            _ => a != b,
        })
    };
    exact(DType::Bool, a.iter().zip(b).map(f).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn casts_follow_their_rules() {
        for (dtype, x, expected) in [
            (DType::I32, Number::Real(-2.9), -2),
            (DType::I8, Number::Real(200.0), 127),
            (DType::U8, Number::Real(-1.0), 0),
            (DType::U32, Number::Real(1e30), 4_294_967_295),
            (DType::I64, Number::Real(f64::INFINITY), i64::MAX),
            (DType::I64, Number::Real(f64::NAN), 0),
            (DType::Bool, Number::Real(1e-40), 1),
            (DType::I8, Number::Int(200), -56),
            (DType::U8, Number::Int(-1), 255),
            (DType::I32, Number::Int(1 << 33 | 7), 7),
            (DType::Bool, Number::Int(256), 1),
        ] {
            assert_eq!(to_integer(dtype, x), expected, "{x:?} as {dtype}");
        }
    }

    #[test]
    fn integers_become_floats_by_one_rounding() {
        assert_eq!(to_float(DType::F32, 16_777_217), 16_777_216.0);
        assert_eq!(to_float(DType::F32, (1 << 40) + (1 << 16) + 1), (1i64 << 40) as f64 + 131_072.0);
        assert_eq!(to_float(DType::F16, 2049), 2048.0);
        assert_eq!(to_float(DType::F16, 65519), 65504.0);
        assert_eq!(to_float(DType::F16, -65520), f64::NEG_INFINITY);
        assert_eq!(to_float(DType::BF16, (257 << 40) + 1), (258i64 << 40) as f64);
        assert_eq!(to_float(DType::F32, i64::MIN), -9_223_372_036_854_775_808.0);
    }

    #[test]
    fn arithmetic_wraps() {
        let out = |dtype| TensorDesc::contiguous(dtype, &[1]).unwrap();
        let i32_min = i64::from(i32::MIN);
        assert_eq!(binary(BinaryOp::Div, &[i32_min], &[-1], &out(DType::I32)).values, [i32_min as f64]);
        assert_eq!(binary(BinaryOp::Div, &[7], &[0], &out(DType::U32)).values, [0.0]);
        assert_eq!(binary(BinaryOp::Sub, &[1], &[2], &out(DType::U32)).values, [4_294_967_295.0]);
        let rem = |a, b| binary(BinaryOp::Rem, &[a], &[b], &out(DType::I32)).values[0];
        let all = [rem(-7, 2), rem(7, -2), rem(i32_min, -1), rem(-7, 0), rem(i32_min, 0)];
        assert_eq!(all, [-1.0, 1.0, 0.0, -7.0, i32_min as f64]);
        assert_eq!(unary(UnaryOp::Abs, &[i64::MIN], &out(DType::I64)).integers.unwrap(), [i64::MIN]);
        assert_eq!(unary(UnaryOp::Not, &[0], &out(DType::Bool)).values, [1.0]);
    }
}
