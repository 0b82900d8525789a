//! Tests across the crates of Unisono.
