//! What selection may rely on: the limits and features in use on a device, and its profile.
//!
//! Plain numbers, so that a device that is not at hand is a literal in a test.

use unisono_shaders::Requires;

use crate::profile::Profile;

/// Limits and features that are in use (not merely available), and the tuning profile.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Caps {
    /// The most bytes of one storage buffer binding.
    pub(crate) max_storage_buffer_binding_size: u64,
    /// The most workgroups in each of x, y and z.
    pub(crate) max_compute_workgroups_per_dimension: u32,
    /// The most invocations of a workgroup.
    pub(crate) max_compute_invocations_per_workgroup: u32,
    /// The most workgroup memory in bytes.
    pub(crate) max_compute_workgroup_storage_size: u32,
    /// The most storage buffers of a shader.
    pub(crate) max_storage_buffers_per_shader_stage: u32,
    /// What a binding's offset must be a multiple of.
    pub(crate) min_storage_buffer_offset_alignment: u32,
    /// 16-bit arithmetic in shaders.
    pub(crate) f16: bool,
    /// Smallest and largest subgroup size, where subgroup operations are in use.
    pub(crate) subgroups: Option<(u32, u32)>,
    /// Matrix units, of any of the shapes that the shaders use.
    pub(crate) matrix_units: bool,
    /// Rounds that all loops of an invocation together may make in one launch.
    pub(crate) loop_rounds: u64,
    /// An implementation on the processor: a few workgroups fill it.
    pub(crate) software: bool,
    /// Tuning data.
    pub(crate) profile: &'static Profile,
}

impl Caps {
    /// Whether a shader with these requirements may be used.
    pub(crate) fn meets(&self, requires: Requires) -> bool {
        (!requires.f16 || self.f16)
            && (!requires.subgroups || self.subgroups.is_some())
            && (!requires.matrix_units || self.matrix_units)
    }
}
