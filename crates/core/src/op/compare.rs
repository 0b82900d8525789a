//! Comparison, logic and choice: the operations whose operands or results are truth values.

use super::{check, elementwise};
use crate::DType;
use crate::desc::TensorDesc;
use crate::error::{Error, Result};

/// A comparison `a, b -> y: bool`; all shapes are equal, a broadcast operand has stride 0. Both
/// operands are floats (each of its own type, compared as numbers), or both have one type of `i32`,
/// `u32`, `i8`, `u8`, `i64`; [`Eq`](Self::Eq) and [`Ne`](Self::Ne) take `bool` too. The result is
/// exact, also for subnormal numbers; −0 equals 0. With a NaN only [`Ne`](Self::Ne) holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CompareOp {
    /// `a = b`
    Eq,
    /// `a ≠ b`
    Ne,
    /// `a < b`
    Lt,
    /// `a ≤ b`
    Le,
    /// `a > b`
    Gt,
    /// `a ≥ b`
    Ge,
}

impl CompareOp {
    /// Every comparison, in a fixed order.
    pub const ALL: [CompareOp; 6] =
        [CompareOp::Eq, CompareOp::Ne, CompareOp::Lt, CompareOp::Le, CompareOp::Gt, CompareOp::Ge];

    /// The name in case ids, kernels and reports.
    pub fn name(self) -> &'static str {
        match self {
            CompareOp::Eq => "eq",
            CompareOp::Ne => "ne",
            CompareOp::Lt => "lt",
            CompareOp::Le => "le",
            CompareOp::Gt => "gt",
            CompareOp::Ge => "ge",
        }
    }

    /// Whether elements of `dtype` can be compared so.
    pub fn takes(self, dtype: DType) -> bool {
        let equality = matches!(self, CompareOp::Eq | CompareOp::Ne);
        dtype.is_float() || dtype.is_integer() || (dtype == DType::Bool && equality)
    }

    pub(super) fn check(self, a: &TensorDesc, b: &TensorDesc, y: &TensorDesc) -> Result<()> {
        check::dtype("y", y, DType::Bool)?;
        for (name, x) in [("a", a), ("b", b)] {
            check::shape(name, x, &y.shape)?;
            if !self.takes(x.dtype) {
                return Err(Error::dtype(format!("{name} is {}, which cannot be compared so", x.dtype)));
            }
        }
        if a.dtype != b.dtype && !(a.dtype.is_float() && b.dtype.is_float()) {
            return Err(Error::dtype(format!("a is {} and b is {}: one type or two floats", a.dtype, b.dtype)));
        }
        Ok(())
    }
}

/// A function of two truth values, `a, b -> y`, all `bool` and of one shape. An operand that is not
/// 0 counts as 1. Exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LogicalOp {
    /// Both hold.
    And,
    /// At least one holds.
    Or,
    /// Exactly one holds.
    Xor,
}

impl LogicalOp {
    /// Every function, in a fixed order.
    pub const ALL: [LogicalOp; 3] = [LogicalOp::And, LogicalOp::Or, LogicalOp::Xor];

    /// The name in case ids, kernels and reports.
    pub fn name(self) -> &'static str {
        match self {
            LogicalOp::And => "and",
            LogicalOp::Or => "or",
            LogicalOp::Xor => "xor",
        }
    }
}

pub(super) fn check_logical(inputs: &[TensorDesc], y: &TensorDesc) -> Result<()> {
    check::dtype("y", y, DType::Bool)?;
    for (name, x) in ["a", "b"].into_iter().zip(inputs) {
        check::dtype(name, x, DType::Bool)?;
        check::shape(name, x, &y.shape)?;
    }
    Ok(())
}

/// The condition is `bool`; both sides have the output's plain type, or all are floats.
pub(super) fn check_where(inputs: &[TensorDesc], y: &TensorDesc) -> Result<()> {
    check::plain("y", y)?;
    check::dtype("condition", &inputs[0], DType::Bool)?;
    check::shape("condition", &inputs[0], &y.shape)?;
    for (name, x) in ["a", "b"].into_iter().zip(&inputs[1..]) {
        check::shape(name, x, &y.shape)?;
        elementwise::like(name, x, y)?;
    }
    Ok(())
}
