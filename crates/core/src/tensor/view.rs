//! Views: other layouts over the same storage. None of them moves data, except a reshape that
//! strides cannot express.

use std::ops::Range;

use super::Tensor;
use crate::error::{Error, Result};

impl Tensor {
    /// Another shape over the same elements; copies only if strides cannot express it.
    pub fn reshape(&self, shape: &[usize]) -> Result<Tensor> {
        match self.desc().reshaped(shape)? {
            Some(desc) => Ok(self.with_view(self.view.offset, desc)),
            None => self.copy()?.reshape(shape),
        }
    }

    /// With two dimensions swapped.
    pub fn transpose(&self, a: usize, b: usize) -> Result<Tensor> {
        Ok(self.with_view(self.view.offset, self.desc().transposed(a, b)?))
    }

    /// With the dimensions in another order.
    pub fn permute(&self, axes: &[usize]) -> Result<Tensor> {
        Ok(self.with_view(self.view.offset, self.desc().permuted(axes)?))
    }

    /// Elements `range` along `axis`.
    pub fn slice(&self, axis: usize, range: Range<usize>) -> Result<Tensor> {
        let desc = *self.desc();
        if axis >= desc.rank() || range.start > range.end || range.end > desc.shape[axis] {
            return Err(Error::shape(format!("cannot take {range:?} along dimension {axis} of {desc}")));
        }
        let mut sliced = desc;
        sliced.shape[axis] = range.len();
        let offset = self.view.offset + range.start * desc.strides[axis];
        if !offset.is_multiple_of(desc.dtype.block_elements()) {
            return Err(Error::shape(format!("{range:?} along dimension {axis} of {desc} starts inside a block")));
        }
        sliced.validate()?;
        Ok(self.with_view(offset, sliced))
    }

    /// Broadcast to `shape` by the NumPy rules.
    pub fn broadcast_to(&self, shape: &[usize]) -> Result<Tensor> {
        Ok(self.with_view(self.view.offset, self.desc().broadcast_to(shape)?))
    }

    /// With a new dimension of size 1 before position `axis`.
    pub fn unsqueeze(&self, axis: usize) -> Result<Tensor> {
        Ok(self.with_view(self.view.offset, self.desc().with_axis(axis, 1)?))
    }

    /// Without the dimension `axis`, whose size must be 1.
    pub fn squeeze(&self, axis: usize) -> Result<Tensor> {
        if self.shape().get(axis) != Some(&1) {
            return Err(Error::shape(format!("dimension {axis} of {} is not 1", self.desc())));
        }
        let mut shape = self.shape().to_vec();
        shape.remove(axis);
        self.reshape(&shape)
    }
}
