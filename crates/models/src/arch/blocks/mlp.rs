//! Feed-forward networks.

use unisono_core::{Result, Tensor};

use super::{Experts, Linear, Loader};
use crate::config::{Activation, ModelConfig};

/// The feed-forward network of a layer.
#[derive(Debug)]
pub(crate) enum Mlp {
    /// `down(act(gate(x)) · up(x))` (Shazeer 2020).
    Gated {
        /// `[intermediate, hidden]`.
        gate: Linear,
        /// `[intermediate, hidden]`.
        up: Linear,
        /// `[hidden, intermediate]`.
        down: Linear,
        /// The activation of the gate.
        act: Activation,
    },
    /// The same with gate and up in one weight.
    GatedFused {
        /// `[2 · intermediate, hidden]`, the gate first.
        gate_up: Linear,
        /// `[hidden, intermediate]`.
        down: Linear,
        /// The activation of the gate.
        act: Activation,
    },
    /// `down(act(up(x)))`.
    Plain {
        /// `[intermediate, hidden]`.
        up: Linear,
        /// `[hidden, intermediate]`.
        down: Linear,
        /// The activation between them.
        act: Activation,
    },
    /// A mixture of gated networks.
    Experts(Box<Experts>),
}

impl Mlp {
    /// A gated network with the names of the Llama family.
    pub(crate) fn gated(loader: &Loader<'_>, config: &ModelConfig) -> Result<Mlp> {
        let (hidden, inner, bias) = (config.hidden_size, config.intermediate_size, config.mlp_bias);
        Ok(Mlp::Gated {
            gate: loader.linear("gate_proj", [inner, hidden], bias)?,
            up: loader.linear("up_proj", [inner, hidden], bias)?,
            down: loader.linear("down_proj", [hidden, inner], bias)?,
            act: config.hidden_act,
        })
    }

    /// `[n, hidden]` to `[n, hidden]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Mlp::Gated { gate, up, down, act } => down.forward(&gate.forward(x)?.gated(act.gate(), &up.forward(x)?)?),
            Mlp::GatedFused { gate_up, down, act } => down.forward(&gate_up.forward(x)?.gated_split(act.gate())?),
            Mlp::Plain { up, down, act } => down.forward(&up.activated(x, act.of_linear())?),
            Mlp::Experts(experts) => experts.forward(x),
        }
    }
}
