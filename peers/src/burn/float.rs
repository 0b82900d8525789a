//! Functions of floats, products, normalisations, convolutions and attention.

use anyhow::{Result, bail};
use burn_tensor::ops::{AttentionModuleOptions, ConvOptions, UnfoldOptions};
use burn_tensor::{FloatDType, Tensor, activation, module};
use unisono_core::TensorDesc;
use unisono_core::op::{Attention, Conv1d, Conv2d, GroupNorm, Op, OpDesc, Softmax, UnaryOp};

use super::kinds;
use super::ops::Inputs;
use super::value::{Flat, Shaped, Value};

pub(super) fn unary(op: UnaryOp, x: Tensor<1>) -> Result<Tensor<1>> {
    Ok(match op {
        UnaryOp::Neg => x.neg(),
        UnaryOp::Exp => x.exp(),
        UnaryOp::Rsqrt => x.sqrt().recip(),
        UnaryOp::Tanh => x.tanh(),
        UnaryOp::Sigmoid => activation::sigmoid(x),
        UnaryOp::Silu => activation::silu(x),
        UnaryOp::Gelu => activation::gelu(x),
        UnaryOp::GeluTanh => activation::gelu_approximate(x),
        UnaryOp::Abs => x.abs(),
        UnaryOp::Sign => x.sign(),
        UnaryOp::Square => x.square(),
        UnaryOp::Sqrt => x.sqrt(),
        UnaryOp::Recip => x.recip(),
        UnaryOp::Log => x.log(),
        UnaryOp::Sin => x.sin(),
        UnaryOp::Cos => x.cos(),
        UnaryOp::Erf => x.erf(),
        UnaryOp::Relu => activation::relu(x),
        UnaryOp::GeluQuick => {
            // Composed here and not by the library, so in f32.
            let x = x.cast(FloatDType::F32);
            x.clone().mul(activation::sigmoid(x.mul_scalar(1.702)))
        }
        UnaryOp::Softplus => activation::softplus(x, 1.0),
        UnaryOp::Floor => x.floor(),
        UnaryOp::Ceil => x.ceil(),
        UnaryOp::Round => x.round(),
        _ => bail!("no function {}", op.name()),
    })
}

pub(super) fn compute(desc: &OpDesc, x: &Inputs<'_>) -> Result<Tensor<1>> {
    let y = &desc.outputs[0];
    let shape = |i: usize| &*desc.inputs[i].shape;
    Ok(match &desc.op {
        Op::Clamp(op) => x.float(0)?.clamp(op.min.0, op.max.0),
        Op::ScaleShift(op) => x.float(0)?.mul_scalar(op.scale.0).add_scalar(op.shift.0),
        Op::Softmax(op) => softmax(op, desc, x)?,
        Op::RmsNorm(op) => {
            let (v, n) = rows(x.float(0)?, &desc.inputs[0]);
            let weight = x.float_or(op.weight.then_some(1), n, 1.0)?;
            // As burn-nn composes it: the mean square in f32.
            let dtype = FloatDType::from(v.dtype());
            let mean = v.clone().cast(FloatDType::F32).square().mean_dim(1);
            let rms = mean.add_scalar(op.eps.0).sqrt().cast(dtype);
            v.div(rms).mul(weight.shaped([1, n])).flat()
        }
        Op::LayerNorm(op) => {
            let (v, n) = rows(x.float(0)?, &desc.inputs[0]);
            let weight = x.float_or(op.weight.then_some(1), n, 1.0)?;
            let bias = op.bias.then(|| x.float(1 + usize::from(op.weight))).transpose()?;
            module::layer_norm(v, weight, bias, f64::from(op.eps.0)).flat()
        }
        Op::GroupNorm(op) => group_norm(op, desc, x)?,
        Op::L2Norm(op) => {
            // Composed here and not by the library, so in f32.
            let (v, _) = rows(x.float(0)?.cast(FloatDType::F32), &desc.inputs[0]);
            let length = v.clone().square().sum_dim(1).sqrt().clamp_min(op.eps.0);
            v.div(length).flat()
        }
        Op::Im2Col(op) => {
            let v = x.float(0)?.shaped(four(shape(0)));
            module::unfold4d(v, op.kernel, UnfoldOptions::new(op.stride, op.padding, op.dilation)).flat()
        }
        Op::MatMul => {
            let rank = y.rank();
            let batch = y.shape[..rank - 2].iter().product();
            let [m, n, k] = [y.shape[rank - 2], y.shape[rank - 1], shape(0)[rank - 1]];
            let a: Tensor<3> = x.float(0)?.shaped([batch, m, k]);
            a.matmul(x.float(1)?.shaped([batch, k, n])).flat()
        }
        Op::MatMulId => {
            let [count, k] = [shape(0)[0] * shape(0)[1], shape(0)[2]];
            let [experts, n] = [shape(1)[0], shape(1)[2]];
            let zeros = x.float_or(None, count * k * n, 0.0)?;
            if desc.inputs[1].is_empty() || zeros.dims() == [0] {
                return x.float_or(None, y.elements(), 0.0);
            }
            let chosen = kinds::gather(x.float(1)?, [experts, k * n], x.raw(2)?.int()?, zeros);
            let a: Tensor<3> = x.float(0)?.shaped([count, 1, k]);
            a.matmul(chosen.shaped([count, k, n])).flat()
        }
        Op::Conv1d(op) => conv1d(op, desc, x)?,
        Op::Conv2d(op) => conv2d(op, desc, x)?,
        Op::Attention(op) => attention(op, desc, x)?,
        op => bail!("no operation {}", op.name()),
    })
}

/// A matrix with the last dimension as its rows.
fn rows(x: Tensor<1>, desc: &TensorDesc) -> (Tensor<2>, usize) {
    let n = desc.shape[desc.rank() - 1];
    let count = desc.shape[..desc.rank() - 1].iter().product::<usize>();
    (x.shaped([count, n]), n)
}

fn four(shape: &[usize]) -> [usize; 4] {
    [shape[0], shape[1], shape[2], shape[3]]
}

fn softmax(op: &Softmax, desc: &OpDesc, x: &Inputs<'_>) -> Result<Tensor<1>> {
    let mut z = x.float(0)?;
    if op.scale.0 != 1.0 {
        z = z.mul_scalar(op.scale.0);
    }
    let (z, _) = rows(z, &desc.inputs[0]);
    let y = if op.log { activation::log_softmax(z, 1) } else { activation::softmax(z, 1) };
    Ok(y.flat())
}

/// As burn-nn composes it: f16 is widened for the statistics, bf16 is not.
fn group_norm(op: &GroupNorm, desc: &OpDesc, x: &Inputs<'_>) -> Result<Tensor<1>> {
    let shape = &desc.inputs[0].shape;
    let [batch, channels, inner] = [shape[0], shape[1], shape[2..].iter().product()];
    let size = channels / op.groups * inner;
    let v = x.float(0)?;
    let dtype = FloatDType::from(v.dtype());
    let v = if dtype == FloatDType::F16 { v.cast(FloatDType::F32) } else { v };
    let v: Tensor<3> = v.shaped([batch, op.groups, size]);
    let v = v.clone().sub(v.mean_dim(2));
    let variance = v.clone().square().mean_dim(2);
    let v: Tensor<3> = v.div(variance.add_scalar(op.eps.0).sqrt()).cast(dtype).flat().shaped([batch, channels, inner]);
    let weight = x.float_or(op.weight.then_some(1), channels, 1.0)?.shaped([1, channels, 1]);
    let bias = x.float_or(op.bias.then_some(1 + usize::from(op.weight)), channels, 0.0)?.shaped([1, channels, 1]);
    Ok(v.mul(weight).add(bias).flat())
}

fn conv1d(op: &Conv1d, desc: &OpDesc, x: &Inputs<'_>) -> Result<Tensor<1>> {
    let three = |i: usize| -> [usize; 3] { std::array::from_fn(|j| desc.inputs[i].shape[j]) };
    let options = ConvOptions::new([op.stride], [op.padding], [op.dilation], op.groups);
    let bias = op.bias.then(|| x.float(2)).transpose()?;
    let y = module::conv1d(x.float(0)?.shaped(three(0)), x.float(1)?.shaped(three(1)), bias, options);
    Ok(y.flat())
}

fn conv2d(op: &Conv2d, desc: &OpDesc, x: &Inputs<'_>) -> Result<Tensor<1>> {
    let shape = |i: usize| four(&desc.inputs[i].shape);
    let options = ConvOptions::new(op.stride, op.padding, op.dilation, op.groups);
    let bias = op.bias.then(|| x.float(2)).transpose()?;
    let y = module::conv2d(x.float(0)?.shaped(shape(0)), x.float(1)?.shaped(shape(1)), bias, options);
    Ok(y.flat())
}

/// burn's attention has as many heads of keys as of queries; shared ones are repeated before.
fn attention(op: &Attention, desc: &OpDesc, x: &Inputs<'_>) -> Result<Tensor<1>> {
    let shape = |i: usize| four(&desc.inputs[i].shape);
    let [batch, heads, tokens, _] = shape(0);
    let repeated = |i: usize| -> Result<Tensor<4>> {
        let [b, kv_heads, kv, d] = shape(i);
        let v = x.float(i)?;
        if v.dims() == [0] {
            return Ok(v.shaped([b, heads, kv, d]));
        }
        let v: Tensor<5> = v.shaped([b, kv_heads, 1, kv, d]);
        Ok(v.expand([b, kv_heads, heads / kv_heads, kv, d]).reshape([b, heads, kv, d]))
    };
    let kv = desc.inputs[1].shape[2];
    let (mut mask, mut bias) = (None, None);
    if let Some(i) = op.inputs().mask {
        match x.at(i)? {
            Value::Bool(seen) => mask = Some(seen.bool_not().shaped([batch, heads, tokens, kv])),
            added => bias = Some(added.float()?.shaped([batch, heads, tokens, kv])),
        }
    }
    let options = AttentionModuleOptions {
        scale: Some(f64::from(op.scale.0)),
        softcap: op.softcap.map(|cap| f64::from(cap.0)),
        is_causal: false,
    };
    let y = module::attention(x.float(0)?.shaped(shape(0)), repeated(1)?, repeated(2)?, mask, bias, options);
    Ok(y.flat())
}
