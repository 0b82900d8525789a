//! Reductions and running sums over one axis. A reduced axis stays in the result with size 1, so
//! that the rank never changes and the result broadcasts back without a reshape.

use super::check;
use crate::desc::TensorDesc;
use crate::dtype::DType;
use crate::error::{Error, Result};

/// What a [`Reduce`] computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ReduceOp {
    /// Sum of the elements, in any order; 0 over an empty axis. Integers wrap.
    Sum,
    /// Sum divided by the size; floating point only, an empty axis is refused.
    Mean,
    /// Largest element ("any" of booleans), NaN where there is one; an empty axis is refused.
    Max,
    /// Smallest element ("all" of booleans), NaN where there is one; an empty axis is refused.
    Min,
    /// Product of the elements, in any order; 1 over an empty axis. Integers wrap.
    Prod,
}

impl ReduceOp {
    /// Every reduction, in a fixed order.
    pub const ALL: [ReduceOp; 5] = [ReduceOp::Sum, ReduceOp::Mean, ReduceOp::Max, ReduceOp::Min, ReduceOp::Prod];

    /// The name in case ids, kernels and reports.
    pub fn name(self) -> &'static str {
        match self {
            ReduceOp::Sum => "sum",
            ReduceOp::Mean => "mean",
            ReduceOp::Max => "max",
            ReduceOp::Min => "min",
            ReduceOp::Prod => "prod",
        }
    }

    /// Whether the result picks one of the elements.
    pub fn selects(self) -> bool {
        matches!(self, ReduceOp::Max | ReduceOp::Min)
    }
}

/// Sum, mean, largest, smallest or product of the elements along one axis.
///
/// * `x`: any shape; `y`: the same with 1 at `axis`.
/// * Element types: floats, each operand its own, in f32 arithmetic; i32 and u32, the same on both
///   sides, modulo 2³² (no mean); bool for max and min, which are "any" and "all".
/// * Order of the terms: any. Where a product of some of the elements leaves the range of f32,
///   nothing is guaranteed about the whole.
/// * Error: γₙ·Σ|x| (sum), γₙ·|y| (prod), none (max, min, integers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reduce {
    /// What is computed.
    pub op: ReduceOp,
    /// The dimension that shrinks to 1.
    pub axis: usize,
}

impl Reduce {
    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        let (x, y) = (&inputs[0], &outputs[0]);
        if self.op.selects() && x.dtype == DType::Bool {
            check::dtype("y", y, DType::Bool)?;
        } else if self.op == ReduceOp::Mean {
            check::floats(&[("x", x), ("y", y)])?;
        } else {
            check::numbers(("x", x), ("y", y))?;
        }
        check_axis(self.axis, x, y, !matches!(self.op, ReduceOp::Sum | ReduceOp::Prod))
    }
}

/// Which element an [`ArgReduce`] looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ArgOp {
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

impl ArgOp {
    /// Both, in a fixed order.
    pub const ALL: [ArgOp; 2] = [ArgOp::Max, ArgOp::Min];

    /// The name in case ids, kernels and reports.
    pub fn name(self) -> &'static str {
        match self {
            ArgOp::Max => "argmax",
            ArgOp::Min => "argmin",
        }
    }
}

/// Index of the largest or smallest element along `axis`; the lowest index wins a tie. Zeros of
/// either sign are equal. Where there is a NaN, of either sign, it is the first one's index, of the
/// largest as of the smallest: so an index leads to what `max` or `min` gives.
///
/// `x`: floats, i32 or u32, any shape; `y`: u32, the same with 1 at `axis`. An empty axis is
/// refused. Exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArgReduce {
    /// Which element is looked for.
    pub op: ArgOp,
    /// The dimension that shrinks to 1.
    pub axis: usize,
}

impl ArgReduce {
    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        let (x, y) = (&inputs[0], &outputs[0]);
        check::ordered("x", x)?;
        check::dtype("y", y, DType::U32)?;
        check_axis(self.axis, x, y, true)
    }
}

/// Running sums along `axis`: `yⱼ = x₀ + … + xⱼ`.
///
/// `x`, `y`: the same shape; floats, each its own, or i32 and u32 alike on both sides, which wrap.
/// Error of element `j`: γⱼ₊₁·Σ|x| over its own terms; none for integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CumSum {
    /// The dimension along which sums run.
    pub axis: usize,
    /// Whether an element leaves itself out: `yⱼ = x₀ + … + xⱼ₋₁`, the first one is 0.
    pub exclusive: bool,
    /// Whether sums run from the last element to the first.
    pub reverse: bool,
}

impl CumSum {
    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        let (x, y) = (&inputs[0], &outputs[0]);
        check::numbers(("x", x), ("y", y))?;
        check::axis(self.axis, x)?;
        check::shape("y", y, &x.shape)
    }
}

fn check_axis(axis: usize, x: &TensorDesc, y: &TensorDesc, needs_elements: bool) -> Result<()> {
    check::axis(axis, x)?;
    check::shape("y", y, &x.shape.with(axis, 1))?;
    if needs_elements && x.shape[axis] == 0 && !y.is_empty() {
        return Err(Error::shape(format!("axis {axis} has zero size: the result is undefined")));
    }
    Ok(())
}
