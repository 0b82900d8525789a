//! The handle that engines hold: a backend, its plans and the stream of pending steps.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::backend::{Backend, Bindings, Buffer, BufferDesc, Support};
use crate::capture::{self, Captured};
use crate::desc::TensorDesc;
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::info::{Counters, DeviceInfo};
use crate::op::{Op, OpDesc};
use crate::plan_cache::PlanCache;
use crate::stream::{Recording, Storage, StorageView, Stream};
use crate::tensor::Tensor;

/// Steps after which a stream is submitted without being asked.
const FLUSH_STEPS: usize = 256;
/// Plans kept per device.
const PLANS: usize = 256;

/// An open device. Clones share it.
///
/// Operations on its tensors are recorded and run together when a result is read, when the host
/// writes, or when many are pending; [`capture`](Self::capture) keeps a recording for replay.
#[derive(Clone)]
pub struct Device {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    backend: Arc<dyn Backend>,
    plans: PlanCache,
    stream: Mutex<Stream>,
}

impl Device {
    /// Wraps a backend.
    pub fn new(backend: Arc<dyn Backend>) -> Device {
        let shared = Shared { backend, plans: PlanCache::new(PLANS), stream: Mutex::default() };
        Device { shared: Arc::new(shared) }
    }

    /// The backend itself.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.shared.backend
    }

    /// Facts about the device.
    pub fn info(&self) -> &DeviceInfo {
        self.shared.backend.info()
    }

    /// What the device has done so far.
    pub fn counters(&self) -> Counters {
        self.shared.backend.counters()
    }

    /// Whether and how the device runs `op`.
    pub fn supports(&self, op: &OpDesc) -> Support {
        self.shared.backend.supports(op)
    }

    /// Uploads `data` as a contiguous tensor. Fails where the number of elements does not fit
    /// `shape`.
    pub fn tensor<T: Element>(&self, data: &[T], shape: &[usize]) -> Result<Tensor> {
        self.tensor_from_bytes(T::DTYPE, bytemuck::cast_slice(data), shape)
    }

    /// Uploads elements as stored (little endian).
    pub fn tensor_from_bytes(&self, dtype: DType, bytes: &[u8], shape: &[usize]) -> Result<Tensor> {
        let desc = TensorDesc::contiguous(dtype, shape)?;
        if desc.span_bytes() != bytes.len() as u64 {
            let message = format!("{} bytes were given for {desc}, which has {}", bytes.len(), desc.span_bytes());
            return Err(Error::shape(message).on_device(&self.info().name));
        }
        let tensor = self.empty(dtype, shape)?;
        if !bytes.is_empty() {
            self.backend().write(&tensor.buffer()?, 0, bytes)?;
        }
        Ok(tensor)
    }

    /// A tensor of zeros (key-value caches start so).
    pub fn zeros(&self, dtype: DType, shape: &[usize]) -> Result<Tensor> {
        let tensor = self.empty(dtype, shape)?;
        // In pieces, so that a large cache needs no second copy of itself on the host.
        let piece = vec![0u8; tensor.desc().span_bytes().min(1 << 24) as usize];
        let (buffer, mut at) = (tensor.buffer()?, 0);
        while at < buffer.bytes() {
            let n = (buffer.bytes() - at).min(piece.len() as u64);
            self.backend().write(&buffer, at, &piece[..n as usize])?;
            at += n;
        }
        Ok(tensor)
    }

    /// A tensor whose content is undefined until it is written.
    pub fn empty(&self, dtype: DType, shape: &[usize]) -> Result<Tensor> {
        let desc = TensorDesc::contiguous(dtype, shape)?;
        let buffer = self.alloc(desc.span_bytes())?;
        Ok(Tensor::new(self.clone(), StorageView { storage: Storage::of(buffer), offset: 0, desc }))
    }

    /// Records what `step` does, compiles it once and returns it for replay; nothing runs now.
    ///
    /// `step` gets placeholders of the shapes and dtypes in `inputs`. Other tensors that it uses
    /// are bound as they are: what it updates in place (a cache) is updated at every replay. Every
    /// operation that this thread calls on the device's tensors within `step` is captured.
    pub fn capture(
        &self,
        inputs: &[TensorDesc],
        step: impl FnOnce(&[Tensor]) -> Result<Vec<Tensor>>,
    ) -> Result<Captured> {
        // What was recorded before exists before, and is bound by the capture like any tensor.
        self.flush()?;
        Captured::record(self, inputs, step)
    }

    /// Submits what is pending. Results are not waited for.
    pub fn flush(&self) -> Result<()> {
        if self.is_capturing() {
            return Err(Error::invalid("results are not known during a capture").on_device(&self.info().name));
        }
        self.with_stream(|stream| self.submit(stream))
    }

    /// Appends an operation and returns its outputs, one for each of `outputs`.
    pub(crate) fn record(&self, op: Op, inputs: &[&Tensor], outputs: &[TensorDesc]) -> Result<Vec<Tensor>> {
        let views: Vec<StorageView> = outputs
            .iter()
            .map(|&desc| StorageView { storage: Storage::pending(desc.span_bytes()), offset: 0, desc })
            .collect();
        self.record_into(op, inputs, &views)?;
        Ok(views.into_iter().map(|view| Tensor::new(self.clone(), view)).collect())
    }

    /// Appends an operation that writes existing storage.
    pub(crate) fn record_into(&self, op: Op, inputs: &[&Tensor], outputs: &[StorageView]) -> Result<()> {
        let name = &self.info().name;
        if inputs.iter().any(|t| !Arc::ptr_eq(&t.device().shared, &self.shared)) {
            return Err(Error::invalid(format!("{}: the operands are on different devices", op.name())));
        }
        let views: Vec<StorageView> = inputs.iter().map(|t| t.view().clone()).collect();
        self.with_stream(|stream| {
            stream.record(op, &views, outputs).map_err(|e| e.on_device(name))?;
            if stream.len() >= FLUSH_STEPS && !self.is_capturing() { self.submit(stream) } else { Ok(()) }
        })
    }

    /// Whether this thread is inside a capture of this device.
    pub(crate) fn is_capturing(&self) -> bool {
        capture::active(&self.shared).is_some()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn alloc(&self, bytes: u64) -> Result<Buffer> {
        self.backend().alloc(&BufferDesc::new(bytes)).map_err(|e| e.on_device(&self.info().name))
    }

    /// The stream that this thread records to: the capture's, or the device's own.
    fn with_stream<R>(&self, work: impl FnOnce(&mut Stream) -> R) -> R {
        let captured = capture::active(&self.shared);
        let stream = captured.as_deref().unwrap_or(&self.shared.stream);
        work(&mut stream.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn plan(&self, program: crate::Program) -> Result<Arc<dyn crate::Plan>> {
        self.shared.plans.get_or_compile(&**self.backend(), program).map_err(|e| e.on_device(&self.info().name))
    }

    fn submit(&self, stream: &mut Stream) -> Result<()> {
        if stream.len() == 0 {
            return Ok(());
        }
        let Recording { program, bound } = stream.take()?;
        if program.steps().is_empty() {
            return Ok(());
        }
        let plan = self.plan(program)?;
        let mut bindings = Bindings::new();
        let mut fresh = Vec::new();
        for (slot, storage) in bound {
            let buffer = match storage.buffer.get() {
                Some(buffer) => buffer.clone(),
                None => {
                    let buffer = self.alloc(storage.bytes)?;
                    fresh.push((storage, buffer.clone()));
                    buffer
                }
            };
            bindings.set(slot, buffer);
        }
        drop(self.backend().submit(&plan, &bindings).map_err(|e| e.on_device(&self.info().name))?);
        for (storage, buffer) in fresh {
            // Only this stream fills the storages that its steps write.
            let _ = storage.buffer.set(buffer);
        }
        Ok(())
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.info().name)
    }
}
