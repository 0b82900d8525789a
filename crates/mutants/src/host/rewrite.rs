//! Faults as other programs: what a backend with the mistake would have computed.

use unisono_core::op::{ArgOp, BinaryOp, CompareOp, LogicalOp, Op, Real, ReduceOp, RopePairing, UnaryOp, Visibility};
use unisono_core::{KernelChoice, Operand, Program, ProgramBuilder, Result, SlotId, Step, TensorDesc};

/// A step that is not the one that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// A product adds one term too few.
    MatMulDropsLastK,
    /// A product with epilogue adds one term too few.
    LinearDropsLastK,
    /// The first operand is read as if it were contiguous.
    IgnoresStrides,
    /// The first operand is read from the start of its buffer.
    IgnoresOffset,
    /// The eps of an RMS norm is left out.
    RmsNormWithoutEps,
    /// The eps of a layer norm is left out.
    LayerNormWithoutEps,
    /// The other pairing of a rope.
    RopeOtherPairing,
    /// A causal mask hides nothing.
    CausalSeesAll,
    /// The window of an attention is one key longer.
    WindowOffByOne,
    /// Scores are not capped.
    NoSoftcap,
    /// Scores have twice their scale.
    DoubleScale,
    /// `a − b` is `b − a`.
    SubSwapsOperands,
    /// A mean is a sum.
    MeanIsSum,
    /// A product along an axis is a sum.
    ProdIsSum,
    /// gelu is its approximation by tanh.
    GeluIsTanhGelu,
    /// silu is a sigmoid.
    SiluIsSigmoid,
    /// Rounding goes down.
    RoundIsFloor,
    /// A largest index is a smallest one.
    ArgMaxIsArgMin,
    /// A running sum runs the other way.
    CumSumReversed,
    /// A running sum includes its own element, or not.
    CumSumExclusive,
    /// A sort goes down in place of up.
    SortReversed,
    /// The smallest in place of the largest.
    TopKSmallest,
    /// `<` is `≤`.
    LessIsLessEqual,
    /// and is or.
    AndIsOr,
    /// Gate and up change places.
    GateIsUp,
    /// Both bounds of a clamp are one larger.
    ClampShifted,
}

/// `program` with the fault in every step that it concerns.
pub(super) fn rewrite(fault: Rewrite, program: &Program) -> Result<Program> {
    let mut builder = slots_of(program);
    for step in program.steps() {
        builder.push_step(rewrite_step(fault, step.clone()))?;
    }
    Ok(builder.finish())
}

/// `program` with one kernel for every step.
pub(super) fn with_kernel(program: &Program, kernel: &KernelChoice) -> Result<Program> {
    let mut builder = slots_of(program);
    for step in program.steps() {
        builder.push_step(Step { kernel: kernel.clone(), ..step.clone() })?;
    }
    Ok(builder.finish())
}

/// The slots of `program` again, in a new builder.
fn slots_of(program: &Program) -> ProgramBuilder {
    let mut builder = ProgramBuilder::new();
    for (i, slot) in program.slots().iter().enumerate() {
        let id = builder.slot(slot.kind.clone(), slot.bytes);
        debug_assert_eq!(id, SlotId(i as u32));
    }
    builder
}

/// K of a product one shorter; block formats only have whole blocks.
fn shorten_k(step: &mut Step) {
    if step.inputs[..2].iter().any(|o| o.desc.dtype.is_block()) {
        return;
    }
    let shorten = |operand: &mut Operand, from_end: usize| {
        let axis = operand.desc.rank() - from_end;
        operand.desc.shape[axis] = operand.desc.shape[axis].saturating_sub(1);
    };
    shorten(&mut step.inputs[0], 1);
    shorten(&mut step.inputs[1], 2);
}

fn rewrite_step(fault: Rewrite, mut step: Step) -> Step {
    match (fault, &mut step.op) {
        (Rewrite::MatMulDropsLastK, Op::MatMul) | (Rewrite::LinearDropsLastK, Op::Linear(_)) => shorten_k(&mut step),
        (Rewrite::IgnoresStrides, _) if !step.inputs.is_empty() => {
            let desc = step.inputs[0].desc;
            if let Ok(flat) = TensorDesc::contiguous(desc.dtype, &desc.shape)
                && flat.span_bytes() <= desc.span_bytes()
            {
                step.inputs[0].desc = flat;
            }
        }
        (Rewrite::IgnoresOffset, _) if !step.inputs.is_empty() => step.inputs[0].offset = 0,
        (Rewrite::RmsNormWithoutEps, Op::RmsNorm(norm)) => norm.eps = Real(0.0),
        (Rewrite::LayerNormWithoutEps, Op::LayerNorm(norm)) => norm.eps = Real(0.0),
        (Rewrite::RopeOtherPairing, Op::Rope(rope)) => {
            rope.pairing = match rope.pairing {
                RopePairing::Interleaved => RopePairing::HalfSplit,
                RopePairing::HalfSplit => RopePairing::Interleaved,
            };
        }
        (Rewrite::CausalSeesAll, Op::Attention(a)) if a.visibility == Visibility::Causal => {
            a.visibility = Visibility::All;
        }
        (Rewrite::WindowOffByOne, Op::Attention(a)) => a.window = a.window.map(|w| w + 1),
        (Rewrite::NoSoftcap, Op::Attention(a)) => a.softcap = None,
        (Rewrite::DoubleScale, Op::Attention(a)) => a.scale = Real(2.0 * a.scale.0),
        (Rewrite::SubSwapsOperands, Op::Binary(BinaryOp::Sub)) | (Rewrite::GateIsUp, Op::Gated(_)) => {
            step.inputs.swap(0, 1);
        }
        (Rewrite::MeanIsSum, Op::Reduce(r)) if r.op == ReduceOp::Mean => r.op = ReduceOp::Sum,
        (Rewrite::ProdIsSum, Op::Reduce(r)) if r.op == ReduceOp::Prod => r.op = ReduceOp::Sum,
        (Rewrite::GeluIsTanhGelu, Op::Unary(op)) if *op == UnaryOp::Gelu => *op = UnaryOp::GeluTanh,
        (Rewrite::SiluIsSigmoid, Op::Unary(op)) if *op == UnaryOp::Silu => *op = UnaryOp::Sigmoid,
        (Rewrite::RoundIsFloor, Op::Unary(op)) if *op == UnaryOp::Round => *op = UnaryOp::Floor,
        (Rewrite::ArgMaxIsArgMin, Op::ArgReduce(r)) if r.op == ArgOp::Max => r.op = ArgOp::Min,
        (Rewrite::CumSumReversed, Op::CumSum(c)) => c.reverse = !c.reverse,
        (Rewrite::CumSumExclusive, Op::CumSum(c)) => c.exclusive = !c.exclusive,
        (Rewrite::SortReversed, Op::ArgSort(s)) => s.descending = !s.descending,
        (Rewrite::TopKSmallest, Op::TopK(t)) => t.smallest = !t.smallest,
        (Rewrite::LessIsLessEqual, Op::Compare(op)) if *op == CompareOp::Lt => *op = CompareOp::Le,
        (Rewrite::AndIsOr, Op::Logical(op)) if *op == LogicalOp::And => *op = LogicalOp::Or,
        (Rewrite::ClampShifted, Op::Clamp(c)) => (c.min, c.max) = (Real(c.min.0 + 1.0), Real(c.max.0 + 1.0)),
        _ => {}
    }
    step
}
