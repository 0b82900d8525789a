//! Reductions over one axis. The axis stays in the result with size 1, so that the rank never
//! changes and the result broadcasts back without a reshape.

use super::check;
use crate::desc::TensorDesc;
use crate::dtype::DType;
use crate::error::{Error, Result};

/// What a [`Reduce`] computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ReduceOp {
    /// Sum of the elements, in any order; 0 over an empty axis.
    Sum,
    /// Sum divided by the size; an empty axis is refused.
    Mean,
    /// Largest element; an empty axis is refused.
    Max,
}

impl ReduceOp {
    /// Every reduction, in a fixed order.
    pub const ALL: [ReduceOp; 3] = [ReduceOp::Sum, ReduceOp::Mean, ReduceOp::Max];

    /// The name in case ids, kernels and reports.
    pub fn name(self) -> &'static str {
        match self {
            ReduceOp::Sum => "sum",
            ReduceOp::Mean => "mean",
            ReduceOp::Max => "max",
        }
    }
}

/// Parameters of a reduction.
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
        check::floats(&[("x", x), ("y", y)])?;
        check_axis(self.axis, x, y, self.op != ReduceOp::Sum)
    }
}

/// Index of the largest element along `axis`; the lowest index wins a tie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArgMax {
    /// The dimension that shrinks to 1.
    pub axis: usize,
}

impl ArgMax {
    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        let (x, y) = (&inputs[0], &outputs[0]);
        check::floats(&[("x", x)])?;
        check::dtype("y", y, DType::U32)?;
        check_axis(self.axis, x, y, true)
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
