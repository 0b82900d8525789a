//! The key-value cache. Networks hand it the queries, keys and values of a layer; where those are
//! kept is the cache's business alone.
//!
//! Sliding-window layers keep every row, too: the window is applied when they are read. So all
//! layers share one numbering of rows, and a text can be rewound to any length.

use unisono_core::{AttentionOptions, DType, Device, Error, Result, Tensor, TensorDesc};

use crate::config::ModelConfig;
use crate::engine::step::StepInputs;

/// How the memory of a cache is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Each of `caches` texts has `context_len` rows of its own.
    Contiguous { caches: usize, context_len: usize },
    /// Texts share `pages` pages of `page_size` rows.
    Paged { pages: usize, page_size: usize },
}

impl Layout {
    /// Rows of all texts together.
    pub(crate) fn rows(self) -> usize {
        match self {
            Layout::Contiguous { caches, context_len } => caches * context_len,
            Layout::Paged { pages, page_size } => pages * page_size,
        }
    }

    fn blocks(self) -> [usize; 2] {
        match self {
            Layout::Contiguous { caches, context_len } => [caches, context_len],
            Layout::Paged { pages, page_size } => [pages, page_size],
        }
    }

    /// Bytes of the keys of one layer; its values are as many.
    pub(crate) fn layer_bytes(self, config: &ModelConfig, dtype: DType) -> Result<u64> {
        Ok(TensorDesc::contiguous(dtype, &self.shape(config))?.span_bytes())
    }

    fn shape(self, config: &ModelConfig) -> [usize; 4] {
        let [blocks, size] = self.blocks();
        [blocks, size, config.num_key_value_heads, config.head_dim]
    }
}

/// Keys and values of all layers.
#[derive(Debug)]
pub(crate) struct KvCache {
    layers: Vec<LayerCache>,
}

/// Keys and values of one layer, each `[blocks, size, kv_heads, head_dim]`, where blocks are texts
/// or pages.
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
    /// An empty cache.
    pub(crate) fn new(device: &Device, config: &ModelConfig, layout: Layout, dtype: DType) -> Result<KvCache> {
        let shape = layout.shape(config);
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
        write_rows(&cache.k, &step.rows, k)?;
        write_rows(&cache.v, &step.rows, v)?;
        // Texts of one token each are a batch; the tokens of a prompt are one row of queries.
        let as_queries = |t: &Tensor| if step.single { t.unsqueeze(2) } else { t.permute(&[1, 0, 2])?.unsqueeze(0) };
        let per_token = |t: &Tensor| t.unsqueeze(usize::from(step.single));
        let limits = per_token(&step.limits)?;
        let sequences = step.sequences.as_ref().map(per_token).transpose()?;
        let options = AttentionOptions {
            scale: how.scale,
            softcap: how.softcap,
            window: how.window,
            limits: Some(&limits),
            sequences: sequences.as_ref(),
            block_table: step.table.as_ref(),
            ..AttentionOptions::default()
        };
        // [blocks, size, kv_heads, head_dim] with heads before rows: a view, no copy.
        let by_head = |t: &Tensor| t.permute(&[0, 2, 1, 3]);
        let (n, width) = (step.len(), q.shape().iter().skip(1).product());
        let y = as_queries(q)?.attention(&by_head(&cache.k)?, &by_head(&cache.v)?, options)?;
        if step.single { y.reshape(&[n, width]) } else { y.permute(&[0, 2, 1, 3])?.reshape(&[n, width]) }
    }
}

/// Writes `[n, kv_heads, head_dim]` to rows of `[blocks, size, kv_heads, head_dim]`.
fn write_rows(cache: &Tensor, rows: &Tensor, src: &Tensor) -> Result<()> {
    let &[blocks, size, heads, dim] = cache.shape() else { return Err(Error::internal("a cache has rank 4")) };
    cache.reshape(&[blocks * size, heads, dim])?.scatter_rows_(rows, src)
}
