//! `unisono tokenize`: text to tokens and back, without a device.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use unisono_models::{Source, Tokenizer, tiny_llama};

use crate::Outcome;
use crate::output::Usage;

/// Arguments of `tokenize`.
#[derive(Args)]
pub(crate) struct TokenizeArguments {
    /// A GGUF file, a directory with tokenizer.json, or such a file itself; the embedded model if
    /// absent.
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    /// Text to cut; standard input, with all its line breaks, if absent.
    #[arg(long, value_name = "TEXT", conflicts_with = "decode", allow_hyphen_values = true)]
    text: Option<String>,
    /// Add the tokens that begin and end a text. With --decode: write special tokens out.
    #[arg(long)]
    special: bool,
    /// Read special tokens that the text spells out as text.
    #[arg(long, conflicts_with = "decode")]
    plain: bool,
    /// Print the text of these tokens instead, separated by commas or spaces.
    #[arg(long, value_name = "N,N,…", value_parser = tokens, allow_hyphen_values = true)]
    decode: Option<Tokens>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone)]
struct Tokens(Vec<u32>);

fn tokens(text: &str) -> Result<Tokens, String> {
    let parts = text.split([',', ' ', '\n']).filter(|part| !part.is_empty());
    let parts = parts.map(|part| part.parse().map_err(|_| format!("{part:?} is no number of a token")));
    parts.collect::<Result<_, _>>().map(Tokens)
}

/// The machine-readable form.
#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    text: &'a str,
    tokens: &'a [u32],
    /// How the vocabulary spells each token.
    pieces: Vec<String>,
}

pub(crate) fn run(arguments: &TokenizeArguments) -> Result<Outcome> {
    let (name, tokenizer) = open(arguments.model.as_deref())?;
    let piece = |&id: &u32| {
        let size = tokenizer.vocab_size();
        let none = || Usage(format!("token {id} is outside the vocabulary of {size}"));
        tokenizer.token(id).ok_or_else(none)
    };
    let (text, tokens) = match &arguments.decode {
        Some(Tokens(tokens)) => {
            tokens.iter().try_for_each(|id| piece(id).map(drop))?;
            let decode = if arguments.special { Tokenizer::decode_with_special } else { Tokenizer::decode };
            (decode(&tokenizer, tokens)?, tokens.clone())
        }
        None => {
            let text = arguments.text.clone().map_or_else(read, Ok)?;
            let encode = if arguments.plain { Tokenizer::encode_text } else { Tokenizer::encode };
            let tokens = encode(&tokenizer, &text, arguments.special)?;
            (text, tokens)
        }
    };
    let pieces = tokens.iter().map(piece).collect::<Result<Vec<_>, _>>()?;
    if arguments.json {
        let report = Report { model: &name, text: &text, tokens: &tokens, pieces };
        outln!("{}", serde_json::to_string(&report)?);
    } else if arguments.decode.is_some() {
        outln!("{text}");
    } else {
        tokens.iter().zip(&pieces).for_each(|(id, piece)| outln!("{id:>7}  {}", piece.escape_debug()));
    }
    Ok(Outcome::Passed)
}

fn read() -> Result<String> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).context("standard input")?;
    Ok(text)
}

/// The tokenizer of a model and the model's name. Weights are not needed.
fn open(path: Option<&Path>) -> Result<(String, Tokenizer)> {
    let json = match path {
        Some(path) if path.is_dir() && path.join("tokenizer.json").is_file() => Some(path.join("tokenizer.json")),
        Some(path) if path.extension().is_some_and(|e| e == "json") => Some(path.to_path_buf()),
        _ => None,
    };
    if let (Some(json), Some(path)) = (json, path) {
        let bytes = std::fs::read(&json).with_context(|| json.display().to_string())?;
        return Ok((path.display().to_string(), Tokenizer::from_bytes(&bytes)?));
    }
    let source = path.map(Source::open).transpose()?.unwrap_or_else(tiny_llama);
    let name = source.name().to_owned();
    let tokenizer = source.tokenizer()?.with_context(|| format!("the model {name} has no tokenizer"))?;
    Ok((name, tokenizer))
}
