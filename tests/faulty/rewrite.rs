//! Faults as other programs: what a backend with the mistake would have computed.

use unisono_core::op::{BinaryOp, Op, Real, ReduceOp, RmsNorm, Rope, RopePairing, UnaryOp, Visibility};
use unisono_core::{Error, KernelChoice, Operand, Program, Result, Step};

use super::{Fault, slots_of};

/// `program` with the fault in every step that it concerns.
pub(crate) fn rewrite(fault: Fault, program: &Program) -> Result<Program> {
    let mut builder = slots_of(program);
    for step in program.steps() {
        builder.push_step(rewrite_step(fault, step.clone()))?;
    }
    Ok(builder.finish())
}

/// `program` with one kernel for every step.
pub(crate) fn with_kernel(program: &Program, kernel: &KernelChoice) -> Result<Program> {
    let mut builder = slots_of(program);
    for step in program.steps() {
        builder.push_step(Step { kernel: kernel.clone(), ..step.clone() })?;
    }
    Ok::<_, Error>(builder.finish())
}

fn rewrite_step(fault: Fault, mut step: Step) -> Step {
    match (fault, &mut step.op) {
        (Fault::MatMulDropsLastK, Op::MatMul) => {
            let shorten = |operand: &mut Operand, from_end: usize| {
                let axis = operand.desc.rank() - from_end;
                let k = operand.desc.shape[axis];
                operand.desc.shape[axis] = k.saturating_sub(1);
            };
            shorten(&mut step.inputs[0], 1);
            shorten(&mut step.inputs[1], 2);
        }
        (Fault::RmsNormWithoutEps, Op::RmsNorm(norm)) => *norm = RmsNorm { eps: Real(0.0), weight: norm.weight },
        (Fault::RopeOtherPairing, Op::Rope(rope)) => {
            let pairing = match rope.pairing {
                RopePairing::Interleaved => RopePairing::HalfSplit,
                RopePairing::HalfSplit => RopePairing::Interleaved,
            };
            *rope = Rope { pairing };
        }
        (Fault::CausalSeesAll, Op::Attention(attention)) if attention.visibility == Visibility::Causal => {
            attention.visibility = Visibility::All;
        }
        (Fault::SubSwapsOperands, Op::Binary(BinaryOp::Sub)) => step.inputs.swap(0, 1),
        (Fault::MeanIsSum, Op::Reduce(reduce)) if reduce.op == ReduceOp::Mean => reduce.op = ReduceOp::Sum,
        (Fault::GeluIsTanhGelu, Op::Unary(op)) if *op == UnaryOp::Gelu => *op = UnaryOp::GeluTanh,
        _ => {}
    }
    step
}
