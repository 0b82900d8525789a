//! Rotary position embedding.

use unisono_core::TensorDesc;
use unisono_core::op::{Rope, RopePairing, RopeWrite};

use super::Tensor;
use crate::bound::{Elements, FLOOR, U};
use crate::check::Expected;

/// One rotated element of a head: value, bound and probable error. The tables are inputs, so only
/// two products and a sum are in error: 2u·(|x₁c| + |x₂s|). Dimensions beyond the table pass
/// through, with a cast.
fn rotated(pairing: RopePairing, x: &[Tensor], head: usize, d: usize) -> [f64; 3] {
    let (cos, sin, positions) = (&x[1], &x[2], &x[3]);
    let row = x[0].row(head);
    let (table_rows, half) = (cos.desc.shape[0], cos.desc.shape[1]);
    if d >= 2 * half {
        return [row[d], 0.0, 0.0];
    }
    let position = positions.values[head / x[0].desc.shape[2]];
    let in_table = position >= 0.0 && position < table_rows as f64;
    let (pair, second) = match pairing {
        RopePairing::Interleaved => (d / 2, d % 2 == 1),
        RopePairing::HalfSplit => (d % half, d >= half),
    };
    let (first, other) = match pairing {
        RopePairing::Interleaved => (row[2 * pair], row[2 * pair + 1]),
        RopePairing::HalfSplit => (row[pair], row[pair + half]),
    };
    let at = position as usize * half + pair;
    let (c, s) = if in_table { (cos.values[at], sin.values[at]) } else { (0.0, 0.0) };
    let (p, q) = if second { (other * c, first * s) } else { (first * c, -other * s) };
    let size = p.abs() + q.abs();
    let flushed = if in_table { 2.0 * FLOOR } else { 0.0 };
    [p + q, 2.0 * U * size + flushed, 1.5 * U * size + flushed]
}

pub(super) fn rope(op: &Rope, x: &[Tensor], out: &TensorDesc) -> Expected {
    let mut y = Elements::new(out.dtype, out.elements());
    for head in 0..x[0].rows() {
        for d in 0..x[0].last() {
            let [value, bound, quality] = rotated(op.pairing, x, head, d);
            y.push(value, bound, quality);
        }
    }
    y.finish()
}

/// Rows that an index names are rotated heads; all others are what they were.
pub(super) fn rope_write(op: &RopeWrite, x: &[Tensor], dst: &Tensor) -> Expected {
    let [blocks, size, heads, head_dim] = [dst.desc.shape[0], dst.desc.shape[1], dst.desc.shape[2], dst.desc.shape[3]];
    let mut elements: Vec<[f64; 3]> = dst.values.iter().map(|&v| [v, 0.0, 0.0]).collect();
    for head in 0..x[0].rows() {
        let index = x[4].values[head / heads];
        if index >= 0.0 && index < (blocks * size) as f64 {
            let row = (index as usize * heads + head % heads) * head_dim;
            for d in 0..head_dim {
                elements[row + d] = rotated(op.pairing, x, head, d);
            }
        }
    }
    let mut y = Elements::new(dst.desc.dtype, elements.len());
    for [value, bound, quality] in elements {
        y.push(value, bound, quality);
    }
    y.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use unisono_core::DType;

    fn tensor(dtype: DType, shape: &[usize], values: &[f64]) -> Tensor {
        Tensor { desc: TensorDesc::contiguous(dtype, shape).unwrap(), values: values.to_vec() }
    }

    fn rotate(pairing: RopePairing, position: f64) -> Vec<f64> {
        let x = [
            tensor(DType::F32, &[1, 1, 1, 5], &[1.0, 2.0, 3.0, 4.0, 5.0]),
            tensor(DType::F32, &[2, 2], &[1.0, 1.0, 0.0, 0.5]),
            tensor(DType::F32, &[2, 2], &[0.0, 0.0, 1.0, 2.0]),
            tensor(DType::U32, &[1, 1], &[position]),
        ];
        rope(&Rope { pairing }, &x, &x[0].desc.to_contiguous(DType::F32)).values
    }

    #[test]
    fn pairs_by_hand() {
        // Position 1: the first pair turns by (c, s) = (0, 1), the second by (0.5, 2).
        assert_eq!(rotate(RopePairing::Interleaved, 1.0), [-2.0, 1.0, -6.5, 8.0, 5.0]);
        assert_eq!(rotate(RopePairing::HalfSplit, 1.0), [-3.0, -7.0, 1.0, 6.0, 5.0]);
    }

    #[test]
    fn first_position_is_the_identity_and_strays_read_zero() {
        assert_eq!(rotate(RopePairing::HalfSplit, 0.0), [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(rotate(RopePairing::Interleaved, 2.0), [0.0, 0.0, 0.0, 0.0, 5.0]);
    }

    #[test]
    fn written_rows_are_rotated_and_the_others_stay() {
        let x = [
            tensor(DType::F32, &[1, 2, 1, 2], &[1.0, 2.0, 3.0, 4.0]),
            tensor(DType::F32, &[1, 1], &[0.0]),
            tensor(DType::F32, &[1, 1], &[1.0]),
            tensor(DType::U32, &[1, 2], &[0.0, 0.0]),
            tensor(DType::I32, &[1, 2], &[3.0, -1.0]),
        ];
        let dst = tensor(DType::F32, &[2, 2, 1, 2], &[9.0; 8]);
        let y = rope_write(&RopeWrite { pairing: RopePairing::HalfSplit }, &x, &dst);
        assert_eq!(y.values, [9.0, 9.0, 9.0, 9.0, 9.0, 9.0, -2.0, 1.0]);
    }
}
