//! Programs: lists of operations over numbered storage slots.
//!
//! A program is a value. It names no buffer and no device, so it can be compared, hashed (plans
//! are cached by it), lowered and compiled for any backend; buffers join at submission through
//! [`Bindings`](crate::Bindings). What changes from step to step (token ids, positions, the length
//! of a cache) is data in bound buffers, never a constant of the program: a decode loop compiles
//! once.

use std::sync::Arc;

use crate::desc::TensorDesc;
use crate::error::{Error, Result};
use crate::op::{Op, OpDesc};

/// Number of a slot within its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(pub u32);

impl SlotId {
    /// As an index into [`Program::slots`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a slot's storage comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SlotKind {
    /// Bound at submission; the program only reads it.
    Input,
    /// Bound at submission; the program writes it and may read back what it wrote.
    Output,
    /// Bound at submission; the program reads and updates what was there (a KV cache).
    State,
    /// Provided by the plan; content does not outlive a submission.
    Temporary,
    /// Provided by the plan with these bytes.
    Constant(Arc<[u8]>),
}

impl SlotKind {
    /// Whether a buffer is bound to it at submission.
    pub fn is_bound(&self) -> bool {
        matches!(self, SlotKind::Input | SlotKind::Output | SlotKind::State)
    }

    fn is_writable(&self) -> bool {
        matches!(self, SlotKind::Output | SlotKind::State | SlotKind::Temporary)
    }
}

/// A piece of storage that a program uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Where it comes from.
    pub kind: SlotKind,
    /// Its size; a bound buffer has at least as many bytes.
    pub bytes: u64,
}

/// A tensor operand of a step: a layout over a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operand {
    /// The storage.
    pub slot: SlotId,
    /// Position of the first element within the slot, in elements.
    pub offset: usize,
    /// Element type, shape and strides.
    pub desc: TensorDesc,
}

impl Operand {
    /// Another layout over the same storage and offset.
    #[must_use]
    pub fn with_desc(mut self, desc: TensorDesc) -> Operand {
        self.desc = desc;
        self
    }

    /// First byte, and the byte after the last one, within the slot.
    pub fn byte_range(&self) -> std::ops::Range<u64> {
        let dtype = self.desc.dtype;
        let start = self.offset as u64 / dtype.block_elements() as u64 * dtype.block_bytes() as u64;
        start..start + self.desc.span_bytes()
    }
}

/// Which kernel serves a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum KernelChoice {
    /// The backend's selector decides.
    #[default]
    Auto,
    /// The candidate of this name (see [`Backend::kernels`](crate::Backend::kernels)); compiling
    /// fails if it cannot serve the step. The conformance suite runs every candidate this way.
    Named(Arc<str>),
    /// The decomposition into primitives, even where a composite kernel exists.
    Decompose,
}

/// One operation of a program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// The operation.
    pub op: Op,
    /// Inputs in the operation's order.
    pub inputs: Vec<Operand>,
    /// Outputs in the operation's order.
    pub outputs: Vec<Operand>,
    /// Which kernel serves it.
    pub kernel: KernelChoice,
}

impl Step {
    /// The operation with the descriptors of its operands.
    pub fn desc(&self) -> OpDesc {
        OpDesc {
            op: self.op.clone(),
            inputs: self.inputs.iter().map(|o| o.desc).collect(),
            outputs: self.outputs.iter().map(|o| o.desc).collect(),
        }
    }
}

/// A validated list of steps, run in order as if one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Program {
    slots: Vec<Slot>,
    steps: Vec<Step>,
}

impl Program {
    /// The slots, indexed by [`SlotId`].
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The steps in program order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The slots that a submission binds, in order.
    pub fn bound_slots(&self) -> impl Iterator<Item = (SlotId, &Slot)> {
        let all = self.slots.iter().enumerate();
        all.filter(|(_, s)| s.kind.is_bound()).map(|(i, s)| (SlotId(i as u32), s))
    }
}

/// Builds a [`Program`], checking each step as it is added.
#[derive(Debug, Default)]
pub struct ProgramBuilder {
    program: Program,
    written: Vec<bool>,
}

impl ProgramBuilder {
    /// An empty program.
    pub fn new() -> ProgramBuilder {
        ProgramBuilder::default()
    }

    /// Adds a slot of `bytes` bytes.
    pub fn slot(&mut self, kind: SlotKind, bytes: u64) -> SlotId {
        self.written.push(!matches!(kind, SlotKind::Output | SlotKind::Temporary));
        self.program.slots.push(Slot { kind, bytes });
        SlotId(self.program.slots.len() as u32 - 1)
    }

    /// Adds a slot that just holds `desc`, and the operand over all of it.
    pub fn operand(&mut self, kind: SlotKind, desc: TensorDesc) -> Operand {
        let slot = self.slot(kind, desc.span_bytes());
        Operand { slot, offset: 0, desc }
    }

    /// Adds a step whose kernel the backend selects.
    pub fn push(&mut self, op: Op, inputs: &[Operand], outputs: &[Operand]) -> Result<()> {
        self.push_step(Step { op, inputs: inputs.to_vec(), outputs: outputs.to_vec(), kernel: KernelChoice::Auto })
    }

    /// Adds a step. Fails where operands break the operation's rules, reach outside their slot,
    /// write what is read-only, read what was never written, or where an output overlaps an input.
    pub fn push_step(&mut self, step: Step) -> Result<()> {
        let desc = step.desc();
        desc.validate()?;
        self.check_access(&step).map_err(|e| e.with_op(step.op.name(), desc.operands()))?;
        for out in &step.outputs {
            self.written[out.slot.index()] = true;
        }
        self.program.steps.push(step);
        Ok(())
    }

    /// The finished program.
    pub fn finish(self) -> Program {
        self.program
    }

    fn check_access(&self, step: &Step) -> Result<()> {
        for (i, operand) in step.inputs.iter().chain(&step.outputs).enumerate() {
            let slot = self.slot_of(operand)?;
            let range = operand.byte_range();
            let block = operand.desc.dtype.block_elements();
            if !operand.offset.is_multiple_of(block) {
                let message = format!("operand {i} starts at element {} inside a block of {block}", operand.offset);
                return Err(Error::invalid(message));
            }
            if range.end > slot.bytes {
                return Err(Error::new(
                    crate::ErrorKind::OutOfBounds,
                    format!("operand {i} ends at byte {} of a slot of {} bytes", range.end, slot.bytes),
                ));
            }
        }
        let reads_former = |i: usize| step.op.updates_in_place(i);
        let updated = step.outputs.iter().enumerate().filter(|&(i, _)| reads_former(i)).map(|(_, o)| o);
        for operand in step.inputs.iter().chain(updated) {
            if !self.written[operand.slot.index()] && !operand.desc.is_empty() {
                return Err(Error::invalid(format!("slot {} is read before anything was written", operand.slot.0)));
            }
        }
        for (i, out) in step.outputs.iter().enumerate() {
            if !self.slot_of(out)?.kind.is_writable() {
                return Err(Error::invalid(format!("output {i} writes the read-only slot {}", out.slot.0)));
            }
            let (a, others) = (out.byte_range(), step.inputs.iter().chain(&step.outputs[..i]));
            for other in others.filter(|other| other.slot == out.slot) {
                let b = other.byte_range();
                if a.start < b.end && b.start < a.end {
                    return Err(Error::invalid(format!("output {i} overlaps another operand in slot {}", out.slot.0)));
                }
            }
        }
        Ok(())
    }

    fn slot_of(&self, operand: &Operand) -> Result<&Slot> {
        let slots = &self.program.slots;
        slots.get(operand.slot.index()).ok_or_else(|| Error::invalid(format!("there is no slot {}", operand.slot.0)))
    }
}
