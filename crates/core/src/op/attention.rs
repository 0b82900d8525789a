//! Scaled dot-product attention with grouped queries over a key-value cache, contiguous or paged.
//!
//! Which keys a query sees is a number per query, `limits`: the caller writes it next to the
//! positions before each step. One mechanism serves causal masks, padding and the current length
//! of a cache, and a decode step changes data, never the program. In the same way `sequences` says
//! whose cache a query reads and `block_table` where its pages are, so that ragged sequences,
//! prompts and single tokens share one call.

use super::{BinaryOp, Op, Real, Softmax, UnaryOp, check};
use crate::desc::TensorDesc;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::lower::Lowering;
use crate::program::{Operand, Step};

/// `y = softmax(cap(scale·q·kᵀ) + mask, sinks)·v` for each head (Vaswani et al. 2017; grouped
/// queries: Ainslie et al. 2023), with `cap(s) = softcap·tanh(s/softcap)` where there is a softcap
/// (Gemma 2, 2024) and sinks as in [`Softmax`].
///
/// * `q`: `[batch, heads, tokens, head_dim]`, any float.
/// * `k`: `[caches, kv_heads, kv, head_dim]`, `v`: `[caches, kv_heads, kv, v_dim]`: any float, or
///   [`Q8_0`](DType::Q8_0) with its blocks along the last dimension; each on its own. `kv_heads`
///   divides `heads`, and query head `h` reads key-value head `h / (heads / kv_heads)`. Batch `b`
///   reads cache `b`, and `caches` is `batch`, unless there are `sequences`.
/// * `mask` (optional): `[batch, heads, tokens, kv]` (broadcast already); additive, where −∞ means
///   "masked", or [`Bool`](DType::Bool), where true means "seen".
/// * `limits` (with [`Visibility::Limits`]): u32 `[batch, tokens]`.
/// * `sinks` (optional): any float `[heads]`, finite.
/// * `block_table` (if `paged`): u32 `[caches, max_pages]`. `k` and `v` are pools then,
///   `[pages, kv_heads, page_size, …]`, and key `j` of a cache is slot `j % page_size` of page
///   `block_table[cache, j / page_size]`; `kv` is `max_pages·page_size`. A page number out of range
///   reads as a page of zeros, which takes part like any other: `limits` hide what is not there.
/// * `sequences` (optional): u32 `[batch, tokens]`: query `t` of batch `b` reads cache
///   `sequences[b, t]`. A number out of range gives zeros.
/// * `y`: `[batch, heads, tokens, v_dim]`, any float.
///
/// With `window = Some(w)`, a query whose visible prefix ends before key `e` sees keys `e − w..e`
/// (itself included, where the prefix is causal).
///
/// A query that sees no key gives zeros, sinks or not. Keys and values that a query does not see
/// do not reach its result, whatever **finite** number they hold: a cache starts zeroed, and stale
/// rows and freed pages are harmless. Empty tensors: no keys gives zeros.
///
/// Error: `Σ p|v|·(2·Δs + ε_softmax + γ)`, to which a softcap adds `softcap·10⁻⁵` per score; see
/// `docs/numerics.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attention {
    /// Factor on the scores, usually `1/√head_dim`.
    pub scale: Real,
    /// Bound on the scores, before masks. Positive.
    pub softcap: Option<Real>,
    /// Which keys each query sees.
    pub visibility: Visibility,
    /// How many of the last keys below the end of its prefix a query sees. At least 1.
    pub window: Option<u32>,
    /// Whether there is a mask, additive or boolean.
    pub mask: bool,
    /// Whether there are sinks.
    pub sinks: bool,
    /// Whether keys and values lie in pages.
    pub paged: bool,
    /// Whether each query names its cache.
    pub sequences: bool,
}

/// Where the optional inputs of an [`Attention`] are in its list of inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttentionInputs {
    /// The mask.
    pub mask: Option<usize>,
    /// The end of each query's visible prefix.
    pub limits: Option<usize>,
    /// The sinks.
    pub sinks: Option<usize>,
    /// The pages of each cache.
    pub block_table: Option<usize>,
    /// The cache of each query.
    pub sequences: Option<usize>,
}

/// Which keys a query of an [`Attention`] sees, before window and mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Visibility {
    /// Every key.
    All,
    /// Query `i` of `tokens` sees the first `kv − tokens + i + 1` keys (none if negative):
    /// the causal mask, aligned at the last key.
    Causal,
    /// Query `i` of batch `b` sees the first `limits[b, i]` keys (all of them if it is larger).
    Limits,
}

impl Visibility {
    /// The name in case ids and reports.
    pub fn name(self) -> &'static str {
        match self {
            Visibility::All => "all",
            Visibility::Causal => "causal",
            Visibility::Limits => "limits",
        }
    }
}

impl Attention {
    /// Attention with this factor on the scores and this visibility, and nothing optional.
    pub fn new(scale: f32, visibility: Visibility) -> Attention {
        let scale = Real(scale);
        let (mask, sinks, paged, sequences) = (false, false, false, false);
        Attention { scale, softcap: None, visibility, window: None, mask, sinks, paged, sequences }
    }

    /// Where the optional inputs are.
    pub fn inputs(&self) -> AttentionInputs {
        let mut next = 3..;
        let mut take = |present: bool| if present { next.next() } else { None };
        AttentionInputs {
            mask: take(self.mask),
            limits: take(self.visibility == Visibility::Limits),
            sinks: take(self.sinks),
            block_table: take(self.paged),
            sequences: take(self.sequences),
        }
    }

    /// Keys of a cache: the `kv` of the documentation. `inputs` are valid.
    pub fn kv_len(&self, inputs: &[TensorDesc]) -> usize {
        let rows = inputs[1].shape[2];
        self.inputs().block_table.map_or(rows, |table| inputs[table].shape[1].saturating_mul(rows))
    }

    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        let (q, k, v, y) = (&inputs[0], &inputs[1], &inputs[2], &outputs[0]);
        let at = self.inputs();
        let optional = |i: Option<usize>| i.map(|i| &inputs[i]);
        check::floats(&[("q", q), ("y", y)])?;
        check::finite("scale", self.scale.0)?;
        check::window(self.window)?;
        if let Some(Real(cap)) = self.softcap
            && !(cap > 0.0 && cap.is_finite() && (self.scale.0 / cap).is_finite())
        {
            let scale = self.scale.0;
            return Err(Error::invalid(format!("softcap is {cap}; it must be positive, and {scale}/softcap finite")));
        }
        for (name, d) in [("q", q), ("k", k), ("v", v), ("y", y)] {
            check::rank(name, d, 4)?;
        }
        let [batch, heads, tokens, head_dim] = [q.shape[0], q.shape[1], q.shape[2], q.shape[3]];
        let [first, kv_heads, rows, v_dim] = [k.shape[0], k.shape[1], k.shape[2], v.shape[3]];
        for (name, d) in [("k", k), ("v", v)] {
            check_cache(name, d)?;
        }
        if let Some(table) = optional(at.block_table) {
            check::dtype("block_table", table, DType::U32)?;
            check::rank("block_table", table, 2)?;
            if !self.sequences {
                check::shape("block_table", table, &[batch, table.shape[1]])?;
            }
            if table.shape[1].checked_mul(rows).is_none_or(|kv| u32::try_from(kv).is_err()) {
                return Err(Error::shape(format!("{} pages of {rows} keys are too many", table.shape[1])));
            }
        } else if !self.sequences && first != batch {
            return Err(Error::shape(format!("k has shape {}, not {:?}", k.shape, [batch, kv_heads, rows, head_dim])));
        }
        check::shape("k", k, &[first, kv_heads, rows, head_dim])?;
        check::shape("v", v, &[first, kv_heads, rows, v_dim])?;
        check::shape("y", y, &[batch, heads, tokens, v_dim])?;
        if kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
            return Err(Error::shape(format!("{kv_heads} key-value heads do not divide {heads} query heads")));
        }
        if let Some(mask) = optional(at.mask) {
            check::mask("mask", mask)?;
            check::shape("mask", mask, &[batch, heads, tokens, self.kv_len(inputs)])?;
        }
        if let Some(limits) = optional(at.limits) {
            check::dtype("limits", limits, DType::U32)?;
            check::shape("limits", limits, &[batch, tokens])?;
        }
        if let Some(sinks) = optional(at.sinks) {
            check::floats(&[("sinks", sinks)])?;
            check::shape("sinks", sinks, &[heads])?;
        }
        if let Some(sequences) = optional(at.sequences) {
            check::dtype("sequences", sequences, DType::U32)?;
            check::shape("sequences", sequences, &[batch, tokens])?;
        }
        Ok(())
    }

    /// `scores = q·kᵀ`, `p = softmax(scores)`, `y = p·v`, with the heads split into
    /// `[kv_heads, group]` so that grouping is a broadcast. Blocks are converted to f32, pages and
    /// the caches of `sequences` are gathered first. The scores of all queries exist at once, and
    /// with `sequences` a copy of the cache for every query: this proves kernels and serves small
    /// problems, a backend for long sequences has a kernel of its own.
    ///
    /// `p·v` multiplies unseen rows of `v` by zero, which is why the contract asks for finite ones.
    pub(super) fn decompose(&self, step: &Step, lowering: &mut Lowering<'_>) -> Result<()> {
        let (q, y) = (step.inputs[0], step.outputs[0]);
        let at = self.inputs();
        let optional = |i: Option<usize>| i.map(|i| step.inputs[i]);
        let [batch, heads, tokens] = [q.desc.shape[0], q.desc.shape[1], q.desc.shape[2]];
        let kv_heads = step.inputs[1].desc.shape[1];
        if y.desc.is_empty() {
            return Ok(());
        }
        let group = heads / kv_heads;
        let k = self.gathered(step, 1, lowering)?;
        let v = self.gathered(step, 2, lowering)?;
        // [batch, kv_heads, group, tokens] and what follows; with sequences, a matrix per query:
        // [batch, tokens, kv_heads, group].
        let per_query = self.sequences;
        let order: &[usize] = if per_query { &[0, 3, 1, 2, 4] } else { &[0, 1, 2, 3, 4] };
        let grouped = |d: &TensorDesc| d.split_axis(1, group)?.permuted(order);
        let shared = |d: &TensorDesc| if per_query { Ok(*d) } else { d.with_axis(2, group) };
        let kv = k.desc.shape[if per_query { 3 } else { 2 }];

        let q_desc = grouped(&q.desc)?;
        let desc = TensorDesc::contiguous(DType::F32, &q_desc.shape.with(4, kv))?;
        let mut scores = lowering.temporary(desc)?;
        let kt = shared(&k.desc)?.transposed(3, 4)?;
        lowering.push(Op::MatMul, &[q.with_desc(q_desc), k.with_desc(kt)], &[scores])?;
        let mut scale = self.scale;
        if let Some(cap) = self.softcap {
            let factor = TensorDesc::strided(DType::F32, &desc.shape, &[0; 5])?;
            let factor = lowering.constant(factor, &(scale.0 / cap.0).to_le_bytes())?;
            let (scaled, capped) = (lowering.temporary(desc)?, lowering.temporary(desc)?);
            lowering.push(Op::Binary(BinaryOp::Mul), &[scores, factor], &[scaled])?;
            lowering.push(Op::Unary(UnaryOp::Tanh), &[scaled], &[capped])?;
            (scores, scale) = (capped, cap);
        }

        let p = lowering.temporary(desc)?;
        let mut inputs = vec![scores];
        if let Some(mask) = optional(at.mask) {
            inputs.push(mask.with_desc(grouped(&mask.desc)?));
        }
        let limits = match self.visibility {
            Visibility::Causal => {
                let values: Vec<u32> = (0..tokens).map(|i| (kv + i + 1).saturating_sub(tokens) as u32).collect();
                let desc = TensorDesc::contiguous(DType::U32, &[1, tokens])?.broadcast_to(&[batch, tokens])?;
                Some(lowering.constant(desc, bytemuck::cast_slice(&values))?)
            }
            _ => optional(at.limits),
        };
        let heads_at = usize::from(per_query) + 1;
        if let Some(limits) = limits {
            let desc = limits.desc.with_axis(heads_at, kv_heads)?.with_axis(heads_at + 1, group)?;
            inputs.push(limits.with_desc(desc));
        }
        if let Some(sinks) = optional(at.sinks) {
            let desc = sinks.desc.split_axis(0, group)?.with_axis(if per_query { 0 } else { 2 }, tokens)?;
            inputs.push(sinks.with_desc(desc.with_axis(0, batch)?));
        }
        let (mask, sinks, window) = (self.mask, self.sinks, self.window);
        let softmax = Softmax { scale, mask, limits: limits.is_some(), window, sinks, log: false };
        lowering.push(Op::Softmax(softmax), &inputs, &[p])?;
        lowering.push(Op::MatMul, &[p, v.with_desc(shared(&v.desc)?)], &[y.with_desc(grouped(&y.desc)?)])
    }

    /// Input `index` (`k` or `v`) as `[batch, kv_heads, kv, …]` floats, or with `sequences` as
    /// `[batch, tokens, kv_heads, kv, …]`.
    fn gathered(&self, step: &Step, index: usize, lowering: &mut Lowering<'_>) -> Result<Operand> {
        let at = self.inputs();
        let mut cache = step.inputs[index];
        if cache.desc.dtype.is_block() {
            let floats = lowering.temporary(cache.desc.to_contiguous(DType::F32))?;
            lowering.push(Op::Copy, &[cache], &[floats])?;
            cache = floats;
        }
        // Keys before heads: rows of a page, then pages, are neighbours in what is gathered.
        cache = cache.with_desc(cache.desc.transposed(1, 2)?);
        let dtype = cache.desc.dtype;
        let mut gather = |cache: Operand, indices: Operand| {
            let mut shape = indices.desc.shape.to_vec();
            shape.extend_from_slice(&cache.desc.shape[1..]);
            let rows = lowering.temporary(TensorDesc::contiguous(dtype, &shape)?)?;
            lowering.push(Op::GatherRows, &[cache, indices], &[rows])?;
            Ok::<_, Error>(rows)
        };
        if let Some(table) = at.block_table.map(|i| step.inputs[i]) {
            cache = gather(cache, table)?;
            let [caches, pages, rows] = [cache.desc.shape[0], cache.desc.shape[1], cache.desc.shape[2]];
            let shape = [caches, pages * rows, cache.desc.shape[3], cache.desc.shape[4]];
            cache = cache.with_desc(TensorDesc::contiguous(dtype, &shape)?);
        }
        if let Some(sequences) = at.sequences.map(|i| step.inputs[i]) {
            cache = gather(cache, sequences)?;
            return Ok(cache.with_desc(cache.desc.transposed(2, 3)?));
        }
        Ok(cache.with_desc(cache.desc.transposed(1, 2)?))
    }
}

/// Keys and values are floats, or q8_0 with the blocks along a row.
fn check_cache(name: &str, d: &TensorDesc) -> Result<()> {
    if !d.dtype.is_float() && d.dtype != DType::Q8_0 {
        return Err(Error::dtype(format!("{name} is {}; f32, f16, bf16 and q8_0 are possible", d.dtype)));
    }
    if d.dtype.is_block() && !d.is_empty() && d.block_axis() != Some(3) {
        return Err(Error::shape(format!("the blocks of {name} must lie along its last dimension: {d}")));
    }
    Ok(())
}
