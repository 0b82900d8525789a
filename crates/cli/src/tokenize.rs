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
    /// A GGUF file, a directory with tokenizer.json or with vocab.json and merges.txt, or a
    /// tokenizer.json itself; the embedded model if absent.
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
    /// How the vocabulary spells each token; null for one that only the model has.
    pieces: Vec<Option<String>>,
}

/// A tokenizer, and what it belongs to.
struct Opened {
    name: String,
    tokenizer: Tokenizer,
    /// Tokens of the model, where there is one. Its table may have more rows than the vocabulary has
    /// tokens.
    rows: Option<usize>,
}

pub(crate) fn run(arguments: &TokenizeArguments) -> Result<Outcome> {
    let Opened { name, tokenizer, rows } = open(arguments.model.as_deref())?;
    let piece = |&id: &u32| match tokenizer.token(id) {
        None if rows.is_none_or(|rows| id as usize >= rows) => {
            let size = tokenizer.vocab_size().max(rows.unwrap_or(0));
            Err(Usage(format!("token {id} is outside the vocabulary of {size}")))
        }
        piece => Ok(piece),
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
        for (id, piece) in tokens.iter().zip(&pieces) {
            outln!("{id:>7}  {}", piece.as_deref().unwrap_or_default().escape_debug());
        }
    }
    Ok(Outcome::Passed)
}

fn read() -> Result<String> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).context("standard input")?;
    Ok(text)
}

/// The tokenizer of a model. Weights are not needed.
fn open(path: Option<&Path>) -> Result<Opened> {
    if let Some(path) = path {
        let name = path.display().to_string();
        if path.extension().is_some_and(|e| e == "json") {
            let bytes = std::fs::read(path).with_context(|| name.clone())?;
            return Ok(Opened { name, tokenizer: Tokenizer::from_bytes(&bytes)?, rows: None });
        }
        if path.is_dir() {
            match Tokenizer::from_dir(path) {
                Ok(Some(tokenizer)) => return Ok(Opened { name, tokenizer, rows: rows(path) }),
                Ok(None) => {}
                // A GGUF file beside files that are not read has a vocabulary of its own.
                Err(error) => {
                    let source = Source::open(path).ok().filter(|source| source.vocabulary().is_some());
                    return source.as_ref().map_or_else(|| Err(error.into()), opened);
                }
            }
        }
    }
    opened(&path.map(Source::open).transpose()?.unwrap_or_else(tiny_llama))
}

fn opened(source: &Source) -> Result<Opened> {
    let name = source.name().to_owned();
    let tokenizer = source.tokenizer()?.with_context(|| format!("the model {name} has no tokenizer"))?;
    Ok(Opened { rows: Some(source.config()?.vocab_size), name, tokenizer })
}

/// How many tokens the model of a directory has, if its `config.json` says: it may be that of a model
/// that is not supported.
fn rows(dir: &Path) -> Option<usize> {
    let config = std::fs::read(dir.join("config.json")).ok()?;
    let config: serde_json::Value = serde_json::from_slice(&config).ok()?;
    let size = config.get("vocab_size").or_else(|| config.pointer("/text_config/vocab_size"))?;
    size.as_u64().and_then(|size| usize::try_from(size).ok())
}
