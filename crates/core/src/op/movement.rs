//! Data movement: copy and cast, concatenation, and rows gathered or scattered by index
//! (embedding lookup and the write into a key-value cache). Reshape, permute, slice and broadcast
//! are views and need no operation.

use super::check;
use crate::desc::TensorDesc;
use crate::error::{Error, Result};

/// Joins `inputs` tensors of one plain dtype along `axis`; all other sizes are equal. Block formats
/// are refused: rows are written into one tensor with [`Op::Copy`](crate::Op::Copy) or
/// [`Op::ScatterRows`](crate::Op::ScatterRows).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Concat {
    /// The dimension along which sizes add up.
    pub axis: usize,
    /// How many tensors are joined, at least one.
    pub inputs: usize,
}

impl Concat {
    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        let y = &outputs[0];
        if inputs.is_empty() {
            return Err(Error::invalid("needs at least one input"));
        }
        check::axis(self.axis, y)?;
        let mut total = 0;
        check::plain("y", y)?;
        for x in inputs {
            check::dtype("x", x, y.dtype)?;
            check::rank("x", x, y.rank())?;
            check::shape("x", x, &y.shape.with(self.axis, x.shape[self.axis]))?;
            total += x.shape[self.axis];
        }
        check::shape("y", y, &y.shape.with(self.axis, total))
    }
}

pub(super) fn check_copy(inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
    let (x, y) = (&inputs[0], &outputs[0]);
    check::shape("y", y, &x.shape)?;
    if x.dtype.is_block() || y.dtype.is_block() {
        return check::blocks(("x", x), ("y", y));
    }
    Ok(())
}

pub(super) fn check_gather(inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
    let (table, indices, y) = (&inputs[0], &inputs[1], &outputs[0]);
    check::index("indices", indices)?;
    check::min_rank("table", table, 1)?;
    if table.dtype.is_block() {
        check::whole_rows("table", table)?;
        check::floats(&[("y", y)])?;
    } else {
        check::castable(("table", table), ("y", y))?;
    }
    let mut wanted = indices.shape.to_vec();
    wanted.extend_from_slice(&table.shape[1..]);
    check::shape("y", y, &wanted)
}

pub(super) fn check_scatter(inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
    let (src, indices, dst) = (&inputs[0], &inputs[1], &outputs[0]);
    check::index("indices", indices)?;
    check::min_rank("src", src, 1)?;
    check::rank("dst", dst, src.rank())?;
    check::shape("indices", indices, &src.shape[..1])?;
    check::shape("src", src, &dst.shape.with(0, src.shape[0]))?;
    if dst.dtype.is_block() {
        check::whole_rows("src", src)?;
        check::whole_rows("dst", dst)?;
        return check::blocks(("src", src), ("dst", dst));
    }
    check::castable(("src", src), ("dst", dst))
}
