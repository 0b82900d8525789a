//! The tiny model as a GGUF file.

use std::borrow::Cow;

use unisono_models::Source;

use crate::tiny;
use crate::writer::{Field, Gguf};

/// The tiny model as a GGUF file: names translated, rows of q and k permuted.
pub(crate) fn tiny_llama() -> Gguf {
    let mut file = Gguf::new();
    let sizes = [
        ("llama.embedding_length", tiny::HIDDEN),
        ("llama.feed_forward_length", tiny::FFN),
        ("llama.block_count", tiny::LAYERS),
        ("llama.attention.head_count", tiny::HEADS),
        ("llama.attention.head_count_kv", tiny::KV_HEADS),
        ("llama.attention.key_length", tiny::HEAD_DIM),
        ("llama.attention.value_length", tiny::HEAD_DIM),
        ("llama.rope.dimension_count", tiny::HEAD_DIM),
        ("llama.context_length", 64),
    ];
    file.field("general.architecture", Field::text("llama"));
    for (key, size) in sizes {
        file.field(key, Field::u32(size as u32));
    }
    file.field("llama.attention.layer_norm_rms_epsilon", Field::f32(tiny::EPS as f32));
    file.field("llama.rope.freq_base", Field::f32(tiny::THETA as f32));
    for (name, (shape, values)) in tiny::tensors() {
        let name = name
            .replace("model.layers.", "blk.")
            .replace("input_layernorm", "attn_norm")
            .replace("post_attention_layernorm", "ffn_norm")
            .replace("self_attn.o_proj", "attn_output")
            .replace("self_attn.", "attn_")
            .replace("mlp.", "ffn_")
            .replace("_proj", "")
            .replace("model.embed_tokens", "token_embd")
            .replace("model.norm", "output_norm")
            .replace("lm_head", "output");
        let values = match name.contains("attn_q.") || name.contains("attn_k.") {
            true => interleave(&values, shape[1]),
            false => values,
        };
        file.floats(&name, &shape, &values);
    }
    file
}

/// Puts row `i` of a head's second half behind row `i` of its first.
fn interleave(values: &[f64], width: usize) -> Vec<f64> {
    let head = tiny::HEAD_DIM;
    let row = |head_start: usize, r: usize| &values[(head_start + r % 2 * (head / 2) + r / 2) * width..][..width];
    let heads = values.len() / width / head;
    (0..heads).flat_map(|h| (0..head).flat_map(move |r| row(h * head, r).to_vec())).collect()
}

pub(crate) fn source_of(bytes: Vec<u8>) -> unisono_core::Result<Source> {
    Source::from_gguf_bytes("tiny", vec![("tiny.gguf".to_owned(), Cow::from(bytes))])
}
