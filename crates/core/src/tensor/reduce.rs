//! Reductions, running sums, order, normalisations and convolutions of tensors. The formulas are
//! documented in [`crate::op`].
//!
//! Results have the dtype of the first operand unless a method says otherwise.

use super::Tensor;
use crate::desc::TensorDesc;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::{
    ArgOp, ArgReduce, ArgSort, Conv1d, Conv2d, CumSum, GroupNorm, Im2Col, L2Norm, LayerNorm, Op, Real, Reduce,
    ReduceOp, RmsNorm, TopK,
};

impl Tensor {
    /// Sum, mean, max, min or product over `axis`, which stays with size 1.
    pub fn reduce(&self, op: ReduceOp, axis: usize) -> Result<Tensor> {
        self.one(Op::Reduce(Reduce { op, axis }), &[self], self.dtype(), &self.reduced(axis)?)
    }

    /// Sum over `axis`, which stays with size 1.
    pub fn sum(&self, axis: usize) -> Result<Tensor> {
        self.reduce(ReduceOp::Sum, axis)
    }

    /// Mean over `axis`, which stays with size 1.
    pub fn mean(&self, axis: usize) -> Result<Tensor> {
        self.reduce(ReduceOp::Mean, axis)
    }

    /// Largest element along `axis` ("any" of booleans), which stays with size 1.
    pub fn max(&self, axis: usize) -> Result<Tensor> {
        self.reduce(ReduceOp::Max, axis)
    }

    /// Smallest element along `axis` ("all" of booleans), which stays with size 1.
    pub fn min(&self, axis: usize) -> Result<Tensor> {
        self.reduce(ReduceOp::Min, axis)
    }

    /// Product over `axis`, which stays with size 1.
    pub fn prod(&self, axis: usize) -> Result<Tensor> {
        self.reduce(ReduceOp::Prod, axis)
    }

    /// Index (u32) of the largest element along `axis`, which stays with size 1.
    pub fn argmax(&self, axis: usize) -> Result<Tensor> {
        let op = ArgReduce { op: ArgOp::Max, axis };
        self.one(Op::ArgReduce(op), &[self], DType::U32, &self.reduced(axis)?)
    }

    /// Index (u32) of the smallest element along `axis`, which stays with size 1.
    pub fn argmin(&self, axis: usize) -> Result<Tensor> {
        let op = ArgReduce { op: ArgOp::Min, axis };
        self.one(Op::ArgReduce(op), &[self], DType::U32, &self.reduced(axis)?)
    }

    fn reduced(&self, axis: usize) -> Result<crate::Dims> {
        if axis >= self.desc().rank() {
            return Err(Error::shape(format!("axis {axis} is outside {}", self.desc())));
        }
        Ok(self.desc().shape.with(axis, 1))
    }

    /// Running sums along `axis`.
    pub fn cumsum(&self, axis: usize) -> Result<Tensor> {
        self.cumsum_with(CumSum { axis, exclusive: false, reverse: false })
    }

    /// Running sums that leave each element out, or run backwards.
    pub fn cumsum_with(&self, op: CumSum) -> Result<Tensor> {
        self.one(Op::CumSum(op), &[self], self.dtype(), self.shape())
    }

    /// The `k` largest elements of each row (last dimension), largest first, and their indices (u32).
    pub fn topk(&self, k: usize) -> Result<(Tensor, Tensor)> {
        self.topk_with(TopK { k, smallest: false })
    }

    /// The `k` largest or smallest elements of each row, and their indices (u32).
    pub fn topk_with(&self, op: TopK) -> Result<(Tensor, Tensor)> {
        let rank = self.desc().rank();
        if rank == 0 {
            return Err(Error::shape("topk: the tensor has no dimension"));
        }
        let shape = self.desc().shape.with(rank - 1, op.k);
        let outputs = [TensorDesc::contiguous(self.dtype(), &shape)?, TensorDesc::contiguous(DType::U32, &shape)?];
        let mut outputs = self.device().record(Op::TopK(op), &[self], &outputs)?;
        match (outputs.pop(), outputs.pop()) {
            (Some(indices), Some(values)) => Ok((values, indices)),
            _ => Err(Error::internal("the operation has two outputs")),
        }
    }

    /// The indices (u32) that sort each row (last dimension), stable.
    pub fn argsort(&self, descending: bool) -> Result<Tensor> {
        self.one(Op::ArgSort(ArgSort { descending }), &[self], DType::U32, self.shape())
    }

    /// RMS normalisation over the last dimension; a weight of `None` is 1.
    pub fn rms_norm<'a>(&self, weight: impl Into<Option<&'a Tensor>>, eps: f32) -> Result<Tensor> {
        let weight = weight.into();
        let op = RmsNorm { eps: Real(eps), weight: weight.is_some() };
        self.one(Op::RmsNorm(op), &with(self, [weight, None]), self.dtype(), self.shape())
    }

    /// Layer normalisation over the last dimension; a weight of `None` is 1, a bias 0.
    pub fn layer_norm<'a>(
        &self,
        weight: impl Into<Option<&'a Tensor>>,
        bias: impl Into<Option<&'a Tensor>>,
        eps: f32,
    ) -> Result<Tensor> {
        let (weight, bias) = (weight.into(), bias.into());
        let op = LayerNorm { eps: Real(eps), weight: weight.is_some(), bias: bias.is_some() };
        self.one(Op::LayerNorm(op), &with(self, [weight, bias]), self.dtype(), self.shape())
    }

    /// Normalisation of `[batch, channels, …]` over groups of channels; a weight of `None` is 1, a
    /// bias 0.
    pub fn group_norm(
        &self,
        groups: usize,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f32,
    ) -> Result<Tensor> {
        let op = GroupNorm { groups, eps: Real(eps), weight: weight.is_some(), bias: bias.is_some() };
        self.one(Op::GroupNorm(op), &with(self, [weight, bias]), self.dtype(), self.shape())
    }

    /// Each row (last dimension) divided by the larger of its Euclidean length and `eps`.
    pub fn l2_norm(&self, eps: f32) -> Result<Tensor> {
        self.one(Op::L2Norm(L2Norm { eps: Real(eps) }), &[self], self.dtype(), self.shape())
    }

    /// The windows of `[batch, channels, h, w]` as columns; see [`Im2Col`].
    pub fn im2col(&self, op: Im2Col) -> Result<Tensor> {
        let &[batch, channels, h, w] = self.shape() else {
            return Err(Error::shape(format!("im2col: {} has no four dimensions", self.desc())));
        };
        let [oh, ow] = op.windows([h, w])?;
        let shape = [batch, channels.saturating_mul(op.kernel[0].saturating_mul(op.kernel[1])), oh.saturating_mul(ow)];
        self.one(Op::Im2Col(op), &[self], self.dtype(), &shape)
    }

    /// Convolution of `[batch, channels, h, w]` with `[out, channels / groups, kh, kw]`; see
    /// [`Conv2d`], whose `bias` follows from the argument.
    pub fn conv2d(&self, weight: &Tensor, bias: Option<&Tensor>, op: Conv2d) -> Result<Tensor> {
        let (&[batch, _, h, w], &[out, _, kh, kw]) = (self.shape(), weight.shape()) else {
            return Err(Error::shape(format!("conv2d: {} or {} has no four dimensions", self.desc(), weight.desc())));
        };
        let [oh, ow] = op.columns([kh, kw]).windows([h, w])?;
        let op = Op::Conv2d(Conv2d { bias: bias.is_some(), ..op });
        self.one(op, &with(self, [Some(weight), bias]), self.dtype(), &[batch, out, oh, ow])
    }

    /// Convolution of `[batch, channels, length]` with `[out, channels / groups, k]`; see
    /// [`Conv1d`], whose `bias` follows from the argument.
    pub fn conv1d(&self, weight: &Tensor, bias: Option<&Tensor>, op: Conv1d) -> Result<Tensor> {
        let (&[batch, _, length], &[out, _, k]) = (self.shape(), weight.shape()) else {
            return Err(Error::shape(format!("conv1d: {} or {} has no three dimensions", self.desc(), weight.desc())));
        };
        let [_, windows] = op.as_2d().columns([1, k]).windows([1, length])?;
        let op = Op::Conv1d(Conv1d { bias: bias.is_some(), ..op });
        self.one(op, &with(self, [Some(weight), bias]), self.dtype(), &[batch, out, windows])
    }
}

fn with<'a>(x: &'a Tensor, rest: [Option<&'a Tensor>; 2]) -> Vec<&'a Tensor> {
    std::iter::once(x).chain(rest.into_iter().flatten()).collect()
}
