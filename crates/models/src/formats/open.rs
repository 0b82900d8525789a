//! Opening checkpoints on disk: which files belong together.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use unisono_core::{Error, Result};

use super::data::Data;
use super::mapping::Mapping;
use super::safetensors::Index;
use super::source::{ChatFiles, Files, Shard, Source};
use super::text::shown;
use super::{gguf, misplaced, pointer};
use crate::pooling::{Modules, SentenceFiles};
use crate::tokenizer::tokenizer_json;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// What sentence-transformers calls the same file for different models, in its order.
const LIMITS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

impl Source {
    /// Opens a checkpoint:
    /// - a directory as Hugging Face has it, see [`from_dir`](Self::from_dir), or one without
    ///   safetensors files that holds one GGUF model;
    /// - a GGUF file, or any part of a split one, with the other parts beside it;
    /// - a safetensors file with its `config.json` beside it; if an `…index.json` beside it names
    ///   the file, the whole checkpoint (but for a file called `model.safetensors`, which is one).
    ///
    /// Files are mapped, not read. GGUF headers are checked now, those of safetensors files when
    /// the model is loaded. The error names the file.
    pub fn open(path: impl AsRef<Path>) -> Result<Source> {
        let path = path.as_ref();
        if path.is_dir() {
            let safetensors = path.join(SINGLE).exists() || path.join(INDEX).exists();
            if safetensors {
                let gguf = gguf_names(path)?.into_iter().next();
                let mut source = Source::from_dir(path)?;
                source.notes.extend(gguf.map(|gguf| {
                    format!("{} has safetensors files and {}; the former are taken", path.display(), shown(&gguf))
                }));
                return Ok(source);
            }
            return match gguf_model_of(path)? {
                Some(file) => open_gguf(&file),
                None => Source::from_dir(path),
            };
        }
        let (dir, name) = split(path)?;
        match path.extension().and_then(|e| e.to_str()) {
            Some("gguf") => open_gguf(path),
            Some("safetensors") => match read_index(&dir)? {
                Some(index) if name != SINGLE && index.files().contains(&name.as_str()) => indexed(&dir, index),
                _ => with_config(&dir, vec![name.clone()], None, name.strip_suffix(".safetensors").unwrap_or(&name)),
            },
            _ if path.exists() && misplaced::is_pickle(&name) => {
                Err(Error::invalid(format!("{}: {}", path.display(), misplaced::pickle("it"))))
            }
            _ => Err(Error::invalid(format!(
                "{}: a directory, a .gguf file or a .safetensors file is wanted{}",
                path.display(),
                if path.exists() { "" } else { "; there is nothing of that name" }
            ))),
        }
    }

    /// From a directory with `config.json`, `tokenizer.json` (or `vocab.json` with `merges.txt`),
    /// `generation_config.json` and the files of sentence-transformers (optional), and either
    /// `model.safetensors` or `model.safetensors.index.json` and the files it names. Of both, the former
    /// is taken, as transformers does, and a note says so.
    pub fn from_dir(dir: impl AsRef<Path>) -> Result<Source> {
        let dir = dir.as_ref();
        if !dir.is_dir() {
            return Err(Error::invalid(format!("{} is not a directory", dir.display())));
        }
        if !dir.join(SINGLE).exists() {
            if let Some(index) = read_index(dir)? {
                return indexed(dir, index);
            }
            if let Some(message) = misplaced::explain(dir) {
                return Err(Error::invalid(message));
            }
        }
        let mut source = with_config(dir, vec![SINGLE.to_owned()], None, &name_of(dir))?;
        if dir.join(INDEX).exists() {
            source.notes.push(format!("{} has {SINGLE} and {INDEX}; the former is taken alone", dir.display()));
        }
        Ok(source)
    }
}

/// The name of a directory, for messages.
fn name_of(dir: &Path) -> String {
    let full = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    full.file_name().map_or_else(|| "model".into(), |n| n.to_string_lossy().into_owned())
}

/// A checkpoint of the files that an index names.
fn indexed(dir: &Path, index: Index) -> Result<Source> {
    let files = index.files().into_iter().map(str::to_owned).collect();
    with_config(dir, files, Some(index), &name_of(dir))
}

/// A checkpoint of the given safetensors files and the configuration in their directory.
fn with_config(dir: &Path, files: Vec<String>, index: Option<Index>, name: &str) -> Result<Source> {
    let config = read(&dir.join("config.json"))?;
    let optional = |name: &str| Ok(read_optional(&dir.join(name))?.map(Into::into));
    let (tokenizer, no_tokenizer) = match tokenizer_json(dir) {
        Ok(json) => (json.map(Into::into), None),
        Err(error) => (None, Some(error)),
    };
    let chat = ChatFiles { config: optional("tokenizer_config.json")?, template: optional("chat_template.jinja")? };
    let shards = files.into_iter().map(|name| Ok(Shard { data: map(&dir.join(&name))?, name }));
    let files = Files::Safetensors { shards: shards.collect::<Result<_>>()?, index };
    Ok(Source {
        name: name.to_owned(),
        config: config.into(),
        tokenizer,
        no_tokenizer,
        vocabulary: None,
        sentence: sentence_files(dir)?,
        generation: optional("generation_config.json")?,
        chat,
        files,
        notes: Vec::new(),
    })
}

/// The files of sentence-transformers, if there are some. They may be wrong: not every model that has
/// them is used for embedding.
fn sentence_files(dir: &Path) -> Result<Option<SentenceFiles>> {
    let optional = |path: &str| read_optional(&dir.join(path));
    let Some(modules) = optional("modules.json")? else { return Ok(None) };
    let pooling = match Modules::parse(&modules) {
        Ok(modules) => optional(&format!("{}/config.json", modules.pooling_path))?,
        Err(_) => None,
    };
    let mut limits = None;
    for name in LIMITS {
        limits = limits.or(optional(name)?);
    }
    Ok(Some(SentenceFiles { modules, pooling, limits, prompts: optional("config_sentence_transformers.json")? }))
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

/// The GGUF models of a directory, in order.
fn gguf_names(dir: &Path) -> Result<Vec<String>> {
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
    Ok(names)
}

/// The first file of the only GGUF model in a directory, if there is one.
fn gguf_model_of(dir: &Path) -> Result<Option<PathBuf>> {
    let names = gguf_names(dir)?;
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
    let json = read_optional(&path)?;
    json.map(|json| Index::parse(&path.display().to_string(), &json)).transpose()
}

/// The directory of a file and its name.
fn split(path: &Path) -> Result<(PathBuf, String)> {
    let name = path.file_name().and_then(|n| n.to_str());
    let name = name.ok_or_else(|| Error::invalid(format!("{} is not the name of a file", path.display())))?;
    Ok((path.parent().unwrap_or(Path::new("")).to_path_buf(), name.to_owned()))
}

fn map(path: &Path) -> Result<Data> {
    let mapping = Mapping::open(path)?;
    pointer::check(&path.display().to_string(), mapping.bytes()?)?;
    Ok(Data::Mapped(Arc::new(mapping)))
}

/// Reads a file, where there is one.
fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    if path.exists() { read(path).map(Some) } else { Ok(None) }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|e| Error::invalid(format!("{name}: {e}")))?;
    pointer::check(&name, &bytes)?;
    Ok(bytes)
}
