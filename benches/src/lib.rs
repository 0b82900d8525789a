//! Criterion and side-by-side benchmarks of Unisono.
