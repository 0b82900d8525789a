//! Recording: eager calls on tensors become steps of a pending program.
//!
//! A stream collects steps until something must be known (a read, a write from the host, a size),
//! then turns them into one [`Program`]. Only then is it decided what a storage is: one that no
//! tensor handle holds any more is a temporary of the plan, and a step whose results nobody can
//! see is dropped.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::backend::Buffer;
use crate::desc::TensorDesc;
use crate::error::{Error, Result};
use crate::op::{Op, OpDesc};
use crate::program::{KernelChoice, Operand, Program, ProgramBuilder, SlotId, SlotKind, Step};

/// The memory behind one or more tensors: a buffer, or a promise of one by a pending step.
#[derive(Debug)]
pub(crate) struct Storage {
    id: u64,
    pub(crate) bytes: u64,
    pub(crate) buffer: OnceLock<Buffer>,
}

impl Storage {
    pub(crate) fn pending(bytes: u64) -> Arc<Storage> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Arc::new(Storage { id, bytes, buffer: OnceLock::new() })
    }

    pub(crate) fn of(buffer: Buffer) -> Arc<Storage> {
        let storage = Storage::pending(buffer.bytes());
        // A fresh storage is empty, so this cannot fail.
        let _ = storage.buffer.set(buffer);
        storage
    }
}

/// A layout over a storage.
#[derive(Clone, Debug)]
pub(crate) struct StorageView {
    pub(crate) storage: Arc<Storage>,
    pub(crate) offset: usize,
    pub(crate) desc: TensorDesc,
}

#[derive(Debug)]
struct Recorded {
    op: Op,
    inputs: Vec<(usize, usize, TensorDesc)>,
    outputs: Vec<(usize, usize, TensorDesc)>,
}

/// The pending steps of one device or one capture.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    storages: Vec<Arc<Storage>>,
    index_of: HashMap<u64, usize>,
    placeholders: Vec<u64>,
    steps: Vec<Recorded>,
}

/// A program together with the storages of its bound slots.
pub(crate) struct Recording {
    pub(crate) program: Program,
    pub(crate) bound: Vec<(SlotId, Arc<Storage>)>,
}

impl Stream {
    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Declares storages that are bound anew at each replay.
    pub(crate) fn add_placeholder(&mut self, storage: &Arc<Storage>) {
        self.placeholders.push(storage.id);
        self.index(storage);
    }

    /// Checks and appends a step.
    pub(crate) fn record(&mut self, op: Op, inputs: &[StorageView], outputs: &[StorageView]) -> Result<()> {
        let descs = |views: &[StorageView]| views.iter().map(|v| v.desc).collect::<Vec<_>>();
        OpDesc::new(op.clone(), descs(inputs), descs(outputs))?;
        let inputs = inputs.iter().map(|v| (self.index(&v.storage), v.offset, v.desc)).collect();
        let outputs = outputs.iter().map(|v| (self.index(&v.storage), v.offset, v.desc)).collect();
        self.steps.push(Recorded { op, inputs, outputs });
        Ok(())
    }

    fn index(&mut self, storage: &Arc<Storage>) -> usize {
        let next = self.storages.len();
        let index = *self.index_of.entry(storage.id).or_insert(next);
        if index == next {
            self.storages.push(storage.clone());
        }
        index
    }

    /// Turns what was recorded into a program and empties the stream.
    pub(crate) fn take(&mut self) -> Result<Recording> {
        let Stream { storages, placeholders, steps, .. } = std::mem::take(self);
        let count = storages.len();
        let mut written = vec![false; count];
        for step in &steps {
            step.outputs.iter().for_each(|o| written[o.0] = true);
        }
        let mut temporary = vec![false; count];
        for (i, storage) in storages.iter().enumerate() {
            // The stream holds one reference; a tensor anywhere would be a second one.
            temporary[i] = written[i] && storage.buffer.get().is_none() && Arc::strong_count(storage) == 1;
        }

        let mut needed = vec![false; steps.len()];
        let mut used = vec![false; count];
        for (i, step) in steps.iter().enumerate().rev() {
            needed[i] = step.outputs.iter().any(|o| !temporary[o.0] || used[o.0]);
            if needed[i] {
                step.inputs.iter().chain(&step.outputs).for_each(|o| used[o.0] = true);
            }
        }

        let mut builder = ProgramBuilder::new();
        let mut bound = Vec::new();
        let mut slot_of = vec![None; count];
        for (i, storage) in storages.into_iter().enumerate() {
            let placeholder = placeholders.contains(&storage.id);
            if !used[i] && !placeholder {
                continue;
            }
            let kind = match (storage.buffer.get().is_some(), written[i]) {
                (false, false) if placeholder => SlotKind::Input,
                (true, false) => SlotKind::Input,
                (true, true) => SlotKind::State,
                (false, true) if placeholder => {
                    return Err(Error::invalid("an input of a captured step cannot be written in place"));
                }
                (false, true) if temporary[i] => SlotKind::Temporary,
                (false, true) => SlotKind::Output,
                (false, false) => {
                    return Err(Error::invalid("a tensor of another capture, or of one that failed, is used"));
                }
            };
            let slot = builder.slot(kind.clone(), storage.bytes);
            slot_of[i] = Some(slot);
            if kind.is_bound() {
                bound.push((slot, storage));
            }
        }
        for (step, _) in steps.into_iter().zip(&needed).filter(|&(_, &needed)| needed) {
            let operand = |&(storage, offset, desc): &(usize, usize, TensorDesc)| {
                let slot = slot_of[storage].ok_or_else(|| Error::internal("a used storage has no slot"))?;
                Ok(Operand { slot, offset, desc })
            };
            builder.push_step(Step {
                op: step.op,
                inputs: step.inputs.iter().map(operand).collect::<Result<_>>()?,
                outputs: step.outputs.iter().map(operand).collect::<Result<_>>()?,
                kernel: KernelChoice::Auto,
            })?;
        }
        Ok(Recording { program: builder.finish(), bound })
    }
}
