//! The WGSL backend of Unisono, for every GPU that wgpu reaches.
//!
//! Two halves meet in `launch`: *selection* (`select`, `caps`, `profile`) decides from descriptors
//! and capabilities alone which shaders run with which grids, and *execution* (everything else)
//! runs launches without knowing what they compute. Selection touches no GPU and is tested without
//! one; execution knows no operation and no vendor.

mod adapter;
mod backend;
mod bind;
mod caps;
#[cfg_attr(target_family = "wasm", allow(dead_code, reason = "only native targets wait for timestamps"))]
mod clock;
mod device;
#[cfg(not(target_family = "wasm"))]
mod disk_cache;
mod encode;
mod heaps;
mod info;
mod instance;
mod launch;
mod memory;
mod options;
mod pipeline;
mod plan;
#[cfg(not(target_family = "wasm"))]
mod probe;
mod profile;
mod readback;
mod select;
#[cfg(test)]
mod tests;
#[cfg(not(target_family = "wasm"))]
mod timing;
mod upload;

#[cfg(not(target_family = "wasm"))]
pub use adapter::adapters;
pub use adapter::{AdapterSummary, adapters_async};
#[cfg(not(target_family = "wasm"))]
pub use backend::open;
pub use backend::{WgpuBackend, open_async};
pub use options::{ReplacedShaders, WgpuOptions};
#[cfg(not(target_family = "wasm"))]
pub use timing::LaunchTime;

/// The major version of wgpu (and of naga, which shares its number) that this crate is built on.
pub(crate) const WGPU_VERSION: &str = "30";
