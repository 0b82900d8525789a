//! Softmax and the normalisations.

use unisono_core::op::{ReduceOp, UnaryOp};
use unisono_core::{SoftmaxOptions, Tensor};

use super::reduce::joined;
use crate::call::{Call, Outcome, axes, axis, f32, from_last, to_last};
use crate::error::Stop;

/// Along an axis; before version 13 over everything from the axis on.
pub(super) fn softmax(call: &Call<'_>, log: bool) -> Outcome {
    let x = call.x(0)?;
    let rank = x.shape().len();
    let options = SoftmaxOptions { log, ..SoftmaxOptions::default() };
    if call.opset < 13 {
        let at = axis(call.int("axis", 1), rank)?;
        let rows = x.reshape(&flat(x.shape(), at))?;
        return Ok(vec![rows.softmax_with(options)?.reshape(x.shape())?]);
    }
    let at = axis(call.int("axis", -1), rank)?;
    Ok(vec![from_last(&to_last(x, at)?.softmax_with(options)?, at)?])
}

/// `[…before, …from the axis on]`.
fn flat(shape: &[usize], axis: usize) -> [usize; 2] {
    [shape[..axis].iter().product(), shape[axis..].iter().product()]
}

/// A weight or bias for everything from the axis on, as one row.
fn row(x: Option<&Tensor>, shape: &[usize]) -> Result<Option<Tensor>, Stop> {
    let Some(x) = x else { return Ok(None) };
    Ok(Some(x.broadcast_to(shape)?.reshape(&[shape.iter().product()])?))
}

pub(super) fn layer_norm(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let at = axis(call.int("axis", -1), x.shape().len())?;
    let rows = x.reshape(&flat(x.shape(), at))?;
    let (weight, bias) = (row(call.opt(1), &x.shape()[at..])?, row(call.opt(2), &x.shape()[at..])?);
    let eps = call.float("epsilon", 1e-5);
    let mut outputs = vec![rows.layer_norm(&weight, &bias, eps)?.reshape(x.shape())?];
    if call.wants(1) || call.wants(2) {
        let mut shape = x.shape().to_vec();
        shape[at..].fill(1);
        let rows = f32(&rows)?;
        let mean = rows.mean(1)?;
        let variance = rows.sub(&mean)?.unary(UnaryOp::Square)?.mean(1)?;
        outputs.push(mean.reshape(&shape)?);
        outputs.push(variance.scale_shift(1.0, eps)?.unary(UnaryOp::Rsqrt)?.reshape(&shape)?);
    }
    Ok(outputs)
}

pub(super) fn rms_norm(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let at = axis(call.int("axis", -1), x.shape().len())?;
    let weight = row(call.opt(1), &x.shape()[at..])?;
    let rows = x.reshape(&flat(x.shape(), at))?;
    Ok(vec![rows.rms_norm(&weight, call.float("epsilon", 1e-5))?.reshape(x.shape())?])
}

/// Since version 21 weight and bias are per channel, before that per group.
pub(super) fn group_norm(call: &Call<'_>) -> Outcome {
    let (x, groups) = (call.x(0)?, call.int("num_groups", 0));
    let groups = usize::try_from(groups).map_err(|_| call.malformed(format!("num_groups is {groups}")))?;
    if call.opset < 21 {
        return Err(call.unmapped("the definition before version 21"));
    }
    Ok(vec![x.group_norm(groups, call.opt(1), call.opt(2), call.float("epsilon", 1e-5))?])
}

/// Each channel is a group of its own.
pub(super) fn instance_norm(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let channels = *x.shape().get(1).ok_or_else(|| call.malformed("x has no channels"))?;
    Ok(vec![x.group_norm(channels, call.opt(1), call.opt(2), call.float("epsilon", 1e-5))?])
}

/// `(x − mean)/√(variance + eps)·weight + bias` by channel. In training the moments are the batch's,
/// and the running ones move towards them.
pub(super) fn batch_norm(call: &Call<'_>) -> Outcome {
    let x = f32(call.x(0)?)?;
    let rank = x.shape().len();
    let channels = *x.shape().get(1).ok_or_else(|| call.malformed("x has no channels"))?;
    let mut shape = vec![1; rank];
    shape[1] = channels;
    let channel = |i: usize| Ok::<_, Stop>(f32(call.x(i)?)?.reshape(&shape)?);
    let (weight, bias, mut mean, mut variance) = (channel(1)?, channel(2)?, channel(3)?, channel(4)?);
    let mut running = Vec::new();
    if call.int("training_mode", 0) != 0 {
        let others: Vec<usize> = (0..rank).filter(|&d| d != 1).collect();
        let momentum = call.float("momentum", 0.9);
        let of = |x: &Tensor| Ok::<_, Stop>(joined(x, &others)?.mean(1)?.reshape(&shape)?);
        let batch_mean = of(&x)?;
        let batch_variance = of(&x.sub(&batch_mean)?.unary(UnaryOp::Square)?)?;
        for (i, (old, new)) in [(&mean, &batch_mean), (&variance, &batch_variance)].into_iter().enumerate() {
            let moved = old.scale_shift(momentum, 0.0)?.add(&new.scale_shift(1.0 - momentum, 0.0)?)?;
            running.push(moved.reshape(&[channels])?.cast(call.x(3 + i)?.dtype())?);
        }
        (mean, variance) = (batch_mean, batch_variance);
    }
    let factor = variance.scale_shift(1.0, call.float("epsilon", 1e-5))?.unary(UnaryOp::Rsqrt)?.mul(&weight)?;
    let y = x.sub(&mean)?.mul(&factor)?.add(&bias)?.cast(call.x(0)?.dtype())?;
    Ok(std::iter::once(y).chain(running).collect())
}

pub(super) fn mean_variance(call: &Call<'_>) -> Outcome {
    let x = f32(call.x(0)?)?;
    let rank = x.shape().len();
    let over = axes(call.list("axes").unwrap_or(&[0, 2, 3]), rank)?;
    let mut shape = x.shape().to_vec();
    over.iter().for_each(|&d| shape[d] = 1);
    let mean = |x: &Tensor| {
        let rows = joined(x, &over)?;
        Ok::<_, Stop>(rows.mean(rows.shape().len() - 1)?.reshape(&shape)?)
    };
    let centred = x.sub(&mean(&x)?)?;
    let deviation = mean(&centred.unary(UnaryOp::Square)?)?.unary(UnaryOp::Sqrt)?.scale_shift(1.0, 1e-9)?;
    Ok(vec![centred.div(&deviation)?.cast(call.x(0)?.dtype())?])
}

/// A row of zeros stays so: the least divisor is the smallest normal number.
pub(super) fn lp_norm(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let at = axis(call.int("axis", -1), x.shape().len())?;
    let rows = to_last(x, at)?;
    let y = match call.int("p", 2) {
        2 => rows.l2_norm(f32::MIN_POSITIVE)?,
        1 => {
            let sum = f32(&rows)?.unary(UnaryOp::Abs)?.reduce(ReduceOp::Sum, rows.shape().len() - 1)?;
            f32(&rows)?.div(&sum.clamp(f32::MIN_POSITIVE, f32::INFINITY)?)?.cast(x.dtype())?
        }
        p => return Err(call.unmapped(format!("p = {p}"))),
    };
    Ok(vec![from_last(&y, at)?])
}
