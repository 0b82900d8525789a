//! The vocabulary of operations, as data.
//!
//! Backends select kernels from an [`OpDesc`], the conformance suite generates cases from it,
//! benchmarks count its work and plans are cached by it: one description, many readers. Each
//! family has a file with its parameters, the rules that its operands must meet and, for a
//! composite, its decomposition into primitives.
//!
//! Rules that hold for every operation:
//!
//! * Shapes in an `OpDesc` are already broadcast: a broadcast operand has the full shape and
//!   stride 0 along the stretched dimensions.
//! * Every floating-point operand may be `f32`, `f16` or `bf16`, each on its own; arithmetic is
//!   in `f32` (or better) and only the store rounds.
//! * Inputs may overlap each other; an output overlaps nothing, itself included.
//! * Tensors may be empty. An operation whose result would be undefined then (the maximum of
//!   nothing) refuses; every other writes what its formula gives (a sum over nothing is 0).
//! * An index that only the device can see and that is out of range is safe: it reads zero and
//!   writes nothing.
//!
//! # NaN and infinities
//!
//! Operations that only compare, choose or move have one answer for every bit pattern. A shading
//! language may assume that floating-point arithmetic meets no NaN and no infinity, and drivers do
//! assume it, each in its own way; but whether a number is a NaN can be seen in its bits, as an
//! integer, so a kernel needs no promise of the driver. The answers are those of IEEE 754-2019
//! (`maximum`, `minimum`) and those on which NumPy and PyTorch agree for order, index and limits: a
//! NaN is never lost on the way.
//!
//! * Infinities are numbers at the two ends of the order.
//! * `max`, `min`, `maximum` and `minimum` are NaN where any operand is NaN.
//! * `argmax` and `argmin` give the index of the first NaN where there is one.
//! * In a sort a NaN is above +∞, whatever its sign, and all NaNs are equal: they come last in
//!   ascending order, first in descending order, in the order of their indices. So the largest `k`
//!   begin with the NaNs and the smallest `k` end with them.
//! * `neg`, `abs`, `sign`, `relu`, `floor`, `ceil`, `round` and `clamp` leave a NaN a NaN.
//! * `rem` is NaN where an operand is NaN, `a` is infinite or `b` is 0; an infinite `b` leaves `a`.
//! * Comparisons do not hold for a NaN, except `ne`, which does.
//! * Casts have their rules at [`Op::Copy`]. What is moved within one type keeps its bits; beyond
//!   that, which NaN a result is (its sign, its payload) is not said.
//!
//! Arithmetic and functions that are computed by arithmetic (sums, products, exponentials, gates,
//! norms, softmax, attention) promise nothing about an element whose operands have a NaN or an
//! infinity, because WGSL does not, but for the masks that say so. Only that element, or that row, is
//! concerned: a NaN does not reach the others.

mod attention;
mod check;
mod compare;
mod conv;
mod elementwise;
mod experts;
mod fill;
mod gated;
mod linear;
mod movement;
mod norm;
mod reduce;
mod rope;
mod softmax;
mod sort;

use std::fmt;
use std::hash::{Hash, Hasher};

pub use attention::{Attention, AttentionInputs, Visibility};
pub use compare::{CompareOp, LogicalOp};
pub use conv::{Conv1d, Conv2d, Im2Col};
pub use elementwise::{BinaryOp, UnaryOp};
pub use fill::{Pad, Scalar};
pub use gated::{Clamp, Gate, ScaleShift};
pub use linear::{Activation, Linear};
pub use movement::Concat;
pub use norm::{AddRmsNorm, GroupNorm, L2Norm, LayerNorm, RmsNorm};
pub use reduce::{ArgOp, ArgReduce, CumSum, Reduce, ReduceOp};
pub use rope::{Rope, RopePairing, RopeWrite};
pub use softmax::{Softmax, SoftmaxInputs};
pub use sort::{ArgSort, TopK};

use crate::desc::TensorDesc;
use crate::error::Result;
use crate::lower::Lowering;
use crate::program::Step;

/// A real parameter of an operation. Equal and hashed by its bits, so that it can key a plan.
#[derive(Clone, Copy, Debug)]
pub struct Real(pub f32);

impl PartialEq for Real {
    fn eq(&self, other: &Real) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}
impl Eq for Real {}
impl Hash for Real {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}
impl From<f32> for Real {
    fn from(value: f32) -> Real {
        Real(value)
    }
}

/// An operation with its parameters. Operands are listed as `inputs -> outputs`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Op {
    /// `x -> y`: copy with cast between any two plain types. Same shape; any strides. Elements of
    /// one type move bit for bit. The rules of a cast, all exact:
    ///
    /// * float to float rounds to nearest even; over the target's range the result is infinite, NaN
    ///   stays NaN, and a subnormal number may become 0;
    /// * float to integer truncates toward zero and saturates; NaN becomes 0;
    /// * integer to integer keeps the low bits (it wraps), after extension by the source's sign;
    /// * integer to float rounds once, to nearest even; over the target's range it is infinite;
    /// * anything to `bool` is 1 where it is not zero (subnormal numbers and NaN are not), else 0;
    ///   `bool` to a number gives 0 or 1.
    ///
    /// Block formats: a float becomes blocks ([`DType::is_quantisable`](crate::DType::is_quantisable);
    /// along the block axis of `y`, whatever the layout of `x`), blocks become a float, and blocks
    /// of one format are copied byte by byte where both block axes agree. Decoding is exact up to
    /// the rounding of the store. Quantising follows `docs/quantisation.md`; since a device may
    /// round a tie either way, what counts is the decoded value: within half a step of `x`, as
    /// `docs/numerics.md` bounds it per format. Between two block formats go through a float.
    Copy,
    /// `x₀ … xₙ -> y`: join along an axis.
    Concat(Concat),
    /// `table [rows, width…], indices -> y [indices…, width…]`: `y[i] = table[indices[i]]`, zero
    /// where the index is out of range. `table` and `y` share a dtype or are both floats, or
    /// `table` is in a block format (blocks within the rows) and `y` is a float.
    GatherRows,
    /// `src [n, width…], indices [n] -> dst [rows, width…]` (updated in place):
    /// `dst[indices[i]] = src[i]`; rows that no index names keep their content, an index out of
    /// range writes nothing. Indices must be distinct. `src` and `dst` share a dtype or are both
    /// floats.
    ScatterRows,
    /// `x -> y`: a border of one value around a tensor.
    Pad(Pad),
    /// `-> y`: every element becomes the value, by the rules of [`Copy`](Self::Copy). Any plain
    /// type, any strides; exact.
    Fill(Scalar),
    /// `x -> y`: a function of each element.
    Unary(UnaryOp),
    /// `a, b -> y`: a function of each pair of elements.
    Binary(BinaryOp),
    /// `a, b -> y: bool`: a comparison of each pair of elements.
    Compare(CompareOp),
    /// `a, b -> y`: a function of each pair of truth values.
    Logical(LogicalOp),
    /// `condition: bool, a, b -> y`: `a` where the condition is not 0, else `b`. All shapes are
    /// equal (a broadcast operand has stride 0); `a`, `b` and `y` have one plain type and move bit
    /// for bit, or are floats, each of its own type, and convert as in [`Copy`](Self::Copy). The
    /// element that is not chosen does not matter. Exact.
    Where,
    /// `x -> y`: limits each element to an interval.
    Clamp(Clamp),
    /// `x -> y`: a linear function of each element.
    ScaleShift(ScaleShift),
    /// `x -> y`: sum, mean, max, min or product over one axis, which stays with size 1.
    Reduce(Reduce),
    /// `x -> y: u32`: index of the largest or smallest element along one axis, which stays with
    /// size 1.
    ArgReduce(ArgReduce),
    /// `x -> y`: running sums along one axis.
    CumSum(CumSum),
    /// `x -> values, indices: u32`: the `k` largest or smallest elements of the last dimension.
    TopK(TopK),
    /// `x -> y: u32`: the indices that sort the last dimension.
    ArgSort(ArgSort),
    /// `x [mask] [limits] [sinks] -> y`: softmax or log_softmax over the last dimension.
    Softmax(Softmax),
    /// `x [weight] -> y`: root-mean-square normalisation over the last dimension.
    RmsNorm(RmsNorm),
    /// `x [weight] [bias] -> y`: layer normalisation over the last dimension.
    LayerNorm(LayerNorm),
    /// `x [weight] [bias] -> y`: normalisation over groups of channels.
    GroupNorm(GroupNorm),
    /// `x -> y`: rows divided by their Euclidean length.
    L2Norm(L2Norm),
    /// `x -> y`: the windows of an image as columns of a matrix.
    Im2Col(Im2Col),
    /// `x, cos, sin, positions -> y`: rotary position embedding.
    Rope(Rope),
    /// `a [batch…, m, k], b [batch…, k, n] -> y [batch…, m, n]`: matrix product
    /// `y = Σₖ a·b` with `f32` accumulation. Any strides: a transposed operand is a view.
    /// With `k = 0` the result is 0.
    ///
    /// `b` may be in any block format with its blocks along `k`: a weight stored `[n, k]`, seen
    /// transposed. Its elements count as decoded, and the arithmetic is in `f32`: the error is
    /// within γ_{K+2}·(|A|·|B|).
    MatMul,
    /// `a [tokens, used, k], b [experts, k, n], ids [tokens, used] -> y [tokens, used, n]`: the
    /// products of a mixture of experts (Shazeer et al. 2017), `y[t, u] = a[t, u]·b[ids[t, u]]`
    /// with `f32` accumulation. Where all experts of a token see one row, `a` has stride 0 along
    /// `used`. `b` is any float or any block format with its blocks along `k` (usually the
    /// transposed view of `[experts, n, k]`); `ids` is `u32` or `i32`, and one out of range gives
    /// zeros. With `k = 0` the result is 0. Error: as [`MatMul`](Self::MatMul).
    MatMulId,
    /// Composite `gate, up -> y`: an activation of one input times the other.
    Gated(Gate),
    /// Composite `a, b [bias] [residual] -> y`: matrix product, bias, activation, residual.
    Linear(Linear),
    /// Composite `x, residual, weight -> sum, y`: `sum = x + residual` (as stored),
    /// `y = rms_norm(sum, weight)`.
    AddRmsNorm(AddRmsNorm),
    /// Composite `x, weight [bias] -> y`: convolution of sequences.
    Conv1d(Conv1d),
    /// Composite `x, weight [bias] -> y`: convolution of images.
    Conv2d(Conv2d),
    /// Composite `q, k, v [mask] [limits] [sinks] [block_table] [sequences] -> y`: scaled
    /// dot-product attention.
    Attention(Attention),
    /// Composite `x, cos, sin, positions, indices -> dst` (updated in place): rotary embedding,
    /// written into the rows of a key cache.
    RopeWrite(RopeWrite),
}

impl Op {
    /// The family's name in case ids, errors and reports, e.g. `matmul`, `rms_norm`, `silu`.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Copy => "copy",
            Op::Concat(_) => "concat",
            Op::GatherRows => "gather_rows",
            Op::ScatterRows => "scatter_rows",
            Op::Pad(_) => "pad",
            Op::Fill(_) => "fill",
            Op::Unary(op) => op.name(),
            Op::Binary(op) => op.name(),
            Op::Compare(op) => op.name(),
            Op::Logical(op) => op.name(),
            Op::Where => "where",
            Op::Clamp(_) => "clamp",
            Op::ScaleShift(_) => "scale_shift",
            Op::Reduce(op) => op.op.name(),
            Op::ArgReduce(op) => op.op.name(),
            Op::CumSum(_) => "cumsum",
            Op::TopK(_) => "topk",
            Op::ArgSort(_) => "argsort",
            Op::Softmax(op) if op.log => "log_softmax",
            Op::Softmax(_) => "softmax",
            Op::RmsNorm(_) => "rms_norm",
            Op::LayerNorm(_) => "layer_norm",
            Op::GroupNorm(_) => "group_norm",
            Op::L2Norm(_) => "l2_norm",
            Op::Im2Col(_) => "im2col",
            Op::Conv1d(_) => "conv1d",
            Op::Conv2d(_) => "conv2d",
            Op::Rope(_) => "rope",
            Op::MatMul => "matmul",
            Op::MatMulId => "matmul_id",
            Op::Gated(gate) => gate.name(),
            Op::Linear(_) => "linear",
            Op::AddRmsNorm(_) => "add_rms_norm",
            Op::Attention(_) => "attention",
            Op::RopeWrite(_) => "rope_write",
        }
    }

    /// Whether the operation has a decomposition into primitives.
    pub fn is_composite(&self) -> bool {
        matches!(
            self,
            Op::Gated(_)
                | Op::Linear(_)
                | Op::AddRmsNorm(_)
                | Op::Attention(_)
                | Op::Conv1d(_)
                | Op::Conv2d(_)
                | Op::RopeWrite(_)
        )
    }

    /// Whether output `index` is updated in place: what the operation does not write keeps its
    /// former content.
    pub fn updates_in_place(&self, index: usize) -> bool {
        matches!((self, index), (Op::ScatterRows | Op::RopeWrite(_), 0))
    }

    /// The names of the operands, inputs first, as in the errors and the documentation.
    pub fn operand_names(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let some = |flag: bool, name: &'static str| flag.then_some(name);
        match self {
            Op::Copy | Op::Unary(_) => (vec!["x"], vec!["y"]),
            Op::Reduce(_) | Op::ArgReduce(_) | Op::CumSum(_) | Op::ArgSort(_) | Op::L2Norm(_) | Op::Im2Col(_) => {
                (vec!["x"], vec!["y"])
            }
            Op::Pad(_) | Op::Clamp(_) | Op::ScaleShift(_) => (vec!["x"], vec!["y"]),
            Op::Fill(_) => (vec![], vec!["y"]),
            Op::TopK(_) => (vec!["x"], vec!["values", "indices"]),
            Op::Concat(c) => (vec!["x"; c.inputs], vec!["y"]),
            Op::GatherRows => (vec!["table", "indices"], vec!["y"]),
            Op::ScatterRows => (vec!["src", "indices"], vec!["dst"]),
            Op::Binary(_) | Op::Compare(_) | Op::Logical(_) => (vec!["a", "b"], vec!["y"]),
            Op::Where => (vec!["condition", "a", "b"], vec!["y"]),
            Op::Softmax(s) => (
                std::iter::once("x")
                    .chain(some(s.mask, "mask"))
                    .chain(some(s.limits, "limits"))
                    .chain(some(s.sinks, "sinks"))
                    .collect(),
                vec!["y"],
            ),
            Op::RmsNorm(n) => (std::iter::once("x").chain(some(n.weight, "weight")).collect(), vec!["y"]),
            Op::LayerNorm(LayerNorm { weight, bias, .. }) | Op::GroupNorm(GroupNorm { weight, bias, .. }) => {
                (std::iter::once("x").chain(some(*weight, "weight")).chain(some(*bias, "bias")).collect(), vec!["y"])
            }
            Op::Conv1d(Conv1d { bias, .. }) | Op::Conv2d(Conv2d { bias, .. }) => {
                (["x", "weight"].into_iter().chain(some(*bias, "bias")).collect(), vec!["y"])
            }
            Op::Rope(_) => (vec!["x", "cos", "sin", "positions"], vec!["y"]),
            Op::RopeWrite(_) => (vec!["x", "cos", "sin", "positions", "indices"], vec!["dst"]),
            Op::MatMul => (vec!["a", "b"], vec!["y"]),
            Op::MatMulId => (vec!["a", "b", "ids"], vec!["y"]),
            Op::Gated(_) => (vec!["gate", "up"], vec!["y"]),
            Op::Linear(l) => (
                ["a", "b"].into_iter().chain(some(l.bias, "bias")).chain(some(l.residual, "residual")).collect(),
                vec!["y"],
            ),
            Op::AddRmsNorm(_) => (vec!["x", "residual", "weight"], vec!["sum", "y"]),
            Op::Attention(a) => (
                ["q", "k", "v"]
                    .into_iter()
                    .chain(some(a.mask, "mask"))
                    .chain(some(a.visibility == Visibility::Limits, "limits"))
                    .chain(some(a.sinks, "sinks"))
                    .chain(some(a.paged, "block_table"))
                    .chain(some(a.sequences, "sequences"))
                    .collect(),
                vec!["y"],
            ),
        }
    }

    /// Expands a composite step into `lowering`. Called for composites only.
    pub(crate) fn decompose(&self, step: &Step, lowering: &mut Lowering<'_>) -> Result<()> {
        match self {
            Op::Gated(gate) => gate.decompose(step, lowering),
            Op::Linear(op) => op.decompose(step, lowering),
            Op::AddRmsNorm(op) => op.decompose(step, lowering),
            Op::Attention(op) => op.decompose(step, lowering),
            Op::RopeWrite(op) => op.decompose(step, lowering),
            Op::Conv1d(op) => op.decompose(step, lowering),
            Op::Conv2d(op) => op.decompose(step, lowering),
            _ => Err(crate::Error::internal(format!("{} is a primitive and has no decomposition", self.name()))),
        }
    }
}

/// An operation with the descriptors of its operands: everything that selects a kernel.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OpDesc {
    /// The operation.
    pub op: Op,
    /// Inputs in the operation's order.
    pub inputs: Vec<TensorDesc>,
    /// Outputs in the operation's order.
    pub outputs: Vec<TensorDesc>,
}

impl OpDesc {
    /// Checks operand counts, shapes and dtypes; the error names the operation and its operands.
    pub fn new(op: Op, inputs: Vec<TensorDesc>, outputs: Vec<TensorDesc>) -> Result<OpDesc> {
        let desc = OpDesc { op, inputs, outputs };
        desc.validate()?;
        Ok(desc)
    }

    /// Checks operand counts, shapes and dtypes against the operation's rules.
    pub fn validate(&self) -> Result<()> {
        check::operands(self).map_err(|e| e.with_op(self.op.name(), self.operands()))
    }

    /// The operands in words: `a: f32[2, 3], b: f32[3, 4] -> y: f32[2, 4]`.
    pub fn operands(&self) -> String {
        let (ins, outs) = self.op.operand_names();
        let list = |names: &[&str], descs: &[TensorDesc]| {
            let named = descs.iter().enumerate().map(|(i, d)| match names.get(i) {
                Some(name) => format!("{name}: {d}"),
                None => format!("?: {d}"),
            });
            named.collect::<Vec<_>>().join(", ")
        };
        format!("{} -> {}", list(&ins, &self.inputs), list(&outs, &self.outputs))
    }

    /// Floating-point operations of the textbook algorithm (a multiply-add counts as two).
    pub fn flops(&self) -> u64 {
        let out = self.outputs.first().map_or(0, |d| d.elements() as u64);
        let inp = self.inputs.first().map_or(0, |d| d.elements() as u64);
        match &self.op {
            Op::Copy | Op::Concat(_) | Op::GatherRows | Op::ScatterRows | Op::Im2Col(_) => 0,
            Op::Pad(_) | Op::Fill(_) | Op::Where => 0,
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Logical(_) | Op::Clamp(_) => out,
            Op::ScaleShift(_) => 2 * out,
            Op::Reduce(_) | Op::ArgReduce(_) | Op::CumSum(_) => inp,
            Op::TopK(_) | Op::ArgSort(_) => {
                let n = self.inputs[0].shape.last().map_or(0, |&n| n as u64);
                inp * u64::from(n.checked_ilog2().unwrap_or(0) + 1)
            }
            Op::Softmax(_) | Op::RmsNorm(_) => 4 * out,
            Op::LayerNorm(_) | Op::GroupNorm(_) => 7 * out,
            Op::L2Norm(_) => 3 * out,
            Op::Conv1d(_) | Op::Conv2d(_) => 2 * out * self.inputs[1].shape[1..].iter().product::<usize>() as u64,
            Op::Rope(_) | Op::AddRmsNorm(_) => 5 * out,
            Op::MatMul | Op::MatMulId => 2 * out * self.inputs[0].shape.last().map_or(0, |&k| k as u64),
            Op::Gated(_) => 5 * out,
            Op::Linear(_) => out * (2 * self.inputs[0].shape.last().map_or(0, |&k| k as u64) + 2),
            Op::RopeWrite(_) => 5 * inp,
            Op::Attention(op) => {
                let kv = op.kv_len(&self.inputs) as u64;
                2 * inp * kv + 2 * out * kv
            }
        }
    }

    /// Bytes that must move at least once: every operand read or written a single time.
    /// Broadcast dimensions count once; a gather counts only the rows it can touch.
    pub fn bytes(&self) -> u64 {
        let stored =
            |elements: usize, d: &TensorDesc| (elements * d.dtype.block_bytes() / d.dtype.block_elements()) as u64;
        let once = |d: &TensorDesc| {
            let distinct: usize =
                d.shape.iter().zip(d.strides.iter()).filter(|&(_, &s)| s != 0).map(|(&n, _)| n).product();
            if d.is_empty() { 0 } else { stored(distinct, d) }
        };
        match self.op {
            Op::GatherRows => {
                let y = &self.outputs[0];
                stored(y.elements(), &self.inputs[0]) + once(&self.inputs[1]) + once(y)
            }
            Op::ScatterRows => {
                let x = &self.inputs[0];
                once(x) + once(&self.inputs[1]) + stored(x.elements(), &self.outputs[0])
            }
            Op::MatMulId => {
                // No more experts than there are rows of activations.
                let (a, b, ids) = (&self.inputs[0], &self.inputs[1], &self.inputs[2]);
                let touched = b.shape[0].min(ids.elements());
                let one = TensorDesc { shape: b.shape.with(0, 1), ..*b };
                once(a) + touched as u64 * once(&one) + once(ids) + once(&self.outputs[0])
            }
            // Of the tables only the rows at hand.
            Op::Rope(_) | Op::RopeWrite(_) => {
                let (x, table, positions) = (&self.inputs[0], &self.inputs[1], &self.inputs[3]);
                let rows = positions.elements().min(table.shape[0]);
                let tables = 2 * stored(rows * table.shape[1], table);
                let more: u64 = self.inputs[3..].iter().map(once).sum();
                once(x) + tables + more + stored(x.elements(), &self.outputs[0])
            }
            _ => self.inputs.iter().chain(&self.outputs).map(once).sum(),
        }
    }
}

impl fmt::Debug for OpDesc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({})", self.op, self.operands())
    }
}

impl fmt::Display for OpDesc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.op.name(), self.operands())
    }
}
