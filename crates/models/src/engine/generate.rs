//! Greedy generation: a prompt goes in, text comes out piece by piece.

use std::ops::ControlFlow;
use std::time::Duration;

use unisono_core::{Error, Result};
use web_time::Instant;

use crate::engine::session::Session;
use crate::tokenizer::Detokenizer;

/// How text is generated.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    /// Most tokens that are generated.
    pub max_new_tokens: usize,
    /// Whether a token that ends a text ends the generation.
    pub stop_at_eos: bool,
}

impl Default for GenerateOptions {
    fn default() -> GenerateOptions {
        GenerateOptions { max_new_tokens: 128, stop_at_eos: true }
    }
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The model ended the text.
    EndOfText,
    /// As many tokens as asked for.
    MaxNewTokens,
    /// The context has no room for another token.
    ContextFull,
    /// The callback asked for it.
    Callback,
}

/// What was generated, and how fast.
#[derive(Clone, Debug)]
pub struct Generation {
    /// The generated tokens, without the one that ends the text.
    pub tokens: Vec<u32>,
    /// Their text.
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

impl Session {
    /// Adds `prompt` to the session and generates greedily. Special tokens begin the prompt if the
    /// session is empty. `on_text` gets each piece of text as soon as it is certain, and may end
    /// the generation.
    ///
    /// Fails where the model has no tokenizer, the prompt is empty or the prompt does not fit.
    pub async fn generate_async(
        &mut self,
        prompt: &str,
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generation> {
        let model = self.model().clone();
        let tokenizer = model.tokenizer()?;
        let start = Instant::now();
        let prompt = tokenizer.encode(prompt, self.is_empty())?;
        if prompt.is_empty() {
            return Err(Error::invalid("the prompt is empty"));
        }
        if options.max_new_tokens == 0 {
            return Err(Error::invalid("max_new_tokens is 0; at least one token is generated"));
        }
        let mut detokenizer = Detokenizer::after(tokenizer, &prompt);
        let (mut tokens, mut text) = (Vec::new(), String::new());
        let mut next = self.prefill_token_async(&prompt).await?;
        let time_to_first_token = start.elapsed();
        let decode_start = Instant::now();
        let mut decoded = 0;
        let stop = loop {
            if options.stop_at_eos && model.config().eos_token_ids.contains(&next) {
                break StopReason::EndOfText;
            }
            tokens.push(next);
            let piece = detokenizer.push(next)?;
            text.push_str(&piece);
            if !piece.is_empty() && on_text(&piece).is_break() {
                break StopReason::Callback;
            }
            if tokens.len() == options.max_new_tokens {
                break StopReason::MaxNewTokens;
            }
            if self.remaining() == 0 {
                break StopReason::ContextFull;
            }
            next = self.decode_token_async(next).await?;
            decoded += 1;
        };
        let decode_time = decode_start.elapsed();
        let rest = detokenizer.finish()?;
        if !rest.is_empty() && stop != StopReason::Callback {
            text.push_str(&rest);
            let _ = on_text(&rest);
        }
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
}

/// Tokens per second; 0 where there are none.
pub(crate) fn rate(tokens: usize, time: Duration) -> f64 {
    if tokens == 0 { 0.0 } else { tokens as f64 / time.as_secs_f64().max(1e-9) }
}
