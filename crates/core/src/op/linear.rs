//! The matrix product and its composite with bias, activation and residual.

use super::{BinaryOp, Op, UnaryOp, check};
use crate::desc::TensorDesc;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::lower::Lowering;
use crate::program::Step;

/// `y = activation(a·b + bias) + residual`. `bias` has shape `[n]`, `residual` the shape of `y`.
/// Nothing is rounded below f32 before the store. `b` may be in a block format, as in
/// [`Op::MatMul`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Linear {
    /// Whether a bias is added.
    pub bias: bool,
    /// What is applied after the bias.
    pub activation: Activation,
    /// Whether a residual is added at the end.
    pub residual: bool,
}

/// The activation of a [`Linear`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Activation {
    /// The identity.
    None,
    /// See [`UnaryOp::Silu`].
    Silu,
    /// See [`UnaryOp::Gelu`].
    Gelu,
    /// See [`UnaryOp::GeluTanh`].
    GeluTanh,
}

impl Activation {
    /// Every activation, in a fixed order.
    pub const ALL: [Activation; 4] = [Activation::None, Activation::Silu, Activation::Gelu, Activation::GeluTanh];

    /// The name in case ids and reports.
    pub fn name(self) -> &'static str {
        self.unary().map_or("none", UnaryOp::name)
    }

    /// The same function as an elementwise operation.
    pub fn unary(self) -> Option<UnaryOp> {
        match self {
            Activation::None => None,
            Activation::Silu => Some(UnaryOp::Silu),
            Activation::Gelu => Some(UnaryOp::Gelu),
            Activation::GeluTanh => Some(UnaryOp::GeluTanh),
        }
    }
}

impl Linear {
    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        let y = &outputs[0];
        check_matmul(&inputs[0], &inputs[1], y)?;
        let mut rest = inputs[2..].iter();
        if self.bias
            && let Some(bias) = rest.next()
        {
            check::floats(&[("bias", bias)])?;
            check::shape("bias", bias, &y.shape[y.rank() - 1..])?;
        }
        if self.residual
            && let Some(residual) = rest.next()
        {
            check::floats(&[("residual", residual)])?;
            check::shape("residual", residual, &y.shape)?;
        }
        Ok(())
    }

    pub(super) fn decompose(&self, step: &Step, lowering: &mut Lowering<'_>) -> Result<()> {
        let y = step.outputs[0];
        let f32_like_y = y.desc.to_contiguous(DType::F32);
        let mut rest = step.inputs[2..].iter().copied();
        let bias = if self.bias { rest.next() } else { None };
        let residual = if self.residual { rest.next() } else { None };

        // Each stage writes a fresh f32 temporary, the last one writes y itself.
        let mut stages: Vec<(Op, Option<crate::program::Operand>)> = vec![(Op::MatMul, Some(step.inputs[1]))];
        if let Some(bias) = bias {
            let bias = bias.with_desc(bias.desc.broadcast_to(&y.desc.shape)?);
            stages.push((Op::Binary(BinaryOp::Add), Some(bias)));
        }
        stages.extend(self.activation.unary().map(|op| (Op::Unary(op), None)));
        stages.extend(residual.map(|r| (Op::Binary(BinaryOp::Add), Some(r))));
        let last = stages.len() - 1;
        let mut value = step.inputs[0];
        for (i, (op, other)) in stages.into_iter().enumerate() {
            let target = if i == last { y } else { lowering.temporary(f32_like_y)? };
            let inputs: Vec<_> = std::iter::once(value).chain(other).collect();
            lowering.push(op, &inputs, &[target])?;
            value = target;
        }
        Ok(())
    }
}

pub(super) fn check_matmul(a: &TensorDesc, b: &TensorDesc, y: &TensorDesc) -> Result<()> {
    check::floats(&[("a", a), ("y", y)])?;
    check::min_rank("a", a, 2)?;
    check::rank("b", b, a.rank())?;
    check::rank("y", y, a.rank())?;
    let r = a.rank();
    check::weight("b", b, r - 2)?;
    if a.shape[r - 1] != b.shape[r - 2] {
        return Err(Error::shape(format!("inner sizes differ: a has {}, b has {}", a.shape[r - 1], b.shape[r - 2])));
    }
    let batch = &y.shape[..r - 2];
    if a.shape[..r - 2] != *batch || b.shape[..r - 2] != *batch {
        return Err(Error::shape("batch sizes of a, b and y differ"));
    }
    check::shape("y", y, &y.shape.with(r - 2, a.shape[r - 2]).with(r - 1, b.shape[r - 1]))
}
