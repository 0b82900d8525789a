//! Order along the last dimension: the first `k` of the sorted elements, and the permutation that
//! sorts. Ties have one answer, the lower index first, so that every device agrees. A NaN of either
//! sign is above +∞ and equal to every other NaN.

use super::check;
use crate::desc::TensorDesc;
use crate::dtype::DType;
use crate::error::{Error, Result};

/// The `k` largest elements (or smallest) of each row in order, with their indices.
///
/// * `x`: `[…, n]`, floats, i32 or u32, with `k ≤ n`.
/// * `values`: `[…, k]`, the type of `x` or, for floats, any float (rounded once); largest first, or
///   smallest first.
/// * `indices`: u32 `[…, k]`. Of equal elements the one with the lower index comes first; zeros of
///   either sign are equal. NaNs come first among the largest, last among the smallest.
///
/// Exact. With `k = 0` the result is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopK {
    /// How many elements of each row are kept.
    pub k: usize,
    /// Whether the smallest are wanted, smallest first.
    pub smallest: bool,
}

impl TopK {
    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        let (x, values, indices) = (&inputs[0], &outputs[0], &outputs[1]);
        check::ordered("x", x)?;
        check::castable(("x", x), ("values", values))?;
        check::dtype("indices", indices, DType::U32)?;
        check::min_rank("x", x, 1)?;
        let last = x.rank() - 1;
        if self.k > x.shape[last] {
            return Err(Error::shape(format!("k is {}, a row has {} elements", self.k, x.shape[last])));
        }
        check::shape("values", values, &x.shape.with(last, self.k))?;
        check::shape("indices", indices, &x.shape.with(last, self.k))
    }
}

/// The indices that sort each row, as `x[y₀] ≤ x[y₁] ≤ …` or in descending order.
///
/// `x`: `[…, n]`, floats, i32 or u32; `y`: u32, the same shape. Stable in both directions: of equal
/// elements the one with the lower index comes first; zeros of either sign are equal. NaNs come last
/// in ascending order, first in descending order. Exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArgSort {
    /// Whether the largest element comes first.
    pub descending: bool,
}

impl ArgSort {
    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        let (x, y) = (&inputs[0], &outputs[0]);
        check::ordered("x", x)?;
        check::dtype("y", y, DType::U32)?;
        check::min_rank("x", x, 1)?;
        check::shape("y", y, &x.shape)
    }
}
