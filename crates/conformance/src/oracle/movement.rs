//! Movement: nothing is computed, so nothing may deviate. A cast rounds to nearest even.

use unisono_core::{DType, TensorDesc};

use unisono_core::op::Pad;

use super::{Tensor, integer, quantise};
use crate::bound::{Elements, FLOOR, U, holds, smallest_normal};
use crate::check::Expected;
use crate::data::{f32_to_bf16_bits, f32_to_f16_bits, for_each_position};

/// `x` as `to` stores it, when it comes from `from`. Widening is exact.
pub(super) fn cast(from: DType, to: DType, x: f64) -> f64 {
    if from == to || !to.is_float() {
        return x;
    }
    // Every float type fits in f32, so the conversion to f32 is exact.
    let single = x as f32;
    match to {
        DType::F16 => half::f16::from_bits(f32_to_f16_bits(single)).to_f64(),
        DType::BF16 => half::bf16::from_bits(f32_to_bf16_bits(single)).to_f64(),
        _ => x,
    }
}

/// Elements that are moved from one type to another.
pub(super) fn moved(from: DType, to: DType, values: Vec<f64>) -> Expected {
    // A conversion may flush a subnormal number, on the way in or on the way out.
    let flush_below = if from == to { 0.0 } else { smallest_normal(from).max(smallest_normal(to)).max(FLOOR) };
    let zeros = vec![0.0; values.len()];
    let signed_zero = from == to && to.is_float();
    Expected { values, bounds: zeros.clone(), quality: zeros, flush_below, signed_zero, integers: None }
}

/// Decoded blocks as `to` stores them. What f32 holds is rounded once, as in a cast; a difference
/// of two products that it does not hold is one operation in f32 before that.
fn decoded(to: DType, values: impl IntoIterator<Item = f64>) -> Expected {
    let mut y = Elements::new(to, 0);
    for v in values {
        if holds(DType::F32, v) {
            y.push_exact(cast(DType::F32, to, v), 0.0, 0.0);
        } else {
            let error = (v.abs() * U).max(FLOOR * U);
            y.push(v, error, error);
        }
    }
    y.finish()
}

/// Numbers that are stored as blocks: their distance is bounded.
fn quantised(to: DType, desc: &TensorDesc, axis: usize, values: &[f64]) -> Expected {
    let bounds = quantise::bounds(to, desc, axis, values);
    let quality = bounds.clone();
    Expected { values: values.to_vec(), bounds, quality, flush_below: FLOOR, ..Expected::default() }
}

pub(super) fn copy(x: &Tensor, out: &TensorDesc) -> Expected {
    let (from, to) = (x.desc.dtype, out.dtype);
    if from.is_block() && !to.is_block() {
        return decoded(to, x.values.iter().copied());
    }
    if let (false, Some(axis)) = (from.is_block(), out.block_axis()) {
        return quantised(to, &x.desc, axis, &x.values);
    }
    moved(from, to, x.values.iter().map(|&v| cast(from, to, v)).collect())
}

pub(super) fn concat(axis: usize, x: &[Tensor], out: &TensorDesc) -> Expected {
    let outer: usize = out.shape[..axis].iter().product();
    let mut values = Vec::with_capacity(out.elements());
    for i in 0..outer {
        for part in x {
            let block: usize = part.desc.shape[axis..].iter().product();
            values.extend_from_slice(&part.values[i * block..(i + 1) * block]);
        }
    }
    moved(out.dtype, out.dtype, values)
}

/// `x` in the middle of `value`; nothing but bits moves, so the value is converted as by a cast.
pub(super) fn pad(op: &Pad, x: &Tensor, out: &TensorDesc) -> Expected {
    let border = match integer::cast(&[integer::Number::from(op.value)], out).values.first() {
        Some(&value) => value,
        None => 0.0,
    };
    let mut values = vec![border; out.elements()];
    let strides = out.shape.contiguous_strides();
    for_each_position(&x.desc.to_contiguous(x.desc.dtype), &x.desc.shape, |index, from| {
        let to: usize = (0..index.len()).map(|d| (index[d] + op.before[d]) * strides[d]).sum();
        values[to] = x.values[from];
    });
    moved(out.dtype, out.dtype, values)
}

/// `a` where the condition holds, else `b`.
pub(super) fn choose(x: &[Tensor], out: &TensorDesc) -> Expected {
    let (condition, a, b) = (&x[0], &x[1], &x[2]);
    let side = |t: &Tensor, i: usize| cast(t.desc.dtype, out.dtype, t.values[i]);
    let chosen = |i: usize| if condition.values[i] == 0.0 { side(b, i) } else { side(a, i) };
    let expected = moved(out.dtype, out.dtype, (0..condition.values.len()).map(chosen).collect());
    // A conversion may flush a subnormal number.
    let converts = |t: &Tensor| moved(t.desc.dtype, out.dtype, Vec::new()).flush_below;
    Expected { flush_below: converts(a).max(converts(b)), ..expected }
}

/// The row that an index names, if it is in range.
fn row(index: f64, rows: usize) -> Option<usize> {
    (index >= 0.0 && index < rows as f64).then_some(index as usize)
}

pub(super) fn gather_rows(table: &Tensor, indices: &Tensor, out: &TensorDesc) -> Expected {
    let (from, to) = (table.desc.dtype, out.dtype);
    let width: usize = table.desc.shape[1..].iter().product();
    let mut values = Vec::with_capacity(out.elements());
    if from.is_block() {
        let rows = indices.values.iter().map(|&index| row(index, table.desc.shape[0]));
        return decoded(to, rows.flat_map(|r| (0..width).map(move |c| r.map_or(0.0, |r| table.values[r * width + c]))));
    }
    for &index in &indices.values {
        match row(index, table.desc.shape[0]) {
            Some(r) => values.extend(table.values[r * width..(r + 1) * width].iter().map(|&v| cast(from, to, v))),
            None => values.extend(std::iter::repeat_n(0.0, width)),
        }
    }
    moved(from, to, values)
}

pub(super) fn scatter_rows(src: &Tensor, indices: &Tensor, dst: &Tensor) -> Expected {
    let (from, to) = (src.desc.dtype, dst.desc.dtype);
    let width: usize = src.desc.shape[1..].iter().product();
    if let (false, Some(axis)) = (from.is_block(), dst.desc.block_axis()) {
        let rows = quantised(to, &src.desc, axis, &src.values);
        let zeros = vec![0.0; dst.values.len()];
        let mut y = Expected { values: dst.values.clone(), bounds: zeros.clone(), quality: zeros, ..rows };
        for (i, &index) in indices.values.iter().enumerate() {
            if let Some(r) = row(index, dst.desc.shape[0]) {
                y.values[r * width..][..width].copy_from_slice(&rows.values[i * width..][..width]);
                y.bounds[r * width..][..width].copy_from_slice(&rows.bounds[i * width..][..width]);
            }
        }
        y.quality.clone_from(&y.bounds);
        return y;
    }
    let mut values = dst.values.clone();
    for (i, &index) in indices.values.iter().enumerate() {
        if let Some(r) = row(index, dst.desc.shape[0]) {
            for c in 0..width {
                values[r * width + c] = cast(from, to, src.values[i * width + c]);
            }
        }
    }
    moved(from, to, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(dtype: DType, shape: &[usize], values: &[f64]) -> Tensor {
        Tensor { desc: TensorDesc::contiguous(dtype, shape).unwrap(), values: values.to_vec() }
    }

    #[test]
    fn cast_rounds_to_even_and_overflows_to_infinity() {
        assert_eq!(cast(DType::F32, DType::F16, 2049.0), 2048.0);
        assert_eq!(cast(DType::F32, DType::F16, -65520.0), f64::NEG_INFINITY);
        assert_eq!(cast(DType::F32, DType::BF16, 257.0), 256.0);
        assert_eq!(cast(DType::F16, DType::F32, 0.1), 0.1);
    }

    #[test]
    fn rows_move_and_strays_do_not() {
        let table = tensor(DType::F32, &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let indices = tensor(DType::I32, &[3], &[1.0, -1.0, 2.0]);
        let out = TensorDesc::contiguous(DType::F32, &[3, 2]).unwrap();
        assert_eq!(gather_rows(&table, &indices, &out).values, [3.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
        let src = tensor(DType::F32, &[3, 2], &[9.0, 8.0, 7.0, 6.0, 5.0, 4.0]);
        assert_eq!(scatter_rows(&src, &indices, &table).values, [1.0, 2.0, 9.0, 8.0]);
    }

    #[test]
    fn concat_joins_the_axis() {
        let a = tensor(DType::F32, &[2, 1], &[1.0, 2.0]);
        let b = tensor(DType::F32, &[2, 2], &[3.0, 4.0, 5.0, 6.0]);
        let out = TensorDesc::contiguous(DType::F32, &[2, 3]).unwrap();
        assert_eq!(concat(1, &[a, b], &out).values, [1.0, 3.0, 4.0, 2.0, 5.0, 6.0]);
    }
}
