//! Attention with all its variants, and rotary embedding.
//!
//! ONNX says with attributes and lengths which keys a query sees; the contract has three words for
//! it. Causal order and valid lengths become `limits`, one number per query (or the contract's
//! causal mask where that is the same), and a window to the left its `window`. A window to the
//! right, or one that reaches past the keys, becomes a boolean mask. The scores that a caller may
//! ask for are computed beside the attention, by its decomposition.

use unisono_core::op::{CompareOp, LogicalOp, RopePairing, UnaryOp};
use unisono_core::{AttentionOptions, DType, SoftmaxOptions, Tensor};

use crate::call::{Call, Outcome, f32};
use crate::error::Stop;

/// `[batch, tokens, heads·size]` as `[batch, heads, tokens, size]`; four dimensions stay.
fn heads(call: &Call<'_>, i: usize, attribute: &str) -> Result<Tensor, Stop> {
    let x = call.x(i)?;
    match *x.shape() {
        [_, _, _, _] => Ok(x.clone()),
        [batch, tokens, hidden] => {
            let count = call.shape(&[call.int(attribute, 0)])?[0];
            if count == 0 || hidden % count != 0 {
                return Err(call.malformed(format!("{count} heads do not divide {hidden}")));
            }
            Ok(x.reshape(&[batch, tokens, count, hidden / count])?.transpose(1, 2)?)
        }
        _ => Err(call.malformed(format!("input {i} has neither three nor four dimensions"))),
    }
}

/// Which keys the queries see, apart from the mask that is given as data.
struct Seen {
    batch: usize,
    tokens: usize,
    kv: usize,
    causal: bool,
    /// Keys before the first query of each batch.
    offsets: Vec<i64>,
    /// Valid keys of each batch.
    lengths: Option<Vec<i64>>,
    left: i64,
    right: i64,
}

impl Seen {
    fn new(call: &Call<'_>, q: &[usize], kv: usize, past: usize) -> Result<Seen, Stop> {
        let (batch, tokens) = (q[0], q[2]);
        let lengths = call.integers(6)?;
        if lengths.as_ref().is_some_and(|l| l.len() != batch) {
            return Err(call.malformed("nonpad_kv_seqlen does not have one number per batch"));
        }
        let offsets = match &lengths {
            Some(lengths) => lengths.iter().map(|l| l.saturating_sub(tokens as i64)).collect(),
            None => vec![past as i64; batch],
        };
        let (left, right) = (call.int("left_window_size", -1), call.int("right_window_size", -1));
        Ok(Seen { batch, tokens, kv, causal: call.int("is_causal", 0) != 0, offsets, lengths, left, right })
    }

    /// Whether query `i` of batch `b` sees key `j`.
    fn sees(&self, b: usize, i: usize, j: usize) -> bool {
        let (position, j) = (i as i64 + self.offsets[b], j as i64);
        (!self.causal || j <= position)
            && (self.left < 0 || position - j <= self.left)
            && (self.right < 0 || j - position <= self.right)
            && self.lengths.as_ref().is_none_or(|l| j < l[b])
    }

    fn is_everything(&self) -> bool {
        !self.causal && self.left < 0 && self.right < 0 && self.lengths.is_none()
    }

    /// The keys before which each query stops.
    fn limits(&self) -> Vec<i64> {
        let limit = |b: usize, i: usize| {
            let length = self.lengths.as_ref().map_or(self.kv as i64, |l| l[b]);
            let end = if self.causal { i as i64 + self.offsets[b] + 1 } else { i64::MAX };
            end.min(length).clamp(0, self.kv as i64)
        };
        (0..self.batch).flat_map(|b| (0..self.tokens).map(move |i| limit(b, i))).collect()
    }

    /// Whether limits and a window to the left say it all: the window counts from the limit, which
    /// must be the position of the query.
    fn fits_the_contract(&self) -> bool {
        let unclipped = || {
            let mut ends = self.offsets.iter().flat_map(|o| (0..self.tokens).map(move |i| i as i64 + o + 1));
            self.causal && self.limits().into_iter().all(|limit| ends.next().is_some_and(|e| e.max(0) == limit))
        };
        self.right < 0 && (self.left < 0 || unclipped())
    }

    /// As a boolean mask `[batch, 1, tokens, kv]`.
    fn mask(&self, call: &Call<'_>) -> Result<Tensor, Stop> {
        let mut seen = Vec::new();
        for b in 0..self.batch {
            for i in 0..self.tokens {
                seen.extend((0..self.kv).map(|j| u8::from(self.sees(b, i, j))));
            }
        }
        Ok(call.device.tensor_from_bytes(DType::Bool, &seen, &[self.batch, 1, self.tokens, self.kv])?)
    }
}

/// The mask that is given as data, over all keys: those beyond it are not seen.
fn given_mask(call: &Call<'_>, kv: usize) -> Result<Option<Tensor>, Stop> {
    let Some(mask) = call.opt(3) else { return Ok(None) };
    let Some(&columns) = mask.shape().last() else { return Err(call.malformed("attn_mask is a scalar")) };
    if columns >= kv || columns == 1 {
        return Ok(Some(mask.clone()));
    }
    let (none, mut missing) = (vec![0; mask.shape().len()], vec![0; mask.shape().len()]);
    missing[none.len() - 1] = kv - columns;
    Ok(Some(match mask.dtype() {
        DType::Bool => mask.pad(&none, &missing, 0)?,
        _ => mask.pad(&none, &missing, f32::NEG_INFINITY)?,
    }))
}

/// A boolean mask and one of either kind, as one.
fn both(call: &Call<'_>, seen: &Tensor, mask: Option<&Tensor>) -> Result<Tensor, Stop> {
    match mask {
        None => Ok(seen.clone()),
        Some(mask) if mask.dtype() == DType::Bool => Ok(seen.logical(LogicalOp::And, mask)?),
        Some(mask) => Ok(seen.where_(mask, &call.full(mask.dtype(), &[], f32::NEG_INFINITY)?)?),
    }
}

pub(super) fn attention(call: &Call<'_>) -> Outcome {
    let (q, new_k, new_v) =
        (heads(call, 0, "q_num_heads")?, heads(call, 1, "kv_num_heads")?, heads(call, 2, "kv_num_heads")?);
    let joined = |past: Option<&Tensor>, new: &Tensor| match past {
        Some(past) => Tensor::concat(&[past, new], 2),
        None => Ok(new.clone()),
    };
    let (k, v) = (joined(call.opt(4), &new_k)?, joined(call.opt(5), &new_v)?);
    let past = call.opt(4).and_then(|p| p.shape().get(2).copied()).unwrap_or(0);
    let kv = k.shape()[2];
    let seen = Seen::new(call, q.shape(), kv, past)?;
    let scale = if call.has("scale") { call.float("scale", 1.0) } else { 1.0 / (q.shape()[3].max(1) as f32).sqrt() };
    let softcap = Some(call.float("softcap", 0.0)).filter(|&c| c > 0.0);
    let given = given_mask(call, kv)?;

    let mut options = AttentionOptions { scale: Some(scale), softcap, ..AttentionOptions::default() };
    let (mask, limits);
    if seen.fits_the_contract() {
        mask = given.clone();
        options.window = u32::try_from(seen.left).ok().map(|left| left.saturating_add(1));
        options.causal = seen.causal && seen.lengths.is_none() && past + seen.tokens == kv;
        if !options.causal && !seen.is_everything() {
            let list: Vec<u32> = seen.limits().iter().map(|&l| l as u32).collect();
            limits = call.device.tensor(&list, &[seen.batch, seen.tokens])?;
            options.limits = Some(&limits);
        }
    } else {
        mask = Some(both(call, &seen.mask(call)?, given.as_ref())?);
    }
    options.mask = mask.as_ref();
    let mut y = q.attention(&k, &v, options)?;
    if call.x(0)?.shape().len() == 3 {
        let [batch, heads, tokens, size] = [y.shape()[0], y.shape()[1], y.shape()[2], y.shape()[3]];
        y = y.transpose(1, 2)?.reshape(&[batch, tokens, heads * size])?;
    }
    let mut outputs = vec![y, k.copy()?, v.copy()?];
    if call.wants(3) {
        let all = match seen.is_everything() {
            true => given,
            false => Some(both(call, &seen.mask(call)?, given.as_ref())?),
        };
        outputs.push(scores(call, &q, &k, scale, softcap, all.as_ref())?);
    }
    Ok(outputs)
}

/// The scores at the stage that the caller asks for: the products, with the softcap, with the mask,
/// or as probabilities.
fn scores(
    call: &Call<'_>,
    q: &Tensor,
    k: &Tensor,
    scale: f32,
    softcap: Option<f32>,
    mask: Option<&Tensor>,
) -> Result<Tensor, Stop> {
    let [batch, heads, tokens, size] = [q.shape()[0], q.shape()[1], q.shape()[2], q.shape()[3]];
    let [kv_heads, kv] = [k.shape()[1], k.shape()[2]];
    if kv_heads == 0 || heads % kv_heads != 0 {
        return Err(call.malformed("key-value heads do not divide query heads"));
    }
    let grouped = f32(q)?.reshape(&[batch, kv_heads, heads / kv_heads, tokens, size])?;
    let products = grouped.matmul_t(&f32(k)?.unsqueeze(2)?)?.reshape(&[batch, heads, tokens, kv])?;
    let mode = call.int("qk_matmul_output_mode", 0);
    let mut y = products.scale_shift(scale, 0.0)?;
    if let Some(cap) = softcap.filter(|_| mode > 0) {
        y = y.scale_shift(1.0 / cap, 0.0)?.unary(UnaryOp::Tanh)?.scale_shift(cap, 0.0)?;
    }
    y = match (mode, mask) {
        (0 | 1, _) | (2, None) => y,
        (2, Some(mask)) if mask.dtype() == DType::Bool => {
            mask.where_(&y, &call.full(DType::F32, &[], f32::NEG_INFINITY)?)?
        }
        (2, Some(mask)) => {
            // Nothing is guaranteed about sums with −∞, so a masked score is chosen instead.
            let nothing = call.full(DType::F32, &[], f32::NEG_INFINITY)?;
            let mask = f32(mask)?;
            let masked = mask.compare(CompareOp::Eq, &nothing)?;
            let zero = call.full(DType::F32, &[], 0.0)?;
            masked.where_(&nothing, &y.add(&masked.where_(&zero, &mask)?)?)?
        }
        (3, mask) => y.softmax_with(SoftmaxOptions { mask, ..SoftmaxOptions::default() })?,
        (mode, _) => return Err(call.unmapped(format!("qk_matmul_output_mode {mode}"))),
    };
    Ok(y.cast(q.dtype())?)
}

/// Tables without positions hold one row per token.
pub(super) fn rotary(call: &Call<'_>) -> Outcome {
    let x = call.x(0)?;
    let four = x.shape().len() == 4;
    let x = if four { x.transpose(1, 2)? } else { heads(call, 0, "num_heads")?.transpose(1, 2)? };
    let [batch, tokens] = [x.shape()[0], x.shape()[1]];
    let (mut cos, mut sin) = (f32(call.x(1)?)?, f32(call.x(2)?)?);
    let positions = match call.opt(3) {
        Some(positions) => positions.clone(),
        None => {
            let half = *cos.shape().last().ok_or_else(|| call.malformed("cos_cache is a scalar"))?;
            cos = cos.reshape(&[batch * tokens, half])?;
            sin = sin.reshape(&[batch * tokens, half])?;
            call.iota(batch * tokens)?.reshape(&[batch, tokens])?
        }
    };
    let interleaved = call.int("interleaved", 0) != 0;
    let pairing = if interleaved { RopePairing::Interleaved } else { RopePairing::HalfSplit };
    let y = x.rope(&cos, &sin, &positions, pairing)?;
    Ok(vec![if four { y.transpose(1, 2)? } else { y.reshape(call.x(0)?.shape())? }])
}
