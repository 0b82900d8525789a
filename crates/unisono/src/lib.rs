//! Unisono: open transformer models on any vendor's hardware, with the same answers.
//!
//! This crate is the face: it finds devices, opens them by name and re-exports the contract of
//! [`unisono_core`]. An engine adds this crate, opens a [`Device`] and computes with [`Tensor`]s:
//!
//! ```
//! # fn main() -> unisono::Result<()> {
//! let device = unisono::open("cpu")?;
//! let x = device.tensor(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
//! let gain = device.tensor(&[1.0f32, 1.0], &[2])?;
//! let weight = device.tensor(&[1.0f32, 0.0, 0.0, 1.0], &[2, 2])?;
//! let y = x.rms_norm(&gain, 1e-5)?.matmul_t(&weight)?;
//! assert_eq!(y.to_vec::<f32>()?.len(), 4);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod registry;

pub use registry::{DeviceSummary, NO_ADAPTER_HELP, devices, matching, open, open_id};
pub use unisono_core::*;

#[cfg(feature = "cpu")]
pub use unisono_cpu as cpu;
#[cfg(feature = "wgpu")]
pub use unisono_wgpu as wgpu;
