//! The naive kernels of running sums, order, groups of channels and windows, on numbers in row-major
//! order.

use unisono_core::DType;
use unisono_core::op::{CumSum, GroupNorm, Im2Col, ReduceOp};

fn integer(bits: u32, dtype: DType) -> f64 {
    if dtype == DType::I32 { f64::from(bits as i32) } else { f64::from(bits) }
}

/// Integers wrap.
pub(super) fn integers(op: ReduceOp, x: &[f64], dtype: DType) -> f64 {
    let bits = x.iter().map(|&v| v as i64 as u32);
    match op {
        ReduceOp::Sum => integer(bits.fold(0, u32::wrapping_add), dtype),
        ReduceOp::Prod => integer(bits.fold(1, u32::wrapping_mul), dtype),
        ReduceOp::Min => x.iter().copied().fold(f64::INFINITY, f64::min),
        _ => x.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    }
}

pub(super) fn cumsum(op: &CumSum, x: &[f64], shape: &[usize], dtype: DType) -> Vec<f64> {
    let (n, inner) = (shape[op.axis], shape[op.axis + 1..].iter().product::<usize>());
    let mut y = vec![0.0; x.len()];
    for first in (0..x.len()).filter(|i| i / inner % n == 0) {
        let mut total = 0.0;
        for i in 0..n {
            let at = first + if op.reverse { n - 1 - i } else { i } * inner;
            let before = total;
            total += x[at];
            if dtype.is_index() {
                total = integer(total as i64 as u32, dtype);
            }
            y[at] = if op.exclusive { before } else { total };
        }
    }
    y
}

/// The indices that sort a row; of equals the lower one first.
pub(super) fn sorted(x: &[f64], descending: bool) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    let compare = |a: f64, b: f64| a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
    order.sort_by(|&a, &b| if descending { compare(x[b], x[a]) } else { compare(x[a], x[b]) });
    order.into_iter().map(|i| i as f64).collect()
}

pub(super) fn group_norm(
    op: &GroupNorm,
    x: &[f64],
    shape: &[usize],
    weight: Option<&[f64]>,
    bias: Option<&[f64]>,
) -> Vec<f64> {
    let positions: usize = shape[2..].iter().product();
    let n = shape[1] / op.groups * positions;
    let mut y = Vec::with_capacity(x.len());
    for group in x.chunks(n.max(1)) {
        let mean = group.iter().sum::<f64>() / n as f64;
        let variance = group.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
        let scale = (variance + f64::from(op.eps.0)).sqrt().recip();
        for v in group {
            let channel = y.len() / positions % shape[1];
            let (w, b) = (weight.map_or(1.0, |w| w[channel]), bias.map_or(0.0, |b| b[channel]));
            y.push((v - mean) * scale * w + b);
        }
    }
    y
}

/// Where each element of the columns comes from; nowhere in the padding.
pub(super) fn im2col(op: &Im2Col, shape: &[usize]) -> Vec<Option<usize>> {
    let [kh, kw] = op.kernel;
    let Ok([oh, ow]) = op.windows([shape[2], shape[3]]) else { return Vec::new() };
    let mut from = Vec::new();
    for plane in 0..shape[0] * shape[1] {
        for (i, j) in (0..kh).flat_map(|i| (0..kw).map(move |j| (i, j))) {
            for (oy, ox) in (0..oh).flat_map(|oy| (0..ow).map(move |ox| (oy, ox))) {
                let y = (oy * op.stride[0] + i * op.dilation[0]).checked_sub(op.padding[0]).filter(|y| *y < shape[2]);
                let x = (ox * op.stride[1] + j * op.dilation[1]).checked_sub(op.padding[1]).filter(|x| *x < shape[3]);
                from.push(y.zip(x).map(|(y, x)| (plane * shape[2] + y) * shape[3] + x));
            }
        }
    }
    from
}
