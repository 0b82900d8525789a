//! Normalisations over the last dimension, and the addition that precedes them in a residual
//! stream.

use super::{BinaryOp, Op, Real, check};
use crate::desc::TensorDesc;
use crate::error::{Error, Result};
use crate::lower::Lowering;
use crate::program::Step;

/// `y = x / √(mean(x²) + eps) · weight` over the last dimension (Zhang & Sennrich 2019).
/// `weight` has one dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RmsNorm {
    /// Added to the mean square; not negative.
    pub eps: Real,
}

impl RmsNorm {
    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        check_norm(self.eps, &inputs[0], &[("weight", &inputs[1])], &outputs[0])
    }
}

/// `y = (x − μ) / √(mean((x − μ)²) + eps) · weight + bias` over the last dimension, `μ` the mean
/// (Ba, Kiros & Hinton 2016). `weight` and `bias` have one dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LayerNorm {
    /// Added to the variance; not negative.
    pub eps: Real,
}

impl LayerNorm {
    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        check_norm(self.eps, &inputs[0], &[("weight", &inputs[1]), ("bias", &inputs[2])], &outputs[0])
    }
}

/// `sum = x + residual`, stored in the dtype of `sum`, then `y = rms_norm(sum, weight)` of the sum
/// **as stored**.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddRmsNorm {
    /// Added to the mean square; not negative.
    pub eps: Real,
}

impl AddRmsNorm {
    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        let (x, residual, weight) = (&inputs[0], &inputs[1], &inputs[2]);
        let (sum, y) = (&outputs[0], &outputs[1]);
        check::floats(&[("residual", residual), ("sum", sum)])?;
        check::shape("residual", residual, &x.shape)?;
        check::shape("sum", sum, &x.shape)?;
        check_norm(self.eps, x, &[("weight", weight)], y)
    }

    pub(super) fn decompose(&self, step: &Step, lowering: &mut Lowering<'_>) -> Result<()> {
        let (sum, y) = (step.outputs[0], step.outputs[1]);
        lowering.push(Op::Binary(BinaryOp::Add), &[step.inputs[0], step.inputs[1]], &[sum])?;
        lowering.push(Op::RmsNorm(RmsNorm { eps: self.eps }), &[sum, step.inputs[2]], &[y])
    }
}

fn check_norm(eps: Real, x: &TensorDesc, vectors: &[(&str, &TensorDesc)], y: &TensorDesc) -> Result<()> {
    check::floats(&[("x", x), ("y", y)])?;
    check::floats(vectors)?;
    check::min_rank("x", x, 1)?;
    check::shape("y", y, &x.shape)?;
    for (name, v) in vectors {
        check::shape(name, v, &x.shape[x.rank() - 1..])?;
    }
    if !eps.0.is_finite() || eps.0 < 0.0 {
        return Err(Error::invalid(format!("eps is {}; it must be finite and not negative", eps.0)));
    }
    Ok(())
}
