//! Generation: a prompt goes in, text comes out piece by piece.

use std::ops::ControlFlow;
use std::time::Duration;

use unisono_core::{Error, Result};
use web_time::Instant;

use crate::engine::sample::{SampleOptions, Sampler};
use crate::engine::session::Session;
use crate::engine::stop::StopWatch;
use crate::tokenizer::{Detokenizer, Tokenizer};

/// How text is generated.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    /// Most tokens that are generated.
    pub max_new_tokens: usize,
    /// Whether a token that ends a text ends the generation.
    pub stop_at_eos: bool,
    /// Strings that end the generation. They are not part of the text.
    pub stop: Vec<String>,
    /// How tokens are chosen.
    pub sample: SampleOptions,
}

impl Default for GenerateOptions {
    fn default() -> GenerateOptions {
        GenerateOptions { max_new_tokens: 128, stop_at_eos: true, stop: Vec::new(), sample: SampleOptions::default() }
    }
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The model ended the text.
    EndOfText,
    /// The stop string of this index was written.
    StopString(usize),
    /// As many tokens as asked for.
    MaxNewTokens,
    /// The context has no room for another token.
    ContextFull,
    /// The callback asked for it.
    Callback,
}

impl StopReason {
    /// The name in output for machines.
    pub fn name(self) -> &'static str {
        match self {
            StopReason::EndOfText => "end-of-text",
            StopReason::StopString(_) => "stop-string",
            StopReason::MaxNewTokens => "max-tokens",
            StopReason::ContextFull => "context-full",
            StopReason::Callback => "callback",
        }
    }
}

/// What was generated, and how fast.
#[derive(Clone, Debug)]
pub struct Generation {
    /// The generated tokens, without the one that ends the text. Those of a stop string are here.
    pub tokens: Vec<u32>,
    /// Their text, without a stop string and what follows it.
    pub text: String,
    /// Why it ended.
    pub stop: StopReason,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// From the call until the first token was known. It includes what is compiled at first use.
    pub time_to_first_token: Duration,
    /// Tokens of the prompt divided by the time to the first token.
    pub prompt_tokens_per_second: f64,
    /// Tokens after the first divided by the time they took; 0 if there is none.
    pub decode_tokens_per_second: f64,
}

/// Text as it becomes certain: whole characters, no stop strings.
struct Writer<'a, 'f> {
    detokenizer: Detokenizer<'a>,
    stop: StopWatch,
    text: String,
    on_text: &'f mut dyn FnMut(&str) -> ControlFlow<()>,
}

impl Writer<'_, '_> {
    /// Adds a token; says so where the generation ends with it.
    fn push(&mut self, token: u32) -> Result<Option<StopReason>> {
        let certain = self.stop.push(&self.detokenizer.push(token)?);
        self.text.push_str(&certain);
        let ended = !certain.is_empty() && (self.on_text)(&certain).is_break();
        Ok(self.stop.found().map(StopReason::StopString).or(ended.then_some(StopReason::Callback)))
    }

    /// Gives out what was held back, unless a stop string or the callback ended the text.
    fn finish(self, stop: StopReason) -> Result<(String, StopReason)> {
        let Writer { detokenizer, stop: mut watch, mut text, on_text } = self;
        if matches!(stop, StopReason::Callback | StopReason::StopString(_)) {
            return Ok((text, stop));
        }
        let mut rest = watch.push(&detokenizer.finish()?);
        let found = watch.found().map(StopReason::StopString);
        if found.is_none() {
            rest.push_str(&watch.finish());
        }
        if !rest.is_empty() {
            text.push_str(&rest);
            let _ = on_text(&rest);
        }
        Ok((text, found.unwrap_or(stop)))
    }
}

impl Session {
    /// Adds `prompt` to the session and generates. Special tokens begin the prompt if the session
    /// is empty. `on_text` gets each piece of text as soon as it is certain, and may end the
    /// generation.
    ///
    /// Fails where the model has no tokenizer, the prompt is empty or the prompt does not fit, and
    /// on options that make no sense.
    pub async fn generate_async(
        &mut self,
        prompt: &str,
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generation> {
        let prompt = self.model().tokenizer()?.encode(prompt, self.is_empty())?;
        self.generate_tokens_async(&prompt, options, on_text).await
    }

    /// [`generate_async`](Self::generate_async) with a prompt that is tokens already.
    ///
    /// Afterwards the session holds the prompt and the generated tokens but the last, which was
    /// not read: [`tokens`](Self::tokens) says what a next prompt can build on.
    pub async fn generate_tokens_async(
        &mut self,
        prompt: &[u32],
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generation> {
        let model = self.model().clone();
        let tokenizer: &Tokenizer = model.tokenizer()?;
        let start = Instant::now();
        if prompt.is_empty() {
            return Err(Error::invalid("the prompt is empty"));
        }
        if options.max_new_tokens == 0 {
            return Err(Error::invalid("max_new_tokens is 0; at least one token is generated"));
        }
        let mut sampler = Sampler::new(&options.sample)?;
        let (detokenizer, stop) = (Detokenizer::after(tokenizer, prompt), StopWatch::new(&options.stop)?);
        let mut writer = Writer { detokenizer, stop, text: String::new(), on_text };
        let mut tokens = Vec::new();
        let mut next = self.next_async(prompt, &mut sampler).await?;
        let time_to_first_token = start.elapsed();
        let decode_start = Instant::now();
        let mut decoded = 0;
        let stop = loop {
            if options.stop_at_eos && model.config().eos_token_ids.contains(&next) {
                break StopReason::EndOfText;
            }
            tokens.push(next);
            if let Some(stop) = writer.push(next)? {
                break stop;
            }
            if tokens.len() == options.max_new_tokens {
                break StopReason::MaxNewTokens;
            }
            if self.remaining() == 0 {
                break StopReason::ContextFull;
            }
            next = self.next_async(&[next], &mut sampler).await?;
            decoded += 1;
        };
        let decode_time = decode_start.elapsed();
        let (text, stop) = writer.finish(stop)?;
        Ok(Generation {
            tokens,
            text,
            stop,
            prompt_tokens: prompt.len(),
            time_to_first_token,
            prompt_tokens_per_second: rate(prompt.len(), time_to_first_token),
            decode_tokens_per_second: rate(decoded, decode_time),
        })
    }

    /// Adds tokens and chooses the next: on the device where that is the plain maximum.
    async fn next_async(&mut self, tokens: &[u32], sampler: &mut Sampler) -> Result<u32> {
        if sampler.options().is_plain_greedy() {
            return self.prefill_token_async(tokens).await;
        }
        let logits = self.prefill_async(tokens).await?;
        sampler.sample(&logits, self.tokens())
    }

    /// [`generate_async`](Self::generate_async), waiting for the result.
    #[cfg(not(target_family = "wasm"))]
    pub fn generate(
        &mut self,
        prompt: &str,
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generation> {
        crate::engine::wait::block_on(self.generate_async(prompt, options, on_text))
    }

    /// [`generate_tokens_async`](Self::generate_tokens_async), waiting for the result.
    #[cfg(not(target_family = "wasm"))]
    pub fn generate_tokens(
        &mut self,
        prompt: &[u32],
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generation> {
        crate::engine::wait::block_on(self.generate_tokens_async(prompt, options, on_text))
    }
}

/// Tokens per second; 0 where there are none.
pub(crate) fn rate(tokens: usize, time: Duration) -> f64 {
    if tokens == 0 { 0.0 } else { tokens as f64 / time.as_secs_f64().max(1e-9) }
}
