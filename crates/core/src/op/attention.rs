//! Scaled dot-product attention with grouped queries over a key-value cache.
//!
//! Which keys a query sees is a number per query, `limits`: the caller writes it next to the
//! positions before each step. One mechanism serves causal masks, padding and the current length
//! of a cache, and a decode step changes data, never the program.

use super::{Op, Real, Softmax, check};
use crate::desc::TensorDesc;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::lower::Lowering;
use crate::program::Step;

/// `y = softmax(scale·q·kᵀ + mask)·v` for each head (Vaswani et al. 2017; grouped queries:
/// Ainslie et al. 2023).
///
/// * `q`: `[batch, heads, tokens, head_dim]`
/// * `k`: `[batch, kv_heads, kv, head_dim]`, `v`: `[batch, kv_heads, kv, v_dim]`; `kv_heads`
///   divides `heads`, and query head `h` reads key-value head `h / (heads / kv_heads)`
/// * `mask` (optional): additive, `[batch, heads, tokens, kv]` (broadcast already), −∞ = masked
/// * `limits` (with [`Visibility::Limits`]): u32 `[batch, tokens]`
/// * `y`: `[batch, heads, tokens, v_dim]`
///
/// A query that sees no key gives zeros. Keys and values that a query does not see do not reach
/// its result, whatever **finite** number they hold: a cache starts zeroed, and stale rows are
/// harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attention {
    /// Factor on the scores, usually `1/√head_dim`.
    pub scale: Real,
    /// Which keys each query sees.
    pub visibility: Visibility,
    /// Whether there is an additive mask.
    pub mask: bool,
}

/// Which keys a query of an [`Attention`] sees, before any additive mask.
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
    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        let (q, k, v, y) = (&inputs[0], &inputs[1], &inputs[2], &outputs[0]);
        check::floats(&[("q", q), ("k", k), ("v", v), ("y", y)])?;
        check::finite("scale", self.scale.0)?;
        for (name, d) in [("q", q), ("k", k), ("v", v), ("y", y)] {
            check::rank(name, d, 4)?;
        }
        let [batch, heads, tokens, head_dim] = [q.shape[0], q.shape[1], q.shape[2], q.shape[3]];
        let [kv_heads, kv, v_dim] = [k.shape[1], k.shape[2], v.shape[3]];
        check::shape("k", k, &[batch, kv_heads, kv, head_dim])?;
        check::shape("v", v, &[batch, kv_heads, kv, v_dim])?;
        check::shape("y", y, &[batch, heads, tokens, v_dim])?;
        if kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
            return Err(Error::shape(format!("{kv_heads} key-value heads do not divide {heads} query heads")));
        }
        let mut rest = inputs[3..].iter();
        if self.mask
            && let Some(mask) = rest.next()
        {
            check::floats(&[("mask", mask)])?;
            check::shape("mask", mask, &[batch, heads, tokens, kv])?;
        }
        if self.visibility == Visibility::Limits
            && let Some(limits) = rest.next()
        {
            check::dtype("limits", limits, DType::U32)?;
            check::shape("limits", limits, &[batch, tokens])?;
        }
        Ok(())
    }

    /// `scores = q·kᵀ`, `p = softmax(scores)`, `y = p·v`, with the heads split into
    /// `[kv_heads, group]` so that grouping is a broadcast.
    ///
    /// `p·v` multiplies unseen rows of `v` by zero, which is why the contract asks for finite ones.
    pub(super) fn decompose(&self, step: &Step, lowering: &mut Lowering<'_>) -> Result<()> {
        let (q, k, v, y) = (step.inputs[0], step.inputs[1], step.inputs[2], step.outputs[0]);
        let [batch, heads, tokens] = [q.desc.shape[0], q.desc.shape[1], q.desc.shape[2]];
        let [kv_heads, kv] = [k.desc.shape[1], k.desc.shape[2]];
        if y.desc.is_empty() {
            return Ok(());
        }
        let group = heads / kv_heads;
        let grouped = |d: &TensorDesc| d.split_axis(1, group);
        let shared = |d: &TensorDesc| {
            let mut d = d.with_axis(2, group)?;
            d.strides[2] = 0;
            Ok::<_, Error>(d)
        };

        let scores = TensorDesc::contiguous(DType::F32, &[batch, kv_heads, group, tokens, kv])?;
        let s = lowering.temporary(scores)?;
        let kt = shared(&k.desc)?.transposed(3, 4)?;
        lowering.push(Op::MatMul, &[q.with_desc(grouped(&q.desc)?), k.with_desc(kt)], &[s])?;

        let p = lowering.temporary(scores)?;
        let mut inputs = vec![s];
        let mut rest = step.inputs[3..].iter().copied();
        if self.mask
            && let Some(mask) = rest.next()
        {
            inputs.push(mask.with_desc(grouped(&mask.desc)?));
        }
        let limits = match self.visibility {
            Visibility::All => None,
            Visibility::Limits => rest.next(),
            Visibility::Causal => {
                let values: Vec<u32> = (0..tokens).map(|i| (kv + i + 1).saturating_sub(tokens) as u32).collect();
                let desc = TensorDesc::contiguous(DType::U32, &[1, tokens])?.broadcast_to(&[batch, tokens])?;
                Some(lowering.constant(desc, bytemuck::cast_slice(&values))?)
            }
        };
        if let Some(limits) = limits {
            let desc = limits.desc.with_axis(1, kv_heads)?.with_axis(2, group)?;
            inputs.push(limits.with_desc(desc));
        }
        let softmax = Softmax { scale: self.scale, mask: self.mask, limits: limits.is_some() };
        lowering.push(Op::Softmax(softmax), &inputs, &[p])?;
        lowering.push(Op::MatMul, &[p, v.with_desc(shared(&v.desc)?)], &[y.with_desc(grouped(&y.desc)?)])
    }
}
