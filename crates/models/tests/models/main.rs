//! Tests of `unisono-models` on the simple backend of `unisono-tests`: whatever fails here is a
//! fault of the models, not of a kernel.

mod archs;
mod batches;
mod chat;
mod chat_limits;
mod config;
mod encoder;
mod finite;
mod generation;
mod gguf;
mod gguf_config;
mod gguf_package;
mod goldens;
mod hostile_tokenizers;
mod jinja;
mod loading;
mod memory;
mod older;
mod published;
mod quantised_cache;
mod reference;
mod rope;
mod sampling;
mod sentences;
mod sessions;
mod shapes;
mod tiny;
mod tiny_gguf;
mod tokenizer;
mod vocabularies;
mod weights;
mod writer;
