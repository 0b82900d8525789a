//! Unisono's side: the operation captured once for each copy of its weights, replayed into tensors
//! that stay where they are.

use anyhow::{Context, Result};
use unisono::op::{RopePairing, UnaryOp};
use unisono::{AttentionOptions, Captured, DType, Device, Tensor, TensorDesc};

use crate::data::{Data, EPS, rope_tables};
use crate::measure::{Entry, Runner};
use crate::row::{Function, Norm, Row, Work};

struct Ours {
    copies: Vec<Captured>,
    at: usize,
    input: Tensor,
    output: Tensor,
}

impl Runner for Ours {
    fn run(&mut self, iterations: usize) -> Result<()> {
        for _ in 0..iterations {
            self.at = (self.at + 1) % self.copies.len();
            self.copies[self.at].run_into(&[&self.input], &[&self.output])?;
        }
        // Reading one element waits for everything before it.
        let first = self.output.reshape(&[self.output.desc().elements()])?.slice(0, 0..1)?;
        first.read().wait()?;
        Ok(())
    }

    fn output(&mut self) -> Result<Option<Vec<f32>>> {
        Ok(Some(self.output.to_vec::<f32>()?))
    }
}

/// Unisono on `device`; the variant is the kernel that serves the row.
pub(crate) fn prepare(row: &Row, data: &Data, device: &Device) -> Result<Entry> {
    let stored = |dtype: DType, bytes: &[u8], shape: &[usize]| device.tensor_from_bytes(dtype, bytes, shape);
    let input = device.tensor(&data.x, &input_shape(&row.work))?;
    let mut copies = Vec::new();
    let mut output = None;
    for _ in 0..row.copies() {
        let desc = TensorDesc::contiguous(DType::F32, input.shape())?;
        let captured = match row.work {
            Work::Product { dtype, n, k, .. } => {
                let weight = stored(dtype, &data.weight, &[n, k])?;
                capture(device, desc, |x| x.matmul_t(&weight))?
            }
            Work::Attention { dtype, kv_heads, kv, dim, causal, .. } => {
                let keys = stored(dtype, &data.weight, &[1, kv_heads, kv, dim])?;
                let values = stored(dtype, &data.values, &[1, kv_heads, kv, dim])?;
                let options = AttentionOptions { causal, ..AttentionOptions::default() };
                capture(device, desc, |q| q.attention(&keys, &values, options))?
            }
            Work::Norm { norm: Norm::Softmax, .. } => capture(device, desc, |x| x.softmax(1.0, None, None))?,
            Work::Norm { norm, shape } => {
                let factor = device.tensor(&data.factor, &[shape[2]])?;
                let bias = device.tensor(&data.bias, &[shape[2]])?;
                match norm {
                    Norm::Rms => capture(device, desc, |x| x.rms_norm(&factor, EPS))?,
                    _ => capture(device, desc, |x| x.layer_norm(&factor, &bias, EPS))?,
                }
            }
            Work::Function { function, .. } => {
                let op = match function {
                    Function::Silu => UnaryOp::Silu,
                    Function::GeluErf => UnaryOp::Gelu,
                    Function::GeluTanh => UnaryOp::GeluTanh,
                };
                capture(device, desc, |x| x.unary(op))?
            }
            Work::Rope { tokens, dim, .. } => {
                let [cos, sin] = rope_tables(tokens, dim);
                let cos = device.tensor(&cos, &[tokens, dim / 2])?;
                let sin = device.tensor(&sin, &[tokens, dim / 2])?;
                let positions: Vec<u32> = (0..tokens as u32).collect();
                let positions = device.tensor(&positions, &[1, tokens])?;
                capture(device, desc, |x| x.rope(&cos, &sin, &positions, RopePairing::HalfSplit))?
            }
        };
        output = Some(captured.1);
        copies.push(captured.0);
    }
    let kernels: Vec<String> =
        copies.iter().take(1).flat_map(|c| c.plan().kernel_names()).map(|n| n.to_string()).collect();
    let output = device.empty(DType::F32, &output.context("a row has at least one copy")?)?;
    Ok(Entry::new("unisono", kernels.join(", "), Ours { copies, at: 0, input, output }))
}

fn input_shape(work: &Work) -> Vec<usize> {
    match *work {
        Work::Product { m, k, .. } => vec![m, k],
        Work::Attention { heads, tokens, dim, .. } => vec![1, heads, tokens, dim],
        Work::Norm { shape, .. } => shape.to_vec(),
        Work::Function { rows, cols, .. } => vec![rows, cols],
        Work::Rope { tokens, heads, dim } => vec![1, tokens, heads, dim],
    }
}

fn capture(
    device: &Device,
    desc: TensorDesc,
    step: impl FnOnce(&Tensor) -> unisono::Result<Tensor>,
) -> Result<(Captured, Vec<usize>)> {
    let mut shape = Vec::new();
    let captured = device.capture(&[desc], |inputs| {
        let result = step(&inputs[0])?;
        shape = result.shape().to_vec();
        Ok(vec![result])
    })?;
    Ok((captured, shape))
}
