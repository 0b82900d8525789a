//! The WGSL kernels of Unisono as text, with a description of what each needs.
//!
//! Sources are WESL files under `wesl/`, one folder per family; `table.rs` lists which variants are
//! assembled from them. What a consumer sees is a flat list of finished shaders: plain WGSL with the
//! entry point [`ENTRY_POINT`], storage buffers at bindings 0, 1, … of group 0 in the order of
//! [`Variant::bindings`], and after them one uniform block of `u32` words of at most
//! [`PARAMETER_BYTES`] bytes. Nothing here depends on a graphics API.
//!
//! `enable subgroups;` is left out of the text: browsers require the line and naga refuses it, so
//! whoever loads a variant whose [`Requires::subgroups`] is set adds it where needed.
#![forbid(unsafe_code)]

#[allow(dead_code, reason = "read by the build script")]
mod table;

/// The entry point of every variant.
pub const ENTRY_POINT: &str = "main";

/// The most bytes that the uniform parameters of a variant take.
pub const PARAMETER_BYTES: u64 = 256;

/// Workgroup memory that every WebGPU device has, in bytes.
pub const GUARANTEED_WORKGROUP_BYTES: u32 = 16384;

/// Device features that a variant needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Requires {
    /// 16-bit floating-point arithmetic (`enable f16;`).
    pub f16: bool,
    /// Subgroup operations, of any subgroup size.
    pub subgroups: bool,
    /// Matrix units (`enable wgpu_cooperative_matrix;`), 8×8 in f32 and 16×16 in f16.
    pub matrix_units: bool,
}

/// How a shader uses a storage buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reads only.
    Read,
    /// Reads and writes.
    ReadWrite,
}

/// One assembled shader.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// Unique name, `family.variant`.
    pub name: &'static str,
    /// The assembled text.
    pub wgsl: &'static str,
    /// What the device must have.
    pub requires: Requires,
    /// Storage buffers at bindings 0, 1, …; the uniform parameters follow.
    pub bindings: &'static [Access],
    /// Names of the pipeline-overridable constants.
    pub constants: &'static [&'static str],
    /// Invocations of a workgroup in x, y and z; at most, where `GROUP` is among the constants.
    pub workgroup_size: [u32; 3],
    /// The most workgroup memory it uses.
    pub workgroup_bytes: u32,
}

include!(concat!(env!("OUT_DIR"), "/variants.rs"));

/// The variant called `name`.
pub fn variant(name: &str) -> Option<&'static Variant> {
    VARIANTS.iter().find(|v| v.name == name)
}
