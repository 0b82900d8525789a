//! Functions of each element or of pairs, comparisons, logic and choice.
//!
//! Where the contract has the function it is that one operation; the rest are short compositions in
//! f32. Bytes are computed on as `i32` and cast back, which wraps as ONNX does.

use unisono_core::op::{BinaryOp, CompareOp, Gate, LogicalOp, UnaryOp};
use unisono_core::{DType, Tensor};

use crate::call::{Call, Outcome, f32, integers, wide};
use crate::error::Stop;

/// One function of the contract.
pub(super) fn unary(call: &Call<'_>, op: UnaryOp) -> Outcome {
    let x = call.x(0)?;
    Ok(vec![wide(x)?.unary(op)?.cast(x.dtype())?])
}

/// A composition in f32 of one float.
fn composed(call: &Call<'_>, f: impl FnOnce(&Tensor) -> Result<Tensor, Stop>) -> Outcome {
    let x = call.x(0)?;
    Ok(vec![f(&f32(x)?)?.cast(x.dtype())?])
}

/// One function of pairs, over any number of operands.
pub(super) fn fold(call: &Call<'_>, op: BinaryOp) -> Outcome {
    let inputs = call.all()?;
    let (first, rest) = inputs.split_first().ok_or_else(|| call.malformed("it has no input"))?;
    let mut y = wide(first)?;
    for x in rest {
        y = y.binary(op, &wide(x)?)?;
    }
    let y = if rest.is_empty() { y.copy()? } else { y };
    Ok(vec![y.cast(first.dtype())?])
}

/// The mean of the operands.
pub(super) fn mean(call: &Call<'_>) -> Outcome {
    let inputs = call.all()?;
    let first = inputs.first().ok_or_else(|| call.malformed("it has no input"))?;
    let mut sum = f32(first)?;
    for x in &inputs[1..] {
        sum = sum.add(x)?;
    }
    Ok(vec![sum.scale_shift(1.0 / inputs.len() as f32, 0.0)?.cast(first.dtype())?])
}

/// A comparison.
pub(super) fn compare(call: &Call<'_>, op: CompareOp) -> Outcome {
    Ok(vec![call.x(0)?.compare(op, call.x(1)?)?])
}

/// A function of two truth values.
pub(super) fn logical(call: &Call<'_>, op: LogicalOp) -> Outcome {
    Ok(vec![call.x(0)?.logical(op, call.x(1)?)?])
}

pub(super) fn choose(call: &Call<'_>) -> Outcome {
    Ok(vec![call.x(0)?.where_(call.x(1)?, call.x(2)?)?])
}

/// Integers to the power of integers are exact, by squaring. To the power of a float they are raised in
/// f32 and rounded, which is exact while the result is below 2²⁴.
pub(super) fn pow(call: &Call<'_>) -> Outcome {
    let (x, p) = (call.x(0)?, call.x(1)?);
    if !x.dtype().is_float() && !p.dtype().is_float() {
        return Ok(vec![integer_power(call, &wide(x)?, p)?.cast(x.dtype())?]);
    }
    let real = |t: &Tensor| if t.dtype().is_float() { Ok(t.clone()) } else { t.cast(DType::F32) };
    let y = real(x)?.pow(&real(p)?)?;
    let y = if x.dtype().is_float() { y } else { y.unary(UnaryOp::Round)? };
    Ok(vec![y.cast(x.dtype())?])
}

/// `xᵖ` modulo the range of the type. The exponents decide how often is squared, so they are read back.
fn integer_power(call: &Call<'_>, x: &Tensor, p: &Tensor) -> Result<Tensor, Stop> {
    let exponents = integers(p)?;
    if exponents.iter().any(|&e| e < 0) {
        return Err(call.unmapped("a negative power of an integer"));
    }
    let rounds = 64 - exponents.iter().copied().max().unwrap_or(0).leading_zeros();
    let (mut y, mut square) = (call.full(x.dtype(), &[], 1)?.broadcast_to(x.shape())?, x.clone());
    for bit in 0..rounds {
        let odd: Vec<u8> = exponents.iter().map(|e| (e >> bit & 1) as u8).collect();
        let odd = call.device.tensor_from_bytes(DType::Bool, &odd, p.shape())?;
        y = odd.where_(&y.mul(&square)?, &y)?;
        square = square.mul(&square)?;
    }
    // Without a round the result is 1 in both shapes.
    let none = call.full(DType::Bool, p.shape(), 0)?;
    Ok(none.where_(&y, &y)?)
}

/// The remainder with the sign of `a`; without `fmod` it takes the sign of `b`.
pub(super) fn modulo(call: &Call<'_>) -> Outcome {
    let dtype = call.x(0)?.dtype();
    let (a, b) = (wide(call.x(0)?)?, wide(call.x(1)?)?);
    let rest = a.rem(&b)?;
    if call.int("fmod", 0) != 0 || rest.dtype() == DType::U32 {
        return Ok(vec![rest.cast(dtype)?]);
    }
    let zero = call.full(rest.dtype(), &[], 0)?;
    let nonzero = rest.compare(CompareOp::Ne, &zero)?;
    let signs = rest.compare(CompareOp::Lt, &zero)?.logical(LogicalOp::Xor, &b.compare(CompareOp::Lt, &zero)?)?;
    let moved = nonzero.logical(LogicalOp::And, &signs)?.where_(&rest.add(&b)?, &rest)?;
    Ok(vec![moved.cast(dtype)?])
}

pub(super) fn is_nan(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    Ok(vec![x.compare(CompareOp::Ne, x)?])
}

pub(super) fn is_inf(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let equals = |value: f32| Ok::<_, Stop>(x.compare(CompareOp::Eq, &call.full(x.dtype(), &[], value)?)?);
    let (positive, negative) = (call.int("detect_positive", 1) != 0, call.int("detect_negative", 1) != 0);
    Ok(vec![match (positive, negative) {
        (true, true) => equals(f32::INFINITY)?.logical(LogicalOp::Or, &equals(f32::NEG_INFINITY)?)?,
        (true, false) => equals(f32::INFINITY)?,
        (false, true) => equals(f32::NEG_INFINITY)?,
        (false, false) => call.full(DType::Bool, x.shape(), 0)?,
    }])
}

/// Limits are one number each; where the lower is above the upper, the upper counts.
pub(super) fn clip(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let mut y = wide(x)?;
    if call.opset < 11 && (call.has("min") || call.has("max")) {
        y = y.clamp(call.float("min", f32::NEG_INFINITY), call.float("max", f32::INFINITY))?;
    }
    if let Some(min) = call.opt(1) {
        y = y.maximum(&wide(min)?)?;
    }
    if let Some(max) = call.opt(2) {
        y = y.minimum(&wide(max)?)?;
    }
    let y = y.cast(x.dtype())?;
    Ok(vec![if call.opt(1).is_none() && call.opt(2).is_none() { y.copy()? } else { y }])
}

pub(super) fn gelu(call: &Call<'_>) -> Outcome {
    match &call.text("approximate", "none")[..] {
        "none" => unary(call, UnaryOp::Gelu),
        "tanh" => unary(call, UnaryOp::GeluTanh),
        other => Err(call.unmapped(format!("the approximation {other}"))),
    }
}

/// `x·sigmoid(alpha·x)`.
fn swish_of(x: &Tensor, alpha: f32) -> Result<Tensor, Stop> {
    if alpha == 1.0 {
        return Ok(x.silu()?);
    }
    Ok(f32(x)?.mul(&f32(x)?.scale_shift(alpha, 0.0)?.unary(UnaryOp::Sigmoid)?)?)
}

pub(super) fn swish(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    Ok(vec![swish_of(x, call.float("alpha", 1.0))?.cast(x.dtype())?])
}

pub(super) fn swiglu(call: &Call<'_>) -> Outcome {
    let (a, b, alpha) = (call.x(0)?, call.x(1)?, call.float("alpha", 1.0));
    if alpha == 1.0 {
        return Ok(vec![a.gated(Gate::SwiGlu, b)?]);
    }
    Ok(vec![swish_of(a, alpha)?.mul(b)?.cast(a.dtype())?])
}

/// `where(x > threshold, yes, no)` of f32 tensors.
fn above(call: &Call<'_>, x: &Tensor, threshold: f32, yes: &Tensor, no: &Tensor) -> Result<Tensor, Stop> {
    let threshold = call.full(DType::F32, &[], threshold)?;
    Ok(x.compare(CompareOp::Gt, &threshold)?.where_(yes, no)?)
}

/// `scale·(eˣ⸍ᵅ − 1)·alpha` below 0, `scale·x` above.
fn exponential(call: &Call<'_>, x: &Tensor, divisor: f32, alpha: f32, scale: f32) -> Result<Tensor, Stop> {
    let negative = x.scale_shift(1.0 / divisor, 0.0)?.unary(UnaryOp::Exp)?.scale_shift(1.0, -1.0)?;
    let negative = negative.scale_shift(alpha * scale, 0.0)?;
    above(call, x, 0.0, &x.scale_shift(scale, 0.0)?, &negative)
}

pub(super) fn elu(call: &Call<'_>) -> Outcome {
    composed(call, |x| exponential(call, x, 1.0, call.float("alpha", 1.0), 1.0))
}

pub(super) fn celu(call: &Call<'_>) -> Outcome {
    let alpha = call.float("alpha", 1.0);
    composed(call, |x| exponential(call, x, alpha, alpha, 1.0))
}

pub(super) fn selu(call: &Call<'_>) -> Outcome {
    // The defaults of the operator's definition.
    let (alpha, gamma) = (call.float("alpha", 1.673_263_2), call.float("gamma", 1.050_701));
    composed(call, |x| exponential(call, x, 1.0, alpha, gamma))
}

pub(super) fn leaky_relu(call: &Call<'_>) -> Outcome {
    composed(call, |x| above(call, x, 0.0, x, &x.scale_shift(call.float("alpha", 0.01), 0.0)?))
}

pub(super) fn prelu(call: &Call<'_>) -> Outcome {
    let slope = f32(call.x(1)?)?;
    composed(call, |x| above(call, x, 0.0, x, &x.mul(&slope)?))
}

pub(super) fn thresholded_relu(call: &Call<'_>) -> Outcome {
    let zero = call.full(DType::F32, &[], 0.0)?;
    composed(call, |x| above(call, x, call.float("alpha", 1.0), x, &zero))
}

pub(super) fn hard_sigmoid(call: &Call<'_>) -> Outcome {
    let (alpha, beta) = (call.float("alpha", 0.2), call.float("beta", 0.5));
    composed(call, |x| Ok(x.scale_shift(alpha, beta)?.clamp(0.0, 1.0)?))
}

pub(super) fn hard_swish(call: &Call<'_>) -> Outcome {
    composed(call, |x| Ok(x.mul(&x.scale_shift(1.0 / 6.0, 0.5)?.clamp(0.0, 1.0)?)?))
}

pub(super) fn softsign(call: &Call<'_>) -> Outcome {
    composed(call, |x| Ok(x.div(&x.unary(UnaryOp::Abs)?.scale_shift(1.0, 1.0)?)?))
}

/// `x·tanh(ln(1 + eˣ))` as `x·n/(n + 2)` with `n = eˣ(eˣ + 2)`: the tanh of the contract has an
/// absolute bound, this has a relative one. From 20 on the quotient is 1 in f32.
pub(super) fn mish(call: &Call<'_>) -> Outcome {
    composed(call, |x| {
        let e = x.clamp(f32::NEG_INFINITY, 20.0)?.unary(UnaryOp::Exp)?;
        let n = e.mul(&e.scale_shift(1.0, 2.0)?)?;
        Ok(x.mul(&n.div(&n.scale_shift(1.0, 2.0)?)?)?)
    })
}

pub(super) fn shrink(call: &Call<'_>) -> Outcome {
    let (bias, lambda) = (call.float("bias", 0.0), call.float("lambd", 0.5));
    let zero = call.full(DType::F32, &[], 0.0)?;
    composed(call, |x| {
        let below = above(call, &x.unary(UnaryOp::Neg)?, lambda, &x.scale_shift(1.0, bias)?, &zero)?;
        above(call, x, lambda, &x.scale_shift(1.0, -bias)?, &below)
    })
}

/// `(eˣ + sign·e⁻ˣ)/2`. The difference cancels near 0, where the first terms of the series are accurate.
pub(super) fn hyperbolic(call: &Call<'_>, sign: f32) -> Outcome {
    composed(call, |x| {
        let other = x.unary(UnaryOp::Neg)?.unary(UnaryOp::Exp)?.scale_shift(0.5 * sign, 0.0)?;
        let y = x.unary(UnaryOp::Exp)?.scale_shift(0.5, 0.0)?.add(&other)?;
        if sign > 0.0 {
            return Ok(y);
        }
        let square = x.unary(UnaryOp::Square)?;
        let mut series = square.scale_shift(1.0 / 72.0, 1.0)?;
        for factor in [1.0 / 42.0, 1.0 / 20.0, 1.0 / 6.0] {
            series = series.mul(&square)?.scale_shift(factor, 1.0)?;
        }
        above(call, &x.unary(UnaryOp::Abs)?, 1.0, &y, &x.mul(&series)?)
    })
}

pub(super) fn tan(call: &Call<'_>) -> Outcome {
    composed(call, |x| Ok(x.unary(UnaryOp::Sin)?.div(&x.unary(UnaryOp::Cos)?)?))
}
