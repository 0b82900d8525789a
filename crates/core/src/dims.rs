//! A short inline list of sizes, used for shapes and for strides.
//!
//! Descriptors are copied, hashed and compared all the time; keeping up to [`MAX_RANK`] numbers
//! inline makes them `Copy` and free of allocation.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::error::{Error, Result};

/// The largest number of dimensions of a tensor.
pub const MAX_RANK: usize = 6;

/// Up to [`MAX_RANK`] sizes or strides, outermost first. Dereferences to a slice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dims {
    rank: u8,
    values: [usize; MAX_RANK],
}

impl Dims {
    /// From a slice; an error if it has more than [`MAX_RANK`] entries.
    pub fn new(values: &[usize]) -> Result<Dims> {
        if values.len() > MAX_RANK {
            return Err(Error::invalid(format!("rank {} of {values:?} is over the limit of {MAX_RANK}", values.len())));
        }
        let mut dims = Dims { rank: values.len() as u8, values: [0; MAX_RANK] };
        dims.values[..values.len()].copy_from_slice(values);
        Ok(dims)
    }

    /// The product of the sizes, or an error on overflow.
    pub fn elements(&self) -> Result<usize> {
        if self.contains(&0) {
            return Ok(0);
        }
        self.iter()
            .try_fold(1usize, |n, &d| n.checked_mul(d))
            .filter(|&n| n <= isize::MAX as usize)
            .ok_or_else(|| Error::invalid(format!("the number of elements of {self:?} overflows")))
    }

    /// Row-major strides of a contiguous tensor with this shape, in elements.
    pub fn contiguous_strides(&self) -> Dims {
        let mut strides = *self;
        let mut step = 1usize;
        for i in (0..self.len()).rev() {
            strides[i] = step;
            step = step.saturating_mul(self[i].max(1));
        }
        strides
    }

    /// These dims without the last `n`.
    pub fn without_last(&self, n: usize) -> Dims {
        let mut dims = *self;
        dims.rank = self.rank.saturating_sub(n as u8);
        dims.values[dims.rank as usize..].fill(0);
        dims
    }

    /// These dims with `value` inserted before position `at` (at most the rank).
    pub fn inserted(&self, at: usize, value: usize) -> Result<Dims> {
        let mut values = self.to_vec();
        if at > values.len() {
            return Err(Error::invalid(format!("axis {at} is outside {self:?}")));
        }
        values.insert(at, value);
        Dims::new(&values)
    }

    /// These dims with the entry at `axis` replaced. `axis` must be below the rank.
    pub fn with(&self, axis: usize, value: usize) -> Dims {
        let mut dims = *self;
        dims[axis] = value;
        dims
    }
}

impl Deref for Dims {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.values[..self.rank as usize]
    }
}

impl DerefMut for Dims {
    fn deref_mut(&mut self) -> &mut [usize] {
        &mut self.values[..self.rank as usize]
    }
}

impl fmt::Debug for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &**self)
    }
}

impl fmt::Display for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &**self)
    }
}
