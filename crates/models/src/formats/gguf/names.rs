//! The names of tensors: from those of Hugging Face, which the networks ask for, to those of GGUF
//! files.
//!
//! Source of the names: `tensor_mapping.py` of the Python package `gguf`.

use super::Architecture;

/// The name in a GGUF file of the tensor that Hugging Face calls `name`; `None` if the format has
/// none for it.
pub(crate) fn translate(architecture: Architecture, name: &str) -> Option<String> {
    // The last part says what of a module it is. Stacked experts have no such part.
    let (module, kind) = match name.rsplit_once('.') {
        Some((module, kind @ ("weight" | "bias"))) => (module, kind),
        _ => (name, "weight"),
    };
    let outer: &[(&str, &str)] = match architecture {
        Architecture::Gpt2 => &GPT2,
        Architecture::Bert => &BERT,
        _ => &DECODER,
    };
    let module = match architecture {
        Architecture::Gpt2 => module.strip_prefix("transformer.").unwrap_or(module),
        Architecture::Bert => module.strip_prefix("bert.").unwrap_or(module),
        _ => module,
    };
    if let Some((_, translated)) = outer.iter().find(|(hf, _)| *hf == module) {
        return Some(format!("{translated}.{kind}"));
    }
    let layers = match architecture {
        Architecture::Gpt2 => "h.",
        Architecture::Bert => "encoder.layer.",
        _ => "model.layers.",
    };
    let (layer, part) = module.strip_prefix(layers)?.split_once('.')?;
    let layer: usize = layer.parse().ok()?;
    let part = layer_part(architecture, part)?;
    Some(format!("blk.{layer}.{part}.{kind}"))
}

const DECODER: [(&str, &str); 3] =
    [("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"), ("lm_head", "output")];

const GPT2: [(&str, &str); 4] =
    [("wte", "token_embd"), ("wpe", "position_embd"), ("ln_f", "output_norm"), ("lm_head", "output")];

const BERT: [(&str, &str); 4] = [
    ("embeddings.word_embeddings", "token_embd"),
    ("embeddings.position_embeddings", "position_embd"),
    ("embeddings.token_type_embeddings", "token_types"),
    ("embeddings.LayerNorm", "token_embd_norm"),
];

/// A module of a layer.
fn layer_part(architecture: Architecture, part: &str) -> Option<String> {
    // Files from before experts were stacked have each on its own.
    if let Some((number, matrix)) = part.strip_prefix("block_sparse_moe.experts.").and_then(|p| p.split_once('.')) {
        let number: usize = number.parse().ok()?;
        let matrix = match matrix {
            "w1" => "ffn_gate",
            "w2" => "ffn_down",
            "w3" => "ffn_up",
            _ => return None,
        };
        return Some(format!("{matrix}.{number}"));
    }
    let sandwich = matches!(architecture, Architecture::Gemma2 | Architecture::Gemma3);
    let translated = match (architecture, part) {
        (Architecture::Gpt2, "ln_1") => "attn_norm",
        (Architecture::Gpt2, "ln_2") => "ffn_norm",
        (Architecture::Gpt2, "attn.c_attn") => "attn_qkv",
        (Architecture::Gpt2, "attn.c_proj") => "attn_output",
        (Architecture::Gpt2, "mlp.c_fc") => "ffn_up",
        (Architecture::Gpt2, "mlp.c_proj") => "ffn_down",
        (Architecture::Bert, "attention.self.query") => "attn_q",
        (Architecture::Bert, "attention.self.key") => "attn_k",
        (Architecture::Bert, "attention.self.value") => "attn_v",
        (Architecture::Bert, "attention.output.dense") => "attn_output",
        (Architecture::Bert, "attention.output.LayerNorm") => "attn_output_norm",
        (Architecture::Bert, "intermediate.dense") => "ffn_up",
        (Architecture::Bert, "output.dense") => "ffn_down",
        (Architecture::Bert, "output.LayerNorm") => "layer_output_norm",
        (Architecture::Gpt2 | Architecture::Bert, _) => return None,
        (_, "input_layernorm") => "attn_norm",
        (_, "post_attention_layernorm") if sandwich => "post_attention_norm",
        (_, "pre_feedforward_layernorm") if sandwich => "ffn_norm",
        (_, "post_feedforward_layernorm") if sandwich => "post_ffw_norm",
        (_, "post_attention_layernorm") => "ffn_norm",
        (_, "self_attn.q_proj") => "attn_q",
        (_, "self_attn.k_proj") => "attn_k",
        (_, "self_attn.v_proj") => "attn_v",
        (_, "self_attn.o_proj") => "attn_output",
        (_, "self_attn.qkv_proj") => "attn_qkv",
        (_, "self_attn.q_norm") => "attn_q_norm",
        (_, "self_attn.k_norm") => "attn_k_norm",
        (_, "mlp.gate_proj") => "ffn_gate",
        // Phi-3 keeps gate and up in one matrix.
        (_, "mlp.up_proj" | "mlp.gate_up_proj") => "ffn_up",
        (_, "mlp.down_proj") => "ffn_down",
        (_, "block_sparse_moe.gate" | "mlp.gate") => "ffn_gate_inp",
        (_, "mlp.experts.gate") => "ffn_gate_exps",
        (_, "mlp.experts.up") => "ffn_up_exps",
        (_, "mlp.experts.down") => "ffn_down_exps",
        _ => return None,
    };
    Some(translated.to_owned())
}

#[cfg(test)]
mod tests {
    use super::Architecture::{Bert, Gemma3, Gpt2, Llama, Phi3, Qwen3};
    use super::*;

    #[test]
    fn names_of_every_kind() {
        let cases = [
            (Llama, "model.embed_tokens.weight", "token_embd.weight"),
            (Llama, "lm_head.weight", "output.weight"),
            (Llama, "model.layers.12.post_attention_layernorm.weight", "blk.12.ffn_norm.weight"),
            (Llama, "model.layers.0.block_sparse_moe.gate.weight", "blk.0.ffn_gate_inp.weight"),
            (Llama, "model.layers.0.block_sparse_moe.experts.7.w2.weight", "blk.0.ffn_down.7.weight"),
            (Llama, "model.layers.0.mlp.experts.up", "blk.0.ffn_up_exps.weight"),
            (Qwen3, "model.layers.3.self_attn.q_proj.bias", "blk.3.attn_q.bias"),
            (Qwen3, "model.layers.3.self_attn.q_norm.weight", "blk.3.attn_q_norm.weight"),
            (Gemma3, "model.layers.3.post_attention_layernorm.weight", "blk.3.post_attention_norm.weight"),
            (Gemma3, "model.layers.3.pre_feedforward_layernorm.weight", "blk.3.ffn_norm.weight"),
            (Phi3, "model.layers.1.mlp.gate_up_proj.weight", "blk.1.ffn_up.weight"),
            (Gpt2, "transformer.h.2.attn.c_attn.bias", "blk.2.attn_qkv.bias"),
            (Gpt2, "wpe.weight", "position_embd.weight"),
            (Bert, "bert.encoder.layer.1.output.LayerNorm.bias", "blk.1.layer_output_norm.bias"),
            (Bert, "embeddings.LayerNorm.weight", "token_embd_norm.weight"),
        ];
        for (architecture, hf, gguf) in cases {
            assert_eq!(translate(architecture, hf).as_deref(), Some(gguf));
        }
        for absent in ["model.layers.x.mlp.up_proj.weight", "pooler.dense.weight", "", "model.layers.1"] {
            assert_eq!(translate(Llama, absent), None);
        }
    }
}
