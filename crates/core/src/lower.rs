//! Lowering: composites that a device has no kernel for become primitives.
//!
//! A backend calls [`lower`] first thing in `compile` and [`support`] in `supports`, both with the
//! same question ("is there a kernel for this?"), so the two cannot disagree. A backend with the
//! primitives alone is complete; each composite it adds only makes it faster.

use std::sync::Arc;

use crate::backend::{Reason, Support};
use crate::desc::TensorDesc;
use crate::error::Result;
use crate::op::{Op, OpDesc};
use crate::program::{KernelChoice, Operand, Program, ProgramBuilder, SlotKind, Step};

/// Replaces every composite that `native` declines (or whose step asks for it with
/// [`KernelChoice::Decompose`]) by its decomposition. Slots keep their numbers; temporaries and
/// constants are appended.
pub fn lower(program: &Program, native: &dyn Fn(&OpDesc) -> bool) -> Result<Program> {
    let keep = |step: &Step| {
        !step.op.is_composite()
            || match &step.kernel {
                KernelChoice::Auto => native(&step.desc()),
                KernelChoice::Named(_) => true,
                KernelChoice::Decompose => false,
            }
    };
    if program.steps().iter().all(keep) {
        return Ok(program.clone());
    }
    let mut builder = ProgramBuilder::new();
    for slot in program.slots() {
        builder.slot(slot.kind.clone(), slot.bytes);
    }
    for step in program.steps() {
        if keep(step) {
            builder.push_step(step.clone())?;
        } else {
            step.op.decompose(step, &mut Lowering { builder: &mut builder })?;
        }
    }
    Ok(builder.finish())
}

/// Answers [`Backend::supports`](crate::Backend::supports) from the backend's own selector:
/// native if `native` accepts, composed if every step of the decomposition is accepted,
/// unsupported with the first reason otherwise.
pub fn support(desc: &OpDesc, native: &dyn Fn(&OpDesc) -> Result<(), Reason>) -> Support {
    if let Err(e) = desc.validate() {
        return Support::Unsupported(Reason::Invalid(e.to_string()));
    }
    let refusal = match native(desc) {
        Ok(()) => return Support::Native,
        Err(reason) => reason,
    };
    if !desc.op.is_composite() {
        return Support::Unsupported(refusal);
    }
    match decomposition(desc) {
        Ok(program) => match program.steps().iter().find_map(|s| native(&s.desc()).err()) {
            None => Support::Composed,
            Some(reason) => Support::Unsupported(reason),
        },
        Err(e) => Support::Unsupported(Reason::Invalid(e.to_string())),
    }
}

/// The primitives that a composite stands for, as a program whose inputs and outputs come first.
pub fn decomposition(desc: &OpDesc) -> Result<Program> {
    let mut builder = ProgramBuilder::new();
    let inputs = desc.inputs.iter().map(|&d| builder.operand(SlotKind::Input, d)).collect();
    let kind = |i: usize| if desc.op.updates_in_place(i) { SlotKind::State } else { SlotKind::Output };
    let outputs = desc.outputs.iter().enumerate().map(|(i, &d)| builder.operand(kind(i), d)).collect();
    let step = Step { op: desc.op.clone(), inputs, outputs, kernel: KernelChoice::Auto };
    step.op.decompose(&step, &mut Lowering { builder: &mut builder })?;
    Ok(builder.finish())
}

/// What a decomposition writes its primitives to.
pub(crate) struct Lowering<'a> {
    builder: &'a mut ProgramBuilder,
}

impl Lowering<'_> {
    pub(crate) fn temporary(&mut self, desc: TensorDesc) -> Result<Operand> {
        desc.validate()?;
        Ok(self.builder.operand(SlotKind::Temporary, desc))
    }

    pub(crate) fn constant(&mut self, desc: TensorDesc, bytes: &[u8]) -> Result<Operand> {
        desc.validate()?;
        let slot = self.builder.slot(SlotKind::Constant(Arc::from(bytes)), bytes.len() as u64);
        Ok(Operand { slot, offset: 0, desc })
    }

    pub(crate) fn push(&mut self, op: Op, inputs: &[Operand], outputs: &[Operand]) -> Result<()> {
        self.builder.push(op, inputs, outputs)
    }
}
