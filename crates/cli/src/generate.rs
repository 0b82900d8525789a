//! `unisono generate`: text from a model, printed as it comes.

use std::io::{self, Write};
use std::ops::ControlFlow;

use anyhow::{Context, Result};
use clap::Args;
use unisono_models::GenerateOptions;

use crate::Outcome;
use crate::load::ModelArguments;
use crate::output::Usage;

/// Arguments of `generate`.
#[derive(Args)]
pub(crate) struct GenerateArguments {
    /// Text to continue.
    #[arg(long)]
    prompt: String,
    #[command(flatten)]
    model: ModelArguments,
    /// Tokens to generate at most.
    #[arg(long, value_name = "N", default_value_t = 128)]
    max_tokens: usize,
}

pub(crate) fn run(arguments: &GenerateArguments) -> Result<Outcome> {
    if arguments.max_tokens == 0 {
        return Err(Usage("--max-tokens is 0; at least one token is generated".into()).into());
    }
    let model = arguments.model.load()?;
    let info = model.device().info();
    eprintln!("{} on {} ({})", model.name(), info.name, info.api);
    let options = GenerateOptions { max_new_tokens: arguments.max_tokens, ..GenerateOptions::default() };

    let mut out = io::stdout().lock();
    write!(out, "{}", arguments.prompt).and_then(|()| out.flush()).context("cannot write the text")?;
    let mut failed = None;
    let generation = model.session()?.generate(&arguments.prompt, &options, &mut |piece| {
        match write!(out, "{piece}").and_then(|()| out.flush()) {
            Ok(()) => ControlFlow::Continue(()),
            // A closed pipe ends the generation.
            Err(e) => {
                failed = Some(e);
                ControlFlow::Break(())
            }
        }
    })?;
    match failed {
        Some(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(Outcome::Passed),
        Some(e) => return Err(e).context("cannot write the text"),
        None => writeln!(out).context("cannot write the text")?,
    }
    eprintln!(
        "{} prompt tokens at {:.1} tokens/s, first token after {:.2} s, {} tokens at {:.1} tokens/s",
        generation.prompt_tokens,
        generation.prompt_tokens_per_second,
        generation.time_to_first_token.as_secs_f64(),
        generation.tokens.len(),
        generation.decode_tokens_per_second
    );
    Ok(Outcome::Passed)
}
