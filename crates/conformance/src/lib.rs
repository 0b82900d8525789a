//! Proof that a backend computes the contract of Unisono: cases, oracle, bounds, reports.
