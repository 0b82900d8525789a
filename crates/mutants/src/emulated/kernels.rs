//! Which kernel serves an operation, and the operations that move data.

use unisono_core::OpDesc;
use unisono_core::op::Op;

use super::arithmetic::F;
use super::{Fault, Host, T};

/// Whether [`Host::compute`] knows the operation.
pub(crate) fn has_kernel(op: &Op) -> bool {
    !matches!(op, Op::Pad(_) | Op::Fill(_) | Op::Where | Op::Compare(_) | Op::Logical(_))
}

impl Host {
    pub(crate) fn row_index(&self, index: F, rows: usize) -> Option<usize> {
        let index = index.0;
        if self.has(Fault::ClampIndex) && rows > 0 {
            return Some(index.clamp(0.0, rows as f32 - 1.0) as usize);
        }
        (index >= 0.0 && index < rows as f32).then_some(index as usize)
    }

    /// The outputs of a case, from its inputs and the former content of an output that it updates.
    pub(crate) fn compute(&self, desc: &OpDesc, x: &[T], initial: Option<T>) -> Vec<T> {
        let shape = || desc.outputs[0].shape.to_vec();
        vec![match &desc.op {
            Op::Copy => x[0].like(x[0].x.clone()),
            Op::Concat(op) => {
                let outer: usize = x[0].shape[..op.axis].iter().product();
                let mut y = Vec::new();
                for o in 0..outer {
                    let parts: Vec<&T> =
                        if self.has(Fault::BackwardAxis) { x.iter().rev().collect() } else { x.iter().collect() };
                    for part in parts {
                        let block: usize = part.shape[op.axis..].iter().product();
                        y.extend_from_slice(&part.x[o * block..(o + 1) * block]);
                    }
                }
                T::new(shape(), y)
            }
            Op::GatherRows => {
                let width: usize = x[0].shape[1..].iter().product();
                let y = x[1].x.iter().flat_map(|&i| match self.row_index(i, x[0].shape[0]) {
                    Some(r) => x[0].x[r * width..(r + 1) * width].to_vec(),
                    None => vec![F(0.0); width],
                });
                T::new(shape(), y.collect())
            }
            Op::ScatterRows => {
                let mut dst = initial.expect("scatter_rows has former content");
                let width: usize = x[0].shape[1..].iter().product();
                for (i, &index) in x[1].x.iter().enumerate() {
                    if let Some(r) = self.row_index(index, dst.shape[0]) {
                        dst.x[r * width..(r + 1) * width].copy_from_slice(&x[0].x[i * width..(i + 1) * width]);
                    }
                }
                dst
            }
            Op::Unary(op) => x[0].like(x[0].x.iter().map(|&x| self.unary(*op, x)).collect()),
            Op::Binary(op) => {
                let (a, b) = if self.has(Fault::SwapOperands) { (&x[1], &x[0]) } else { (&x[0], &x[1]) };
                a.like(a.x.iter().zip(&b.x).map(|(&a, &b)| self.binary(*op, a, b)).collect())
            }
            Op::Gated(op) => {
                let (gate, up) = if self.has(Fault::SwapOperands) { (&x[1], &x[0]) } else { (&x[0], &x[1]) };
                gate.like(gate.x.iter().zip(&up.x).map(|(&g, &u)| self.unary(op.unary(), g) * u).collect())
            }
            Op::Clamp(op) => {
                let clamped = |&x: &F| self.smaller(self.larger(x, F(op.min.0)), F(op.max.0));
                x[0].like(x[0].x.iter().map(clamped).collect())
            }
            Op::ScaleShift(op) => x[0].like(x[0].x.iter().map(|&x| x * op.scale.0 + op.shift.0).collect()),
            Op::Reduce(op) => self.reduce(op, &x[0]),
            Op::ArgReduce(op) => self.arg_reduce(op.op, op.axis, &x[0]),
            Op::Softmax(op) => self.softmax_rows(desc, op, x),
            Op::CumSum(op) => self.cumsum(op, &x[0]),
            Op::TopK(op) => return self.topk(op, &x[0]).into(),
            Op::ArgSort(op) => self.argsort(&x[0], op.descending),
            Op::GroupNorm(op) => self.group_norm(op, x),
            Op::L2Norm(op) => self.l2_norm(&x[0], op.eps.0),
            Op::Im2Col(op) => self.im2col(op, &x[0]),
            Op::Conv1d(op) => self.conv1d(op, x),
            Op::Conv2d(op) => self.conv2d(op, x),
            Op::RmsNorm(op) => {
                let ones = x[0].like(vec![F(1.0); x[0].last()]);
                self.rms_norm(&x[0], if op.weight { &x[1] } else { &ones }, op.eps.0)
            }
            Op::LayerNorm(op) => {
                let [ones, zeros] = [1.0, 0.0].map(|c| x[0].like(vec![F(c); x[0].last()]));
                let weight = if op.weight { &x[1] } else { &ones };
                let bias = if op.bias { &x[1 + usize::from(op.weight)] } else { &zeros };
                self.layer_norm(&x[0], weight, bias, op.eps.0)
            }
            Op::AddRmsNorm(op) => {
                let dtype = desc.outputs[0].dtype;
                let stored = |v: F| F(self.arithmetic.store(dtype, v.0));
                let sum = x[0].like(x[0].x.iter().zip(&x[1].x).map(|(&a, &b)| stored(a + b)).collect());
                let y = self.rms_norm(if self.has(Fault::NormOfInput) { &x[0] } else { &sum }, &x[2], op.eps.0);
                return vec![sum, y];
            }
            Op::Rope(op) => self.rope(op.pairing, x),
            Op::RopeWrite(op) => {
                let mut dst = initial.expect("rope_write has former content");
                let rotated = self.rope(op.pairing, x);
                let (size, heads, d) = (dst.shape[1], dst.shape[2], dst.shape[3]);
                for (i, &index) in x[4].x.iter().enumerate() {
                    if let Some(row) = self.row_index(index, dst.shape[0] * size) {
                        let row = if self.has(Fault::WrongRow) { row / size } else { row };
                        let width = heads * d;
                        dst.x[row * width..][..width].copy_from_slice(&rotated.x[i * width..][..width]);
                    }
                }
                dst
            }
            Op::MatMul => self.matmul(&x[0], &x[1]),
            Op::MatMulId => self.matmul_id(&x[0], &x[1], &x[2], shape()),
            Op::Linear(op) => self.linear(op, x),
            Op::Attention(op) => self.attention(desc, op, x),
            other => panic!("no host kernel for {}", other.name()),
        }]
    }
}
