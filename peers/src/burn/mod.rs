//! burn: what its CPU backend (flex) has of the vocabulary.
//!
//! An operation runs as a user of burn writes it: by a method of `Tensor`, or a function of
//! `burn_tensor::activation` and `burn_tensor::module`; the normalisations that burn-nn composes of
//! tensor operations are composed as they are there. Where all floats of an operation have one type it
//! runs in that type; where they differ they are cast to f32 first.
//!
//! burn's tensors have their rank in their type. Elementwise operations run over one dimension, those
//! along an axis over `[outer, axis, inner]`.

mod float;
mod kinds;
mod ops;
mod value;

use anyhow::Result;
use unisono_core::op::{BinaryOp, Op, OpDesc, UnaryOp, Visibility};
use unisono_core::{DType, DeviceInfo, DeviceKind, Reason};

use crate::frame::{Host, Library, differs, lacks};

/// The version that `Cargo.toml` pins.
const VERSION: &str = "0.22.1";

/// burn's backend `flex`.
#[derive(Debug)]
pub struct Burn;

impl Library for Burn {
    fn info(&self) -> DeviceInfo {
        let mut info = DeviceInfo::new("burn", format!("burn {VERSION}, flex"), DeviceKind::Cpu);
        info.vendor = "cpu".into();
        info.api = "burn".into();
        info.driver = "burn-flex".into();
        info.driver_version = VERSION.into();
        info
    }

    fn select(&self, desc: &OpDesc) -> Result<(), Reason> {
        select(desc)
    }

    fn run(&self, desc: &OpDesc, inputs: Vec<Host>, former: Option<Host>) -> Result<Vec<Host>> {
        ops::run(desc, &inputs, former)
    }
}

fn select(desc: &OpDesc) -> Result<(), Reason> {
    let op = &desc.op;
    let operands = || desc.inputs.iter().chain(&desc.outputs);
    let missing = |what: &str| Err(Reason::Op(format!("the library has no {what}")));
    if let Some(d) = operands().find(|d| d.dtype.is_block()) {
        return Err(Reason::DType(format!("the library has no {}", d.dtype)));
    }
    let floats = operands().all(|d| d.dtype.is_float());
    match op {
        Op::Copy | Op::Concat(_) | Op::GatherRows | Op::ScatterRows | Op::Pad(_) | Op::Fill(_) => Ok(()),
        Op::Unary(UnaryOp::Not) => Ok(()),
        Op::Unary(UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Sign | UnaryOp::Square) => Ok(()),
        Op::Unary(_) if !floats => missing("such function of integers"),
        Op::Unary(_) => Ok(()),
        Op::Binary(BinaryOp::Div) if !floats => Err(differs("a quotient of integers by 0 panics")),
        Op::Binary(BinaryOp::Rem) => missing("exact remainder"),
        Op::Binary(_) | Op::Compare(_) | Op::Logical(_) | Op::Where | Op::Clamp(_) | Op::ScaleShift(_) => Ok(()),
        Op::Reduce(_) | Op::ArgReduce(_) | Op::CumSum(_) => Ok(()),
        Op::TopK(_) | Op::ArgSort(_) => Err(differs("the order of equal elements is unspecified")),
        Op::Softmax(op) if op.limits || op.window.is_some() => missing("softmax with row limits"),
        Op::Softmax(op) if op.sinks => missing("softmax with sinks"),
        Op::Softmax(op) if op.mask => Err(differs("a row that is masked entirely is NaN")),
        Op::Softmax(_) | Op::RmsNorm(_) | Op::LayerNorm(_) | Op::GroupNorm(_) | Op::L2Norm(_) => Ok(()),
        Op::Im2Col(_) if floats => Ok(()),
        Op::Im2Col(_) => missing("windows of integers"),
        Op::MatMul | Op::MatMulId | Op::Conv1d(_) | Op::Conv2d(_) => Ok(()),
        Op::Attention(op) => {
            let plain = op.visibility == Visibility::All && op.window.is_none() && !op.paged && !op.sequences;
            let bias = op.inputs().mask.is_some_and(|i| desc.inputs[i].dtype != DType::Bool);
            match () {
                () if !plain || op.sinks => missing("attention with limits, windows, sinks, pages"),
                () if bias && op.softcap.is_some() => Err(differs("where the bias is added to capped scores")),
                () => Ok(()),
            }
        }
        _ => Err(lacks(op)),
    }
}
