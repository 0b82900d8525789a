//! The matrix product of a mixture of experts: each row of activations meets the matrix that its
//! router chose.

use super::check;
use crate::desc::TensorDesc;
use crate::error::{Error, Result};

pub(super) fn check_matmul_id(a: &TensorDesc, b: &TensorDesc, ids: &TensorDesc, y: &TensorDesc) -> Result<()> {
    check::floats(&[("a", a), ("y", y)])?;
    for (name, d) in [("a", a), ("b", b), ("y", y)] {
        check::rank(name, d, 3)?;
    }
    check::weight("b", b, 1)?;
    check::index("ids", ids)?;
    let [tokens, used, k] = [a.shape[0], a.shape[1], a.shape[2]];
    if b.shape[1] != k {
        return Err(Error::shape(format!("inner sizes differ: a has {k}, b has {}", b.shape[1])));
    }
    check::shape("ids", ids, &[tokens, used])?;
    check::shape("y", y, &[tokens, used, b.shape[2]])
}
