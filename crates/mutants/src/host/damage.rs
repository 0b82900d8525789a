//! Faults of memory and order: what happens around a submission that computed correctly.

use std::time::Duration;

use unisono_core::{Bindings, Buffer, Program, Result, SlotKind, TensorDesc};

use super::{Before, Planted, lock};

/// Harm to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The byte after the output changes.
    WritesAfterEnd,
    /// The byte before the output changes.
    WritesBeforeStart,
    /// A byte between strided elements changes.
    WritesIntoGap,
    /// The byte far behind the output changes: an index that wrapped.
    WritesFarAway,
    /// The last element is not written.
    SkipsLastElement,
    /// The first element is not written.
    SkipsFirstElement,
    /// Nothing from element 65,536 on is written.
    SkipsBeyondGrid,
    /// The second half of the elements is not written.
    SkipsSecondHalf,
    /// Rows from the 500th on are zero.
    ZeroFromRow500,
    /// The first byte of the first input changes.
    MutatesInput,
    /// The last byte of the last input changes.
    MutatesLastInput,
    /// Each second submission gives another result.
    SecondRunDiffers,
    /// The first submission gives another result: something was not yet ready.
    FirstRunDiffers,
    /// State is forgotten after each submission.
    ForgetsState,
    /// A write is done after the submission that follows it.
    LateWrites,
    /// Results pass through one staging area that all threads share.
    SharedOutput,
    /// The output is stored without its strides.
    StoresContiguously,
    /// Neighbours change places where the output has an even number of elements.
    SwapsNeighbours,
}

/// Where each element lies, in elements from the start of the span, in logical row-major order.
pub(super) fn element_positions(desc: &TensorDesc) -> Vec<usize> {
    if desc.is_empty() {
        return Vec::new();
    }
    // Blocks are counted in blocks along the last dimension.
    let per_block = desc.dtype.block_elements();
    let mut at = vec![0];
    let rank = desc.rank();
    for (axis, (&size, &stride)) in desc.shape.iter().zip(desc.strides.iter()).enumerate() {
        let (size, stride) = match (per_block, axis + 1 == rank) {
            (1, _) => (size, stride),
            (n, true) => (size / n, 1),
            (n, false) => (size, stride / n),
        };
        at = at.iter().flat_map(|&a| (0..size).map(move |i| a + i * stride)).collect();
    }
    at
}

/// The first element of the span that belongs to no element of the tensor.
fn first_gap(desc: &TensorDesc) -> Option<usize> {
    let mut at = element_positions(desc);
    at.sort_unstable();
    at.iter().enumerate().find(|&(i, &position)| i != position).map(|(i, _)| i)
}

impl Planted {
    /// Overwrites the byte at `at` with its complement.
    fn spoil(&self, buffer: &Buffer, at: u64) -> Result<()> {
        let byte = self.bytes(buffer, at..at + 1)?[0];
        self.inner.write(buffer, at, &[!byte])
    }

    /// What `damage` does after submission number `count`.
    pub(super) fn damage(
        &self,
        damage: Damage,
        program: &Program,
        bindings: &Bindings,
        before: &Before,
        count: u64,
    ) -> Result<()> {
        let Some(step) = program.steps().last() else { return Ok(()) };
        let operand = &step.outputs[0];
        let (desc, range, output) = (&operand.desc, operand.byte_range(), &before.output_buffers[0]);
        if range.is_empty() {
            return Ok(());
        }
        let size = desc.dtype.block_bytes();
        let input = |i: usize| bindings.get(step.inputs[i].slot).map(|buffer| (buffer, step.inputs[i].byte_range()));
        match damage {
            Damage::WritesAfterEnd if range.end < output.bytes() => self.spoil(output, range.end),
            Damage::WritesFarAway if range.end < output.bytes() => self.spoil(output, output.bytes() - 1),
            Damage::WritesBeforeStart if range.start > 0 => self.spoil(output, range.start - 1),
            Damage::WritesIntoGap => match first_gap(desc) {
                Some(gap) => self.spoil(output, range.start + (gap * size) as u64),
                None => Ok(()),
            },
            Damage::SkipsLastElement => self.undo(before, step, |i, n| i + 1 == n),
            Damage::SkipsFirstElement => self.undo(before, step, |i, _| i == 0),
            Damage::SkipsBeyondGrid => self.undo(before, step, |i, _| i >= 65_536),
            Damage::SkipsSecondHalf => self.undo(before, step, |i, n| i >= n.div_ceil(2)),
            Damage::ZeroFromRow500 => {
                let n = desc.shape.last().copied().unwrap_or(1);
                self.store(before, step, |i, _, bytes| {
                    if i / n.max(1) >= 500 {
                        bytes.fill(0);
                    }
                })
            }
            Damage::MutatesInput | Damage::MutatesLastInput if !step.inputs.is_empty() => {
                let last = damage == Damage::MutatesLastInput;
                match input(if last { step.inputs.len() - 1 } else { 0 }) {
                    Some((buffer, range)) if !range.is_empty() => {
                        self.spoil(buffer, if last { range.end - 1 } else { range.start })
                    }
                    _ => Ok(()),
                }
            }
            Damage::SecondRunDiffers if count % 2 == 1 => self.spoil(output, range.start),
            Damage::FirstRunDiffers if count == 0 => self.spoil(output, range.start),
            Damage::ForgetsState => {
                for (id, slot) in program.bound_slots().filter(|(_, slot)| slot.kind == SlotKind::State) {
                    let zeros = vec![0; slot.bytes as usize];
                    bindings.get(id).map_or(Ok(()), |state| self.inner.write(state, 0, &zeros))?;
                }
                Ok(())
            }
            Damage::SharedOutput => self.share(output),
            Damage::StoresContiguously => {
                let now = self.bytes(output, range.clone())?;
                let mut wrong = before.outputs[0].clone();
                for (i, at) in element_positions(desc).into_iter().enumerate() {
                    wrong[i * size..(i + 1) * size].copy_from_slice(&now[at * size..(at + 1) * size]);
                }
                self.inner.write(output, range.start, &wrong)
            }
            Damage::SwapsNeighbours => {
                let now = self.bytes(output, range.clone())?;
                let positions = element_positions(desc);
                let mut wrong = now.clone();
                for pair in positions.chunks_exact(2) {
                    wrong[pair[0] * size..][..size].copy_from_slice(&now[pair[1] * size..][..size]);
                    wrong[pair[1] * size..][..size].copy_from_slice(&now[pair[0] * size..][..size]);
                }
                self.inner.write(output, range.start, &wrong)
            }
            _ => Ok(()),
        }
    }

    /// Gives elements of the first output their former content; `which` gets index and count.
    fn undo(&self, before: &Before, step: &unisono_core::Step, which: impl Fn(usize, usize) -> bool) -> Result<()> {
        let n = element_positions(&step.outputs[0].desc).len();
        self.store(before, step, |i, place, bytes| {
            if which(i, n) {
                bytes.copy_from_slice(&before.outputs[0][place]);
            }
        })
    }

    /// Calls `change` with index, place in the span and bytes of every element of the first output.
    fn store(
        &self,
        before: &Before,
        step: &unisono_core::Step,
        mut change: impl FnMut(usize, std::ops::Range<usize>, &mut [u8]),
    ) -> Result<()> {
        let operand = &step.outputs[0];
        let (size, buffer) = (operand.desc.dtype.block_bytes(), &before.output_buffers[0]);
        let mut now = self.bytes(buffer, operand.byte_range())?;
        for (i, at) in element_positions(&operand.desc).into_iter().enumerate() {
            let place = at * size..(at + 1) * size;
            change(i, place.clone(), &mut now[place]);
        }
        self.inner.write(buffer, operand.byte_range().start, &now)
    }

    /// Writes through one staging area that all threads share, with time for another to fill it.
    fn share(&self, buffer: &Buffer) -> Result<()> {
        let own = self.bytes(buffer, 0..buffer.bytes())?;
        lock(&self.latest).clone_from(&own);
        std::thread::sleep(Duration::from_micros(200));
        let staged = lock(&self.latest).clone();
        if staged.len() == own.len() { self.inner.write(buffer, 0, &staged) } else { Ok(()) }
    }
}
