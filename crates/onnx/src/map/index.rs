//! Rows and elements by index.
//!
//! The contract gathers and scatters rows of the first dimension. Everything else is index
//! arithmetic in `i32` on the device: an element is a row of one, its number the sum of its
//! coordinates times their strides. Reductions over indices that repeat are a comparison of every
//! index with every row, a choice and a reduction; the tests are small.

use unisono_core::op::{BinaryOp, CompareOp, ReduceOp};
use unisono_core::{DType, Tensor};

use crate::call::{Call, Outcome, axis};
use crate::error::Stop;

/// Indices below `n` as `i32`, where negative ones count from the end.
pub(super) fn counted(call: &Call<'_>, indices: &Tensor, n: usize) -> Result<Tensor, Stop> {
    let indices = indices.cast(DType::I32)?;
    let (zero, n) = (call.full(DType::I32, &[], 0)?, call.full(DType::I32, &[], n as i64)?);
    Ok(indices.compare(CompareOp::Lt, &zero)?.where_(&indices.add(&n)?, &indices)?)
}

pub(super) fn gather(call: &Call<'_>) -> Outcome {
    let (x, indices) = (call.x(0)?, call.x(1)?);
    let rank = x.shape().len();
    let at = axis(call.int("axis", 0), rank)?;
    let mut order: Vec<usize> = (0..rank).filter(|&d| d != at).collect();
    order.insert(0, at);
    let rows = x.permute(&order)?.gather_rows(&counted(call, indices, x.shape()[at])?)?;
    // The dimensions of the indices come first; they belong where the axis was.
    let taken = indices.shape().len();
    let order: Vec<usize> = (taken..taken + at).chain(0..taken).chain(taken + at..taken + rank - 1).collect();
    Ok(vec![rows.permute(&order)?])
}

fn strides(shape: &[usize]) -> Vec<i32> {
    let mut strides = vec![1i32; shape.len()];
    for d in (1..shape.len()).rev() {
        strides[d - 1] = strides[d].saturating_mul(shape[d] as i32);
    }
    strides
}

/// The number of each element of `x` that `indices` name along `axis`, for an operator whose
/// indices have the shape of the result.
fn element_numbers(call: &Call<'_>, x: &Tensor, indices: &Tensor, axis: usize) -> Result<Tensor, Stop> {
    if indices.shape().len() != x.shape().len() {
        return Err(call.malformed("indices and data differ in rank"));
    }
    let strides = strides(x.shape());
    let scale = call.full(DType::I32, &[], i64::from(strides[axis]))?;
    let mut number = counted(call, indices, x.shape()[axis])?.mul(&scale)?;
    for d in (0..strides.len()).filter(|&d| d != axis) {
        let size = indices.shape()[d];
        let offsets: Vec<i32> = (0..size as i32).map(|i| i.saturating_mul(strides[d])).collect();
        let mut shape = vec![1; strides.len()];
        shape[d] = size;
        number = number.add(&call.device.tensor(&offsets, &shape)?)?;
    }
    Ok(number)
}

pub(super) fn gather_elements(call: &Call<'_>) -> Outcome {
    let (x, indices) = (call.x(0)?, call.x(1)?);
    let at = axis(call.int("axis", 0), x.shape().len())?;
    let numbers = element_numbers(call, x, indices, at)?;
    Ok(vec![x.reshape(&[x.desc().elements()])?.gather_rows(&numbers)?])
}

/// The number of each row that tuples of coordinates name, and the width of a row.
fn row_numbers(call: &Call<'_>, x: &Tensor, indices: &Tensor, batch: usize) -> Result<(Tensor, usize), Stop> {
    let &[.., tuple] = indices.shape() else { return Err(call.malformed("indices are a scalar")) };
    let named = batch + tuple;
    if named > x.shape().len() || indices.shape().len() <= batch {
        return Err(call.malformed("indices name more dimensions than there are"));
    }
    let strides = strides(&x.shape()[..named]);
    let last = indices.shape().len() - 1;
    let mut number = call.full(DType::I32, &[], 0)?.broadcast_to(&indices.shape()[..last])?;
    for d in 0..batch {
        let offsets: Vec<i32> = (0..x.shape()[d] as i32).map(|i| i * strides[d]).collect();
        let mut shape = vec![1; last];
        shape[d] = x.shape()[d];
        number = number.add(&call.device.tensor(&offsets, &shape)?)?;
    }
    for i in 0..tuple {
        let coordinate = counted(call, &indices.slice(last, i..i + 1)?.squeeze(last)?, x.shape()[batch + i])?;
        let scale = call.full(DType::I32, &[], i64::from(strides[batch + i]))?;
        number = number.add(&coordinate.mul(&scale)?)?;
    }
    Ok((number, x.shape()[named..].iter().product()))
}

pub(super) fn gather_nd(call: &Call<'_>) -> Outcome {
    let (x, indices) = (call.x(0)?, call.x(1)?);
    let batch = call.int("batch_dims", 0);
    let batch = usize::try_from(batch).map_err(|_| call.malformed(format!("batch_dims is {batch}")))?;
    let (numbers, width) = row_numbers(call, x, indices, batch)?;
    let rows = x.desc().elements().checked_div(width).unwrap_or(0);
    let tuple = indices.shape()[indices.shape().len() - 1];
    let mut shape = numbers.shape().to_vec();
    shape.extend_from_slice(&x.shape()[batch + tuple..]);
    Ok(vec![x.reshape(&[rows, width])?.gather_rows(&numbers)?.reshape(&shape)?])
}

/// Writes `rows` into a copy of `x [n, width]` at `numbers`, or combines them with what is there.
fn scatter(call: &Call<'_>, x: &Tensor, numbers: &Tensor, rows: &Tensor, how: &str) -> Result<Tensor, Stop> {
    let (combine, reduce, neutral) = match how {
        "none" => {
            let y = x.copy()?;
            y.scatter_rows_(numbers, rows)?;
            return Ok(y);
        }
        "add" => (BinaryOp::Add, ReduceOp::Sum, 0.0),
        "mul" => (BinaryOp::Mul, ReduceOp::Prod, 1.0),
        "max" => (BinaryOp::Maximum, ReduceOp::Max, f32::NEG_INFINITY),
        "min" => (BinaryOp::Minimum, ReduceOp::Min, f32::INFINITY),
        other => return Err(call.unmapped(format!("the reduction {other}"))),
    };
    let (n, named) = (x.shape()[0], numbers.shape()[0]);
    call.shape(&[n as i64, named as i64, x.shape()[1] as i64])?;
    let hits = numbers.reshape(&[named, 1, 1])?.compare(CompareOp::Eq, &call.iota(n)?.reshape(&[1, n, 1])?)?;
    let chosen = hits.where_(&rows.unsqueeze(1)?, &call.full(x.dtype(), &[], neutral)?)?;
    Ok(x.binary(combine, &chosen.reduce(reduce, 0)?.squeeze(0)?)?)
}

pub(super) fn scatter_elements(call: &Call<'_>) -> Outcome {
    let (x, indices, updates) = (call.x(0)?, call.x(1)?, call.x(2)?);
    let at = axis(call.int("axis", 0), x.shape().len())?;
    let (n, named) = (x.desc().elements(), indices.desc().elements());
    let numbers = element_numbers(call, x, indices, at)?.reshape(&[named])?;
    let how = call.text("reduction", "none");
    let y = scatter(call, &x.reshape(&[n, 1])?, &numbers, &updates.reshape(&[named, 1])?, &how)?;
    Ok(vec![y.reshape(x.shape())?])
}

pub(super) fn scatter_nd(call: &Call<'_>) -> Outcome {
    let (x, indices, updates) = (call.x(0)?, call.x(1)?, call.x(2)?);
    let (numbers, width) = row_numbers(call, x, indices, 0)?;
    let (n, named) = (x.desc().elements().checked_div(width).unwrap_or(0), numbers.desc().elements());
    let (rows, source) = (x.reshape(&[n, width])?, updates.reshape(&[named, width])?);
    let y = scatter(call, &rows, &numbers.reshape(&[named])?, &source, &call.text("reduction", "none"))?;
    Ok(vec![y.reshape(x.shape())?])
}

/// New rows of a key-value cache, from a position per batch on; a circular one wraps around.
pub(super) fn tensor_scatter(call: &Call<'_>) -> Outcome {
    let (cache, update) = (call.x(0)?, call.x(1)?);
    let rank = cache.shape().len();
    let at = axis(call.int("axis", -2), rank)?;
    if at == 0 || update.shape().len() != rank {
        return Err(call.malformed("the axis is the batch's, or the ranks differ"));
    }
    let (size, tokens) = (cache.shape()[at], update.shape()[at]);
    let [batch, inner] = [cache.shape()[0], cache.shape()[1..at].iter().product()];
    let width: usize = cache.shape()[at + 1..].iter().product();
    let starts = match call.opt(2) {
        Some(starts) => starts.cast(DType::I32)?.reshape(&[batch, 1])?,
        None => call.full(DType::I32, &[batch, 1], 0)?,
    };
    let mut slot = starts.add(&call.iota(tokens)?)?;
    match &call.text("mode", "linear")[..] {
        "linear" => {}
        "circular" => {
            let end = call.full(DType::I32, &[], size as i64)?;
            slot = slot.compare(CompareOp::Ge, &end)?.where_(&slot.sub(&end)?, &slot)?;
        }
        mode => return Err(call.unmapped(format!("the mode {mode}"))),
    }
    let firsts: Vec<i32> = (0..(batch * inner) as i32).map(|i| i.saturating_mul(size as i32)).collect();
    let firsts = call.device.tensor(&firsts, &[batch, inner, 1])?;
    let numbers = firsts.add(&slot.unsqueeze(1)?)?.reshape(&[batch * inner * tokens])?;
    let rows = cache.reshape(&[batch * inner * size, width])?;
    let source = update.reshape(&[batch * inner * tokens, width])?;
    Ok(vec![scatter(call, &rows, &numbers, &source, "none")?.reshape(cache.shape())?])
}

/// The first elements along the time axis in reversed order, as many as each batch says.
pub(super) fn reverse_sequence(call: &Call<'_>) -> Outcome {
    let (x, lengths) = (call.x(0)?, call.integers(1)?.unwrap_or_default());
    let rank = x.shape().len();
    let (batch, time) = (axis(call.int("batch_axis", 1), rank)?, axis(call.int("time_axis", 0), rank)?);
    if batch == time || lengths.len() != x.shape()[batch] {
        return Err(call.malformed("lengths or axes do not fit"));
    }
    let steps = x.shape()[time];
    let number = |b: usize, t: usize| {
        let length = usize::try_from(lengths[b]).unwrap_or(0).min(steps);
        (b * steps + if t < length { length - 1 - t } else { t }) as u32
    };
    let order: Vec<u32> =
        (0..lengths.len()).flat_map(|b| (0..steps).map(move |t| (b, t))).map(|(b, t)| number(b, t)).collect();
    let mut axes: Vec<usize> = vec![batch, time];
    axes.extend((0..rank).filter(|d| ![batch, time].contains(d)));
    let moved = x.permute(&axes)?;
    let width = moved.shape()[2..].iter().product();
    let order = call.device.tensor(&order, &[order.len()])?;
    let rows = moved.reshape(&[lengths.len() * steps, width])?.gather_rows(&order)?.reshape(moved.shape())?;
    let mut back = vec![0; rank];
    axes.iter().enumerate().for_each(|(i, &d)| back[d] = i);
    Ok(vec![rows.permute(&back)?])
}
