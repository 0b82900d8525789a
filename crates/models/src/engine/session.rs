//! A session: one key-value cache and the captured steps that fill it.
//!
//! A step is captured once for each number of tokens and each kind of result, then replayed with
//! new data: a decode step is one write of a few numbers, one submission and one read, and compiles
//! nothing after the first. Prompts run in chunks whose sizes are powers of two; a shorter rest is
//! padded with tokens at positions outside the cache, which write nothing, and with limit 0, which
//! see nothing. So a session needs a handful of programs whatever the lengths of its prompts.

use std::collections::HashMap;

use unisono_core::{Captured, DType, Error, Result, Tensor, TensorDesc};

use crate::engine::cache::KvCache;
use crate::engine::step::StepInputs;
use crate::engine::wait::fetch;
use crate::model::Model;

/// Smallest padded chunk; a single token has a step of its own.
const MIN_CHUNK: usize = 8;

/// One conversation with a model: its key-value cache and position.
///
/// Each method that computes has an `_async` form for every target and, on native ones, a blocking
/// form without the suffix.
#[derive(Debug)]
pub struct Session {
    model: Model,
    cache: KvCache,
    len: usize,
    steps: HashMap<(usize, Want), Step>,
}

/// What a step delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Want {
    /// Only the cache is filled.
    Nothing,
    /// The most likely token after the last one: u32 `[1, 1]`.
    Token,
    /// Logits after the last token: f32 `[1, vocab]`.
    Logits,
    /// Logits after every token, padding included: f32 `[n, vocab]`.
    AllLogits,
}

/// A captured step with its persistent tensors.
#[derive(Debug)]
struct Step {
    captured: Captured,
    input: Tensor,
    output: Option<Tensor>,
}

impl Session {
    pub(crate) fn new(model: &Model) -> Result<Session> {
        let cache = KvCache::new(model.device(), model.config(), model.context_len(), model.cache_dtype())?;
        Ok(Session { model: model.clone(), cache, len: 0, steps: HashMap::new() })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Tokens in the cache.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is in the cache.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many more tokens fit.
    pub fn remaining(&self) -> usize {
        self.model.context_len() - self.len
    }

    /// Forgets all tokens; captured steps stay.
    pub fn reset(&mut self) {
        self.len = 0;
    }

    /// Adds tokens and returns the logits (f32, one per token of the vocabulary) that predict the
    /// next one. Fails on no tokens, on one outside the vocabulary and if the context is full.
    pub async fn prefill_async(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        let output = self.feed(tokens, Want::Logits)?;
        Ok(floats(&fetch(output.read()).await?))
    }

    /// [`prefill_async`](Self::prefill_async) that chooses the most likely next token on the
    /// device (the lowest of equals) and reads nothing else.
    pub async fn prefill_token_async(&mut self, tokens: &[u32]) -> Result<u32> {
        let output = self.feed(tokens, Want::Token)?;
        let bytes = fetch(output.read()).await?;
        let token = bytes.try_into().map_err(|_| Error::internal("a token was read that has not four bytes"))?;
        Ok(u32::from_le_bytes(token))
    }

    /// Adds one token and returns the logits that predict the next one.
    pub async fn decode_async(&mut self, token: u32) -> Result<Vec<f32>> {
        self.prefill_async(&[token]).await
    }

    /// Adds one token and returns the most likely next one: the step of greedy generation.
    pub async fn decode_token_async(&mut self, token: u32) -> Result<u32> {
        self.prefill_token_async(&[token]).await
    }

    /// Adds tokens and returns the logits after each of them, `[tokens, vocab]` row-major.
    pub async fn all_logits_async(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        self.check(tokens)?;
        let mut logits = Vec::new();
        for chunk in tokens.chunks(self.model.prefill_chunk()) {
            let Some(output) = self.run(chunk, Want::AllLogits)? else {
                return Err(Error::internal("a step with logits has no output"));
            };
            let valid = output.slice(0, 0..chunk.len())?;
            logits.extend(floats(&fetch(valid.read()).await?));
        }
        Ok(logits)
    }

    fn check(&self, tokens: &[u32]) -> Result<()> {
        if tokens.is_empty() {
            return Err(Error::invalid("there is no token to predict from"));
        }
        let vocab = self.model.config().vocab_size;
        if let Some(token) = tokens.iter().find(|&&t| t as usize >= vocab) {
            return Err(Error::invalid(format!("token {token} is outside the vocabulary of {vocab}")));
        }
        if tokens.len() > self.remaining() {
            return Err(Error::invalid(format!(
                "the context of {} tokens is full: it holds {}, {} more do not fit",
                self.model.context_len(),
                self.len,
                tokens.len()
            )));
        }
        Ok(())
    }

    /// Runs all chunks and returns the result of the last.
    fn feed(&mut self, tokens: &[u32], want: Want) -> Result<Tensor> {
        self.check(tokens)?;
        let mut chunks = tokens.chunks(self.model.prefill_chunk()).peekable();
        let mut output = None;
        while let Some(chunk) = chunks.next() {
            output = self.run(chunk, if chunks.peek().is_some() { Want::Nothing } else { want })?;
        }
        output.ok_or_else(|| Error::internal("a step with a result has no output"))
    }

    /// Runs one chunk of checked tokens.
    fn run(&mut self, tokens: &[u32], want: Want) -> Result<Option<Tensor>> {
        let n = match tokens.len() {
            1 => 1,
            len => len.next_power_of_two().max(MIN_CHUNK),
        };
        let (len, context_len) = (self.len, self.model.context_len());
        let step = match self.steps.entry((n, want)) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(Step::capture(&self.model, &self.cache, n, want)?)
            }
        };
        let valid = tokens.len();
        // Padding: distinct positions outside the cache, because indices of a scatter are distinct.
        let positions = (0..n).map(|i| if i < valid { len + i } else { context_len + i });
        let limits = (0..n).map(|i| if i < valid { len + i + 1 } else { 0 });
        let padding = std::iter::repeat_n(0, n - valid);
        let mut packed: Vec<u32> = tokens.iter().copied().chain(padding).collect();
        packed.extend(positions.chain(limits).chain([valid - 1]).map(|i| i as u32));
        step.input.write(&packed)?;
        let output = step.output.clone();
        step.captured.run_into(&[&step.input], &output.iter().collect::<Vec<_>>())?;
        self.len += valid;
        Ok(output)
    }
}

impl Step {
    fn capture(model: &Model, cache: &KvCache, n: usize, want: Want) -> Result<Step> {
        let (device, decoder) = (model.device(), model.decoder());
        let packed = TensorDesc::contiguous(DType::U32, &[StepInputs::packed_len(n)])?;
        let mut shape = None;
        let captured = device.capture(&[packed], |inputs| {
            let [packed] = inputs else { return Err(Error::internal("a step has one input")) };
            let step = StepInputs::unpack(packed, n)?;
            let hidden = decoder.hidden(&step, cache)?;
            let row_logits = || {
                let row = if n == 1 { hidden.clone() } else { hidden.gather_rows(&step.row)? };
                decoder.logits(&row)
            };
            let output = match want {
                Want::Nothing => return Ok(Vec::new()),
                Want::Token => row_logits()?.argmax(1)?,
                Want::Logits => row_logits()?,
                Want::AllLogits => decoder.logits(&hidden)?,
            };
            shape = Some(*output.desc());
            Ok(vec![output])
        })?;
        let output = shape.map(|desc| device.empty(desc.dtype, &desc.shape)).transpose()?;
        Ok(Step { captured, input: device.empty(DType::U32, &packed.shape)?, output })
    }
}

/// Elements of a tensor as read. The bytes come from a backend, not from a stranger.
fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

#[cfg(not(target_family = "wasm"))]
impl Session {
    /// [`prefill_async`](Self::prefill_async), waiting for the result.
    pub fn prefill(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        crate::engine::wait::block_on(self.prefill_async(tokens))
    }

    /// [`prefill_token_async`](Self::prefill_token_async), waiting for the result.
    pub fn prefill_token(&mut self, tokens: &[u32]) -> Result<u32> {
        crate::engine::wait::block_on(self.prefill_token_async(tokens))
    }

    /// [`decode_async`](Self::decode_async), waiting for the result.
    pub fn decode(&mut self, token: u32) -> Result<Vec<f32>> {
        crate::engine::wait::block_on(self.decode_async(token))
    }

    /// [`decode_token_async`](Self::decode_token_async), waiting for the result.
    pub fn decode_token(&mut self, token: u32) -> Result<u32> {
        crate::engine::wait::block_on(self.decode_token_async(token))
    }

    /// [`all_logits_async`](Self::all_logits_async), waiting for the result.
    pub fn all_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        crate::engine::wait::block_on(self.all_logits_async(tokens))
    }
}
