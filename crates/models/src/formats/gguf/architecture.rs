//! The architectures of GGUF files that the crate has networks for.

use unisono_core::{Error, Result};

use super::Metadata;
use crate::formats::Conventions;
use crate::formats::text::shown;

/// The value of `general.architecture`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Architecture {
    /// Llama, and what has its layout: Mistral, Mixtral.
    Llama,
    Qwen2,
    Qwen3,
    Gemma2,
    Gemma3,
    Phi3,
    Gpt2,
    Bert,
}

impl Architecture {
    pub(crate) const ALL: [Architecture; 8] = [
        Architecture::Llama,
        Architecture::Qwen2,
        Architecture::Qwen3,
        Architecture::Gemma2,
        Architecture::Gemma3,
        Architecture::Phi3,
        Architecture::Gpt2,
        Architecture::Bert,
    ];

    /// The name in files, which also begins the keys of its metadata.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Architecture::Llama => "llama",
            Architecture::Qwen2 => "qwen2",
            Architecture::Qwen3 => "qwen3",
            Architecture::Gemma2 => "gemma2",
            Architecture::Gemma3 => "gemma3",
            Architecture::Phi3 => "phi3",
            Architecture::Gpt2 => "gpt2",
            Architecture::Bert => "bert",
        }
    }

    /// The architecture of a file.
    pub(crate) fn of(file: &str, metadata: &Metadata) -> Result<Architecture> {
        let key = "general.architecture";
        let name = metadata.str(key)?.ok_or_else(|| metadata.wrong(key, "the name of an architecture"))?;
        Architecture::ALL.into_iter().find(|a| a.name() == name).ok_or_else(|| {
            let known: Vec<&str> = Architecture::ALL.into_iter().map(Architecture::name).collect();
            let (name, known) = (shown(name), known.join(", "));
            Error::invalid(format!("{file}: the architecture {name} is not supported; {known} are"))
        })
    }

    /// How its tensors differ from those of Hugging Face.
    pub(crate) fn conventions(self) -> Conventions {
        Conventions { rope_interleaved: self == Architecture::Llama, norm_has_one: true, transposed_conv1d: false }
    }
}
