//! Linear layers.

use unisono_core::{Result, Tensor, op};

/// `y = x·Wᵀ + b`, with the weight as it is stored.
#[derive(Debug)]
pub(crate) struct Linear(Box<Parameters>);

#[derive(Debug)]
struct Parameters {
    /// `[out, in]`, of any strides.
    weight: Tensor,
    /// `[out]`.
    bias: Option<Tensor>,
}

impl Linear {
    /// From a weight `[out, in]` and a bias `[out]`.
    pub(crate) fn new(weight: Tensor, bias: Option<Tensor>) -> Linear {
        Linear(Box::new(Parameters { weight, bias }))
    }

    /// `[n, in]` to `[n, out]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.activated(x, op::Activation::None)
    }

    /// `[n, in]` to `[n, out]`, with an activation at the end.
    pub(crate) fn activated(&self, x: &Tensor, activation: op::Activation) -> Result<Tensor> {
        x.linear_t(&self.0.weight, self.0.bias.as_ref(), activation, None)
    }
}
