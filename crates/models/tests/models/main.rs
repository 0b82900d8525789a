//! Tests of `unisono-models` on the simple backend of `unisono-tests`: whatever fails here is a
//! fault of the models, not of a kernel.

mod config;
mod gguf;
mod goldens;
mod reference;
mod sessions;
mod tiny;
mod tokenizer;
mod weights;
mod writer;
