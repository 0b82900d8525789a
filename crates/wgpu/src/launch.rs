//! What selection hands to execution: kernel launches as data.
//!
//! A recipe says which shader variants run, with which pipeline constants, buffers, parameters and
//! grid. It names no wgpu object, so selection is a pure function that is tested without a GPU,
//! and execution knows nothing of operations.

use std::sync::Arc;

use unisono_shaders::Variant;

/// Where a binding's memory comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// The step's input of this index.
    Input(usize),
    /// The step's output of this index.
    Output(usize),
    /// Scratch memory of this index in [`Recipe::scratch`], private to the recipe.
    Scratch(usize),
}

/// One buffer binding of a launch, in binding order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Binding {
    /// Whose memory.
    pub(crate) source: Source,
    /// First byte within the operand's slot (or the scratch), aligned to the device's storage
    /// offset alignment. What was cut off by aligning down is in the launch's parameters.
    pub(crate) offset: u64,
    /// Bytes bound, at most the device's binding limit, a multiple of 4 (rounded up; buffers are
    /// padded so that the rounding never leaves the allocation).
    pub(crate) size: u64,
}

/// One dispatch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Launch {
    /// The shader.
    pub(crate) variant: &'static Variant,
    /// Pipeline-overridable constants by name.
    pub(crate) constants: Vec<(&'static str, f64)>,
    /// Buffers for bindings 0, 1, … of group 0; the parameters follow as the last binding.
    pub(crate) bindings: Vec<Binding>,
    /// Words of the uniform parameter block.
    pub(crate) params: Vec<u32>,
    /// Workgroups in x, y and z, each within the device's limit. None of them 0.
    pub(crate) groups: [u32; 3],
}

/// Everything that one step needs on the device.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recipe {
    /// The kernel's name, as in `Backend::kernels` and in reports.
    pub(crate) name: Arc<str>,
    /// Launches in order; each sees the writes of those before it. Empty for an empty tensor.
    pub(crate) launches: Vec<Launch>,
    /// Bytes of each scratch buffer.
    pub(crate) scratch: Vec<u64>,
}
