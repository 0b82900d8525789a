//! From the hidden states of a text to one vector, and what the files of sentence-transformers say
//! about it.

use serde::Deserialize;
use unisono_core::{Device, Error, Result, Tensor};

/// How the hidden states of a text become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Pooling {
    /// That of the first token (`[CLS]`).
    #[serde(rename = "cls")]
    First,
    /// The mean over all tokens.
    Mean,
    /// That of the last token, which has seen all others in a decoder.
    Last,
}

impl Pooling {
    /// The vectors `[batch, hidden]` of hidden states `[batch, tokens, hidden]`, of which the first
    /// `lengths[b]` belong to text `b`. One product with a matrix of shares, which the host makes.
    pub(crate) fn apply(self, device: &Device, hidden: &Tensor, lengths: &[u32]) -> Result<Tensor> {
        let &[batch, tokens, _] = hidden.shape() else {
            return Err(Error::shape(format!("hidden states have shape {:?}, not three dimensions", hidden.shape())));
        };
        let mut shares = vec![0f32; batch * tokens];
        for (row, &length) in shares.chunks_mut(tokens.max(1)).zip(lengths) {
            let length = length as usize;
            match self {
                Pooling::First => row.iter_mut().take(1).for_each(|share| *share = 1.0),
                Pooling::Mean => row.iter_mut().take(length).for_each(|share| *share = 1.0 / length as f32),
                Pooling::Last => row.iter_mut().skip(length.saturating_sub(1)).take(1).for_each(|share| *share = 1.0),
            }
        }
        device.tensor(&shares, &[batch, 1, tokens])?.matmul(hidden)?.squeeze(1)
    }
}

/// What `sentence-transformers` does with an encoder: its files `modules.json`,
/// `1_Pooling/config.json` and `sentence_bert_config.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentenceConfig {
    /// How hidden states become one vector.
    pub pooling: Pooling,
    /// Whether the vector is divided by its 2-norm.
    pub normalise: bool,
    /// How many tokens of a text are looked at, special ones included.
    pub max_seq_length: Option<usize>,
}

/// The files of sentence-transformers as they were read. They concern encoders only, so what is wrong
/// in them is told when one is loaded.
#[derive(Clone, Debug)]
pub(crate) struct SentenceFiles {
    /// `modules.json`.
    pub(crate) modules: Vec<u8>,
    /// `config.json` of the pooling module, if there is one.
    pub(crate) pooling: Option<Vec<u8>>,
    /// `sentence_bert_config.json`, if there is one.
    pub(crate) limits: Option<Vec<u8>>,
}

impl SentenceFiles {
    /// What they say.
    pub(crate) fn config(&self) -> Result<SentenceConfig> {
        let modules = Modules::parse(&self.modules)?;
        let missing =
            || Error::invalid(format!("{}/config.json, which modules.json asks for, is missing", modules.pooling_path));
        SentenceConfig::parse(&modules, self.pooling.as_deref().ok_or_else(missing)?, self.limits.as_deref())
    }
}

#[derive(Deserialize)]
struct RawModule {
    path: String,
    r#type: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPooling {
    // Since version 5 one word, before that a flag for each kind.
    pooling_mode: Option<String>,
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
    pooling_mode_weightedmean_tokens: bool,
    pooling_mode_lasttoken: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawLimits {
    max_seq_length: Option<usize>,
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
        let fail = |message: &dyn std::fmt::Display| Error::invalid(format!("modules.json: {message}"));
        let raw: Vec<RawModule> = serde_json::from_slice(json).map_err(|e| fail(&e))?;
        let (mut pooling_path, mut normalise) = (None, false);
        for (i, module) in raw.into_iter().enumerate() {
            match module.r#type.rsplit('.').next().unwrap_or_default() {
                "Transformer" if i == 0 => {}
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

impl SentenceConfig {
    /// From the modules, the content of the pooling module's `config.json` and, if it exists, that
    /// of `sentence_bert_config.json`.
    pub(crate) fn parse(modules: &Modules, pooling: &[u8], limits: Option<&[u8]>) -> Result<SentenceConfig> {
        let name = format!("{}/config.json", modules.pooling_path);
        let raw: RawPooling = serde_json::from_slice(pooling).map_err(|e| Error::invalid(format!("{name}: {e}")))?;
        let flags = [
            (raw.pooling_mode_cls_token, "cls"),
            (raw.pooling_mode_mean_tokens, "mean"),
            (raw.pooling_mode_lasttoken, "lasttoken"),
            (raw.pooling_mode_max_tokens, "max"),
            (raw.pooling_mode_mean_sqrt_len_tokens, "mean_sqrt_len_tokens"),
            (raw.pooling_mode_weightedmean_tokens, "weightedmean"),
        ];
        let set: Vec<&str> = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
        let mode = raw.pooling_mode.unwrap_or_else(|| set.join(" + "));
        let pooling = match mode.as_str() {
            "cls" => Pooling::First,
            "mean" => Pooling::Mean,
            "lasttoken" => Pooling::Last,
            other => {
                let message = format!("{name}: pooling {other:?} is not supported; cls, mean and lasttoken are");
                return Err(Error::invalid(message));
            }
        };
        let limits: RawLimits = match limits {
            Some(json) => {
                serde_json::from_slice(json).map_err(|e| Error::invalid(format!("sentence_bert_config.json: {e}")))?
            }
            None => RawLimits::default(),
        };
        Ok(SentenceConfig { pooling, normalise: modules.normalise, max_seq_length: limits.max_seq_length })
    }
}
