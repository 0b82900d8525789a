//! Linear quantisation: bytes with a scale and a zero point per tensor, per axis or per block.

use unisono_core::op::{ReduceOp, UnaryOp};
use unisono_core::{DType, Tensor};

use super::linear::{centred, integer_sums};
use crate::call::{Call, Outcome, axis, f32};
use crate::error::Stop;

/// The smallest and the largest number of a type that numbers are quantised to.
fn range(call: &Call<'_>, dtype: DType) -> Result<(f32, f32), Stop> {
    match dtype {
        DType::U8 => Ok((0.0, 255.0)),
        DType::I8 => Ok((-128.0, 127.0)),
        other => Err(call.unmapped(format!("quantisation to {other}"))),
    }
}

/// A parameter that broadcasts against `x`: one number, one per index of the axis, or one per block
/// of `size` indices of it.
fn spread(call: &Call<'_>, p: &Tensor, x: &Tensor) -> Result<Tensor, Stop> {
    let rank = x.shape().len();
    if p.desc().elements() == 1 && p.shape().len() <= 1 {
        return Ok(p.reshape(&[])?);
    }
    let at = axis(call.int("axis", 1), rank)?;
    let block = call.shape(&[call.int("block_size", 0)])?[0];
    if block == 0 {
        let mut shape = vec![1; rank];
        shape[at] = x.shape()[at];
        return Ok(p.reshape(&shape)?);
    }
    let n = x.shape()[at];
    let order = (0..n).map(|i| i / block);
    super::movement::along(call, p, at, order)
}

pub(super) fn quantise(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let scale = spread(call, &f32(call.x(1)?)?, x)?;
    let zero = call.opt(2).map(|z| spread(call, z, x)).transpose()?;
    let to = zero.as_ref().map_or(DType::U8, Tensor::dtype);
    let rounded = f32(x)?.div(&scale)?.unary(UnaryOp::Round)?;
    Ok(vec![stored(call, &rounded, zero.as_ref(), to)?])
}

/// Rounded numbers with the zero point added, limited to the range of the type.
fn stored(call: &Call<'_>, rounded: &Tensor, zero: Option<&Tensor>, to: DType) -> Result<Tensor, Stop> {
    let (low, high) = range(call, to)?;
    let moved = match zero {
        Some(zero) => rounded.add(&zero.cast(DType::F32)?)?,
        None => rounded.clone(),
    };
    Ok(moved.clamp(low, high)?.cast(to)?)
}

pub(super) fn dequantise(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let scale = call.x(1)?;
    let zero = call.opt(2).map(|z| spread(call, z, x)).transpose()?;
    let y = centred(x, zero.as_ref(), false)?.cast(DType::F32)?.mul(&spread(call, &f32(scale)?, x)?)?;
    Ok(vec![y.cast(scale.dtype())?])
}

/// Scale and zero point from the range of the data, which includes 0.
pub(super) fn dynamic(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let flat = x.reshape(&[x.desc().elements()])?;
    let zero = call.full(DType::F32, &[1], 0.0)?;
    let high = flat.reduce(ReduceOp::Max, 0)?.maximum(&zero)?;
    let low = flat.reduce(ReduceOp::Min, 0)?.minimum(&zero)?;
    let scale = high.sub(&low)?.scale_shift(1.0 / 255.0, 0.0)?;
    let point = low.div(&scale)?.unary(UnaryOp::Neg)?.unary(UnaryOp::Round)?.clamp(0.0, 255.0)?;
    let rounded = x.div(&scale)?.unary(UnaryOp::Round)?;
    let point = point.cast(DType::U8)?.reshape(&[])?;
    let y = stored(call, &rounded, Some(&point), DType::U8)?;
    Ok(vec![y, scale.reshape(&[])?, point])
}

/// A product of centred bytes, scaled and quantised again.
pub(super) fn qlinear_matmul(call: &Call<'_>) -> Outcome {
    let a = centred(call.x(0)?, call.opt(2), true)?;
    let b = centred(call.x(3)?, call.opt(5), false)?.cast(DType::F32)?;
    let scale = f32(call.x(1)?)?.mul(&f32(call.x(4)?)?)?.div(&f32(call.x(6)?)?)?;
    let k = a.shape().last().copied().unwrap_or(1);
    let sums = integer_sums(call, &a, k, |a| Ok(a.matmul(&b)?))?.cast(DType::F32)?;
    let rounded = sums.mul(&scale)?.unary(UnaryOp::Round)?;
    let zero = call.x(7)?;
    Ok(vec![stored(call, &rounded, Some(zero), zero.dtype())?])
}
