//! Running a network: its cache, the steps that fill it, sessions, batches and generation.

mod batch;
pub(crate) mod cache;
mod embed;
pub(crate) mod finite;
mod generate;
pub(crate) mod memory;
mod pages;
mod perplexity;
pub(crate) mod random;
mod runner;
mod sample;
mod session;
pub(crate) mod step;
mod stop;
pub(crate) mod wait;

pub use batch::{Batch, BatchOptions, CacheKind, SequenceId};
pub(crate) use generate::rate;
pub use generate::{GenerateOptions, Generation, StopReason};
pub use perplexity::{Perplexity, PerplexityOptions};
pub use sample::{SampleOptions, Sampler};
pub use session::Session;
pub use stop::StopWatch;
