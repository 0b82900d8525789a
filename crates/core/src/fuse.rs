//! Fusion: the opposite of lowering. Chains of primitives that an engine wrote out become the
//! composite that the device has a kernel for.
//!
//! Only neighbouring steps are joined, and only where nothing is lost: the value between them is
//! an f32 temporary that nobody else reads (the sum of add + rms_norm may be kept, since that
//! composite stores it). So the result can differ from the unfused one only within the bound of
//! the composite.

use crate::desc::TensorDesc;
use crate::dtype::DType;
use crate::error::Result;
use crate::op::{Activation, AddRmsNorm, BinaryOp, Gate, Linear, Op, OpDesc};
use crate::program::{KernelChoice, Operand, Program, ProgramBuilder, SlotKind, Step};

/// Joins chains into composites that `native` accepts. Slots keep their numbers.
pub fn fuse(program: &Program, native: &dyn Fn(&OpDesc) -> bool) -> Result<Program> {
    let steps = program.steps();
    let fusion = Fusion { program, readers: readers(program) };
    let mut joined: Vec<Step> = Vec::with_capacity(steps.len());
    let mut at = 0;
    while at < steps.len() {
        let rest = &steps[at..];
        let candidates = [fusion.gated(rest), fusion.add_rms_norm(rest), fusion.linear(rest, native)];
        let best = candidates.into_iter().flatten().find(|(step, _)| !overlaps(step) && native(&step.desc()));
        let (step, used) = best.unwrap_or_else(|| (steps[at].clone(), 1));
        joined.push(step);
        at += used;
    }
    if joined.len() == steps.len() {
        return Ok(program.clone());
    }
    let mut builder = ProgramBuilder::new();
    for slot in program.slots() {
        builder.slot(slot.kind.clone(), slot.bytes);
    }
    for step in joined {
        builder.push_step(step)?;
    }
    Ok(builder.finish())
}

/// How many operands read each slot.
fn readers(program: &Program) -> Vec<usize> {
    let mut readers = vec![0; program.slots().len()];
    for operand in program.steps().iter().flat_map(|s| &s.inputs) {
        readers[operand.slot.index()] += 1;
    }
    readers
}

struct Fusion<'a> {
    program: &'a Program,
    readers: Vec<usize>,
}

impl Fusion<'_> {
    /// Whether the output of `step` may vanish: an f32 temporary that is read once.
    fn vanishes(&self, step: &Step) -> bool {
        let out = &step.outputs[0];
        let kind = &self.program.slots()[out.slot.index()].kind;
        *kind == SlotKind::Temporary && out.desc.dtype == DType::F32 && self.readers[out.slot.index()] == 1
    }

    /// An activation, then a product with it.
    fn gated(&self, steps: &[Step]) -> Option<(Step, usize)> {
        let [first, mul, ..] = steps else { return None };
        let gate = Gate::ALL.into_iter().find(|gate| first.op == Op::Unary(gate.unary()))?;
        if mul.op != Op::Binary(BinaryOp::Mul) || !is_auto(&[first, mul]) || !self.vanishes(first) {
            return None;
        }
        let up = other_operand(mul, &first.outputs[0])?;
        Some((step(Op::Gated(gate), vec![first.inputs[0], up], mul.outputs.clone()), 2))
    }

    /// A sum, then its normalisation. The sum is stored by the composite too, so it may be kept.
    fn add_rms_norm(&self, steps: &[Step]) -> Option<(Step, usize)> {
        let [add, norm, ..] = steps else { return None };
        let Op::RmsNorm(rms_norm) = norm.op else { return None };
        if !rms_norm.weight
            || add.op != Op::Binary(BinaryOp::Add)
            || !is_auto(&[add, norm])
            || norm.inputs[0] != add.outputs[0]
        {
            return None;
        }
        let op = Op::AddRmsNorm(AddRmsNorm { eps: rms_norm.eps });
        let inputs = vec![add.inputs[0], add.inputs[1], norm.inputs[1]];
        Some((step(op, inputs, vec![add.outputs[0], norm.outputs[0]]), 2))
    }

    /// A matrix product, then any of bias, activation and residual, in this order: the longest
    /// chain that the device accepts.
    fn linear(&self, steps: &[Step], native: &dyn Fn(&OpDesc) -> bool) -> Option<(Step, usize)> {
        let first = steps.first().filter(|s| s.op == Op::MatMul && is_auto(&[s]))?;
        let mut linear = Linear { bias: false, activation: Activation::None, residual: false };
        let mut extra: Vec<Operand> = Vec::new();
        let mut best = None;
        for (i, next) in steps.iter().enumerate().skip(1) {
            let previous = &steps[i - 1];
            if linear.residual || !self.vanishes(previous) || !is_auto(&[next]) {
                break;
            }
            match &next.op {
                Op::Unary(op) if linear.activation == Activation::None && next.inputs[0] == previous.outputs[0] => {
                    let Some(activation) = Activation::ALL.into_iter().find(|a| a.unary() == Some(*op)) else { break };
                    linear.activation = activation;
                }
                Op::Binary(BinaryOp::Add) => {
                    let Some(other) = other_operand(next, &previous.outputs[0]) else { break };
                    match as_bias(&other) {
                        Some(bias) if extra.is_empty() && linear.activation == Activation::None => {
                            linear.bias = true;
                            extra.push(bias);
                        }
                        _ => {
                            linear.residual = true;
                            extra.push(other);
                        }
                    }
                }
                _ => break,
            }
            let inputs = first.inputs.iter().copied().chain(extra.iter().copied()).collect();
            let candidate = step(Op::Linear(linear), inputs, next.outputs.clone());
            if native(&candidate.desc()) {
                best = Some((candidate, i + 1));
            }
        }
        best
    }
}

fn step(op: Op, inputs: Vec<Operand>, outputs: Vec<Operand>) -> Step {
    Step { op, inputs, outputs, kernel: KernelChoice::Auto }
}

/// Whether an output shares memory with an input, which the chain may do (its last step writes
/// what its first one has read already) and a single step may not.
fn overlaps(step: &Step) -> bool {
    step.outputs.iter().any(|out| {
        let a = out.byte_range();
        step.inputs.iter().filter(|input| input.slot == out.slot).any(|input| {
            let b = input.byte_range();
            a.start < b.end && b.start < a.end
        })
    })
}

fn is_auto(steps: &[&Step]) -> bool {
    steps.iter().all(|s| s.kernel == KernelChoice::Auto)
}

/// The operand of a binary step that is not `this`.
fn other_operand(step: &Step, this: &Operand) -> Option<Operand> {
    let (a, b) = (step.inputs[0], step.inputs[1]);
    if a == *this && b != *this {
        Some(b)
    } else if b == *this && a != *this {
        Some(a)
    } else {
        None
    }
}

/// A vector broadcast over all rows, as the vector itself.
fn as_bias(operand: &Operand) -> Option<Operand> {
    let desc = operand.desc;
    let rank = desc.rank();
    let rows = desc.strides[..rank - 1].iter().zip(&desc.shape[..rank - 1]);
    let is_vector = rows.clone().all(|(&stride, _)| stride == 0) && rows.clone().any(|(_, &size)| size > 1);
    if !is_vector {
        return None;
    }
    let vector = TensorDesc::strided(desc.dtype, &desc.shape[rank - 1..], &desc.strides[rank - 1..]).ok()?;
    Some(operand.with_desc(vector))
}
