//! `matmul` and `linear` for a weight that is stored along k (`[n, k]`, transposed), as those of models
//! are, and more than a few rows: tiles of dot products.
//!
//! Both operands lie along the summed dimension, so nothing has to be packed: a tile keeps the sums of
//! some rows and four columns in registers and walks along k. Libraries for products of any layout
//! repack the weight at every call. A weight that is not `f32` is decoded, four columns at a time, into the first cache.

use std::ops::Range;

use super::Launch;
use super::matmul::Product;
use crate::blocks;
use crate::scratch::with_records;
use crate::simd::dot::{TILE_COLS, tile};
use crate::view::split;

/// Rows of `a` that a unit of work takes: with [`DEPTH`] they stay in the second cache.
const ROWS: usize = 128;
/// Columns of a unit.
const COLS: usize = 64;
/// Steps of k at a time: four columns stay in the first cache. A whole number of blocks.
const DEPTH: usize = 1024;

/// `b` is stored by columns, in any format.
pub(crate) fn tiles(launch: &Launch<'_>) {
    let p = Product::new(launch);
    if p.y.desc.is_empty() {
        return;
    }
    let (rows, cols) = (ROWS.min(p.m), COLS.min(p.n));
    let (down, across) = (p.m.div_ceil(rows), p.n.div_ceil(cols));
    let room = rows * cols + (rows + TILE_COLS) * DEPTH.min(p.k);
    // Units of one weight follow one another: its columns come from memory once.
    split(launch.pool, p.batch.elements() * across * down, rows * cols * p.k, &|units| {
        with_records(room, |scratch: &mut [f32]| {
            for unit in units {
                let (i, j) = (unit % down * rows, unit / down % across * cols);
                let area = (i..p.m.min(i + rows), j..p.n.min(j + cols));
                let matrix = unit / down / across;
                p.batch.for_each(matrix..matrix + 1, |offsets| one_unit(&p, offsets, &area, scratch));
            }
        });
    });
}

fn one_unit(p: &Product<'_>, offsets: [usize; 4], (rows, cols): &(Range<usize>, Range<usize>), scratch: &mut [f32]) {
    let (m, n) = (rows.len(), cols.len());
    let [a_row, a_col] = Product::matrix_strides(p.a);
    let [_, b_col] = Product::matrix_strides(p.b);
    // Decoded columns begin with a line of the cache, as the scratch does: vectors across two lines cost twice.
    let (w_room, scratch) = scratch.split_at_mut(TILE_COLS * DEPTH.min(p.k));
    let (x_room, sums) = scratch.split_at_mut(m * DEPTH.min(p.k));
    let sums = &mut sums[..m * n];
    sums.fill(0.0);
    for start in (0..p.k).step_by(DEPTH) {
        let depth = DEPTH.min(p.k - start);
        let a_at = |r: usize| offsets[0] + (rows.start + r) * a_row + start * a_col;
        let first = p.a.run(a_at(0), if p.k == 1 { 1 } else { a_col });
        let (x, ldx) = if first.is_plain() {
            (first.ptr.cast::<f32>().cast_const(), a_row)
        } else {
            for (r, to) in x_room.chunks_mut(depth).enumerate().take(m) {
                // SAFETY: row `r` has `depth` elements from `start` on.
                unsafe { p.a.run(a_at(r), a_col).load(p.simd, to) };
            }
            (x_room.as_ptr(), depth)
        };
        for j in (0..n).step_by(TILE_COLS) {
            let count = TILE_COLS.min(n - j);
            // SAFETY: each column of `b` has `depth` elements from `start` on, which is the start of a
            // block; the sums lie inside `sums`.
            unsafe {
                let first = offsets[1] + (cols.start + j) * b_col + start;
                let w = columns(p, first, (b_col, count), depth, w_room);
                tile(p.simd, (w, count), (x, ldx, m), depth, (&mut sums[j..], n));
            }
        }
    }
    for (r, values) in sums.chunks_mut(n).enumerate() {
        // SAFETY: only this unit writes this part of the row.
        unsafe { p.finish(offsets, rows.start + r, cols.start, values) };
    }
}

/// `depth` elements of each of `count` columns of `b`, `b_col` apart, from element `first` on: in place,
/// or decoded into `room`.
///
/// # Safety
/// They are readable, and blocks begin there.
unsafe fn columns(
    p: &Product<'_>,
    first: usize,
    (b_col, count): (usize, usize),
    depth: usize,
    room: &mut [f32],
) -> [*const f32; TILE_COLS] {
    let mut w = [std::ptr::null(); TILE_COLS];
    for (c, (w, to)) in w.iter_mut().zip(room.chunks_mut(depth)).enumerate().take(count) {
        let from = p.b.run(first + c * b_col, 1);
        if from.is_plain() {
            *w = from.ptr.cast::<f32>().cast_const();
            continue;
        }
        // SAFETY: the caller's promise.
        unsafe {
            match from.dtype.is_block() {
                true => blocks::decode(p.simd, from.dtype, from.ptr, to),
                false => from.load(p.simd, to),
            }
        }
        *w = to.as_ptr();
    }
    w
}
