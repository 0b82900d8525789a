//! Order along the last dimension.

use unisono_core::TensorDesc;
use unisono_core::op::{ArgSort, TopK};

use super::Tensor;
use super::movement::{cast, moved};
use crate::check::Expected;

/// The indices that sort a row; a stable sort keeps the lower index of equals first.
fn sorted(row: &[f64], descending: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    // A NaN is above every number, and equal to another.
    let compare = |a: f64, b: f64| a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
    order.sort_by(|&a, &b| if descending { compare(row[b], row[a]) } else { compare(row[a], row[b]) });
    order
}

fn indices(values: Vec<f64>) -> Expected {
    let zeros = vec![0.0; values.len()];
    Expected { values, bounds: zeros.clone(), quality: zeros, ..Expected::default() }
}

pub(super) fn argsort(op: &ArgSort, x: &Tensor) -> Expected {
    let order = (0..x.rows()).flat_map(|i| sorted(x.row(i), op.descending));
    indices(order.map(|i| i as f64).collect())
}

pub(super) fn topk(op: &TopK, x: &Tensor, outputs: &[TensorDesc]) -> Vec<Expected> {
    let (from, to) = (x.desc.dtype, outputs[0].dtype);
    let (mut values, mut order) = (Vec::new(), Vec::new());
    for i in 0..x.rows() {
        let row = x.row(i);
        for j in sorted(row, !op.smallest).into_iter().take(op.k) {
            values.push(cast(from, to, row[j]));
            order.push(j as f64);
        }
    }
    vec![moved(from, to, values), indices(order)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use unisono_core::DType;

    #[test]
    fn lower_indices_come_first_in_both_directions() {
        let x = Tensor {
            desc: TensorDesc::contiguous(DType::F32, &[1, 5]).unwrap(),
            values: vec![0.0, 2.0, -0.0, 2.0, -1.0],
        };
        assert_eq!(argsort(&ArgSort { descending: true }, &x).values, [1.0, 3.0, 0.0, 2.0, 4.0]);
        assert_eq!(argsort(&ArgSort { descending: false }, &x).values, [4.0, 0.0, 2.0, 1.0, 3.0]);
        let outputs = [DType::F32, DType::U32].map(|d| TensorDesc::contiguous(d, &[1, 2]).unwrap());
        let y = topk(&TopK { k: 2, smallest: true }, &x, &outputs);
        let nan = Tensor { values: vec![1.0, f64::NAN, f64::INFINITY, -f64::NAN, 2.0], ..x.clone() };
        assert_eq!(argsort(&ArgSort { descending: true }, &nan).values, [1.0, 3.0, 2.0, 4.0, 0.0]);
        assert_eq!(argsort(&ArgSort { descending: false }, &nan).values, [0.0, 4.0, 2.0, 1.0, 3.0]);
        assert_eq!((&y[0].values[..], &y[1].values[..]), (&[-1.0, 0.0][..], &[4.0, 0.0][..]));
    }
}
