//! Reductions over any set of axes, indices of extremes, running sums and order.
//!
//! The contract reduces one axis, so the reduced axes are moved to the end and joined: one operation
//! after a copy, whose error bound is known.

use unisono_core::op::{ArgOp, CompareOp, CumSum, ReduceOp, TopK, UnaryOp};
use unisono_core::{DType, Tensor};

use crate::call::{Call, Outcome, axes, axis, f32, from_last, to_last, wide};
use crate::error::Stop;

/// What happens before and after the reduction itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The reduction alone.
    Plain(ReduceOp),
    /// The sum of magnitudes.
    L1,
    /// The root of the sum of squares.
    L2,
    /// The logarithm of the sum.
    LogSum,
    /// The logarithm of the sum of exponentials.
    LogSumExp,
    /// The sum of squares.
    SumSquare,
}

/// `x` with the axes joined at the end, as one axis.
pub(super) fn joined(x: &Tensor, reduced: &[usize]) -> Result<Tensor, Stop> {
    let kept: Vec<usize> = (0..x.shape().len()).filter(|d| !reduced.contains(d)).collect();
    let order: Vec<usize> = kept.iter().chain(reduced).copied().collect();
    let mut shape: Vec<usize> = kept.iter().map(|&d| x.shape()[d]).collect();
    shape.push(reduced.iter().map(|&d| x.shape()[d]).product());
    Ok(x.permute(&order)?.reshape(&shape)?)
}

/// One reduction of the last axis. Over nothing, the extremes are the neutral elements.
fn last(call: &Call<'_>, x: &Tensor, op: ReduceOp) -> Result<Tensor, Stop> {
    let (end, dtype) = (x.shape().len() - 1, x.dtype());
    if x.shape()[end] > 0 || !op.selects() {
        return Ok(x.reduce(op, end)?);
    }
    let mut shape = x.shape().to_vec();
    shape[end] = 1;
    let neutral = if op == ReduceOp::Max { f32::NEG_INFINITY } else { f32::INFINITY };
    match dtype {
        DType::Bool => call.full(dtype, &shape, i64::from(op == ReduceOp::Min)),
        _ => call.full(dtype, &shape, neutral),
    }
}

pub(super) fn reduce(call: &Call<'_>, form: Form) -> Outcome {
    let original = call.x(0)?;
    let rank = original.shape().len();
    let list = call.axes(1, "axes")?.filter(|list| !list.is_empty());
    let reduced = match list {
        Some(list) => axes(&list, rank)?,
        None if call.int("noop_with_empty_axes", 0) != 0 => Vec::new(),
        None => (0..rank).collect(),
    };
    let noop = reduced.is_empty() && rank > 0;
    let x = if matches!(form, Form::Plain(_)) { wide(original)? } else { f32(original)? };
    let x = joined(&x, &reduced)?;
    let y = match form {
        // Without axes nothing is reduced, but the functions around the reduction apply.
        Form::Plain(_) if noop => x.copy()?,
        Form::Plain(op) => last(call, &x, op)?,
        Form::L1 => last(call, &x.unary(UnaryOp::Abs)?, ReduceOp::Sum)?,
        Form::L2 => last(call, &x.unary(UnaryOp::Square)?, ReduceOp::Sum)?.unary(UnaryOp::Sqrt)?,
        Form::SumSquare => last(call, &x.unary(UnaryOp::Square)?, ReduceOp::Sum)?,
        Form::LogSum => logarithm(call, &last(call, &x, ReduceOp::Sum)?)?,
        Form::LogSumExp => {
            let max = last(call, &x, ReduceOp::Max)?;
            let sum = last(call, &x.sub(&max)?.unary(UnaryOp::Exp)?, ReduceOp::Sum)?;
            logarithm(call, &sum)?.add(&max)?
        }
    };
    let mut shape = original.shape().to_vec();
    for &d in &reduced {
        shape[d] = 1;
    }
    if call.int("keepdims", 1) == 0 {
        shape = (0..rank).filter(|d| !reduced.contains(d)).map(|d| original.shape()[d]).collect();
    }
    Ok(vec![y.cast(original.dtype())?.reshape(&shape)?])
}

/// `ln x`, and −∞ at 0, where the contract guarantees nothing.
fn logarithm(call: &Call<'_>, x: &Tensor) -> Result<Tensor, Stop> {
    let (zero, nothing) = (call.full(DType::F32, &[], 0.0)?, call.full(DType::F32, &[], f32::NEG_INFINITY)?);
    Ok(x.compare(CompareOp::Eq, &zero)?.where_(&nothing, &x.unary(UnaryOp::Log)?)?)
}

/// The last of equal extremes is the first one in reversed order.
pub(super) fn arg(call: &Call<'_>, op: ArgOp) -> Outcome {
    let x = call.x(0)?;
    let rank = x.shape().len();
    let at = axis(call.int("axis", 0), rank)?;
    let n = x.shape()[at];
    let of = |x: &Tensor| match op {
        ArgOp::Max => x.argmax(at),
        ArgOp::Min => x.argmin(at),
    };
    let mut y = if call.int("select_last_index", 0) == 0 {
        of(&wide(x)?)?
    } else {
        let backwards = super::movement::along(call, &wide(x)?, at, (0..n).rev())?;
        let found = of(&backwards)?;
        call.full(DType::U32, &[], n as i64 - 1)?.sub(&found)?
    };
    if call.int("keepdims", 1) == 0 {
        y = y.squeeze(at)?;
    }
    Ok(vec![y.cast(DType::I64)?])
}

pub(super) fn hardmax(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let at = axis(call.int("axis", if call.opset < 13 { 1 } else { -1 }), x.shape().len())?;
    let moved = to_last(x, at)?;
    let found = moved.argmax(moved.shape().len() - 1)?.cast(DType::I32)?;
    let hot = found.compare(CompareOp::Eq, &call.iota(x.shape()[at])?)?;
    Ok(vec![from_last(&hot.cast(x.dtype())?, at)?])
}

pub(super) fn cumsum(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let at = call.integer(1)?.ok_or_else(|| call.malformed("it has no axis"))?;
    let (exclusive, reverse) = (call.int("exclusive", 0) != 0, call.int("reverse", 0) != 0);
    Ok(vec![x.cumsum_with(CumSum { axis: axis(at, x.shape().len())?, exclusive, reverse })?])
}

pub(super) fn topk(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let at = axis(call.int("axis", -1), x.shape().len())?;
    let k = call.integer(1)?.unwrap_or_else(|| call.int("k", -1));
    let k = usize::try_from(k).map_err(|_| call.malformed(format!("k is {k}")))?;
    let op = TopK { k, smallest: call.int("largest", 1) == 0 };
    let (values, indices) = to_last(&wide(x)?, at)?.topk_with(op)?;
    let values = values.cast(x.dtype())?;
    Ok(vec![from_last(&values, at)?, from_last(&indices.cast(DType::I64)?, at)?])
}
