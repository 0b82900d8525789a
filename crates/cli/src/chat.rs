//! `unisono chat`: a conversation with a model, a line for each turn.
//!
//! Each turn writes the whole conversation by the chat template, and computes only the tokens that
//! the key-value cache does not hold yet.

use std::io::{self, BufRead, IsTerminal};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use unisono_models::{ChatOptions, ChatTemplate, GenerateOptions, Message, Session, Tokenizer};

use crate::load::ModelArguments;
use crate::sampling::SamplingArguments;
use crate::{Outcome, out};

/// Arguments of `chat`.
#[derive(Args)]
pub(crate) struct ChatArguments {
    /// What the model is told before the conversation.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    system: Option<String>,
    /// A file with a chat template, in Jinja; that of the model if absent.
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Read special tokens that a message spells out as tokens. With it a message can speak for
    /// others.
    #[arg(long)]
    special: bool,
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    sampling: SamplingArguments,
    /// Print a JSON object for each answer, when it is complete.
    #[arg(long)]
    json: bool,
}

/// The machine-readable form of an answer.
#[derive(Serialize)]
struct Answer<'a> {
    role: &'a str,
    content: &'a str,
    stop: &'a str,
    /// Tokens of the conversation before the answer.
    prompt_tokens: usize,
    /// How many of them the cache held already.
    cached_tokens: usize,
    tokens: &'a [u32],
}

/// What stays the same from turn to turn.
struct Chat<'a> {
    tokenizer: &'a Tokenizer,
    template: ChatTemplate,
    chat: ChatOptions,
    generate: GenerateOptions,
    json: bool,
}

pub(crate) fn run(arguments: &ChatArguments) -> Result<Outcome> {
    let generate = arguments.sampling.options()?;
    let mut source = arguments.model.source()?;
    if let Some(path) = &arguments.template {
        source = source.with_chat_template(std::fs::read(path).with_context(|| path.display().to_string())?);
    }
    let template = source.chat_template()?.with_context(|| {
        format!("the model {} has no chat template; give one with --template, or use generate", source.name())
    })?;
    let model = arguments.model.load()?;
    let time = SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|now| now.as_secs());
    let chat = ChatOptions { special_in_messages: arguments.special, time, ..ChatOptions::default() };
    let chat = Chat { tokenizer: model.tokenizer()?, template, chat, generate, json: arguments.json };

    let terminal = io::stdin().is_terminal();
    errln!("{} on {} ({})", model.name(), model.device().info().name, model.device().info().api);
    if terminal {
        errln!("/reset begins anew, Ctrl-D ends.");
    }
    let mut session = model.session()?;
    let system: Vec<Message> = arguments.system.iter().map(|text| Message::new("system", text)).collect();
    let mut messages = system.clone();
    let mut lines = io::stdin().lock().lines();
    loop {
        if terminal {
            err!("> ");
        }
        let Some(line) = lines.next().transpose().context("standard input")? else { break };
        match line.trim() {
            "" => continue,
            "/reset" => {
                messages.clone_from(&system);
                session.reset();
                continue;
            }
            _ => messages.push(Message::new("user", line)),
        }
        match chat.answer(&mut session, &messages) {
            Ok(text) => messages.push(Message::new("assistant", text)),
            // A person can go on; a script must know.
            Err(error) if terminal => {
                errln!("error: {error:#}");
                messages.pop();
            }
            Err(error) => return Err(error),
        }
        out::wanted()?;
    }
    if terminal {
        errln!();
    }
    Ok(Outcome::Passed)
}

impl Chat<'_> {
    /// Writes the answer as it comes, until nobody reads any more.
    fn answer(&self, session: &mut Session, messages: &[Message]) -> Result<String> {
        let tokens = self.tokenizer.encode_chat(&self.template, messages, &self.chat)?;
        let same = session.tokens().iter().zip(&tokens).take_while(|(a, b)| a == b).count();
        // The last token is computed in any case: its logits choose the next.
        let cached = same.min(tokens.len().saturating_sub(1));
        session.truncate(cached);
        let generation = session.generate_tokens(&tokens[cached..], &self.generate, &mut |piece| {
            if !self.json {
                out!("{piece}");
                out::flush();
            }
            out::wanted().map_or(ControlFlow::Break(()), |()| ControlFlow::Continue(()))
        })?;
        if self.json {
            let answer = Answer {
                role: "assistant",
                content: &generation.text,
                stop: generation.stop.name(),
                prompt_tokens: tokens.len(),
                cached_tokens: cached,
                tokens: &generation.tokens,
            };
            outln!("{}", serde_json::to_string(&answer)?);
        } else {
            outln!();
        }
        out::flush();
        Ok(generation.text)
    }
}
