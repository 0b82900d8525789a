//! Captured steps: recorded once, compiled once, replayed with new bindings.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::backend::{Bindings, Plan};
use crate::desc::TensorDesc;
use crate::device::{Device, Shared};
use crate::error::{Error, Result};
use crate::program::SlotId;
use crate::stream::{Storage, StorageView, Stream};
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

thread_local! {
    /// The captures that this thread is inside of: the device and where its steps go.
    static ACTIVE: RefCell<Vec<(Arc<Shared>, SharedStream)>> = const { RefCell::new(Vec::new()) };
}

type SharedStream = Arc<Mutex<Stream>>;

/// Where this thread's steps on a device go during a capture.
pub(crate) fn active(shared: &Arc<Shared>) -> Option<SharedStream> {
    ACTIVE.with_borrow(|all| all.iter().rev().find(|(s, _)| Arc::ptr_eq(s, shared)).map(|(_, stream)| stream.clone()))
}

/// Ends the thread's latest capture when dropped, also where the step panics.
struct Scope;

impl Scope {
    fn enter(device: &Device, stream: &SharedStream) -> Scope {
        ACTIVE.with_borrow_mut(|all| all.push((device.shared().clone(), stream.clone())));
        Scope
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        ACTIVE.with_borrow_mut(Vec::pop);
    }
}

impl Captured {
    pub(crate) fn record(
        device: &Device,
        inputs: &[TensorDesc],
        step: impl FnOnce(&[Tensor]) -> Result<Vec<Tensor>>,
    ) -> Result<Captured> {
        let stream = SharedStream::default();
        let lock = || stream.lock().unwrap_or_else(PoisonError::into_inner);
        let mut placeholders = Vec::new();
        for desc in inputs {
            if !desc.is_contiguous() {
                return Err(Error::invalid(format!("an input of a captured step must be contiguous, not {desc}")));
            }
            let storage = Storage::pending(desc.span_bytes());
            lock().add_placeholder(&storage);
            placeholders.push(Tensor::new(device.clone(), StorageView { storage, offset: 0, desc: *desc }));
        }
        let scope = Scope::enter(device, &stream);
        let mut outputs: Vec<Tensor> = Vec::new();
        for result in step(&placeholders)? {
            let storage = &result.view().storage;
            let taken = placeholders.iter().chain(&outputs).any(|t| Arc::ptr_eq(&t.view().storage, storage));
            let fresh = result.owns_whole_storage() && storage.buffer.get().is_none() && !taken;
            outputs.push(if fresh { result } else { result.copy()? });
        }
        drop(scope);

        let recording = lock().take()?;
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
        let plan = device.plan(recording.program)?;
        Ok(Captured { device: device.clone(), plan, fixed, inputs, outputs })
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
