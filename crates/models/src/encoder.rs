//! Texts to hidden states or vectors: encoders (BERT) run several texts together, decoders one after
//! the other through the engine's cache, without their output projection.

mod text;

use std::sync::{Arc, Mutex, PoisonError};

use unisono_core::{Device, Error, Result, Tensor};

use crate::arch::{self, Encoder, EncoderInputs, Purpose};
use crate::config::{ModelConfig, RopeScaling};
use crate::engine::Session;
use crate::engine::finite;
use crate::engine::wait::fetch;
use crate::formats::{Source, Weights};
use crate::model::{Model, ModelOptions};
use crate::pooling::{Pooling, SentenceConfig, SentenceFiles};
use crate::tokenizer::Tokenizer;

pub use text::{EncodedText, EncoderText};

/// Texts of an encoder that run together. More are split, so that memory does not grow with their
/// number.
const BATCH: usize = 32;

/// Longest text of a decoder: rotary tables are made for so many positions.
const MOST: usize = 1 << 17;

/// Smallest cache of a decoder.
const LEAST: usize = 64;

/// A model that turns texts into hidden states or vectors: an encoder (BERT), or a decoder whose last
/// layer is all that is wanted. Clones share the weights.
///
/// Each method that computes has an `_async` form for every target and, on native ones, a blocking
/// form without the suffix.
#[derive(Clone, Debug)]
pub struct TextEncoder {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    device: Device,
    config: ModelConfig,
    /// Or why there is none.
    tokenizer: Result<Tokenizer>,
    sentence: Option<SentenceConfig>,
    max_tokens: usize,
    network: Network,
    notes: Vec<String>,
}

#[derive(Debug)]
enum Network {
    Encoder(Box<dyn Encoder>),
    /// With the last session that was used: its cache and captured steps serve the next texts.
    Decoder(Model, Mutex<Option<Session>>),
}

impl TextEncoder {
    /// Checks a checkpoint and puts its weights on `device` as they are stored; activations are f32.
    /// The error names the file, and the tensor or field.
    pub fn load(device: &Device, source: &Source) -> Result<TextEncoder> {
        source.check_pointers()?;
        let sentence = source.sentence.as_ref().map(SentenceFiles::config).transpose()?;
        let config = source.config()?;
        let sentence = sentence.or(config.pooling.map(SentenceConfig::pooled));
        let lower_case = sentence.as_ref().is_some_and(|s| s.lower_case);
        let asked = sentence.as_ref().and_then(|s| s.max_seq_length);
        let asked = match asked {
            Some(length) => Some(length),
            None => text::model_max_length(source)?,
        };
        let most = asked.map_or(config.max_position_embeddings, |n| n.clamp(1, config.max_position_embeddings));
        let shared = |max_tokens, config, tokenizer, network, notes| {
            let (name, device) = (source.name().to_owned(), device.clone());
            let shared = Shared { name, device, config, tokenizer, sentence, max_tokens, network, notes };
            TextEncoder { shared: Arc::new(shared) }
        };
        let tokenizer = text::tokenizer(source, lower_case)?;
        if !config.architecture.is_encoder() {
            let most = most.min(MOST).min(own_context(&config));
            let options = ModelOptions { context_len: Some(most), ..ModelOptions::default() };
            let model = Model::load_for(device, source, &options, Purpose::Embed, &mut |_, _| {})?;
            let (config, notes) = (model.config().clone(), model.notes().to_vec());
            return Ok(shared(most, config, tokenizer, Network::Decoder(model, Mutex::new(None)), notes));
        }
        let weights = Weights::open(source)?;
        let network = arch::load_encoder(device, &config, &weights)?;
        let notes = [source.notes(), &config.notes[..], weights.notes()].concat();
        Ok(shared(most, config, tokenizer, Network::Encoder(network), notes))
    }

    /// The hidden states of each text after the last layer (and its norm), `[tokens, hidden]`
    /// row-major. Fails on no tokens, on more than a text can have, on tokens or types that do not
    /// exist, and on a value that is not finite.
    pub async fn hidden_async<'a, T: Into<EncoderText<'a>> + Copy>(&self, texts: &[T]) -> Result<Vec<Vec<f32>>> {
        let width = self.shared.config.hidden_size;
        let mut all = Vec::with_capacity(texts.len());
        match &self.shared.network {
            Network::Encoder(network) => {
                for texts in texts.chunks(BATCH) {
                    let texts: Vec<EncoderText<'a>> = texts.iter().map(|&text| text.into()).collect();
                    let hidden = self.run(&**network, &texts)?;
                    let values = floats(&fetch(hidden.read()).await?);
                    let longest = hidden.shape().get(1).copied().unwrap_or(0);
                    for (rows, text) in values.chunks((longest * width).max(1)).zip(&texts) {
                        all.push(rows.iter().copied().take(text.tokens.len() * width).collect::<Vec<f32>>());
                    }
                }
            }
            Network::Decoder(model, kept) => {
                for &text in texts {
                    let text = text.into();
                    self.check(&text)?;
                    let mut session = self.session(model, kept, text.tokens.len())?;
                    session.reset();
                    let hidden = session.all_hidden_async(text.tokens).await?;
                    keep(kept, session);
                    all.push(hidden);
                }
            }
        }
        all.iter().try_for_each(|hidden| self.check_finite("hidden states", hidden))?;
        Ok(all)
    }

    /// One vector `[hidden]` for each text: its hidden states pooled, and divided by their 2-norm if
    /// `normalise`. Fails as [`hidden_async`](Self::hidden_async) does.
    pub async fn embed_async<'a, T: Into<EncoderText<'a>> + Copy>(
        &self,
        texts: &[T],
        pooling: Pooling,
        normalise: bool,
    ) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(texts.len());
        match &self.shared.network {
            Network::Encoder(network) => {
                for texts in texts.chunks(BATCH) {
                    let texts: Vec<EncoderText<'a>> = texts.iter().map(|&text| text.into()).collect();
                    let hidden = self.run(&**network, &texts)?;
                    let counted: Vec<_> = texts.iter().map(|text| (text.tokens.len(), text.prompt)).collect();
                    let mut pooled = pooling.apply(&self.shared.device, &hidden, &counted)?;
                    if normalise {
                        // The least length is that of PyTorch's `normalize`.
                        pooled = pooled.l2_norm(1e-12)?;
                    }
                    let values = floats(&fetch(pooled.read()).await?);
                    all.extend(values.chunks(self.shared.config.hidden_size).map(<[f32]>::to_vec));
                }
            }
            Network::Decoder(model, kept) => {
                for &text in texts {
                    let text = text.into();
                    self.check(&text)?;
                    let mut session = self.session(model, kept, text.tokens.len())?;
                    let vector = session.embed_after_async(text.tokens, text.prompt, pooling, normalise).await?;
                    keep(kept, session);
                    all.push(vector);
                }
            }
        }
        all.iter().try_for_each(|vector| self.check_finite("embeddings", vector))?;
        Ok(all)
    }

    fn check_finite(&self, what: &str, values: &[f32]) -> Result<()> {
        finite::check_floats(&self.shared.device, what, values)
    }

    /// A session with room for `len` tokens: the last one, or a new one.
    fn session(&self, model: &Model, kept: &Mutex<Option<Session>>, len: usize) -> Result<Session> {
        let kept = kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        match kept.filter(|session| session.capacity() >= len) {
            Some(session) => Ok(session),
            None => Session::with_capacity(model, len.next_power_of_two().max(LEAST).min(model.context_len())),
        }
    }

    /// Hidden states `[batch, longest, hidden]` of at most [`BATCH`] texts.
    fn run(&self, network: &dyn Encoder, texts: &[EncoderText<'_>]) -> Result<Tensor> {
        texts.iter().try_for_each(|text| self.check(text))?;
        let longest = texts.iter().map(|text| text.tokens.len()).max().unwrap_or(0);
        let shape = [texts.len(), longest];
        let packed = |part: fn(&EncoderText<'_>) -> Vec<u32>| {
            let padded = |text| part(text).into_iter().chain(std::iter::repeat(0)).take(longest);
            self.shared.device.tensor(&texts.iter().flat_map(padded).collect::<Vec<u32>>(), &shape)
        };
        let lengths: Vec<u32> = texts.iter().map(|text| text.tokens.len() as u32).collect();
        network.hidden(&EncoderInputs {
            tokens: packed(|text| text.tokens.to_vec())?,
            types: packed(|text| text.types.to_vec())?,
            lengths: self.shared.device.tensor(&lengths, &[texts.len()])?,
        })
    }

    fn check(&self, text: &EncoderText<'_>) -> Result<()> {
        let (config, tokens) = (&self.shared.config, text.tokens);
        let most = match &self.shared.network {
            Network::Encoder(_) => config.max_position_embeddings,
            Network::Decoder(model, _) => model.context_len(),
        };
        if tokens.is_empty() || tokens.len() > most {
            return Err(Error::invalid(format!("a text has {} tokens; 1 to {most} are possible", tokens.len())));
        }
        if let Some(token) = tokens.iter().find(|&&t| t as usize >= config.vocab_size) {
            return Err(Error::invalid(format!("token {token} is outside the vocabulary of {}", config.vocab_size)));
        }
        // A decoder has one type of tokens.
        let kinds = config.type_vocab_size.max(1);
        if let Some(kind) = text.types.iter().find(|&&t| t as usize >= kinds) {
            return Err(Error::invalid(format!("token type {kind} is outside the {kinds} types of the model")));
        }
        if !text.types.is_empty() && text.types.len() != tokens.len() {
            let (types, tokens) = (text.types.len(), tokens.len());
            return Err(Error::invalid(format!("{types} token types for {tokens} tokens")));
        }
        Ok(())
    }

    /// What the model is called.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// What it looks like.
    pub fn config(&self) -> &ModelConfig {
        &self.shared.config
    }

    /// Number of weights.
    pub fn parameters(&self) -> u64 {
        match &self.shared.network {
            Network::Encoder(network) => network.parameters(),
            Network::Decoder(model, _) => model.parameters(),
        }
    }

    /// The device it is on.
    pub fn device(&self) -> &Device {
        &self.shared.device
    }

    /// What sentence-transformers does with it, if the checkpoint says.
    pub fn sentence(&self) -> Option<&SentenceConfig> {
        self.shared.sentence.as_ref()
    }

    /// What the files say twice, wrongly or not at all and how that was decided, in words for people.
    pub fn notes(&self) -> &[String] {
        &self.shared.notes
    }

    /// How many tokens of a text are looked at, special ones included.
    pub fn max_tokens(&self) -> usize {
        self.shared.max_tokens
    }

    /// Its tokenizer; an error that says why if the checkpoint had none.
    pub fn tokenizer(&self) -> Result<&Tokenizer> {
        self.shared.tokenizer.as_ref().map_err(Clone::clone)
    }
}

/// The longest text that is rotated as transformers would rotate it: LongRoPE changes its frequencies
/// for texts longer than the original context, and one set of them is chosen here.
fn own_context(config: &ModelConfig) -> usize {
    match config.rope.as_ref().map(|rope| &rope.scaling) {
        Some(RopeScaling::LongRope { original_context, .. }) => (*original_context as usize).max(1),
        _ => usize::MAX,
    }
}

/// Leaves a session to the next text.
fn keep(kept: &Mutex<Option<Session>>, session: Session) {
    *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
}

/// Elements of a tensor as read. The bytes come from a backend, not from a stranger.
fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

#[cfg(not(target_family = "wasm"))]
impl TextEncoder {
    /// [`hidden_async`](Self::hidden_async), waiting for the result.
    pub fn hidden<'a, T: Into<EncoderText<'a>> + Copy>(&self, texts: &[T]) -> Result<Vec<Vec<f32>>> {
        crate::engine::wait::block_on(self.hidden_async(texts))
    }

    /// [`embed_async`](Self::embed_async), waiting for the result.
    pub fn embed<'a, T: Into<EncoderText<'a>> + Copy>(
        &self,
        texts: &[T],
        pooling: Pooling,
        normalise: bool,
    ) -> Result<Vec<Vec<f32>>> {
        crate::engine::wait::block_on(self.embed_async(texts, pooling, normalise))
    }
}
