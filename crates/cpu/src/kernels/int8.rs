//! `matmul` and `linear` for a weight in blocks where the device computes in the mode
//! `int8-activations`: the rows of `a` become 8-bit integers once, then tasks unpack some columns of the weight at
//! a time and multiply bytes. What such a task does serves `matmul_id` as well.

use std::slice::{from_raw_parts, from_raw_parts_mut};

use unisono_core::DType;

use super::Launch;
use super::matmul::Product;
use crate::blocks::int8::{self, Activations, COLS, Level, PART, ROWS, Weights};
use crate::scratch::{with_records, with_scratch};
use crate::simd::Simd;
use crate::view::split;

/// Rows of `a` that are rounded before columns are unpacked for them.
const MANY_ROWS: usize = 256;
/// Rows beyond which they, and not unpacked columns, are what comes from far.
const MORE_ROWS: usize = 16;
/// Parts at a time: those of some columns and of some rows stay in the first cache.
const DEPTH: usize = 16;
/// Columns of a unit of work, at least: whole lines of the cache in the result.
const FEW_COLS: usize = 16;
/// Elements of the weight that one unit of work reads.
const UNIT: usize = 64 * 1024;

/// Where several tasks write rows side by side.
#[derive(Clone, Copy)]
struct Rows(*mut Activations);
// SAFETY: every task writes rows of its own, and nobody reads before all are done.
unsafe impl Sync for Rows {}

impl Rows {
    /// The first part of row `r`.
    fn at(&self, r: usize, parts: usize) -> *mut Activations {
        self.0.wrapping_add(r * parts)
    }
}

/// `b` is stored by columns (a weight `[n, k]` in blocks, transposed).
pub(crate) fn int8(launch: &Launch<'_>) {
    let p = Product::new(launch);
    if p.y.desc.is_empty() {
        return;
    }
    let parts = p.k.div_ceil(PART);
    with_records(p.m.min(MANY_ROWS) * parts, |rows: &mut [Activations]| {
        let rows = Rows(rows.as_mut_ptr());
        for matrix in 0..p.batch.elements() {
            for first in (0..p.m).step_by(MANY_ROWS) {
                p.batch.for_each(matrix..matrix + 1, |offsets| {
                    some_rows(launch, &p, offsets, (first, MANY_ROWS.min(p.m - first)), rows);
                });
            }
        }
    });
}

/// All columns of rows `first..first + m`.
fn some_rows(launch: &Launch<'_>, p: &Product<'_>, offsets: [usize; 4], (first, m): (usize, usize), rows: Rows) {
    let (parts, dtype) = (p.k.div_ceil(PART), p.b.dtype());
    let zero = int8::kind(dtype).zero();
    let [a_row, a_col] = Product::matrix_strides(p.a);
    split(launch.pool, m, p.k, &|some| {
        with_scratch(p.k, |buffer| {
            for r in some {
                let x = p.a.run(offsets[0] + (first + r) * a_row, a_col);
                // SAFETY: the row has `k` elements; this task alone writes its parts.
                unsafe {
                    let to = from_raw_parts_mut(rows.at(r, parts), parts);
                    let x = x.as_f32(p.simd, p.k, buffer);
                    int8::quantise(p.simd, x, dtype.block_elements(), zero.into(), to);
                }
            }
        });
    });
    let b_col = Product::matrix_strides(p.b)[1];
    let bytes = p.k / dtype.block_elements() * dtype.block_bytes();
    let width = (UNIT / p.k.max(1)).next_multiple_of(FEW_COLS).clamp(FEW_COLS, 256).min(p.n);
    split(launch.pool, p.n.div_ceil(width), width * p.k * m.div_ceil(2), &|units| {
        with_scratch(m * width, |results| {
            for unit in units {
                let j = unit * width;
                let cols = width.min(p.n - j);
                // SAFETY: each column has `k` elements, which nobody writes meanwhile.
                let column = |c: usize| unsafe { from_raw_parts(p.b.at(offsets[1] + (j + c) * b_col), bytes) };
                // SAFETY: all rows were rounded.
                unsafe { products(p.simd, dtype, (column, cols), (rows.at(0, parts), m), parts, (results, width)) };
                for (r, results) in results.chunks_exact_mut(width).enumerate() {
                    // SAFETY: only this unit writes these columns.
                    unsafe { p.finish(offsets, first + r, j, &mut results[..cols]) };
                }
            }
        });
    });
}

/// The products of `cols` columns of a weight of type `dtype`, given by their blocks, with `m` rows of `parts` parts
/// each, into `results`, whose rows are `width` long.
///
/// # Safety
/// The rows are there, and were rounded for this type.
pub(super) unsafe fn products<'a>(
    simd: Simd,
    dtype: DType,
    (column, cols): (impl Fn(usize) -> &'a [u8], usize),
    (rows, m): (*const Activations, usize),
    parts: usize,
    (results, width): (&mut [f32], usize),
) {
    let (kind, level) = (int8::kind(dtype), Level::of(simd));
    results.fill(0.0);
    let mut add = |r: usize, c: usize, sums: &[f32]| {
        sums.iter().enumerate().for_each(|(i, &sum)| results[(r + i) * width + c] += sum);
    };
    if m <= ROWS && int8::reads_blocks(level, dtype) {
        for c in 0..cols {
            // SAFETY: the caller's promise.
            let sums = unsafe { int8::dots_of_blocks(level, dtype, column(c), (rows, m), parts) };
            add(0, c, &sums[..m]);
        }
        return;
    }
    // Many rows come from a cache further away, so they meet several columns each time; few columns stay nearer.
    let most = if m > MORE_ROWS { FEW_COLS } else { COLS };
    with_records(most * parts, |w: &mut [Weights]| {
        for first in (0..cols).step_by(most) {
            let taken = most.min(cols - first);
            for (i, to) in w.chunks_exact_mut(parts.max(1)).enumerate().take(taken) {
                int8::unpack((simd, level), dtype, column(first + i), to);
            }
            for r in (0..m).step_by(ROWS) {
                let x = (rows.wrapping_add(r * parts), ROWS.min(m - r));
                for from in (0..parts).step_by(DEPTH) {
                    let some = from..parts.min(from + DEPTH);
                    for c in (0..taken).step_by(COLS) {
                        let w = (w[c * parts..].as_ptr(), COLS.min(taken - c));
                        // SAFETY: the columns were unpacked; the rows are the caller's promise.
                        let sums = unsafe { int8::dots(level, kind, w, x, (parts, some.clone())) };
                        sums.iter().enumerate().take(w.1).for_each(|(i, sums)| add(r, first + c + i, &sums[..x.1]));
                    }
                }
            }
        }
    });
}
