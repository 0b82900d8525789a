//! Perplexity: how well a model predicts a text it is given.

use unisono_core::{Error, Result};

use crate::engine::session::Session;

/// How a text is cut into windows. Each is read from an empty cache; its first tokens repeat the
/// last window's for context, and every token of the text but the first is scored once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerplexityOptions {
    /// Tokens of a window; at most the context of the session, which is the default.
    pub window: Option<usize>,
    /// Tokens by which windows advance, at most a window; half a window by default.
    pub stride: Option<usize>,
}

/// How well a text was predicted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Perplexity {
    /// Tokens that were scored.
    pub tokens: usize,
    /// Mean of their negative log-likelihoods, in nats.
    pub mean: f64,
    /// Standard error of the mean, as if tokens were independent; 0 for a single token.
    pub mean_error: f64,
}

impl Perplexity {
    /// `exp(mean)`.
    pub fn value(&self) -> f64 {
        libm::exp(self.mean)
    }

    /// Standard error of the value, by its derivative: `exp(mean) · mean_error`.
    pub fn error(&self) -> f64 {
        self.value() * self.mean_error
    }
}

/// Sums up negative log-likelihoods (Welford 1962, so that no digits are lost).
#[derive(Default)]
struct Score {
    tokens: usize,
    mean: f64,
    squares: f64,
}

impl Score {
    fn add(&mut self, x: f64) {
        self.tokens += 1;
        let before = x - self.mean;
        self.mean += before / self.tokens as f64;
        self.squares += before * (x - self.mean);
    }

    fn result(&self) -> Perplexity {
        let n = self.tokens as f64;
        let variance = if self.tokens > 1 { self.squares / (n - 1.0) } else { 0.0 };
        Perplexity { tokens: self.tokens, mean: self.mean, mean_error: (variance / n).sqrt() }
    }
}

impl Session {
    /// Scores a text. The session is emptied first, and holds the last window afterwards.
    /// `progress` is told how many tokens are scored and how many there are. Fails on fewer than
    /// two tokens, on sizes that do not fit and on logits that are not finite.
    pub async fn perplexity_async(
        &mut self,
        text: &[u32],
        options: PerplexityOptions,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Perplexity> {
        let context = self.model().context_len();
        let window = options.window.unwrap_or(context);
        let stride = options.stride.unwrap_or((window / 2).max(1));
        if window < 2 || window > context {
            return Err(Error::invalid(format!("a window of {window} tokens; 2 to {context} are possible")));
        }
        if stride == 0 || stride >= window {
            let most = window - 1;
            return Err(Error::invalid(format!("a stride of {stride} tokens; 1 to {most} are possible")));
        }
        if text.len() < 2 {
            return Err(Error::invalid(format!("the text has {} tokens; two are needed to predict one", text.len())));
        }
        let vocab = self.model().config().vocab_size;
        let mut score = Score::default();
        // The first token that is not scored yet, and where the window that scores it begins.
        let (mut next, mut begin) = (1, 0);
        while next < text.len() {
            let end = text.len().min(begin + window);
            self.reset();
            if next - 1 > begin {
                self.read_async(&text[begin..next - 1]).await?;
            }
            let logits = self.all_logits_async(&text[next - 1..end - 1]).await?;
            for (row, &token) in logits.chunks(vocab).zip(&text[next..end]) {
                score.add(negative_log_likelihood(row, token)?);
            }
            progress(score.tokens, text.len() - 1);
            next = end;
            begin += stride;
        }
        Ok(score.result())
    }

    /// [`perplexity_async`](Self::perplexity_async), waiting for the result.
    #[cfg(not(target_family = "wasm"))]
    pub fn perplexity(
        &mut self,
        text: &[u32],
        options: PerplexityOptions,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Perplexity> {
        crate::engine::wait::block_on(self.perplexity_async(text, options, progress))
    }
}

/// `−log softmax(logits)[token]` in f64: `log Σ exp(z − max) − (z_token − max)`.
fn negative_log_likelihood(logits: &[f32], token: u32) -> Result<f64> {
    if let Some((i, z)) = logits.iter().enumerate().find(|(_, z)| !z.is_finite()) {
        return Err(Error::invalid(format!("the logit of token {i} is {z}; nothing can be scored")));
    }
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&z| libm::exp(f64::from(z) - max)).sum();
    let own = logits.get(token as usize).ok_or_else(|| Error::internal("a token has no logit"))?;
    Ok(libm::log(sum) - (f64::from(*own) - max))
}
