//! The tiny Llama that ships inside the crate, with golden results.
//!
//! A real model of about one million parameters (grouped-query attention, rotary embedding,
//! SwiGLU, tied embeddings, byte-level tokenizer) that needs no download: tests, demonstrations and
//! the check of a new device work offline. `scripts/train_tiny_llama.py` trains it and computes the
//! goldens with an independent implementation.

use unisono_core::{Device, Result};

use super::goldens::Goldens;
use super::verify::{Verification, verify_source_async};
use crate::formats::Source;

const CONFIG: &[u8] = include_bytes!("../../assets/tiny-llama/config.json");
const TOKENIZER: &[u8] = include_bytes!("../../assets/tiny-llama/tokenizer.json");
const WEIGHTS: &[u8] = include_bytes!("../../assets/tiny-llama/model.safetensors");
const GOLDENS: &[u8] = include_bytes!("../../assets/tiny-llama/goldens.json");
const GOLDEN_TENSORS: &[u8] = include_bytes!("../../assets/tiny-llama/goldens.safetensors");

/// The embedded model: f16 weights, a vocabulary of 1024 tokens, a context of 512.
pub fn tiny_llama() -> Source {
    Source::from_bytes("tiny-llama", CONFIG, vec![("model.safetensors".to_owned(), WEIGHTS.into())])
        .with_tokenizer(TOKENIZER)
}

/// Golden results of the embedded model.
pub fn goldens() -> Result<Goldens> {
    Goldens::from_bytes(GOLDENS, GOLDEN_TENSORS)
}

/// Runs the embedded model on a device and compares with its goldens, as
/// [`verify_source_async`](crate::verify_source_async) does.
pub async fn verify_async(device: &Device) -> Result<Verification> {
    verify_source_async(device, &tiny_llama(), &goldens()?).await
}

/// [`verify_async`], waiting for the result.
#[cfg(not(target_family = "wasm"))]
pub fn verify(device: &Device) -> Result<Verification> {
    crate::engine::wait::block_on(verify_async(device))
}
