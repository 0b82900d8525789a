//! Functions of one element or a pair, with broadcasting expressed as stride 0.
//!
//! The bound named at each function is what the conformance suite admits before the store, in units
//! u = 2⁻²³ of f32; `docs/numerics.md` derives it. What a function gives where it has no finite
//! value (the logarithm of a negative number, a quotient by zero) is not guaranteed, because WGSL
//! guarantees nothing about NaN and ∞ in arithmetic; neither is the result of such an operand. The
//! functions that are exact for every element only look at bits, and keep a NaN; see
//! [NaN and infinities](crate::op#nan-and-infinities).

use super::check;
use crate::DType;
use crate::desc::TensorDesc;
use crate::error::{Error, Result};

/// A function of one element, `y = f(x)`; `x` and `y` have one shape. Floats are computed in `f32`
/// and may differ in type between `x` and `y`. Where `i32` and `i64` are named too, both have that
/// type and arithmetic wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum UnaryOp {
    /// `−x`, exact. Floats, `i32`, `i64`; the smallest integer stays what it is.
    Neg,
    /// `eˣ`. Bound (3 + 2|x|)u, relative.
    Exp,
    /// `1/√x` for x > 0. Bound 2.5u, relative; nothing is guaranteed for x ≤ 0.
    Rsqrt,
    /// `tanh x`. Bound 10⁻⁵ + 5u|y|.
    Tanh,
    /// `1/(1+e⁻ˣ)`. Bound ((3 + 2|x|)(1 − y) + 4.5)u, relative.
    Sigmoid,
    /// `x/(1+e⁻ˣ)` (Elfwing et al. 2018). Bound ((3 + 2|x|)(1 − s) + 5.5)u, relative, with s the
    /// sigmoid.
    Silu,
    /// `x/2·(1+erf(x/√2))` (Hendrycks & Gimpel 2016). Bound about 1.5·10⁻⁷·|x|/2 + 3u|y|.
    Gelu,
    /// `x/2·(1+tanh(√(2/π)·(x+0.044715x³)))`, the approximation of the same paper. Bound about
    /// 10⁻⁵·|x|/2 + 4u|y|.
    GeluTanh,
    /// `|x|`, exact. Floats, `i32`, `i64`; the smallest integer stays what it is.
    Abs,
    /// −1, 0 or 1 with the sign of `x`, exact, also for subnormal numbers; NaN stays. Floats, `i32`,
    /// `i64`.
    Sign,
    /// `x·x`. Bound u, relative; exact where f32 holds it. Floats, `i32`, `i64` (wrapping).
    Square,
    /// `√x` for x ≥ 0. Bound 4.5u, relative; nothing is guaranteed for x < 0.
    Sqrt,
    /// `1/x`. Bound 3u, relative, for 2⁻¹²⁶ ≤ |x| ≤ 2¹²⁶, else nothing is guaranteed.
    Recip,
    /// `ln x` for x > 0. Bound 8u, relative, near 1 as well; nothing is guaranteed for x ≤ 0 and for
    /// subnormal numbers.
    Log,
    /// `sin x` in radians. Bound 4u|y| + 10⁻⁷·u|x| for |x| ≤ 2¹⁶; nothing is guaranteed beyond.
    Sin,
    /// `cos x` in radians. Bound and range as for [`Sin`](Self::Sin).
    Cos,
    /// `2/√π·∫₀ˣ e^(−t²) dt`. Bound about 1.5·10⁻⁷ + 16u, relative.
    Erf,
    /// `max(x, 0)`, exact; NaN stays. Floats, `i32`, `i64`.
    Relu,
    /// `x/(1+e^(−1.702x))`, the sigmoid approximation of GELU (Hendrycks & Gimpel 2016). Bound
    /// ((3 + 4|z|)(1 − s) + 5.5)u, relative, with z = 1.702x and s its sigmoid.
    GeluQuick,
    /// `ln(1+eˣ)`. Bound ((3 + 2|x|) + 8)u of `ln(1+e^(−|x|))`, and u|y|.
    Softplus,
    /// The largest integer ≤ x, exact.
    Floor,
    /// The smallest integer ≥ x, exact.
    Ceil,
    /// The nearest integer, ties to the even one, exact.
    Round,
    /// Logical not of a `bool`: 1 where `x` is 0, else 0. `x` and `y` are `bool`.
    Not,
}

impl UnaryOp {
    /// Every function, in a fixed order.
    pub const ALL: [UnaryOp; 24] = [
        UnaryOp::Neg,
        UnaryOp::Exp,
        UnaryOp::Rsqrt,
        UnaryOp::Tanh,
        UnaryOp::Sigmoid,
        UnaryOp::Silu,
        UnaryOp::Gelu,
        UnaryOp::GeluTanh,
        UnaryOp::Abs,
        UnaryOp::Sign,
        UnaryOp::Square,
        UnaryOp::Sqrt,
        UnaryOp::Recip,
        UnaryOp::Log,
        UnaryOp::Sin,
        UnaryOp::Cos,
        UnaryOp::Erf,
        UnaryOp::Relu,
        UnaryOp::GeluQuick,
        UnaryOp::Softplus,
        UnaryOp::Floor,
        UnaryOp::Ceil,
        UnaryOp::Round,
        UnaryOp::Not,
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
            UnaryOp::Abs => "abs",
            UnaryOp::Sign => "sign",
            UnaryOp::Square => "square",
            UnaryOp::Sqrt => "sqrt",
            UnaryOp::Recip => "recip",
            UnaryOp::Log => "log",
            UnaryOp::Sin => "sin",
            UnaryOp::Cos => "cos",
            UnaryOp::Erf => "erf",
            UnaryOp::Relu => "relu",
            UnaryOp::GeluQuick => "gelu_quick",
            UnaryOp::Softplus => "softplus",
            UnaryOp::Floor => "floor",
            UnaryOp::Ceil => "ceil",
            UnaryOp::Round => "round",
            UnaryOp::Not => "not",
        }
    }

    /// Whether the function takes elements of `dtype`.
    pub fn takes(self, dtype: DType) -> bool {
        match self {
            UnaryOp::Not => dtype == DType::Bool,
            UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Sign | UnaryOp::Square | UnaryOp::Relu => {
                dtype.is_float() || matches!(dtype, DType::I32 | DType::I64)
            }
            _ => dtype.is_float(),
        }
    }
}

/// A function of two elements, `y = f(a, b)`; all shapes are equal, a broadcast operand has stride
/// 0. Floats are computed in `f32` and each operand may have its own type; or all three are `i32`,
/// `u32` or `i64`, whose arithmetic wraps. `i8` and `u8` are storage types: cast them first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum BinaryOp {
    /// `a + b`. Bound u|y|; exact where f32 holds it.
    Add,
    /// `a − b`. Bound u|y|; exact where f32 holds it.
    Sub,
    /// `a · b`. Bound u|y|; exact where f32 holds it.
    Mul,
    /// `a / b`. Bound 3u, relative, for 2⁻¹²⁶ ≤ |b| ≤ 2¹²⁶, else nothing is guaranteed. Integers
    /// truncate toward zero; a quotient by 0 is 0, and the smallest integer by −1 wraps to itself.
    Div,
    /// `aᵇ`. Bound (8|b·ln a| + 8)u, relative. A negative base has a value where `b` is an
    /// integer, 0 to a positive power is 0 and anything to the power of 0 is 1; nothing is
    /// guaranteed elsewhere. Floats only.
    Pow,
    /// The smaller one, exact; NaN where either is NaN.
    Minimum,
    /// The larger one, exact; NaN where either is NaN.
    Maximum,
    /// The remainder of `a / b` truncated toward zero, as C's `fmod` and Rust's `%`: it has the sign
    /// of `a`, a zero too, and is smaller than |b|. Exact for every two finite numbers with b ≠ 0,
    /// subnormal ones included, whatever the size of the quotient: the result always has few enough
    /// digits. (`a − b·trunc(a/b)` is another function as soon as the quotient is rounded.) NaN
    /// where an operand is NaN, `a` is infinite or `b` is 0; `a` where `b` is infinite. Of integers
    /// by 0 it is `a`, as the quotient is 0.
    Rem,
}

impl BinaryOp {
    /// Every function, in a fixed order.
    pub const ALL: [BinaryOp; 8] = [
        BinaryOp::Add,
        BinaryOp::Sub,
        BinaryOp::Mul,
        BinaryOp::Div,
        BinaryOp::Pow,
        BinaryOp::Minimum,
        BinaryOp::Maximum,
        BinaryOp::Rem,
    ];

    /// The name in case ids, kernels and reports. `minimum` and `maximum`, because `min` and `max`
    /// are reductions.
    pub fn name(self) -> &'static str {
        match self {
            BinaryOp::Add => "add",
            BinaryOp::Sub => "sub",
            BinaryOp::Mul => "mul",
            BinaryOp::Div => "div",
            BinaryOp::Pow => "pow",
            BinaryOp::Minimum => "minimum",
            BinaryOp::Maximum => "maximum",
            BinaryOp::Rem => "rem",
        }
    }

    /// Whether the function takes elements of `dtype`.
    pub fn takes(self, dtype: DType) -> bool {
        let integer = matches!(dtype, DType::I32 | DType::U32 | DType::I64);
        dtype.is_float() || (integer && self != BinaryOp::Pow)
    }
}

/// The input has the output's shape; a type that the function takes.
pub(super) fn check_unary(op: UnaryOp, x: &TensorDesc, y: &TensorDesc) -> Result<()> {
    check::shape("x", x, &y.shape)?;
    takes(op.takes(x.dtype), "x", x)?;
    like("x", x, y)
}

/// Both inputs have the output's shape (broadcast already) and a type that the function takes.
pub(super) fn check_binary(op: BinaryOp, inputs: &[TensorDesc], y: &TensorDesc) -> Result<()> {
    for (name, x) in ["a", "b"].into_iter().zip(inputs) {
        check::shape(name, x, &y.shape)?;
        takes(op.takes(x.dtype), name, x)?;
        like(name, x, y)?;
    }
    Ok(())
}

/// Every input has the output's shape (broadcast already) and a floating-point type.
pub(super) fn check_floats(inputs: &[TensorDesc], y: &TensorDesc) -> Result<()> {
    check::floats(&[("y", y)])?;
    for x in inputs {
        check::floats(&[("input", x)])?;
        check::shape("input", x, &y.shape)?;
    }
    Ok(())
}

fn takes(takes: bool, name: &str, x: &TensorDesc) -> Result<()> {
    if takes { Ok(()) } else { Err(Error::dtype(format!("{name} is {}, which the operation does not take", x.dtype))) }
}

/// One type, or both floats.
pub(super) fn like(name: &str, x: &TensorDesc, y: &TensorDesc) -> Result<()> {
    if x.dtype == y.dtype || (x.dtype.is_float() && y.dtype.is_float()) {
        return Ok(());
    }
    Err(Error::dtype(format!("{name} is {} and y is {}: one type or two floats are possible", x.dtype, y.dtype)))
}
