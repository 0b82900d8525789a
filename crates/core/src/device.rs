//! The handle that engines hold: a backend, its plans and the stream of pending steps.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backend::{Backend, Bindings, Buffer, BufferDesc, Support};
use crate::capture::Captured;
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
    /// Where steps go during a capture, instead of to the shared stream.
    capture: Option<Arc<Mutex<Stream>>>,
}

struct Shared {
    backend: Arc<dyn Backend>,
    plans: PlanCache,
    stream: Mutex<Stream>,
}

impl Device {
    /// Wraps a backend.
    pub fn new(backend: Arc<dyn Backend>) -> Device {
        let shared = Shared { backend, plans: PlanCache::new(PLANS), stream: Mutex::default() };
        Device { shared: Arc::new(shared), capture: None }
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
        Ok(Tensor::new(self.eager(), StorageView { storage: Storage::of(buffer), offset: 0, desc }))
    }

    /// Records what `step` does with placeholders of the shapes in `inputs`, compiles it once and
    /// returns it for replay. Other tensors that it uses are bound as they are: what is updated in
    /// place (a cache) is updated at every replay. Nothing runs during the capture.
    pub fn capture(
        &self,
        inputs: &[TensorDesc],
        step: impl FnOnce(&[Tensor]) -> Result<Vec<Tensor>>,
    ) -> Result<Captured> {
        let device = Device { shared: self.shared.clone(), capture: Some(Arc::default()) };
        Captured::record(&device, inputs, step)
    }

    /// Submits what is pending. Results are not waited for.
    pub fn flush(&self) -> Result<()> {
        if self.is_capturing() {
            return Err(Error::invalid("results are not known during a capture").on_device(&self.info().name));
        }
        let mut stream = self.lock();
        self.submit(&mut stream)
    }

    /// Appends an operation and returns its outputs, one for each of `outputs`.
    pub(crate) fn record(&self, op: Op, inputs: &[&Tensor], outputs: &[TensorDesc]) -> Result<Vec<Tensor>> {
        let views: Vec<StorageView> = outputs
            .iter()
            .map(|&desc| StorageView { storage: Storage::pending(desc.span_bytes()), offset: 0, desc })
            .collect();
        let device = self.record_into(op, inputs, &views)?;
        Ok(views.into_iter().map(|view| Tensor::new(device.clone(), view)).collect())
    }

    /// Appends an operation that writes existing storage; returns the handle it was recorded on.
    pub(crate) fn record_into(&self, op: Op, inputs: &[&Tensor], outputs: &[StorageView]) -> Result<Device> {
        // Inside a capture some operands (weights, caches) belong to the eager stream.
        let device = inputs.iter().map(|t| t.device()).find(|d| d.is_capturing()).unwrap_or(self);
        let name = &device.info().name;
        if inputs.iter().any(|t| !Arc::ptr_eq(&t.device().shared, &device.shared)) {
            return Err(Error::invalid(format!("{}: the operands are on different devices", op.name())));
        }
        let views: Vec<StorageView> = inputs.iter().map(|t| t.view().clone()).collect();
        let mut stream = device.lock();
        stream.record(op, &views, outputs).map_err(|e| e.on_device(name))?;
        drop(views);
        if !device.is_capturing() && stream.len() >= FLUSH_STEPS {
            device.submit(&mut stream)?;
        }
        drop(stream);
        Ok(device.clone())
    }

    pub(crate) fn is_capturing(&self) -> bool {
        self.capture.is_some()
    }

    /// The same device outside a capture.
    pub(crate) fn eager(&self) -> Device {
        Device { shared: self.shared.clone(), capture: None }
    }

    pub(crate) fn alloc(&self, bytes: u64) -> Result<Buffer> {
        self.backend().alloc(&BufferDesc::new(bytes)).map_err(|e| e.on_device(&self.info().name))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Stream> {
        let stream = self.capture.as_deref().unwrap_or(&self.shared.stream);
        stream.lock().unwrap_or_else(PoisonError::into_inner)
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
