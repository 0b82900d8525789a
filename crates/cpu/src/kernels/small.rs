//! `matmul` and `linear` for few rows of `a`, as in a decode step: the other operand is read once,
//! in place, and the time is that of memory.

use super::Launch;
use super::matmul::Product;
use crate::scratch::with_scratch;
use crate::simd::dot::{self, GROUP};
use crate::view::split;

/// Rows of `a` that stay in the first cache whole.
const FEW: usize = 4;
/// Elements of the large operand that one unit of work reads.
const UNIT: usize = 16 * 1024;

/// `b` is stored by columns (a weight `[n, k]`, transposed): dot products along its columns.
pub(crate) fn dot_rows(launch: &Launch<'_>) {
    let p = Product::new(launch);
    if p.y.desc.is_empty() {
        return;
    }
    let b_col = Product::matrix_strides(p.b)[1];
    // Several rows of `a` share the first cache with the part of `b` they meet: cut the depth.
    let depth = if p.m <= FEW { p.k } else { 512 }.clamp(1, p.k.max(1));
    let least = if p.m <= FEW { 4 } else { 16 };
    let width = (UNIT / p.k.max(1)).clamp(least, 256).min(p.n);
    let across = p.n.div_ceil(width);
    split(launch.pool, p.batch.elements() * across, width * p.k * p.m.div_ceil(2), &|units| {
        with_scratch(p.m * (p.k + width), |scratch| {
            let (a, results) = scratch.split_at_mut(p.m * p.k);
            for unit in units {
                let first = unit % across * width;
                let cols = width.min(p.n - first);
                p.batch.for_each(unit / across..unit / across + 1, |offsets| {
                    let (x, ldx) = rows_of_a(&p, offsets[0], a);
                    results.fill(0.0);
                    for start in (0..p.k).step_by(depth) {
                        for j in (0..cols).step_by(2) {
                            let w = p.b.run(offsets[1] + (first + j) * b_col + start, 1);
                            for r in (0..p.m).step_by(GROUP) {
                                let rows = GROUP.min(p.m - r);
                                let x = (x.wrapping_add(r * ldx + start), ldx, rows);
                                // SAFETY: the columns of `b` and the rows of `x` have `k` elements.
                                let sums = unsafe {
                                    dot::dots(p.simd, (w, b_col, 2.min(cols - j)), x, depth.min(p.k - start))
                                };
                                for (j, sums) in (j..cols).zip(&sums) {
                                    (0..rows).for_each(|i| results[(r + i) * width + j] += sums[i]);
                                }
                            }
                        }
                    }
                    for r in 0..p.m {
                        // SAFETY: only this unit writes these columns.
                        unsafe { p.finish(offsets, r, first, &mut results[r * width..r * width + cols]) };
                    }
                });
            }
        });
    });
}

/// `b` is stored by rows: multiples of its rows are added up.
pub(crate) fn add_rows(launch: &Launch<'_>) {
    const DEPTH: usize = 64;
    let p = Product::new(launch);
    if p.y.desc.is_empty() {
        return;
    }
    let b_row = Product::matrix_strides(p.b)[0];
    let width = p.n.div_ceil(2 * launch.pool.threads()).next_multiple_of(64).clamp(64, 2048).min(p.n);
    let across = p.n.div_ceil(width);
    split(launch.pool, p.batch.elements() * across, width * p.k * p.m.div_ceil(2), &|units| {
        with_scratch(p.m * (p.k + width), |scratch| {
            let (a, results) = scratch.split_at_mut(p.m * p.k);
            for unit in units {
                let first = unit % across * width;
                let cols = width.min(p.n - first);
                p.batch.for_each(unit / across..unit / across + 1, |offsets| {
                    let (x, ldx) = rows_of_a(&p, offsets[0], a);
                    results.fill(0.0);
                    for start in (0..p.k).step_by(DEPTH) {
                        let depth = DEPTH.min(p.k - start);
                        let v = p.b.run(offsets[1] + start * b_row + first, 1);
                        for r in 0..p.m {
                            // SAFETY: row `r` of `x` has `k` elements; the rows of `b` reach past
                            // column `first + cols`.
                            unsafe {
                                let x = std::slice::from_raw_parts(x.add(r * ldx + start), depth);
                                dot::add_rows(p.simd, x, v, b_row, &mut results[r * width..r * width + cols]);
                            }
                        }
                    }
                    for r in 0..p.m {
                        // SAFETY: only this unit writes these columns.
                        unsafe { p.finish(offsets, r, first, &mut results[r * width..r * width + cols]) };
                    }
                });
            }
        });
    });
}

/// The rows of `a` as contiguous `f32`, in place where they are stored so, and their distance.
pub(super) fn rows_of_a(p: &Product<'_>, offset: usize, buffer: &mut [f32]) -> (*const f32, usize) {
    let [row, col] = Product::matrix_strides(p.a);
    let first = p.a.run(offset, if p.k == 1 { 1 } else { col });
    if first.is_plain() {
        return (first.ptr.cast(), row);
    }
    for (r, to) in buffer.chunks_mut(p.k.max(1)).enumerate().take(p.m) {
        // SAFETY: row `r` of `a` has `k` elements.
        unsafe { p.a.run(offset + r * row, col).load(p.simd, to) };
    }
    (buffer.as_ptr(), p.k)
}
