//! The CPU backend of Unisono: the device of machines without a GPU, built to be fast.
//!
//! ```
//! use unisono_core::Backend;
//! let cpu = unisono_cpu::CpuBackend::new()?;
//! println!("{} with {:?}", cpu.info().name, cpu.info().features);
//! # Ok::<(), unisono_core::Error>(())
//! ```
//!
//! A submission runs step by step on the calling thread and a pool of workers. Kernels read and
//! write tensors of any layout and floating-point type; the selector lists every kernel that can
//! serve an operation, and the conformance suite runs each of them.

mod backend;
mod blocks;
mod buffer;
mod device;
mod kernels;
mod machine;
mod plan;
mod pool;
mod probe;
mod scratch;
mod select;
mod simd;
mod view;

pub use backend::{CpuBackend, CpuOptions, SimdLevel};
pub use device::cpu_name;
