//! The matrix product, plain and with its epilogue.

use unisono_core::TensorDesc;
use unisono_core::op::Linear;

use super::elementwise::apply;
use super::{Modes, Tensor};
use crate::bound::{Elements, FLOOR, U, gamma, probable};
use crate::check::Expected;

/// f32 holds every integer up to here, and so every partial sum that stays below.
const EXACT_SUM: f64 = 16_777_216.0;

/// Both operands with their sizes.
struct Product<'a> {
    a: &'a Tensor,
    b: &'a Tensor,
    m: usize,
    k: usize,
    n: usize,
    /// Roundings that decoding an element of b from its block adds.
    decoding: usize,
    /// Whether all elements are integers, so that sums below 2²⁴ are exact in any order.
    integers: bool,
    /// How far each activation may be off, where they are 8-bit integers.
    moved: Option<Vec<f64>>,
    modes: Modes,
}

impl Product<'_> {
    fn new<'a>(a: &'a Tensor, b: &'a Tensor, modes: Modes) -> Product<'a> {
        let r = a.desc.rank();
        let [m, k, n] = [a.desc.shape[r - 2], a.desc.shape[r - 1], b.desc.shape[r - 1]];
        let integers = a.values.iter().chain(&b.values).all(|x| x.fract() == 0.0);
        let decoding = if b.desc.dtype.is_block() { 2 } else { 0 };
        let block = b.desc.dtype.block_elements();
        let rows = a.values.chunks(k.max(1)).map(|row| modes.activation_errors(row, block));
        let moved = rows.collect::<Option<Vec<_>>>().filter(|rows| !rows.is_empty()).map(|rows| rows.concat());
        let integers = integers && moved.is_none();
        Product { a, b, m, k, n, decoding, integers, moved, modes }
    }

    /// How far activation `i` may be off.
    fn moved(&self, i: usize) -> f64 {
        self.moved.as_ref().map_or(0.0, |moved| moved[i])
    }

    /// Calls `f` with each element's row-major number, `Σ ab`, `Σ |ab|` and what 8-bit activations
    /// change at most.
    fn for_each(&self, mut f: impl FnMut(usize, f64, f64, f64)) {
        let (m, k, n) = (self.m, self.k, self.n);
        if m * n == 0 {
            return;
        }
        // Without a k there is nothing to read, and every sum is 0.
        let batch: usize = self.a.desc.shape[..self.a.desc.rank() - 2].iter().product();
        let (mut sums, mut sizes, mut moves) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        for row in 0..batch * m {
            sums.fill(0.0);
            sizes.fill(0.0);
            moves.fill(0.0);
            for p in 0..k {
                let (a, moved) = (self.a.values[row * k + p], self.moved(row * k + p));
                let at = (row / m * k + p) * n;
                for (j, &b) in self.b.values[at..at + n].iter().enumerate() {
                    let product = a * b;
                    sums[j] += product;
                    sizes[j] += product.abs();
                    moves[j] += moved * b.abs();
                }
            }
            for j in 0..n {
                f(row * n + j, sums[j], sizes[j], moves[j]);
            }
        }
    }

    /// The errors of a sum with `extra` more additions: γ_K·Σ|ab|, or none for small integers; and
    /// `moved`, by which the operands themselves are off.
    fn errors(&self, extra: usize, size: f64, moved: f64) -> (f64, f64) {
        let size = size + moved;
        let terms = self.k + self.decoding + extra;
        if let Some((bound, quality)) = self.modes.sum(terms, size, self.integers) {
            return (bound + moved, quality + moved);
        }
        if self.integers && size <= EXACT_SUM {
            return (0.0, 0.0);
        }
        let flushed = terms as f64 * FLOOR + moved;
        (gamma(terms) * size + flushed, probable(terms) * size + flushed)
    }
}

pub(super) fn matmul(a: &Tensor, b: &Tensor, out: &TensorDesc, modes: Modes) -> Expected {
    let mut y = Elements::new(out.dtype, out.elements());
    let product = Product::new(a, b, modes);
    product.for_each(|_, sum, size, moved| {
        let (bound, quality) = product.errors(0, size, moved);
        y.push(sum, bound, quality);
    });
    y.finish()
}

/// Each row of a with the matrix that its id names; zeros where there is none.
pub(super) fn matmul_id(a: &Tensor, b: &Tensor, ids: &Tensor, out: &TensorDesc, modes: Modes) -> Expected {
    let mut y = Elements::new(out.dtype, out.elements());
    let product = Product::new(a, b, modes);
    let (k, n, experts) = (product.k, product.n, b.desc.shape[0]);
    for (row, &id) in ids.values.iter().enumerate() {
        let known = id >= 0.0 && id < experts as f64;
        for j in 0..n {
            let (mut sum, mut size, mut moved) = (0.0, 0.0, 0.0);
            for p in 0..if known { k } else { 0 } {
                let weight = b.values[(id as usize * k + p) * n + j];
                let term = a.values[row * k + p] * weight;
                moved += product.moved(row * k + p) * weight.abs();
                sum += term;
                size += term.abs();
            }
            let (bound, quality) = if known { product.errors(0, size, moved) } else { (0.0, 0.0) };
            y.push(sum, bound, quality);
        }
    }
    y.finish()
}

/// The error before the activation passes through it with the activation's largest slope (1.1 for
/// silu, 1.13 for both gelu); the residual is one more addition.
pub(super) fn linear(op: &Linear, x: &[Tensor], out: &TensorDesc, modes: Modes) -> Expected {
    let mut y = Elements::new(out.dtype, out.elements());
    let mut product = Product::new(&x[0], &x[1], modes);
    let mut rest = x[2..].iter();
    let bias = if op.bias { rest.next() } else { None };
    let residual = if op.residual { rest.next() } else { None };
    let extra = usize::from(op.bias) + usize::from(op.residual);
    product.integers &= bias.into_iter().chain(residual).all(|t| t.values.iter().all(|x| x.fract() == 0.0));
    product.for_each(|i, sum, size, moved| {
        let b = bias.map_or(0.0, |t| t.values[i % product.n]);
        let r = residual.map_or(0.0, |t| t.values[i]);
        let Some(activation) = op.activation.unary() else {
            let (bound, quality) = product.errors(extra, size + b.abs() + r.abs(), moved);
            y.push(sum + b + r, bound, quality);
            return;
        };
        let (before, probably) = product.errors(usize::from(op.bias), size + b.abs(), moved);
        let after = apply(activation, sum + b);
        let value = after.value + r;
        // The bound of the activation is taken at the exact argument; where the argument moves,
        // it moves with it by at most its slope.
        let add = if op.residual { (value.abs() + after.bound) * U } else { 0.0 };
        y.push(value, after.bound + 1.15 * before + add, after.quality + 1.15 * probably + add);
    });
    y.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use unisono_core::DType;
    use unisono_core::op::Activation;

    fn tensor(shape: &[usize], values: &[f64]) -> Tensor {
        Tensor { desc: TensorDesc::contiguous(DType::F32, shape).unwrap(), values: values.to_vec() }
    }

    #[test]
    fn product_by_hand() {
        let a = tensor(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let b = tensor(&[2, 3], &[1.0, 0.0, -1.0, 0.5, 2.0, 1.0]);
        let out = TensorDesc::contiguous(DType::F32, &[2, 3]).unwrap();
        let y = matmul(&a, &b, &out, Modes::default());
        assert_eq!(y.values, [2.0, 4.0, 1.0, 5.0, 8.0, 1.0]);
        assert!(y.bounds.iter().all(|&b| b > 0.0 && b < 1e-5), "halves are not integers");
    }

    #[test]
    fn integers_are_exact_and_an_empty_sum_is_zero() {
        let out = TensorDesc::contiguous(DType::F32, &[1, 1]).unwrap();
        let y = matmul(&tensor(&[1, 2], &[3.0, 4.0]), &tensor(&[2, 1], &[5.0, -6.0]), &out, Modes::default());
        assert_eq!((y.values[0], y.bounds[0]), (-9.0, 0.0));
        let y = matmul(&tensor(&[1, 0], &[]), &tensor(&[0, 1], &[]), &out, Modes::default());
        assert_eq!((y.values[0], y.bounds[0]), (0.0, 0.0));
    }

    #[test]
    fn experts_by_hand() {
        let a = tensor(&[2, 2, 2], &[1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0, 4.0]);
        let b = tensor(&[2, 2, 1], &[1.0, 10.0, 5.0, -1.0]);
        let ids = tensor(&[2, 2], &[1.0, 0.0, -1.0, 2.0]);
        let out = TensorDesc::contiguous(DType::F32, &[2, 2, 1]).unwrap();
        let y = matmul_id(&a, &b, &ids, &out, Modes::default());
        assert_eq!(y.values, [3.0, 21.0, 0.0, 0.0]);
        assert_eq!(y.bounds, [0.0; 4]);
    }

    #[test]
    fn epilogue_in_order() {
        let out = TensorDesc::contiguous(DType::F32, &[1, 1]).unwrap();
        let op = Linear { bias: true, activation: Activation::Silu, residual: true };
        let x = [tensor(&[1, 1], &[2.0]), tensor(&[1, 1], &[3.0]), tensor(&[1], &[-4.0]), tensor(&[1, 1], &[10.0])];
        let y = linear(&op, &x, &out, Modes::default());
        assert!((y.values[0] - (10.0 + 1.761_594_155_955_764_9)).abs() < 1e-12);
        let none = Linear { activation: Activation::None, ..op };
        assert_eq!(linear(&none, &x, &out, Modes::default()).values[0], 12.0);
        assert_eq!(linear(&none, &x, &out, Modes::default()).bounds[0], 0.0);
    }
}
