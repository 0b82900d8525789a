//! Attention: scores, softmax and weighted sum of each query head on its own.

use unisono_core::TensorDesc;
use unisono_core::op::{Attention, Visibility};

use super::softmax::{Scores, mask_at, score, softmax_row, visible_range};
use super::{Modes, Tensor};
use crate::bound::{Elements, FLOOR, U, gamma, probable};
use crate::check::Expected;

/// The cache of one query: where the rows of its keys are.
struct Cache<'a> {
    /// Batch row of a contiguous cache, or row of the block table.
    index: usize,
    table: Option<&'a Tensor>,
    /// Pages (or caches), heads, and keys of each in storage.
    shape: [usize; 3],
}

impl Cache<'_> {
    /// The row of key `j` of a head in `k` and `v`; `None` on a page that does not exist.
    fn row(&self, head: usize, j: usize) -> Option<usize> {
        let [pages, heads, size] = self.shape;
        let (page, slot) = match self.table {
            None => (self.index, j),
            Some(t) => (t.row(self.index)[j / size] as usize, j % size),
        };
        (page < pages).then_some((page * heads + head) * size + slot)
    }
}

/// `cap·tanh(s/cap)` with its error: that of `s` counts with the slope of tanh at its flattest
/// admissible point, tanh itself errs by 10⁻⁵.
fn capped(s: f64, error: f64, cap: f64) -> (f64, f64) {
    let x = s / cap;
    let dx = (error + U * s.abs()) / cap + 3.0 * U * x.abs();
    let steepest = (x.abs() - dx).max(0.0).tanh();
    let t = x.tanh();
    let dt = (1.0 - steepest * steepest) * dx + 1e-5 + 5.0 * U * t.abs();
    (cap * t, cap * dt + U * cap * t.abs())
}

/// The error of a score, `scale·γ_{d+1}·Σ|q||k|`, moves every probability by as much, relatively
/// and twice (itself and the sum); softmax and the weighted sum add their own. Unseen keys and
/// values are not read at all.
pub(super) fn attention(op: &Attention, x: &[Tensor], out: &TensorDesc, modes: Modes) -> Expected {
    let (q, k, v) = (&x[0], &x[1], &x[2]);
    let mut rest = x[3..].iter();
    let mut optional = |present: bool| if present { rest.next() } else { None };
    let mask = optional(op.mask);
    let limits = optional(op.visibility == Visibility::Limits);
    let (sinks, table, sequences) = (optional(op.sinks), optional(op.paged), optional(op.sequences));
    let [heads, tokens, head_dim] = [q.desc.shape[1], q.desc.shape[2], q.desc.shape[3]];
    let [kv_heads, size, v_dim] = [k.desc.shape[1], k.desc.shape[2], v.desc.shape[3]];
    let kv = table.map_or(size, |t| t.desc.shape[1] * size);
    let caches = table.map_or(k.desc.shape[0], |t| t.desc.shape[0]);
    let scale = f64::from(op.scale.0);
    let mut y = Elements::new(out.dtype, out.elements());
    if out.is_empty() {
        return y.finish();
    }
    let group = heads / kv_heads;
    let zeros = vec![0.0; head_dim.max(v_dim)];
    for query in 0..q.desc.shape[0] * heads * tokens {
        let (batch, head, token) = (query / (heads * tokens), query / tokens % heads, query % tokens);
        let index = sequences.map_or(batch, |t| t.values[batch * tokens + token] as usize);
        let cache = Cache { index, table, shape: [k.desc.shape[0], kv_heads, size] };
        let row_of = |t: &'_ Tensor, j: usize| cache.row(head / group, j).map(|row| row * t.last());
        let end = match op.visibility {
            _ if index >= caches => 0,
            Visibility::All => kv,
            Visibility::Causal => (kv + token + 1).saturating_sub(tokens),
            Visibility::Limits => limits.map_or(kv, |t| (t.values[batch * tokens + token] as usize).min(kv)),
        };
        let seen = visible_range(end, op.window);
        let q_row = &q.values[query * head_dim..(query + 1) * head_dim];
        let mut scores = Scores::default();
        for j in seen.clone() {
            let k_row = row_of(k, j).map_or(&zeros[..head_dim], |at| &k.values[at..at + head_dim]);
            let (mut dot, mut size) = (0.0, 0.0);
            for (a, b) in q_row.iter().zip(k_row) {
                dot += a * b;
                size += (a * b).abs();
            }
            let size = size * scale.abs();
            let (mut s, mut error, mut likely) =
                (scale * dot, gamma(head_dim + 1) * size, probable(head_dim + 1) * size);
            if let Some((bound, quality)) = modes.sum(head_dim, size / scale.abs(), false) {
                (error, likely) = (error + bound * scale.abs(), likely + quality * scale.abs());
            }
            if let Some(cap) = op.softcap {
                likely = capped(s, likely, f64::from(cap.0)).1;
                (s, error) = capped(s, error, f64::from(cap.0));
            }
            let (z, rounding) = score(s, mask_at(mask, query * kv + j));
            let counts = f64::from(u8::from(z > f64::NEG_INFINITY));
            scores.push(z, counts * (error + rounding), counts * (likely + rounding));
        }
        let row = softmax_row(&scores, sinks.map(|t| t.values[head]));
        let visible: Vec<usize> = (0..seen.len()).filter(|&i| scores.z[i] > f64::NEG_INFINITY).collect();
        let n = visible.len();
        let mut sums = vec![[0.0; 4]; v_dim];
        for &i in &visible {
            let (bound, quality) = (row.relative[i] + gamma(n + 2) + U, row.quality[i] + probable(n + 2) + U);
            let values = row_of(v, seen.start + i).map_or(&zeros[..v_dim], |at| &v.values[at..at + v_dim]);
            for (sum, &v) in sums.iter_mut().zip(values) {
                // A term that is 0 whatever its weight has no error.
                if v != 0.0 {
                    let (term, flushed) = (row.p[i] * v, 2.0 * FLOOR * v.abs() + FLOOR);
                    sum[0] += term;
                    sum[3] += term.abs();
                    sum[1] += term.abs() * bound + flushed;
                    sum[2] += term.abs() * quality + flushed;
                }
            }
        }
        // The weighted sum in f16: of terms up to 1, divided by their sum at the end.
        for sum in sums.iter_mut().filter(|_| n > 0) {
            if let Some((bound, quality)) = modes.sum(row.chain(n + 2), sum[3] * row.sum(), false) {
                sum[1] += bound / row.sum();
                sum[2] += quality / row.sum();
            }
        }
        // An element of infinite relative error and no weight gives NaN: nothing is guaranteed.
        for [value, bound, quality, _] in sums {
            y.push(value, bound, quality);
        }
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
        attention(&Attention { mask, ..Attention::new(1.0, visibility) }, &x, &out, Modes::default()).values
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
        let op = Attention::new(0.5, Visibility::All);
        let y = attention(&op, &x, &out, Modes::default());
        assert!((y.values[0] - 1.0 / (1.0 + (-1.5f64).exp())).abs() < 1e-14);
        assert!(y.bounds[0] < 1e-5);
    }

    /// One head, equal scores unless `k` says otherwise, values 1, 2, 4, … by key.
    fn one(op: Attention, k: &[f64], extra: Vec<Tensor>, [caches, size]: [usize; 2], tokens: usize) -> Vec<f64> {
        let n = caches * size;
        let values: Vec<f64> = (0..n).map(|i| (1u64 << i) as f64).collect();
        let mut x = vec![
            tensor(DType::F32, &[1, 1, tokens, 1], &vec![1.0; tokens]),
            tensor(DType::F32, &[caches, 1, size, 1], k),
            tensor(DType::F32, &[caches, 1, size, 1], &values),
        ];
        x.extend(extra);
        attention(&op, &x, &TensorDesc::contiguous(DType::F32, &[1, 1, tokens, 1]).unwrap(), Modes::default()).values
    }

    #[test]
    fn windows_pages_and_sequences_by_hand() {
        let limits = |list: &[f64]| tensor(DType::U32, &[1, list.len()], list);
        let base = Attention::new(1.0, Visibility::Limits);
        let op = Attention { window: Some(2), ..base };
        assert_eq!(one(op, &[0.0; 4], vec![limits(&[1.0, 2.0, 3.0])], [1, 4], 3), [1.0, 1.5, 3.0]);
        // Two caches of two pages of two keys; pages 2, 0 and 1, 9 (which does not exist).
        let table = || tensor(DType::U32, &[2, 2], &[2.0, 0.0, 1.0, 9.0]);
        let op = Attention { paged: true, sequences: true, ..base };
        let extra = vec![limits(&[3.0, 1.0, 4.0, 4.0]), table(), limits(&[0.0, 1.0, 2.0, 1.0])];
        let y = one(op, &[0.0; 6], extra, [3, 2], 4);
        assert_eq!(y, [(16.0 + 32.0 + 1.0) / 3.0, 4.0, 0.0, 3.0]);
    }

    #[test]
    fn a_cap_comes_before_the_mask_and_a_sink_gives_no_value() {
        let capped = Attention { softcap: Some(2.0f32.into()), mask: true, ..Attention::new(1.0, Visibility::All) };
        let mask = tensor(DType::F32, &[1, 1, 1, 2], &[0.0, 2.0]);
        // 2·tanh(1e4/2) = 2 balances the mask.
        let y = one(capped, &[1e4, 0.0], vec![mask], [1, 2], 1);
        assert!((y[0] - 1.5).abs() < 1e-12, "{y:?}");
        let sunk = Attention { sinks: true, ..Attention::new(1.0, Visibility::All) };
        let y = one(sunk, &[0.0; 2], vec![tensor(DType::F32, &[1], &[0.0])], [1, 2], 1);
        assert!((y[0] - 1.0).abs() < 1e-12, "{y:?}");
    }
}
