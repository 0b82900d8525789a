//! candle: what its CPU device has of the vocabulary, and the way into and out of its tensors.
//!
//! An operation runs as a user of candle writes it: by the function of candle-core or candle-nn where
//! there is one (`softmax_last_dim`, `rms_norm`, `rope`, `QMatMul`), else by the usual expression of
//! tensor operations. Where all floats of an operation have one type it runs in that type; where they
//! differ they are cast to f32 first, because candle takes one type only.

mod gather;
mod ops;

use anyhow::{Context, Result, bail};
use candle_core::quantized::GgmlDType;
use candle_core::{Device, Tensor};
use unisono_core::op::{Attention, BinaryOp, Op, OpDesc, ReduceOp, UnaryOp, Visibility};
use unisono_core::{DType, DeviceInfo, DeviceKind, NumericMode, Reason};

use crate::frame::{Host, Library, common_float, differs, lacks};

/// The version that `Cargo.toml` pins.
const VERSION: &str = "0.11.1";

/// The longest running sum: its matrix and the temporaries of that take GiBs beyond.
const LONGEST_SUM: usize = 1 << 14;

/// candle's CPU device.
#[derive(Debug)]
pub struct Candle;

impl Library for Candle {
    fn info(&self) -> DeviceInfo {
        let mut info = DeviceInfo::new("candle", format!("candle {VERSION}, CPU device"), DeviceKind::Cpu);
        info.vendor = "cpu".into();
        info.api = "candle".into();
        // Activations meet weights in blocks as q8_0, q8_1 or q8_k, as in ggml.
        info.numeric_modes = vec![NumericMode::Int8Activations];
        info.driver = "candle-core".into();
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

/// candle's name of a plain type; truth values are bytes.
fn plain(dtype: DType) -> Option<candle_core::DType> {
    Some(match dtype {
        DType::F32 => candle_core::DType::F32,
        DType::F16 => candle_core::DType::F16,
        DType::BF16 => candle_core::DType::BF16,
        DType::I32 => candle_core::DType::I32,
        DType::U32 => candle_core::DType::U32,
        DType::I64 => candle_core::DType::I64,
        DType::U8 | DType::Bool => candle_core::DType::U8,
        _ => return None,
    })
}

/// candle's name of a block format.
fn blocks(dtype: DType) -> Option<GgmlDType> {
    Some(match dtype {
        DType::Q4_0 => GgmlDType::Q4_0,
        DType::Q4_1 => GgmlDType::Q4_1,
        DType::Q5_0 => GgmlDType::Q5_0,
        DType::Q5_1 => GgmlDType::Q5_1,
        DType::Q8_0 => GgmlDType::Q8_0,
        DType::Q2K => GgmlDType::Q2K,
        DType::Q3K => GgmlDType::Q3K,
        DType::Q4K => GgmlDType::Q4K,
        DType::Q5K => GgmlDType::Q5K,
        DType::Q6K => GgmlDType::Q6K,
        _ => return None,
    })
}

fn tensor(host: &Host) -> Result<Tensor> {
    let dtype = plain(host.dtype).with_context(|| format!("{} is no type of a tensor", host.dtype))?;
    Ok(Tensor::from_raw_buffer(&host.bytes, dtype, &host.shape, &Device::Cpu)?)
}

/// The elements of a tensor that has the type already.
fn host(dtype: DType, y: &Tensor) -> Result<Host> {
    if plain(dtype) != Some(y.dtype()) {
        bail!("the result is {:?}, not {dtype}", y.dtype());
    }
    let mut bytes = Vec::new();
    y.write_bytes(&mut bytes)?;
    Ok(Host { dtype, shape: y.dims().to_vec(), bytes })
}

fn select(desc: &OpDesc) -> Result<(), Reason> {
    let op = &desc.op;
    let operands = || desc.inputs.iter().chain(&desc.outputs);
    let missing = |what: &str| Err(Reason::Op(format!("the library has no {what}")));
    if let Some(d) = operands().find(|d| plain(d.dtype).is_none() && blocks(d.dtype).is_none()) {
        return Err(Reason::DType(format!("the library has no {}", d.dtype)));
    }
    let has_blocks = operands().any(|d| d.dtype.is_block());
    let floats = operands().all(|d| d.dtype.is_float());
    if has_blocks && !matches!(op, Op::Copy | Op::GatherRows | Op::MatMul) {
        return missing(&format!("{} of blocks", op.name()));
    }
    match op {
        Op::Copy if has_blocks => copy_of_blocks(desc),
        Op::Copy | Op::Concat(_) | Op::GatherRows | Op::ScatterRows | Op::Pad(_) | Op::Fill(_) => Ok(()),
        Op::Unary(UnaryOp::Softplus) => Err(lacks(op)),
        Op::Unary(UnaryOp::Round) => Err(differs("ties are rounded away from zero")),
        Op::Unary(UnaryOp::Not) => Ok(()),
        Op::Unary(_) if !floats => missing("such function of integers"),
        Op::Unary(_) => Ok(()),
        Op::Binary(BinaryOp::Div) if !floats => Err(differs("a quotient of integers by 0 panics")),
        Op::Binary(BinaryOp::Rem) => missing("exact remainder"),
        Op::Binary(_) | Op::Compare(_) | Op::Logical(_) | Op::Where | Op::Clamp(_) | Op::ScaleShift(_) => Ok(()),
        Op::Reduce(op) if op.op == ReduceOp::Prod => missing("product along an axis"),
        Op::Reduce(_) | Op::ArgReduce(_) => Ok(()),
        Op::CumSum(_) if !floats => missing("running sum of integers"),
        Op::CumSum(op) if desc.inputs[0].shape[op.axis] > LONGEST_SUM => {
            Err(Reason::Limit("the library builds a matrix of n × n for a running sum over n".into()))
        }
        Op::CumSum(_) => Ok(()),
        Op::TopK(_) | Op::ArgSort(_) => Err(differs("the order of equal elements is unspecified")),
        Op::Softmax(op) if op.limits || op.window.is_some() => missing("softmax with row limits"),
        Op::Softmax(op) if op.sinks => missing("softmax with sinks"),
        Op::Softmax(op) if op.mask => Err(differs("a row that is masked entirely is NaN")),
        Op::Softmax(_) | Op::RmsNorm(_) | Op::LayerNorm(_) | Op::GroupNorm(_) | Op::L2Norm(_) | Op::Rope(_) => Ok(()),
        Op::MatMul if has_blocks => product_with_blocks(desc),
        Op::MatMul | Op::MatMulId => Ok(()),
        Op::Conv1d(_) => Ok(()),
        Op::Conv2d(op) => {
            let square = |[a, b]: [usize; 2]| a == b;
            let all = square(op.stride) && square(op.padding) && square(op.dilation);
            if all { Ok(()) } else { missing("convolution with two strides, paddings or dilations") }
        }
        Op::Attention(op) => attention(op, desc),
        _ => Err(lacks(op)),
    }
}

/// `flash_attn` of candle-nn: no mask but the causal one, and no cap on scores for a batch.
fn attention(op: &Attention, desc: &OpDesc) -> Result<(), Reason> {
    let [q, k, v] = [&desc.inputs[0].shape, &desc.inputs[1].shape, &desc.inputs[2].shape];
    let missing = |what: &str| Err(Reason::Op(format!("the library has no attention with {what}")));
    let batch = q[0] > 1;
    match () {
        () if op.visibility == Visibility::Limits || op.window.is_some() => missing("limits or windows"),
        () if op.mask || op.sinks || op.paged || op.sequences => missing("masks, sinks or pages"),
        () if q[3] != v[3] => missing("values of another size than keys"),
        () if batch && op.softcap.is_some() => missing("a cap on the scores of a batch"),
        () if batch && common_float(desc) == DType::BF16 => missing("a batch of bf16"),
        () if op.visibility == Visibility::Causal && q[2] > k[2] => {
            Err(differs("a causal mask starts at the first key where queries outnumber keys"))
        }
        () => Ok(()),
    }
}

fn copy_of_blocks(desc: &OpDesc) -> Result<(), Reason> {
    let (x, y) = (&desc.inputs[0], &desc.outputs[0]);
    if x.dtype.is_block() && y.dtype.is_block() {
        return Err(Reason::Op("the library has no copy of blocks with strides".into()));
    }
    let last = |d: &unisono_core::TensorDesc| d.block_axis().is_none_or(|axis| axis + 1 == d.rank());
    if !last(x) || !last(y) {
        return Err(Reason::Op("the library has no blocks across rows".into()));
    }
    match y.dtype {
        DType::Q2K | DType::Q3K | DType::Q4K | DType::Q5K | DType::Q6K => {
            Err(differs("it searches for the scales of K-quants, the contract fixes them"))
        }
        _ => Ok(()),
    }
}

/// A quantised weight is one matrix.
fn product_with_blocks(desc: &OpDesc) -> Result<(), Reason> {
    let b = &desc.inputs[1];
    let one = (0..b.rank() - 2).all(|i| b.shape[i] == 1);
    if one { Ok(()) } else { Err(Reason::Op("the library has no batch of quantised matrices".into())) }
}
