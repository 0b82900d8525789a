//! Proof that the conformance suite can fail, and only when it must.
//!
//! A verdict is worth as much as the faults that would have changed it. This crate holds both
//! sides of that argument: kernels that are correct in every way a device may choose, which must
//! pass, and faults planted in kernels, which must be caught.
//!
//! [`emulated`] has kernels on the host whose order of summation and arithmetic
//! can be chosen, and which can be made wrong in one way. [`soundness`] runs the correct ones on random
//! cases.

pub mod emulated;
pub mod soundness;
