//! Functions with parameters, and the gated activations of feed-forward layers.

use super::{BinaryOp, Op, Real, UnaryOp, check, elementwise};
use crate::DType;
use crate::desc::TensorDesc;
use crate::error::{Error, Result};
use crate::lower::Lowering;
use crate::program::Step;

/// `y = min(max(x, min), max)` of floats; NaN stays. Exact before the store; a subnormal `x` may
/// become 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Clamp {
    /// The least result; −∞ for no limit.
    pub min: Real,
    /// The largest result, not below `min`; ∞ for no limit.
    pub max: Real,
}

impl Clamp {
    pub(super) fn check(&self, inputs: &[TensorDesc], y: &TensorDesc) -> Result<()> {
        // Written so that a NaN is refused.
        if !matches!(self.min.0.partial_cmp(&self.max.0), Some(std::cmp::Ordering::Less | std::cmp::Ordering::Equal)) {
            return Err(Error::invalid(format!(
                "min is {} and max is {}; min ≤ max is needed",
                self.min.0, self.max.0
            )));
        }
        elementwise::check_floats(inputs, y)
    }
}

/// `y = x·scale + shift` of floats, rounded once or twice. Bound u(|x·scale| + |y|); exact where
/// f32 holds product and sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScaleShift {
    /// The factor, finite.
    pub scale: Real,
    /// What is added, finite.
    pub shift: Real,
}

impl ScaleShift {
    pub(super) fn check(&self, inputs: &[TensorDesc], y: &TensorDesc) -> Result<()> {
        check::finite("scale", self.scale.0)?;
        check::finite("shift", self.shift.0)?;
        elementwise::check_floats(inputs, y)
    }
}

/// A gated activation `f(gate)·up` (Shazeer 2020) of two inputs of one shape. The halves of one
/// tensor are two views ([`Tensor::gated_split`](crate::Tensor::gated_split)). Bound: that of `f`
/// times |up|, and u|y|.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Gate {
    /// `silu(gate)·up`
    SwiGlu,
    /// `gelu(gate)·up`
    GeGlu,
    /// `gelu_tanh(gate)·up`, as Gemma uses it.
    GeGluTanh,
    /// `relu(gate)·up`
    ReGlu,
}

impl Gate {
    /// Every gate, in a fixed order.
    pub const ALL: [Gate; 4] = [Gate::SwiGlu, Gate::GeGlu, Gate::GeGluTanh, Gate::ReGlu];

    /// The name in case ids, kernels and reports.
    pub fn name(self) -> &'static str {
        match self {
            Gate::SwiGlu => "swiglu",
            Gate::GeGlu => "geglu",
            Gate::GeGluTanh => "geglu_tanh",
            Gate::ReGlu => "reglu",
        }
    }

    /// The function of the gate.
    pub fn unary(self) -> UnaryOp {
        match self {
            Gate::SwiGlu => UnaryOp::Silu,
            Gate::GeGlu => UnaryOp::Gelu,
            Gate::GeGluTanh => UnaryOp::GeluTanh,
            Gate::ReGlu => UnaryOp::Relu,
        }
    }

    /// `t = f(gate)` in f32, then `y = t · up`.
    pub(super) fn decompose(self, step: &Step, lowering: &mut Lowering<'_>) -> Result<()> {
        let (gate, up, y) = (step.inputs[0], step.inputs[1], step.outputs[0]);
        let t = lowering.temporary(y.desc.to_contiguous(DType::F32))?;
        lowering.push(Op::Unary(self.unary()), &[gate], &[t])?;
        lowering.push(Op::Binary(BinaryOp::Mul), &[t, up], &[y])
    }
}
