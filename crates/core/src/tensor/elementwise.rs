//! Elementwise operations on tensors: comparison and choice, functions with parameters, gates,
//! borders and constants.
//!
//! Operands broadcast against each other by the NumPy rules. Results have the dtype of the first
//! operand unless a method says otherwise; formulas and bounds are documented in [`crate::op`].

use super::Tensor;
use super::compute::broadcast_shape;
use crate::desc::TensorDesc;
use crate::device::Device;
use crate::dims::Dims;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::{BinaryOp, Clamp, CompareOp, Gate, LogicalOp, Op, Pad, Real, Scalar, ScaleShift, UnaryOp};

impl Device {
    /// A tensor whose elements all are `value`, which is converted to `dtype`. The device fills it.
    pub fn full(&self, dtype: DType, shape: &[usize], value: impl Into<Scalar>) -> Result<Tensor> {
        let desc = TensorDesc::contiguous(dtype, shape)?;
        let mut outputs = self.record(Op::Fill(value.into()), &[], &[desc])?;
        outputs.pop().ok_or_else(|| Error::internal("the operation has no output"))
    }
}

impl Tensor {
    /// Sets every element of this tensor to `value`, in place.
    pub fn fill_(&self, value: impl Into<Scalar>) -> Result<()> {
        self.device().record_into(Op::Fill(value.into()), &[], &[self.view().clone()])
    }

    /// With a border of `value`: `before[i]` and `after[i]` elements along dimension `i`.
    pub fn pad(&self, before: &[usize], after: &[usize], value: impl Into<Scalar>) -> Result<Tensor> {
        let grown = |(i, &n): (usize, &usize)| {
            let border = before.get(i).zip(after.get(i)).and_then(|(b, a)| b.checked_add(*a));
            border.and_then(|b| n.checked_add(b)).ok_or_else(|| {
                Error::shape(format!("a border of {before:?} and {after:?} does not fit {}", self.desc()))
            })
        };
        let shape: Vec<usize> = self.shape().iter().enumerate().map(grown).collect::<Result<_>>()?;
        let pad = Pad { before: Dims::new(before)?, after: Dims::new(after)?, value: value.into() };
        self.one(Op::Pad(pad), &[self], self.dtype(), &shape)
    }

    /// `min(self, other)`, element by element.
    pub fn minimum(&self, other: &Tensor) -> Result<Tensor> {
        self.binary(BinaryOp::Minimum, other)
    }

    /// `max(self, other)`, element by element.
    pub fn maximum(&self, other: &Tensor) -> Result<Tensor> {
        self.binary(BinaryOp::Maximum, other)
    }

    /// The remainder of `self / other` truncated toward zero, exact, with the sign of `self`.
    pub fn rem(&self, other: &Tensor) -> Result<Tensor> {
        self.binary(BinaryOp::Rem, other)
    }

    /// `self` to the power of `other`.
    pub fn pow(&self, other: &Tensor) -> Result<Tensor> {
        self.binary(BinaryOp::Pow, other)
    }

    /// A comparison with `other`; the result is `bool`.
    pub fn compare(&self, op: CompareOp, other: &Tensor) -> Result<Tensor> {
        self.pair(Op::Compare(op), other, DType::Bool)
    }

    /// A function of two truth values.
    pub fn logical(&self, op: LogicalOp, other: &Tensor) -> Result<Tensor> {
        self.pair(Op::Logical(op), other, DType::Bool)
    }

    /// Logical not of a `bool` tensor.
    pub fn logical_not(&self) -> Result<Tensor> {
        self.unary(UnaryOp::Not)
    }

    fn pair(&self, op: Op, other: &Tensor, dtype: DType) -> Result<Tensor> {
        let shape = broadcast_shape(op.name(), self, other)?;
        let (a, b) = (self.broadcast_to(&shape)?, other.broadcast_to(&shape)?);
        self.one(op, &[&a, &b], dtype, &shape)
    }

    /// `a` where this `bool` tensor holds, else `b`, in the dtype of `a`.
    pub fn where_(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let sides = broadcast_shape("where", a, b)?;
        let (a, b) = (a.broadcast_to(&sides)?, b.broadcast_to(&sides)?);
        let shape = broadcast_shape("where", self, &a)?;
        let (condition, a, b) = (self.broadcast_to(&shape)?, a.broadcast_to(&shape)?, b.broadcast_to(&shape)?);
        self.one(Op::Where, &[&condition, &a, &b], a.dtype(), &shape)
    }

    /// Each element limited to `min ..= max`.
    pub fn clamp(&self, min: f32, max: f32) -> Result<Tensor> {
        self.one(Op::Clamp(Clamp { min: Real(min), max: Real(max) }), &[self], self.dtype(), self.shape())
    }

    /// `self · scale + shift`.
    pub fn scale_shift(&self, scale: f32, shift: f32) -> Result<Tensor> {
        let op = Op::ScaleShift(ScaleShift { scale: Real(scale), shift: Real(shift) });
        self.one(op, &[self], self.dtype(), self.shape())
    }

    /// `f(self) · up` with the activation of `gate`.
    pub fn gated(&self, gate: Gate, up: &Tensor) -> Result<Tensor> {
        self.one(Op::Gated(gate), &[self, up], self.dtype(), self.shape())
    }

    /// [`gated`](Self::gated) of the two halves of the last dimension: the gate, then what it
    /// scales. That dimension must be even; it halves.
    pub fn gated_split(&self, gate: Gate) -> Result<Tensor> {
        let axis = self.shape().len().checked_sub(1);
        let Some((axis, n)) = axis.map(|axis| (axis, self.shape()[axis])).filter(|(_, n)| n.is_multiple_of(2)) else {
            let message = format!("the last dimension of {} has no two halves", self.desc());
            return Err(Error::shape(message).with_op(gate.name(), format!("x: {}", self.desc())));
        };
        self.slice(axis, 0..n / 2)?.gated(gate, &self.slice(axis, n / 2..n)?)
    }

    /// `silu(self) · up`.
    pub fn swiglu(&self, up: &Tensor) -> Result<Tensor> {
        self.gated(Gate::SwiGlu, up)
    }
}
