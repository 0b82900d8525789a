//! The shapes of well-known models by name, for measuring speed without their weights.

use serde_json::json;
use unisono_core::{DType, Error, Result};

use crate::formats::Source;

/// Sizes of a model of the Llama family.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// The name: `1b`, `8b`, …
    pub name: &'static str,
    /// Whose sizes they are.
    pub of: &'static str,
    /// Width of the hidden state.
    pub hidden: usize,
    /// Number of layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key-value heads.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Inner size of the feed-forward network.
    pub intermediate: usize,
    /// Tokens of the vocabulary.
    pub vocab: usize,
    /// Whether the output projection is the embedding.
    pub tied: bool,
}

const fn shape(name: &'static str, of: &'static str, sizes: [usize; 7], tied: bool) -> Shape {
    let [hidden, layers, heads, kv_heads, head_dim, intermediate, vocab] = sizes;
    Shape { name, of, hidden, layers, heads, kv_heads, head_dim, intermediate, vocab, tied }
}

/// Hidden size, layers, heads, key-value heads, head size, feed-forward size and vocabulary are those
/// of the published `config.json` files.
const SHAPES: [Shape; 6] = [
    shape("110m", "a Llama of 110 million weights", [768, 12, 12, 12, 64, 2048, 32000], true),
    shape("1b", "Llama 3.2 1B", [2048, 16, 32, 8, 64, 8192, 128_256], true),
    shape("3b", "Llama 3.2 3B", [3072, 28, 24, 8, 128, 8192, 128_256], true),
    shape("7b", "Llama 2 7B", [4096, 32, 32, 32, 128, 11008, 32000], false),
    shape("8b", "Llama 3.1 8B", [4096, 32, 32, 8, 128, 14336, 128_256], false),
    shape("70b", "Llama 3.1 70B", [8192, 80, 64, 8, 128, 28672, 128_256], false),
];

impl Shape {
    /// All known shapes, small ones first.
    pub fn all() -> &'static [Shape] {
        &SHAPES
    }

    /// The shape called `name`; the error lists the names.
    pub fn by_name(name: &str) -> Result<Shape> {
        let known = || SHAPES.map(|shape| shape.name).join(", ");
        let found = SHAPES.into_iter().find(|shape| shape.name == name);
        found.ok_or_else(|| Error::invalid(format!("there is no shape {name:?}; known are {}", known())))
    }

    /// Names (as in Hugging Face's checkpoints) and shapes of all tensors.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let mut all = vec![
            ("model.embed_tokens.weight".to_owned(), vec![self.vocab, self.hidden]),
            ("model.norm.weight".to_owned(), vec![self.hidden]),
        ];
        if !self.tied {
            all.push(("lm_head.weight".to_owned(), vec![self.vocab, self.hidden]));
        }
        for layer in 0..self.layers {
            let parts = [
                ("self_attn.q_proj", vec![q, self.hidden]),
                ("self_attn.k_proj", vec![kv, self.hidden]),
                ("self_attn.v_proj", vec![kv, self.hidden]),
                ("self_attn.o_proj", vec![self.hidden, q]),
                ("mlp.gate_proj", vec![self.intermediate, self.hidden]),
                ("mlp.up_proj", vec![self.intermediate, self.hidden]),
                ("mlp.down_proj", vec![self.hidden, self.intermediate]),
                ("input_layernorm", vec![self.hidden]),
                ("post_attention_layernorm", vec![self.hidden]),
            ];
            all.extend(parts.map(|(part, shape)| (format!("model.layers.{layer}.{part}.weight"), shape)));
        }
        all
    }

    /// Number of weights.
    pub fn parameters(&self) -> u64 {
        self.tensors().iter().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum()
    }

    /// A checkpoint of this shape with random weights: matrices of element type `dtype`, norms in
    /// f32, no tokenizer. What it writes means nothing; how fast it does is what it is for. Fails
    /// where `dtype` is no type of weights.
    pub fn random_source(&self, dtype: DType, seed: u64) -> Result<Source> {
        let config = json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "intermediate_size": self.intermediate,
            "vocab_size": self.vocab,
            "max_position_embeddings": 8192,
            "rms_norm_eps": 1e-5,
            "rope_theta": 500_000.0,
            "tie_word_embeddings": self.tied,
        });
        let name = format!("{} {dtype} with random weights", self.name);
        Source::random(name, config.to_string().into_bytes(), &self.tensors(), dtype, seed)
    }
}

#[cfg(test)]
mod tests {
    use super::Shape;

    #[test]
    fn shapes_have_the_sizes_that_their_names_say() {
        let parameters = |name| Shape::by_name(name).unwrap().parameters();
        // As counted on the models' cards.
        assert_eq!(parameters("1b"), 1_235_814_400);
        assert_eq!(parameters("3b"), 3_212_749_824);
        assert_eq!(parameters("7b"), 6_738_415_616);
        assert_eq!(parameters("8b"), 8_030_261_248);
        assert_eq!(parameters("70b"), 70_553_706_496);
        assert!(Shape::by_name("2b").unwrap_err().to_string().contains("110m, 1b"));
    }
}
