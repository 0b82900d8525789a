//! The oracle: every operation in f64, naive, written from the contract, on the inputs as stored.
//!
//! It returns a value and an error bound per element. It shares no code with a backend and no
//! cleverness with anyone: each family is the formula of its documentation and a loop. The bounds
//! are derived in `docs/numerics.md`; they hold for a fused kernel and for the decomposition with
//! f32 temporaries.

mod attention;
mod conv;
mod elementwise;
mod erf;
mod integer;
mod linear;
mod modes;
mod movement;
mod norm;
mod quantise;
mod reduce;
mod rope;
mod softmax;
mod sort;
mod wide;

use unisono_core::op::{Op, OpDesc};
use unisono_core::{Error, NumericMode, Result, TensorDesc};

use crate::check::Expected;
use crate::data::{read_integers, read_logical};
pub(crate) use modes::{Modes, concerned};

use integer::Number;

/// An operand in logical row-major order.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    /// As described.
    pub(crate) desc: TensorDesc,
    /// One number per element of the shape.
    pub(crate) values: Vec<f64>,
}

impl Tensor {
    fn read(desc: &TensorDesc, bytes: &[u8]) -> Result<Tensor> {
        let values = read_logical(desc, bytes)
            .ok_or_else(|| Error::invalid(format!("{} bytes are too few for {desc}", bytes.len())))?;
        Ok(Tensor { desc: *desc, values })
    }

    /// Size of the last dimension.
    fn last(&self) -> usize {
        self.desc.shape.last().copied().unwrap_or(1)
    }

    /// Row `i` along the last dimension.
    fn row(&self, i: usize) -> &[f64] {
        let n = self.last();
        &self.values[i * n..(i + 1) * n]
    }

    /// How many rows the last dimension has; 0 for an empty tensor.
    fn rows(&self) -> usize {
        self.values.len().checked_div(self.last()).unwrap_or(0)
    }
}

/// What each output of `desc` must be: the oracle's value and bound for each element, from inputs
/// given as the bytes over the span of each descriptor. `initial` has an entry for each output:
/// the former content of one that is updated in place, `None` for the others.
pub fn evaluate(desc: &OpDesc, inputs: &[Vec<u8>], initial: &[Option<Vec<u8>>]) -> Result<Vec<Expected>> {
    evaluate_with(desc, inputs, initial, Modes::default())
}

/// [`evaluate`] for a device that declares numeric modes.
pub fn evaluate_in_modes(
    desc: &OpDesc,
    inputs: &[Vec<u8>],
    initial: &[Option<Vec<u8>>],
    modes: &[NumericMode],
) -> Result<Vec<Expected>> {
    evaluate_with(desc, inputs, initial, Modes::new(modes))
}

/// The same for a device that declares numeric modes.
pub(crate) fn evaluate_with(
    desc: &OpDesc,
    inputs: &[Vec<u8>],
    initial: &[Option<Vec<u8>>],
    modes: Modes,
) -> Result<Vec<Expected>> {
    desc.validate()?;
    if inputs.len() != desc.inputs.len() {
        return Err(Error::invalid(format!("{} inputs given, {} needed", inputs.len(), desc.inputs.len()))
            .with_op(desc.op.name(), desc.operands()));
    }
    if wide::moves(desc) {
        return wide::evaluate(desc, inputs, initial);
    }
    let x: Vec<Tensor> = desc.inputs.iter().zip(inputs).map(|(d, b)| Tensor::read(d, b)).collect::<Result<_>>()?;
    let out = &desc.outputs[0];
    Ok(match &desc.op {
        Op::Copy if casts_integers(x[0].desc.dtype, out.dtype) => {
            vec![integer::cast(&numbers(&x[0].desc, &inputs[0])?, out)]
        }
        Op::Copy => vec![movement::copy(&x[0], out)],
        Op::Concat(op) => vec![movement::concat(op.axis, &x, out)],
        Op::GatherRows => vec![movement::gather_rows(&x[0], &x[1], out)],
        Op::ScatterRows => {
            let Some(Some(bytes)) = initial.first() else {
                return Err(Error::invalid("scatter_rows needs the former content of dst"));
            };
            vec![movement::scatter_rows(&x[0], &x[1], &Tensor::read(out, bytes)?)]
        }
        Op::Pad(op) => vec![movement::pad(op, &x[0], out)],
        Op::Fill(value) => vec![integer::cast(&vec![Number::from(*value); out.elements()], out)],
        Op::Where => vec![movement::choose(&x, out)],
        Op::Unary(op) if !out.dtype.is_float() => vec![integer::unary(*op, &integers(desc, inputs, 0)?, out)],
        Op::Unary(op) => vec![elementwise::unary(*op, &x[0], out)],
        Op::Binary(op) if !out.dtype.is_float() => {
            vec![integer::binary(*op, &integers(desc, inputs, 0)?, &integers(desc, inputs, 1)?, out)]
        }
        Op::Binary(op) => vec![elementwise::binary(*op, &x[0], &x[1], out)],
        Op::Compare(op) if x[0].desc.dtype.is_float() => {
            vec![integer::compare_floats(*op, &x[0].values, &x[1].values)]
        }
        Op::Compare(op) => vec![integer::compare(*op, &integers(desc, inputs, 0)?, &integers(desc, inputs, 1)?)],
        Op::Logical(op) => vec![integer::logical(*op, &integers(desc, inputs, 0)?, &integers(desc, inputs, 1)?)],
        Op::Clamp(op) => vec![elementwise::clamp(op, &x[0], out)],
        Op::ScaleShift(op) => vec![elementwise::scale_shift(op, &x[0], out)],
        Op::Gated(gate) => vec![elementwise::gated(*gate, &x[0], &x[1], out)],
        Op::Reduce(op) => vec![reduce::reduce(op, &x[0], out)],
        Op::ArgReduce(op) => vec![reduce::arg_reduce(op, &x[0], out)],
        Op::CumSum(op) => vec![reduce::cumsum(op, &x[0], out)],
        Op::TopK(op) => sort::topk(op, &x[0], &desc.outputs),
        Op::ArgSort(op) => vec![sort::argsort(op, &x[0])],
        Op::Softmax(op) => vec![softmax::softmax(op, &x, out)],
        Op::RmsNorm(op) => vec![norm::rms_norm(op.eps, &x[0], x.get(1), out)],
        Op::LayerNorm(op) => {
            let (weight, bias) = norm::vectors(op.weight, op.bias, &x);
            vec![norm::layer_norm(op.eps, &x[0], weight, bias, out)]
        }
        Op::GroupNorm(op) => vec![norm::group_norm(op, &x, out)],
        Op::L2Norm(op) => vec![norm::l2_norm(op.eps, &x[0], out)],
        Op::Im2Col(op) => vec![conv::im2col(op, &x[0], out)],
        Op::Conv1d(op) => vec![conv::conv1d(op, &x, out, modes)],
        Op::Conv2d(op) => vec![conv::conv2d(op, &x, out, modes)],
        Op::AddRmsNorm(op) => norm::add_rms_norm(op.eps, &x, &desc.outputs),
        Op::Rope(op) => vec![rope::rope(op, &x, out)],
        Op::RopeWrite(op) => {
            let Some(Some(bytes)) = initial.first() else {
                return Err(Error::invalid("rope_write needs the former content of dst"));
            };
            vec![rope::rope_write(op, &x, &Tensor::read(out, bytes)?)]
        }
        Op::MatMul => vec![linear::matmul(&x[0], &x[1], out, modes)],
        Op::MatMulId => vec![linear::matmul_id(&x[0], &x[1], &x[2], out, modes)],
        Op::Linear(op) => vec![linear::linear(op, &x, out, modes)],
        Op::Attention(op) => vec![attention::attention(op, &x, out, modes)],
        other => return Err(Error::internal(format!("the oracle does not know {}", other.name()))),
    })
}

/// The exact value of a function of one number.
pub(crate) fn function(op: unisono_core::op::UnaryOp, x: f64) -> f64 {
    elementwise::apply(op, x).value
}

/// Whether a cast between plain types has an integer or a truth value on one side.
fn casts_integers(from: unisono_core::DType, to: unisono_core::DType) -> bool {
    let plain = !from.is_block() && !to.is_block();
    plain && from != to && !(from.is_float() && to.is_float())
}

/// The elements of an input of integers or truth values.
fn integers(desc: &OpDesc, inputs: &[Vec<u8>], i: usize) -> Result<Vec<i64>> {
    let d = &desc.inputs[i];
    read_integers(d, &inputs[i]).ok_or_else(|| Error::invalid(format!("too few bytes for {d}")))
}

/// The elements of a plain tensor as exact numbers.
fn numbers(desc: &TensorDesc, bytes: &[u8]) -> Result<Vec<Number>> {
    if let Some(integers) = read_integers(desc, bytes) {
        return Ok(integers.into_iter().map(Number::Int).collect());
    }
    Ok(Tensor::read(desc, bytes)?.values.into_iter().map(Number::Real).collect())
}
