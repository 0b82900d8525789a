//! `unisono logits`: the raw answer of a model, for comparisons with other implementations.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use unisono_models::Model;

use crate::load::ModelArguments;
use crate::output::{self, Usage};
use crate::{Outcome, numbers};

/// Tokens shown for each position.
const SHOWN: usize = 5;

/// Arguments of `logits`.
#[derive(Args)]
pub(crate) struct LogitsArguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The text as numbers of tokens, separated by commas.
    #[arg(long, value_name = "N,N,…", required = true, value_delimiter = ',', num_args = 1.., value_parser = numbers::whole(0..=u32::MAX))]
    tokens: Vec<u32>,
    /// Print every logit as JSON.
    #[arg(long)]
    json: bool,
}

/// The machine-readable form.
#[derive(Serialize)]
struct Logits<'a> {
    model: &'a str,
    device: &'a str,
    /// The device's id, as `--device` takes it.
    device_id: &'a str,
    tokens: &'a [u32],
    /// Positions and vocabulary.
    shape: [usize; 2],
    /// One row for each position: it predicts the token after it.
    logits: Vec<&'a [f32]>,
}

pub(crate) fn run(arguments: &LogitsArguments) -> Result<Outcome> {
    let tokens = &arguments.tokens;
    let model = arguments.model.load()?;
    let vocab = model.config().vocab_size;
    if let Some(token) = tokens.iter().find(|&&t| t as usize >= vocab) {
        return Err(Usage(format!("--tokens: {token} is outside the vocabulary of {vocab}")).into());
    }
    let logits = model.session()?.all_logits(tokens)?;
    let rows: Vec<&[f32]> = logits.chunks(vocab).collect();
    if arguments.json {
        let info = model.device().info();
        let (model, shape) = (model.name(), [tokens.len(), vocab]);
        let found = Logits { model, device: &info.name, device_id: &info.id, tokens, shape, logits: rows };
        outln!("{}", serde_json::to_string(&found)?);
    } else {
        print_table(&model, tokens, &rows);
    }
    Ok(Outcome::Passed)
}

/// The most likely next tokens of each position.
fn print_table(model: &Model, tokens: &[u32], rows: &[&[f32]]) {
    let tokenizer = model.tokenizer().ok();
    let text = |token: u32| {
        let text = tokenizer.and_then(|t| t.decode(&[token]).ok()).filter(|text| !text.is_empty());
        text.map_or_else(|| token.to_string(), |text| format!("{token} {text:?}"))
    };
    let mut table = output::table(&["position", "token", "most likely next tokens and their logits"]);
    for (position, (&token, row)) in tokens.iter().zip(rows).enumerate() {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
        let best = order.iter().take(SHOWN).map(|&i| format!("{} {:.4}", text(i as u32), row[i]));
        table.add_row([position.to_string(), text(token), best.collect::<Vec<_>>().join(", ")]);
    }
    outln!("{table}");
}
