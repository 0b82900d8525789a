//! Functions of elements: which shader serves each, with which code, and the two operations that
//! write constants. The launches themselves are the maps of `map`.

use unisono_core::op::{BinaryOp, Clamp, CompareOp, Gate, LogicalOp, Pad, Scalar, ScaleShift, UnaryOp};
use unisono_core::{DType, Reason};

use super::builder::Builder;
use super::map::{Map, copy_over, kind, moved, over_output, sizes, unary_code};
use super::window::View;

/// Declines arithmetic and comparisons of 64-bit integers.
fn not_long(dtype: DType) -> Result<(), Reason> {
    match dtype {
        DType::I64 => {
            Err(Reason::DType("i64 is stored, moved and cast here; arithmetic on it is the CPU's".to_owned()))
        }
        _ => Ok(()),
    }
}

fn unknown(name: &str) -> Reason {
    Reason::Op(format!("there is no kernel for {name}"))
}

/// The shader and its code for a function of one element.
fn unary_kernel(op: UnaryOp, dtype: DType) -> Result<(&'static str, u32), Reason> {
    not_long(dtype)?;
    let float = dtype.is_float();
    let code = match op {
        UnaryOp::Abs if float => ("bits", 0),
        UnaryOp::Sign if float => ("bits", 1),
        UnaryOp::Relu if float => ("bits", 2),
        UnaryOp::Floor => ("bits", 3),
        UnaryOp::Ceil => ("bits", 4),
        UnaryOp::Round => ("bits", 5),
        UnaryOp::Neg if !float => ("bits", 8),
        UnaryOp::Abs => ("bits", 9),
        UnaryOp::Sign => ("bits", 10),
        UnaryOp::Square if !float => ("bits", 11),
        UnaryOp::Relu => ("bits", 12),
        UnaryOp::Not => ("bits", 13),
        UnaryOp::Square => ("function", 0),
        UnaryOp::Sqrt => ("function", 1),
        UnaryOp::Recip => ("function", 2),
        UnaryOp::Log => ("function", 3),
        UnaryOp::Sin => ("function", 4),
        UnaryOp::Cos => ("function", 5),
        UnaryOp::Erf => ("function", 6),
        UnaryOp::GeluQuick => ("function", 7),
        UnaryOp::Softplus => ("function", 8),
        _ => ("unary", unary_code(op)?),
    };
    Ok(code)
}

/// The shader and its code for a function of two elements.
fn binary_kernel(op: BinaryOp, dtype: DType) -> Result<(&'static str, u32), Reason> {
    not_long(dtype)?;
    let code = match (op, dtype.is_float()) {
        (BinaryOp::Add, true) => ("binary", 0),
        (BinaryOp::Sub, true) => ("binary", 1),
        (BinaryOp::Mul, true) => ("binary", 2),
        (BinaryOp::Div, true) => ("binary", 3),
        (BinaryOp::Pow, _) => ("pair", 0),
        (BinaryOp::Minimum, true) => ("pair", 4),
        (BinaryOp::Maximum, true) => ("pair", 5),
        (BinaryOp::Rem, true) => ("pair", 6),
        (BinaryOp::Add, false) => ("pair", 8),
        (BinaryOp::Sub, false) => ("pair", 9),
        (BinaryOp::Mul, false) => ("pair", 10),
        (BinaryOp::Div, false) => ("pair", 11),
        (BinaryOp::Minimum, false) => ("pair", 12),
        (BinaryOp::Maximum, false) => ("pair", 13),
        (BinaryOp::Rem, false) => ("pair", 14),
        _ => return Err(unknown(op.name())),
    };
    Ok(code)
}

/// The shader and its code for a gated activation.
fn gate_kernel(gate: Gate) -> Result<(&'static str, u32), Reason> {
    match gate {
        Gate::SwiGlu => Ok(("binary", 4)),
        Gate::GeGlu => Ok(("pair", 1)),
        Gate::GeGluTanh => Ok(("pair", 2)),
        Gate::ReGlu => Ok(("pair", 3)),
        _ => Err(unknown(gate.name())),
    }
}

/// The kernel that serves a function of one element, where there is one.
pub(super) fn unary_name(op: UnaryOp, dtype: DType) -> &'static str {
    unary_kernel(op, dtype).map_or("unary", |(name, _)| name)
}

/// The kernel that serves a function of two elements, where there is one.
pub(super) fn binary_name(op: BinaryOp, dtype: DType) -> &'static str {
    binary_kernel(op, dtype).map_or("binary", |(name, _)| name)
}

pub(super) fn unary(b: &mut Builder<'_>, op: UnaryOp) -> Result<(), Reason> {
    let (kernel, code) = unary_kernel(op, b.output(0).desc.dtype)?;
    let views = [b.output_view(0), b.input_view(0)];
    over_output(b, &Map::new(kernel).op(code), &views)
}

fn two(b: &mut Builder<'_>, map: &Map<'_>) -> Result<(), Reason> {
    let views = [b.output_view(0), b.input_view(0), b.input_view(1)];
    over_output(b, map, &views)
}

pub(super) fn binary(b: &mut Builder<'_>, op: BinaryOp) -> Result<(), Reason> {
    let dtype = b.output(0).desc.dtype;
    let (kernel, code) = binary_kernel(op, dtype)?;
    two(b, &Map::new(kernel).op(code).constant("SIGNED", f64::from(u8::from(dtype == DType::I32))))
}

pub(super) fn gated(b: &mut Builder<'_>, gate: Gate) -> Result<(), Reason> {
    let (kernel, code) = gate_kernel(gate)?;
    two(b, &Map::new(kernel).op(code))
}

pub(super) fn compare(b: &mut Builder<'_>, op: CompareOp) -> Result<(), Reason> {
    let code = match op {
        CompareOp::Eq => 0,
        CompareOp::Ne => 1,
        CompareOp::Lt => 2,
        CompareOp::Le => 3,
        CompareOp::Gt => 4,
        CompareOp::Ge => 5,
        _ => return Err(unknown(op.name())),
    };
    let dtype = b.input(0).desc.dtype;
    not_long(dtype)?;
    two(b, &Map::new("compare").op(code).constant("KIND", kind(dtype)))
}

pub(super) fn logical(b: &mut Builder<'_>, op: LogicalOp) -> Result<(), Reason> {
    let code = match op {
        LogicalOp::And => 6,
        LogicalOp::Or => 7,
        LogicalOp::Xor => 8,
        _ => return Err(unknown(op.name())),
    };
    two(b, &Map::new("compare").op(code).constant("KIND", kind(DType::Bool)))
}

pub(super) fn choose(b: &mut Builder<'_>) -> Result<(), Reason> {
    let views = [b.output_view(0), b.input_view(0), b.input_view(1), b.input_view(2)];
    let sizes = sizes(&b.output(0).desc.shape);
    moved(b, &Map::new("where"), &sizes, &views, 0)
}

pub(super) fn clamp(b: &mut Builder<'_>, op: &Clamp) -> Result<(), Reason> {
    let [min, max] = [op.min.0, op.max.0].map(f32::to_bits);
    let views = [b.output_view(0), b.input_view(0)];
    over_output(b, &Map::new("function").op(9).parameters(min, max), &views)
}

pub(super) fn scale_shift(b: &mut Builder<'_>, op: &ScaleShift) -> Result<(), Reason> {
    let map = Map::new("function").op(10).parameters(op.scale.0.to_bits(), op.shift.0.to_bits());
    let views = [b.output_view(0), b.input_view(0)];
    over_output(b, &map, &views)
}

pub(super) fn fill(b: &mut Builder<'_>, value: Scalar) -> Result<(), Reason> {
    let y = b.output_view(0);
    let sizes = sizes(&b.output(0).desc.shape);
    let bits = value.bits(y.dtype);
    moved(b, &Map::new("fill"), &sizes, &[y], bits)
}

/// Everything is filled, then the input goes to its place.
pub(super) fn pad(b: &mut Builder<'_>, pad: &Pad) -> Result<(), Reason> {
    fill(b, pad.value)?;
    let x = b.input_view(0);
    let inner = &b.input(0).desc;
    if inner.is_empty() {
        return Ok(());
    }
    let mut y: View = b.output_view(0);
    y.start += pad.before.iter().zip(&y.strides).map(|(&n, &stride)| n as u64 * stride).sum::<u64>();
    copy_over(b, &sizes(&inner.shape), &y, &x)
}
