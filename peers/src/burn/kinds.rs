//! Operations that burn has for tensors of several kinds, over one dimension or `[outer, axis, inner]`.

use anyhow::{Result, bail};
use burn_tensor::kind::{Basic, Numeric, Ordered};
use burn_tensor::{Bool, IndexingUpdateOp, Int, IntDType, Tensor};
use unisono_core::op::{ArgOp, BinaryOp, CompareOp, CumSum, ReduceOp};

use super::value::{Flat, Shaped};

/// The sizes before, at and after an axis.
pub(super) fn around(shape: &[usize], axis: usize) -> [usize; 3] {
    [shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product()]
}

/// The parts, each `[outer, its size, inner]`, joined along the middle.
pub(super) fn join<K: Basic>(parts: Vec<(Tensor<1, K>, [usize; 3])>) -> Tensor<1, K> {
    Tensor::cat(parts.into_iter().map(|(x, shape)| x.shaped(shape)).collect(), 1).flat()
}

/// The indices, `other` in the place of each that is outside `0..rows`, and which those are. burn
/// leaves an index out of range undefined, so its user checks them first.
fn bounded(indices: Tensor<1, Int>, rows: usize, other: i64) -> (Tensor<1, Int>, Tensor<1, Bool>) {
    let indices = indices.cast(IntDType::I64);
    let outside = indices.clone().lower_elem(0).bool_or(indices.clone().greater_equal_elem(rows as i64));
    (indices.mask_fill(outside.clone(), other), outside)
}

/// Rows of a table that is not empty, `zeros` where an index names none.
pub(super) fn gather<K: Basic>(
    table: Tensor<1, K>,
    [rows, width]: [usize; 2],
    indices: Tensor<1, Int>,
    zeros: Tensor<1, K>,
) -> Tensor<1, K> {
    let [n] = indices.dims();
    let (indices, outside) = bounded(indices, rows, 0);
    let found = table.shaped([rows, width]).select(0, indices);
    let outside = outside.shaped([n, 1]).expand([n, width]);
    found.mask_where(outside, zeros.shaped([n, width])).flat()
}

/// A matrix with `src` in the rows that indices name. One row more takes what names no row.
pub(super) fn scatter<K: Basic>(
    former: Tensor<1, K>,
    [rows, width]: [usize; 2],
    indices: Tensor<1, Int>,
    src: Tensor<1, K>,
) -> Tensor<1, K> {
    let [n] = indices.dims();
    let (indices, _) = bounded(indices, rows, rows as i64);
    let spare = src.clone().narrow(0, 0, width);
    let all = Tensor::cat(vec![former, spare], 0).reshape([rows + 1, width]);
    let all = all.select_assign(0, indices, src.shaped([n, width]), IndexingUpdateOp::Assign);
    all.slice([0..rows, 0..width]).flat()
}

pub(super) fn arithmetic<K: Ordered>(op: BinaryOp, a: Tensor<1, K>, b: Tensor<1, K>) -> Result<Tensor<1, K>> {
    Ok(match op {
        BinaryOp::Add => a.add(b),
        BinaryOp::Sub => a.sub(b),
        BinaryOp::Mul => a.mul(b),
        BinaryOp::Div => a.div(b),
        BinaryOp::Minimum => a.min_pair(b),
        BinaryOp::Maximum => a.max_pair(b),
        _ => bail!("no function {}", op.name()),
    })
}

pub(super) fn compare<K: Ordered>(op: CompareOp, a: Tensor<1, K>, b: Tensor<1, K>) -> Result<Tensor<1, Bool>> {
    Ok(match op {
        CompareOp::Eq => a.equal(b),
        CompareOp::Ne => a.not_equal(b),
        CompareOp::Lt => a.lower(b),
        CompareOp::Le => a.lower_equal(b),
        CompareOp::Gt => a.greater(b),
        CompareOp::Ge => a.greater_equal(b),
        _ => bail!("no comparison {}", op.name()),
    })
}

pub(super) fn reduce<K: Ordered>(op: ReduceOp, x: Tensor<1, K>, shape: [usize; 3]) -> Result<Tensor<1, K>> {
    let x: Tensor<3, K> = x.shaped(shape);
    let y = match op {
        ReduceOp::Sum => x.sum_dim(1),
        ReduceOp::Mean => x.mean_dim(1),
        ReduceOp::Max => x.max_dim(1),
        ReduceOp::Min => x.min_dim(1),
        ReduceOp::Prod => x.prod_dim(1),
        _ => bail!("no reduction {}", op.name()),
    };
    Ok(y.flat())
}

pub(super) fn find<K: Ordered>(op: ArgOp, x: Tensor<1, K>, shape: [usize; 3]) -> Tensor<1, Int> {
    let x: Tensor<3, K> = x.shaped(shape);
    let y = if op == ArgOp::Max { x.argmax(1) } else { x.argmin(1) };
    y.flat()
}

/// `cumsum`, turned around for sums from the end, and moved by one place for exclusive ones.
pub(super) fn running_sum<K: Numeric>(op: &CumSum, x: Tensor<1, K>, [a, n, b]: [usize; 3]) -> Tensor<1, K> {
    if a * n * b == 0 {
        return x;
    }
    let turn = |x: Tensor<3, K>| if op.reverse { x.flip([1]) } else { x };
    let mut v = turn(x.shaped([a, n, b]));
    if op.exclusive {
        let first = v.clone().slice([0..a, 0..1, 0..b]);
        v = Tensor::cat(vec![first.zeros_like(), v.slice([0..a, 0..n - 1, 0..b])], 1);
    }
    turn(v.cumsum(1)).flat()
}
