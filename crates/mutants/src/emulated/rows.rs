//! Host kernels of reductions, running sums and order.

use std::cmp::Ordering;

use unisono_core::op::{ArgOp, CumSum, Reduce, ReduceOp, TopK};

use super::arithmetic::F;
use super::{Fault, Host, T};

impl Host {
    /// Each element as a sum of its own.
    pub(crate) fn cumsum(&self, op: &CumSum, x: &T) -> T {
        let (n, inner) = (x.shape[op.axis], x.shape[op.axis + 1..].iter().product::<usize>());
        let reverse = op.reverse != self.has(Fault::WrongDirection);
        let exclusive = op.exclusive != self.has(Fault::ExclusiveOffByOne);
        let element = |e: usize| {
            let (first, i) = (e - e / inner % n * inner, e / inner % n);
            let range = match (reverse, exclusive) {
                (false, false) => 0..i + 1,
                (false, true) => 0..i,
                (true, false) => i..n,
                (true, true) => i + 1..n,
            };
            self.sum(&range.map(|j| x.x[first + j * inner]).collect::<Vec<_>>())
        };
        x.like((0..x.x.len()).map(element).collect())
    }

    fn sorted(&self, row: &[F], descending: bool) -> Vec<usize> {
        let mut order: Vec<usize> = (0..row.len()).collect();
        if self.has(Fault::LastOfTies) {
            order.reverse();
        }
        // A NaN is above every number, and equal to another.
        let lost = self.has(Fault::LosesNan);
        let rank =
            |x: F| if x.0.is_nan() && !lost { (true, 0.0) } else { (false, if x.0.is_nan() { 0.0 } else { x.0 }) };
        order.sort_by(|&a, &b| {
            let order = rank(row[a]).partial_cmp(&rank(row[b])).unwrap_or(Ordering::Equal);
            if descending { order.reverse() } else { order }
        });
        order
    }

    pub(crate) fn argsort(&self, x: &T, descending: bool) -> T {
        let y = (0..x.rows()).flat_map(|i| self.sorted(x.row(i), descending)).map(|i| F(i as f32)).collect();
        x.like(y)
    }

    pub(crate) fn topk(&self, op: &TopK, x: &T) -> [T; 2] {
        let descending = op.smallest == self.has(Fault::WrongDirection);
        let mut shape = x.shape.clone();
        shape.pop();
        shape.push(op.k);
        let (mut values, mut indices) = (Vec::new(), Vec::new());
        for i in 0..x.rows() {
            for j in self.sorted(x.row(i), descending).into_iter().take(op.k) {
                values.push(x.row(i)[j]);
                indices.push(F(j as f32));
            }
        }
        [T::new(shape.clone(), values), T::new(shape, indices)]
    }

    /// Calls `f` with the elements of each line along `axis`.
    fn lines(x: &T, axis: usize, mut f: impl FnMut(&[F]) -> F) -> T {
        let n = x.shape[axis];
        let inner: usize = x.shape[axis + 1..].iter().product();
        let outer: usize = x.shape[..axis].iter().product();
        let line = |o: usize, i: usize| (0..n).map(|j| x.x[(o * n + j) * inner + i]).collect::<Vec<_>>();
        let y = (0..outer * inner).map(|l| f(&line(l / inner, l % inner))).collect();
        let mut shape = x.shape.clone();
        shape[axis] = 1;
        T::new(shape, y)
    }

    pub(crate) fn reduce(&self, op: &Reduce, x: &T) -> T {
        // A maximum that starts at zero is a classic.
        let start = |x: f32| F(if self.has(Fault::NoMaximum) { 0.0 } else { x });
        Host::lines(x, op.axis, |line| match op.op {
            ReduceOp::Sum => self.sum(line),
            ReduceOp::Mean if self.has(Fault::SumForMean) => self.sum(line),
            ReduceOp::Mean => self.sum(line) / line.len() as f32,
            ReduceOp::Prod => self.product(line),
            ReduceOp::Min => line.iter().fold(start(f32::INFINITY), |y, &x| self.smaller(y, x)),
            _ => line.iter().fold(start(f32::NEG_INFINITY), |y, &x| self.larger(y, x)),
        })
    }

    pub(crate) fn arg_reduce(&self, op: ArgOp, axis: usize, x: &T) -> T {
        let later = self.has(Fault::LastOfTies);
        let better = |a: F, b: F| (if op == ArgOp::Max { a > b } else { a < b }) || (later && a == b);
        Host::lines(x, axis, |line| {
            let nan = line.iter().position(|x| x.0.is_nan()).filter(|_| !self.has(Fault::LosesNan));
            if let Some(first) = nan {
                return F(first as f32);
            }
            F((1..line.len()).fold(0, |best, i| if better(line[i], line[best]) { i } else { best }) as f32)
        })
    }
}
