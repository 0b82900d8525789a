//! Published models, as they are: SmolLM2 135M Instruct and Gemma 3 270M in the GGUF files that two
//! Python packages carry, against `transformers` on their decoded weights
//! (`scripts/published_goldens.py`): logits and greedy tokens on the CPU and the first adapter (on a
//! software adapter each model takes minutes), the tokens of 355 texts, a turn of a chat.
//!
//! The packages are fetched into `target/smollm2-135m` and `target/gemma3-270m` once (93 and 240 MB).
//! Where that is not possible, the tests stand in the list as ignored and a line on standard error says
//! so; with `UNISONO_PUBLISHED=require` they fail instead. `UNISONO_PUBLISHED=DIR` names a directory
//! that holds the files already.

#[path = "models/mod.rs"]
mod models;
#[path = "models/published.rs"]
mod published;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Failed, Trial};
use models::golden::folder;
use models::packages;
use published::{Goldens, MODELS};
use unisono_models::{ChatOptions, ChatTemplate, Source, Tokenizer};

fn main() -> ExitCode {
    let mode = std::env::var("UNISONO_PUBLISHED").unwrap_or_default();
    let mut trials = Vec::new();
    for model in MODELS {
        let goldens = Goldens::open(model);
        let found = match mode.as_str() {
            "" | "require" => fetched(model, &goldens),
            directory => Ok(Path::new(directory).join(&goldens.file)),
        };
        let ignored = found.is_err() && mode != "require";
        if let Err(reason) = &found {
            eprintln!("NOT TESTED: the published model {model}, on every device: {reason}");
        }
        let mut add = |name: String, test: fn(&Path, &Goldens, &str) -> Result<(), Failed>, device: &str| {
            let (found, device) = (found.clone(), device.to_owned());
            let test = move || {
                let (path, goldens) = (found?, Goldens::open(model));
                goldens.check_file(&path)?;
                test(&path, &goldens, &device)
            };
            trials.push(Trial::test(name, test).with_ignored_flag(ignored));
        };
        add(format!("{model}::tokens"), tokens, "");
        add(format!("{model}::chat"), chat, "");
        for summary in unisono::devices().into_iter().take(2) {
            add(format!("{}::{model}", summary.id), published::agrees, &summary.id);
        }
        add(format!("{model}::a_wrong_number_is_seen"), published::a_wrong_number_is_seen, "cpu");
    }
    unisono_conformance::libtest::run(trials)
}

/// The model's file in `target`, fetched with pip if it is not there.
fn fetched(model: &str, goldens: &Goldens) -> Result<PathBuf, String> {
    let join = |folder: &Path| packages::join(folder, &goldens.parts, &goldens.file);
    Ok(packages::fetched(model, &goldens.packages, &goldens.file, join)?.join(&goldens.file))
}

/// Every text, special tokens spelled in it read as such and as text, and back.
fn tokens(path: &Path, goldens: &Goldens, _device: &str) -> Result<(), Failed> {
    let source = Source::open(path)?;
    let texts = folder().join("../../crates/models/tests/tokenizers/texts.json");
    let mut texts: Vec<String> = serde_json::from_slice(&std::fs::read(texts)?)?;
    texts.extend(goldens.more.iter().cloned());
    if texts.len() != goldens.tokens.len() || texts.len() < 300 {
        return Err(format!("{} texts, {} golden ones", texts.len(), goldens.tokens.len()).into());
    }
    let vocabulary = source.vocabulary().ok_or("the file has no vocabulary")?;
    let tokenizer = Tokenizer::from_gguf(vocabulary)?;
    let (mut wrong, mut both) = (Vec::new(), 0);
    for (text, golden) in texts.iter().zip(&goldens.tokens) {
        let plain = tokenizer.encode_text(text, false)?;
        let special = tokenizer.encode(text, false)?;
        both += usize::from(plain != special);
        if (&plain, &special) != (&golden.plain, &golden.special) {
            wrong.push(format!("{text:?}: {plain:?} and {special:?}, not {:?} and {:?}", golden.plain, golden.special));
        }
        // SentencePiece writes spaces as `▁`, so what was one before comes back as a space.
        let back = if vocabulary.model == "llama" { text.replace('▁', " ") } else { text.clone() };
        let decoded = tokenizer.decode_with_special(&golden.special)?;
        if decoded != back {
            wrong.push(format!("{text:?} comes back as {decoded:?}"));
        }
    }
    println!("{}: {} texts, {both} of them with special tokens", source.name(), texts.len());
    if both == 0 {
        return Err("no text spells a special token".into());
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("{} wrong:\n{}", wrong.len(), wrong.join("\n")).into()) }
}

/// A conversation of three messages with the beginning of the answer to the last.
fn chat(path: &Path, goldens: &Goldens, _device: &str) -> Result<(), Failed> {
    let source = Source::open(path)?;
    let golden = &goldens.chat;
    let own = source.chat_template()?;
    let vocabulary = source.vocabulary().ok_or("the file has no vocabulary")?;
    let template = match (&golden.template, own) {
        (None, Some(own)) => own,
        (Some(given), None) => {
            let token = |id: Option<u32>| Some(vocabulary.tokens.get(id? as usize)?.clone());
            let named = [("bos_token", token(vocabulary.bos_id)), ("eos_token", token(vocabulary.eos_id))];
            let named = named.into_iter().filter_map(|(name, token)| Some((name.to_owned(), token?)));
            ChatTemplate::new(given.as_str(), named.collect())?
        }
        (_, own) => return Err(format!("whether the file has a template: {}", own.is_some()).into()),
    };
    let options = ChatOptions::default();
    let text = template.render(&golden.messages, &options)?;
    if text != golden.text {
        return Err(format!("{text:?}, not {:?}", golden.text).into());
    }
    let tokens = Tokenizer::from_gguf(vocabulary)?.encode_chat(&template, &golden.messages, &options)?;
    if tokens != golden.tokens {
        return Err(format!("{tokens:?}, not {:?}", golden.tokens).into());
    }
    Ok(())
}
