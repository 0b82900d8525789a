//! A session: one text, its key-value cache and the captured steps that fill it.

use unisono_core::{Error, Result, Tensor};

use crate::engine::cache::Layout;
use crate::engine::finite;
use crate::engine::runner::{Runner, Want, floats, tokens};
use crate::engine::wait::fetch;
use crate::model::Model;

/// One conversation with a model: its key-value cache and the tokens in it.
///
/// Each method that computes has an `_async` form for every target and, on native ones, a blocking
/// form without the suffix.
#[derive(Debug)]
pub struct Session {
    runner: Runner,
    tokens: Vec<u32>,
    /// Tokens that the cache has room for.
    capacity: usize,
}

impl Session {
    pub(crate) fn new(model: &Model) -> Result<Session> {
        Session::with_capacity(model, model.context_len())
    }

    /// A session for texts of at most `capacity` tokens, which is no more than the model's context.
    pub(crate) fn with_capacity(model: &Model, capacity: usize) -> Result<Session> {
        let layout = Layout::Contiguous { caches: 1, context_len: capacity };
        Ok(Session { runner: Runner::new(model, layout, 1)?, tokens: Vec::new(), capacity })
    }

    /// Tokens that the cache has room for.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// The model.
    pub fn model(&self) -> &Model {
        self.runner.model()
    }

    /// The tokens in the cache.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Tokens in the cache.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether nothing is in the cache.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// How many more tokens fit.
    pub fn remaining(&self) -> usize {
        self.capacity - self.len()
    }

    /// Forgets all tokens; captured steps stay.
    pub fn reset(&mut self) {
        self.tokens.clear();
    }

    /// Forgets all tokens but the first `len`, as if the others had never been added. Nothing
    /// happens if there are fewer.
    pub fn truncate(&mut self, len: usize) {
        self.tokens.truncate(len);
    }

    /// Adds tokens and returns the logits (f32, one per token of the vocabulary) that predict the
    /// next one. Fails on no tokens, on one outside the vocabulary, if the context is full and on
    /// logits that are not finite.
    pub async fn prefill_async(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        let output = self.feed(tokens, Want::Logits)?;
        let logits = floats(&fetch(output.read()).await?);
        finite::check(self.model(), &self.after("the logits", self.len()), &logits)?;
        Ok(logits)
    }

    /// [`prefill_async`](Self::prefill_async) that chooses the most likely next token on the
    /// device (the lowest of equals) and reads nothing else.
    pub async fn prefill_token_async(&mut self, tokens: &[u32]) -> Result<u32> {
        let output = self.feed(tokens, Want::Tokens)?;
        let read = self::tokens(&fetch(output.read()).await?);
        let token = read.first().copied().ok_or_else(|| Error::internal("a step with a token has none"))?;
        token.ok_or_else(|| finite::error(self.model(), &self.after("the logits", self.len())))
    }

    /// What is computed after the first `len` tokens, for errors.
    fn after(&self, what: &str, len: usize) -> String {
        format!("{what} after token {len}")
    }

    /// Adds one token and returns the logits that predict the next one.
    pub async fn decode_async(&mut self, token: u32) -> Result<Vec<f32>> {
        self.prefill_async(&[token]).await
    }

    /// Adds one token and returns the most likely next one: the step of greedy generation.
    pub async fn decode_token_async(&mut self, token: u32) -> Result<u32> {
        self.prefill_token_async(&[token]).await
    }

    /// Adds tokens for what follows; nothing is computed from the last of them.
    pub async fn read_async(&mut self, tokens: &[u32]) -> Result<()> {
        self.check(tokens)?;
        tokens.chunks(self.runner.max_tokens()).try_for_each(|chunk| self.step(chunk, Want::Nothing).map(drop))
    }

    /// Adds tokens and returns the logits after each of them, `[tokens, vocab]` row-major.
    pub async fn all_logits_async(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        self.all(tokens, Want::AllLogits).await
    }

    /// Adds tokens and returns their hidden states after the last norm, `[tokens, hidden]`
    /// row-major.
    pub async fn all_hidden_async(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        self.all(tokens, Want::AllHidden).await
    }

    async fn all(&mut self, tokens: &[u32], want: Want) -> Result<Vec<f32>> {
        self.check(tokens)?;
        let what = if want == Want::AllHidden { "the hidden states" } else { "the logits" };
        let mut rows = Vec::new();
        for chunk in tokens.chunks(self.runner.max_tokens()) {
            let before = self.len();
            let valid = self.run(chunk, want)?.slice(0, 0..chunk.len())?;
            let read = floats(&fetch(valid.read()).await?);
            for (i, row) in read.chunks((read.len() / chunk.len()).max(1)).enumerate() {
                finite::check(self.model(), &self.after(what, before + i + 1), row)?;
            }
            rows.extend(read);
        }
        Ok(rows)
    }

    fn check(&self, tokens: &[u32]) -> Result<()> {
        self.model().check_tokens(tokens)?;
        if tokens.len() > self.remaining() {
            return Err(Error::invalid(format!(
                "the context of {} tokens is full: it holds {}, {} more do not fit",
                self.capacity,
                self.len(),
                tokens.len()
            )));
        }
        Ok(())
    }

    /// Runs all chunks and returns the result of the last.
    fn feed(&mut self, tokens: &[u32], want: Want) -> Result<Tensor> {
        self.check(tokens)?;
        let most = self.runner.max_tokens();
        let last = tokens.len().saturating_sub(1) / most * most;
        let (before, last) = tokens.split_at(last);
        before.chunks(most).try_for_each(|chunk| self.step(chunk, Want::Nothing).map(drop))?;
        self.run(last, want)
    }

    /// Runs one chunk of checked tokens for its result.
    fn run(&mut self, tokens: &[u32], want: Want) -> Result<Tensor> {
        self.step(tokens, want)?.ok_or_else(|| Error::internal("a step with a result has no output"))
    }

    fn step(&mut self, tokens: &[u32], want: Want) -> Result<Option<Tensor>> {
        let start = self.len();
        let entries: Vec<_> = tokens.iter().enumerate().map(|(i, &token)| (token, start + i, 0)).collect();
        let (output, _) = self.runner.run(&entries, &[tokens.len() - 1], want)?;
        self.tokens.extend_from_slice(tokens);
        Ok(output)
    }
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

    /// [`read_async`](Self::read_async), waiting until it is under way.
    pub fn read(&mut self, tokens: &[u32]) -> Result<()> {
        crate::engine::wait::block_on(self.read_async(tokens))
    }

    /// [`all_logits_async`](Self::all_logits_async), waiting for the result.
    pub fn all_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        crate::engine::wait::block_on(self.all_logits_async(tokens))
    }

    /// [`all_hidden_async`](Self::all_hidden_async), waiting for the result.
    pub fn all_hidden(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        crate::engine::wait::block_on(self.all_hidden_async(tokens))
    }
}
