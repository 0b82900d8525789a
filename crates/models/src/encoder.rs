//! An encoder on a device: texts go in together, hidden states or one vector for each come out.

use std::sync::Arc;

use unisono_core::{Device, Error, Result, Tensor};

use crate::arch::{self, Encoder, EncoderInputs};
use crate::config::ModelConfig;
use crate::engine::wait::fetch;
use crate::formats::{Source, Weights};
use crate::pooling::{Pooling, SentenceConfig, SentenceFiles};
use crate::tokenizer::Tokenizer;

/// Texts that run together. More are split, so that memory does not grow with their number.
const BATCH: usize = 32;

/// A loaded encoder (BERT). Clones share the weights.
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
    tokenizer: Option<Tokenizer>,
    sentence: Option<SentenceConfig>,
    network: Box<dyn Encoder>,
}

/// The tokens of a text, special ones included.
#[derive(Clone, Copy, Debug)]
pub struct EncoderText<'a> {
    /// Token ids.
    pub tokens: &'a [u32],
    /// The type of each token (0 for a first sentence, 1 for a second); empty if all are 0.
    pub types: &'a [u32],
}

impl<'a> From<&'a [u32]> for EncoderText<'a> {
    fn from(tokens: &'a [u32]) -> EncoderText<'a> {
        EncoderText { tokens, types: &[] }
    }
}

impl<'a> From<&'a Vec<u32>> for EncoderText<'a> {
    fn from(tokens: &'a Vec<u32>) -> EncoderText<'a> {
        EncoderText { tokens, types: &[] }
    }
}

impl TextEncoder {
    /// Checks a checkpoint and puts its weights on `device` as they are stored; activations are f32.
    /// The error names the file, and the tensor or field. Fails on decoders.
    pub fn load(device: &Device, source: &Source) -> Result<TextEncoder> {
        let config = ModelConfig::from_json(&source.config)?;
        let tokenizer = source.tokenizer()?;
        // Files that only say how to pool mean vectors that are compared by their angle.
        let pooled = |pooling| SentenceConfig { pooling, normalise: true, max_seq_length: None };
        let sentence = source.sentence.as_ref().map(SentenceFiles::config).transpose()?;
        let sentence = sentence.or(config.pooling.map(pooled));
        let network = arch::load_encoder(device, &config, &Weights::open(source)?)?;
        let shared = Shared { name: source.name.clone(), device: device.clone(), config, tokenizer, sentence, network };
        Ok(TextEncoder { shared: Arc::new(shared) })
    }

    /// The hidden states of each text after the last layer, `[tokens, hidden]` row-major. Fails on
    /// no tokens, on more than [`max_tokens`](Self::max_tokens), and on tokens or types that do not
    /// exist.
    pub async fn hidden_async<'a, T: Into<EncoderText<'a>> + Copy>(&self, texts: &[T]) -> Result<Vec<Vec<f32>>> {
        let width = self.shared.config.hidden_size;
        let mut all = Vec::with_capacity(texts.len());
        for texts in texts.chunks(BATCH) {
            let (hidden, lengths) = self.run(texts)?;
            let values = floats(&fetch(hidden.read()).await?);
            let longest = hidden.shape().get(1).copied().unwrap_or(0);
            let rows = values.chunks((longest * width).max(1)).zip(&lengths);
            all.extend(rows.map(|(rows, &length)| rows.iter().copied().take(length as usize * width).collect()));
        }
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
        for texts in texts.chunks(BATCH) {
            let (hidden, lengths) = self.run(texts)?;
            let mut pooled = pooling.apply(&self.shared.device, &hidden, &lengths)?;
            if normalise {
                // The least length is that of PyTorch's `normalize`.
                pooled = pooled.l2_norm(1e-12)?;
            }
            let values = floats(&fetch(pooled.read()).await?);
            all.extend(values.chunks(self.shared.config.hidden_size).map(<[f32]>::to_vec));
        }
        Ok(all)
    }

    /// Hidden states `[batch, longest, hidden]` of at most [`BATCH`] texts, and their lengths.
    fn run<'a, T: Into<EncoderText<'a>> + Copy>(&self, texts: &[T]) -> Result<(Tensor, Vec<u32>)> {
        let texts: Vec<EncoderText<'a>> = texts.iter().map(|&text| text.into()).collect();
        texts.iter().try_for_each(|text| self.check(text))?;
        let longest = texts.iter().map(|text| text.tokens.len()).max().unwrap_or(0);
        let shape = [texts.len(), longest];
        let packed = |part: fn(&EncoderText<'a>) -> &'a [u32]| {
            let padded = |text| part(text).iter().copied().chain(std::iter::repeat(0)).take(longest);
            self.shared.device.tensor(&texts.iter().flat_map(padded).collect::<Vec<u32>>(), &shape)
        };
        let lengths: Vec<u32> = texts.iter().map(|text| text.tokens.len() as u32).collect();
        let inputs = EncoderInputs {
            tokens: packed(|text| text.tokens)?,
            types: packed(|text| text.types)?,
            lengths: self.shared.device.tensor(&lengths, &[texts.len()])?,
        };
        Ok((self.shared.network.hidden(&inputs)?, lengths))
    }

    fn check(&self, text: &EncoderText<'_>) -> Result<()> {
        let (config, tokens) = (&self.shared.config, text.tokens);
        if tokens.is_empty() || tokens.len() > config.max_position_embeddings {
            let most = config.max_position_embeddings;
            return Err(Error::invalid(format!("a text has {} tokens; 1 to {most} are possible", tokens.len())));
        }
        if let Some(token) = tokens.iter().find(|&&t| t as usize >= config.vocab_size) {
            return Err(Error::invalid(format!("token {token} is outside the vocabulary of {}", config.vocab_size)));
        }
        if let Some(kind) = text.types.iter().find(|&&t| t as usize >= config.type_vocab_size) {
            let kinds = config.type_vocab_size;
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
        self.shared.network.parameters()
    }

    /// The device it is on.
    pub fn device(&self) -> &Device {
        &self.shared.device
    }

    /// What sentence-transformers does with it, if the checkpoint says.
    pub fn sentence(&self) -> Option<&SentenceConfig> {
        self.shared.sentence.as_ref()
    }

    /// How many tokens of a text are looked at, special ones included.
    pub fn max_tokens(&self) -> usize {
        let most = self.shared.config.max_position_embeddings;
        self.sentence().and_then(|s| s.max_seq_length).map_or(most, |length| length.clamp(1, most))
    }

    /// The first tokens of a text that is longer than [`max_tokens`](Self::max_tokens), with its last
    /// one (`[SEP]`) at the end.
    pub fn truncate(&self, mut tokens: Vec<u32>) -> Vec<u32> {
        let most = self.max_tokens();
        if let Some(last) = tokens.last().copied().filter(|_| tokens.len() > most) {
            tokens.truncate(most);
            tokens[most - 1] = last;
        }
        tokens
    }

    /// Its tokenizer; an error if the checkpoint had none.
    pub fn tokenizer(&self) -> Result<&Tokenizer> {
        let tokenizer = self.shared.tokenizer.as_ref();
        tokenizer.ok_or_else(|| Error::invalid(format!("the model {} has no tokenizer", self.shared.name)))
    }
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
