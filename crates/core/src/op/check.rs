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
        Op::Unary(_) | Op::Binary(_) | Op::SwiGlu => super::elementwise::check(i, o),
        Op::Reduce(op) => op.check(i, o),
        Op::ArgMax(op) => op.check(i, o),
        Op::Softmax(op) => op.check(i, o),
        Op::RmsNorm(op) => op.check(i, o),
        Op::LayerNorm(op) => op.check(i, o),
        Op::Rope(op) => op.check(i, o),
        Op::MatMul => super::linear::check_matmul(&i[0], &i[1], &o[0]),
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
        return Err(Error::dtype(format!("{name} is {}; u32 and i32 are possible", d.dtype)));
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
