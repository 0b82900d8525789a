//! The one place that decides which kernel serves an operation.
//!
//! `supports`, `kernels` and `compile` all ask [`candidates`], so they cannot disagree. Every
//! kernel that is able to serve an operation is a candidate; the order says which one is fastest.

use std::sync::Arc;

use unisono_core::{DType, Error, ErrorKind, KernelChoice, Op, OpDesc, Reason, Result, TensorDesc};

use crate::blocks::int8::{Level, reads_blocks};
use crate::kernels::{
    KernelFn, attention, block_move, block_rows, choose, conv, elementwise, experts, group_norm, int8, integer, matmul,
    movement, norm, reduce, rope, scan, small, softmax, sort, tiles,
};

/// Rows of `a` up to which reading the other operand in place beats the packed product.
const FEW_ROWS: usize = 8;

/// Steps of k from which tiles of dot products beat the packed product.
const LONG_ENOUGH: usize = 256;

/// The part of a name after the operation, and the kernel.
type Entry = (&'static str, KernelFn);

/// A kernel that can serve an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    variant: &'static str,
    /// The kernel.
    pub(crate) run: KernelFn,
}

impl Candidate {
    /// The name in plans and reports: the operation's name and the kernel's.
    pub(crate) fn name(&self, op: &Op) -> Arc<str> {
        format!("{}.{}", op.name(), self.variant).into()
    }
}

/// Every kernel that can serve the valid operation `desc`, the best first; `int8` says how a device in the mode
/// `int8-activations` multiplies bytes.
pub(crate) fn candidates(desc: &OpDesc, int8: Option<Level>) -> Vec<Candidate> {
    let blocks = desc.inputs.iter().chain(&desc.outputs).any(|d| d.dtype.is_block());
    let list: Vec<Entry> = match &desc.op {
        Op::Copy if blocks && movement::is_block_copy(&desc.inputs[0], &desc.outputs[0]) => {
            vec![("bytes", movement::copy_bytes), ("blocks", block_move::copy)]
        }
        Op::Copy if blocks => vec![("blocks", block_move::copy)],
        Op::GatherRows if blocks => vec![("blocks", block_move::gather_rows)],
        Op::ScatterRows if blocks => vec![("blocks", block_move::scatter_rows)],
        Op::MatMulId => experts(desc, int8),
        op if blocks && !matches!(op, Op::MatMul | Op::Linear(_) | Op::Attention(_)) => Vec::new(),
        Op::Copy if movement::is_block_copy(&desc.inputs[0], &desc.outputs[0]) => {
            vec![("bytes", movement::copy_bytes), ("strided", movement::copy)]
        }
        Op::Copy => vec![("strided", movement::copy)],
        Op::Concat(_) => vec![("parts", movement::concat)],
        Op::GatherRows => vec![("rows", movement::gather_rows)],
        Op::ScatterRows => vec![("rows", movement::scatter_rows)],
        Op::Pad(_) => vec![("fill_and_copy", choose::pad)],
        Op::Fill(_) => vec![("runs", choose::fill)],
        Op::Where => vec![("runs", choose::choose)],
        Op::Compare(_) => vec![("runs", integer::compare)],
        Op::Logical(_) => vec![("runs", integer::logical)],
        Op::Unary(_) if !desc.outputs[0].dtype.is_float() => vec![("integer", integer::unary)],
        Op::Binary(_) if !desc.outputs[0].dtype.is_float() => vec![("integer", integer::binary)],
        Op::Unary(op) if unisono_core::op::UnaryOp::ALL.contains(op) => vec![("blocks", elementwise::unary)],
        Op::Binary(op) if unisono_core::op::BinaryOp::ALL.contains(op) => vec![("blocks", elementwise::binary)],
        Op::Clamp(_) | Op::ScaleShift(_) => vec![("blocks", elementwise::with_parameters)],
        Op::Reduce(_) if !desc.outputs[0].dtype.is_float() => vec![("integers", reduce::reduce_integers)],
        Op::Reduce(r) if unisono_core::op::ReduceOp::ALL.contains(&r.op) => {
            if reduce::has_columns(&desc.inputs[0], r.axis) {
                vec![("columns", reduce::reduce_columns), ("rows", reduce::reduce_rows)]
            } else {
                vec![("rows", reduce::reduce_rows), ("columns", reduce::reduce_columns)]
            }
        }
        Op::ArgReduce(_) if !desc.inputs[0].dtype.is_float() => vec![("integers", reduce::arg_reduce_integers)],
        Op::ArgReduce(_) => vec![("rows", reduce::arg_reduce)],
        Op::CumSum(_) if !desc.outputs[0].dtype.is_float() => vec![("integers", scan::cumsum_integers)],
        Op::CumSum(c) => {
            let mut list: Vec<Entry> = vec![("rows", scan::cumsum_rows), ("columns", scan::cumsum_columns)];
            if reduce::has_columns(&desc.inputs[0], c.axis) {
                list.swap(0, 1);
            }
            list
        }
        Op::TopK(_) => vec![("keys", sort::topk)],
        Op::ArgSort(_) => vec![("keys", sort::argsort)],
        Op::Softmax(_) => vec![("rows", softmax::softmax)],
        Op::RmsNorm(_) | Op::LayerNorm(_) => vec![("rows", norm::norm)],
        Op::GroupNorm(_) => vec![("groups", group_norm::group_norm)],
        Op::L2Norm(_) => vec![("rows", group_norm::l2_norm)],
        Op::Im2Col(_) => {
            let (x, y) = (desc.inputs[0].dtype, desc.outputs[0].dtype);
            let floats = conv::is_float_pair(x, y).then_some(("runs", conv::im2col as KernelFn));
            let bytes = (x == y).then_some(("bytes", conv::im2col_bytes as KernelFn));
            floats.into_iter().chain(bytes).collect()
        }
        Op::Conv1d(_) | Op::Conv2d(_) => vec![("panels", conv::direct)],
        Op::Rope(_) => vec![("heads", rope::rope)],
        Op::RopeWrite(_) => vec![("heads", rope::rope_write)],
        Op::MatMul => products(desc, int8),
        Op::Gated(_) => vec![("blocks", elementwise::gated)],
        Op::Linear(l) if unisono_core::op::Activation::ALL.contains(&l.activation) => products(desc, int8),
        Op::AddRmsNorm(_) => vec![("rows", norm::add_rms_norm)],
        Op::Attention(_) => vec![("tiles", attention::attention)],
        _ => Vec::new(),
    };
    list.into_iter().map(|(variant, run)| Candidate { variant, run }).collect()
}

fn products(desc: &OpDesc, int8: Option<Level>) -> Vec<Entry> {
    let (a, b) = (&desc.inputs[0], &desc.inputs[1]);
    let r = b.rank();
    let m = a.shape[r - 2];
    let unit = |d: &TensorDesc, axis: usize| d.strides[axis] == 1 || d.shape[axis] <= 1;
    let mut list: Vec<Entry> = vec![("gemm", matmul::product)];
    if b.dtype.is_block() || unit(b, r - 2) {
        // Each sum ends with a few additions across lanes, which short ones do not make good.
        list.insert(if a.shape[r - 1] >= LONG_ENOUGH { 0 } else { 1 }, ("tiles", tiles::tiles));
    }
    if b.dtype.is_block() {
        list.insert(if m <= FEW_ROWS / 2 { 0 } else { list.len() }, ("block_rows", block_rows::block_rows));
        if let Some(level) = int8 {
            // To put the codes of a format without code of its own in order takes longer than one row does.
            let at = usize::from(m <= 1 && !reads_blocks(level, b.dtype));
            list.insert(at, ("int8", int8::int8));
        }
        return list;
    }
    if unit(b, r - 1) {
        list.insert(if m <= FEW_ROWS { 0 } else { list.len() }, ("add_rows", small::add_rows));
    }
    if unit(b, r - 2) {
        // Tiles read f32 in place as well, and convert what is not.
        let few = if b.dtype == DType::F32 { 1 } else { FEW_ROWS };
        list.insert(if m <= few { 0 } else { list.len() }, ("dot_rows", small::dot_rows));
    }
    list
}

fn experts(desc: &OpDesc, int8: Option<Level>) -> Vec<Entry> {
    let (b, ids) = (&desc.inputs[1], &desc.inputs[2]);
    let mut list: Vec<Entry> = vec![("gemm", experts::gemm_experts)];
    if b.dtype.is_block() || b.strides[1] == 1 || b.shape[1] <= 1 {
        // Nobody knows how the rows are spread before they run; evenly is the best guess.
        let few = ids.elements() <= FEW_ROWS * b.shape[0];
        list.insert(if few { 0 } else { 1 }, ("dots", experts::dot_experts));
    }
    if let Some(level) = int8.filter(|_| b.dtype.is_block()) {
        // As for products: with hardly more rows than experts each has one.
        let alone = ids.elements() <= b.shape[0] && !reads_blocks(level, b.dtype);
        list.insert(usize::from(alone), ("int8", experts::int8_experts));
    }
    list
}

/// Whether there is a kernel, else why not.
pub(crate) fn native(desc: &OpDesc) -> Result<(), Reason> {
    // A mode adds kernels to operations that have others.
    if candidates(desc, None).is_empty() {
        return Err(Reason::Op(format!("the CPU backend has no kernel for {}", desc.op.name())));
    }
    Ok(())
}

/// The kernel for a step.
pub(crate) fn select(desc: &OpDesc, int8: Option<Level>, choice: &KernelChoice) -> Result<Candidate> {
    let list = candidates(desc, int8);
    let found = match choice {
        KernelChoice::Named(name) => list.iter().find(|c| c.name(&desc.op) == *name),
        KernelChoice::Auto | KernelChoice::Decompose => list.first(),
    };
    found.copied().ok_or_else(|| {
        let names: Vec<_> = list.iter().map(|c| c.name(&desc.op).to_string()).collect();
        let message = match choice {
            KernelChoice::Named(name) => format!("no kernel {name:?} can serve this; available: {}", names.join(", ")),
            _ => "the CPU backend has no kernel for this".to_owned(),
        };
        Error::new(ErrorKind::Unsupported, message).with_op(desc.op.name(), desc.operands())
    })
}
