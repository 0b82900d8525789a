//! `config.json` of a Llama checkpoint in the Hugging Face layout.
//!
//! The file is read into a lenient mirror of what is published (fields come and go between
//! versions of `transformers`), then checked once and turned into [`ModelConfig`], which holds only
//! values that the rest of the crate may rely on. Whatever would change the computation and is not
//! implemented is refused by name: a model must not load and quietly compute something else.

use serde::Deserialize;
use unisono_core::{Error, Result};

/// What a Llama model looks like. Made by [`ModelConfig::from_json`]; every value is checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward network.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of query heads.
    pub num_attention_heads: usize,
    /// Number of key-value heads; divides the query heads.
    pub num_key_value_heads: usize,
    /// Width of a head, even.
    pub head_dim: usize,
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// Longest context the model was made for.
    pub max_position_embeddings: usize,
    /// Added to the mean square in the norms.
    pub rms_norm_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How the frequencies are rescaled for long contexts.
    pub rope_scaling: Option<RopeScaling>,
    /// Whether the output projection is the embedding table.
    pub tie_word_embeddings: bool,
    /// Tokens that begin a text, usually one or none.
    pub bos_token_ids: Vec<u32>,
    /// Tokens that end a text.
    pub eos_token_ids: Vec<u32>,
}

/// The rescaling of rotary frequencies of Llama 3.1 (`rope_type: llama3`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RopeScaling {
    /// By how much low frequencies are slowed down.
    pub factor: f64,
    /// Wavelengths over `original_max_position_embeddings / low_freq_factor` are slowed fully.
    pub low_freq_factor: f64,
    /// Wavelengths under `original_max_position_embeddings / high_freq_factor` stay as they are.
    pub high_freq_factor: f64,
    /// The context of the model before it was extended.
    pub original_max_position_embeddings: f64,
}

#[derive(Deserialize)]
struct RawConfig {
    architectures: Option<Vec<String>>,
    model_type: Option<String>,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_scaling: Option<RawRope>,
    rope_parameters: Option<RawRope>,
    #[serde(default)]
    tie_word_embeddings: bool,
    bos_token_id: Option<TokenIds>,
    eos_token_id: Option<TokenIds>,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    hidden_act: Option<String>,
    partial_rotary_factor: Option<f64>,
}

#[derive(Default, Deserialize)]
struct RawRope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TokenIds {
    One(u32),
    Many(Vec<u32>),
}

impl TokenIds {
    fn into_vec(self) -> Vec<u32> {
        match self {
            TokenIds::One(id) => vec![id],
            TokenIds::Many(ids) => ids,
        }
    }
}

impl ModelConfig {
    /// Parses and checks `config.json`. The error names the field and what is wrong with it.
    pub fn from_json(json: &[u8]) -> Result<ModelConfig> {
        let raw: RawConfig = serde_json::from_slice(json).map_err(|e| Error::invalid(format!("config.json: {e}")))?;
        check_architecture(&raw)?;
        let parameters = raw.rope_parameters.unwrap_or_default();
        let rope_theta = raw.rope_theta.or(parameters.rope_theta).unwrap_or(10_000.0);
        let rope_scaling = match rope_scaling(&parameters)? {
            Some(scaling) => Some(scaling),
            None => raw.rope_scaling.as_ref().map(rope_scaling).transpose()?.flatten(),
        };
        // A missing head_dim is derived only after the sizes are known to be valid.
        let heads = raw.num_attention_heads;
        let head_dim = raw.head_dim.unwrap_or(raw.hidden_size.checked_div(heads).unwrap_or(0));
        if raw.head_dim.is_none() && heads != 0 && !raw.hidden_size.is_multiple_of(heads) {
            return Err(invalid(format!(
                "num_attention_heads {heads} does not divide hidden_size {}",
                raw.hidden_size
            )));
        }
        let config = ModelConfig {
            hidden_size: raw.hidden_size,
            intermediate_size: raw.intermediate_size,
            num_hidden_layers: raw.num_hidden_layers,
            num_attention_heads: heads,
            num_key_value_heads: raw.num_key_value_heads.unwrap_or(heads),
            head_dim,
            vocab_size: raw.vocab_size,
            max_position_embeddings: raw.max_position_embeddings,
            rms_norm_eps: raw.rms_norm_eps as f32,
            rope_theta,
            rope_scaling,
            tie_word_embeddings: raw.tie_word_embeddings,
            bos_token_ids: raw.bos_token_id.map(TokenIds::into_vec).unwrap_or_default(),
            eos_token_ids: raw.eos_token_id.map(TokenIds::into_vec).unwrap_or_default(),
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        let sizes = [
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("head_dim", self.head_dim),
            ("vocab_size", self.vocab_size),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        for (name, size) in sizes {
            // The upper limit keeps products of three sizes inside u64, and positions inside i32.
            if size == 0 || size > 1 << 20 {
                return Err(invalid(format!("{name} is {size}; 1 to {} is possible", 1 << 20)));
            }
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            return Err(invalid(format!(
                "num_key_value_heads {} does not divide num_attention_heads {}",
                self.num_key_value_heads, self.num_attention_heads
            )));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(invalid(format!("head_dim {} is odd; rotary embedding rotates pairs", self.head_dim)));
        }
        if !self.rms_norm_eps.is_finite() || self.rms_norm_eps < 0.0 {
            return Err(invalid(format!("rms_norm_eps is {}; it must be finite and not negative", self.rms_norm_eps)));
        }
        if !self.rope_theta.is_finite() || self.rope_theta <= 0.0 {
            return Err(invalid(format!("rope_theta is {}; it must be positive", self.rope_theta)));
        }
        let ids = self.bos_token_ids.iter().chain(&self.eos_token_ids);
        if let Some(id) = ids.copied().find(|&id| id as usize >= self.vocab_size) {
            return Err(invalid(format!("token {id} is outside the vocabulary of {}", self.vocab_size)));
        }
        Ok(())
    }
}

fn invalid(message: impl std::fmt::Display) -> Error {
    Error::invalid(format!("config.json: {message}"))
}

fn check_architecture(raw: &RawConfig) -> Result<()> {
    let named = raw.architectures.as_ref().and_then(|a| a.first());
    let supported = match (named, &raw.model_type) {
        (Some(architecture), _) => architecture == "LlamaForCausalLM",
        (None, Some(model_type)) => model_type == "llama",
        (None, None) => return Err(invalid("neither architectures nor model_type says what model this is")),
    };
    if !supported {
        let name = named.or(raw.model_type.as_ref()).map_or("", String::as_str);
        return Err(invalid(format!("architecture {name} is not supported; LlamaForCausalLM is")));
    }
    if let Some(act) = raw.hidden_act.as_deref().filter(|&act| act != "silu") {
        return Err(invalid(format!("hidden_act {act} is not supported; silu is")));
    }
    for (name, set) in [("attention_bias", raw.attention_bias), ("mlp_bias", raw.mlp_bias)] {
        if set {
            return Err(invalid(format!("{name} is true; biases are not supported")));
        }
    }
    if let Some(factor) = raw.partial_rotary_factor.filter(|&f| f != 1.0) {
        return Err(invalid(format!("partial_rotary_factor {factor} is not supported; 1 is")));
    }
    Ok(())
}

fn rope_scaling(raw: &RawRope) -> Result<Option<RopeScaling>> {
    match raw.rope_type.as_deref() {
        None if raw.factor.is_none() => return Ok(None),
        Some("default") => return Ok(None),
        Some("llama3") => {}
        other => {
            let name = other.unwrap_or("(unnamed)");
            return Err(invalid(format!("rope type {name} is not supported; default and llama3 are")));
        }
    }
    let positive = |name: &str, value: Option<f64>| match value {
        Some(v) if v.is_finite() && v > 0.0 => Ok(v),
        Some(v) => Err(invalid(format!("{name} of the rope scaling is {v}; it must be positive"))),
        None => Err(invalid(format!("the rope scaling llama3 needs {name}"))),
    };
    let scaling = RopeScaling {
        factor: positive("factor", raw.factor)?,
        low_freq_factor: positive("low_freq_factor", raw.low_freq_factor)?,
        high_freq_factor: positive("high_freq_factor", raw.high_freq_factor)?,
        original_max_position_embeddings: positive(
            "original_max_position_embeddings",
            raw.original_max_position_embeddings,
        )?,
    };
    if scaling.low_freq_factor >= scaling.high_freq_factor {
        return Err(invalid("low_freq_factor of the rope scaling is not below high_freq_factor"));
    }
    Ok(Some(scaling))
}
