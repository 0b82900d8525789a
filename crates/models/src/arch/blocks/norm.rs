//! Normalisation over the last dimension, alone or with the addition before it.

use unisono_core::{Result, Tensor};

/// A norm and its parameters, each `[n]`.
#[derive(Debug)]
pub(crate) enum Norm {
    /// `x / √(mean(x²) + eps) · weight` (Zhang & Sennrich 2019).
    Rms {
        /// The factor.
        weight: Tensor,
        /// Added to the mean square.
        eps: f32,
    },
    /// `(x − μ) / √(σ² + eps) · weight + bias` (Ba, Kiros & Hinton 2016).
    Layer {
        /// The factor.
        weight: Tensor,
        /// What is added.
        bias: Tensor,
        /// Added to the variance.
        eps: f32,
    },
}

/// What an RMS norm multiplies by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NormForm {
    /// The weight.
    Weight,
    /// `1 + weight` (Gemma); the 1 is added as the weight is loaded, in f32, unless the file has it.
    OnePlusWeight,
}

impl Norm {
    /// `[…, n]` to `[…, n]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Norm::Rms { weight, eps } => x.rms_norm(weight, *eps),
            Norm::Layer { weight, bias, eps } => x.layer_norm(weight, bias, *eps),
        }
    }

    /// `(x + residual, norm(x + residual))`.
    pub(crate) fn after_add(&self, x: &Tensor, residual: &Tensor) -> Result<(Tensor, Tensor)> {
        match self {
            Norm::Rms { weight, eps } => x.add_rms_norm(residual, weight, *eps),
            Norm::Layer { weight, bias, eps } => {
                let sum = x.add(residual)?;
                let normed = sum.layer_norm(weight, bias, *eps)?;
                Ok((sum, normed))
            }
        }
    }
}
