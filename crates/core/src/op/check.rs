//! The rules that operands must meet, checked in one place before anything is compiled: operand
//! counts and layouts here, shapes and dtypes by each family. Helpers phrase the errors alike.

use super::{Op, OpDesc};
use crate::desc::TensorDesc;
use crate::dtype::DType;
use crate::error::{Error, Result};

pub(super) fn operands(desc: &OpDesc) -> Result<()> {
    let (ins, outs) = desc.op.operand_names();
    if desc.inputs.len() != ins.len() || desc.outputs.len() != outs.len() {
        return Err(Error::invalid(format!(
            "takes {} inputs and {} outputs, got {} and {}",
            ins.len(),
            outs.len(),
            desc.inputs.len(),
            desc.outputs.len()
        )));
    }
    for d in desc.inputs.iter().chain(&desc.outputs) {
        d.validate()?;
    }
    for (name, d) in outs.iter().zip(&desc.outputs) {
        if d.may_self_overlap() {
            return Err(Error::shape(format!("output {name} overlaps itself: strides {}", d.strides)));
        }
    }
    let (i, o) = (&desc.inputs[..], &desc.outputs[..]);
    match &desc.op {
        Op::Copy => super::movement::check_copy(i, o),
        Op::Concat(op) => op.check(i, o),
        Op::GatherRows => super::movement::check_gather(i, o),
        Op::ScatterRows => super::movement::check_scatter(i, o),
        Op::Pad(op) => op.check(&i[0], &o[0]),
        Op::Fill(_) => plain("y", &o[0]),
        Op::Unary(op) => super::elementwise::check_unary(*op, &i[0], &o[0]),
        Op::Binary(op) => super::elementwise::check_binary(*op, i, &o[0]),
        Op::Compare(op) => op.check(&i[0], &i[1], &o[0]),
        Op::Logical(_) => super::compare::check_logical(i, &o[0]),
        Op::Where => super::compare::check_where(i, &o[0]),
        Op::Clamp(op) => op.check(i, &o[0]),
        Op::ScaleShift(op) => op.check(i, &o[0]),
        Op::Gated(_) => super::elementwise::check_floats(i, &o[0]),
        Op::Reduce(op) => op.check(i, o),
        Op::ArgReduce(op) => op.check(i, o),
        Op::CumSum(op) => op.check(i, o),
        Op::TopK(op) => op.check(i, o),
        Op::ArgSort(op) => op.check(i, o),
        Op::Softmax(op) => op.check(i, o),
        Op::RmsNorm(op) => op.check(i, o),
        Op::LayerNorm(op) => op.check(i, o),
        Op::GroupNorm(op) => op.check(i, o),
        Op::L2Norm(op) => op.check(i, o),
        Op::Im2Col(op) => op.check(i, o),
        Op::Conv1d(op) => op.check(i, o),
        Op::Conv2d(op) => op.check(i, o),
        Op::Rope(op) => op.check(i, o),
        Op::RopeWrite(op) => op.check(i, o),
        Op::MatMul => super::linear::check_matmul(&i[0], &i[1], &o[0]),
        Op::MatMulId => super::experts::check_matmul_id(&i[0], &i[1], &i[2], &o[0]),
        Op::Linear(op) => op.check(i, o),
        Op::AddRmsNorm(op) => op.check(i, o),
        Op::Attention(op) => op.check(i, o),
    }
}

pub(super) fn floats(descs: &[(&str, &TensorDesc)]) -> Result<()> {
    for (name, d) in descs {
        if !d.dtype.is_float() {
            return Err(Error::dtype(format!("{name} is {}; f32, f16 and bf16 are possible", d.dtype)));
        }
    }
    Ok(())
}

/// A mask is additive (floating point) or boolean.
pub(super) fn mask(name: &str, d: &TensorDesc) -> Result<()> {
    if !d.dtype.is_float() && d.dtype != DType::Bool {
        return Err(Error::dtype(format!("{name} is {}; f32, f16, bf16 (additive) and bool are possible", d.dtype)));
    }
    Ok(())
}

/// A window is absent or at least 1.
pub(super) fn window(window: Option<u32>) -> Result<()> {
    if window == Some(0) {
        return Err(Error::invalid("the window is 0; it must be at least 1"));
    }
    Ok(())
}

/// A 32-bit integer.
fn is_word(dtype: DType) -> bool {
    matches!(dtype, DType::I32 | DType::U32)
}

/// What sums are made of: floats, each its own, or one 32-bit integer type.
pub(super) fn numbers(x: (&str, &TensorDesc), y: (&str, &TensorDesc)) -> Result<()> {
    if x.1.dtype.is_float() && y.1.dtype.is_float() || is_word(x.1.dtype) && x.1.dtype == y.1.dtype {
        return Ok(());
    }
    let message = format!("{} is {} and {} is {}: both are floats, or both i32 or u32", x.0, x.1.dtype, y.0, y.1.dtype);
    Err(Error::dtype(message))
}

/// What is compared: floats, i32 and u32.
pub(super) fn ordered(name: &str, d: &TensorDesc) -> Result<()> {
    if !d.dtype.is_float() && !is_word(d.dtype) {
        return Err(Error::dtype(format!("{name} is {}; f32, f16, bf16, i32 and u32 are possible", d.dtype)));
    }
    Ok(())
}

pub(super) fn dtype(name: &str, d: &TensorDesc, wanted: DType) -> Result<()> {
    if d.dtype != wanted {
        return Err(Error::dtype(format!("{name} is {}, not {wanted}", d.dtype)));
    }
    Ok(())
}

pub(super) fn plain(name: &str, d: &TensorDesc) -> Result<()> {
    if d.dtype.is_block() {
        return Err(Error::dtype(format!("{name} is {}; block formats are not possible here", d.dtype)));
    }
    Ok(())
}

pub(super) fn index(name: &str, d: &TensorDesc) -> Result<()> {
    if !d.dtype.is_index() {
        return Err(Error::dtype(format!("{name} is {}; u32, i32 and i64 are possible", d.dtype)));
    }
    Ok(())
}

/// The second operand of a product: any float, or any block format with the blocks along `axis`,
/// the summed dimension.
pub(super) fn weight(name: &str, d: &TensorDesc, axis: usize) -> Result<()> {
    if !d.dtype.is_block() && !d.dtype.is_float() {
        let message = format!("{name} is {}; f32, f16, bf16 and block formats are possible", d.dtype);
        return Err(Error::dtype(message));
    }
    match d.block_axis() {
        Some(found) if found != axis => Err(Error::shape(format!(
            "the blocks of {name} lie along dimension {found}, not along the summed dimension {axis}"
        ))),
        _ => Ok(()),
    }
}

/// A conversion to or from a block format: quantising, decoding, or blocks as they are. The block
/// axis of a side counts from the end, so that leading dimensions may differ.
pub(super) fn blocks(from: (&str, &TensorDesc), to: (&str, &TensorDesc)) -> Result<()> {
    let (x, y) = (from.1, to.1);
    let refuse = |why: &str| Err(Error::dtype(format!("{} is {} and {} is {}: {why}", from.0, x.dtype, to.0, y.dtype)));
    match (x.dtype.is_block(), y.dtype.is_block()) {
        (true, true) if x.dtype != y.dtype => {
            refuse("one block format does not become another in one step; cast to a float first")
        }
        (true, true) => {
            let axis = |d: &TensorDesc| d.block_axis().map(|axis| d.rank() - axis);
            match (axis(x), axis(y)) {
                (Some(a), Some(b)) if a != b => {
                    Err(Error::shape(format!("the blocks of {} and {} lie along different dimensions", from.0, to.0)))
                }
                _ => Ok(()),
            }
        }
        (true, false) if !y.dtype.is_float() => refuse("blocks decode to f32, f16 or bf16"),
        (false, true) if !x.dtype.is_float() => refuse("blocks are made from f32, f16 or bf16"),
        (false, true) if !y.dtype.is_quantisable() => {
            refuse("numbers cannot be quantised to this format; it takes ready blocks")
        }
        _ => Ok(()),
    }
}

/// Rows that are moved whole: no block reaches across them.
pub(super) fn whole_rows(name: &str, d: &TensorDesc) -> Result<()> {
    if d.block_axis() == Some(0) {
        return Err(Error::shape(format!("the blocks of {name} lie along its rows, dimension 0")));
    }
    Ok(())
}

/// Data that is moved and not computed on: the same dtype, or both floats.
pub(super) fn castable(from: (&str, &TensorDesc), to: (&str, &TensorDesc)) -> Result<()> {
    if (from.1.dtype == to.1.dtype && !from.1.dtype.is_block()) || (from.1.dtype.is_float() && to.1.dtype.is_float()) {
        return Ok(());
    }
    Err(Error::dtype(format!("{} is {} and {} is {}: no cast between them", from.0, from.1.dtype, to.0, to.1.dtype)))
}

pub(super) fn shape(name: &str, d: &TensorDesc, wanted: &[usize]) -> Result<()> {
    if *d.shape != *wanted {
        return Err(Error::shape(format!("{name} has shape {}, not {wanted:?}", d.shape)));
    }
    Ok(())
}

pub(super) fn rank(name: &str, d: &TensorDesc, wanted: usize) -> Result<()> {
    if d.rank() != wanted {
        return Err(Error::shape(format!("{name} has rank {}, not {wanted}", d.rank())));
    }
    Ok(())
}

pub(super) fn min_rank(name: &str, d: &TensorDesc, least: usize) -> Result<()> {
    if d.rank() < least {
        return Err(Error::shape(format!("{name} has rank {}, at least {least} is needed", d.rank())));
    }
    Ok(())
}

pub(super) fn axis(axis: usize, d: &TensorDesc) -> Result<()> {
    if axis >= d.rank() {
        return Err(Error::shape(format!("axis {axis} is outside the rank {} of x", d.rank())));
    }
    Ok(())
}

pub(super) fn finite(name: &str, value: f32) -> Result<()> {
    if !value.is_finite() {
        return Err(Error::invalid(format!("{name} is {value}; it must be finite")));
    }
    Ok(())
}
