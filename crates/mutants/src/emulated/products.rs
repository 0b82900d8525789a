//! Sums and products of rows, in the order and the numeric mode of the device, and the operations
//! that consist of them.

use unisono_core::op::{Linear, RopePairing};
use unisono_core::{DType, NumericMode};

use super::arithmetic::F;
use super::{Fault, Host, Order, T};

impl Host {
    /// A number rounded to f16.
    fn half(&self, x: F) -> F {
        F(self.arithmetic.store(DType::F16, x.0))
    }

    /// All terms added in the order of the device; `round` acts on each partial sum.
    fn ordered(&self, terms: &[F], round: &dyn Fn(F) -> F) -> F {
        match self.order {
            Order::Forward => terms.iter().fold(F(0.0), |s, &x| round(s + x)),
            Order::Backward => terms.iter().rev().fold(F(0.0), |s, &x| round(s + x)),
            Order::Pairwise => match terms {
                [] => F(0.0),
                [x] => *x,
                _ => {
                    let (a, b) = terms.split_at(terms.len() / 2);
                    round(self.ordered(a, round) + self.ordered(b, round))
                }
            },
        }
    }

    /// The terms that a device with the fault of a dropped term adds.
    fn kept<'a>(&self, terms: &'a [F]) -> &'a [F] {
        if self.has(Fault::DropLastTerm) { &terms[..terms.len().saturating_sub(1)] } else { terms }
    }

    pub(crate) fn sum(&self, terms: &[F]) -> F {
        let terms = self.kept(terms);
        if self.has(Fault::HalfAccumulator) { self.sum_in_half(terms) } else { self.ordered(terms, &|s| s) }
    }

    fn sum_in_half(&self, terms: &[F]) -> F {
        let terms: Vec<F> = terms.iter().map(|&x| self.half(x)).collect();
        self.ordered(&terms, &|s| self.half(s))
    }

    pub(crate) fn product(&self, terms: &[F]) -> F {
        self.kept(terms).iter().fold(F(1.0), |p, &x| p * x)
    }

    /// A sum of products in f32, as norms have them.
    pub(crate) fn dot(&self, a: impl Iterator<Item = F>, b: impl Iterator<Item = F>) -> F {
        let staged = |x: F| if self.has(Fault::StageInHalf) { self.half(x) } else { x };
        let terms: Vec<F> = a.zip(b).map(|(a, b)| staged(a) * staged(b)).collect();
        self.sum(&terms)
    }

    /// A sum of products of a matrix, a convolution or an attention: what numeric modes are about.
    pub(crate) fn contract(&self, a: impl Iterator<Item = F>, b: impl Iterator<Item = F>) -> F {
        if self.mode != Some(NumericMode::F16Accumulate) {
            return self.dot(a, b);
        }
        let terms: Vec<F> = a.zip(b).map(|(a, b)| a * b).collect();
        self.sum_in_half(self.kept(&terms))
    }

    /// A row of activations as it meets weights of type `dtype`: in 8-bit integers, block by block,
    /// where the device declares so.
    fn activations(&self, row: &[F], weights: DType) -> Vec<F> {
        if self.mode != Some(NumericMode::Int8Activations) || !weights.is_block() {
            return row.to_vec();
        }
        let quantised = |block: &[F]| -> Vec<F> {
            let largest = block.iter().fold(F(0.0), |m, x| m.max(x.abs()));
            let scale = largest / 127.0;
            let code = |x: F| F((x / scale).0.round_ties_even().clamp(-127.0, 127.0));
            block.iter().map(|&x| if scale.0 == 0.0 { F(0.0) } else { code(x) * scale }).collect()
        };
        row.chunks(weights.block_elements()).flat_map(quantised).collect()
    }

    pub(crate) fn matmul(&self, a: &T, b: &T) -> T {
        let r = a.shape.len();
        let [m, k, n] = [a.shape[r - 2], a.shape[r - 1], b.shape[r - 1]];
        let mut shape = a.shape.clone();
        shape[r - 1] = n;
        let mut x = Vec::new();
        for row in 0..shape[..r - 1].iter().product() {
            let activations = self.activations(&a.x[row * k..(row + 1) * k], b.dtype);
            for j in 0..n {
                let column = (0..k).map(|p| b.x[(row / m * k + p) * n + j]);
                x.push(self.contract(activations.iter().copied(), column));
            }
        }
        T::new(shape, x)
    }

    /// Each row with the matrix that its id names.
    pub(crate) fn matmul_id(&self, a: &T, b: &T, ids: &T, shape: Vec<usize>) -> T {
        let (k, n) = (b.shape[1], b.shape[2]);
        let mut y = Vec::new();
        for (i, &id) in ids.x.iter().enumerate() {
            let expert = self.row_index(id, b.shape[0]);
            let activations = self.activations(a.row(i), b.dtype);
            let column = |j: usize, e: usize| (0..k).map(move |p| b.x[(e * k + p) * n + j]);
            let product = |j: usize, e: usize| self.contract(activations.iter().copied(), column(j, e));
            y.extend((0..n).map(|j| expert.map_or(F(0.0), |e| product(j, e))));
        }
        T::new(shape, y)
    }

    pub(crate) fn linear(&self, op: &Linear, x: &[T]) -> T {
        let mut y = self.matmul(&x[0], &x[1]);
        let n = y.last();
        let mut rest = x[2..].iter();
        let bias = rest.next().filter(|_| op.bias);
        let residual = if op.bias { rest.next() } else { x.get(2) };
        for (i, y) in y.x.iter_mut().enumerate() {
            let bias = bias.filter(|_| !self.has(Fault::NoBias)).map_or(F(0.0), |t| t.x[i % n]);
            let residual = residual.map_or(F(0.0), |t| t.x[i]);
            let early = self.has(Fault::ResidualFirst);
            let before = *y + bias + if early { residual } else { F(0.0) };
            let after = op.activation.unary().map_or(before, |op| self.unary(op, before));
            *y = after + if early { F(0.0) } else { residual };
        }
        y
    }

    pub(crate) fn rope(&self, pairing: RopePairing, x: &[T]) -> T {
        let (x, cos, sin, positions) = (&x[0], &x[1], &x[2], &x[3]);
        let half = cos.shape[1];
        let halves = (pairing == RopePairing::HalfSplit) != self.has(Fault::WrongPairing);
        let mut y = x.x.clone();
        for head in 0..x.rows() {
            let mut position = positions.x[head / x.shape[2]].0;
            if self.has(Fault::ClampIndex) {
                position = position.clamp(0.0, cos.shape[0] as f32 - 1.0);
            }
            let inside = position >= 0.0 && position < cos.shape[0] as f32;
            for i in 0..half {
                let at = head * x.last();
                let (a, b) = if halves { (at + i, at + i + half) } else { (at + 2 * i, at + 2 * i + 1) };
                let table = |t: &T| if inside { t.x[position as usize * half + i] } else { F(0.0) };
                let s = if self.has(Fault::WrongSign) { -table(sin) } else { table(sin) };
                (y[a], y[b]) = (x.x[a] * table(cos) - x.x[b] * s, x.x[b] * table(cos) + x.x[a] * s);
            }
        }
        x.like(y)
    }
}
