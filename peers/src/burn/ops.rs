//! Each operation in burn's terms.

use anyhow::{Context, Result, bail};
use burn_tensor::Tensor;
use unisono_core::op::{BinaryOp, CompareOp, LogicalOp, Op, OpDesc, Pad, ReduceOp, Scalar, UnaryOp};
use unisono_core::{DType, TensorDesc};

use super::float;
use super::kinds::{self, around};
use super::value::{Flat, Shaped, Value, float_type, options};
use crate::frame::{Host, common_float};

/// The inputs of an operation.
pub(super) struct Inputs<'a> {
    hosts: &'a [Host],
    float: DType,
}

impl Inputs<'_> {
    /// Input `i` as stored.
    pub(super) fn raw(&self, i: usize) -> Result<Value> {
        Value::load(self.hosts.get(i).with_context(|| format!("there is no input {i}"))?)
    }

    /// Input `i`; floats in the common type.
    pub(super) fn at(&self, i: usize) -> Result<Value> {
        match self.raw(i)? {
            x @ Value::Float(_) => x.cast(self.float),
            x => Ok(x),
        }
    }

    /// Input `i`, a float in the common type.
    pub(super) fn float(&self, i: usize) -> Result<Tensor<1>> {
        self.at(i)?.float()
    }

    /// Input `i` if there is one, else `n` times `value`.
    pub(super) fn float_or(&self, i: Option<usize>, n: usize, value: f32) -> Result<Tensor<1>> {
        let dtype = float_type(self.float).context("no type to compute in")?;
        i.map_or_else(|| Ok(Tensor::full([n], value, options(dtype))), |i| self.float(i))
    }
}

pub(super) fn run(desc: &OpDesc, hosts: &[Host], former: Option<Host>) -> Result<Vec<Host>> {
    let x = Inputs { hosts, float: common_float(desc) };
    let y = &desc.outputs[0];
    Ok(vec![compute(desc, &x, former)?.store(y.dtype, &y.shape)?])
}

/// Applies a generic function to tensors of one kind, whichever it is.
macro_rules! of_one_kind {
    ($a:expr, $b:expr, ($x:ident, $y:ident) => $body:expr) => {
        match ($a, $b) {
            (Value::Float($x), Value::Float($y)) => Value::Float($body),
            (Value::Int($x), Value::Int($y)) => Value::Int($body),
            (Value::Bool($x), Value::Bool($y)) => Value::Bool($body),
            _ => bail!("operands of different kinds"),
        }
    };
}

fn compute(desc: &OpDesc, x: &Inputs<'_>, former: Option<Host>) -> Result<Value> {
    let y = &desc.outputs[0];
    let shape = |i: usize| &*desc.inputs[i].shape;
    let rows = |d: &TensorDesc| [d.shape[0], d.shape[1..].iter().product()];
    Ok(match &desc.op {
        Op::Copy => x.raw(0)?,
        Op::Concat(op) => {
            let mut joined = None;
            let mut size = 0;
            for i in 0..op.inputs {
                let [a, n, b] = around(shape(i), op.axis);
                let part = x.raw(i)?;
                joined = Some(match joined {
                    None => part,
                    Some(former) => {
                        of_one_kind!(former, part, (f, p) => kinds::join(vec![(f, [a, size, b]), (p, [a, n, b])]))
                    }
                });
                size += n;
            }
            joined.context("nothing to join")?
        }
        Op::GatherRows => {
            let zeros = full(Scalar::Int(0), desc.inputs[0].dtype, y.elements())?;
            if desc.inputs[0].is_empty() || y.is_empty() {
                return Ok(zeros);
            }
            let indices = x.raw(1)?.int()?;
            of_one_kind!(x.raw(0)?, zeros, (t, z) => kinds::gather(t, rows(&desc.inputs[0]), indices, z))
        }
        Op::ScatterRows => {
            let former = Value::load(&former.context("no former content")?)?;
            if desc.inputs[0].is_empty() || y.is_empty() {
                return Ok(former);
            }
            let (src, indices) = (x.raw(0)?.cast(y.dtype)?, x.raw(1)?.int()?);
            of_one_kind!(former, src, (f, s) => kinds::scatter(f, rows(y), indices, s))
        }
        Op::Pad(op) => pad(op, x.raw(0)?, &desc.inputs[0])?,
        Op::Fill(value) => full(*value, y.dtype, y.elements())?,
        Op::Unary(UnaryOp::Not) => Value::Bool(x.raw(0)?.bool()?.bool_not()),
        Op::Unary(op) => match x.at(0)? {
            Value::Float(v) => Value::Float(float::unary(*op, v)?),
            Value::Int(v) => Value::Int(match op {
                UnaryOp::Neg => v.neg(),
                UnaryOp::Abs => v.abs(),
                UnaryOp::Sign => v.sign(),
                UnaryOp::Square => v.square(),
                _ => bail!("no function {} of integers", op.name()),
            }),
            Value::Bool(_) => bail!("no function {} of truth values", op.name()),
        },
        Op::Binary(op) => match (x.at(0)?, x.at(1)?) {
            (Value::Float(a), Value::Float(b)) if *op == BinaryOp::Pow => Value::Float(a.powf(b)),
            (Value::Float(a), Value::Float(b)) => Value::Float(kinds::arithmetic(*op, a, b)?),
            (Value::Int(a), Value::Int(b)) => Value::Int(kinds::arithmetic(*op, a, b)?),
            _ => bail!("operands of different kinds"),
        },
        Op::Compare(op) => Value::Bool(match (x.at(0)?, x.at(1)?) {
            (Value::Float(a), Value::Float(b)) => kinds::compare(*op, a, b)?,
            (Value::Int(a), Value::Int(b)) => kinds::compare(*op, a, b)?,
            (Value::Bool(a), Value::Bool(b)) if *op == CompareOp::Eq => a.equal(b),
            (Value::Bool(a), Value::Bool(b)) => a.not_equal(b),
            _ => bail!("operands of different kinds"),
        }),
        Op::Logical(op) => {
            let (a, b) = (x.raw(0)?.bool()?, x.raw(1)?.bool()?);
            Value::Bool(match op {
                LogicalOp::And => a.bool_and(b),
                LogicalOp::Or => a.bool_or(b),
                LogicalOp::Xor => a.bool_xor(b),
                _ => bail!("no function {}", op.name()),
            })
        }
        Op::Where => {
            let condition = x.raw(0)?.bool()?;
            of_one_kind!(x.raw(1)?.cast(y.dtype)?, x.raw(2)?.cast(y.dtype)?, (a, b) => b.mask_where(condition, a))
        }
        Op::Reduce(op) => {
            let around = around(shape(0), op.axis);
            match x.at(0)? {
                Value::Float(v) => Value::Float(kinds::reduce(op.op, v, around)?),
                Value::Int(v) => Value::Int(kinds::reduce(op.op, v, around)?),
                Value::Bool(v) => Value::Bool(match op.op {
                    ReduceOp::Max => v.shaped(around).any_dim(1).flat(),
                    _ => v.shaped(around).all_dim(1).flat(),
                }),
            }
        }
        Op::ArgReduce(op) => Value::Int(match x.at(0)? {
            Value::Float(v) => kinds::find(op.op, v, around(shape(0), op.axis)),
            Value::Int(v) => kinds::find(op.op, v, around(shape(0), op.axis)),
            Value::Bool(_) => bail!("no order of truth values"),
        }),
        Op::CumSum(op) => match x.at(0)? {
            Value::Float(v) => Value::Float(kinds::running_sum(op, v, around(shape(0), op.axis))),
            Value::Int(v) => Value::Int(kinds::running_sum(op, v, around(shape(0), op.axis))),
            Value::Bool(_) => bail!("no sum of truth values"),
        },
        _ => Value::Float(float::compute(desc, x)?),
    })
}

/// `n` times one number, in the type `dtype` by burn's cast.
fn full(value: Scalar, dtype: DType, n: usize) -> Result<Value> {
    let one = match value {
        Scalar::Real(value) => Value::Float(Tensor::full([n], value.0, options(burn_tensor::DType::F32))),
        Scalar::Int(value) => Value::Int(Tensor::full([n], value, options(burn_tensor::DType::I64))),
    };
    one.cast(dtype)
}

/// A border, dimension by dimension: burn's `pad` takes its value as f32 only.
fn pad(op: &Pad, x: Value, desc: &TensorDesc) -> Result<Value> {
    let mut y = x;
    let mut shape = desc.shape.to_vec();
    for axis in 0..shape.len() {
        let [a, n, b] = around(&shape, axis);
        let (before, after) = (op.before[axis], op.after[axis]);
        if before > 0 {
            let border = full(op.value, desc.dtype, a * before * b)?;
            y = of_one_kind!(border, y, (p, v) => kinds::join(vec![(p, [a, before, b]), (v, [a, n, b])]));
        }
        if after > 0 {
            let border = full(op.value, desc.dtype, a * after * b)?;
            y = of_one_kind!(y, border, (v, p) => kinds::join(vec![(v, [a, before + n, b]), (p, [a, after, b])]));
        }
        shape[axis] = before + n + after;
    }
    Ok(y)
}
