//! Other tensor libraries under Unisono's conformance suite.
//!
//! Each adapter is a [`frame::Library`]: which operations the library has as the contract defines them,
//! and how its user calls them. The [`frame`] makes a backend of it. Nothing is computed here that the
//! library could compute: what an adapter adds is layout, casts, and checks that a user of the library
//! would have to write as well.

#[cfg(feature = "burn")]
pub mod burn;
#[cfg(feature = "candle")]
pub mod candle;
pub mod frame;
pub mod report;
