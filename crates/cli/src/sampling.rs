//! How tokens are chosen, as options of every command that writes text.

use anyhow::Result;
use clap::Args;
use unisono_models::{GenerateOptions, SampleOptions};

use crate::numbers;
use crate::output::Usage;

/// Options of sampling and of when to stop.
#[derive(Args)]
pub(crate) struct SamplingArguments {
    /// Tokens to generate at most.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = numbers::whole(1..=usize::MAX))]
    pub(crate) max_tokens: usize,
    /// Spread of the choice: 0 takes the most likely token, 1 the model's own probabilities.
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    temperature: f32,
    /// Choose among the N most likely tokens; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = numbers::whole(0..=usize::MAX))]
    top_k: usize,
    /// Choose among the fewest tokens that have this probability together; 1 for all.
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f32,
    /// Choose among tokens with this share of the largest probability; 0 for all.
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    min_p: f32,
    /// Make tokens less likely that were there already; 1 changes nothing.
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    repetition_penalty: f32,
    /// How many of the last tokens were there already; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = numbers::whole(0..=usize::MAX))]
    repetition_window: usize,
    /// Where random numbers begin: the same seed writes the same text. Random if absent.
    #[arg(long, value_name = "N", value_parser = numbers::whole(0..=u64::MAX))]
    seed: Option<u64>,
    /// End the text where this string begins. Repeatable.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    stop: Vec<String>,
}

impl SamplingArguments {
    /// As the engine takes them.
    pub(crate) fn options(&self) -> Result<GenerateOptions> {
        let sample = SampleOptions {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            repetition_window: self.repetition_window,
            seed: self.seed.unwrap_or_else(any_seed),
        };
        sample.check().map_err(|e| Usage(format!("--{}", e.message().replace('_', "-"))))?;
        if self.stop.iter().any(String::is_empty) {
            return Err(Usage("--stop is empty; it would end every text at once".into()).into());
        }
        Ok(GenerateOptions {
            max_new_tokens: self.max_tokens,
            stop: self.stop.clone(),
            sample,
            ..GenerateOptions::default()
        })
    }
}

/// A seed that differs from run to run.
fn any_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_nanos() as u64)
}
