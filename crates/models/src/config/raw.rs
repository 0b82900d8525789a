//! A lenient mirror of `config.json`: every field that matters to some architecture, in the names
//! of old and new versions of `transformers`. Nothing is checked here but types.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::pooling::Pooling;

/// The fields as they are in the file.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawConfig {
    pub(super) architectures: Option<Vec<String>>,
    pub(super) model_type: Option<String>,
    /// The text model of one that also sees images.
    pub(super) text_config: Option<serde_json::Value>,

    pub(super) hidden_size: Option<usize>,
    pub(super) intermediate_size: Option<usize>,
    pub(super) num_hidden_layers: Option<usize>,
    pub(super) num_attention_heads: Option<usize>,
    pub(super) num_key_value_heads: Option<usize>,
    pub(super) head_dim: Option<usize>,
    pub(super) vocab_size: Option<usize>,
    pub(super) max_position_embeddings: Option<usize>,
    pub(super) type_vocab_size: Option<usize>,
    // The same sizes in the words of GPT-2.
    pub(super) n_embd: Option<usize>,
    pub(super) n_inner: Option<usize>,
    pub(super) n_layer: Option<usize>,
    pub(super) n_head: Option<usize>,
    pub(super) n_positions: Option<usize>,

    pub(super) rms_norm_eps: Option<f64>,
    pub(super) layer_norm_epsilon: Option<f64>,
    pub(super) layer_norm_eps: Option<f64>,
    pub(super) hidden_act: Option<String>,
    pub(super) hidden_activation: Option<String>,
    pub(super) activation_function: Option<String>,

    pub(super) rope_theta: Option<f64>,
    pub(super) rope_local_base_freq: Option<f64>,
    pub(super) partial_rotary_factor: Option<f64>,
    pub(super) original_max_position_embeddings: Option<f64>,
    pub(super) rope_scaling: Option<RawRope>,
    pub(super) rope_parameters: Option<RawRopeParameters>,
    pub(super) position_embedding_type: Option<String>,

    #[serde(deserialize_with = "present")]
    pub(super) sliding_window: Option<Option<u64>>,
    pub(super) use_sliding_window: Option<bool>,
    pub(super) max_window_layers: Option<usize>,
    pub(super) sliding_window_pattern: Option<usize>,
    pub(super) _sliding_window_pattern: Option<usize>,
    pub(super) layer_types: Option<Vec<String>>,

    pub(super) query_pre_attn_scalar: Option<f64>,
    #[serde(deserialize_with = "present")]
    pub(super) attn_logit_softcapping: Option<Option<f64>>,
    #[serde(deserialize_with = "present")]
    pub(super) final_logit_softcapping: Option<Option<f64>>,
    pub(super) scale_attn_weights: Option<bool>,
    pub(super) scale_attn_by_inverse_layer_idx: Option<bool>,

    pub(super) attention_bias: Option<bool>,
    pub(super) mlp_bias: Option<bool>,
    pub(super) num_local_experts: Option<usize>,
    pub(super) num_experts: Option<usize>,
    pub(super) num_experts_per_tok: Option<usize>,
    pub(super) norm_topk_prob: Option<bool>,

    pub(super) tie_word_embeddings: Option<bool>,
    pub(super) bos_token_id: Option<TokenIds>,
    pub(super) eos_token_id: Option<TokenIds>,

    // Of GGUF files, whose metadata becomes such a file.
    pub(super) pooling: Option<Pooling>,

    // What changes the computation and is not implemented.
    pub(super) use_bidirectional_attention: Option<serde_json::Value>,
    pub(super) is_decoder: Option<bool>,
    pub(super) add_cross_attention: Option<bool>,
    pub(super) quantization_config: Option<serde_json::Value>,
}

/// Rotary parameters: of the whole model, or by type of layer.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum RawRopeParameters {
    ByLayer(BTreeMap<LayerType, Option<RawRope>>),
    One(Box<RawRope>),
}

/// A type of layer, as in `layer_types`.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub(super) enum LayerType {
    FullAttention,
    SlidingAttention,
}

/// The parameters of a rotary embedding and of its rescaling.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawRope {
    // Files have one of the two, or both and equal.
    rope_type: Option<String>,
    r#type: Option<String>,
    pub(super) rope_theta: Option<f64>,
    pub(super) partial_rotary_factor: Option<f64>,
    pub(super) factor: Option<f64>,
    pub(super) low_freq_factor: Option<f64>,
    pub(super) high_freq_factor: Option<f64>,
    pub(super) original_max_position_embeddings: Option<f64>,
    pub(super) attention_factor: Option<f64>,
    pub(super) beta_fast: Option<f64>,
    pub(super) beta_slow: Option<f64>,
    pub(super) mscale: Option<f64>,
    pub(super) mscale_all_dim: Option<f64>,
    pub(super) truncate: Option<bool>,
    pub(super) short_factor: Option<Vec<f64>>,
    pub(super) long_factor: Option<Vec<f64>>,
    pub(super) factors: Option<Vec<f64>>,
}

impl RawRope {
    /// The kind of rescaling, if the file says one.
    pub(super) fn kind(&self) -> Option<&str> {
        self.rope_type.as_deref().or(self.r#type.as_deref())
    }
}

/// One token or several.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum TokenIds {
    One(u32),
    Many(Vec<u32>),
}

impl TokenIds {
    pub(super) fn into_vec(self) -> Vec<u32> {
        match self {
            TokenIds::One(id) => vec![id],
            TokenIds::Many(ids) => ids,
        }
    }
}

/// `Some(None)` for `null`, unlike a field that is missing: defaults apply to the latter only.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}
