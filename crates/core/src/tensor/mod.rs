//! The handle that engine authors compute with.
//!
//! A tensor is a layout over shared storage of a device. Views (reshape, transpose, slice,
//! broadcast) cost nothing; operations are recorded on the device and run when a result is read.

mod compute;
mod elementwise;
mod reduce;
mod view;

use crate::backend::Buffer;
use crate::desc::TensorDesc;
use crate::device::Device;
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::readback::{Pending, Readback};
use crate::stream::StorageView;

pub use compute::{AttentionOptions, SoftmaxOptions};

/// A tensor on a device. Clones share the data.
#[derive(Clone, Debug)]
pub struct Tensor {
    device: Device,
    view: StorageView,
}

impl Tensor {
    pub(crate) fn new(device: Device, view: StorageView) -> Tensor {
        Tensor { device, view }
    }

    pub(crate) fn view(&self) -> &StorageView {
        &self.view
    }

    pub(crate) fn with_view(&self, offset: usize, desc: TensorDesc) -> Tensor {
        let storage = self.view.storage.clone();
        Tensor { device: self.device.clone(), view: StorageView { storage, offset, desc } }
    }

    /// The device it lives on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Element type, shape and strides.
    pub fn desc(&self) -> &TensorDesc {
        &self.view.desc
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.view.desc.dtype
    }

    /// Sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.view.desc.shape
    }

    pub(crate) fn owns_whole_storage(&self) -> bool {
        let StorageView { storage, offset, desc } = &self.view;
        *offset == 0 && desc.is_contiguous() && desc.span_bytes() == storage.bytes
    }

    /// The buffer, after submitting the steps that produce it.
    pub(crate) fn buffer(&self) -> Result<Buffer> {
        // Within a capture nothing is submitted; what exists already is bound as it is.
        if self.view.storage.buffer.get().is_none() || !self.device.is_capturing() {
            self.device.flush()?;
        }
        let buffer = self.view.storage.buffer.get().cloned();
        buffer.ok_or_else(|| Error::invalid("the tensor was never computed: it belongs to a capture or a failed step"))
    }

    /// Reads the elements as stored, row-major. Await the result, or `wait` on native targets.
    pub fn read(&self) -> Readback {
        self.try_read().unwrap_or_else(|e| Pending::ready(Err(e)))
    }

    fn try_read(&self) -> Result<Readback> {
        self.device.flush()?;
        let dense = if self.desc().is_contiguous() { self.clone() } else { self.copy()? };
        let start =
            dense.view.offset as u64 / dense.dtype().block_elements() as u64 * dense.dtype().block_bytes() as u64;
        let buffer = dense.buffer()?;
        Ok(self.device.backend().read(&buffer, start..start + dense.desc().span_bytes()))
    }

    /// Reads the elements, row-major, and waits for them. `T` must be the stored type.
    #[cfg(not(target_family = "wasm"))]
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        if T::DTYPE != self.dtype() {
            let message = format!("the tensor is {}, not {}", self.dtype(), T::DTYPE);
            return Err(Error::dtype(message).on_device(&self.device.info().name));
        }
        Ok(bytemuck::pod_collect_to_vec(&self.read().wait()?))
    }

    /// Overwrites all elements from the host. Steps recorded before still see the old ones. The
    /// tensor must be contiguous.
    pub fn write<T: Element>(&self, data: &[T]) -> Result<()> {
        let name = &self.device.info().name;
        let fits = T::DTYPE == self.dtype() && data.len() == self.desc().elements() && self.desc().is_contiguous();
        if !fits {
            let message = format!("{} elements of {} cannot be written to {}", data.len(), T::DTYPE, self.desc());
            return Err(Error::shape(message).on_device(name));
        }
        let start = self.view.offset as u64 * self.dtype().block_bytes() as u64;
        self.device.flush()?;
        self.device.backend().write(&self.buffer()?, start, bytemuck::cast_slice(data))
    }
}
