//! Facts about a device, and counts of what it has done.

use std::collections::BTreeMap;

/// What kind of hardware a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceKind {
    /// The host's processor through the CPU backend.
    Cpu,
    /// A graphics card.
    DiscreteGpu,
    /// A graphics unit that shares the host's memory.
    IntegratedGpu,
    /// A graphics API implemented on the processor.
    Software,
    /// Anything else.
    Other,
}

impl DeviceKind {
    /// The name in tables and reports.
    pub fn name(self) -> &'static str {
        match self {
            DeviceKind::Cpu => "cpu",
            DeviceKind::DiscreteGpu => "discrete-gpu",
            DeviceKind::IntegratedGpu => "integrated-gpu",
            DeviceKind::Software => "software",
            DeviceKind::Other => "other",
        }
    }
}

/// A way to compute that is less accurate than the contract asks for. A device that works so says
/// so; the conformance suite then widens the bounds that the mode concerns, and names it in every
/// result and table. No device is assumed to have a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum NumericMode {
    /// Products are rounded to f16 and summed in f16: matrix products, convolutions and both
    /// products of attention.
    F16Accumulate,
    /// Activations that meet weights in a block format are rounded to 8-bit integers with one f32
    /// scale, the largest magnitude over 127, for each block of the weights.
    Int8Activations,
}

impl NumericMode {
    /// Every mode.
    pub const ALL: [NumericMode; 2] = [NumericMode::F16Accumulate, NumericMode::Int8Activations];

    /// The name in reports and tables.
    pub fn name(self) -> &'static str {
        match self {
            NumericMode::F16Accumulate => "f16-accumulate",
            NumericMode::Int8Activations => "int8-activations",
        }
    }

    /// The mode with the given [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<NumericMode> {
        NumericMode::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// Facts about a device. Unknown strings are empty, unknown numbers `None` or 0.
#[derive(Clone, Debug)]
pub struct DeviceInfo {
    /// Short name by which the registry finds it: `cpu`, `wgpu:0`, …
    pub id: String,
    /// The name that hardware or driver report.
    pub name: String,
    /// What kind of hardware it is.
    pub kind: DeviceKind,
    /// `amd`, `intel`, `nvidia`, `apple`, `qualcomm`, `software`, `cpu` or `other`.
    pub vendor: String,
    /// PCI vendor id.
    pub vendor_id: u32,
    /// PCI device id.
    pub device_id: u32,
    /// Where it is on the PCI bus, as `0000:01:00.0`, which tells two cards of one model apart.
    pub bus: String,
    /// Driver name.
    pub driver: String,
    /// Driver version as reported.
    pub driver_version: String,
    /// `cpu`, `vulkan`, `gl`, `metal`, `dx12`, `webgpu`.
    pub api: String,
    /// The tuning profile in use.
    pub profile: String,
    /// Bytes of device memory, where known: the largest heap that the device calls its own.
    pub memory: Option<u64>,
    /// Largest buffer in bytes.
    pub max_buffer_bytes: u64,
    /// Smallest and largest subgroup (vector) size, where known.
    pub subgroup_sizes: Option<(u32, u32)>,
    /// Numeric limits by name, for reports.
    pub limits: BTreeMap<String, u64>,
    /// Optional features that are in use (`shader-f16`, `avx2`, …).
    pub features: Vec<String>,
    /// Optional features that the backend asks its devices for; `features` are those it got.
    pub features_asked: Vec<String>,
    /// Ways in which it computes less accurately than the contract asks for. Empty unless declared.
    pub numeric_modes: Vec<NumericMode>,
    /// Further facts for reports: versions of libraries, checks on or off.
    pub properties: BTreeMap<String, String>,
}

impl DeviceInfo {
    /// An otherwise empty description.
    pub fn new(id: impl Into<String>, name: impl Into<String>, kind: DeviceKind) -> DeviceInfo {
        DeviceInfo {
            id: id.into(),
            name: name.into(),
            kind,
            vendor: String::new(),
            vendor_id: 0,
            device_id: 0,
            bus: String::new(),
            driver: String::new(),
            driver_version: String::new(),
            api: String::new(),
            profile: String::new(),
            memory: None,
            max_buffer_bytes: u64::MAX,
            subgroup_sizes: None,
            limits: BTreeMap::new(),
            features: Vec::new(),
            features_asked: Vec::new(),
            numeric_modes: Vec::new(),
            properties: BTreeMap::new(),
        }
    }
}

/// Counts since the device was opened, and the memory it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Programs compiled.
    pub plans: u64,
    /// Kernels (pipelines) built.
    pub kernels: u64,
    /// Submissions made.
    pub submissions: u64,
    /// Kernel launches within them.
    pub dispatches: u64,
    /// Bytes allocated at present, buffers and temporaries.
    pub bytes_now: u64,
    /// The largest value of `bytes_now` so far.
    pub bytes_peak: u64,
}
