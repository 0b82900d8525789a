//! Where a checkpoint comes from: a directory, or bytes in memory.
//!
//! Directories exist on native targets only; everything else works from bytes, so that a browser
//! can fetch a checkpoint itself. A directory is read tensor by tensor while the model loads: a
//! large checkpoint never lies in host memory as a whole.

use std::borrow::Cow;

#[cfg(not(target_family = "wasm"))]
pub(crate) use files::read_range;

/// A checkpoint in the Hugging Face layout, not loaded yet.
#[derive(Clone, Debug)]
pub struct Source {
    pub(crate) name: String,
    pub(crate) config: Cow<'static, [u8]>,
    pub(crate) tokenizer: Option<Cow<'static, [u8]>>,
    pub(crate) shards: Vec<Shard>,
}

/// One safetensors file.
#[derive(Clone, Debug)]
pub(crate) struct Shard {
    pub(crate) name: String,
    pub(crate) data: Data,
}

#[derive(Clone, Debug)]
pub(crate) enum Data {
    Bytes(Cow<'static, [u8]>),
    #[cfg(not(target_family = "wasm"))]
    File(std::path::PathBuf),
}

impl Source {
    /// From bytes in memory: the content of `config.json` and of each safetensors file (with its
    /// name, for errors). Nothing is checked before [`Model::load`](crate::Model::load).
    pub fn from_bytes(
        name: impl Into<String>,
        config: impl Into<Cow<'static, [u8]>>,
        weights: Vec<(String, Cow<'static, [u8]>)>,
    ) -> Source {
        let shards = weights.into_iter().map(|(name, bytes)| Shard { name, data: Data::Bytes(bytes) }).collect();
        Source { name: name.into(), config: config.into(), tokenizer: None, shards }
    }

    /// With the content of `tokenizer.json`, which text needs and tokens do not.
    #[must_use]
    pub fn with_tokenizer(mut self, json: impl Into<Cow<'static, [u8]>>) -> Source {
        self.tokenizer = Some(json.into());
        self
    }

    /// What the model is called: the directory's name, or what was given.
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(not(target_family = "wasm"))]
mod files {
    //! The part that reads files.

    use std::collections::{BTreeMap, BTreeSet};
    use std::fs::File;
    use std::io::{ErrorKind as IoErrorKind, Read, Seek, SeekFrom};
    use std::path::{Component, Path};

    use serde::Deserialize;
    use unisono_core::{Error, Result};

    use super::{Data, Shard, Source};

    const SINGLE: &str = "model.safetensors";
    const INDEX: &str = "model.safetensors.index.json";

    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }

    impl Source {
        /// From a directory with `config.json`, `tokenizer.json` (optional) and either
        /// `model.safetensors` or `model.safetensors.index.json` and the files it names.
        pub fn from_dir(dir: impl AsRef<Path>) -> Result<Source> {
            let dir = dir.as_ref();
            if !dir.is_dir() {
                return Err(Error::invalid(format!("{} is not a directory", dir.display())));
            }
            let config = read(&dir.join("config.json"))?;
            let tokenizer = dir.join("tokenizer.json");
            let tokenizer = if tokenizer.exists() { Some(read(&tokenizer)?.into()) } else { None };
            let full = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
            let name = full.file_name().map_or_else(|| "model".into(), |n| n.to_string_lossy().into_owned());
            let mut shards = Vec::new();
            for file in shard_files(dir)? {
                let path = dir.join(&file);
                if !path.is_file() {
                    return Err(Error::invalid(format!("{} does not exist", path.display())));
                }
                shards.push(Shard { name: file, data: Data::File(path) });
            }
            Ok(Source { name, config: config.into(), tokenizer, shards })
        }
    }

    fn shard_files(dir: &Path) -> Result<Vec<String>> {
        let index_path = dir.join(INDEX);
        if !index_path.exists() {
            return Ok(vec![SINGLE.to_owned()]);
        }
        let index: Index = serde_json::from_slice(&read(&index_path)?)
            .map_err(|e| Error::invalid(format!("{}: {e}", index_path.display())))?;
        let files: BTreeSet<String> = index.weight_map.into_values().collect();
        for file in &files {
            // A checkpoint must not make us read files outside its directory.
            let mut parts = Path::new(file).components();
            if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
                let message = format!("{}: {file:?} is not a plain file name", index_path.display());
                return Err(Error::invalid(message));
            }
        }
        Ok(files.into_iter().collect())
    }

    fn read(path: &Path) -> Result<Vec<u8>> {
        std::fs::read(path).map_err(|e| Error::invalid(format!("{}: {e}", path.display())))
    }

    /// `len` bytes of a file from `start`, and the file's size. A range that reaches over the end
    /// is an error before anything is allocated.
    pub(crate) fn read_range(path: &Path, start: u64, len: u64) -> Result<(Vec<u8>, u64)> {
        let fail = |e: std::io::Error| Error::invalid(format!("{}: {e}", path.display()));
        let mut file = File::open(path).map_err(fail)?;
        let size = file.metadata().map_err(fail)?.len();
        if start.checked_add(len).is_none_or(|end| end > size) {
            return Err(fail(std::io::Error::new(
                IoErrorKind::UnexpectedEof,
                format!("{len} bytes from byte {start} are wanted, the file has {size}"),
            )));
        }
        let mut bytes = vec![0; len as usize];
        file.seek(SeekFrom::Start(start)).map_err(fail)?;
        file.read_exact(&mut bytes).map_err(fail)?;
        Ok((bytes, size))
    }
}
