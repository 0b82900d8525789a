//! Softmax over the last dimension, with the masks that attention needs.

use super::{Real, check};
use crate::desc::TensorDesc;
use crate::dtype::DType;
use crate::error::Result;

/// `y = exp(z − max z) / Σ exp(z − max z)` with `z = scale·x + mask`, over the last dimension.
///
/// `mask` has the shape of `x` (broadcast already), floating point; an element of −∞ means
/// "masked". `limits` (`u32`, the shape of `x` without its last dimension, broadcast already)
/// says how many leading elements of each row take part; the rest is masked. A masked element
/// gives 0, and so does every element of a row that is masked entirely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Softmax {
    /// Factor on `x` before the mask is added.
    pub scale: Real,
    /// Whether there is an additive mask.
    pub mask: bool,
    /// Whether there are row limits.
    pub limits: bool,
}

impl Softmax {
    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        let (x, y) = (&inputs[0], &outputs[0]);
        check::floats(&[("x", x), ("y", y)])?;
        check::finite("scale", self.scale.0)?;
        check::min_rank("x", x, 1)?;
        check::shape("y", y, &x.shape)?;
        let mut rest = inputs[1..].iter();
        if self.mask
            && let Some(mask) = rest.next()
        {
            check::floats(&[("mask", mask)])?;
            check::shape("mask", mask, &x.shape)?;
        }
        if self.limits
            && let Some(limits) = rest.next()
        {
            check::dtype("limits", limits, DType::U32)?;
            check::shape("limits", limits, &x.shape.without_last(1))?;
        }
        Ok(())
    }
}
