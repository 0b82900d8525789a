//! Open transformer models on the operations of Unisono.
//!
//! The crate depends on the contract alone (`unisono-core`) and knows no backend: it is the proof
//! that the contract is enough to write an engine on, and it runs on whatever device it is given.
//!
//! A [`Source`] names a checkpoint (a Hugging Face directory, bytes in memory, or the
//! embedded tiny Llama), [`Model::load`] puts its weights on a device, a [`Session`]
//! holds the key-value cache of one conversation, and [`verify_source`] checks a device against golden
//! results of an independent implementation.
#![forbid(unsafe_code)]

mod config;
mod detokenizer;
mod embedded;
mod generate;
mod goldens;
mod llama;
mod model;
mod rope;
mod session;
mod source;
mod tokenizer;
mod verify;
mod wait;
mod weights;

pub use config::{LlamaConfig, RopeScaling};
pub use detokenizer::Detokenizer;
#[cfg(not(target_family = "wasm"))]
pub use embedded::verify;
pub use embedded::{goldens, tiny_llama, verify_async};
pub use generate::{GenerateOptions, Generation, StopReason};
pub use goldens::{Golden, Goldens};
pub use model::{Model, ModelOptions};
pub use rope::{RopeTables, rope_tables};
pub use session::Session;
pub use source::Source;
pub use tokenizer::Tokenizer;
#[cfg(not(target_family = "wasm"))]
pub use verify::verify_source;
pub use verify::{PromptResult, Verification, verify_source_async};
