//! The key-value cache. Networks hand it the queries, keys and values of a layer; where those are
//! kept is the cache's business alone.

use unisono_core::{AttentionOptions, DType, Device, Error, Result, Tensor};

use crate::config::ModelConfig;
use crate::engine::step::StepInputs;

/// Keys and values of all layers.
#[derive(Debug)]
pub(crate) struct KvCache {
    layers: Vec<LayerCache>,
}

/// Keys and values of one layer, each `[context_len, kv_heads, head_dim]`.
#[derive(Debug)]
struct LayerCache {
    k: Tensor,
    v: Tensor,
}

/// How a layer attends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attend {
    /// Factor on the scores; `1/√head_dim` if `None`.
    pub(crate) scale: Option<f32>,
    /// Bound on the scores.
    pub(crate) softcap: Option<f32>,
    /// How many of the last tokens each token sees, itself included.
    pub(crate) window: Option<u32>,
}

impl KvCache {
    /// An empty cache for one text of `context_len` tokens.
    pub(crate) fn new(device: &Device, config: &ModelConfig, context_len: usize, dtype: DType) -> Result<KvCache> {
        let shape = [context_len, config.num_key_value_heads, config.head_dim];
        let layer = || Ok(LayerCache { k: device.zeros(dtype, &shape)?, v: device.zeros(dtype, &shape)? });
        Ok(KvCache { layers: (0..config.num_hidden_layers).map(|_| layer()).collect::<Result<_>>()? })
    }

    /// Keeps the keys and values of the step's tokens, both `[n, kv_heads, head_dim]`, and returns
    /// what the queries `[n, heads, head_dim]` (rotated already, as are the keys) read from the
    /// cache: `[n, heads · head_dim]`.
    pub(crate) fn attend(
        &self,
        layer: usize,
        [q, k, v]: [&Tensor; 3],
        step: &StepInputs,
        how: Attend,
    ) -> Result<Tensor> {
        let cache = self.layers.get(layer).ok_or_else(|| Error::internal("a layer has no cache"))?;
        cache.k.scatter_rows_(&step.positions, k)?;
        cache.v.scatter_rows_(&step.positions, v)?;
        // [context, kv_heads, head_dim] as [1, kv_heads, context, head_dim]: a view, no copy.
        let by_head = |t: &Tensor| t.permute(&[1, 0, 2])?.unsqueeze(0);
        let options = AttentionOptions {
            scale: how.scale,
            softcap: how.softcap,
            window: how.window,
            limits: Some(&step.limits),
            ..AttentionOptions::default()
        };
        let (n, width) = (step.len(), q.shape().iter().skip(1).product());
        let y = by_head(q)?.attention(&by_head(&cache.k)?, &by_head(&cache.v)?, options)?;
        y.permute(&[0, 2, 1, 3])?.reshape(&[n, width])
    }
}
