//! The WGSL backend of Unisono, for every GPU that wgpu reaches.
