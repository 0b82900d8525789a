//! Descriptors: what a tensor looks like, without its data.
//!
//! A [`TensorDesc`] is element type, shape and strides. Views (transpose, slice, broadcast) are
//! descriptors with other strides over the same storage, so kernels see every layout explicitly
//! and no operation needs a "transposed" flag. Strides are in elements, never negative; a
//! broadcast dimension has stride 0.
//!
//! A tensor in a block format is described in elements too. Its blocks lie along one dimension, the
//! block axis: the one of stride 1, whose size is a whole number of blocks, as are all other
//! strides and the offset of the first element. A weight `[n, k]` has its blocks along `k`; its
//! transpose is the view `[k, n]` with strides `[1, k]`, as for any other type.

use std::fmt;

use crate::dims::Dims;
use crate::dtype::DType;
use crate::error::{Error, Result};

/// Element type, shape and strides (in elements) of one tensor operand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorDesc {
    /// Element type as stored.
    pub dtype: DType,
    /// Sizes, outermost first.
    pub shape: Dims,
    /// Distance between neighbours along each dimension, in elements. Same rank as `shape`.
    pub strides: Dims,
}

impl TensorDesc {
    /// A contiguous row-major tensor. Fails on a rank over [`MAX_RANK`](crate::MAX_RANK) or an
    /// element count that overflows.
    pub fn contiguous(dtype: DType, shape: &[usize]) -> Result<TensorDesc> {
        let shape = Dims::new(shape)?;
        dtype.bytes_for(shape.elements()?)?;
        let desc = TensorDesc { dtype, shape, strides: shape.contiguous_strides() };
        desc.check_blocks()?;
        Ok(desc)
    }

    /// With explicit strides; fails where the ranks differ or the addressed range overflows.
    pub fn strided(dtype: DType, shape: &[usize], strides: &[usize]) -> Result<TensorDesc> {
        let desc = TensorDesc { dtype, shape: Dims::new(shape)?, strides: Dims::new(strides)? };
        desc.validate()?;
        Ok(desc)
    }

    /// Checks that ranks agree and nothing overflows.
    pub fn validate(&self) -> Result<()> {
        if self.shape.len() != self.strides.len() {
            return Err(Error::shape(format!("shape {} and strides {} differ in rank", self.shape, self.strides)));
        }
        self.shape.elements()?;
        self.dtype.bytes_for(self.checked_span()?)?;
        self.check_blocks()
    }

    /// The dimension along which the blocks of a block format lie: the one of stride 1. `None` for
    /// plain types and for tensors without elements.
    pub fn block_axis(&self) -> Option<usize> {
        if !self.dtype.is_block() || self.is_empty() {
            return None;
        }
        (0..self.rank()).find(|&i| self.shape[i] > 1 && self.strides[i] == 1)
    }

    fn check_blocks(&self) -> Result<()> {
        if !self.dtype.is_block() || self.is_empty() {
            return Ok(());
        }
        let block = self.dtype.block_elements();
        let fail = |why: String| Err(Error::shape(format!("{}{}: {why}", self.dtype, self.shape)));
        let Some(axis) = self.block_axis() else {
            return fail(format!("blocks of {block} elements need a dimension of stride 1 to lie along"));
        };
        if !self.shape[axis].is_multiple_of(block) {
            return fail(format!("dimension {axis} is not a whole number of blocks of {block} elements"));
        }
        for i in (0..self.rank()).filter(|&i| i != axis && self.shape[i] > 1) {
            if !self.strides[i].is_multiple_of(block) {
                let stride = self.strides[i];
                return fail(format!("stride {stride} of dimension {i} is not a whole number of blocks of {block}"));
            }
        }
        Ok(())
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements (0 if any dimension is 0). Only valid descriptors are asked.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no element at all.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    fn checked_span(&self) -> Result<usize> {
        if self.is_empty() {
            return Ok(0);
        }
        let overflow = || Error::shape(format!("strides {} of shape {} overflow", self.strides, self.shape));
        self.shape.iter().zip(self.strides.iter()).try_fold(1usize, |n, (&d, &s)| {
            n.checked_add((d - 1).checked_mul(s).ok_or_else(overflow)?).ok_or_else(overflow)
        })
    }

    /// Elements from the first to the last addressed one, inclusive; 0 when empty.
    pub fn span(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        self.shape.iter().zip(self.strides.iter()).map(|(&d, &s)| (d - 1) * s).sum::<usize>() + 1
    }

    /// Bytes of [`span`](Self::span).
    pub fn span_bytes(&self) -> u64 {
        (self.span() as u64).div_ceil(self.dtype.block_elements() as u64) * self.dtype.block_bytes() as u64
    }

    /// Whether elements lie in row-major order without gaps. Dimensions of size 1 are ignored.
    pub fn is_contiguous(&self) -> bool {
        if self.is_empty() {
            return true;
        }
        let mut expected = 1;
        for (&d, &s) in self.shape.iter().zip(self.strides.iter()).rev() {
            if d != 1 {
                if s != expected {
                    return false;
                }
                expected *= d;
            }
        }
        true
    }

    /// Whether each row (last dimension) is contiguous.
    pub fn has_contiguous_rows(&self) -> bool {
        match (self.shape.last(), self.strides.last()) {
            (Some(&d), Some(&s)) => d <= 1 || s == 1,
            _ => true,
        }
    }

    /// Whether two different indices can address the same element (a broadcast view, say).
    /// Outputs must not: conservative, may answer `true` for exotic layouts that do not overlap.
    pub fn may_self_overlap(&self) -> bool {
        if self.is_empty() {
            return false;
        }
        let mut dims: Vec<(usize, usize)> =
            self.strides.iter().copied().zip(self.shape.iter().copied()).filter(|&(_, d)| d > 1).collect();
        dims.sort_unstable();
        let mut reach = 0;
        for (stride, size) in dims {
            if stride <= reach {
                return true;
            }
            reach += stride * (size - 1);
        }
        false
    }

    /// The same shape, contiguous, in another plain element type.
    pub fn to_contiguous(&self, dtype: DType) -> TensorDesc {
        TensorDesc { dtype, shape: self.shape, strides: self.shape.contiguous_strides() }
    }

    /// View with two dimensions swapped.
    pub fn transposed(&self, a: usize, b: usize) -> Result<TensorDesc> {
        if a >= self.rank() || b >= self.rank() {
            return Err(Error::shape(format!("cannot swap dimensions {a} and {b} of {self}")));
        }
        let mut desc = *self;
        desc.shape.swap(a, b);
        desc.strides.swap(a, b);
        Ok(desc)
    }

    /// View with the dimensions in another order.
    pub fn permuted(&self, axes: &[usize]) -> Result<TensorDesc> {
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..self.rank()) {
            return Err(Error::shape(format!("{axes:?} is not a permutation of the dimensions of {self}")));
        }
        let mut desc = *self;
        for (i, &a) in axes.iter().enumerate() {
            desc.shape[i] = self.shape[a];
            desc.strides[i] = self.strides[a];
        }
        Ok(desc)
    }

    /// View broadcast to `shape` by the NumPy rules (sizes align at the end; size 1 stretches).
    pub fn broadcast_to(&self, shape: &[usize]) -> Result<TensorDesc> {
        let fail = || Error::shape(format!("{self} does not broadcast to {shape:?}"));
        let lead = shape.len().checked_sub(self.rank()).ok_or_else(fail)?;
        let mut desc = TensorDesc { dtype: self.dtype, shape: Dims::new(shape)?, strides: Dims::new(shape)? };
        for (i, &size) in shape.iter().enumerate() {
            desc.strides[i] = match i.checked_sub(lead) {
                Some(j) if self.shape[j] == size => self.strides[j],
                Some(j) if self.shape[j] != 1 => return Err(fail()),
                _ => 0,
            };
        }
        Ok(desc)
    }

    /// View with `axis` split into `(size / inner, inner)`; `inner` must divide the size.
    pub fn split_axis(&self, axis: usize, inner: usize) -> Result<TensorDesc> {
        if axis >= self.rank() || inner == 0 || !self.shape[axis].is_multiple_of(inner) {
            return Err(Error::shape(format!("cannot split dimension {axis} of {self} by {inner}")));
        }
        let (size, stride) = (self.shape[axis], self.strides[axis]);
        let desc = TensorDesc {
            dtype: self.dtype,
            shape: self.shape.with(axis, size / inner).inserted(axis + 1, inner)?,
            strides: self.strides.with(axis, stride * inner).inserted(axis + 1, stride)?,
        };
        desc.check_blocks()?;
        Ok(desc)
    }

    /// View with a new dimension of `size` (stride 0) before position `at`.
    pub fn with_axis(&self, at: usize, size: usize) -> Result<TensorDesc> {
        Ok(TensorDesc {
            dtype: self.dtype,
            shape: self.shape.inserted(at, size)?,
            strides: self.strides.inserted(at, 0)?,
        })
    }

    /// View with another shape over the same elements, if strides can express it.
    pub fn reshaped(&self, shape: &[usize]) -> Result<Option<TensorDesc>> {
        let target = Dims::new(shape)?;
        if target.elements()? != self.elements() {
            return Err(Error::shape(format!("{self} cannot become {shape:?}: the number of elements differs")));
        }
        if self.is_contiguous() {
            let desc = TensorDesc { dtype: self.dtype, shape: target, strides: target.contiguous_strides() };
            desc.check_blocks()?;
            return Ok(Some(desc));
        }
        // Match runs of source dimensions with runs of target dimensions of the same product; a
        // run can be regrouped only where the source is contiguous within it.
        let source: Vec<(usize, usize)> =
            (0..self.rank()).filter(|&i| self.shape[i] != 1).map(|i| (self.shape[i], self.strides[i])).collect();
        let mut strides = target.contiguous_strides();
        let (mut s, mut t) = (0, 0);
        while s < source.len() && t < target.len() {
            let (mut s_end, mut t_end) = (s + 1, t + 1);
            let (mut s_size, mut t_size) = (source[s].0, target[t]);
            while s_size != t_size {
                if t_size < s_size {
                    t_size *= target[t_end];
                    t_end += 1;
                } else {
                    s_size *= source[s_end].0;
                    s_end += 1;
                }
            }
            if source[s..s_end].windows(2).any(|w| w[0].1 != w[1].0 * w[1].1) {
                return Ok(None);
            }
            let mut stride = source[s_end - 1].1;
            for i in (t..t_end).rev() {
                strides[i] = stride;
                stride *= target[i];
            }
            (s, t) = (s_end, t_end);
        }
        let desc = TensorDesc { dtype: self.dtype, shape: target, strides };
        desc.check_blocks()?;
        Ok(Some(desc))
    }
}

impl fmt::Display for TensorDesc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)?;
        if !self.is_contiguous() {
            write!(f, " strides {}", self.strides)?;
        }
        Ok(())
    }
}

impl fmt::Debug for TensorDesc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
