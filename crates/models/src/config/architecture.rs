//! The families of models, and the words that their configurations use.

use unisono_core::op::{self, Gate};
use unisono_core::{Error, Result};

use super::invalid;
use crate::formats::shown;

/// A family of models that can be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Architecture {
    /// Llama 2 and 3 (Touvron et al. 2023; Dubey et al. 2024).
    Llama,
    /// Mistral (Jiang et al. 2023).
    Mistral,
    /// Mixtral (Jiang et al. 2024).
    Mixtral,
    /// Qwen 2 and 2.5 (Yang et al. 2024).
    Qwen2,
    /// Qwen 3 without experts (Yang et al. 2025).
    Qwen3,
    /// Gemma 2 (Gemma Team 2024).
    Gemma2,
    /// Gemma 3, text only (Gemma Team 2025).
    Gemma3,
    /// Phi-3 and Phi-4-mini (Abdin et al. 2024).
    Phi3,
    /// GPT-2 (Radford et al. 2019).
    Gpt2,
    /// BERT encoders (Devlin et al. 2019).
    Bert,
}

/// Every architecture with its classes in `transformers`, the one that predicts tokens first, and its
/// `model_type`.
const NAMES: [(Architecture, &[&str], &str); 10] = [
    (Architecture::Llama, &["LlamaForCausalLM", "LlamaModel"], "llama"),
    (Architecture::Mistral, &["MistralForCausalLM", "MistralModel"], "mistral"),
    (Architecture::Mixtral, &["MixtralForCausalLM", "MixtralModel"], "mixtral"),
    (Architecture::Qwen2, &["Qwen2ForCausalLM", "Qwen2Model"], "qwen2"),
    (Architecture::Qwen3, &["Qwen3ForCausalLM", "Qwen3Model"], "qwen3"),
    (Architecture::Gemma2, &["Gemma2ForCausalLM", "Gemma2Model"], "gemma2"),
    (Architecture::Gemma3, &["Gemma3ForCausalLM", "Gemma3TextModel"], "gemma3_text"),
    (Architecture::Phi3, &["Phi3ForCausalLM", "Phi3Model"], "phi3"),
    (Architecture::Gpt2, &["GPT2LMHeadModel", "GPT2Model"], "gpt2"),
    (Architecture::Bert, &["BertModel", "BertForMaskedLM", "BertForPreTraining"], "bert"),
];

impl Architecture {
    /// By the first of `architectures`, or by `model_type` where that is missing.
    pub(super) fn named(class: Option<&str>, model_type: Option<&str>) -> Result<Architecture> {
        let found = match (class, model_type) {
            (Some(class), _) => NAMES.iter().find(|(_, classes, _)| classes.contains(&class)),
            (None, Some(name)) => NAMES.iter().find(|(_, _, model_type)| *model_type == name),
            (None, None) => return Err(invalid("neither architectures nor model_type says what model this is")),
        };
        let unsupported = || {
            let name = shown(class.or(model_type).unwrap_or_default());
            let all: Vec<&str> = NAMES.iter().filter_map(|(_, classes, _)| classes.first().copied()).collect();
            invalid(format!("architecture {name} is not supported; {} are", all.join(", ")))
        };
        found.map(|(architecture, ..)| *architecture).ok_or_else(unsupported)
    }

    /// The first name of its class in `transformers`.
    pub fn name(self) -> &'static str {
        let named = NAMES.iter().find(|(architecture, ..)| *architecture == self);
        named.and_then(|(_, classes, _)| classes.first().copied()).unwrap_or_default()
    }

    /// Whether it turns whole texts into hidden states, instead of predicting tokens.
    pub fn is_encoder(self) -> bool {
        self == Architecture::Bert
    }

    /// The field with the constant of its norms.
    pub(super) fn norm_eps_field(self) -> &'static str {
        match self {
            Architecture::Gpt2 => "layer_norm_epsilon",
            Architecture::Bert => "layer_norm_eps",
            _ => "rms_norm_eps",
        }
    }

    /// The longest context where the file does not say: the default of transformers.
    pub(super) fn context(self) -> usize {
        match self {
            Architecture::Llama => 2048,
            Architecture::Mistral | Architecture::Mixtral | Architecture::Gemma3 => 131_072,
            Architecture::Qwen2 | Architecture::Qwen3 => 32_768,
            Architecture::Gemma2 => 8192,
            Architecture::Phi3 => 4096,
            Architecture::Gpt2 => 1024,
            Architecture::Bert => 512,
        }
    }

    /// Whether the output projection is the embedding table where the file does not say.
    pub(super) fn ties_by_default(self) -> bool {
        matches!(self, Architecture::Gemma2 | Architecture::Gemma3 | Architecture::Gpt2 | Architecture::Bert)
    }
}

/// An activation of feed-forward networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// `x·sigmoid(x)`.
    Silu,
    /// `x·Φ(x)` with the error function.
    Gelu,
    /// The same with a hyperbolic tangent.
    GeluTanh,
}

impl Activation {
    /// By its name in `transformers`.
    pub(super) fn named(field: &str, name: &str) -> Result<Activation> {
        match name {
            "silu" | "swish" => Ok(Activation::Silu),
            "gelu" => Ok(Activation::Gelu),
            "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
            _ => {
                let known = "silu, gelu, gelu_new, gelu_fast and gelu_pytorch_tanh are";
                Err(invalid(format!("{field} {name} is not supported; {known}")))
            }
        }
    }

    /// As the gate of a gated network.
    pub(crate) fn gate(self) -> Gate {
        match self {
            Activation::Silu => Gate::SwiGlu,
            Activation::Gelu => Gate::GeGlu,
            Activation::GeluTanh => Gate::GeGluTanh,
        }
    }

    /// As the end of a linear layer.
    pub(crate) fn of_linear(self) -> op::Activation {
        match self {
            Activation::Silu => op::Activation::Silu,
            Activation::Gelu => op::Activation::Gelu,
            Activation::GeluTanh => op::Activation::GeluTanh,
        }
    }
}

/// The error of a field that an architecture needs.
pub(super) fn missing(field: &str) -> Error {
    invalid(format!("missing field {field}"))
}
