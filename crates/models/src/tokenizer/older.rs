//! Checkpoints without `tokenizer.json`: what it would be, or why it cannot be known.
//!
//! `vocab.json` with `merges.txt` is byte-level BPE. How text is cut before it is in no file: it is what
//! the class does that `tokenizer_config.json` or the type of the model names. Two are known here, and
//! made as transformers 5.23 makes them; special tokens and flags are those of `tokenizer_config.json`.
//! Of SentencePiece's `tokenizer.model`, transformers makes other tokens for one class than for
//! another (a space after each special token or not, user-defined tokens before anything is joined or
//! not), so that a person must say which.

use serde_json::{Map, Value, json};
use unisono_core::{Error, Result};

use crate::tokenizer::pre::QWEN2;

/// Files that are read.
#[derive(Clone, Debug)]
pub(crate) struct Older {
    pub(crate) vocab: Vec<u8>,
    pub(crate) merges: Vec<u8>,
    /// `tokenizer_config.json`.
    pub(crate) config: Option<Vec<u8>>,
    /// `config.json`, for the type of the model.
    pub(crate) model: Option<Vec<u8>>,
    /// `special_tokens_map.json`.
    pub(crate) specials: Option<Vec<u8>>,
    /// `added_tokens.json`.
    pub(crate) added: Option<Vec<u8>>,
}

/// Other files that hold a vocabulary, and what they are.
pub(crate) const UNREAD: &[(&str, &str)] = &[
    ("tokenizer.model", "a SentencePiece model"),
    ("spiece.model", "a SentencePiece model"),
    ("sentencepiece.bpe.model", "a SentencePiece model"),
    ("vocab.txt", "a list of WordPiece tokens"),
    ("vocab.json", "a vocabulary without its merges.txt"),
    ("tekken.json", "a vocabulary of Mistral's own format"),
];

/// What to do about a file that is not read.
pub(crate) fn advice(what: &str) -> String {
    format!(
        "{what}; only tokenizer.json says all that is needed: write one with transformers, \
         AutoTokenizer.from_pretrained(DIRECTORY).save_pretrained(DIRECTORY)"
    )
}

/// The kinds of tokens that have a name, in the order in which transformers adds them.
const NAMES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
/// The special token of both classes, where no file names another.
const DEFAULT: &str = "<|endoftext|>";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Gpt2,
    Qwen2,
}

impl Class {
    fn of(config: &Map<String, Value>, model: &Map<String, Value>) -> Result<Class> {
        let name = config.get("tokenizer_class").and_then(Value::as_str);
        let kind = model.get("model_type").and_then(Value::as_str);
        match (name.map(|name| name.trim_end_matches("Fast")), kind) {
            (Some("GPT2Tokenizer"), _) | (None, Some("gpt2")) => Ok(Class::Gpt2),
            (Some("Qwen2Tokenizer"), _) | (None, Some("qwen2" | "qwen2_moe" | "qwen3" | "qwen3_moe")) => {
                Ok(Class::Qwen2)
            }
            (Some(other), _) => Err(unknown(&format!("of the class {other}"))),
            (None, Some(other)) => Err(unknown(&format!("of a model of type {other}"))),
            (None, None) => Err(unknown("without tokenizer_config.json and the type of the model")),
        }
    }

    /// Kinds of special tokens that the class has by default.
    fn has(self, name: &str) -> bool {
        match self {
            Class::Gpt2 => matches!(name, "bos_token" | "eos_token" | "unk_token"),
            Class::Qwen2 => matches!(name, "eos_token" | "unk_token" | "pad_token"),
        }
    }
}

fn unknown(which: &str) -> Error {
    Error::invalid(advice(&format!(
        "how vocab.json and merges.txt {which} cut text into words is known for GPT2Tokenizer and Qwen2Tokenizer alone"
    )))
}

impl Older {
    /// The content of `tokenizer.json`.
    pub(crate) fn tokenizer_json(&self) -> Result<Vec<u8>> {
        let config = object("tokenizer_config.json", self.config.as_deref())?;
        let class = Class::of(&config, &object("config.json", self.model.as_deref())?)?;
        let vocab = object("vocab.json", Some(&self.vocab))?;
        if let Some((token, id)) = vocab.iter().find(|(_, id)| id.as_u64().is_none_or(|id| id > u64::from(u32::MAX))) {
            return Err(wrong("vocab.json", &format!("{token:?} has the id {id}")));
        }
        let specials = object("special_tokens_map.json", self.specials.as_deref())?;
        let mut added = Added { next: next_id(&vocab), vocab: &vocab, tokens: Vec::new() };
        added.listed(&config, &object("added_tokens.json", self.added.as_deref())?)?;

        let named = |name: &str| match config.get(name).or_else(|| specials.get(name)) {
            Some(Value::Null) => None,
            Some(token) => Some(token.clone()),
            None => class.has(name).then(|| DEFAULT.into()),
        };
        for token in NAMES.into_iter().filter_map(named) {
            added.special(&token)?;
        }
        for key in ["additional_special_tokens", "extra_special_tokens"] {
            match config.get(key).or_else(|| specials.get(key)) {
                Some(Value::Array(tokens)) => tokens.iter().try_for_each(|token| added.special(token))?,
                Some(Value::Object(tokens)) => tokens.values().try_for_each(|token| added.special(token))?,
                _ => {}
            }
        }

        let flag = |name: &str| config.get(name).and_then(Value::as_bool).unwrap_or(false);
        let mut template = vec![json!({"Sequence": {"id": "A", "type_id": 0}})];
        let pair = ["A", "B"].map(|id| json!({"Sequence": {"id": id, "type_id": 0}}));
        let mut around = Map::new();
        for (name, flag, at) in
            [("bos_token", flag("add_bos_token"), 0), ("eos_token", flag("add_eos_token"), usize::MAX)]
        {
            let Some(text) = named(name).filter(|_| flag).and_then(|token| text(&token).map(str::to_owned)) else {
                continue;
            };
            let id = added.id(&text);
            template.insert(at.min(template.len()), json!({"SpecialToken": {"id": text, "type_id": 0}}));
            around.insert(text.clone(), json!({"id": text, "ids": [id], "tokens": [text]}));
        }
        let prefix = flag("add_prefix_space");
        let byte_level = |regex: bool| json!({"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": regex});
        let (normalizer, pre_tokenizer) = match class {
            Class::Gpt2 => (Value::Null, byte_level(true)),
            Class::Qwen2 => {
                let split =
                    json!({"type": "Split", "pattern": {"Regex": QWEN2}, "behavior": "Isolated", "invert": false});
                (json!({"type": "NFC"}), json!({"type": "Sequence", "pretokenizers": [split, byte_level(false)]}))
            }
        };
        let json = json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": added.tokens, "normalizer": normalizer, "pre_tokenizer": pre_tokenizer,
            "post_processor": {"type": "TemplateProcessing", "single": template, "pair": pair, "special_tokens": around},
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": vocab, "merges": merges(&self.merges)?},
        });
        Ok(json.to_string().into_bytes())
    }
}

/// Tokens beside the vocabulary, or special ones in it.
struct Added<'a> {
    vocab: &'a Map<String, Value>,
    /// The number of the next token that the vocabulary does not have.
    next: u64,
    tokens: Vec<Value>,
}

impl Added<'_> {
    /// Tokens that files number: `added_tokens_decoder` of the configuration, or `added_tokens.json`.
    fn listed(&mut self, config: &Map<String, Value>, older: &Map<String, Value>) -> Result<()> {
        let mut listed: Vec<(u64, Value)> = match config.get("added_tokens_decoder") {
            Some(Value::Object(tokens)) => tokens
                .iter()
                .map(|(id, token)| match id.parse() {
                    Ok(id) => Ok((id, token.clone())),
                    Err(_) => Err(wrong("tokenizer_config.json", &format!("added_tokens_decoder has the id {id:?}"))),
                })
                .collect::<Result<_>>()?,
            _ => older.iter().filter_map(|(token, id)| Some((id.as_u64()?, token.as_str().into()))).collect(),
        };
        listed.sort_by_key(|token| token.0);
        for (id, token) in listed {
            let special = token.get("special").and_then(Value::as_bool).unwrap_or(false);
            let found = self.add(&token, special)?;
            if found != id {
                let text = text(&token).unwrap_or_default();
                let message = format!("the added token {text:?} has the id {id}; by the vocabulary it is {found}");
                return Err(wrong("tokenizer_config.json", &message));
            }
        }
        Ok(())
    }

    fn special(&mut self, token: &Value) -> Result<()> {
        self.add(token, true).map(drop)
    }

    /// The number of a token, which is added if it was not.
    fn add(&mut self, token: &Value, special: bool) -> Result<u64> {
        let content = text(token).ok_or_else(|| wrong("tokenizer_config.json", &format!("{token} is no token")))?;
        if let Some(before) = self.tokens.iter_mut().find(|before| before["content"] == content) {
            if special {
                before["special"] = true.into();
            }
            return Ok(before["id"].as_u64().unwrap_or_default());
        }
        let id = self.id(content);
        self.next = self.next.max(id + 1);
        let flag = |name: &str| token.get(name).and_then(Value::as_bool);
        self.tokens.push(json!({
            "id": id, "content": content, "special": special,
            "single_word": flag("single_word").unwrap_or(false), "lstrip": flag("lstrip").unwrap_or(false),
            "rstrip": flag("rstrip").unwrap_or(false), "normalized": flag("normalized").unwrap_or(!special),
        }));
        Ok(id)
    }

    fn id(&self, content: &str) -> u64 {
        let added = self.tokens.iter().find(|token| token["content"] == content).and_then(|token| token["id"].as_u64());
        added.or_else(|| self.vocab.get(content)?.as_u64()).unwrap_or(self.next)
    }
}

/// The number behind the last of the vocabulary, as the library counts: by how many there are.
fn next_id(vocab: &Map<String, Value>) -> u64 {
    vocab.len() as u64
}

/// The text of a token, which files write as such or in an object.
fn text(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
}

/// Pairs of tokens, a line each; the first may name the version of the format.
fn merges(bytes: &[u8]) -> Result<Vec<[&str; 2]>> {
    let text = std::str::from_utf8(bytes).map_err(|e| wrong("merges.txt", &e.to_string()))?;
    let lines = text.split('\n').map(|line| line.trim_end_matches('\r')).enumerate();
    let pairs = lines.filter(|(i, line)| !(line.is_empty() || *i == 0 && line.starts_with("#version")));
    let pair = |(i, line): (usize, &'_ str)| match line.split(' ').collect::<Vec<_>>()[..] {
        [_, _] => Ok(i),
        _ => Err(wrong("merges.txt", &format!("line {} is {line:?}, not two tokens", i + 1))),
    };
    pairs.clone().map(pair).collect::<Result<Vec<_>>>()?;
    Ok(pairs.filter_map(|(_, line)| line.split_once(' ')).map(|(a, b)| [a, b]).collect())
}

fn object(file: &str, json: Option<&[u8]>) -> Result<Map<String, Value>> {
    match json.map(serde_json::from_slice::<Value>).transpose() {
        Ok(None) => Ok(Map::new()),
        Ok(Some(Value::Object(map))) => Ok(map),
        Ok(Some(_)) => Err(wrong(file, "it is no object")),
        Err(e) => Err(wrong(file, &e.to_string())),
    }
}

fn wrong(file: &str, why: &str) -> Error {
    Error::invalid(format!("{file}: {why}"))
}
