//! Self-attention: projections to queries, keys and values, what is done to each head, and the
//! projection of the result. Where keys and values are kept is the cache's business.

use unisono_core::{Error, Result, Tensor};

use super::norm::NormForm;
use super::rope::Rope;
use super::{Linear, Loader, Norm};
use crate::config::ModelConfig;
use crate::engine::cache::{Attend, KvCache};
use crate::engine::step::StepInputs;

/// The projections to queries, keys and values.
#[derive(Debug)]
pub(crate) enum Projections {
    /// One each.
    Separate([Linear; 3]),
    /// One whose output is queries, keys and values side by side.
    Fused(Linear),
}

/// Self-attention of a decoder layer.
#[derive(Debug)]
pub(crate) struct Attention {
    projections: Projections,
    output: Linear,
    /// Norms of each head's queries and keys, before they are rotated.
    head_norms: Option<[Norm; 2]>,
    rope: Option<Rope>,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    attend: Attend,
}

impl Projections {
    /// `{names[0]}`, `{names[1]}`, `{names[2]}` with weights `[q_size, hidden]`, `[kv_size, hidden]`
    /// twice.
    pub(crate) fn separate(loader: &Loader<'_>, config: &ModelConfig, names: [&str; 3]) -> Result<Projections> {
        let (q, kv, hidden) = (config.q_size(), config.kv_size(), config.hidden_size);
        let one = |name: &str, out| loader.linear(name, [out, hidden], config.qkv_bias);
        Ok(Projections::Separate([one(names[0], q)?, one(names[1], kv)?, one(names[2], kv)?]))
    }

    /// Queries `[n, heads, head_dim]`, keys and values `[n, kv_heads, head_dim]` of `x [n, hidden]`.
    pub(crate) fn forward(&self, x: &Tensor, [heads, kv_heads, head_dim]: [usize; 3]) -> Result<[Tensor; 3]> {
        let n = x.shape().first().copied().unwrap_or(0);
        let split = |t: Tensor, heads: usize| t.reshape(&[n, heads, head_dim]);
        match self {
            Projections::Separate([q, k, v]) => {
                Ok([split(q.forward(x)?, heads)?, split(k.forward(x)?, kv_heads)?, split(v.forward(x)?, kv_heads)?])
            }
            Projections::Fused(fused) => {
                let all = split(fused.forward(x)?, heads + 2 * kv_heads)?;
                let (k, v) = (heads, heads + kv_heads);
                Ok([all.slice(1, 0..k)?, all.slice(1, k..v)?, all.slice(1, v..v + kv_heads)?])
            }
        }
    }
}

impl Attention {
    /// With the names and shapes of the Llama family: `q_proj` `[q_size, hidden]`, `k_proj` and
    /// `v_proj` `[kv_size, hidden]`, `o_proj` `[hidden, q_size]`, with biases where the
    /// configuration has them.
    pub(crate) fn separate(
        loader: &Loader<'_>,
        config: &ModelConfig,
        layer: usize,
        rope: Option<Rope>,
    ) -> Result<Attention> {
        let projections = Projections::separate(loader, config, ["q_proj", "k_proj", "v_proj"])?;
        let output = loader.linear("o_proj", [config.hidden_size, config.q_size()], config.output_bias)?;
        Ok(Attention::new(config, layer, projections, output, rope))
    }

    /// The parts that configurations describe; norms of heads and fused projections are added by
    /// the architectures that have them.
    pub(crate) fn new(
        config: &ModelConfig,
        layer: usize,
        projections: Projections,
        output: Linear,
        rope: Option<Rope>,
    ) -> Attention {
        let by_layer = if config.attention_scale_by_layer { (layer + 1) as f32 } else { 1.0 };
        let scale = Some(config.attention_scale / by_layer);
        Attention {
            projections,
            output,
            head_norms: None,
            rope,
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
            attend: Attend { scale, softcap: config.attention_softcap, window: config.window(layer) },
        }
    }

    /// With a norm of each head's queries and of its keys, `q_norm` and `k_norm` `[head_dim]`.
    pub(crate) fn with_head_norms(
        mut self,
        loader: &Loader<'_>,
        config: &ModelConfig,
        form: NormForm,
    ) -> Result<Attention> {
        let load = |name| loader.rms_norm(name, config.head_dim, config.norm_eps, form);
        self.head_norms = Some([load("q_norm")?, load("k_norm")?]);
        Ok(self)
    }

    /// `x [n, hidden]` to `[n, hidden]`; keeps the keys and values in layer `layer` of the cache.
    pub(crate) fn forward(&self, layer: usize, x: &Tensor, step: &StepInputs, cache: &KvCache) -> Result<Tensor> {
        let [mut q, mut k, v] = self.projections.forward(x, [self.heads, self.kv_heads, self.head_dim])?;
        if let Some([q_norm, k_norm]) = &self.head_norms {
            (q, k) = (q_norm.forward(&q)?, k_norm.forward(&k)?);
        }
        if let Some(rope) = &self.rope {
            (q, k) = (rope.rotate(&q, &step.positions)?, rope.rotate(&k, &step.positions)?);
        }
        let attended = cache.attend(layer, [&q, &k, &v], step, self.attend)?;
        if attended.shape() != [step.len(), self.heads * self.head_dim] {
            return Err(Error::internal("the cache returned another shape than that of the queries"));
        }
        self.output.forward(&attended)
    }
}
