//! Scaled dot-product attention by tiles with an online softmax (Milakov & Gimelshein 2018; Dao et
//! al. 2022): the matrix of scores never exists as a whole.
//!
//! A row is a query of one head; the heads that share a key-value head are rows of the same
//! blocks, so each key and value is read once for all of them. Few rows (a decode step) use the
//! kernels that read keys and values in place; many use the dense product on panels. Where there
//! are fewer blocks than threads, the keys are split too and the parts are merged at the end.

use unisono_core::Op;
use unisono_core::op::{Attention, Visibility};

use super::Launch;
use super::gemm::{Block, gemm};
use super::matmul::panel;
use super::softmax::add_mask;
use crate::scratch::with_scratch;
use crate::simd::dot::{self, GROUP};
use crate::simd::{Simd, math, reduce};
use crate::view::View;

/// Rows of a block, and the most that are computed without the dense product.
const ROWS: usize = 64;
const FEW_ROWS: usize = 8;
/// Keys of a tile.
const KEYS: usize = 128;
/// Multiply-adds below which waking other threads does not pay.
const SMALL: usize = 128 * 1024;

/// Where parts of the result go that several tasks write side by side.
#[derive(Clone, Copy)]
struct Parts(*mut f32);
// SAFETY: every task writes the part of its own index.
unsafe impl Sync for Parts {}

struct Problem<'a> {
    op: Attention,
    simd: Simd,
    q: &'a View,
    k: &'a View,
    v: &'a View,
    y: &'a View,
    mask: Option<&'a View>,
    limits: Option<&'a View>,
    kv_heads: usize,
    group: usize,
    tokens: usize,
    kv: usize,
    head_dim: usize,
    v_dim: usize,
}

/// The running softmax of a block of rows.
struct State<'s> {
    max: &'s mut [f32],
    sum: &'s mut [f32],
    values: &'s mut [f32],
}

impl Problem<'_> {
    /// Batch, head and token of a row of key-value head `kv_head`.
    fn place(&self, kv_head: usize, row: usize) -> (usize, usize) {
        (kv_head * self.group + row / self.tokens, row % self.tokens)
    }

    /// How many leading keys a query may see.
    fn limit(&self, batch: usize, token: usize) -> usize {
        match self.op.visibility {
            Visibility::All => self.kv,
            Visibility::Causal => (self.kv + token + 1).saturating_sub(self.tokens),
            Visibility::Limits => {
                // SAFETY: batch and token are indices of `limits`, which is u32.
                let read =
                    |l: &View| unsafe { l.at(batch * l.stride(0) + token * l.stride(1)).cast::<u32>().read() as usize };
                self.limits.map_or(self.kv, read).min(self.kv)
            }
        }
    }

    /// Scores of keys `keys` for `rows` queries at `q`, one row of `scores` each.
    fn scores(&self, k_offset: usize, keys: usize, q: &mut [f32], rows: usize, scores: &mut [f32], room: &mut [f32]) {
        let (d, [k_row, k_col]) = (self.head_dim, [self.k.stride(2), self.k.stride(3)]);
        if rows <= FEW_ROWS && (k_col == 1 || d == 1) {
            for j in (0..keys).step_by(2) {
                let pair = (self.k.run(k_offset + j * k_row, 1), k_row, 2.min(keys - j));
                for r in (0..rows).step_by(GROUP) {
                    let n = GROUP.min(rows - r);
                    // SAFETY: the keys and the queries have `head_dim` elements.
                    let dots = unsafe { dot::dots(self.simd, pair, (q.as_ptr().add(r * d), d, n), d) };
                    for (j, dots) in (j..keys).zip(&dots) {
                        (0..n).for_each(|i| scores[(r + i) * KEYS + j] = dots[i]);
                    }
                }
            }
            return;
        }
        if d == 0 {
            return scores[..rows * KEYS].fill(0.0);
        }
        // SAFETY: `keys` keys lie inside `k`; the blocks are this task's own.
        unsafe {
            let k = panel(self.simd, self.k, k_offset, [keys, d], [k_row, k_col], room);
            let transposed = Block { ptr: k.ptr, row: k.col, col: k.row };
            let q = Block { ptr: q.as_mut_ptr(), row: d, col: 1 };
            gemm([rows, keys, d], q, transposed, Block { ptr: scores.as_mut_ptr(), row: KEYS, col: 1 }, false);
        }
    }

    /// Adds the values, weighted by `p`, to each row.
    fn add_values(&self, v_offset: usize, keys: usize, p: &mut [f32], rows: usize, y: &mut [f32], room: &mut [f32]) {
        let (d, [v_row, v_col]) = (self.v_dim, [self.v.stride(2), self.v.stride(3)]);
        if d == 0 {
            return;
        }
        if rows <= FEW_ROWS && (v_col == 1 || d == 1) {
            for (p, y) in p.chunks(KEYS).zip(y.chunks_mut(d)).take(rows) {
                // SAFETY: `keys` rows of `v` have `v_dim` elements.
                unsafe { dot::add_rows(self.simd, &p[..keys], self.v.run(v_offset, 1), v_row, y) };
            }
            return;
        }
        // SAFETY: `keys` values lie inside `v`; the blocks are this task's own.
        unsafe {
            let v = panel(self.simd, self.v, v_offset, [keys, d], [v_row, v_col], room);
            let p = Block { ptr: p.as_mut_ptr(), row: KEYS, col: 1 };
            gemm([rows, d, keys], p, v, Block { ptr: y.as_mut_ptr(), row: d, col: 1 }, true);
        }
    }

    /// Runs the online softmax for the rows `first..first + rows` over the keys `span`.
    fn block(&self, batch: usize, kv_head: usize, first: usize, rows: usize, span: [usize; 2], state: &mut State<'_>) {
        let simd = self.simd;
        let (d, panel_room) = (self.head_dim, KEYS * self.head_dim.max(self.v_dim));
        let limits: Vec<usize> = (first..first + rows).map(|r| self.limit(batch, self.place(kv_head, r).1)).collect();
        let end = limits.iter().copied().max().unwrap_or(0).min(span[1]);
        state.max.fill(f32::NEG_INFINITY);
        state.sum.fill(0.0);
        state.values.fill(0.0);
        with_scratch(rows * (d + KEYS) + panel_room, |scratch| {
            let (q, scratch) = scratch.split_at_mut(rows * d);
            let (scores, room) = scratch.split_at_mut(rows * KEYS);
            for (r, to) in q.chunks_mut(d.max(1)).enumerate().take(rows) {
                let (head, token) = self.place(kv_head, first + r);
                let at = batch * self.q.stride(0) + head * self.q.stride(1) + token * self.q.stride(2);
                // SAFETY: the query has `head_dim` elements.
                unsafe { self.q.row(at).load(simd, to) };
            }
            for start in (span[0]..end).step_by(KEYS) {
                let keys = KEYS.min(end - start);
                let at = |v: &View| batch * v.stride(0) + kv_head * v.stride(1) + start * v.stride(2);
                self.scores(at(self.k), keys, q, rows, scores, room);
                for (r, row) in scores.chunks_mut(KEYS).enumerate() {
                    let (seen, unseen) = row[..keys].split_at_mut(limits[r].saturating_sub(start).min(keys));
                    unseen.fill(0.0);
                    reduce::scale_by(simd, seen, self.op.scale.0);
                    if let Some(mask) = self.mask {
                        let (head, token) = self.place(kv_head, first + r);
                        let row = batch * mask.stride(0) + head * mask.stride(1) + token * mask.stride(2);
                        // SAFETY: the mask has an element for each of these keys.
                        unsafe { add_mask(simd, seen, mask.row(row + start * mask.stride(3))) };
                    }
                    let max = reduce::max(simd, seen).max(state.max[r]);
                    if max == f32::NEG_INFINITY {
                        seen.fill(0.0);
                        continue;
                    }
                    let sum = math::exp_minus(simd, seen, max);
                    if max > state.max[r] {
                        let shrink = math::exp::<false>(state.max[r] - max);
                        state.sum[r] *= shrink;
                        reduce::scale_by(simd, &mut state.values[r * self.v_dim..(r + 1) * self.v_dim], shrink);
                        state.max[r] = max;
                    }
                    state.sum[r] += sum;
                }
                self.add_values(at(self.v), keys, scores, rows, state.values, room);
            }
        });
    }

    /// Divides by the sum and stores row `row`.
    fn store(&self, batch: usize, kv_head: usize, row: usize, values: &mut [f32], sum: f32) {
        let (head, token) = self.place(kv_head, row);
        let at = batch * self.y.stride(0) + head * self.y.stride(1) + token * self.y.stride(2);
        reduce::scale_by(self.simd, values, if sum > 0.0 { 1.0 / sum } else { 0.0 });
        // SAFETY: the row of `y` has `v_dim` elements, and no other task stores it.
        unsafe { self.y.row(at).store(self.simd, values) };
    }
}

/// `q, k, v [mask] [limits] -> y`
pub(crate) fn attention(launch: &Launch<'_>) {
    let Op::Attention(op) = *launch.op else { return };
    let [q, k, v, rest @ ..] = launch.inputs else { return };
    let mut rest = rest.iter();
    let mask = if op.mask { rest.next() } else { None };
    let limits = if op.visibility == Visibility::Limits { rest.next() } else { None };
    let y = &launch.outputs[0];
    if y.desc.is_empty() {
        return;
    }
    let (batches, kv_heads, group, tokens) = (q.size(0), k.size(1), q.size(1) / k.size(1), q.size(2));
    let (kv, head_dim, v_dim) = (k.size(2), q.size(3), v.size(3));
    let simd = launch.simd;
    let p = Problem { op, simd, q, k, v, y, mask, limits, kv_heads, group, tokens, kv, head_dim, v_dim };

    let all_rows = group * tokens;
    let blocks = all_rows.div_ceil(ROWS);
    let units = batches * kv_heads * blocks;
    let threads = launch.pool.threads();
    let work = all_rows * batches * kv_heads * kv * (head_dim + v_dim);
    let splits = if work < SMALL { 1 } else { (2 * threads).div_ceil(units).clamp(1, kv.div_ceil(2 * KEYS).max(1)) };
    let splits = if threads == 1 || units >= 2 * threads { 1 } else { splits };
    let span = kv.div_ceil(splits).next_multiple_of(KEYS);

    // Of each unit and split: maximum and sum of each row, then its values.
    let part = ROWS.min(all_rows) * (2 + v_dim);
    let locate = |unit: usize| (unit / (kv_heads * blocks), unit / blocks % p.kv_heads, unit % blocks * ROWS);
    let state_of = |part: &mut [f32], rows: usize, f: &mut dyn FnMut(State<'_>)| {
        let (max, part) = part.split_at_mut(rows);
        let (sum, values) = part.split_at_mut(rows);
        f(State { max, sum, values: &mut values[..rows * v_dim] });
    };
    let compute = |task: usize, own: &mut [f32]| {
        let (unit, split) = (task / splits, task % splits);
        let (batch, kv_head, first) = locate(unit);
        let rows = ROWS.min(all_rows - first);
        state_of(own, rows, &mut |mut state| {
            p.block(batch, kv_head, first, rows, [split * span, kv.min((split + 1) * span)], &mut state);
            if splits == 1 {
                for (r, values) in state.values.chunks_mut(v_dim).enumerate() {
                    p.store(batch, kv_head, first + r, values, state.sum[r]);
                }
            }
        });
    };
    if splits == 1 {
        let run = |task: usize| with_scratch(part, |own| compute(task, own));
        if work < SMALL {
            return (0..units).for_each(run);
        }
        return launch.pool.run(units, &run);
    }
    with_scratch(units * splits * part, |parts| {
        let shared = Parts(parts.as_mut_ptr());
        launch.pool.run(units * splits, &|task| {
            let shared = &shared;
            // SAFETY: the part of this task's index, inside the block of `units · splits` parts.
            compute(task, unsafe { std::slice::from_raw_parts_mut(shared.0.add(task * part), part) });
        });
        for unit in 0..units {
            let (batch, kv_head, first) = locate(unit);
            let rows = ROWS.min(all_rows - first);
            merge(simd, &mut parts[unit * splits * part..(unit + 1) * splits * part], part, rows, v_dim);
            state_of(&mut parts[unit * splits * part..], rows, &mut |state| {
                for (r, values) in state.values.chunks_mut(v_dim).enumerate() {
                    p.store(batch, kv_head, first + r, values, state.sum[r]);
                }
            });
        }
    });
}

/// Merges the splits of one unit into the first.
fn merge(simd: Simd, parts: &mut [f32], part: usize, rows: usize, v_dim: usize) {
    let (total, others) = parts.split_at_mut(part);
    for other in others.chunks_mut(part) {
        for r in 0..rows {
            let max = total[r].max(other[r]);
            if max == f32::NEG_INFINITY {
                continue;
            }
            let at = 2 * rows + r * v_dim..2 * rows + (r + 1) * v_dim;
            for side in [&mut *total, &mut *other] {
                let shrink = math::exp::<false>(side[r] - max);
                side[rows + r] *= shrink;
                reduce::scale_by(simd, &mut side[at.clone()], shrink);
            }
            total[r] = max;
            total[rows + r] += other[rows + r];
            reduce::add_to(simd, &mut total[at.clone()], &other[at]);
        }
    }
}
