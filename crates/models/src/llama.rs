//! The graph of a Llama model (Touvron et al. 2023; the layout of `LlamaForCausalLM`).
//!
//! One function serves prefill and decode: `n` tokens with their positions and limits go in,
//! their keys and values are scattered into the cache at those positions, and attention reads the
//! cache through views. Everything that changes from step to step is data in one small integer
//! tensor, so the recorded program is the same at every step.

use unisono_core::op::RopePairing;
use unisono_core::{AttentionOptions, DType, Device, Error, Result, Tensor};

use crate::config::LlamaConfig;
use crate::rope::rope_tables;
use crate::weights::Weights;

/// The weights on a device, as stored, and the rotary tables.
#[derive(Debug)]
pub(crate) struct Llama {
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: Tensor,
    head: Tensor,
    cos: Tensor,
    sin: Tensor,
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

/// Keys and values of one layer, each `[context_len, kv_heads, head_dim]`.
#[derive(Debug)]
pub(crate) struct LayerCache {
    pub(crate) k: Tensor,
    pub(crate) v: Tensor,
}

/// What a step of `n` tokens is given: views of one packed u32 tensor of `3n + 1` elements.
#[derive(Debug)]
pub(crate) struct StepInputs {
    /// Token ids, `[n]`.
    tokens: Tensor,
    /// Rows of the cache, `[n]`. One outside the cache writes nothing: padding.
    positions: Tensor,
    /// How many rows of the cache each token sees, `[1, n]`.
    limits: Tensor,
    /// The token whose logits are wanted, `[1]`.
    row: Tensor,
}

impl StepInputs {
    /// Number of elements of the packed tensor for `n` tokens.
    pub(crate) fn packed_len(n: usize) -> usize {
        3 * n + 1
    }

    /// The four parts of the packed tensor.
    pub(crate) fn unpack(packed: &Tensor, n: usize) -> Result<StepInputs> {
        Ok(StepInputs {
            tokens: packed.slice(0, 0..n)?,
            positions: packed.slice(0, n..2 * n)?,
            limits: packed.slice(0, 2 * n..3 * n)?.unsqueeze(0)?,
            row: packed.slice(0, 3 * n..3 * n + 1)?,
        })
    }

    /// Number of tokens.
    fn len(&self) -> usize {
        self.tokens.shape().iter().product()
    }
}

impl Llama {
    /// Uploads all weights, and rotary tables for `context_len` positions.
    pub(crate) fn load(
        device: &Device,
        config: &LlamaConfig,
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
        Ok(Llama { embedding, layers, norm, head, cos, sin, parameters })
    }

    /// Number of weights, tied ones once.
    pub(crate) fn parameters(&self) -> u64 {
        self.parameters
    }

    /// An empty cache.
    pub(crate) fn cache(
        device: &Device,
        config: &LlamaConfig,
        context_len: usize,
        dtype: DType,
    ) -> Result<Vec<LayerCache>> {
        let shape = [context_len, config.num_key_value_heads, config.head_dim];
        let layer = || Ok(LayerCache { k: device.zeros(dtype, &shape)?, v: device.zeros(dtype, &shape)? });
        (0..config.num_hidden_layers).map(|_| layer()).collect()
    }

    /// Hidden states after the final norm, f32 `[n, hidden]`. Updates the cache.
    pub(crate) fn hidden(&self, config: &LlamaConfig, step: &StepInputs, cache: &[LayerCache]) -> Result<Tensor> {
        let eps = config.rms_norm_eps;
        let mut residual = self.embedding.gather_rows_as(&step.tokens, DType::F32)?;
        let first = self.layers.first().ok_or_else(|| Error::invalid("the model has no layer"))?;
        let mut x = residual.rms_norm(&first.attention_norm, eps)?;
        for (i, (layer, cache)) in self.layers.iter().zip(cache).enumerate() {
            let attended = self.attention(config, layer, &x, step, cache)?;
            (residual, x) = attended.add_rms_norm(&residual, &layer.mlp_norm, eps)?;
            let gated = x.matmul_t(&layer.gate)?.swiglu(&x.matmul_t(&layer.up)?)?;
            let next_norm = self.layers.get(i + 1).map_or(&self.norm, |next| &next.attention_norm);
            (residual, x) = gated.matmul_t(&layer.down)?.add_rms_norm(&residual, next_norm, eps)?;
        }
        Ok(x)
    }

    fn attention(
        &self,
        config: &LlamaConfig,
        layer: &Layer,
        x: &Tensor,
        step: &StepInputs,
        cache: &LayerCache,
    ) -> Result<Tensor> {
        let (n, head_dim) = (step.len(), config.head_dim);
        let (heads, kv_heads) = (config.num_attention_heads, config.num_key_value_heads);
        let positions = step.positions.unsqueeze(0)?;
        let rope = |t: &Tensor, heads: usize| {
            t.reshape(&[1, n, heads, head_dim])?.rope(&self.cos, &self.sin, &positions, RopePairing::HalfSplit)
        };
        let q = rope(&x.matmul_t(&layer.q)?, heads)?;
        let k = rope(&x.matmul_t(&layer.k)?, kv_heads)?;
        let v = x.matmul_t(&layer.v)?;
        let rows = [n, kv_heads, head_dim];
        cache.k.scatter_rows_(&step.positions, &k.reshape(&rows)?)?;
        cache.v.scatter_rows_(&step.positions, &v.reshape(&rows)?)?;

        // [context, kv_heads, head_dim] as [1, kv_heads, context, head_dim]: a view, no copy.
        let by_head = |t: &Tensor| t.permute(&[1, 0, 2])?.unsqueeze(0);
        let options = AttentionOptions { limits: Some(&step.limits), ..AttentionOptions::default() };
        let y = q.permute(&[0, 2, 1, 3])?.attention(&by_head(&cache.k)?, &by_head(&cache.v)?, options)?;
        y.permute(&[0, 2, 1, 3])?.reshape(&[n, heads * head_dim])?.matmul_t(&layer.o)
    }

    /// Logits of all hidden states, f32 `[n, vocab]`.
    pub(crate) fn all_logits(&self, hidden: &Tensor) -> Result<Tensor> {
        hidden.matmul_t(&self.head)
    }

    /// Logits of the wanted token, f32 `[1, vocab]`.
    pub(crate) fn row_logits(&self, hidden: &Tensor, step: &StepInputs) -> Result<Tensor> {
        let row = if step.len() == 1 { hidden.clone() } else { hidden.gather_rows(&step.row)? };
        row.matmul_t(&self.head)
    }
}
