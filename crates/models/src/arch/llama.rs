//! The graph of a Llama model (Touvron et al. 2023; the layout of `LlamaForCausalLM`).
//!
//! One function serves prefill and decode: `n` tokens with their positions and limits go in,
//! their keys and values go into the cache, and attention reads the cache.

use unisono_core::op::RopePairing;
use unisono_core::{DType, Device, Error, Result, Tensor};

use super::Decoder;
use crate::config::ModelConfig;
use crate::engine::cache::{Attend, KvCache};
use crate::engine::step::StepInputs;
use crate::formats::Weights;
use crate::rope::rope_tables;

/// The weights on a device, as stored, and the rotary tables.
#[derive(Debug)]
pub(crate) struct Llama {
    config: ModelConfig,
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: Tensor,
    head: Tensor,
    cos: Tensor,
    sin: Tensor,
    pairing: RopePairing,
    parameters: u64,
}

#[derive(Debug)]
struct Layer {
    attention_norm: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    o: Tensor,
    mlp_norm: Tensor,
    gate: Tensor,
    up: Tensor,
    down: Tensor,
}

impl Llama {
    /// Uploads all weights, and rotary tables for `context_len` positions.
    pub(crate) fn load(
        device: &Device,
        config: &ModelConfig,
        weights: &Weights<'_>,
        context_len: usize,
    ) -> Result<Llama> {
        let mut parameters = 0;
        let mut get = |name: &str, shape: &[usize]| {
            parameters += shape.iter().map(|&n| n as u64).product::<u64>();
            weights.upload(device, name, shape)
        };
        let hidden = config.hidden_size;
        let (q_size, kv_size) =
            (config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim);
        let embedding = get("model.embed_tokens.weight", &[config.vocab_size, hidden])?;
        let mut layers = Vec::new();
        for i in 0..config.num_hidden_layers {
            let mut get = |name: &str, shape: &[usize]| get(&format!("model.layers.{i}.{name}.weight"), shape);
            layers.push(Layer {
                attention_norm: get("input_layernorm", &[hidden])?,
                q: get("self_attn.q_proj", &[q_size, hidden])?,
                k: get("self_attn.k_proj", &[kv_size, hidden])?,
                v: get("self_attn.v_proj", &[kv_size, hidden])?,
                o: get("self_attn.o_proj", &[hidden, q_size])?,
                mlp_norm: get("post_attention_layernorm", &[hidden])?,
                gate: get("mlp.gate_proj", &[config.intermediate_size, hidden])?,
                up: get("mlp.up_proj", &[config.intermediate_size, hidden])?,
                down: get("mlp.down_proj", &[hidden, config.intermediate_size])?,
            });
        }
        let norm = get("model.norm.weight", &[hidden])?;
        let head = match config.tie_word_embeddings {
            true => embedding.clone(),
            false => get("lm_head.weight", &[config.vocab_size, hidden])?,
        };
        let tables = rope_tables(config, context_len);
        let shape = [context_len, config.head_dim / 2];
        let (cos, sin) = (device.tensor(&tables.cos, &shape)?, device.tensor(&tables.sin, &shape)?);
        let pairing = match weights.conventions().rope_interleaved {
            true => RopePairing::Interleaved,
            false => RopePairing::HalfSplit,
        };
        Ok(Llama { config: config.clone(), embedding, layers, norm, head, cos, sin, pairing, parameters })
    }

    fn attention(&self, i: usize, layer: &Layer, x: &Tensor, step: &StepInputs, cache: &KvCache) -> Result<Tensor> {
        let config = &self.config;
        let (n, head_dim) = (step.len(), config.head_dim);
        let (heads, kv_heads) = (config.num_attention_heads, config.num_key_value_heads);
        let positions = step.positions.unsqueeze(0)?;
        let rope = |t: &Tensor, heads: usize| {
            let t = t.reshape(&[1, n, heads, head_dim])?;
            t.rope(&self.cos, &self.sin, &positions, self.pairing)?.squeeze(0)
        };
        let q = rope(&x.matmul_t(&layer.q)?, heads)?;
        let k = rope(&x.matmul_t(&layer.k)?, kv_heads)?;
        let v = x.matmul_t(&layer.v)?.reshape(&[n, kv_heads, head_dim])?;
        cache.attend(i, [&q, &k, &v], step, Attend::default())?.matmul_t(&layer.o)
    }
}

impl Decoder for Llama {
    fn hidden(&self, step: &StepInputs, cache: &KvCache) -> Result<Tensor> {
        let eps = self.config.rms_norm_eps;
        let mut residual = self.embedding.gather_rows_as(&step.tokens, DType::F32)?;
        let first = self.layers.first().ok_or_else(|| Error::invalid("the model has no layer"))?;
        let mut x = residual.rms_norm(&first.attention_norm, eps)?;
        for (i, layer) in self.layers.iter().enumerate() {
            let attended = self.attention(i, layer, &x, step, cache)?;
            (residual, x) = attended.add_rms_norm(&residual, &layer.mlp_norm, eps)?;
            let gated = x.matmul_t(&layer.gate)?.swiglu(&x.matmul_t(&layer.up)?)?;
            let next_norm = self.layers.get(i + 1).map_or(&self.norm, |next| &next.attention_norm);
            (residual, x) = gated.matmul_t(&layer.down)?.add_rms_norm(&residual, next_norm, eps)?;
        }
        Ok(x)
    }

    fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        hidden.matmul_t(&self.head)
    }

    fn parameters(&self) -> u64 {
        self.parameters
    }
}
