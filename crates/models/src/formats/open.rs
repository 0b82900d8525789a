//! Opening checkpoints on disk: which files belong together.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use unisono_core::{Error, Result};

use super::data::Data;
use super::gguf;
use super::mapping::Mapping;
use super::safetensors::Index;
use super::source::{ChatFiles, Files, Shard, Source};
use super::text::shown;
use crate::pooling::{Modules, SentenceFiles};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

impl Source {
    /// Opens a checkpoint:
    /// - a directory as Hugging Face has it, see [`from_dir`](Self::from_dir), or one without
    ///   safetensors files that holds one GGUF model;
    /// - a GGUF file, or any part of a split one, with the other parts beside it;
    /// - a safetensors file with its `config.json` beside it; if an `…index.json` beside it names
    ///   the file, the whole checkpoint.
    ///
    /// Files are mapped, not read. GGUF headers are checked now, those of safetensors files when
    /// the model is loaded. The error names the file.
    pub fn open(path: impl AsRef<Path>) -> Result<Source> {
        let path = path.as_ref();
        if path.is_dir() {
            let safetensors = path.join(SINGLE).exists() || path.join(INDEX).exists();
            return match if safetensors { None } else { gguf_model_of(path)? } {
                Some(file) => open_gguf(&file),
                None => Source::from_dir(path),
            };
        }
        let (dir, name) = split(path)?;
        match path.extension().and_then(|e| e.to_str()) {
            Some("gguf") => open_gguf(path),
            Some("safetensors") => match read_index(&dir)? {
                Some(index) if index.files().contains(&name.as_str()) => Source::from_dir(&dir),
                _ => with_config(&dir, vec![name.clone()], None, name.strip_suffix(".safetensors").unwrap_or(&name)),
            },
            _ => Err(Error::invalid(format!(
                "{}: a directory, a .gguf file or a .safetensors file is wanted{}",
                path.display(),
                if path.exists() { "" } else { "; there is nothing of that name" }
            ))),
        }
    }

    /// From a directory with `config.json`, `tokenizer.json`, `generation_config.json` and the
    /// files of sentence-transformers (optional), and either `model.safetensors` or
    /// `model.safetensors.index.json` and the files it names.
    pub fn from_dir(dir: impl AsRef<Path>) -> Result<Source> {
        let dir = dir.as_ref();
        if !dir.is_dir() {
            return Err(Error::invalid(format!("{} is not a directory", dir.display())));
        }
        let full = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
        let name = full.file_name().map_or_else(|| "model".into(), |n| n.to_string_lossy().into_owned());
        let index = read_index(dir)?;
        let files = match &index {
            Some(index) => index.files().into_iter().map(str::to_owned).collect(),
            None => vec![SINGLE.to_owned()],
        };
        with_config(dir, files, index, &name)
    }
}

/// A checkpoint of the given safetensors files and the configuration in their directory.
fn with_config(dir: &Path, files: Vec<String>, index: Option<Index>, name: &str) -> Result<Source> {
    let config = read(&dir.join("config.json"))?;
    let optional = |name: &str| {
        let path = dir.join(name);
        if path.exists() { read(&path).map(|bytes| Some(bytes.into())) } else { Ok(None) }
    };
    let tokenizer = optional("tokenizer.json")?;
    let chat = ChatFiles { config: optional("tokenizer_config.json")?, template: optional("chat_template.jinja")? };
    let shards = files.into_iter().map(|name| Ok(Shard { data: map(&dir.join(&name))?, name }));
    let files = Files::Safetensors { shards: shards.collect::<Result<_>>()?, index };
    Ok(Source {
        name: name.to_owned(),
        config: config.into(),
        tokenizer,
        vocabulary: None,
        sentence: sentence_files(dir)?,
        generation: optional("generation_config.json")?,
        chat,
        files,
    })
}

/// The files of sentence-transformers, if there are some. They may be wrong: not every model that has
/// them is loaded as an encoder.
fn sentence_files(dir: &Path) -> Result<Option<SentenceFiles>> {
    let optional = |path: PathBuf| if path.exists() { read(&path).map(Some) } else { Ok(None) };
    let Some(modules) = optional(dir.join("modules.json"))? else { return Ok(None) };
    let pooling = match Modules::parse(&modules) {
        Ok(modules) => optional(dir.join(modules.pooling_path).join("config.json"))?,
        Err(_) => None,
    };
    Ok(Some(SentenceFiles { modules, pooling, limits: optional(dir.join("sentence_bert_config.json"))? }))
}

/// A GGUF model by one of its files.
fn open_gguf(path: &Path) -> Result<Source> {
    let (dir, name) = split(path)?;
    let data = map(path)?;
    let count = gguf::split_count(gguf::File::parse(&name, data.bytes()?)?.metadata())?;
    if count == 1 {
        let title = name.strip_suffix(".gguf").unwrap_or(&name).to_owned();
        return Source::from_gguf(title, vec![(name, data)]);
    }
    let Some(named) = gguf::SplitName::parse(&name).filter(|named| named.count == count) else {
        let message = format!("{name}: one of {count} parts, which its name should say: …-00001-of-{count:05}.gguf");
        return Err(Error::invalid(message));
    };
    let parts = (1..=count).map(|i| {
        let part = named.part(i);
        Ok((part.clone(), map(&dir.join(&part))?))
    });
    Source::from_gguf(named.prefix.clone(), parts.collect::<Result<_>>()?)
}

/// The first file of the only GGUF model in a directory, if there is one.
fn gguf_model_of(dir: &Path) -> Result<Option<PathBuf>> {
    let fail = |e: std::io::Error| Error::invalid(format!("{}: {e}", dir.display()));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name().to_string_lossy().into_owned();
        // Of a split model, the first part stands for all.
        if name.ends_with(".gguf") && gguf::SplitName::parse(&name).is_none_or(|split| split.number == 1) {
            names.push(name);
        }
    }
    names.sort_unstable();
    match names.as_slice() {
        [] => Ok(None),
        [name] => Ok(Some(dir.join(name))),
        [first, second, ..] => {
            let (dir, first, second) = (dir.display(), shown(first), shown(second));
            Err(Error::invalid(format!("{dir} holds several GGUF models ({first}, {second}): name one")))
        }
    }
}

fn read_index(dir: &Path) -> Result<Option<Index>> {
    let path = dir.join(INDEX);
    if !path.exists() {
        return Ok(None);
    }
    Index::parse(&path.display().to_string(), &read(&path)?).map(Some)
}

/// The directory of a file and its name.
fn split(path: &Path) -> Result<(PathBuf, String)> {
    let name = path.file_name().and_then(|n| n.to_str());
    let name = name.ok_or_else(|| Error::invalid(format!("{} is not the name of a file", path.display())))?;
    Ok((path.parent().unwrap_or(Path::new("")).to_path_buf(), name.to_owned()))
}

fn map(path: &Path) -> Result<Data> {
    Ok(Data::Mapped(Arc::new(Mapping::open(path)?)))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::invalid(format!("{}: {e}", path.display())))
}
