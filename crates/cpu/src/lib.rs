//! The CPU backend of Unisono: SIMD kernels and a thread pool.
