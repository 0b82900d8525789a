//! From the hidden states of a text to one vector, and what the files of sentence-transformers say
//! about it.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use unisono_core::{Device, Error, Result, Tensor};

use crate::formats::{printable, python_json};

/// How the hidden states of a text become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pooling {
    /// That of the first token (`[CLS]`).
    First,
    /// The mean over all tokens.
    Mean,
    /// That of the last token, which has seen all others in a decoder.
    Last,
}

impl Pooling {
    /// The tokens that count of a text of `length` tokens, whose first `skip` are a prompt that does
    /// not. Where nothing is left, the first token stands for itself and everything else is zero, as
    /// in sentence-transformers.
    pub(crate) fn counted(self, length: usize, skip: usize) -> Range<usize> {
        let left = skip < length;
        match self {
            Pooling::First if left => skip..skip + 1,
            Pooling::First => 0..1.min(length),
            Pooling::Mean => skip.min(length)..length,
            Pooling::Last if left => length - 1..length,
            Pooling::Last => 0..0,
        }
    }

    /// The vectors `[batch, hidden]` of hidden states `[batch, tokens, hidden]`. Of each text, how
    /// many tokens it has and how many of the first are left out. One product with a matrix of
    /// shares, which the host makes.
    pub(crate) fn apply(self, device: &Device, hidden: &Tensor, texts: &[(usize, usize)]) -> Result<Tensor> {
        let &[batch, tokens, _] = hidden.shape() else {
            return Err(Error::shape(format!("hidden states have shape {:?}, not three dimensions", hidden.shape())));
        };
        let mut shares = vec![0f32; batch * tokens];
        for (row, &(length, skip)) in shares.chunks_mut(tokens.max(1)).zip(texts) {
            let counted = self.counted(length, skip);
            let share = 1.0 / counted.len() as f32;
            row.iter_mut().take(counted.end).skip(counted.start).for_each(|to| *to = share);
        }
        device.tensor(&shares, &[batch, 1, tokens])?.matmul(hidden)?.squeeze(1)
    }
}

/// What `sentence-transformers` does with a model: its files `modules.json`,
/// `1_Pooling/config.json`, `sentence_bert_config.json` and `config_sentence_transformers.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SentenceConfig {
    /// How hidden states become one vector.
    pub pooling: Pooling,
    /// Whether the vector is divided by its 2-norm.
    pub normalise: bool,
    /// Whether the tokens of a prompt are pooled with those of the text.
    pub include_prompt: bool,
    /// How many tokens of a text are looked at, special ones included.
    pub max_seq_length: Option<usize>,
    /// Whether text is lower-cased before it is cut into tokens.
    pub lower_case: bool,
    /// What goes before texts of a kind (`query`, `document`), by name.
    pub prompts: BTreeMap<String, String>,
    /// The prompt that is used where none is named.
    pub default_prompt_name: Option<String>,
}

impl SentenceConfig {
    /// Pooling and a norm alone: what the metadata of a GGUF file says.
    pub(crate) fn pooled(pooling: Pooling) -> SentenceConfig {
        SentenceConfig {
            pooling,
            normalise: true,
            include_prompt: true,
            max_seq_length: None,
            lower_case: false,
            prompts: BTreeMap::new(),
            default_prompt_name: None,
        }
    }

    /// The prompt of a name, or the default one. `query` and `document` are always there, if only as
    /// nothing. Fails on another name that is not, and lists those that are.
    pub fn prompt(&self, name: Option<&str>) -> Result<&str> {
        let Some(name) = name.or(self.default_prompt_name.as_deref()) else { return Ok("") };
        match self.prompts.get(name) {
            Some(prompt) => Ok(prompt),
            None if STANDARD.contains(&name) => Ok(""),
            None => {
                let mut names: Vec<&str> = self.prompts.keys().map(String::as_str).chain(STANDARD).collect();
                names.sort_unstable();
                names.dedup();
                let names = printable(names.join(", "));
                Err(Error::invalid(format!("there is no prompt {name:?}; there are {names}")))
            }
        }
    }
}

/// Prompts that every model of sentence-transformers has, empty if it does not say otherwise.
const STANDARD: [&str; 2] = ["query", "document"];

/// The files of sentence-transformers as they were read. They concern embedding only, so what is wrong
/// in them is told when a model is loaded for that.
#[derive(Clone, Debug)]
pub(crate) struct SentenceFiles {
    /// `modules.json`.
    pub(crate) modules: Vec<u8>,
    /// `config.json` of the pooling module, if there is one.
    pub(crate) pooling: Option<Vec<u8>>,
    /// `sentence_bert_config.json`, if there is one.
    pub(crate) limits: Option<Vec<u8>>,
    /// `config_sentence_transformers.json`, if there is one.
    pub(crate) prompts: Option<Vec<u8>>,
}

impl SentenceFiles {
    /// What they say.
    pub(crate) fn config(&self) -> Result<SentenceConfig> {
        let modules = Modules::parse(&self.modules)?;
        let name = format!("{}/config.json", modules.pooling_path);
        let missing = || Error::invalid(format!("{name}, which modules.json asks for, is missing"));
        let pooling: RawPooling = read(&name, self.pooling.as_deref().ok_or_else(missing)?)?;
        let limits = self.limits.as_deref().map(|json| read::<RawLimits>("sentence_bert_config.json", json));
        let limits = limits.transpose()?.unwrap_or_default();
        let prompts = self.prompts.as_deref().map(|json| read::<RawPrompts>(PROMPTS, json));
        let prompts = prompts.transpose()?.unwrap_or_default();
        let texts = prompts.prompts.unwrap_or_default().into_iter();
        let config = SentenceConfig {
            pooling: pooling.mode(&name)?,
            normalise: modules.normalise,
            include_prompt: pooling.include_prompt.unwrap_or(true),
            max_seq_length: limits.max_seq_length,
            lower_case: limits.do_lower_case == Some(true),
            prompts: texts.map(|(name, text)| (name, text.unwrap_or_default())).collect(),
            default_prompt_name: prompts.default_prompt_name,
        };
        let default = config.prompt(None).map(drop);
        default.map_err(|e| Error::invalid(format!("{PROMPTS}: default_prompt_name: {}", e.message())))?;
        Ok(config)
    }
}

const PROMPTS: &str = "config_sentence_transformers.json";

/// A file as Python writes it.
fn read<T: DeserializeOwned>(file: &str, json: &[u8]) -> Result<T> {
    let fail = |e: serde_json::Error| Error::invalid(format!("{file}: {}", printable(e)));
    serde_json::from_slice(&python_json(file, json)?).map_err(fail)
}

#[derive(Deserialize)]
struct RawModule {
    path: String,
    r#type: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPooling {
    include_prompt: Option<bool>,
    // Since version 5 one word or several, before that a flag for each kind.
    pooling_mode: Option<Modes>,
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
    pooling_mode_weightedmean_tokens: bool,
    pooling_mode_lasttoken: bool,
}

/// One kind of pooling, or several whose vectors are joined.
#[derive(Deserialize)]
#[serde(untagged)]
enum Modes {
    One(String),
    Several(Vec<String>),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawLimits {
    max_seq_length: Option<usize>,
    do_lower_case: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPrompts {
    prompts: Option<BTreeMap<String, Option<String>>>,
    default_prompt_name: Option<String>,
}

/// What the modules of `modules.json` are, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Modules {
    /// Directory of the pooling module's `config.json`.
    pub(crate) pooling_path: String,
    normalise: bool,
}

impl Modules {
    /// From the content of `modules.json`: a network, pooling and perhaps normalisation. Others are
    /// refused by name.
    pub(crate) fn parse(json: &[u8]) -> Result<Modules> {
        let fail = |message: &dyn std::fmt::Display| Error::invalid(format!("modules.json: {}", printable(message)));
        let raw: Vec<RawModule> = read("modules.json", json)?;
        let (mut pooling_path, mut normalise) = (None, false);
        for (i, module) in raw.into_iter().enumerate() {
            match module.r#type.rsplit('.').next().unwrap_or_default() {
                "Transformer" if i == 0 && module.path.is_empty() => {}
                "Transformer" if i == 0 => {
                    let message = format!("the network lies in the directory {:?}; it has to lie beside", module.path);
                    return Err(fail(&message));
                }
                "Pooling" if i > 0 && pooling_path.is_none() => pooling_path = Some(module.path),
                "Normalize" if pooling_path.is_some() => normalise = true,
                _ => return Err(fail(&format_args!("module {i}, {}, is not supported there", module.r#type))),
            }
        }
        let pooling_path = pooling_path.ok_or_else(|| fail(&"there is no Pooling module"))?;
        // A checkpoint must not make us read files outside its directory.
        if pooling_path.is_empty() || pooling_path.starts_with('.') || pooling_path.contains(['/', '\\', ':']) {
            return Err(fail(&format_args!("{pooling_path:?} is not a plain name of a directory")));
        }
        Ok(Modules { pooling_path, normalise })
    }
}

impl RawPooling {
    /// The kind of pooling; the mean where the file says none. Errors begin with `file`.
    fn mode(&self, file: &str) -> Result<Pooling> {
        let flags = [
            (self.pooling_mode_cls_token, "cls"),
            (self.pooling_mode_max_tokens, "max"),
            (self.pooling_mode_mean_tokens, "mean"),
            (self.pooling_mode_mean_sqrt_len_tokens, "mean_sqrt_len_tokens"),
            (self.pooling_mode_weightedmean_tokens, "weightedmean"),
            (self.pooling_mode_lasttoken, "lasttoken"),
        ];
        let modes: Vec<&str> = match &self.pooling_mode {
            Some(Modes::One(mode)) => vec![mode],
            Some(Modes::Several(modes)) => modes.iter().map(String::as_str).collect(),
            None => flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect(),
        };
        match modes[..] {
            ["cls"] => Ok(Pooling::First),
            ["mean"] | [] => Ok(Pooling::Mean),
            ["lasttoken"] => Ok(Pooling::Last),
            _ => {
                let modes = printable(modes.join(" + "));
                Err(Error::invalid(format!("{file}: pooling {modes:?} is not supported; cls, mean and lasttoken are")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_that_does_not_count_is_left_out() {
        let of = |length, skip| [Pooling::First, Pooling::Mean, Pooling::Last].map(|p| p.counted(length, skip));
        assert_eq!(of(5, 0), [0..1, 0..5, 4..5]);
        assert_eq!(of(5, 2), [2..3, 2..5, 4..5]);
        assert_eq!(of(5, 5), [0..1, 5..5, 0..0]);
        assert_eq!(of(0, 0), [0..0, 0..0, 0..0]);
    }
}
