//! Scaled dot-product attention by tiles with an online softmax (Milakov & Gimelshein 2018; Dao et
//! al. 2022): the matrix of scores never exists as a whole.
//!
//! A row is a query of one head; the heads that share a key-value head are rows of the same
//! blocks, so each key and value is read once for all of them. Few rows (a decode step) use the
//! kernels that read keys and values in place; many use the dense product on panels. Where there
//! are fewer blocks than threads, the keys are split too and the parts are merged at the end.
//! Where keys lie (`cache`) and which of them count is settled per block and tile; the arithmetic
//! is the same for all of them.

use unisono_core::Op;
use unisono_core::op::{Attention, Visibility};

use super::Launch;
use super::cache::{Cache, Part};
use super::gemm::{Block, gemm};
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
    k: Cache<'a>,
    v: Cache<'a>,
    y: &'a View,
    mask: Option<&'a View>,
    limits: Option<&'a View>,
    sinks: Option<&'a View>,
    sequences: Option<&'a View>,
    group: usize,
    tokens: usize,
    kv: usize,
    head_dim: usize,
    v_dim: usize,
}

/// Rows of one key-value head that read one cache.
#[derive(Clone, Copy)]
struct Unit {
    batch: usize,
    kv_head: usize,
    first: usize,
    rows: usize,
    /// `None` for rows whose sequence does not exist: they see nothing.
    cache: Option<usize>,
}

/// The running softmax of a block of rows.
struct State<'s> {
    max: &'s mut [f32],
    sum: &'s mut [f32],
    values: &'s mut [f32],
}

impl Problem<'_> {
    /// Head and token of a row of key-value head `kv_head`.
    fn place(&self, kv_head: usize, row: usize) -> (usize, usize) {
        (kv_head * self.group + row % self.group, row / self.group)
    }

    /// An element of a u32 tensor `[batch, tokens]`.
    fn number(t: &View, batch: usize, token: usize) -> usize {
        // SAFETY: batch and token are indices of `t`, which is u32.
        unsafe { t.at(batch * t.stride(0) + token * t.stride(1)).cast::<u32>().read() as usize }
    }

    /// The keys that a query may see: the first and the one after the last.
    fn seen(&self, batch: usize, token: usize) -> [usize; 2] {
        let end = match self.op.visibility {
            Visibility::All => self.kv,
            Visibility::Causal => (self.kv + token + 1).saturating_sub(self.tokens),
            Visibility::Limits => self.limits.map_or(self.kv, |l| Self::number(l, batch, token)).min(self.kv),
        };
        [self.op.window.map_or(0, |w| end.saturating_sub(w as usize)), end]
    }

    /// Blocks of rows: as many as fit of those that read the same cache.
    fn units(&self, batches: usize, kv_heads: usize) -> Vec<Unit> {
        let mut units = Vec::new();
        for batch in 0..batches {
            let cache = |token: usize| match self.sequences {
                None => Some(batch),
                Some(s) => Some(Self::number(s, batch, token)).filter(|&c| c < self.k.count()),
            };
            let mut token = 0;
            while token < self.tokens {
                let same = (token..self.tokens).take_while(|&t| cache(t) == cache(token)).count();
                let (first, end) = (token * self.group, (token + same) * self.group);
                for kv_head in 0..kv_heads {
                    units.extend((first..end).step_by(ROWS).map(|first| Unit {
                        batch,
                        kv_head,
                        first,
                        rows: ROWS.min(end - first),
                        cache: cache(token),
                    }));
                }
                token += same;
            }
        }
        units
    }

    /// Scores of the keys of `part` for `rows` queries at `q`: columns `at..` of `scores`.
    fn scores(&self, part: &Part<'_>, at: usize, q: &mut [f32], rows: usize, scores: &mut [f32], room: &mut [f32]) {
        let d = self.head_dim;
        if d == 0 || part.is_zero() {
            scores.chunks_mut(KEYS).take(rows).for_each(|row| row[at..at + part.keys].fill(0.0));
            return;
        }
        if rows <= FEW_ROWS && part.has_plain_rows(d) {
            let (run, row) = part.rows(self.simd, d, room);
            for j in (0..part.keys).step_by(2) {
                // SAFETY: key `j` is one of the part.
                let key = unsafe { run.skip(j * row) };
                let pair = (key, row, 2.min(part.keys - j));
                for r in (0..rows).step_by(GROUP) {
                    let n = GROUP.min(rows - r);
                    // SAFETY: the keys and the queries have `head_dim` elements.
                    let dots = unsafe { dot::dots(self.simd, pair, (q.as_ptr().add(r * d), d, n), d) };
                    for (j, dots) in (at + j..at + part.keys).zip(&dots) {
                        (0..n).for_each(|i| scores[(r + i) * KEYS + j] = dots[i]);
                    }
                }
            }
            return;
        }
        // SAFETY: the keys lie inside `k`; the blocks are this task's own.
        unsafe {
            let k = part.block(self.simd, d, room);
            let transposed = Block { ptr: k.ptr, row: k.col, col: k.row };
            let q = Block { ptr: q.as_mut_ptr(), row: d, col: 1 };
            let to = Block { ptr: scores.as_mut_ptr().add(at), row: KEYS, col: 1 };
            gemm([rows, part.keys, d], q, transposed, to, false);
        }
    }

    /// Adds the values of `part`, weighted by the columns `at..` of `p`, to each row.
    fn add_values(&self, part: &Part<'_>, at: usize, p: &mut [f32], rows: usize, y: &mut [f32], room: &mut [f32]) {
        let d = self.v_dim;
        if d == 0 || part.is_zero() {
            return;
        }
        if rows <= FEW_ROWS && part.has_plain_rows(d) {
            let (run, row) = part.rows(self.simd, d, room);
            for (p, y) in p.chunks(KEYS).zip(y.chunks_mut(d)).take(rows) {
                // SAFETY: the rows of the part have `v_dim` elements.
                unsafe { dot::add_rows(self.simd, &p[at..at + part.keys], run, row, y) };
            }
            return;
        }
        // SAFETY: the values lie inside `v`; the blocks are this task's own.
        unsafe {
            let v = part.block(self.simd, d, room);
            let p = Block { ptr: p.as_mut_ptr().add(at), row: KEYS, col: 1 };
            gemm([rows, d, part.keys], p, v, Block { ptr: y.as_mut_ptr(), row: d, col: 1 }, true);
        }
    }

    /// Runs the online softmax for the rows of `unit` over the keys `span`.
    fn block(&self, unit: &Unit, span: [usize; 2], state: &mut State<'_>) {
        state.max.fill(f32::NEG_INFINITY);
        state.sum.fill(0.0);
        state.values.fill(0.0);
        let Some(cache) = unit.cache else { return };
        let (simd, rows) = (self.simd, unit.rows);
        let seen: Vec<[usize; 2]> =
            (unit.first..unit.first + rows).map(|r| self.seen(unit.batch, self.place(unit.kv_head, r).1)).collect();
        let visible = || seen.iter().filter(|s| s[0] < s[1]);
        let begin = visible().map(|s| s[0]).min().unwrap_or(0).max(span[0]);
        let end = visible().map(|s| s[1]).max().unwrap_or(0).min(span[1]);
        let (d, panel_room) = (self.head_dim, KEYS * self.head_dim.max(self.v_dim));
        with_scratch(rows * (d + KEYS) + panel_room, |scratch| {
            let (q, scratch) = scratch.split_at_mut(rows * d);
            let (scores, room) = scratch.split_at_mut(rows * KEYS);
            for (r, to) in q.chunks_mut(d.max(1)).enumerate().take(rows) {
                let (head, token) = self.place(unit.kv_head, unit.first + r);
                let at = unit.batch * self.q.stride(0) + head * self.q.stride(1) + token * self.q.stride(2);
                // SAFETY: the query has `head_dim` elements.
                unsafe { self.q.row(at).load(simd, to) };
            }
            for start in (begin..end).step_by(KEYS) {
                let keys = KEYS.min(end - start);
                for (at, part) in self.k.parts(cache, unit.kv_head, start, keys) {
                    self.scores(&part, at, q, rows, scores, room);
                }
                for (r, row) in scores.chunks_mut(KEYS).enumerate() {
                    let [first, end] = seen[r].map(|key| key.saturating_sub(start).min(keys));
                    let [first, end] = [first.min(end), end];
                    row[..first].fill(0.0);
                    row[end..keys].fill(0.0);
                    self.weigh(unit, r, start + first, &mut row[first..end], state);
                }
                for (at, part) in self.v.parts(cache, unit.kv_head, start, keys) {
                    self.add_values(&part, at, scores, rows, state.values, room);
                }
            }
        });
    }

    /// Turns the products of row `r` with the keys from `key` on into weights, and what the row has
    /// summed up so far into the scale of its new maximum.
    fn weigh(&self, unit: &Unit, r: usize, key: usize, scores: &mut [f32], state: &mut State<'_>) {
        let simd = self.simd;
        match self.op.softcap {
            None => reduce::scale_by(simd, scores, self.op.scale.0),
            Some(cap) => {
                reduce::scale_by(simd, scores, self.op.scale.0 / cap.0);
                math::unary(simd, unisono_core::op::UnaryOp::Tanh, scores);
                reduce::scale_by(simd, scores, cap.0);
            }
        }
        if let Some(mask) = self.mask {
            let (head, token) = self.place(unit.kv_head, unit.first + r);
            let row = unit.batch * mask.stride(0) + head * mask.stride(1) + token * mask.stride(2);
            // SAFETY: the mask has an element for each of these keys.
            unsafe { add_mask(simd, scores, mask.row(row + key * mask.stride(3))) };
        }
        let max = reduce::max(simd, scores).max(state.max[r]);
        if max == f32::NEG_INFINITY {
            return scores.fill(0.0);
        }
        let sum = math::exp_minus(simd, scores, max);
        if max > state.max[r] {
            let shrink = math::exp::<false>(state.max[r] - max);
            state.sum[r] *= shrink;
            reduce::scale_by(simd, &mut state.values[r * self.v_dim..(r + 1) * self.v_dim], shrink);
            state.max[r] = max;
        }
        state.sum[r] += sum;
    }

    /// Adds the sink to the sum, divides by it and stores the rows of `unit`.
    fn store(&self, unit: &Unit, state: &mut State<'_>) {
        for (r, values) in state.values.chunks_mut(self.v_dim).enumerate() {
            let (head, token) = self.place(unit.kv_head, unit.first + r);
            let (max, sum) = (state.max[r], state.sum[r]);
            let factor = match self.sinks {
                _ if max == f32::NEG_INFINITY => 0.0,
                None => 1.0 / sum,
                Some(sinks) => {
                    let mut sink = [0f32];
                    // SAFETY: there is a sink for each head.
                    unsafe { sinks.row(head * sinks.stride(0)).load(self.simd, &mut sink) };
                    let top = max.max(sink[0]);
                    let shrink = math::exp::<false>(max - top);
                    shrink / (sum * shrink + math::exp::<false>(sink[0] - top))
                }
            };
            reduce::scale_by(self.simd, values, factor);
            let at = unit.batch * self.y.stride(0) + head * self.y.stride(1) + token * self.y.stride(2);
            // SAFETY: the row of `y` has `v_dim` elements, and no other task stores it.
            unsafe { self.y.row(at).store(self.simd, values) };
        }
    }
}

/// `q, k, v [mask] [limits] [sinks] [block_table] [sequences] -> y`
pub(crate) fn attention(launch: &Launch<'_>) {
    let Op::Attention(op) = *launch.op else { return };
    let [q, k, v, ..] = launch.inputs else { return };
    let y = &launch.outputs[0];
    if y.desc.is_empty() {
        return;
    }
    let at = op.inputs();
    let input = |i: Option<usize>| i.and_then(|i| launch.inputs.get(i));
    let table = input(at.block_table);
    let (batches, kv_heads, group, tokens) = (q.size(0), k.size(1), q.size(1) / k.size(1), q.size(2));
    let (head_dim, v_dim) = (q.size(3), v.size(3));
    let kv = table.map_or(k.size(2), |t| t.size(1) * k.size(2));
    let simd = launch.simd;
    let p = Problem {
        op,
        simd,
        q,
        k: Cache::new(k, table),
        v: Cache::new(v, table),
        y,
        mask: input(at.mask),
        limits: input(at.limits),
        sinks: input(at.sinks),
        sequences: input(at.sequences),
        group,
        tokens,
        kv,
        head_dim,
        v_dim,
    };

    let units = p.units(batches, kv_heads);
    let threads = launch.pool.threads();
    let work = group * tokens * batches * kv_heads * kv.min(op.window.map_or(kv, |w| w as usize)) * (head_dim + v_dim);
    let most = kv.div_ceil(2 * KEYS).max(1);
    let splits = if work < SMALL { 1 } else { (2 * threads).div_ceil(units.len()).clamp(1, most) };
    let splits = if threads == 1 || units.len() >= 2 * threads { 1 } else { splits };
    let span = kv.div_ceil(splits).next_multiple_of(KEYS);

    // Of each unit and split: maximum and sum of each row, then its values.
    let part = ROWS.min(group * tokens) * (2 + v_dim);
    let state_of = |part: &mut [f32], rows: usize, f: &mut dyn FnMut(State<'_>)| {
        let (max, part) = part.split_at_mut(rows);
        let (sum, values) = part.split_at_mut(rows);
        f(State { max, sum, values: &mut values[..rows * v_dim] });
    };
    let compute = |task: usize, own: &mut [f32]| {
        let (unit, split) = (&units[task / splits], task % splits);
        state_of(own, unit.rows, &mut |mut state| {
            p.block(unit, [split * span, kv.min((split + 1) * span)], &mut state);
            if splits == 1 {
                p.store(unit, &mut state);
            }
        });
    };
    if splits == 1 {
        let run = |task: usize| with_scratch(part, |own| compute(task, own));
        if work < SMALL {
            return (0..units.len()).for_each(run);
        }
        return launch.pool.run(units.len(), &run);
    }
    with_scratch(units.len() * splits * part, |parts| {
        let shared = Parts(parts.as_mut_ptr());
        launch.pool.run(units.len() * splits, &|task| {
            let shared = &shared;
            // SAFETY: the part of this task's index, inside the block of `units · splits` parts.
            compute(task, unsafe { std::slice::from_raw_parts_mut(shared.0.add(task * part), part) });
        });
        for (i, unit) in units.iter().enumerate() {
            merge(simd, &mut parts[i * splits * part..(i + 1) * splits * part], part, unit.rows, v_dim);
            state_of(&mut parts[i * splits * part..], unit.rows, &mut |mut state| p.store(unit, &mut state));
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
