//! Tests of `unisono-models` on the simple backend of `unisono-tests`: whatever fails here is a
//! fault of the models, not of a kernel.

mod archs;
mod batches;
mod chat;
mod chat_limits;
mod config;
mod encoder;
mod generation;
mod gguf;
mod gguf_config;
mod gguf_package;
mod goldens;
mod hostile_tokenizers;
mod memory;
mod published;
mod quantised_cache;
mod reference;
mod rope;
mod sampling;
mod sessions;
mod shapes;
mod tiny;
mod tiny_gguf;
mod tokenizer;
mod vocabularies;
mod weights;
mod writer;
