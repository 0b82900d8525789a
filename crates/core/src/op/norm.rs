//! Normalisations: over the last dimension, over groups of channels, and the addition that precedes
//! them in a residual stream.

use super::{BinaryOp, Op, Real, check};
use crate::desc::TensorDesc;
use crate::error::{Error, Result};
use crate::lower::Lowering;
use crate::program::Step;

/// `y = x / √(mean(x²) + eps) · weight` over the last dimension (Zhang & Sennrich 2019).
/// `weight` has one dimension; without it the factor is 1. A model that multiplies by `1 + weight`
/// (Gemma) adds the 1 once, where it loads its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RmsNorm {
    /// Added to the mean square; not negative.
    pub eps: Real,
    /// Whether there is a weight.
    pub weight: bool,
}

impl RmsNorm {
    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        check_norm(self.eps, &inputs[0], &vectors(self.weight, false, inputs), &outputs[0])
    }
}

/// `y = (x − μ) / √(mean((x − μ)²) + eps) · weight + bias` over the last dimension, `μ` the mean
/// (Ba, Kiros & Hinton 2016). `weight` and `bias` have one dimension; each may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LayerNorm {
    /// Added to the variance; not negative.
    pub eps: Real,
    /// Whether there is a weight.
    pub weight: bool,
    /// Whether there is a bias.
    pub bias: bool,
}

impl LayerNorm {
    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        check_norm(self.eps, &inputs[0], &vectors(self.weight, self.bias, inputs), &outputs[0])
    }
}

/// `y = (x − μ) / √(σ² + eps) · weight + bias`, where mean `μ` and variance `σ²` are those of a
/// group: `channels / groups` neighbouring channels with all their positions (Wu & He 2018).
///
/// `x`, `y`: `[batch, channels, …]`, floats; `weight`, `bias`: `[channels]`, each may be left out.
/// `groups` divides the channels. Error: as for [`LayerNorm`] over the elements of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GroupNorm {
    /// Into how many groups the channels fall, at least one.
    pub groups: usize,
    /// Added to the variance; not negative.
    pub eps: Real,
    /// Whether there is a weight.
    pub weight: bool,
    /// Whether there is a bias.
    pub bias: bool,
}

impl GroupNorm {
    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        let (x, y) = (&inputs[0], &outputs[0]);
        check::floats(&[("x", x), ("y", y)])?;
        check::min_rank("x", x, 2)?;
        check::shape("y", y, &x.shape)?;
        if self.groups == 0 || !x.shape[1].is_multiple_of(self.groups) {
            return Err(Error::shape(format!("{} groups do not divide {} channels", self.groups, x.shape[1])));
        }
        for (name, v) in vectors(self.weight, self.bias, inputs) {
            check::floats(&[(name, v)])?;
            check::shape(name, v, &x.shape[1..2])?;
        }
        check_eps(self.eps)
    }
}

/// `y = x / max(‖x‖₂, eps)` over the last dimension: the formula of PyTorch's `normalize` and of
/// ggml's `l2_norm`. With `eps = 0` a row of zeros is undefined.
///
/// `x`, `y`: the same shape, floats. Error: |y|·(½γₙ₊₁ + 8u).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct L2Norm {
    /// The least divisor; not negative.
    pub eps: Real,
}

impl L2Norm {
    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        check_norm(self.eps, &inputs[0], &[], &outputs[0])
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
        lowering.push(Op::RmsNorm(RmsNorm { eps: self.eps, weight: true }), &[sum, step.inputs[2]], &[y])
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
    check_eps(eps)
}

/// The optional operands after `x`, by name.
fn vectors(weight: bool, bias: bool, inputs: &[TensorDesc]) -> Vec<(&'static str, &TensorDesc)> {
    let names = [weight.then_some("weight"), bias.then_some("bias")];
    names.into_iter().flatten().zip(&inputs[1..]).collect()
}

fn check_eps(eps: Real) -> Result<()> {
    if !eps.0.is_finite() || eps.0 < 0.0 {
        return Err(Error::invalid(format!("eps is {}; it must be finite and not negative", eps.0)));
    }
    Ok(())
}
