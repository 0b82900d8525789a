//! Operations on tensors. Each checks its operands at once, so an error points at the call; the
//! formulas are documented in [`crate::op`].
//!
//! Results have the dtype of the first operand unless a method says otherwise.

use super::Tensor;
use crate::desc::TensorDesc;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::{
    Activation, AddRmsNorm, Attention, BinaryOp, Concat, Linear, Op, Real, Rope, RopePairing, RopeWrite, Softmax,
    UnaryOp, Visibility,
};

/// Parameters of [`Tensor::attention`]. The default sees every key.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttentionOptions<'a> {
    /// Factor on the scores; `1/√head_dim` if `None`.
    pub scale: Option<f32>,
    /// The causal mask, aligned at the last key. Not together with `limits`.
    pub causal: bool,
    /// Additive or boolean mask, broadcast to `[batch, heads, tokens, kv]`.
    pub mask: Option<&'a Tensor>,
    /// How many leading keys each query sees, u32 `[batch, tokens]`.
    pub limits: Option<&'a Tensor>,
    /// Bound on the scores: `softcap·tanh(s/softcap)`.
    pub softcap: Option<f32>,
    /// How many of the last visible keys each query sees.
    pub window: Option<u32>,
    /// One more logit for each query head, `[heads]`.
    pub sinks: Option<&'a Tensor>,
    /// The pages of each cache, u32 `[caches, max_pages]`; keys and values are pools of pages then.
    pub block_table: Option<&'a Tensor>,
    /// The cache that each query reads, u32 `[batch, tokens]`.
    pub sequences: Option<&'a Tensor>,
}

/// Parameters of [`Tensor::softmax_with`]. The default is the plain softmax.
#[derive(Clone, Copy, Debug, Default)]
pub struct SoftmaxOptions<'a> {
    /// Factor on the elements; 1 if `None`.
    pub scale: Option<f32>,
    /// Additive or boolean mask, broadcast to the shape of the tensor.
    pub mask: Option<&'a Tensor>,
    /// How many leading elements of each row take part, u32, broadcast to one per row.
    pub limits: Option<&'a Tensor>,
    /// How many of the last elements below the limit take part.
    pub window: Option<u32>,
    /// One more logit for each row, broadcast to one per row.
    pub sinks: Option<&'a Tensor>,
    /// Whether the result is the logarithm.
    pub log: bool,
}

impl Tensor {
    pub(super) fn one(&self, op: Op, inputs: &[&Tensor], dtype: DType, shape: &[usize]) -> Result<Tensor> {
        let desc = TensorDesc::contiguous(dtype, shape)?;
        let mut outputs = self.device().record(op, inputs, &[desc])?;
        outputs.pop().ok_or_else(|| Error::internal("the operation has no output"))
    }

    /// In another dtype: see [`Op::Copy`]. The same tensor if nothing changes. To a block format it
    /// quantises (blocks along the last dimension), from one it decodes.
    pub fn cast(&self, dtype: DType) -> Result<Tensor> {
        if dtype == self.dtype() {
            return Ok(self.clone());
        }
        self.one(Op::Copy, &[self], dtype, self.shape())
    }

    /// A contiguous copy in storage of its own.
    pub fn copy(&self) -> Result<Tensor> {
        self.one(Op::Copy, &[self], self.dtype(), self.shape())
    }

    /// Itself if its elements lie in row-major order, a copy otherwise.
    pub fn contiguous(&self) -> Result<Tensor> {
        if self.desc().is_contiguous() { Ok(self.clone()) } else { self.copy() }
    }

    /// Joins tensors of one dtype along `axis`.
    pub fn concat(tensors: &[&Tensor], axis: usize) -> Result<Tensor> {
        let first = tensors.first().ok_or_else(|| Error::invalid("concat: needs at least one tensor"))?;
        let mut shape = first.desc().shape;
        if axis >= shape.len() {
            return Err(Error::shape(format!("concat: axis {axis} is outside {}", first.desc())));
        }
        shape[axis] = tensors.iter().filter_map(|t| t.shape().get(axis)).sum();
        first.one(Op::Concat(Concat { axis, inputs: tensors.len() }), tensors, first.dtype(), &shape)
    }

    /// Rows of this table by index: `[rows, width…]` and `[indices…]` give `[indices…, width…]`.
    /// Rows of a table in a block format are decoded to f32.
    pub fn gather_rows(&self, indices: &Tensor) -> Result<Tensor> {
        self.gather_rows_as(indices, if self.dtype().is_block() { DType::F32 } else { self.dtype() })
    }

    /// [`gather_rows`](Self::gather_rows) with the result in another floating-point dtype.
    pub fn gather_rows_as(&self, indices: &Tensor, dtype: DType) -> Result<Tensor> {
        let mut shape = indices.shape().to_vec();
        shape.extend_from_slice(self.shape().get(1..).unwrap_or_default());
        self.one(Op::GatherRows, &[self, indices], dtype, &shape)
    }

    /// Writes the rows of `src` to the rows of this tensor that `indices` name, in place. Rows of a
    /// tensor in a block format (a cache in q8_0, say) are quantised as they are written.
    pub fn scatter_rows_(&self, indices: &Tensor, src: &Tensor) -> Result<()> {
        self.device().record_into(Op::ScatterRows, &[src, indices], &[self.view().clone()])?;
        Ok(())
    }

    /// A function of each element.
    pub fn unary(&self, op: UnaryOp) -> Result<Tensor> {
        self.one(Op::Unary(op), &[self], self.dtype(), self.shape())
    }

    /// A function of pairs of elements, broadcast against each other by the NumPy rules.
    pub fn binary(&self, op: BinaryOp, other: &Tensor) -> Result<Tensor> {
        let shape = broadcast_shape(op.name(), self, other)?;
        let (a, b) = (self.broadcast_to(&shape)?, other.broadcast_to(&shape)?);
        self.one(Op::Binary(op), &[&a, &b], self.dtype(), &shape)
    }

    /// `self + other`, broadcast.
    pub fn add(&self, other: &Tensor) -> Result<Tensor> {
        self.binary(BinaryOp::Add, other)
    }

    /// `self − other`, broadcast.
    pub fn sub(&self, other: &Tensor) -> Result<Tensor> {
        self.binary(BinaryOp::Sub, other)
    }

    /// `self · other`, element by element, broadcast.
    pub fn mul(&self, other: &Tensor) -> Result<Tensor> {
        self.binary(BinaryOp::Mul, other)
    }

    /// `self / other`, broadcast.
    pub fn div(&self, other: &Tensor) -> Result<Tensor> {
        self.binary(BinaryOp::Div, other)
    }

    /// `silu(self)`.
    pub fn silu(&self) -> Result<Tensor> {
        self.unary(UnaryOp::Silu)
    }

    /// Softmax of `scale·self + mask` over the last dimension; `limits` (u32, one per row) says
    /// how many leading elements take part. Both are broadcast.
    pub fn softmax(&self, scale: f32, mask: Option<&Tensor>, limits: Option<&Tensor>) -> Result<Tensor> {
        self.softmax_with(SoftmaxOptions { scale: Some(scale), mask, limits, ..SoftmaxOptions::default() })
    }

    /// Logarithm of the softmax over the last dimension.
    pub fn log_softmax(&self) -> Result<Tensor> {
        self.softmax_with(SoftmaxOptions { log: true, ..SoftmaxOptions::default() })
    }

    /// Softmax over the last dimension with masks, sinks or the logarithm; see [`Softmax`].
    pub fn softmax_with(&self, options: SoftmaxOptions<'_>) -> Result<Tensor> {
        let SoftmaxOptions { scale, mask, limits, window, sinks, log } = options;
        let op = Softmax {
            scale: Real(scale.unwrap_or(1.0)),
            mask: mask.is_some(),
            limits: limits.is_some(),
            window,
            sinks: sinks.is_some(),
            log,
        };
        if self.shape().is_empty() {
            return Err(Error::shape("softmax: x has rank 0, at least 1 is needed"));
        }
        let rows = self.desc().shape.without_last(1);
        let mask = mask.map(|m| m.broadcast_to(self.shape())).transpose()?;
        let limits = limits.map(|l| l.broadcast_to(&rows)).transpose()?;
        let sinks = sinks.map(|s| s.broadcast_to(&rows)).transpose()?;
        let inputs: Vec<&Tensor> = std::iter::once(self).chain(&mask).chain(&limits).chain(&sinks).collect();
        self.one(Op::Softmax(op), &inputs, self.dtype(), self.shape())
    }

    /// `(self + residual, rms_norm(self + residual))`.
    pub fn add_rms_norm(&self, residual: &Tensor, weight: &Tensor, eps: f32) -> Result<(Tensor, Tensor)> {
        let desc = TensorDesc::contiguous(self.dtype(), self.shape())?;
        let op = Op::AddRmsNorm(AddRmsNorm { eps: Real(eps) });
        let mut outputs = self.device().record(op, &[self, residual, weight], &[desc, desc])?;
        match (outputs.pop(), outputs.pop()) {
            (Some(y), Some(sum)) => Ok((sum, y)),
            _ => Err(Error::internal("the operation has two outputs")),
        }
    }

    /// Rotary position embedding of `[batch, tokens, heads, head_dim]`; see [`Rope`].
    pub fn rope(&self, cos: &Tensor, sin: &Tensor, positions: &Tensor, pairing: RopePairing) -> Result<Tensor> {
        self.one(Op::Rope(Rope { pairing }), &[self, cos, sin, positions], self.dtype(), self.shape())
    }

    /// Rotary position embedding of `x`, written into the rows of this cache
    /// `[blocks, size, heads, head_dim]` that `indices` name, in place; see [`RopeWrite`].
    pub fn rope_write_(
        &self,
        x: &Tensor,
        [cos, sin]: [&Tensor; 2],
        positions: &Tensor,
        indices: &Tensor,
        pairing: RopePairing,
    ) -> Result<()> {
        let op = Op::RopeWrite(RopeWrite { pairing });
        self.device().record_into(op, &[x, cos, sin, positions, indices], &[self.view().clone()])?;
        Ok(())
    }

    /// Matrix product `[…, m, k] · […, k, n]`; batch dimensions broadcast.
    pub fn matmul(&self, other: &Tensor) -> Result<Tensor> {
        self.linear(other, None, Activation::None, None)
    }

    /// Matrix product with the transpose of a weight stored as `[…, n, k]`, in any float or block
    /// format.
    pub fn matmul_t(&self, weight: &Tensor) -> Result<Tensor> {
        self.matmul(&transposed(weight)?)
    }

    /// `activation(self · other + bias) + residual`; a plain matrix product if nothing is added.
    /// Batch dimensions broadcast; two operands of rank 2 or more.
    pub fn linear(
        &self,
        other: &Tensor,
        bias: Option<&Tensor>,
        activation: Activation,
        residual: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (a, b, shape) = matmul_operands(self, other)?;
        let op = match (bias, activation, residual) {
            (None, Activation::None, None) => Op::MatMul,
            _ => Op::Linear(Linear { bias: bias.is_some(), activation, residual: residual.is_some() }),
        };
        let residual = residual.map(|r| r.broadcast_to(&shape)).transpose()?;
        let inputs: Vec<&Tensor> = [&a, &b].into_iter().chain(bias).chain(&residual).collect();
        self.one(op, &inputs, self.dtype(), &shape)
    }

    /// [`linear`](Self::linear) with a weight stored as `[…, n, k]`.
    pub fn linear_t(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        activation: Activation,
        residual: Option<&Tensor>,
    ) -> Result<Tensor> {
        self.linear(&transposed(weight)?, bias, activation, residual)
    }

    /// Products of a mixture of experts: row `[t, u]` of these activations with the matrix
    /// `ids[t, u]` of `experts [experts, k, n]`. Activations are `[tokens, used, k]`, or
    /// `[tokens, k]` (also `[tokens, 1, k]`) where all experts of a token see one row; the result
    /// is `[tokens, used, n]`. See [`Op::MatMulId`].
    ///
    /// Routing is made of other operations: the best scores of a token choose its experts, their
    /// softmax weighs them.
    ///
    /// ```
    /// # use unisono_core::{Result, Tensor};
    /// /// `x` is `[tokens, k]`, `router` `[experts, k]`, `experts` `[experts, n, k]`.
    /// fn mixture(x: &Tensor, router: &Tensor, experts: &Tensor, used: usize) -> Result<Tensor> {
    ///     let (scores, ids) = x.matmul_t(router)?.topk(used)?;
    ///     let shares = scores.softmax(1.0, None, None)?.unsqueeze(2)?;
    ///     x.matmul_id_t(experts, &ids)?.mul(&shares)?.sum(1)?.squeeze(1)
    /// }
    /// ```
    pub fn matmul_id(&self, experts: &Tensor, ids: &Tensor) -> Result<Tensor> {
        let fail = || {
            let operands = format!("a: {}, b: {}, ids: {}", self.desc(), experts.desc(), ids.desc());
            Error::shape("a has rank 2 or 3, b rank 3 and ids rank 2").with_op("matmul_id", operands)
        };
        let rows = if self.shape().len() == 2 { self.unsqueeze(1)? } else { self.clone() };
        let (&[_, _, k], &[_, _, n], &[tokens, used]) = (rows.shape(), experts.shape(), ids.shape()) else {
            return Err(fail().on_device(&self.device().info().name));
        };
        let rows = rows.broadcast_to(&[tokens, used, k])?;
        self.one(Op::MatMulId, &[&rows, experts, ids], self.dtype(), &[tokens, used, n])
    }

    /// [`matmul_id`](Self::matmul_id) with experts stored as `[experts, n, k]`.
    pub fn matmul_id_t(&self, experts: &Tensor, ids: &Tensor) -> Result<Tensor> {
        self.matmul_id(&transposed(experts)?, ids)
    }

    /// Attention of these queries `[batch, heads, tokens, head_dim]` over keys and values
    /// `[caches, kv_heads, kv, …]` or, with a block table, `[pages, kv_heads, page_size, …]`; see
    /// [`Attention`].
    pub fn attention(&self, k: &Tensor, v: &Tensor, options: AttentionOptions<'_>) -> Result<Tensor> {
        let (qs, ks, vs) = (self.shape(), k.shape(), v.shape());
        if qs.len() != 4 || ks.len() != 4 || vs.len() != 4 {
            let shapes = format!("q: {}, k: {}, v: {}", self.desc(), k.desc(), v.desc());
            return Err(Error::shape("attention: q, k and v have rank 4").with_op("attention", shapes));
        }
        let visibility = match (options.causal, options.limits) {
            (true, Some(_)) => return Err(Error::invalid("attention: causal and limits exclude each other")),
            (true, None) => Visibility::Causal,
            (false, Some(_)) => Visibility::Limits,
            (false, None) => Visibility::All,
        };
        let scale = options.scale.unwrap_or_else(|| 1.0 / (qs[3].max(1) as f32).sqrt());
        let pages = options.block_table.map_or(1, |t| t.shape().get(1).copied().unwrap_or(0));
        let kv = pages.saturating_mul(ks[2]);
        let mask = options.mask.map(|m| m.broadcast_to(&[qs[0], qs[1], qs[2], kv])).transpose()?;
        let per_token = |t: Option<&Tensor>| t.map(|t| t.broadcast_to(&[qs[0], qs[2]])).transpose();
        let (limits, sequences) = (per_token(options.limits)?, per_token(options.sequences)?);
        let op = Attention {
            softcap: options.softcap.map(Real),
            window: options.window,
            mask: mask.is_some(),
            sinks: options.sinks.is_some(),
            paged: options.block_table.is_some(),
            sequences: sequences.is_some(),
            ..Attention::new(scale, visibility)
        };
        let optional = mask.iter().chain(&limits).chain(options.sinks).chain(options.block_table).chain(&sequences);
        let inputs: Vec<&Tensor> = [self, k, v].into_iter().chain(optional).collect();
        self.one(Op::Attention(op), &inputs, self.dtype(), &[qs[0], qs[1], qs[2], vs[3]])
    }
}

fn transposed(weight: &Tensor) -> Result<Tensor> {
    let rank = weight.desc().rank();
    if rank < 2 {
        return Err(Error::shape(format!("matmul: the weight {} has rank below 2", weight.desc())));
    }
    weight.transpose(rank - 2, rank - 1)
}

pub(super) fn broadcast_shape(op: &str, a: &Tensor, b: &Tensor) -> Result<Vec<usize>> {
    let rank = a.shape().len().max(b.shape().len());
    let size = |t: &Tensor, i: usize| (i + t.shape().len()).checked_sub(rank).map_or(1, |j| t.shape()[j]);
    (0..rank)
        .map(|i| match (size(a, i), size(b, i)) {
            (x, y) if x == y => Ok(x),
            (1, n) | (n, 1) => Ok(n),
            _ => {
                let operands = format!("a: {}, b: {}", a.desc(), b.desc());
                Err(Error::shape("the shapes do not broadcast")
                    .with_op(op, operands)
                    .on_device(&a.device().info().name))
            }
        })
        .collect()
}

/// Both operands at the same rank with broadcast batch dimensions, and the result's shape.
fn matmul_operands(a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor, Vec<usize>)> {
    let fail = |message: &str| {
        let operands = format!("a: {}, b: {}", a.desc(), b.desc());
        Err(Error::shape(message).with_op("matmul", operands).on_device(&a.device().info().name))
    };
    let (ra, rb) = (a.shape().len(), b.shape().len());
    if ra < 2 || rb < 2 {
        return fail("both operands need rank 2 or more");
    }
    let [m, k] = [a.shape()[ra - 2], a.shape()[ra - 1]];
    let [kb, n] = [b.shape()[rb - 2], b.shape()[rb - 1]];
    if k != kb {
        return fail("inner sizes differ");
    }
    let rank = ra.max(rb);
    let (mut sa, mut sb, mut sy) = (vec![1; rank], vec![1; rank], vec![1; rank]);
    sa[rank - ra..].copy_from_slice(a.shape());
    sb[rank - rb..].copy_from_slice(b.shape());
    for i in 0..rank - 2 {
        let size = match (sa[i], sb[i]) {
            (x, y) if x == y => x,
            (1, n) | (n, 1) => n,
            _ => return fail("batch sizes do not broadcast"),
        };
        (sa[i], sb[i], sy[i]) = (size, size, size);
    }
    (sy[rank - 2], sy[rank - 1]) = (m, n);
    Ok((a.broadcast_to(&sa)?, b.broadcast_to(&sb)?, sy))
}
