//! Reductions and running sums over one axis, and the index of the largest or smallest element.

use unisono_core::op::{ArgOp, ArgReduce, CumSum, Reduce, ReduceOp};
use unisono_core::{DType, TensorDesc};

use super::Tensor;
use crate::bound::{Elements, FLOOR, U, gamma, probable, smallest_normal};
use crate::check::Expected;

/// Calls `f` with the elements along `axis` for each element of the result.
fn for_each_line(x: &Tensor, axis: usize, mut f: impl FnMut(&[f64])) {
    let n = x.desc.shape[axis];
    let outer: usize = x.desc.shape[..axis].iter().product();
    let inner: usize = x.desc.shape[axis + 1..].iter().product();
    let mut line = vec![0.0; n];
    for o in 0..outer {
        for i in 0..inner {
            for (j, value) in line.iter_mut().enumerate() {
                *value = x.values[(o * n + j) * inner + i];
            }
            f(&line);
        }
    }
}

/// A sum of `terms` numbers whose magnitudes add up to `size`: bound and probable error.
fn sum_errors(exact: bool, terms: usize, size: f64) -> (f64, f64) {
    if exact && size <= 16_777_216.0 {
        return (0.0, 0.0);
    }
    let flushed = terms as f64 * FLOOR;
    (gamma(terms) * size + flushed, probable(terms) * size + flushed)
}

/// The product and its errors. A part of the product may come first in any order, so the largest
/// and the smallest one decide whether anything is guaranteed.
fn product(line: &[f64]) -> (f64, f64, f64) {
    let value: f64 = line.iter().product();
    let large: f64 = line.iter().map(|x| x.abs().max(1.0)).product();
    let small: f64 = line.iter().filter(|x| **x != 0.0).map(|x| x.abs().min(1.0)).product();
    let power = |x: &f64| *x == 0.0 || x.abs().to_bits() & 0x000F_FFFF_FFFF_FFFF == 0;
    let integers = line.iter().all(|x| x.fract() == 0.0) && large <= 16_777_216.0;
    if integers || line.iter().all(power) && large <= 1e30 && small >= 1e-30 {
        return (value, 0.0, 0.0);
    }
    if large >= f64::from(f32::MAX) {
        return (value, f64::INFINITY, f64::INFINITY);
    }
    let flushed = if small < 2.0 * FLOOR { FLOOR * large } else { 0.0 };
    let n = line.len();
    (value, gamma(n) * value.abs() + flushed, probable(n) * value.abs() + flushed)
}

/// Integers wrap; picking one needs no arithmetic.
fn reduce_integers(op: ReduceOp, line: &[f64], dtype: DType) -> f64 {
    let bits = line.iter().map(|&x| x as i64 as u32);
    let wrapped = match op {
        ReduceOp::Sum => bits.fold(0, u32::wrapping_add),
        ReduceOp::Prod => bits.fold(1, u32::wrapping_mul),
        ReduceOp::Min => return line.iter().copied().fold(f64::INFINITY, f64::min),
        _ => return line.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    };
    integer(wrapped, dtype)
}

fn integer(bits: u32, dtype: DType) -> f64 {
    if dtype == DType::I32 { f64::from(bits as i32) } else { f64::from(bits) }
}

pub(super) fn reduce(op: &Reduce, x: &Tensor, out: &TensorDesc) -> Expected {
    let n = x.desc.shape[op.axis];
    let mut y = Elements::new(out.dtype, out.elements());
    if !out.dtype.is_float() {
        for_each_line(x, op.axis, |line| y.push_exact(reduce_integers(op.op, line, out.dtype), 0.0, 0.0));
        return Expected { flush_below: 0.0, ..y.finish() };
    }
    for_each_line(x, op.axis, |line| {
        let sum: f64 = line.iter().sum();
        let size: f64 = line.iter().map(|x| x.abs()).sum();
        let (bound, quality) = sum_errors(line.iter().all(|x| x.fract() == 0.0), n, size);
        match op.op {
            ReduceOp::Sum => y.push(sum, bound, quality),
            // A division is within 2.5 units, a product with 1/n within two roundings.
            ReduceOp::Mean => {
                let (d, value) = (n as f64, sum / n as f64);
                let rest = 3.0 * U * value.abs();
                y.push(value, bound / d + rest, quality / d + rest);
            }
            ReduceOp::Prod => {
                let (value, bound, quality) = product(line);
                y.push(value, bound, quality);
            }
            _ if line.iter().any(|x| x.is_nan()) => y.push(f64::NAN, 0.0, 0.0),
            ReduceOp::Min => y.push(line.iter().copied().fold(f64::INFINITY, f64::min), 0.0, 0.0),
            _ => y.push(line.iter().copied().fold(f64::NEG_INFINITY, f64::max), 0.0, 0.0),
        }
    });
    let mut expected = y.finish();
    // The largest of subnormal numbers may be read as zero, whatever type they come from.
    expected.flush_below = expected.flush_below.max(smallest_normal(x.desc.dtype));
    expected
}

pub(super) fn arg_reduce(op: &ArgReduce, x: &Tensor, out: &TensorDesc) -> Expected {
    let mut y = Elements::new(out.dtype, out.elements());
    let better = |a: f64, b: f64| if op.op == ArgOp::Max { a > b } else { a < b };
    for_each_line(x, op.axis, |line| {
        let best = (1..line.len()).fold(0, |best, i| if better(line[i], line[best]) { i } else { best });
        let best = line.iter().position(|x| x.is_nan()).unwrap_or(best);
        y.push_exact(best as f64, 0.0, 0.0);
    });
    Expected { flush_below: 0.0, ..y.finish() }
}

/// Each element is a sum of its own.
pub(super) fn cumsum(op: &CumSum, x: &Tensor, out: &TensorDesc) -> Expected {
    let n = x.desc.shape[op.axis];
    let inner: usize = x.desc.shape[op.axis + 1..].iter().product();
    let mut all = vec![(0.0, 0.0, 0.0); out.elements()];
    let mut number = 0;
    for_each_line(x, op.axis, |line| {
        let (mut sum, mut size, mut bits, mut integers) = (0.0, 0.0, 0u32, true);
        for i in 0..n {
            let j = if op.reverse { n - 1 - i } else { i };
            let before = (sum, size, bits, integers);
            sum += line[j];
            size += line[j].abs();
            bits = bits.wrapping_add(line[j] as i64 as u32);
            integers &= line[j].fract() == 0.0;
            let terms = if op.exclusive { i } else { i + 1 };
            let (sum, size, bits, integers) = if op.exclusive { before } else { (sum, size, bits, integers) };
            let (bound, quality) = sum_errors(integers, terms, size);
            let element = &mut all[((number / inner) * n + j) * inner + number % inner];
            *element = if out.dtype.is_float() { (sum, bound, quality) } else { (integer(bits, out.dtype), 0.0, 0.0) };
        }
        number += 1;
    });
    let mut y = Elements::new(out.dtype, out.elements());
    for (value, bound, quality) in all {
        if out.dtype.is_float() { y.push(value, bound, quality) } else { y.push_exact(value, bound, quality) }
    }
    let mut expected = y.finish();
    let subnormal = expected.flush_below.max(smallest_normal(x.desc.dtype));
    expected.flush_below = if out.dtype.is_float() { subnormal } else { 0.0 };
    expected
}

#[cfg(test)]
mod tests {
    use super::*;
    use unisono_core::DType;

    fn matrix() -> Tensor {
        Tensor {
            desc: TensorDesc::contiguous(DType::F32, &[2, 3]).unwrap(),
            values: vec![1.0, 5.0, 5.0, -4.0, -7.0, -4.0],
        }
    }

    #[test]
    fn both_axes_by_hand() {
        for (op, axis, expected) in [
            (ReduceOp::Sum, 0, vec![-3.0, -2.0, 1.0]),
            (ReduceOp::Sum, 1, vec![11.0, -15.0]),
            (ReduceOp::Mean, 1, vec![11.0 / 3.0, -5.0]),
            (ReduceOp::Max, 0, vec![1.0, 5.0, 5.0]),
            (ReduceOp::Min, 1, vec![1.0, -7.0]),
            (ReduceOp::Prod, 0, vec![-4.0, -35.0, -20.0]),
        ] {
            let out = TensorDesc::contiguous(DType::F32, &[2, 3]).unwrap();
            let out = TensorDesc::contiguous(DType::F32, &out.shape.with(axis, 1)).unwrap();
            assert_eq!(reduce(&Reduce { op, axis }, &matrix(), &out).values, expected);
        }
    }

    #[test]
    fn lowest_index_wins() {
        let out = TensorDesc::contiguous(DType::U32, &[2, 1]).unwrap();
        let arg = |op| arg_reduce(&ArgReduce { op, axis: 1 }, &matrix(), &out).values;
        assert_eq!((arg(ArgOp::Max), arg(ArgOp::Min)), (vec![1.0, 0.0], vec![0.0, 1.0]));
    }

    #[test]
    fn the_first_nan_is_found_and_stays() {
        let values = vec![3.0, f64::INFINITY, f64::NAN, f64::NAN, f64::NEG_INFINITY, 1.0];
        let x = Tensor { desc: TensorDesc::contiguous(DType::F32, &[6]).unwrap(), values };
        let [index, value] = [DType::U32, DType::F32].map(|d| TensorDesc::contiguous(d, &[1]).unwrap());
        for op in ArgOp::ALL {
            assert_eq!(arg_reduce(&ArgReduce { op, axis: 0 }, &x, &index).values, [2.0]);
        }
        for op in [ReduceOp::Max, ReduceOp::Min] {
            let y = reduce(&Reduce { op, axis: 0 }, &x, &value);
            assert!(y.values[0].is_nan() && y.bounds == [0.0], "{y:?}");
        }
    }

    #[test]
    fn running_sums_by_hand() {
        let out = TensorDesc::contiguous(DType::F32, &[2, 3]).unwrap();
        let run = |axis, exclusive, reverse| cumsum(&CumSum { axis, exclusive, reverse }, &matrix(), &out).values;
        assert_eq!(run(1, false, false), [1.0, 6.0, 11.0, -4.0, -11.0, -15.0]);
        assert_eq!(run(1, true, false), [0.0, 1.0, 6.0, 0.0, -4.0, -11.0]);
        assert_eq!(run(1, true, true), [10.0, 5.0, 0.0, -11.0, -4.0, 0.0]);
        assert_eq!(run(0, false, true), [-3.0, -2.0, 1.0, -4.0, -7.0, -4.0]);
    }

    #[test]
    fn integers_wrap() {
        let x = |dtype, values: &[f64]| Tensor {
            desc: TensorDesc::contiguous(dtype, &[values.len()]).unwrap(),
            values: values.to_vec(),
        };
        let run = |op, dtype, values: &[f64]| {
            let out = TensorDesc::contiguous(dtype, &[1]).unwrap();
            reduce(&Reduce { op, axis: 0 }, &x(dtype, values), &out).values[0]
        };
        assert_eq!(run(ReduceOp::Sum, DType::I32, &[2_147_483_647.0, 2.0]), -2_147_483_647.0);
        assert_eq!(run(ReduceOp::Prod, DType::U32, &[65536.0, 65537.0]), 65536.0);
        assert_eq!(run(ReduceOp::Max, DType::I32, &[-3.0, -2.0]), -2.0);
        assert_eq!(run(ReduceOp::Min, DType::Bool, &[1.0, 0.0]), 0.0);
    }

    #[test]
    fn sum_over_nothing_is_zero() {
        let x = Tensor { desc: TensorDesc::contiguous(DType::F32, &[2, 0]).unwrap(), values: vec![] };
        let out = TensorDesc::contiguous(DType::F32, &[2, 1]).unwrap();
        let y = reduce(&Reduce { op: ReduceOp::Sum, axis: 1 }, &x, &out);
        assert_eq!((y.values, y.bounds), (vec![0.0, 0.0], vec![0.0, 0.0]));
    }
}
