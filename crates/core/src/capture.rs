//! Captured steps: recorded once, compiled once, replayed with new bindings.

use std::fmt;
use std::sync::Arc;

use crate::backend::{Bindings, Plan};
use crate::desc::TensorDesc;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::program::SlotId;
use crate::stream::{Storage, StorageView};
use crate::tensor::Tensor;

/// A recorded step of an engine (one token of a decode loop, say), ready to be replayed.
///
/// Made by [`Device::capture`]. A replay is one submission and compiles nothing.
pub struct Captured {
    device: Device,
    plan: Arc<dyn Plan>,
    fixed: Bindings,
    inputs: Vec<(SlotId, TensorDesc)>,
    outputs: Vec<(SlotId, TensorDesc)>,
}

impl Captured {
    pub(crate) fn record(
        capturing: &Device,
        inputs: &[TensorDesc],
        step: impl FnOnce(&[Tensor]) -> Result<Vec<Tensor>>,
    ) -> Result<Captured> {
        let mut placeholders = Vec::new();
        for desc in inputs {
            if !desc.is_contiguous() {
                return Err(Error::invalid(format!("an input of a captured step must be contiguous, not {desc}")));
            }
            let storage = Storage::pending(desc.span_bytes());
            capturing.lock().add_placeholder(&storage);
            placeholders.push(Tensor::new(capturing.clone(), StorageView { storage, offset: 0, desc: *desc }));
        }
        let results = step(&placeholders)?;
        let mut outputs = Vec::new();
        for result in results {
            if !result.device().is_capturing() {
                return Err(Error::invalid("an output of a captured step does not depend on its inputs"));
            }
            let is_input = placeholders.iter().any(|p| Arc::ptr_eq(&p.view().storage, &result.view().storage));
            let repeated = outputs.iter().any(|o: &Tensor| Arc::ptr_eq(&o.view().storage, &result.view().storage));
            let whole = result.owns_whole_storage() && result.view().storage.buffer.get().is_none();
            outputs.push(if whole && !is_input && !repeated { result } else { result.copy()? });
        }

        // What the step uses from outside must exist before it can be bound.
        capturing.eager().flush()?;
        let recording = capturing.lock().take()?;
        let slot_of = |tensor: &Tensor| {
            let slot = recording.bound.iter().find(|(_, s)| Arc::ptr_eq(s, &tensor.view().storage));
            slot.map(|(slot, _)| *slot).ok_or_else(|| Error::internal("an operand of the captured step has no slot"))
        };
        let list =
            |tensors: &[Tensor]| tensors.iter().map(|t| Ok((slot_of(t)?, *t.desc()))).collect::<Result<Vec<_>>>();
        let (inputs, outputs) = (list(&placeholders)?, list(&outputs)?);
        let mut fixed = Bindings::new();
        for (slot, storage) in &recording.bound {
            if let Some(buffer) = storage.buffer.get() {
                fixed.set(*slot, buffer.clone());
            } else if !inputs.iter().chain(&outputs).any(|(s, _)| s == slot) {
                return Err(Error::invalid("a tensor made during the capture was kept, but not returned from it"));
            }
        }
        let plan = capturing.plan(recording.program)?;
        Ok(Captured { device: capturing.eager(), plan, fixed, inputs, outputs })
    }

    /// Runs the step with new inputs, of the shapes and dtypes it was captured with.
    pub fn run(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let shapes = self.outputs.iter();
        let outputs = shapes.map(|(_, d)| self.device.empty(d.dtype, &d.shape)).collect::<Result<Vec<_>>>()?;
        self.run_into(inputs, &outputs.iter().collect::<Vec<_>>())?;
        Ok(outputs)
    }

    /// Runs the step with new inputs and writes its results into existing tensors. With the same
    /// tensors every time, a device resolves nothing anew.
    pub fn run_into(&self, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
        let mut bindings = self.fixed.clone();
        self.bind(&mut bindings, "input", &self.inputs, inputs)?;
        self.bind(&mut bindings, "output", &self.outputs, outputs)?;
        let device = &self.device;
        device.flush()?;
        drop(device.backend().submit(&self.plan, &bindings).map_err(|e| e.on_device(&device.info().name))?);
        Ok(())
    }

    /// The compiled plan.
    pub fn plan(&self) -> &Arc<dyn Plan> {
        &self.plan
    }

    fn bind(&self, to: &mut Bindings, what: &str, slots: &[(SlotId, TensorDesc)], tensors: &[&Tensor]) -> Result<()> {
        if slots.len() != tensors.len() {
            let message = format!("the captured step has {} {what}s, got {}", slots.len(), tensors.len());
            return Err(Error::invalid(message).on_device(&self.device.info().name));
        }
        for (i, ((slot, desc), tensor)) in slots.iter().zip(tensors).enumerate() {
            if tensor.desc().dtype != desc.dtype || tensor.desc().shape != desc.shape {
                let message = format!("{what} {i} of the captured step is {desc}, got {}", tensor.desc());
                return Err(Error::shape(message).on_device(&self.device.info().name));
            }
            let tensor = if tensor.owns_whole_storage() {
                (*tensor).clone()
            } else if what == "input" {
                tensor.copy()?
            } else {
                return Err(Error::invalid(format!("output {i} is a view; a captured step writes whole tensors")));
            };
            to.set(*slot, tensor.buffer()?);
        }
        Ok(())
    }
}

impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Captured({} steps on {})", self.plan.program().steps().len(), self.device.info().name)
    }
}
