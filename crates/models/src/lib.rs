//! Open transformer models on the operations of Unisono.
//!
//! The crate depends on the contract alone (`unisono-core`) and knows no backend: it is the proof
//! that the contract is enough to write an engine on, and it runs on whatever device it is given.
//!
//! A [`Source`] names a checkpoint (a Hugging Face directory, a GGUF file, bytes in memory, or the
//! embedded tiny Llama), [`Model::load`] puts its weights on a device, a [`Session`]
//! holds the key-value cache of one conversation, and [`verify_source`] checks a device against golden
//! results of an independent implementation.
#![deny(unsafe_code)]

mod arch;
mod check;
mod config;
mod encoder;
mod engine;
mod formats;
mod model;
mod pooling;
mod rope;
mod shape;
mod tokenizer;

pub use check::{Golden, Goldens, PromptResult, Verification, goldens, tiny_llama, verify_async, verify_source_async};
#[cfg(not(target_family = "wasm"))]
pub use check::{verify, verify_source};
pub use config::{Activation, Architecture, ExpertsConfig, ModelConfig, RopeConfig, RopeScaling};
pub use encoder::{EncodedText, EncoderText, TextEncoder};
pub use engine::{
    Batch, BatchOptions, CacheKind, GenerateOptions, Generation, Perplexity, PerplexityOptions, SampleOptions, Sampler,
    SequenceId, Session, StopReason, StopWatch,
};
pub use formats::{Source, StoredType, TensorInfo, gguf, safetensors};
pub use model::{Model, ModelOptions};
pub use pooling::{Pooling, SentenceConfig};
pub use rope::{RopeTables, rope_tables};
pub use shape::Shape;
pub use tokenizer::{ChatOptions, ChatTemplate, Detokenizer, Message, TokenType, Tokenizer, Vocabulary};
