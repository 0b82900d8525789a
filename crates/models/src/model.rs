//! A model on a device: configuration, tokenizer and weights, shared by its sessions.

use std::sync::Arc;

use unisono_core::{DType, Device, Error, Result};

use crate::arch::{self, Decoder};
use crate::config::ModelConfig;
use crate::engine::Session;
use crate::formats::{Source, Weights};
use crate::tokenizer::Tokenizer;

/// How a model is run.
#[derive(Clone, Debug)]
pub struct ModelOptions {
    /// Longest context of a session; by default that of the model, at most 4096.
    pub context_len: Option<usize>,
    /// Element type of the key-value cache, any floating-point one.
    pub cache_dtype: DType,
    /// Tokens of a prompt that run together, rounded up to a power of two.
    pub prefill_chunk: usize,
}

impl Default for ModelOptions {
    fn default() -> ModelOptions {
        ModelOptions { context_len: None, cache_dtype: DType::F32, prefill_chunk: 128 }
    }
}

/// A loaded model. Clones share the weights.
#[derive(Clone, Debug)]
pub struct Model {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    device: Device,
    config: ModelConfig,
    tokenizer: Option<Tokenizer>,
    decoder: Box<dyn Decoder>,
    context_len: usize,
    cache_dtype: DType,
    prefill_chunk: usize,
}

impl Model {
    /// Checks a checkpoint and puts its weights on `device` as they are stored (f32, f16 or bf16;
    /// activations are f32). The error names the file, and the tensor or field.
    pub fn load(device: &Device, source: &Source, options: &ModelOptions) -> Result<Model> {
        let mut config = ModelConfig::from_json(&source.config)?;
        let tokenizer = source.tokenizer()?;
        // Models for chats end a turn with a token that only their vocabulary names.
        for &token in tokenizer.iter().flat_map(Tokenizer::end_tokens) {
            if !config.eos_token_ids.contains(&token) {
                config.eos_token_ids.push(token);
            }
        }
        let context_len = options.context_len.unwrap_or_else(|| config.max_position_embeddings.min(4096));
        if context_len == 0 || context_len > config.max_position_embeddings {
            let most = config.max_position_embeddings;
            return Err(Error::invalid(format!("context_len is {context_len}; the model has 1 to {most}")));
        }
        if !options.cache_dtype.is_float() {
            let message = format!("the cache cannot be {}; f32, f16 and bf16 are possible", options.cache_dtype);
            return Err(Error::dtype(message));
        }
        let weights = Weights::open(source)?;
        let decoder = arch::load_decoder(device, &config, &weights, context_len)?;
        let prefill_chunk = options.prefill_chunk.clamp(1, context_len).next_power_of_two();
        Ok(Model {
            shared: Arc::new(Shared {
                name: source.name.clone(),
                device: device.clone(),
                config,
                tokenizer,
                decoder,
                context_len,
                cache_dtype: options.cache_dtype,
                prefill_chunk,
            }),
        })
    }

    /// A session with an empty key-value cache of its own.
    pub fn session(&self) -> Result<Session> {
        Session::new(self)
    }

    /// What the model is called.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// What it looks like.
    pub fn config(&self) -> &ModelConfig {
        &self.shared.config
    }

    /// Number of weights, tied ones once.
    pub fn parameters(&self) -> u64 {
        self.shared.decoder.parameters()
    }

    /// Longest context of a session, in tokens.
    pub fn context_len(&self) -> usize {
        self.shared.context_len
    }

    /// The device it is on.
    pub fn device(&self) -> &Device {
        &self.shared.device
    }

    /// Its tokenizer; an error if the checkpoint had none.
    pub fn tokenizer(&self) -> Result<&Tokenizer> {
        let tokenizer = self.shared.tokenizer.as_ref();
        tokenizer.ok_or_else(|| Error::invalid(format!("the model {} has no tokenizer", self.shared.name)))
    }

    pub(crate) fn decoder(&self) -> &dyn Decoder {
        &*self.shared.decoder
    }

    pub(crate) fn cache_dtype(&self) -> DType {
        self.shared.cache_dtype
    }

    pub(crate) fn prefill_chunk(&self) -> usize {
        self.shared.prefill_chunk
    }
}
