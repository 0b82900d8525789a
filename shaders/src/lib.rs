//! The WGSL kernels of Unisono and the table of their variants.
