//! Attention: scores, softmax and weighted sum of each query head on its own.

use unisono_core::TensorDesc;
use unisono_core::op::{Attention, Visibility};

use super::Tensor;
use super::softmax::{score, softmax_row};
use crate::bound::{Elements, FLOOR, U, gamma, probable};
use crate::check::Expected;

/// The error of a score, `scale·γ_{d+1}·Σ|q||k|`, moves every probability by as much, relatively
/// and twice (itself and the sum); softmax and the weighted sum add their own. Unseen keys and
/// values are not read at all.
pub(super) fn attention(op: &Attention, x: &[Tensor], out: &TensorDesc) -> Expected {
    let (q, k, v) = (&x[0], &x[1], &x[2]);
    let mut rest = x[3..].iter();
    let mask = if op.mask { rest.next() } else { None };
    let limits = if op.visibility == Visibility::Limits { rest.next() } else { None };
    let [heads, tokens, head_dim] = [q.desc.shape[1], q.desc.shape[2], q.desc.shape[3]];
    let [kv_heads, kv, v_dim] = [k.desc.shape[1], k.desc.shape[2], v.desc.shape[3]];
    let scale = f64::from(op.scale.0);
    let mut y = Elements::new(out.dtype, out.elements());
    if out.is_empty() {
        return y.finish();
    }
    let group = heads / kv_heads;
    for query in 0..q.desc.shape[0] * heads * tokens {
        let (batch, head, token) = (query / (heads * tokens), query / tokens % heads, query % tokens);
        let first_key = (batch * kv_heads + head / group) * kv;
        let seen = match op.visibility {
            Visibility::All => kv,
            Visibility::Causal => (kv + token + 1).saturating_sub(tokens),
            Visibility::Limits => limits.map_or(kv, |t| (t.values[batch * tokens + token] as usize).min(kv)),
        };
        let q_row = &q.values[query * head_dim..(query + 1) * head_dim];
        let (mut z, mut dz, mut probable_dz) = (Vec::new(), Vec::new(), Vec::new());
        for j in 0..seen {
            let mask = mask.map_or(0.0, |t| t.values[query * kv + j]);
            let k_row = &k.values[(first_key + j) * head_dim..(first_key + j + 1) * head_dim];
            let (mut dot, mut size) = (0.0, 0.0);
            for (a, b) in q_row.iter().zip(k_row) {
                dot += a * b;
                size += (a * b).abs();
            }
            let (value, error) = score(scale * dot, mask);
            z.push(value);
            let size = size * scale.abs();
            let masked = value == f64::NEG_INFINITY;
            dz.push(if masked { 0.0 } else { error + gamma(head_dim + 1) * size });
            probable_dz.push(if masked { 0.0 } else { error + probable(head_dim + 1) * size });
        }
        let row = softmax_row(&z, &dz, &probable_dz);
        let visible: Vec<usize> = (0..seen).filter(|&j| z[j] > f64::NEG_INFINITY).collect();
        let n = visible.len();
        let mut sums = vec![[0.0; 3]; v_dim];
        for &j in &visible {
            let (bound, quality) = (row.relative[j] + gamma(n + 2) + U, row.quality[j] + probable(n + 2) + U);
            let values = &v.values[(first_key + j) * v_dim..(first_key + j + 1) * v_dim];
            for (sum, &v) in sums.iter_mut().zip(values) {
                let (term, flushed) = (row.p[j] * v, 2.0 * FLOOR * v.abs() + FLOOR);
                sum[0] += term;
                sum[1] += term.abs() * bound + flushed;
                sum[2] += term.abs() * quality + flushed;
            }
        }
        // An element of infinite relative error and no weight gives NaN: nothing is guaranteed.
        for [value, bound, quality] in sums {
            y.push(value, bound, quality);
        }
    }
    y.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use unisono_core::DType;
    use unisono_core::op::Real;

    fn tensor(dtype: DType, shape: &[usize], values: &[f64]) -> Tensor {
        Tensor { desc: TensorDesc::contiguous(dtype, shape).unwrap(), values: values.to_vec() }
    }

    /// Two heads over one key-value head, two tokens, three keys; all scores are equal, so the
    /// result is the mean of the values that are seen.
    fn means(visibility: Visibility, extra: Vec<Tensor>, mask: bool) -> Vec<f64> {
        let mut x = vec![
            tensor(DType::F32, &[1, 2, 2, 1], &[0.0; 4]),
            tensor(DType::F32, &[1, 1, 3, 1], &[1.0, 2.0, 3.0]),
            tensor(DType::F32, &[1, 1, 3, 1], &[3.0, 6.0, 12.0]),
        ];
        x.extend(extra);
        let out = TensorDesc::contiguous(DType::F32, &[1, 2, 2, 1]).unwrap();
        attention(&Attention { scale: Real(1.0), visibility, mask }, &x, &out).values
    }

    #[test]
    fn visibility_by_hand() {
        assert_eq!(means(Visibility::All, vec![], false), [7.0; 4]);
        assert_eq!(means(Visibility::Causal, vec![], false), [4.5, 7.0, 4.5, 7.0]);
        let limits = tensor(DType::U32, &[1, 2], &[0.0, 9.0]);
        assert_eq!(means(Visibility::Limits, vec![limits], false), [0.0, 7.0, 0.0, 7.0]);
        let hidden = f64::NEG_INFINITY;
        let mask = tensor(
            DType::F32,
            &[1, 2, 2, 3],
            &[0.0, hidden, 0.0, hidden, hidden, hidden, 0.0, 0.0, 0.0, 0.0, 0.0, hidden],
        );
        assert_eq!(means(Visibility::All, vec![mask], true), [7.5, 0.0, 7.0, 4.5]);
    }

    #[test]
    fn scores_weigh_the_values() {
        let x = [
            tensor(DType::F32, &[1, 1, 1, 2], &[1.0, 2.0]),
            tensor(DType::F32, &[1, 1, 2, 2], &[0.0, 0.0, 1.0, 1.0]),
            tensor(DType::F32, &[1, 1, 2, 1], &[0.0, 1.0]),
        ];
        let out = TensorDesc::contiguous(DType::F32, &[1, 1, 1, 1]).unwrap();
        let op = Attention { scale: Real(0.5), visibility: Visibility::All, mask: false };
        let y = attention(&op, &x, &out);
        assert!((y.values[0] - 1.0 / (1.0 + (-1.5f64).exp())).abs() < 1e-14);
        assert!(y.bounds[0] < 1e-5);
    }
}
