//! Where a checkpoint comes from: files, or bytes in memory.
//!
//! Files exist on native targets only (`open.rs`); everything else works from bytes, so that a
//! browser can fetch a checkpoint itself.

use std::borrow::Cow;
use std::sync::Arc;

use unisono_core::{DType, Error, Result};

use super::data::Data;
use super::gguf::{self, Set};
use super::pointer;
use super::random::Random;
use super::safetensors::Index;
use super::tensor::TensorInfo;
use super::weights::Weights;
use crate::config::ModelConfig;
use crate::pooling::SentenceFiles;
use crate::tokenizer::Vocabulary;

/// A checkpoint, not loaded yet: a GGUF model, or one in the layout of Hugging Face.
#[derive(Clone, Debug)]
pub struct Source {
    pub(crate) name: String,
    /// `config.json`; for a GGUF model, what it would be.
    pub(crate) config: Cow<'static, [u8]>,
    pub(crate) tokenizer: Option<Cow<'static, [u8]>>,
    /// Why there is no tokenizer, where there are files of one: who needs none is not bothered.
    pub(crate) no_tokenizer: Option<Error>,
    /// The vocabulary of a GGUF model.
    pub(crate) vocabulary: Option<Arc<Vocabulary>>,
    /// The files of sentence-transformers, if there are some.
    pub(crate) sentence: Option<SentenceFiles>,
    /// `generation_config.json`, if there is one.
    pub(crate) generation: Option<Cow<'static, [u8]>>,
    pub(crate) chat: ChatFiles,
    pub(super) files: Files,
    /// What the files say twice, and how that was decided.
    pub(crate) notes: Vec<String>,
}

/// Files that say how conversations are written, where a checkpoint has them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChatFiles {
    /// `tokenizer_config.json`.
    pub(crate) config: Option<Cow<'static, [u8]>>,
    /// `chat_template.jinja`.
    pub(crate) template: Option<Cow<'static, [u8]>>,
}

/// The files that hold the tensors.
#[derive(Clone, Debug)]
pub(super) enum Files {
    Safetensors { shards: Vec<Shard>, index: Option<Index> },
    Gguf(Arc<Set>),
    Random(Arc<Random>),
}

/// One safetensors file.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    pub(super) name: String,
    pub(super) data: Data,
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
        let files = Files::Safetensors { shards, index: None };
        Source {
            name: name.into(),
            config: config.into(),
            tokenizer: None,
            no_tokenizer: None,
            vocabulary: None,
            sentence: None,
            generation: None,
            chat: ChatFiles::default(),
            files,
            notes: Vec::new(),
        }
    }

    /// From the bytes of a GGUF model: one file, or all parts of a split one in any order, each
    /// with its name. Fails where a file is damaged, parts are missing or the architecture is not
    /// supported.
    pub fn from_gguf_bytes(name: impl Into<String>, files: Vec<(String, Cow<'static, [u8]>)>) -> Result<Source> {
        let files = files.into_iter().map(|(name, bytes)| (name, Data::Bytes(bytes))).collect();
        Source::from_gguf(name.into(), files)
    }

    pub(super) fn from_gguf(name: String, files: Vec<(String, Data)>) -> Result<Source> {
        let set = Set::open(files)?;
        let mut notes = Vec::new();
        let config = gguf::config_json(&set, &mut notes)?;
        let vocabulary = gguf::vocabulary(set.metadata())?;
        Ok(Source {
            name,
            config: config.into(),
            tokenizer: None,
            no_tokenizer: None,
            vocabulary: vocabulary.map(Arc::new),
            sentence: None,
            generation: None,
            chat: ChatFiles::default(),
            files: Files::Gguf(Arc::new(set)),
            notes,
        })
    }

    /// Random weights for a configuration: see [`Shape::random_source`](crate::Shape::random_source).
    pub(crate) fn random(
        name: String,
        config: Vec<u8>,
        tensors: &[(String, Vec<usize>)],
        dtype: DType,
        seed: u64,
    ) -> Result<Source> {
        let files = Files::Random(Arc::new(Random::new(tensors, dtype, seed)?));
        Ok(Source { files, ..Source::from_bytes(name, config, Vec::new()) })
    }

    /// With the content of `tokenizer.json`, which text needs and tokens do not.
    #[must_use]
    pub fn with_tokenizer(mut self, json: impl Into<Cow<'static, [u8]>>) -> Source {
        self.tokenizer = Some(json.into());
        self
    }

    /// With what the files of sentence-transformers say about an encoder: the content of
    /// `modules.json`, of the pooling module's `config.json` and of `sentence_bert_config.json`.
    pub fn with_sentence_files(mut self, modules: &[u8], pooling: &[u8], limits: Option<&[u8]>) -> Result<Source> {
        let (pooling, limits) = (Some(pooling.to_vec()), limits.map(<[u8]>::to_vec));
        let files = SentenceFiles { modules: modules.to_vec(), pooling, limits, prompts: None };
        files.config()?;
        self.sentence = Some(files);
        Ok(self)
    }

    /// With the content of `config_sentence_transformers.json`, which has the prompts that go before
    /// texts. To be called after [`with_sentence_files`](Self::with_sentence_files).
    pub fn with_sentence_prompts(mut self, json: &[u8]) -> Result<Source> {
        let files = self.sentence.as_mut();
        let files = files.ok_or_else(|| Error::invalid("prompts without the files of sentence-transformers"))?;
        files.prompts = Some(json.to_vec());
        files.config()?;
        Ok(self)
    }

    /// With the content of `generation_config.json`, whose `eos_token_id` ends texts, too.
    #[must_use]
    pub fn with_generation_config(mut self, json: impl Into<Cow<'static, [u8]>>) -> Source {
        self.generation = Some(json.into());
        self
    }

    /// With the content of `tokenizer_config.json`, which names special tokens and may hold the chat
    /// template.
    #[must_use]
    pub fn with_tokenizer_config(mut self, json: impl Into<Cow<'static, [u8]>>) -> Source {
        self.chat.config = Some(json.into());
        self
    }

    /// With a chat template, the content of `chat_template.jinja`. It goes before any other.
    #[must_use]
    pub fn with_chat_template(mut self, jinja: impl Into<Cow<'static, [u8]>>) -> Source {
        self.chat.template = Some(jinja.into());
        self
    }

    /// With the index of a checkpoint in several safetensors files: loading checks that each tensor
    /// is where it says.
    #[must_use]
    pub fn with_index(mut self, new: Index) -> Source {
        if let Files::Safetensors { index, .. } = &mut self.files {
            *index = Some(new);
        }
        self
    }

    /// What the model is called: the name of its directory or file, or what was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the model looks like, from its `config.json` or from the metadata of a GGUF model.
    pub fn config(&self) -> Result<ModelConfig> {
        match self.gguf_file() {
            Some(file) => ModelConfig::from_file(&format!("{file}: its metadata as config.json"), &self.config),
            None => ModelConfig::from_json(&self.config),
        }
    }

    /// What the files say twice and how that was decided, in words for people. Loading adds more:
    /// [`Model::notes`](crate::Model::notes).
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Fails where a file in memory is not what it should be but a stand-in for it.
    pub(crate) fn check_pointers(&self) -> Result<()> {
        let files = [
            ("tokenizer.json", &self.tokenizer),
            ("tokenizer_config.json", &self.chat.config),
            ("chat_template.jinja", &self.chat.template),
        ];
        files.into_iter().try_for_each(|(name, bytes)| match bytes {
            Some(bytes) => pointer::check(name, bytes),
            None => Ok(()),
        })
    }

    /// The file with the metadata of a GGUF model, for errors.
    pub(crate) fn gguf_file(&self) -> Option<&str> {
        match &self.files {
            Files::Gguf(set) => set.parts.first().map(|part| part.name.as_str()),
            Files::Safetensors { .. } | Files::Random(_) => None,
        }
    }

    /// The vocabulary of a GGUF model, if it has one.
    pub fn vocabulary(&self) -> Option<&Vocabulary> {
        self.vocabulary.as_deref()
    }

    /// Reads and checks the headers of all files, and lists their tensors: the name in the file,
    /// the name of the file, and what is there.
    pub fn tensors(&self) -> Result<Vec<(String, String, TensorInfo)>> {
        Ok(Weights::open(self)?.into_list())
    }
}
