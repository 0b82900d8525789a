//! The contract of Unisono.
//!
//! Operations are data ([`OpDesc`]); a device implements [`Backend`], which compiles lists of
//! operations ([`Program`]) to plans and runs them; composites without a kernel of their own are
//! [lowered](lower) to primitives. Engine authors use the [`Device`] and [`Tensor`] handles on top
//! of it. This crate knows no backend and does no input or output.
#![forbid(unsafe_code)]

mod backend;
mod capture;
mod desc;
mod device;
mod dims;
mod dtype;
mod error;
mod fuse;
mod info;
mod liveness;
mod lower;
mod measure;
pub mod op;
mod plan_cache;
mod program;
mod readback;
mod stream;
mod tensor;

pub use backend::{Backend, Bindings, Buffer, BufferDesc, KernelSource, Plan, Reason, Support};
pub use capture::Captured;
pub use desc::TensorDesc;
pub use device::Device;
pub use dims::{Dims, MAX_RANK};
pub use dtype::{DType, Element};
pub use error::{Error, ErrorKind, Result};
pub use fuse::fuse;
pub use info::{Counters, DeviceInfo, DeviceKind, NumericMode};
pub use liveness::{TemporaryBlocks, assign_blocks};
pub use lower::{decomposition, lower, support};
pub use measure::{Clock, ProbeKind, ProbeRun};
pub use op::{Op, OpDesc};
pub use plan_cache::PlanCache;
pub use program::{KernelChoice, Operand, Program, ProgramBuilder, Slot, SlotId, SlotKind, Step};
pub use readback::{Pending, Readback, Ticket};
pub use tensor::{AttentionOptions, SoftmaxOptions, Tensor};
