//! `unisono perplexity`: how well a model predicts a text.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use unisono_models::PerplexityOptions;

use crate::load::ModelArguments;
use crate::output::{self, Usage};
use crate::{Outcome, numbers};

/// Arguments of `perplexity`.
#[derive(Args)]
pub(crate) struct PerplexityArguments {
    /// The text, in UTF-8.
    file: PathBuf,
    #[command(flatten)]
    model: ModelArguments,
    /// Tokens of a window; the whole context if absent.
    #[arg(long, value_name = "TOKENS", value_parser = numbers::whole(2..=usize::MAX))]
    window: Option<usize>,
    /// Tokens by which windows advance; half a window if absent. The tokens that a window shares
    /// with the one before are context only.
    #[arg(long, value_name = "TOKENS", value_parser = numbers::whole(1..=usize::MAX))]
    stride: Option<usize>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The machine-readable form.
#[derive(Serialize)]
struct Scored<'a> {
    model: &'a str,
    device: &'a str,
    device_id: &'a str,
    window: usize,
    stride: usize,
    /// Tokens of the text, special ones included.
    tokens: usize,
    /// How many of them were scored.
    scored: usize,
    perplexity: f64,
    perplexity_error: f64,
    /// Mean negative log-likelihood of a token, in nats, and its standard error.
    mean: f64,
    mean_error: f64,
    seconds: f64,
}

pub(crate) fn run(arguments: &PerplexityArguments) -> Result<Outcome> {
    let name = arguments.file.display();
    let text = std::fs::read(&arguments.file).map_err(|e| Usage(format!("{name}: {e}")))?;
    let text = String::from_utf8(text).map_err(|e| Usage(format!("{name} is not UTF-8: {}", e.utf8_error())))?;
    let model = arguments.model.load()?;
    let tokens = model.tokenizer()?.encode(&text, true)?;
    let window = arguments.window.unwrap_or_else(|| model.context_len());
    let stride = arguments.stride.unwrap_or((window / 2).max(1));
    if window < 2 || window > model.context_len() {
        let most = model.context_len();
        return Err(Usage(format!("--window is {window}; 2 to {most} tokens are possible")).into());
    }
    if stride == 0 || stride >= window {
        return Err(Usage(format!("--stride is {stride}; 1 to {} tokens are possible", window - 1)).into());
    }
    if tokens.len() < 2 {
        return Err(Usage(format!("{name} has {} tokens; two are needed to predict one", tokens.len())).into());
    }
    let bar = output::progress("tokens", false);
    let start = std::time::Instant::now();
    let options = PerplexityOptions { window: Some(window), stride: Some(stride) };
    let found = model.session()?.perplexity(&tokens, options, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    if !found.value().is_finite() {
        anyhow::bail!("the perplexity is beyond the largest number: a token has {:.1} nats in the mean", found.mean);
    }
    let (info, seconds) = (model.device().info(), start.elapsed().as_secs_f64());
    if arguments.json {
        let scored = Scored {
            model: model.name(),
            device: &info.name,
            device_id: &info.id,
            window,
            stride,
            tokens: tokens.len(),
            scored: found.tokens,
            perplexity: found.value(),
            perplexity_error: found.error(),
            mean: found.mean,
            mean_error: found.mean_error,
            seconds,
        };
        outln!("{}", serde_json::to_string_pretty(&scored)?);
    } else {
        outln!(
            "perplexity {:.4} ± {:.4} over {} tokens (window {window}, stride {stride})",
            found.value(),
            found.error(),
            found.tokens
        );
        errln!("{} on {} ({}), {}", model.name(), info.name, info.api, output::seconds(seconds));
    }
    Ok(Outcome::Passed)
}
