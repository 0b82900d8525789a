//! `matmul_id`: the rows of `a` are grouped by expert, so that each expert's matrix is read once for
//! all rows that chose it, and a matrix that nobody chose is not read at all.

use unisono_core::DType;

use super::gemm::{Block, gemm};
use super::matmul::panel;
use super::{Launch, int8, movement};
use crate::blocks;
use crate::blocks::int8::{Activations, PART};
use crate::scratch::{with_records, with_scratch};
use crate::simd::Simd;
use crate::simd::dot::{self, GROUP};
use crate::view::View;

/// Rows of one expert that a task takes together, and its columns.
const ROWS: usize = 128;
const COLS: usize = 128;
/// Elements of k that a task of [`gemm_experts`] converts at a time: a whole number of blocks.
const DEPTH: usize = 512;

/// The rows `(token, slot)` of each expert.
struct Grouping {
    /// Row numbers `token·used + slot`, by expert.
    rows: Vec<usize>,
    /// Pieces of at most [`ROWS`] rows: the expert, and its range in `rows`.
    pieces: Vec<(usize, std::ops::Range<usize>)>,
    /// Rows whose id names no expert.
    strays: Vec<usize>,
}

impl Grouping {
    fn new(ids: &View, experts: usize) -> Grouping {
        let (tokens, used) = (ids.size(0), ids.size(1));
        let mut of_expert = vec![Vec::new(); experts];
        let mut strays = Vec::new();
        for row in 0..tokens * used {
            // SAFETY: the row is an index of `ids`.
            let id = unsafe { ids.index_at(row / used * ids.stride(0) + row % used * ids.stride(1)) };
            match id.and_then(|id| of_expert.get_mut(id)) {
                Some(rows) => rows.push(row),
                None => strays.push(row),
            }
        }
        let (mut rows, mut pieces) = (Vec::with_capacity(tokens * used), Vec::new());
        for (expert, list) in of_expert.into_iter().enumerate() {
            for piece in list.chunks(ROWS) {
                pieces.push((expert, rows.len()..rows.len() + piece.len()));
                rows.extend_from_slice(piece);
            }
        }
        Grouping { rows, pieces, strays }
    }
}

/// One task: some rows of one expert, some columns of the result.
struct Task<'a> {
    simd: Simd,
    a: &'a View,
    b: View,
    rows: &'a [usize],
    used: usize,
    k: usize,
    first: usize,
    cols: usize,
}

impl Task<'_> {
    fn position(&self, v: &View, row: usize) -> usize {
        row / self.used * v.stride(0) + row % self.used * v.stride(1)
    }

    /// Elements `start..start + to.len() / rows` of each row of `a`, one row after the other.
    fn load_rows(&self, start: usize, length: usize, to: &mut [f32]) {
        for (&row, to) in self.rows.iter().zip(to.chunks_exact_mut(length.max(1))) {
            let run = self.a.run(self.position(self.a, row) + start * self.a.stride(2), self.a.stride(2));
            // SAFETY: the row has `k` elements.
            unsafe { run.load(self.simd, to) };
        }
    }
}

/// `results[r][j] = a[r]·b[j]` by dot products along the columns of `b`.
fn by_dots(task: &Task<'_>, x: &mut [f32], results: &mut [f32]) {
    task.load_rows(0, task.k, x);
    let (k, col) = (task.k, task.b.stride(2));
    for j in 0..task.cols {
        let offset = (task.first + j) * col;
        for r in (0..task.rows.len()).step_by(GROUP) {
            let rows = GROUP.min(task.rows.len() - r);
            let x = (x[r * k..].as_ptr(), k, rows);
            // SAFETY: the column of `b` and the rows of `x` have `k` elements.
            let sums = unsafe {
                if task.b.dtype().is_block() {
                    blocks::dots(task.simd, (task.b.dtype(), task.b.at(offset).cast_const()), x, k)
                } else {
                    dot::dots(task.simd, (task.b.run(offset, 1), col, 1), x, k)[0]
                }
            };
            (0..rows).for_each(|i| results[(r + i) * task.cols + j] = sums[i]);
        }
    }
}

/// The same by the dense product of converted panels.
fn by_gemm(task: &Task<'_>, scratch: &mut [f32], results: &mut [f32]) {
    let m = task.rows.len();
    let (x, panel_room) = scratch.split_at_mut(m * DEPTH);
    let [row, col] = [task.b.stride(1), task.b.stride(2)];
    for start in (0..task.k).step_by(DEPTH) {
        let depth = DEPTH.min(task.k - start);
        let x = &mut x[..m * depth];
        task.load_rows(start, depth, x);
        let a = Block { ptr: x.as_mut_ptr(), row: depth, col: 1 };
        let y = Block { ptr: results.as_mut_ptr(), row: task.cols, col: 1 };
        // SAFETY: the panel lies inside `b`, the results are this task's own.
        unsafe {
            let offset = start * row + task.first * col;
            let b = panel(task.simd, &task.b, offset, [depth, task.cols], [row, col], panel_room);
            gemm([m, task.cols, depth], a, b, y, start > 0);
        }
    }
}

/// The same in the mode `int8-activations`, for a weight in blocks.
fn by_int8(task: &Task<'_>, x: &mut [f32], results: &mut [f32]) {
    let (dtype, m, parts) = (task.b.dtype(), task.rows.len(), task.k.div_ceil(PART));
    let (bytes, col) = (task.k / dtype.block_elements() * dtype.block_bytes(), task.b.stride(2));
    with_records(m * parts, |rows: &mut [Activations]| {
        for (&row, to) in task.rows.iter().zip(rows.chunks_exact_mut(parts)) {
            let run = task.a.run(task.position(task.a, row), task.a.stride(2));
            // SAFETY: the row has `k` elements.
            let x = unsafe { run.as_f32(task.simd, task.k, x) };
            blocks::int8::quantise(task.simd, x, dtype.block_elements(), blocks::int8::kind(dtype).zero().into(), to);
        }
        // SAFETY: each column of `b` has `k` elements, which nobody writes meanwhile.
        let column = |c: usize| unsafe { std::slice::from_raw_parts(task.b.at((task.first + c) * col), bytes) };
        let rows = (rows.as_ptr(), m);
        // SAFETY: all rows were rounded.
        unsafe { int8::products(task.simd, dtype, (column, task.cols), rows, parts, (results, task.cols)) };
    });
}

/// Products of bytes, where the device has the mode and the weight is in blocks.
pub(crate) fn int8_experts(launch: &Launch<'_>) {
    run(launch, |task| task.k, by_int8);
}

/// Dot products along k, which is contiguous in `b`.
pub(crate) fn dot_experts(launch: &Launch<'_>) {
    run(launch, |task| task.rows.len() * task.k, by_dots);
}

/// Dense products, for experts with many rows and for any layout.
pub(crate) fn gemm_experts(launch: &Launch<'_>) {
    fn room(task: &Task<'_>) -> usize {
        let converted = task.b.dtype() != DType::F32;
        task.rows.len() * DEPTH + if converted { DEPTH * task.cols } else { 0 }
    }
    run(launch, room, by_gemm);
}

fn run(launch: &Launch<'_>, room: fn(&Task<'_>) -> usize, product: fn(&Task<'_>, &mut [f32], &mut [f32])) {
    let (a, b, ids, y) = (&launch.inputs[0], &launch.inputs[1], &launch.inputs[2], &launch.outputs[0]);
    let (used, n, k) = (y.size(1), y.size(2), a.size(2));
    if y.desc.is_empty() {
        return;
    }
    if k == 0 {
        return movement::clear(launch.pool, y);
    }
    let grouping = Grouping::new(ids, b.size(0));
    let across = n.div_ceil(COLS);
    launch.pool.run(grouping.pieces.len() * across, &|number| {
        let (expert, range) = &grouping.pieces[number / across];
        let first = number % across * COLS;
        let b = View { ptr: b.at(expert * b.stride(0)), ..*b };
        let rows = &grouping.rows[range.clone()];
        let task = Task { simd: launch.simd, a, b, rows, used, k, first, cols: COLS.min(n - first) };
        let room = room(&task);
        with_scratch(room + rows.len() * task.cols, |scratch| {
            let (scratch, results) = scratch.split_at_mut(room);
            product(&task, scratch, results);
            for (&row, values) in rows.iter().zip(results.chunks_exact(task.cols)) {
                let to = y.run(task.position(y, row) + first * y.stride(2), y.stride(2));
                // SAFETY: only this task writes these columns of the row.
                unsafe { to.store(launch.simd, values) };
            }
        });
    });
    for row in grouping.strays {
        let to = y.run(row / used * y.stride(0) + row % used * y.stride(1), y.stride(2));
        // SAFETY: the row has `n` elements, and no task writes it.
        unsafe { movement::clear_run(to, n) };
    }
}
