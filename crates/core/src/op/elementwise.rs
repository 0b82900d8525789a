//! Functions of one element or a pair, with broadcasting expressed as stride 0.

use super::{Op, check};
use crate::DType;
use crate::desc::TensorDesc;
use crate::error::Result;
use crate::lower::Lowering;
use crate::program::Step;

/// A function of one element, computed in `f32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum UnaryOp {
    /// `−x`
    Neg,
    /// `eˣ`
    Exp,
    /// `1/√x`
    Rsqrt,
    /// `tanh x`
    Tanh,
    /// `1/(1+e⁻ˣ)`
    Sigmoid,
    /// `x/(1+e⁻ˣ)` (Elfwing et al. 2018)
    Silu,
    /// `x/2·(1+erf(x/√2))` (Hendrycks & Gimpel 2016)
    Gelu,
    /// `x/2·(1+tanh(√(2/π)·(x+0.044715x³)))`, the approximation of the same paper
    GeluTanh,
}

impl UnaryOp {
    /// Every function, in a fixed order.
    pub const ALL: [UnaryOp; 8] = [
        UnaryOp::Neg,
        UnaryOp::Exp,
        UnaryOp::Rsqrt,
        UnaryOp::Tanh,
        UnaryOp::Sigmoid,
        UnaryOp::Silu,
        UnaryOp::Gelu,
        UnaryOp::GeluTanh,
    ];

    /// The name in case ids, kernels and reports.
    pub fn name(self) -> &'static str {
        match self {
            UnaryOp::Neg => "neg",
            UnaryOp::Exp => "exp",
            UnaryOp::Rsqrt => "rsqrt",
            UnaryOp::Tanh => "tanh",
            UnaryOp::Sigmoid => "sigmoid",
            UnaryOp::Silu => "silu",
            UnaryOp::Gelu => "gelu",
            UnaryOp::GeluTanh => "gelu_tanh",
        }
    }
}

/// A function of two elements, computed in `f32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum BinaryOp {
    /// `a + b`
    Add,
    /// `a − b`
    Sub,
    /// `a · b`
    Mul,
    /// `a / b`
    Div,
}

impl BinaryOp {
    /// Every function, in a fixed order.
    pub const ALL: [BinaryOp; 4] = [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div];

    /// The name in case ids, kernels and reports.
    pub fn name(self) -> &'static str {
        match self {
            BinaryOp::Add => "add",
            BinaryOp::Sub => "sub",
            BinaryOp::Mul => "mul",
            BinaryOp::Div => "div",
        }
    }
}

/// Every input has the output's shape (broadcast already) and a floating-point type.
pub(super) fn check(inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
    let y = &outputs[0];
    check::floats(&[("y", y)])?;
    for x in inputs {
        check::floats(&[("input", x)])?;
        check::shape("input", x, &y.shape)?;
    }
    Ok(())
}

/// `t = silu(gate)` in f32, then `y = t · up`.
pub(super) fn decompose_swiglu(step: &Step, lowering: &mut Lowering<'_>) -> Result<()> {
    let (gate, up, y) = (step.inputs[0], step.inputs[1], step.outputs[0]);
    let t = lowering.temporary(y.desc.to_contiguous(DType::F32))?;
    lowering.push(Op::Unary(UnaryOp::Silu), &[gate], &[t])?;
    lowering.push(Op::Binary(BinaryOp::Mul), &[t, up], &[y])
}
