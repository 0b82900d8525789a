//! candle on the CPU, called as its own models call it: `matmul` with the transposed weight,
//! `QMatMul` for block formats, candle-nn's fused functions for the rest. A call makes its result.

use std::borrow::Cow;
use std::sync::Arc;

use anyhow::{Result, bail};
use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor};
use candle_core::{Device, Module, Tensor};
use candle_nn::attention::{AttnMask, flash_attn};
use candle_nn::ops as nn;
use unisono::DType;

use crate::data::{Data, EPS, rope_tables};
use crate::measure::{Entry, Runner};
use crate::row::{Function, Norm, Row, Work};

const CPU: &Device = &Device::Cpu;

type Call = Box<dyn Fn() -> candle_core::Result<Tensor>>;

struct Candle {
    calls: Vec<Call>,
    at: usize,
    last: Option<Tensor>,
}

impl Runner for Candle {
    fn run(&mut self, iterations: usize) -> Result<()> {
        for _ in 0..iterations {
            self.at = (self.at + 1) % self.calls.len();
            self.last = Some(self.calls[self.at]()?);
        }
        Ok(())
    }

    fn output(&mut self) -> Result<Option<Vec<f32>>> {
        let Some(last) = &self.last else { return Ok(None) };
        Ok(Some(last.to_dtype(candle_core::DType::F32)?.flatten_all()?.to_vec1()?))
    }
}

/// candle, in every row.
pub(crate) fn prepare(row: &Row, data: &Data) -> Result<Entry> {
    let mut calls = Vec::new();
    let mut variant = "";
    for _ in 0..row.copies() {
        calls.push(call(&row.work, data)?);
    }
    if let Work::Product { dtype, .. } | Work::Attention { dtype, .. } = row.work {
        variant = match dtype {
            DType::F16 => "f16 activations",
            DType::BF16 => "bf16 activations",
            d if d.is_block() => "QMatMul",
            _ => "",
        };
    }
    Ok(Entry::new("candle", variant, Candle { calls, at: 0, last: None }))
}

fn call(work: &Work, data: &Data) -> Result<Call> {
    let f32s = |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, CPU);
    Ok(match *work {
        Work::Product { dtype, m, n, k } if dtype.is_block() => {
            let storage = QStorage::from_data(Cow::Owned(data.weight.clone()), CPU, blocks(dtype)?)?;
            let weight = QMatMul::from_arc(Arc::new(QTensor::new(storage, (n, k))?))?;
            let x = f32s(&data.x, &[m, k])?;
            Box::new(move || weight.forward(&x))
        }
        Work::Product { dtype, m, n, k } => {
            let weight = Tensor::from_raw_buffer(&data.weight, plain(dtype)?, &[n, k], CPU)?;
            let x = f32s(&data.x, &[m, k])?.to_dtype(plain(dtype)?)?;
            Box::new(move || x.matmul(&weight.t()?))
        }
        Work::Attention { dtype, heads, kv_heads, tokens, kv, dim, causal } => {
            // Tokens come before heads here.
            let side = |x: &Tensor| x.transpose(1, 2)?.contiguous();
            let q = side(&f32s(&data.x, &[1, heads, tokens, dim])?.to_dtype(plain(dtype)?)?)?;
            let cache = |bytes| side(&Tensor::from_raw_buffer(bytes, plain(dtype)?, &[1, kv_heads, kv, dim], CPU)?);
            let (k, v): (Tensor, Tensor) = (cache(&data.weight).map_err(anyhow::Error::from)?, cache(&data.values)?);
            let scale = 1.0 / (dim as f32).sqrt();
            let mask = move || if causal { AttnMask::causal_with_offset(kv - tokens) } else { AttnMask::None };
            match dtype {
                DType::F16 => Box::new(move || flash_attn::<half::f16>(&q, &k, &v, scale, mask(), None, None)),
                _ => Box::new(move || flash_attn::<f32>(&q, &k, &v, scale, mask(), None, None)),
            }
        }
        Work::Norm { norm, shape } => {
            let x = f32s(&data.x, &shape)?;
            if norm == Norm::Softmax {
                return Ok(Box::new(move || nn::softmax_last_dim(&x)));
            }
            let (factor, bias) = (f32s(&data.factor, &[shape[2]])?, f32s(&data.bias, &[shape[2]])?);
            match norm {
                Norm::Rms => Box::new(move || nn::rms_norm(&x, &factor, EPS)),
                _ => Box::new(move || nn::layer_norm(&x, &factor, &bias, EPS)),
            }
        }
        Work::Function { function, rows, cols } => {
            let x = f32s(&data.x, &[rows, cols])?;
            match function {
                Function::Silu => Box::new(move || nn::silu(&x)),
                Function::GeluErf => Box::new(move || x.gelu_erf()),
                Function::GeluTanh => Box::new(move || x.gelu()),
            }
        }
        Work::Rope { tokens, heads, dim } => {
            let x = f32s(&data.x, &[1, tokens, heads, dim])?;
            let [cos, sin] = rope_tables(tokens, dim);
            let (cos, sin) = (f32s(&cos, &[tokens, dim / 2])?, f32s(&sin, &[tokens, dim / 2])?);
            Box::new(move || candle_nn::rotary_emb::rope_thd(&x, &cos, &sin))
        }
    })
}

fn plain(dtype: DType) -> candle_core::Result<candle_core::DType> {
    Ok(match dtype {
        DType::F32 => candle_core::DType::F32,
        DType::F16 => candle_core::DType::F16,
        DType::BF16 => candle_core::DType::BF16,
        other => candle_core::bail!("no plain type {other}"),
    })
}

fn blocks(dtype: DType) -> Result<GgmlDType> {
    Ok(match dtype {
        DType::Q4_0 => GgmlDType::Q4_0,
        DType::Q8_0 => GgmlDType::Q8_0,
        DType::Q4K => GgmlDType::Q4K,
        DType::Q6K => GgmlDType::Q6K,
        other => bail!("no block format {other}"),
    })
}
