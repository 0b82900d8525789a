//! Chat templates: Jinja programs, published with models, that write a conversation as the text the
//! model was trained on.
//!
//! They were written for Python's Jinja as transformers sets it up, so its habits are kept: blocks
//! eat the line break after them, strings have Python's methods, `tojson` writes as Python's `json`.
//! A template comes from a stranger: the engine charges for every instruction and every byte, and a
//! template that needs too much is an error. What it does not charge for is checked by filters that
//! are put into the template (`chat/scan.rs`).

mod adapted;
mod arguments;
mod cut;
mod filters;
mod helpers;
mod json;
mod limits;
mod lists;
mod number;
mod python;
mod scan;
mod text;
mod tokens;
mod unicode;
mod wrap;

use std::collections::BTreeMap;

use minijinja::value::{Serde, Value};
use minijinja::{Environment, ErrorKind};
use serde::{Deserialize, Serialize};
use unisono_core::{Error, Result};

use crate::tokenizer::Vocabulary;

/// What rendering may cost: instructions and, 64 bytes for one, text. It bounds time and memory.
const FUEL: u64 = 200_000;
/// What each message adds to that.
const FUEL_PER_MESSAGE: u64 = 500;
/// What each byte of a message or variable adds.
const FUEL_PER_BYTE: u64 = 20;

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks: `system`, `user` or `assistant` for most models.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// From role and content.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Message {
        Message { role: role.into(), content: content.into() }
    }
}

/// How a conversation is written.
#[derive(Clone, Debug)]
pub struct ChatOptions {
    /// Whether the text ends with what begins a turn of the model.
    pub add_generation_prompt: bool,
    /// Whether special tokens that a message spells out are tokens. Only for messages of one's own:
    /// with them a message can end its turn and speak for others.
    pub special_in_messages: bool,
    /// Further variables of the template, such as `enable_thinking`.
    pub variables: BTreeMap<String, serde_json::Value>,
    /// The time, in seconds since 1970 (UTC), for templates that write a date. Without it they find
    /// no clock, and most write a fixed date then.
    pub time: Option<u64>,
}

impl Default for ChatOptions {
    fn default() -> ChatOptions {
        ChatOptions { add_generation_prompt: true, special_in_messages: false, variables: BTreeMap::new(), time: None }
    }
}

/// The chat template of a model.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    source: String,
    /// Special tokens by the names that templates know them by, such as `bos_token`.
    tokens: BTreeMap<String, String>,
}

/// The part of `tokenizer_config.json` that matters here.
#[derive(Default, Deserialize)]
struct TokenizerConfig {
    chat_template: Option<Templates>,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

impl ChatTemplate {
    /// From a template and the special tokens that it may name (`bos_token`, `eos_token`, …). Fails
    /// where it is no Jinja template.
    pub fn new(source: impl Into<String>, tokens: BTreeMap<String, String>) -> Result<ChatTemplate> {
        let template = ChatTemplate { source: scan::guard(&python::translate(&source.into()))?, tokens };
        template.environment(FUEL, 0, None).template_from_str(&template.source).map_err(|e| failed(&e))?;
        Ok(template)
    }

    /// From the files of a checkpoint: `tokenizer_config.json`, which names special tokens and may
    /// hold the template, and `chat_template.jinja`, which goes first. `None` where neither has a
    /// template. Of several named templates it is `default`.
    pub fn from_files(tokenizer_config: Option<&[u8]>, jinja: Option<&[u8]>) -> Result<Option<ChatTemplate>> {
        let TokenizerConfig { chat_template: templates, rest } = TokenizerConfig::parse(tokenizer_config)?;
        let source = match (jinja, templates) {
            (Some(bytes), _) => {
                std::str::from_utf8(bytes).map_err(|e| Error::invalid(format!("chat_template.jinja: {e}")))?.to_owned()
            }
            (None, Some(templates)) => templates.choose()?,
            (None, None) => return Ok(None),
        };
        let tokens = rest.iter().filter(|(name, _)| name.ends_with("_token"));
        let tokens = tokens.filter_map(|(name, value)| Some((name.clone(), text(value)?.to_owned()))).collect();
        Ok(Some(ChatTemplate::new(source, tokens)?))
    }

    /// From the metadata of a GGUF file; `None` where it has no template.
    pub fn from_gguf(vocabulary: &Vocabulary) -> Result<Option<ChatTemplate>> {
        let Some(source) = &vocabulary.chat_template else { return Ok(None) };
        let ids = [
            ("bos_token", vocabulary.bos_id),
            ("eos_token", vocabulary.eos_id),
            ("unk_token", vocabulary.unk_id),
            ("pad_token", vocabulary.pad_id),
        ];
        let text = |id: Option<u32>| vocabulary.tokens.get(id? as usize).cloned();
        let tokens = ids.into_iter().filter_map(|(name, id)| Some((name.to_owned(), text(id)?)));
        Ok(Some(ChatTemplate::new(source, tokens.collect())?))
    }

    /// The conversation as text. Fails where the template raises an error, as many do on roles in
    /// an order they do not know, and where it costs too much.
    pub fn render(&self, messages: &[Message], options: &ChatOptions) -> Result<String> {
        let said: usize = messages.iter().map(|m| m.role.len() + m.content.len()).sum();
        let given = said + options.variables.values().map(|value| value.to_string().len()).sum::<usize>();
        let fuel = FUEL + messages.len() as u64 * FUEL_PER_MESSAGE + given as u64 * FUEL_PER_BYTE;
        let environment = self.environment(fuel, given, options.time);
        let template = environment.template_from_str(&self.source).map_err(|e| failed(&e))?;
        // transformers always gives these, and templates ask whether they are none.
        let mut variables: BTreeMap<&str, Value> = ["tools", "documents"].map(|name| (name, Value::from(()))).into();
        variables.extend(self.tokens.iter().map(|(name, token)| (name.as_str(), Value::from(token.as_str()))));
        variables.extend(options.variables.iter().map(|(name, v)| (name.as_str(), Value::from(Serde(v)))));
        variables.insert("messages", Value::from(Serde(messages)));
        variables.insert("add_generation_prompt", Value::from(options.add_generation_prompt));
        template.render(Value::from_pairs(variables)).map_err(|e| failed(&e))
    }

    /// The template itself.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    fn environment(&self, fuel: u64, given: usize, time: Option<u64>) -> Environment<'static> {
        let mut environment = Environment::new();
        environment.set_fuel(Some(fuel));
        environment.set_recursion_limit(100);
        python::set_up(&mut environment, time);
        limits::set_up(&mut environment, given);
        environment
    }
}

impl TokenizerConfig {
    fn parse(json: Option<&[u8]>) -> Result<TokenizerConfig> {
        let config = json.map(serde_json::from_slice).transpose();
        config.map(Option::unwrap_or_default).map_err(|e| Error::invalid(format!("tokenizer_config.json: {e}")))
    }
}

/// The token that ends a text or, in models for chats, a turn: `eos_token` of
/// `tokenizer_config.json`.
pub(super) fn eos_token(tokenizer_config: Option<&[u8]>) -> Result<Option<String>> {
    let config = TokenizerConfig::parse(tokenizer_config)?;
    Ok(config.rest.get("eos_token").and_then(text).map(str::to_owned))
}

/// The text of a token, which files write as such or in an object.
fn text(value: &serde_json::Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

impl Templates {
    fn choose(self) -> Result<String> {
        let mut named = match self {
            Templates::One(template) => return Ok(template),
            Templates::Named(named) => named,
        };
        let default = if named.len() == 1 { Some(0) } else { named.iter().position(|t| t.name == "default") };
        match default {
            Some(i) => Ok(named.swap_remove(i).template),
            None => {
                let names: Vec<_> = named.iter().map(|t| t.name.as_str()).collect();
                let message =
                    format!("tokenizer_config.json: none of the chat templates ({}) is default", names.join(", "));
                Err(Error::invalid(message))
            }
        }
    }
}

fn failed(error: &minijinja::Error) -> Error {
    let line = error.line().map_or(String::new(), |line| format!(", line {line}"));
    if error.kind() == ErrorKind::OutOfFuel {
        return Error::invalid(format!("chat template{line}: it takes too long or too much memory"));
    }
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    Error::invalid(format!("chat template{line}: {detail}"))
}
