//! Each operation in candle's terms.

use std::borrow::Cow;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use candle_core::quantized::{QMatMul, QStorage, QTensor};
use candle_core::{D, Device, Module, Tensor};
use candle_nn::attention::{AttnMask, flash_attn};
use candle_nn::ops as nn;
use unisono_core::op::{
    ArgOp, Attention, BinaryOp, CompareOp, CumSum, LogicalOp, Op, OpDesc, Pad, ReduceOp, Rope, RopePairing, Scalar,
    UnaryOp, Visibility,
};
use unisono_core::{DType, TensorDesc};

use super::{blocks, gather, host, plain, tensor};
use crate::frame::{Host, common_float};

const CPU: &Device = &Device::Cpu;

/// The inputs of an operation.
struct Inputs<'a> {
    hosts: &'a [Host],
    /// The type in which floats are computed.
    float: candle_core::DType,
}

impl Inputs<'_> {
    /// Input `i`; floats in the common type.
    fn at(&self, i: usize) -> Result<Tensor> {
        let x = self.raw(i)?;
        Ok(if x.dtype().is_float() { x.to_dtype(self.float)? } else { x })
    }

    /// Input `i` as stored.
    fn raw(&self, i: usize) -> Result<Tensor> {
        tensor(self.hosts.get(i).with_context(|| format!("there is no input {i}"))?)
    }
}

pub(super) fn run(desc: &OpDesc, hosts: &[Host], former: Option<Host>) -> Result<Vec<Host>> {
    let float = plain(common_float(desc)).context("no type to compute in")?;
    let x = Inputs { hosts, float };
    let y = &desc.outputs[0];
    if y.dtype.is_block() {
        return Ok(vec![quantise(&x.raw(0)?, y.dtype)?]);
    }
    let result = compute(desc, &x, former)?.reshape(&*y.shape)?;
    Ok(vec![host(y.dtype, &cast(&result, y.dtype)?)?])
}

/// A cast by candle; to a truth value by the comparison with 0.
fn cast(x: &Tensor, to: DType) -> Result<Tensor> {
    Ok(x.to_dtype(plain(to).with_context(|| format!("no type {to}"))?)?)
}

fn compute(desc: &OpDesc, x: &Inputs<'_>, former: Option<Host>) -> Result<Tensor> {
    let y = &desc.outputs[0];
    Ok(match &desc.op {
        Op::Copy if desc.inputs[0].dtype.is_block() => quantised(&x.hosts[0])?.dequantize(CPU)?,
        Op::Copy if y.dtype == DType::Bool => truth(&x.raw(0)?)?,
        Op::Copy => x.raw(0)?,
        Op::Concat(op) => {
            let parts = (0..op.inputs).map(|i| x.raw(i)).collect::<Result<Vec<_>>>()?;
            Tensor::cat(&parts, op.axis)?
        }
        Op::GatherRows => {
            let table = match desc.inputs[0].dtype.is_block() {
                true => quantised(&x.hosts[0])?.dequantize(CPU)?,
                false => x.raw(0)?,
            };
            let shape = &desc.inputs[0].shape;
            gather::rows(&table.reshape((shape[0], shape[1..].iter().product::<usize>()))?, &x.raw(1)?)?
        }
        Op::ScatterRows => {
            let former = tensor(&former.context("no former content")?)?;
            let src = cast(&x.raw(0)?, y.dtype)?;
            gather::scatter(&matrix(&former)?, &x.raw(1)?, &matrix(&src)?)?
        }
        Op::Pad(op) => pad(op, &x.raw(0)?, y)?,
        Op::Fill(value) => full(*value, y)?,
        Op::Unary(op) => unary(*op, &x.at(0)?)?,
        Op::Binary(op) => binary(*op, &x.at(0)?, &x.at(1)?)?,
        Op::Compare(op) => {
            let (a, b) = (x.at(0)?, x.at(1)?);
            match op {
                CompareOp::Eq => a.eq(&b)?,
                CompareOp::Ne => a.ne(&b)?,
                CompareOp::Lt => a.lt(&b)?,
                CompareOp::Le => a.le(&b)?,
                CompareOp::Gt => a.gt(&b)?,
                CompareOp::Ge => a.ge(&b)?,
                _ => bail!("no comparison {}", op.name()),
            }
        }
        Op::Logical(op) => {
            let (a, b) = (truth(&x.raw(0)?)?, truth(&x.raw(1)?)?);
            match op {
                LogicalOp::And => a.minimum(&b)?,
                LogicalOp::Or => a.maximum(&b)?,
                LogicalOp::Xor => a.ne(&b)?,
                _ => bail!("no function {}", op.name()),
            }
        }
        Op::Where => {
            let side = |i: usize| cast(&x.raw(i)?, y.dtype);
            x.raw(0)?.where_cond(&side(1)?, &side(2)?)?
        }
        Op::Clamp(op) => x.at(0)?.clamp(op.min.0, op.max.0)?,
        Op::ScaleShift(op) => x.at(0)?.affine(f64::from(op.scale.0), f64::from(op.shift.0))?,
        Op::Reduce(op) => match op.op {
            ReduceOp::Sum => x.at(0)?.sum_keepdim(op.axis)?,
            ReduceOp::Mean => x.at(0)?.mean_keepdim(op.axis)?,
            ReduceOp::Max => x.at(0)?.max_keepdim(op.axis)?,
            ReduceOp::Min => x.at(0)?.min_keepdim(op.axis)?,
            _ => bail!("no reduction {}", op.op.name()),
        },
        Op::ArgReduce(op) => match op.op {
            ArgOp::Max => x.at(0)?.argmax_keepdim(op.axis)?,
            ArgOp::Min => x.at(0)?.argmin_keepdim(op.axis)?,
        },
        Op::CumSum(op) => running_sum(op, &x.at(0)?)?,
        Op::Softmax(op) => {
            let mut z = x.at(0)?;
            if op.scale.0 != 1.0 {
                z = z.affine(f64::from(op.scale.0), 0.0)?;
            }
            if op.log { nn::log_softmax(&z, D::Minus1)? } else { nn::softmax_last_dim(&z)? }
        }
        Op::RmsNorm(op) => {
            let v = x.at(0)?;
            let weight = factor(x, op.weight.then_some(1), v.dim(D::Minus1)?)?;
            nn::rms_norm(&v, &weight, op.eps.0)?
        }
        Op::LayerNorm(op) => {
            let v = x.at(0)?;
            let n = v.dim(D::Minus1)?;
            let weight = factor(x, op.weight.then_some(1), n)?;
            nn::layer_norm(&v, &weight, &addend(x, op.bias.then_some(1 + usize::from(op.weight)), n)?, op.eps.0)?
        }
        Op::GroupNorm(op) => {
            let v = x.at(0)?;
            let [batch, channels] = [v.dim(0)?, v.dim(1)?];
            let weight = factor(x, op.weight.then_some(1), channels)?;
            let bias = addend(x, op.bias.then_some(1 + usize::from(op.weight)), channels)?;
            let norm = candle_nn::GroupNorm::new(weight, bias, channels, op.groups, f64::from(op.eps.0))?;
            let inner = v.elem_count() / (batch * channels).max(1);
            norm.forward(&v.reshape((batch, channels, inner))?)?
        }
        Op::L2Norm(op) => {
            // Composed here and not by the library, so in f32.
            let v = x.at(0)?.to_dtype(candle_core::DType::F32)?;
            let length = v.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?.maximum(f64::from(op.eps.0))?;
            v.broadcast_div(&length)?
        }
        Op::Rope(op) => rope(op, x)?,
        Op::MatMul if desc.inputs[1].dtype.is_block() => {
            let mut weight = x.hosts[1].clone();
            if desc.inputs[1].is_empty() {
                // Without a block, nothing shows along which dimension blocks lie: rows are inputs.
                let rank = weight.shape.len();
                weight.shape.swap(rank - 2, rank - 1);
            }
            let weight = QMatMul::from_arc(Arc::new(quantised(&weight)?))?;
            let a = x.raw(0)?.to_dtype(candle_core::DType::F32)?;
            // A matrix with all rows: a quantised weight has no batch.
            let (count, k) = a.dims().split_at(a.rank() - 1);
            weight.forward(&a.reshape((count.iter().product::<usize>(), k[0]))?)?
        }
        Op::MatMul => {
            // candle takes up to two batch dimensions.
            let batch = |v: Tensor| {
                let (count, matrix) = v.dims().split_at(v.rank() - 2);
                v.reshape((count.iter().product::<usize>(), matrix[0], matrix[1]))
            };
            batch(x.at(0)?)?.matmul(&batch(x.at(1)?)?)?
        }
        Op::MatMulId => {
            let (a, b) = (x.at(0)?, x.at(1)?);
            let (tokens, used, k) = a.dims3()?;
            let (experts, _, n) = b.dims3()?;
            let chosen = gather::rows(&b.reshape((experts, k * n))?, &x.raw(2)?)?;
            a.reshape((tokens * used, 1, k))?.matmul(&chosen.reshape((tokens * used, k, n))?)?
        }
        Op::Conv1d(op) => {
            let y = x.at(0)?.conv1d(&x.at(1)?, op.padding, op.stride, op.dilation, op.groups)?;
            if op.bias { y.broadcast_add(&x.at(2)?.reshape((1, (), 1))?)? } else { y }
        }
        Op::Conv2d(op) => {
            let y = x.at(0)?.conv2d(&x.at(1)?, op.padding[0], op.stride[0], op.dilation[0], op.groups)?;
            if op.bias { y.broadcast_add(&x.at(2)?.reshape((1, (), 1, 1))?)? } else { y }
        }
        Op::Attention(op) => attention(op, x)?,
        op => bail!("no operation {}", op.name()),
    })
}

/// Tokens come before heads in candle's attention, and after them in its result.
fn attention(op: &Attention, x: &Inputs<'_>) -> Result<Tensor> {
    let side = |i: usize| -> Result<Tensor> { Ok(x.at(i)?.transpose(1, 2)?.contiguous()?) };
    let (q, k, v) = (side(0)?, side(1)?, side(2)?);
    let mask = match op.visibility {
        Visibility::Causal => AttnMask::causal_with_offset(k.dim(1)? - q.dim(1)?),
        _ => AttnMask::None,
    };
    let (scale, cap) = (op.scale.0, op.softcap.map(|cap| cap.0));
    Ok(match q.dtype() {
        candle_core::DType::F16 => flash_attn::<half::f16>(&q, &k, &v, scale, mask, None, cap)?,
        candle_core::DType::BF16 => flash_attn::<half::bf16>(&q, &k, &v, scale, mask, None, cap)?,
        _ => flash_attn::<f32>(&q, &k, &v, scale, mask, None, cap)?,
    })
}

/// 1 where an element is not 0.
fn truth(x: &Tensor) -> Result<Tensor> {
    Ok(x.ne(&x.zeros_like()?)?)
}

/// Rows of the first dimension.
fn matrix(x: &Tensor) -> Result<Tensor> {
    let rows = x.dim(0)?;
    Ok(x.reshape((rows, x.dims()[1..].iter().product::<usize>()))?)
}

/// Input `i`, or ones where there is none.
fn factor(x: &Inputs<'_>, i: Option<usize>, n: usize) -> Result<Tensor> {
    i.map_or_else(|| Ok(Tensor::ones(n, x.float, CPU)?), |i| x.at(i))
}

/// Input `i`, or zeros where there is none.
fn addend(x: &Inputs<'_>, i: Option<usize>, n: usize) -> Result<Tensor> {
    i.map_or_else(|| Ok(Tensor::zeros(n, x.float, CPU)?), |i| x.at(i))
}

/// A tensor in blocks from its bytes.
fn quantised(x: &Host) -> Result<QTensor> {
    let dtype = blocks(x.dtype).with_context(|| format!("no block format {}", x.dtype))?;
    let rows = x.shape.len() - 1;
    let matrix = (x.shape[..rows].iter().product::<usize>(), x.shape[rows]);
    let shape = if rows == 0 { vec![x.shape[0]] } else { vec![matrix.0, matrix.1] };
    // candle wants aligned bytes. A vector that was never allocated is not aligned.
    let mut bytes = Vec::with_capacity(x.bytes.len().max(16));
    bytes.extend_from_slice(&x.bytes);
    Ok(QTensor::new(QStorage::from_data(Cow::Owned(bytes), CPU, dtype)?, shape)?)
}

fn quantise(x: &Tensor, to: DType) -> Result<Host> {
    let dtype = blocks(to).with_context(|| format!("no block format {to}"))?;
    let y = QTensor::quantize(&x.to_dtype(candle_core::DType::F32)?, dtype)?;
    Ok(Host { dtype: to, shape: x.dims().to_vec(), bytes: y.data()?.into_owned() })
}

fn full(value: Scalar, y: &TensorDesc) -> Result<Tensor> {
    let all = match value {
        Scalar::Real(value) => Tensor::full(value.0, &*y.shape, CPU)?,
        Scalar::Int(value) => Tensor::full(value, &*y.shape, CPU)?,
    };
    if y.dtype == DType::Bool { truth(&all) } else { cast(&all, y.dtype) }
}

fn pad(op: &Pad, x: &Tensor, y: &TensorDesc) -> Result<Tensor> {
    let all = full(op.value, y)?;
    if x.elem_count() == 0 {
        return Ok(all);
    }
    let ranges: Vec<_> = op.before.iter().zip(x.dims()).map(|(&before, &size)| before..before + size).collect();
    Ok(all.slice_assign(&ranges, x)?)
}

fn unary(op: UnaryOp, x: &Tensor) -> Result<Tensor> {
    Ok(match op {
        UnaryOp::Neg => x.neg()?,
        UnaryOp::Exp => x.exp()?,
        UnaryOp::Rsqrt => x.sqrt()?.recip()?,
        UnaryOp::Tanh => x.tanh()?,
        UnaryOp::Sigmoid => nn::sigmoid(x)?,
        UnaryOp::Silu => x.silu()?,
        UnaryOp::Gelu => x.gelu_erf()?,
        UnaryOp::GeluTanh => x.gelu()?,
        UnaryOp::Abs => x.abs()?,
        UnaryOp::Sign => x.sign()?,
        UnaryOp::Square => x.sqr()?,
        UnaryOp::Sqrt => x.sqrt()?,
        UnaryOp::Recip => x.recip()?,
        UnaryOp::Log => x.log()?,
        UnaryOp::Sin => x.sin()?,
        UnaryOp::Cos => x.cos()?,
        UnaryOp::Erf => x.erf()?,
        UnaryOp::Relu => x.relu()?,
        UnaryOp::GeluQuick => {
            // Composed here and not by the library, so in f32.
            let x = x.to_dtype(candle_core::DType::F32)?;
            (&x * nn::sigmoid(&(&x * 1.702)?)?)?
        }
        UnaryOp::Floor => x.floor()?,
        UnaryOp::Ceil => x.ceil()?,
        UnaryOp::Not => x.eq(&x.zeros_like()?)?,
        _ => bail!("no function {}", op.name()),
    })
}

fn binary(op: BinaryOp, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok(match op {
        BinaryOp::Add => (a + b)?,
        BinaryOp::Sub => (a - b)?,
        BinaryOp::Mul => (a * b)?,
        BinaryOp::Div => (a / b)?,
        BinaryOp::Pow => a.pow(b)?,
        BinaryOp::Minimum => a.minimum(b)?,
        BinaryOp::Maximum => a.maximum(b)?,
        _ => bail!("no function {}", op.name()),
    })
}

/// `cumsum`, turned around for sums from the end, and moved by one place for exclusive ones.
fn running_sum(op: &CumSum, x: &Tensor) -> Result<Tensor> {
    let n = x.dim(op.axis)?;
    if x.elem_count() == 0 {
        return Ok(x.clone());
    }
    // candle's `cumsum` takes up to three dimensions along any axis.
    let (before, after) = (&x.dims()[..op.axis], &x.dims()[op.axis + 1..]);
    let shape = (before.iter().product::<usize>(), n, after.iter().product::<usize>());
    let turn = |x: &Tensor| if op.reverse { x.contiguous()?.flip(&[1]) } else { Ok(x.clone()) };
    let mut v = turn(&x.reshape(shape)?)?;
    if op.exclusive {
        v = v.narrow(1, 0, n - 1)?.pad_with_zeros(1, 1, 0)?;
    }
    Ok(turn(&v.contiguous()?.cumsum(1)?)?)
}

/// candle's rotary embedding takes `[batch, heads, tokens, dim]` and a row of the table per token.
fn rope(op: &Rope, x: &Inputs<'_>) -> Result<Tensor> {
    let v = x.at(0)?.transpose(1, 2)?;
    let (batch, _, tokens, dim) = v.dims4()?;
    let half = x.raw(1)?.dim(1)?;
    if v.elem_count() == 0 || half == 0 {
        return Ok(v.transpose(1, 2)?);
    }
    let table = |i: usize| -> Result<Tensor> {
        Ok(gather::rows(&x.at(i)?, &x.raw(3)?)?.reshape((batch, tokens, half))?.contiguous()?)
    };
    let rotated = v.narrow(3, 0, 2 * half)?.contiguous()?;
    let (cos, sin) = (table(1)?, table(2)?);
    let rotated = match op.pairing {
        RopePairing::HalfSplit => candle_nn::rotary_emb::rope(&rotated, &cos, &sin)?,
        RopePairing::Interleaved => candle_nn::rotary_emb::rope_i(&rotated, &cos, &sin)?,
    };
    let rest = v.narrow(3, 2 * half, dim - 2 * half)?;
    Ok(Tensor::cat(&[&rotated, &rest], 3)?.transpose(1, 2)?)
}
