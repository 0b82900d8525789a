//! What is stored of a golden model.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde_json::Value;
use unisono::Result;
use unisono_models::Source;

use super::blocks::FileRecipe;
use super::weights::{Recipe, StoredTensor, safetensors};

/// A golden model: what it is, how its weights are made, and what `transformers` computed.
#[derive(Clone, Debug)]
pub(crate) struct Golden {
    /// The name of its folder.
    pub(crate) name: String,
    /// Its `config.json`.
    pub(crate) config: Value,
    /// How its weights are made.
    pub(crate) weights: Weights,
    /// Sizes that the bound needs.
    pub(crate) sizes: Sizes,
    /// The texts.
    pub(crate) texts: Vec<Text>,
    /// Decoders: the 2-norm of each row of the output projection, times the weight of the final norm.
    pub(crate) row_norms: Vec<f32>,
    /// Encoders: the weight of the last norm.
    pub(crate) norm: Vec<f32>,
}

/// How the weights of a golden model are made.
#[derive(Clone, Debug)]
pub(crate) enum Weights {
    /// Tensors of safetensors files.
    Tensors(Recipe),
    /// A GGUF file: its head and how its data are made.
    Gguf(Vec<u8>, FileRecipe),
    /// A GGUF file that is stored.
    Stored(Vec<u8>),
}

/// What the bound is made of.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Sizes {
    /// Number of layers.
    pub(crate) layers: usize,
    /// Most terms of a sum of products.
    pub(crate) longest_sum: usize,
    /// Width of the residual.
    pub(crate) hidden: usize,
    /// Size of the vocabulary.
    pub(crate) vocab: usize,
}

/// One text and its results.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    /// Prompt and greedy continuation; of an encoder, the text.
    pub(crate) tokens: Vec<u32>,
    /// How many of them are the prompt.
    pub(crate) prompt: usize,
    /// Smallest distance of the two largest logits over the continuation.
    pub(crate) min_top2_gap: f64,
    /// Positions with golden logits.
    pub(crate) positions: Vec<usize>,
    /// The logits at those positions, `[positions, vocab]`.
    pub(crate) logits: Vec<f32>,
    /// Hidden states after the final norm, at `states` or, of encoders, after every token.
    pub(crate) hidden: Vec<f32>,
    /// Positions of the hidden states of a decoder.
    pub(crate) states: Vec<usize>,
    /// Of encoders: the mean of the hidden states with length 1.
    pub(crate) embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct RawGoldens {
    #[serde(flatten)]
    sizes: Sizes,
    texts: Vec<RawText>,
}

#[derive(Deserialize)]
struct RawText {
    tokens: Vec<u32>,
    #[serde(default)]
    prompt: usize,
    #[serde(default)]
    min_top2_gap: f64,
    #[serde(default)]
    positions: Vec<usize>,
    #[serde(default)]
    hidden: Vec<usize>,
}

/// The folder of the golden models.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models")
}

/// The names of all golden models, sorted: those in safetensors files, then those in GGUF files.
pub(crate) fn names() -> Vec<String> {
    let mut all = Vec::new();
    for group in ["goldens", "gguf"] {
        let entries = std::fs::read_dir(folder().join(group)).expect("the folder of the goldens");
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name().into_string();
        let mut names: Vec<String> = entries.map(|entry| format!("{group}/{}", name(entry).expect("UTF-8"))).collect();
        names.sort();
        all.extend(names);
    }
    all
}

/// The f32 tensors of a golden file, by name.
pub(crate) struct Arrays(Vec<u8>);

impl Arrays {
    /// Of the content of a safetensors file.
    pub(crate) fn new(file: Vec<u8>) -> Arrays {
        Arrays(file)
    }

    /// A tensor; empty where the file has none of this name.
    pub(crate) fn get(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.0).expect("goldens.safetensors");
        let Ok(tensor) = file.tensor(name) else { return Vec::new() };
        assert_eq!(tensor.dtype(), Dtype::F32, "{name}");
        tensor.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }
}

impl Golden {
    /// The golden model of this name: `goldens/NAME` or `gguf/NAME`.
    pub(crate) fn open(path: &str) -> Golden {
        let (group, name) = path.split_once('/').expect("a group and a name");
        let place = |file: &str| folder().join(path).join(file);
        let read = |file: &str| std::fs::read(place(file)).unwrap_or_else(|e| panic!("{path}/{file}: {e}"));
        let tensors = read("tensors.json");
        let weights = match group {
            "goldens" => Weights::Tensors(serde_json::from_slice(&tensors).expect("tensors.json")),
            _ if place("model.gguf").exists() => Weights::Stored(read("model.gguf")),
            _ => Weights::Gguf(read("head.gguf"), serde_json::from_slice(&tensors).expect("tensors.json")),
        };
        let arrays = Arrays::new(read("goldens.safetensors"));
        let raw: RawGoldens = serde_json::from_slice(&read("goldens.json")).expect("goldens.json");
        let vocab = raw.sizes.vocab;
        let text = |(i, raw): (usize, RawText)| {
            let logits = arrays.get(&format!("{i}.logits"));
            assert_eq!(logits.len(), raw.positions.len() * vocab, "{name}: logits of text {i}");
            Text {
                tokens: raw.tokens,
                prompt: raw.prompt,
                min_top2_gap: raw.min_top2_gap,
                positions: raw.positions,
                logits,
                states: raw.hidden,
                hidden: arrays.get(&format!("{i}.hidden")),
                embedding: arrays.get(&format!("{i}.embedding")),
            }
        };
        let texts: Vec<Text> = raw.texts.into_iter().enumerate().map(text).collect();
        assert!(!texts.is_empty(), "{name} has no text");
        Golden {
            name: name.into(),
            config: serde_json::from_slice(&read("config.json")).expect("config.json"),
            weights,
            sizes: raw.sizes,
            texts,
            row_norms: arrays.get("row_norms"),
            norm: arrays.get("norm"),
        }
    }

    /// Whether it turns texts into hidden states and predicts nothing.
    pub(crate) fn is_encoder(&self) -> bool {
        self.row_norms.is_empty()
    }

    /// The kind of model: `model_type` of its configuration.
    pub(crate) fn architecture(&self) -> &str {
        self.config["model_type"].as_str().expect("model_type")
    }

    /// Its weights, of one in safetensors files.
    pub(crate) fn tensors(&self) -> Vec<StoredTensor> {
        match &self.weights {
            Weights::Tensors(recipe) => recipe.make(&self.name),
            Weights::Gguf(..) | Weights::Stored(_) => panic!("{} is a GGUF file", self.name),
        }
    }

    /// The GGUF file, of one that is.
    pub(crate) fn gguf(&self) -> Vec<u8> {
        match &self.weights {
            Weights::Gguf(head, recipe) => recipe.make(&self.name, head.clone()),
            Weights::Stored(file) => file.clone(),
            Weights::Tensors(_) => panic!("{} is no GGUF file", self.name),
        }
    }

    /// The model as a source in memory.
    pub(crate) fn source(&self) -> Result<Source> {
        match &self.weights {
            Weights::Tensors(_) => Ok(self.source_of(&self.config, &self.tensors())),
            Weights::Gguf(..) | Weights::Stored(_) => {
                Source::from_gguf_bytes(self.name.clone(), vec![("model.gguf".to_owned(), self.gguf().into())])
            }
        }
    }

    /// A source with another configuration or other weights.
    pub(crate) fn source_of(&self, config: &Value, tensors: &[StoredTensor]) -> Source {
        let weights = vec![("model.safetensors".to_owned(), safetensors(tensors).into())];
        Source::from_bytes(self.name.clone(), config.to_string().into_bytes(), weights)
    }
}
