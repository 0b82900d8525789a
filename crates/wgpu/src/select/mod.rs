//! Which kernels serve an operation, and with what launches.
//!
//! One selector answers every question: `supports`, `kernels` and `compile` all come here. A
//! candidate is admitted by building its launches for operands at offset 0; limits are checked with
//! room for any offset, so admission depends on the operation's description alone. Everything is a
//! pure function of description, capabilities and profile, and is tested without a device.

mod attention;
#[cfg(test)]
mod block_tests;
mod blocks;
mod builder;
mod conv;
mod element;
mod experts;
mod map;
mod matmul;
mod reduce;
mod rope;
mod rounds;
#[cfg(test)]
mod rounds_tests;
mod rows;
mod sort;
#[cfg(test)]
mod suite_tests;
#[cfg(test)]
mod tests;
mod window;

use std::sync::Arc;

use unisono_core::{Error, Op, OpDesc, Operand, Reason, Result, SlotId, Step};

use self::builder::Builder;
use crate::caps::Caps;
use crate::launch::Recipe;

/// The names of all kernels that can serve `desc`, the profile's choice first; why there is none
/// otherwise.
pub(crate) fn candidates(desc: &OpDesc, caps: &Caps) -> Result<Vec<Arc<str>>, Reason> {
    desc.validate().map_err(|e| Reason::Invalid(e.to_string()))?;
    let step = step_of(desc);
    let mut refusal = None;
    let mut admitted = Vec::new();
    for name in names(desc, caps) {
        match build(&step, name, caps) {
            Ok(_) => admitted.push(Arc::from(name)),
            Err(reason) => {
                refusal.get_or_insert(reason);
            }
        }
    }
    if admitted.is_empty() {
        return Err(refusal.unwrap_or_else(|| Reason::Op(format!("there is no kernel for {}", desc.op.name()))));
    }
    Ok(admitted)
}

/// The operation as a step over operands at offset 0.
pub(crate) fn step_of(desc: &OpDesc) -> Step {
    let operands = |descs: &[unisono_core::TensorDesc]| {
        descs.iter().map(|&desc| Operand { slot: SlotId(0), offset: 0, desc }).collect()
    };
    Step {
        op: desc.op.clone(),
        inputs: operands(&desc.inputs),
        outputs: operands(&desc.outputs),
        kernel: unisono_core::KernelChoice::Auto,
    }
}

/// The launches of a step, by the candidate called `name` or by the first one.
pub(crate) fn recipe(step: &Step, name: Option<&str>, caps: &Caps) -> Result<Recipe> {
    let desc = step.desc();
    let list = candidates(&desc, caps).map_err(|reason| reason.into_error(&desc))?;
    let name = match name {
        None => Arc::clone(&list[0]),
        Some(name) => list.iter().find(|c| ***c == *name).map(Arc::clone).ok_or_else(|| {
            Error::new(
                unisono_core::ErrorKind::Unsupported,
                format!("kernel {name} cannot serve this; candidates are {}", list.join(", ")),
            )
            .with_op(desc.op.name(), desc.operands())
        })?,
    };
    let builder = build(step, &name, caps).map_err(|reason| reason.into_error(&desc))?;
    Ok(Recipe { name, launches: builder.launches, scratch: builder.scratch })
}

/// Kernel names to try, the preferred first.
fn names(desc: &OpDesc, caps: &Caps) -> Vec<&'static str> {
    match &desc.op {
        Op::Copy => match (desc.inputs[0].dtype.is_block(), desc.outputs[0].dtype.is_block()) {
            (true, false) => vec!["dequantise"],
            (false, true) => vec!["quantise"],
            _ => vec!["copy"],
        },
        Op::Concat(_) => vec!["concat"],
        Op::GatherRows if desc.inputs[0].dtype.is_block() => vec!["dequantise_rows"],
        Op::GatherRows => vec!["gather_rows"],
        Op::ScatterRows if desc.inputs[0].dtype != desc.outputs[0].dtype && desc.outputs[0].dtype.is_block() => {
            vec!["quantise_rows"]
        }
        Op::ScatterRows => vec!["scatter_rows"],
        Op::Pad(_) => vec!["pad"],
        Op::Fill(_) => vec!["fill"],
        Op::Unary(op) => vec![element::unary_name(*op, desc.outputs[0].dtype)],
        Op::Binary(op) => vec![element::binary_name(*op, desc.outputs[0].dtype)],
        Op::Compare(_) | Op::Logical(_) => vec!["compare"],
        Op::Where => vec!["where"],
        Op::Clamp(_) | Op::ScaleShift(_) => vec!["function"],
        Op::Gated(gate) => vec![gate.name()],
        Op::MatMul | Op::Linear(_) => matmul::names(desc, caps),
        Op::MatMulId => experts::names(desc, caps),
        Op::Reduce(op) => reduce::reduce_names(desc, op.axis, caps),
        Op::ArgReduce(op) => reduce::arg_names(desc, op.axis, caps),
        Op::CumSum(op) => reduce::cumsum_names(desc, op.axis),
        Op::TopK(op) => sort::topk_names(desc, op),
        Op::ArgSort(_) => sort::argsort_names(desc),
        Op::GroupNorm(_) => vec!["group_norm"],
        Op::L2Norm(_) => vec!["l2_norm"],
        Op::Im2Col(_) => vec!["im2col"],
        Op::Conv1d(_) | Op::Conv2d(_) => vec!["conv_direct"],
        Op::Softmax(_) => rows::softmax_names(caps),
        Op::RmsNorm(_) => rows::rms_norm_names(caps),
        Op::LayerNorm(_) => rows::layer_norm_names(caps),
        Op::AddRmsNorm(_) => rows::add_rms_norm_names(caps),
        Op::Rope(_) => vec!["rope"],
        Op::RopeWrite(_) => vec!["rope_write"],
        Op::Attention(op) => attention::names(desc, op, caps),
        _ => vec![],
    }
}

/// Whether an operand is in a block format.
fn in_blocks(step: &Step) -> bool {
    step.inputs.iter().chain(&step.outputs).any(|operand| operand.desc.dtype.is_block())
}

fn build<'a>(step: &'a Step, name: &str, caps: &'a Caps) -> Result<Builder<'a>, Reason> {
    let mut b = Builder::new(step, caps);
    if step.outputs.iter().all(|y| y.desc.is_empty()) {
        return Ok(b);
    }
    match &step.op {
        Op::Copy if in_blocks(step) => blocks::copy(&mut b)?,
        Op::Copy => map::copy(&mut b)?,
        Op::Concat(op) => map::concat(&mut b, op)?,
        Op::GatherRows if in_blocks(step) && !step.inputs[0].desc.is_empty() => blocks::gather(&mut b)?,
        Op::GatherRows => map::gather(&mut b)?,
        Op::ScatterRows if step.inputs[0].desc.is_empty() => {}
        Op::ScatterRows if in_blocks(step) => blocks::scatter(&mut b)?,
        Op::ScatterRows => map::scatter(&mut b)?,
        Op::Pad(op) => element::pad(&mut b, op)?,
        Op::Fill(value) => element::fill(&mut b, *value)?,
        Op::Unary(op) => element::unary(&mut b, *op)?,
        Op::Binary(op) => element::binary(&mut b, *op)?,
        Op::Compare(op) => element::compare(&mut b, *op)?,
        Op::Logical(op) => element::logical(&mut b, *op)?,
        Op::Where => element::choose(&mut b)?,
        Op::Clamp(op) => element::clamp(&mut b, op)?,
        Op::ScaleShift(op) => element::scale_shift(&mut b, op)?,
        Op::Gated(gate) => element::gated(&mut b, *gate)?,
        Op::MatMul | Op::Linear(_) => matmul::build(&mut b, name)?,
        Op::MatMulId => experts::build(&mut b, name)?,
        Op::Reduce(op) => reduce::reduce(&mut b, name, op)?,
        Op::ArgReduce(op) => reduce::arg_reduce(&mut b, name, op)?,
        Op::CumSum(op) => reduce::cumsum(&mut b, name, op)?,
        Op::TopK(op) => sort::topk(&mut b, name, op)?,
        Op::ArgSort(op) => sort::argsort(&mut b, name, op)?,
        Op::GroupNorm(op) => conv::group_norm(&mut b, op)?,
        Op::L2Norm(op) => rows::l2_norm(&mut b, op)?,
        Op::Im2Col(op) => conv::im2col(&mut b, op)?,
        Op::Conv1d(op) => conv::direct(&mut b, &op.as_2d())?,
        Op::Conv2d(op) => conv::direct(&mut b, op)?,
        Op::Softmax(op) => rows::softmax(&mut b, name, op)?,
        Op::RmsNorm(op) => rows::rms_norm(&mut b, name, op)?,
        Op::LayerNorm(op) => rows::layer_norm(&mut b, name, op)?,
        Op::AddRmsNorm(op) => rows::add_rms_norm(&mut b, name, op)?,
        Op::Rope(op) => rope::rope(&mut b, op.pairing)?,
        Op::RopeWrite(_) if step.inputs[0].desc.is_empty() => {}
        Op::RopeWrite(op) => rope::rope_write(&mut b, op.pairing)?,
        Op::Attention(op) => attention::build(&mut b, name, op)?,
        _ => return Err(Reason::Op(format!("there is no kernel {name} for {}", step.op.name()))),
    }
    Ok(b)
}
