//! What only moves elements: views, joins, borders, repetition, casts and constants.
//!
//! The contract expresses most of these as views. Their result is copied once, so that a kernel of
//! the device walks the strides. Reversed and strided orders, and borders that mirror, are gathers.

use unisono_core::op::{CompareOp, Scalar};
use unisono_core::{DType, Tensor};

use crate::call::{Call, Outcome, axes, axis, integers};
use crate::error::Stop;
use crate::value::{self, Value};

/// The elements `order` along an axis.
pub(super) fn along(
    call: &Call<'_>,
    x: &Tensor,
    axis: usize,
    order: impl Iterator<Item = usize>,
) -> Result<Tensor, Stop> {
    let order: Vec<u32> = order.map(|i| i as u32).collect();
    let indices = call.device.tensor(&order, &[order.len()])?;
    Ok(x.transpose(0, axis)?.gather_rows(&indices)?.transpose(0, axis)?)
}

pub(super) fn identity(call: &Call<'_>) -> Outcome {
    Ok(vec![call.x(0)?.copy()?])
}

fn target(call: &Call<'_>) -> Result<DType, Stop> {
    let number = call.int("to", 0);
    let number = i32::try_from(number).map_err(|_| call.malformed(format!("to is {number}")))?;
    value::dtype(number).map_err(|name| Stop::NotCovered(format!("the contract has no element type {name}")))
}

pub(super) fn cast(call: &Call<'_>) -> Outcome {
    let (x, to) = (call.x(0)?, target(call)?);
    Ok(vec![if to == x.dtype() { x.copy()? } else { x.cast(to)? }])
}

pub(super) fn cast_like(call: &Call<'_>) -> Outcome {
    let (x, to) = (call.x(0)?, call.x(1)?.dtype());
    Ok(vec![if to == x.dtype() { x.copy()? } else { x.cast(to)? }])
}

pub(super) fn concat(call: &Call<'_>) -> Outcome {
    let inputs = call.all()?;
    let rank = inputs.first().map_or(0, |x| x.shape().len());
    Ok(vec![Tensor::concat(&inputs, axis(call.int("axis", 0), rank)?)?])
}

pub(super) fn transpose(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let rank = x.shape().len();
    let order: Vec<usize> = match call.list("perm") {
        Some(perm) => perm.iter().map(|&d| axis(d, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).rev().collect(),
    };
    Ok(vec![x.permute(&order)?.copy()?])
}

pub(super) fn reshape(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let mut sizes = call.axes(1, "shape")?.ok_or_else(|| call.malformed("it has no shape"))?;
    if call.int("allowzero", 0) == 0 {
        for (i, size) in sizes.iter_mut().enumerate().filter(|(_, s)| **s == 0) {
            *size = *x.shape().get(i).ok_or_else(|| call.malformed("a 0 copies a missing size"))? as i64;
        }
    }
    if let Some(i) = sizes.iter().position(|&s| s == -1) {
        sizes[i] = 1;
        let known: usize = call.shape(&sizes)?.iter().product();
        sizes[i] = x.desc().elements().checked_div(known).unwrap_or(0) as i64;
    }
    Ok(vec![x.reshape(&call.shape(&sizes)?)?.copy()?])
}

pub(super) fn flatten(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let (rank, at) = (x.shape().len(), call.int("axis", 1));
    let at = if at == rank as i64 { rank } else { axis(at, rank)? };
    let sizes = [x.shape()[..at].iter().product(), x.shape()[at..].iter().product()];
    Ok(vec![x.reshape(&sizes)?.copy()?])
}

pub(super) fn squeeze(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let gone = match call.axes(1, "axes")? {
        Some(list) => axes(&list, x.shape().len())?,
        None => (0..x.shape().len()).filter(|&d| x.shape()[d] == 1).collect(),
    };
    let mut y = x.clone();
    for &d in gone.iter().rev() {
        y = y.squeeze(d)?;
    }
    Ok(vec![y.copy()?])
}

pub(super) fn unsqueeze(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let list = call.axes(1, "axes")?.ok_or_else(|| call.malformed("it has no axes"))?;
    let mut y = x.clone();
    for d in axes(&list, x.shape().len() + list.len())? {
        y = y.unsqueeze(d)?;
    }
    Ok(vec![y.copy()?])
}

pub(super) fn expand(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let wanted = call.integers(1)?.ok_or_else(|| call.malformed("it has no shape"))?;
    let wanted = call.shape(&wanted)?;
    let rank = wanted.len().max(x.shape().len());
    let size = |s: &[usize], d: usize| (d + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
    let both = |d| (size(x.shape(), d), size(&wanted, d));
    let shape: Vec<usize> = (0..rank).map(|d| if both(d).1 == 1 { both(d).0 } else { both(d).1 }).collect();
    Ok(vec![x.broadcast_to(&shape)?.copy()?])
}

pub(super) fn tile(call: &Call<'_>) -> Outcome {
    let mut y = call.x(0)?.copy()?;
    let repeats = call.integers(1)?.ok_or_else(|| call.malformed("it has no repeats"))?;
    let repeats = call.shape(&repeats)?;
    if repeats.len() != y.shape().len() {
        return Err(call.malformed(format!("{} repeats for {}", repeats.len(), y.desc())));
    }
    let sizes: Vec<i64> = y.shape().iter().zip(&repeats).map(|(s, r)| s.saturating_mul(*r) as i64).collect();
    call.shape(&sizes)?;
    for (d, &count) in repeats.iter().enumerate() {
        y = if count == 0 { y.slice(d, 0..0)? } else { Tensor::concat(&vec![&y; count], d)? };
    }
    Ok(vec![y])
}

/// Start, end and step per axis, clamped as Python clamps them.
pub(super) fn slice(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let list = |i, name| Ok::<_, Stop>(call.axes(i, name)?.unwrap_or_default());
    let (starts, ends) = (list(1, "starts")?, list(2, "ends")?);
    let at = call.axes(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = call.integers(4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), at.len(), steps.len()] != [starts.len(); 3] {
        return Err(call.malformed("starts, ends, axes and steps differ in number"));
    }
    let mut y = x.clone();
    for i in 0..starts.len() {
        let d = axis(at[i], x.shape().len())?;
        let n = x.shape()[d] as i64;
        let (low, high) = if steps[i] < 0 { (-1, n - 1) } else { (0, n) };
        let counted = |p: i64| if p < 0 { p.saturating_add(n) } else { p }.clamp(low, high);
        let (start, end) = (counted(starts[i]), counted(ends[i]));
        y = match steps[i] {
            0 => return Err(call.malformed("a step is 0")),
            1 => y.slice(d, start as usize..end.max(start) as usize)?,
            step => {
                let order = std::iter::successors(Some(start), |p| p.checked_add(step));
                let order = order.take_while(|&p| if step > 0 { p < end } else { p > end });
                along(call, &y, d, order.map(|p| p as usize))?
            }
        };
    }
    Ok(vec![y.copy()?])
}

pub(super) fn split(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let at = axis(call.int("axis", 0), x.shape().len())?;
    let n = x.shape()[at];
    let sizes: Vec<usize> = match call.axes(1, "split")? {
        Some(sizes) => call.shape(&sizes)?,
        None => {
            let parts = call.int("num_outputs", call.output_count() as i64);
            let parts = usize::try_from(parts).ok().filter(|&p| p > 0 && p <= call.output_count());
            let parts = parts.ok_or_else(|| call.malformed("num_outputs does not fit"))?;
            let size = n.div_ceil(parts);
            (0..parts).map(|i| size.min(n.saturating_sub(i * size))).collect()
        }
    };
    let mut from = 0;
    let mut outputs = Vec::new();
    for size in sizes {
        outputs.push(x.slice(at, from..from.saturating_add(size))?.copy()?);
        from += size;
    }
    Ok(outputs)
}

/// A border of one value, or of elements of the tensor in another order. Negative borders cut.
pub(super) fn pad(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let rank = x.shape().len();
    let pads = call.axes(1, "pads")?.ok_or_else(|| call.malformed("it has no pads"))?;
    let at: Vec<usize> = match call.integers(3)? {
        Some(list) => list.iter().map(|&a| axis(a, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * at.len() {
        return Err(call.malformed(format!("{} pads for {} axes", pads.len(), at.len())));
    }
    let (mut before, mut after) = (vec![0i64; rank], vec![0i64; rank]);
    for (i, &d) in at.iter().enumerate() {
        (before[d], after[d]) = (pads[i], pads[at.len() + i]);
    }
    let mut y = x.clone();
    for d in 0..rank {
        let n = x.shape()[d] as i64;
        let (from, to) = ((-before[d]).max(0), n.saturating_add(after[d].min(0)));
        if from > to {
            return Err(call.malformed("negative pads cut more than there is"));
        }
        y = y.slice(d, from as usize..to as usize)?;
        (before[d], after[d]) = (before[d].max(0), after[d].max(0));
    }
    let grown: Vec<i64> = (0..rank).map(|d| before[d].saturating_add(after[d]).saturating_add(1)).collect();
    call.shape(&grown)?;
    let mode = call.text("mode", "constant");
    if mode == "constant" {
        let value = match call.opt(2) {
            Some(value) => scalar(value)?,
            None => Scalar::from(call.float("value", 0.0)),
        };
        let sizes = |list: &[i64]| list.iter().map(|&p| p as usize).collect::<Vec<_>>();
        return Ok(vec![y.pad(&sizes(&before), &sizes(&after), value)?]);
    }
    for d in 0..rank {
        let n = y.shape()[d] as i64;
        if n == 0 || before[d] + after[d] == 0 {
            continue;
        }
        let inside = |p: i64| match &mode[..] {
            "edge" => Some(p.clamp(0, n - 1)),
            "wrap" => Some(p.rem_euclid(n)),
            "reflect" if n == 1 => Some(0),
            "reflect" => Some((n - 1) - ((n - 1) - p.rem_euclid(2 * (n - 1))).abs()),
            _ => None,
        };
        let order: Option<Vec<i64>> = (-before[d]..n + after[d]).map(inside).collect();
        let order = order.ok_or_else(|| call.unmapped(format!("the mode {mode}")))?;
        y = along(call, &y, d, order.into_iter().map(|p| p as usize))?;
    }
    Ok(vec![y.copy()?])
}

/// The one number of a tensor, as a constant.
pub(super) fn scalar(tensor: &Tensor) -> Result<Scalar, Stop> {
    if !tensor.dtype().is_float() {
        let list = integers(tensor)?;
        return list.first().map(|&i| Scalar::from(i)).ok_or_else(|| Stop::Malformed("a scalar is empty".into()));
    }
    let list = tensor.cast(DType::F32)?.to_vec::<f32>()?;
    list.first().map(|&x| Scalar::from(x)).ok_or_else(|| Stop::Malformed("a scalar is empty".into()))
}

pub(super) fn constant_of_shape(call: &Call<'_>) -> Outcome {
    let sizes = call.integers(0)?.ok_or_else(|| call.malformed("it has no shape"))?;
    let shape = call.shape(&sizes)?;
    let Some(value) = call.tensor("value") else { return Ok(vec![call.full(DType::F32, &shape, 0.0)?]) };
    let value = Value::from_proto(value)?;
    let tensor = call.device.tensor_from_bytes(value.dtype, &value.bytes, &value.shape)?;
    Ok(vec![call.full(value.dtype, &shape, scalar(&tensor)?)?])
}

/// The elements on one side of a diagonal, zero on the other.
pub(super) fn trilu(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let &[.., rows, columns] = x.shape() else { return Err(call.malformed("x is no matrix")) };
    let (k, upper) = (call.integer(1)?.unwrap_or(0), call.int("upper", 1) != 0);
    let kept = |i: usize, j: usize| {
        let diagonal = (j as i64 - i as i64).cmp(&k);
        if upper { diagonal.is_ge() } else { diagonal.is_le() }
    };
    let mask: Vec<u8> = (0..rows * columns).map(|p| u8::from(kept(p / columns, p % columns))).collect();
    let mask = call.device.tensor_from_bytes(DType::Bool, &mask, &[rows, columns])?;
    Ok(vec![mask.where_(x, &call.full(x.dtype(), &[], 0)?)?])
}

/// 1 where an index names the position, 0 elsewhere, as the two given values.
pub(super) fn one_hot(call: &Call<'_>) -> Outcome {
    let (indices, values) = (call.x(0)?, call.x(2)?);
    let depth = integers(&call.x(1)?.cast(DType::I64)?)?.first().copied().unwrap_or(0);
    let depth = call.shape(&[depth])?[0];
    let at = axis(call.int("axis", -1), indices.shape().len() + 1)?;
    let found = super::index::counted(call, indices, depth)?.unsqueeze(indices.shape().len())?;
    let hot = found.compare(CompareOp::Eq, &call.iota(depth)?)?;
    let (off, on) = (values.slice(0, 0..1)?, values.slice(0, 1..2)?);
    Ok(vec![crate::call::from_last(&hot.where_(&on, &off)?, at)?])
}

/// Blocks of `size·size` positions become channels, or back; both are one permutation.
pub(super) fn depth_to_space(call: &Call<'_>) -> Outcome {
    let (x, b) = (call.x(0)?, block(call)?);
    let &[n, c, h, w] = x.shape() else { return Err(call.malformed("x has no four dimensions")) };
    let depth = c / (b * b);
    let y = match &call.text("mode", "DCR")[..] {
        "DCR" => x.reshape(&[n, b, b, depth, h, w])?.permute(&[0, 3, 4, 1, 5, 2])?,
        "CRD" => x.reshape(&[n, depth, b, b, h, w])?.permute(&[0, 1, 4, 2, 5, 3])?,
        mode => return Err(call.unmapped(format!("the mode {mode}"))),
    };
    Ok(vec![y.reshape(&[n, depth, h * b, w * b])?])
}

pub(super) fn space_to_depth(call: &Call<'_>) -> Outcome {
    let (x, b) = (call.x(0)?, block(call)?);
    let &[n, c, h, w] = x.shape() else { return Err(call.malformed("x has no four dimensions")) };
    let y = match &call.text("mode", "DCR")[..] {
        "DCR" => x.reshape(&[n, c, h / b, b, w / b, b])?.permute(&[0, 3, 5, 1, 2, 4])?,
        "CRD" => x.reshape(&[n, c, h / b, b, w / b, b])?.permute(&[0, 1, 3, 5, 2, 4])?,
        mode => return Err(call.unmapped(format!("the mode {mode}"))),
    };
    Ok(vec![y.reshape(&[n, c * b * b, h / b, w / b])?])
}

fn block(call: &Call<'_>) -> Result<usize, Stop> {
    let size = call.int("blocksize", 0);
    usize::try_from(size).ok().filter(|&b| b > 0).ok_or_else(|| call.malformed(format!("blocksize is {size}")))
}

/// A constant of the graph.
pub(super) fn constant(call: &Call<'_>) -> Outcome {
    let device = call.device;
    if let Some(tensor) = call.tensor("value") {
        let value = Value::from_proto(tensor)?;
        return Ok(vec![device.tensor_from_bytes(value.dtype, &value.bytes, &value.shape)?]);
    }
    if let Some(list) = call.list("value_ints") {
        return Ok(vec![device.tensor(list, &[list.len()])?]);
    }
    if call.has("value_int") {
        return Ok(vec![device.tensor(&[call.int("value_int", 0)], &[])?]);
    }
    if call.has("value_float") {
        return Ok(vec![device.tensor(&[call.float("value_float", 0.0)], &[])?]);
    }
    Err(call.unmapped("this kind of value"))
}

/// The sizes of a tensor, as a constant of the graph.
pub(super) fn shape(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let rank = x.shape().len() as i64;
    let counted = |p: i64| if p < 0 { p + rank } else { p }.clamp(0, rank) as usize;
    let (start, end) = (counted(call.int("start", 0)), counted(call.int("end", rank)));
    let sizes: Vec<i64> = x.shape()[start..end.max(start)].iter().map(|&s| s as i64).collect();
    Ok(vec![call.device.tensor(&sizes, &[sizes.len()])?])
}
