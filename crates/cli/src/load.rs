//! What commands that run a model have in common: which model, on which device, and how it is
//! loaded.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use unisono::DType;
use unisono_models::{Model, ModelOptions, Source, tiny_llama};

use crate::{numbers, output};

/// Arguments of every command that runs a model.
#[derive(Args)]
pub(crate) struct ModelArguments {
    /// A GGUF file, or a directory with config.json, model.safetensors and tokenizer.json; the
    /// embedded model if absent.
    #[arg(long, value_name = "PATH")]
    pub(crate) model: Option<PathBuf>,
    /// Device to run on: an id, a vendor, an API, part of a name, or `auto`.
    #[arg(long, value_name = "NAME", env = "UNISONO_DEVICE", default_value = "auto")]
    pub(crate) device: String,
    /// Longest text in tokens; what the model was made for if absent, at most 4096.
    #[arg(long, value_name = "TOKENS", value_parser = numbers::whole(1..=usize::MAX))]
    pub(crate) context: Option<usize>,
    /// Element type of the key-value cache: f32, f16, bf16 or q8_0.
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = cache_dtype)]
    pub(crate) cache_dtype: DType,
}

pub(crate) fn cache_dtype(name: &str) -> Result<DType, String> {
    let possible = [DType::F32, DType::F16, DType::BF16, DType::Q8_0];
    let found = possible.into_iter().find(|dtype| dtype.name() == name);
    found.ok_or_else(|| format!("f32, f16, bf16 and q8_0 are possible, not {name}"))
}

impl ModelArguments {
    /// The files, checked only when they are loaded.
    pub(crate) fn source(&self) -> Result<Source> {
        Ok(self.model.as_deref().map(open).transpose()?.unwrap_or_else(tiny_llama))
    }

    /// Opens the device and puts the model on it.
    pub(crate) fn load(&self) -> Result<Model> {
        let source = self.source()?;
        let device = unisono::open(&self.device)?;
        let options =
            ModelOptions { context_len: self.context, cache_dtype: self.cache_dtype, ..ModelOptions::default() };
        let bar = output::loading(source.name());
        let model = Model::load_with_progress(&device, &source, &options, &mut |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        let model = model?;
        notes(model.notes());
        Ok(model)
    }
}

/// Says once what the files of a model say twice or wrongly, and how that was decided.
pub(crate) fn notes(notes: &[String]) {
    for note in notes {
        errln!("note: {note}");
    }
}

/// A checkpoint by its path.
pub(crate) fn open(path: &Path) -> Result<Source> {
    Ok(Source::open(path)?)
}
