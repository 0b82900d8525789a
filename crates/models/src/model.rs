//! A model on a device: configuration, tokenizer and weights, shared by its sessions.

use std::cell::RefCell;
use std::sync::Arc;

use unisono_core::{DType, Device, Error, Result};

use crate::arch::{self, Decoder, Purpose};
use crate::config::{self, ModelConfig};
use crate::engine::cache::Layout;
use crate::engine::memory::Demand;
use crate::engine::{Batch, BatchOptions, Session};
use crate::formats::{Source, Weights};
use crate::tokenizer::Tokenizer;

/// How a model is run.
#[derive(Clone, Debug)]
pub struct ModelOptions {
    /// Longest context of a session; by default that of the model, at most 4096.
    pub context_len: Option<usize>,
    /// Element type of the key-value cache: any floating-point one, or q8_0 where 32 divides the
    /// size of a head.
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
    /// Or why there is none.
    tokenizer: Result<Tokenizer>,
    decoder: Box<dyn Decoder>,
    context_len: usize,
    cache_dtype: DType,
    prefill_chunk: usize,
    notes: Vec<String>,
}

impl Model {
    /// Checks a checkpoint and puts its weights on `device` as they are stored (activations are
    /// f32). The error names the file, and the tensor or field; one of too little memory says what
    /// was asked for and what there is.
    pub fn load(device: &Device, source: &Source, options: &ModelOptions) -> Result<Model> {
        Model::load_with_progress(device, source, options, &mut |_, _| {})
    }

    /// [`load`](Self::load) that tells `progress` how many bytes of weights were read and how many
    /// there are, after each tensor and at the end.
    pub fn load_with_progress(
        device: &Device,
        source: &Source,
        options: &ModelOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Model> {
        Model::load_for(device, source, options, Purpose::Predict, progress)
    }

    /// [`load_with_progress`](Self::load_with_progress), with the output projection or without.
    pub(crate) fn load_for(
        device: &Device,
        source: &Source,
        options: &ModelOptions,
        purpose: Purpose,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Model> {
        source.check_pointers()?;
        let mut config = source.config()?;
        let mut notes = [source.notes(), &config.notes[..]].concat();
        let tokenizer = source.tokenizer_or_why()?;
        // Models for chats end a turn with a token that only their vocabulary or this file names.
        let listed = source.generation.as_deref().map(|json| config::end_tokens(json, config.vocab_size));
        let (listed, more) = listed.transpose()?.unwrap_or_default();
        notes.extend(more);
        for &token in listed.iter().chain(tokenizer.iter().flat_map(Tokenizer::end_tokens)) {
            if !config.eos_token_ids.contains(&token) {
                config.eos_token_ids.push(token);
            }
        }
        let context_len = options.context_len.unwrap_or_else(|| config.max_position_embeddings.min(4096));
        if context_len == 0 || context_len > config.max_position_embeddings {
            let most = config.max_position_embeddings;
            return Err(Error::invalid(format!("context_len is {context_len}; the model has 1 to {most}")));
        }
        check_cache_dtype(options.cache_dtype, &config)?;
        let weights = Weights::open(source)?;
        notes.extend_from_slice(weights.notes());
        notes.extend(arch::resolve_tying(&mut config, &weights)?);
        let total = weights.total_bytes();
        // For embedding, the cache is as long as the longest text and comes later.
        let cached = if purpose == Purpose::Predict { context_len } else { 1 };
        let layout = Layout::Contiguous { caches: 1, context_len: cached };
        let demand = Demand { weights: total, layout, dtype: options.cache_dtype };
        demand.check(device, &config)?;
        progress(0, total);
        let told = RefCell::new(progress);
        let tell = |done, total| (told.borrow_mut())(done, total);
        let weights = weights.with_progress(&tell);
        let decoder = arch::load_decoder(device, &config, &weights, context_len, purpose)
            .map_err(|e| demand.explain(e, device, &config))?;
        tell(total, total);
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
                notes,
            }),
        })
    }

    /// A session with an empty key-value cache of its own.
    pub fn session(&self) -> Result<Session> {
        Session::new(self)
    }

    /// A batch without texts, with a key-value cache of its own. Fails on sizes of 0, and where the
    /// cache does not fit the device.
    pub fn batch(&self, options: &BatchOptions) -> Result<Batch> {
        Batch::new(self, options)
    }

    /// What the model is called.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// What it looks like.
    pub fn config(&self) -> &ModelConfig {
        &self.shared.config
    }

    /// What the files say twice, wrongly or not at all and how that was decided, in words for people:
    /// each is worth showing once.
    pub fn notes(&self) -> &[String] {
        &self.shared.notes
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

    /// Its tokenizer; an error that says why if the checkpoint had none.
    pub fn tokenizer(&self) -> Result<&Tokenizer> {
        self.shared.tokenizer.as_ref().map_err(Clone::clone)
    }

    /// Fails on no tokens and on one outside the vocabulary.
    pub(crate) fn check_tokens(&self, tokens: &[u32]) -> Result<()> {
        if tokens.is_empty() {
            return Err(Error::invalid("there is no token to predict from"));
        }
        let vocab = self.config().vocab_size;
        match tokens.iter().find(|&&t| t as usize >= vocab) {
            Some(token) => Err(Error::invalid(format!("token {token} is outside the vocabulary of {vocab}"))),
            None => Ok(()),
        }
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

fn check_cache_dtype(dtype: DType, config: &ModelConfig) -> Result<()> {
    let block = DType::Q8_0.block_elements();
    match dtype {
        dtype if dtype.is_float() => Ok(()),
        DType::Q8_0 if config.head_dim.is_multiple_of(block) => Ok(()),
        DType::Q8_0 => {
            let message = format!("the cache cannot be q8_0: {block} does not divide head_dim {}", config.head_dim);
            Err(Error::dtype(message))
        }
        other => Err(Error::dtype(format!("the cache cannot be {other}; f32, f16, bf16 and q8_0 are possible"))),
    }
}
