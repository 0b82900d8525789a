//! What a model looks like: `config.json` of a checkpoint in the Hugging Face layout, checked.
//!
//! The architecture is looked at first; it decides which fields ([`fields`]) are read and turned into
//! [`ModelConfig`] ([`parse`]), which holds only values that the rest of the crate may rely on.
//! Whatever would change the computation and is not implemented is refused by name: a model must not
//! load and quietly compute something else. What is wrong and of no consequence becomes a note.

mod architecture;
mod fields;
mod generation;
mod nested;
mod parse;
mod rope;
mod tokens;

use unisono_core::{Error, Result};

use crate::formats::{printable, python_json};
use crate::pooling::Pooling;

pub use architecture::{Activation, Architecture};
pub(crate) use generation::end_tokens;
pub use rope::{RopeConfig, RopeScaling};

/// What a model looks like. Made by [`ModelConfig::from_json`]; every value is checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// The family, which decides the order of the blocks.
    pub architecture: Architecture,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward network, of one expert if there are several.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of query heads.
    pub num_attention_heads: usize,
    /// Number of key-value heads; divides the query heads.
    pub num_key_value_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// Longest context the model was made for.
    pub max_position_embeddings: usize,
    /// Added to the mean square (or the variance) in the norms.
    pub norm_eps: f32,
    /// The activation of the feed-forward network.
    pub hidden_act: Activation,
    /// Rotary embedding; `None` where positions are learned.
    pub rope: Option<RopeConfig>,
    /// Rotary embedding of the layers with a window, where it differs (Gemma 3).
    pub local_rope: Option<RopeConfig>,
    /// How many of the last tokens a token sees in the layers of `sliding_layers`, itself included.
    pub sliding_window: Option<u32>,
    /// Which layers have the window, one entry for each layer.
    pub sliding_layers: Vec<bool>,
    /// Factor on the attention scores.
    pub attention_scale: f32,
    /// Whether layer `i` (from 0) divides its attention scores by `i + 1` too (GPT-2).
    pub attention_scale_by_layer: bool,
    /// Bound on the attention scores (Gemma 2).
    pub attention_softcap: Option<f32>,
    /// Bound on the logits (Gemma 2).
    pub final_softcap: Option<f32>,
    /// Factor on the embedded tokens (Gemma).
    pub embedding_scale: Option<f32>,
    /// Whether the projections to queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether the projection after attention has one.
    pub output_bias: bool,
    /// Whether the projections of the feed-forward network have some.
    pub mlp_bias: bool,
    /// The mixture of experts, if the feed-forward network is one.
    pub experts: Option<ExpertsConfig>,
    /// Kinds of tokens of an encoder (BERT's token types); 0 for others.
    pub type_vocab_size: usize,
    /// How an encoder's hidden states become one vector, where a GGUF file says.
    pub pooling: Option<Pooling>,
    /// Whether the output projection is the embedding table.
    pub tie_word_embeddings: bool,
    /// Tokens that begin a text, usually one or none.
    pub bos_token_ids: Vec<u32>,
    /// Tokens that end a text.
    pub eos_token_ids: Vec<u32>,
    /// What the file says that is not followed or had to be guessed, in words for people.
    pub notes: Vec<String>,
}

/// A mixture of experts: a router chooses for each token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpertsConfig {
    /// How many there are.
    pub experts: usize,
    /// How many each token uses. Their shares are the softmax over the chosen scores.
    pub used: usize,
}

impl ModelConfig {
    /// Parses and checks `config.json`, as Python reads it: `NaN` and `Infinity` are numbers. The
    /// error names the field and what is wrong with it.
    pub fn from_json(json: &[u8]) -> Result<ModelConfig> {
        ModelConfig::from_file("config.json", json)
    }

    /// [`from_json`](Self::from_json) for a file, or a part of one, that is called `file` in errors
    /// and notes.
    pub(crate) fn from_file(file: &str, json: &[u8]) -> Result<ModelConfig> {
        let json = python_json(file, json)?;
        let mut config = parse::parse(&json).map_err(|e| within(file, &e))?;
        config.check().map_err(|e| within(file, &e))?;
        config.notes.iter_mut().for_each(|note| *note = format!("{file}: {note}"));
        Ok(config)
    }

    /// The window of layer `layer`, if it has one.
    pub fn window(&self, layer: usize) -> Option<u32> {
        self.sliding_window.filter(|_| self.is_sliding(layer))
    }

    /// Whether layer `layer` sees a window only.
    pub fn is_sliding(&self, layer: usize) -> bool {
        self.sliding_layers.get(layer).copied().unwrap_or(false)
    }

    /// The rotary embedding of layer `layer`.
    pub fn layer_rope(&self, layer: usize) -> Option<&RopeConfig> {
        self.local_rope.as_ref().filter(|_| self.is_sliding(layer)).or(self.rope.as_ref())
    }

    /// Width of all query heads together.
    pub fn q_size(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Width of all key heads together, and of all value heads.
    pub fn kv_size(&self) -> usize {
        self.num_key_value_heads * self.head_dim
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
        ];
        for (name, size) in sizes {
            // The upper limit keeps products of three sizes inside u64.
            if size == 0 || size > MAX_SIZE {
                return Err(invalid(format!("{name} is {size}; 1 to {MAX_SIZE} is possible")));
            }
        }
        if self.max_position_embeddings == 0 {
            return Err(invalid("max_position_embeddings is 0; at least 1 is needed"));
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            return Err(invalid(format!(
                "num_key_value_heads {} does not divide num_attention_heads {}",
                self.num_key_value_heads, self.num_attention_heads
            )));
        }
        if !self.norm_eps.is_finite() || self.norm_eps < 0.0 {
            let name = self.architecture.norm_eps_field();
            return Err(invalid(format!("{name} is {}; it must be finite and not negative", self.norm_eps)));
        }
        for rope in self.rope.iter().chain(&self.local_rope) {
            rope.check(self.head_dim)?;
        }
        let positive = [
            ("the factor on attention scores", Some(self.attention_scale)),
            ("attn_logit_softcapping", self.attention_softcap),
            ("final_logit_softcapping", self.final_softcap),
        ];
        for (name, value) in positive {
            if let Some(value) = value.filter(|v| !v.is_finite() || *v <= 0.0) {
                return Err(invalid(format!("{name} is {value}; it must be positive")));
            }
        }
        if self.sliding_window == Some(0) {
            return Err(invalid("sliding_window is 0; at least 1 is needed"));
        }
        if let Some(ExpertsConfig { experts, used }) = self.experts
            && (used == 0 || used > experts || experts > MAX_EXPERTS)
        {
            return Err(invalid(format!(
                "num_experts_per_tok is {used} of {experts} experts; 1 to all of at most {MAX_EXPERTS} is possible"
            )));
        }
        if self.architecture.is_encoder() && !(1..=MAX_SIZE).contains(&self.type_vocab_size) {
            return Err(invalid(format!("type_vocab_size is {}", self.type_vocab_size)));
        }
        Ok(())
    }
}

/// No size is larger than this.
const MAX_SIZE: usize = 1 << 20;

/// No text is longer: positions are signed 32-bit numbers.
const MAX_POSITIONS: usize = i32::MAX as usize;

/// No model has more layers than this.
const MAX_LAYERS: usize = 1 << 14;

/// No mixture has more experts than this.
const MAX_EXPERTS: usize = 1 << 12;

/// An error of a configuration; [`within`] says in which file.
fn invalid(message: impl std::fmt::Display) -> Error {
    Error::invalid(printable(message))
}

/// An error of the file `file`.
fn within(file: &str, error: &Error) -> Error {
    Error::new(error.kind(), format!("{file}: {}", error.message()))
}
