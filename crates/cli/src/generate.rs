//! `unisono generate`: text from a model, printed as it comes.

use std::io::{self, IsTerminal, Read};
use std::ops::ControlFlow;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use unisono_models::{Generation, Model, StopReason};

use crate::load::ModelArguments;
use crate::output::Usage;
use crate::sampling::SamplingArguments;
use crate::{Outcome, out};

/// Arguments of `generate`.
#[derive(Args)]
pub(crate) struct GenerateArguments {
    /// Text to continue; standard input if absent.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Option<String>,
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    sampling: SamplingArguments,
    /// Print one JSON object when all is written, instead of the text.
    #[arg(long)]
    json: bool,
}

/// The machine-readable form.
#[derive(Serialize)]
struct Generated<'a> {
    model: &'a str,
    device: &'a str,
    device_id: &'a str,
    prompt: &'a str,
    prompt_tokens: usize,
    /// What was generated, without the prompt.
    text: &'a str,
    tokens: &'a [u32],
    /// `end-of-text`, `stop-string`, `max-tokens` or `context-full`.
    stop: &'a str,
    /// The stop string that ended the text.
    stop_string: Option<&'a str>,
    seed: u64,
    time_to_first_token_seconds: f64,
    prompt_tokens_per_second: f64,
    decode_tokens_per_second: f64,
}

pub(crate) fn run(arguments: &GenerateArguments) -> Result<Outcome> {
    let options = arguments.sampling.options()?;
    let prompt = prompt(arguments)?;
    let model = arguments.model.load()?;
    let info = model.device().info();
    if arguments.json {
        let generation = model.session()?.generate(&prompt, &options, &mut |_| ControlFlow::Continue(()))?;
        let stop_string = match generation.stop {
            StopReason::StopString(i) => options.stop.get(i).map(String::as_str),
            _ => None,
        };
        let found = Generated {
            model: model.name(),
            device: &info.name,
            device_id: &info.id,
            prompt: &prompt,
            prompt_tokens: generation.prompt_tokens,
            text: &generation.text,
            tokens: &generation.tokens,
            stop: generation.stop.name(),
            stop_string,
            seed: options.sample.seed,
            time_to_first_token_seconds: generation.time_to_first_token.as_secs_f64(),
            prompt_tokens_per_second: generation.prompt_tokens_per_second,
            decode_tokens_per_second: generation.decode_tokens_per_second,
        };
        outln!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(Outcome::Passed);
    }
    errln!("{} on {} ({})", model.name(), info.name, info.api);
    let generation = write(&model, &prompt, &options)?;
    errln!(
        "{} prompt tokens at {:.1} tokens/s, first token after {:.2} s, {} tokens at {:.1} tokens/s",
        generation.prompt_tokens,
        generation.prompt_tokens_per_second,
        generation.time_to_first_token.as_secs_f64(),
        generation.tokens.len(),
        generation.decode_tokens_per_second
    );
    Ok(Outcome::Passed)
}

/// The prompt as given, or all of standard input without the line break at its end.
fn prompt(arguments: &GenerateArguments) -> Result<String> {
    if let Some(prompt) = &arguments.prompt {
        return Ok(prompt.clone());
    }
    if io::stdin().is_terminal() {
        return Err(Usage("neither --prompt nor a file or pipe on standard input gives a text".into()).into());
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map_err(|e| Usage(format!("standard input is no text: {e}")))?;
    let end = text.strip_suffix('\n').map_or(text.len(), |t| t.strip_suffix('\r').unwrap_or(t).len());
    text.truncate(end);
    if text.is_empty() {
        return Err(Usage("there is no text: give --prompt or write to standard input".into()).into());
    }
    Ok(text)
}

/// Prints the prompt and what follows as it comes, until nobody reads any more.
fn write(model: &Model, prompt: &str, options: &unisono_models::GenerateOptions) -> Result<Generation> {
    out!("{prompt}");
    out::flush();
    out::wanted()?;
    let generation = model.session()?.generate(prompt, options, &mut |piece| {
        out!("{piece}");
        out::flush();
        out::wanted().map_or(ControlFlow::Break(()), |()| ControlFlow::Continue(()))
    })?;
    outln!();
    out::wanted()?;
    Ok(generation)
}
