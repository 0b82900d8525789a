//! `unisono embed`: texts to vectors, by an encoder or a decoder.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde::Serialize;
use unisono_models::{EncodedText, SentenceConfig, Source, TextEncoder};

use crate::output::{self, Usage};
use crate::{Outcome, load};

/// Numbers of a vector that the table shows.
const SHOWN: usize = 4;

/// Arguments of `embed`.
#[derive(Args)]
pub(crate) struct EmbedArguments {
    /// A directory with config.json, model.safetensors and tokenizer.json, or a GGUF file. What
    /// sentence-transformers wrote beside them decides about prompts, pooling and length.
    #[arg(long, value_name = "PATH")]
    model: PathBuf,
    /// A text. Repeatable; the lines of standard input if absent.
    #[arg(long = "text", value_name = "TEXT", allow_hyphen_values = true)]
    texts: Vec<String>,
    /// Device to run on: an id, a vendor, an API, part of a name, or `auto`.
    #[arg(long, value_name = "NAME", env = "UNISONO_DEVICE", default_value = "auto")]
    device: String,
    /// How hidden states become one vector; as the model's files say if absent, or else the mean.
    #[arg(long, value_enum)]
    pooling: Option<Pooling>,
    /// A text that goes before each text, instead of the model's prompt.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "prompt_name")]
    prompt: Option<String>,
    /// The model's prompt of this name (`query`, `document`, …) before each text; its default prompt
    /// if absent.
    #[arg(long, value_name = "NAME")]
    prompt_name: Option<String>,
    /// Whether vectors have length 1; as the model's files say if absent, or else yes.
    #[arg(long, value_name = "BOOL")]
    normalize: Option<bool>,
    /// Print whole vectors as JSON.
    #[arg(long)]
    json: bool,
}

/// How hidden states become one vector.
#[derive(Clone, Copy, ValueEnum)]
enum Pooling {
    /// That of the first token.
    Cls,
    /// The mean over all tokens.
    Mean,
    /// That of the last token.
    Last,
}

impl From<Pooling> for unisono_models::Pooling {
    fn from(pooling: Pooling) -> unisono_models::Pooling {
        match pooling {
            Pooling::Cls => unisono_models::Pooling::First,
            Pooling::Mean => unisono_models::Pooling::Mean,
            Pooling::Last => unisono_models::Pooling::Last,
        }
    }
}

/// The machine-readable form.
#[derive(Serialize)]
struct Embeddings<'a> {
    model: &'a str,
    device: &'a str,
    /// The device's id, as `--device` takes it.
    device_id: &'a str,
    dimensions: usize,
    normalized: bool,
    /// What went before each text.
    prompt: &'a str,
    embeddings: Vec<Embedding<'a>>,
}

#[derive(Serialize)]
struct Embedding<'a> {
    text: &'a str,
    /// Tokens that were looked at, those of the prompt and special ones included.
    tokens: usize,
    /// Whether the text has more tokens than the model looks at.
    truncated: bool,
    embedding: &'a [f32],
}

pub(crate) fn run(arguments: &EmbedArguments) -> Result<Outcome> {
    let texts = texts(arguments)?;
    let source = Source::open(&arguments.model)?;
    let device = unisono::open(&arguments.device)?;
    let encoder = TextEncoder::load(&device, &source)?;
    load::notes(encoder.notes());
    let sentence = encoder.sentence();
    let pooling = arguments.pooling.map(Into::into).or(sentence.map(|s| s.pooling));
    let pooling = pooling.unwrap_or(unisono_models::Pooling::Mean);
    let normalized = arguments.normalize.or(sentence.map(|s| s.normalise)).unwrap_or(true);
    let prompt = prompt(arguments, sentence)?;
    let encoded = texts.iter().map(|text| encoder.encode(text, prompt));
    let encoded = encoded.collect::<unisono::Result<Vec<EncodedText>>>()?;
    let vectors = encoder.embed(&encoded.iter().collect::<Vec<_>>(), pooling, normalized)?;
    let of = |i: usize| Embedding {
        text: &texts[i],
        tokens: encoded[i].tokens.len(),
        truncated: encoded[i].truncated,
        embedding: &vectors[i],
    };
    let info = device.info();
    let found = Embeddings {
        model: encoder.name(),
        device: &info.name,
        device_id: &info.id,
        dimensions: encoder.config().hidden_size,
        normalized,
        prompt,
        embeddings: (0..texts.len()).map(of).collect(),
    };
    if arguments.json {
        outln!("{}", serde_json::to_string(&found)?);
    } else {
        print_table(&found);
    }
    Ok(Outcome::Passed)
}

/// What goes before each text.
fn prompt<'a>(arguments: &'a EmbedArguments, sentence: Option<&'a SentenceConfig>) -> Result<&'a str> {
    match (&arguments.prompt, &arguments.prompt_name, sentence) {
        (Some(prompt), ..) => Ok(prompt),
        (None, name, Some(sentence)) => {
            sentence.prompt(name.as_deref()).map_err(|e| Usage(format!("--prompt-name: {}", e.message())).into())
        }
        (None, Some(_), None) => Err(Usage("--prompt-name: the model's files name no prompts".into()).into()),
        (None, None, None) => Ok(""),
    }
}

/// The texts of the command line, or the lines of standard input that are not empty.
fn texts(arguments: &EmbedArguments) -> Result<Vec<String>> {
    if !arguments.texts.is_empty() {
        return Ok(arguments.texts.clone());
    }
    if io::stdin().is_terminal() {
        errln!("one text a line; end with Ctrl-D");
    }
    let lines: Vec<String> = io::stdin().lines().collect::<io::Result<_>>().context("cannot read standard input")?;
    let texts: Vec<String> = lines.into_iter().filter(|line| !line.trim().is_empty()).collect();
    if texts.is_empty() {
        return Err(Usage("there is no text: give --text or lines on standard input".into()).into());
    }
    Ok(texts)
}

/// The beginning of each vector, and which other text is nearest.
fn print_table(found: &Embeddings<'_>) {
    errln!("{} on {}: {} dimensions", found.model, found.device, found.dimensions);
    let mut table = output::table(&["", "text", "tokens", "vector", "nearest", "cosine"]);
    for (i, embedding) in found.embeddings.iter().enumerate() {
        let others = found.embeddings.iter().enumerate().filter(|&(j, _)| j != i);
        let cosines = others.map(|(j, other)| (j, cosine(embedding.embedding, other.embedding)));
        let nearest = cosines.max_by(|a, b| a.1.total_cmp(&b.1));
        let shown = embedding.embedding.iter().take(SHOWN).map(|x| format!("{x:.4}")).collect::<Vec<_>>().join(" ");
        let cut = if embedding.truncated { " (cut)" } else { "" };
        table.add_row([
            (i + 1).to_string(),
            embedding.text.to_owned(),
            format!("{}{cut}", embedding.tokens),
            format!("{shown} …"),
            nearest.map_or_else(String::new, |(j, _)| (j + 1).to_string()),
            nearest.map_or_else(String::new, |(_, cosine)| format!("{cosine:.4}")),
        ]);
    }
    outln!("{table}");
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
