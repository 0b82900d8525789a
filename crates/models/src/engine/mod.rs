//! Running a network: its cache, the steps that fill it, sessions and generation.

pub(crate) mod cache;
mod generate;
mod session;
pub(crate) mod step;
pub(crate) mod wait;

pub(crate) use generate::rate;
pub use generate::{GenerateOptions, Generation, StopReason};
pub use session::Session;
