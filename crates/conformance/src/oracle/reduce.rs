//! Reductions over one axis, and the index of the largest element.

use unisono_core::TensorDesc;
use unisono_core::op::{Reduce, ReduceOp};

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

pub(super) fn reduce(op: &Reduce, x: &Tensor, out: &TensorDesc) -> Expected {
    let n = x.desc.shape[op.axis];
    let mut y = Elements::new(out.dtype, out.elements());
    for_each_line(x, op.axis, |line| {
        let sum: f64 = line.iter().sum();
        let size: f64 = line.iter().map(|x| x.abs()).sum();
        let exact = size <= 16_777_216.0 && line.iter().all(|x| x.fract() == 0.0);
        let flushed = n as f64 * FLOOR;
        let (bound, quality) =
            if exact { (0.0, 0.0) } else { (gamma(n) * size + flushed, probable(n) * size + flushed) };
        match op.op {
            ReduceOp::Sum => y.push(sum, bound, quality),
            // A division is within 2.5 units, a product with 1/n within two roundings.
            ReduceOp::Mean => {
                let (d, value) = (n as f64, sum / n as f64);
                let rest = 3.0 * U * value.abs();
                y.push(value, bound / d + rest, quality / d + rest);
            }
            _ => y.push(line.iter().copied().fold(f64::NEG_INFINITY, f64::max), 0.0, 0.0),
        }
    });
    let mut expected = y.finish();
    // The largest of subnormal numbers may be read as zero, whatever type they come from.
    expected.flush_below = expected.flush_below.max(smallest_normal(x.desc.dtype));
    expected
}

pub(super) fn argmax(axis: usize, x: &Tensor, out: &TensorDesc) -> Expected {
    let mut y = Elements::new(out.dtype, out.elements());
    for_each_line(x, axis, |line| {
        let best = (1..line.len()).fold(0, |best, i| if line[i] > line[best] { i } else { best });
        y.push_exact(best as f64, 0.0, 0.0);
    });
    Expected { flush_below: 0.0, ..y.finish() }
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
        ] {
            let out = TensorDesc::contiguous(DType::F32, &[2, 3]).unwrap();
            let out = TensorDesc::contiguous(DType::F32, &out.shape.with(axis, 1)).unwrap();
            assert_eq!(reduce(&Reduce { op, axis }, &matrix(), &out).values, expected);
        }
    }

    #[test]
    fn lowest_index_wins() {
        let out = TensorDesc::contiguous(DType::U32, &[2, 1]).unwrap();
        assert_eq!(argmax(1, &matrix(), &out).values, [1.0, 0.0]);
    }

    #[test]
    fn sum_over_nothing_is_zero() {
        let x = Tensor { desc: TensorDesc::contiguous(DType::F32, &[2, 0]).unwrap(), values: vec![] };
        let out = TensorDesc::contiguous(DType::F32, &[2, 1]).unwrap();
        let y = reduce(&Reduce { op: ReduceOp::Sum, axis: 1 }, &x, &out);
        assert_eq!((y.values, y.bounds), (vec![0.0, 0.0], vec![0.0, 0.0]));
    }
}
