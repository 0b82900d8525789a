//! `matmul` and `linear` for few rows of `a` and a weight in blocks: each block is read once,
//! unpacked on the stack and multiplied with every row, in f32.

use super::Launch;
use super::matmul::Product;
use super::small::rows_of_a;
use crate::blocks;
use crate::scratch::with_scratch;
use crate::simd::prefetch;
use crate::view::split;

/// Elements of the weight that one unit of work reads.
const UNIT: usize = 32 * 1024;

/// Elements of a long row that meet several columns one after the other, so that they stay in the first cache. A whole
/// number of blocks.
const DEPTH: usize = 2048;

/// `b` is stored by columns (a weight `[n, k]` in blocks, transposed).
pub(crate) fn block_rows(launch: &Launch<'_>) {
    let p = Product::new(launch);
    if p.y.desc.is_empty() {
        return;
    }
    let b_col = Product::matrix_strides(p.b)[1];
    let width = (UNIT / p.k.max(1)).clamp(4, 256).min(p.n);
    let across = p.n.div_ceil(width);
    let depth = if p.m == 1 && p.k > 2 * DEPTH { DEPTH } else { p.k.max(1) };
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
                        let some = depth.min(p.k - start);
                        let bytes_of = |n: usize| n / p.b.dtype().block_elements() * p.b.dtype().block_bytes();
                        let at = |j: usize| p.b.at(offsets[1] + (first + j) * b_col + start).cast_const();
                        for j in 0..cols {
                            if depth < p.k {
                                // Pieces of columns lie too far apart for the processor to foresee.
                                let next = if j + 1 < cols { at(j + 1) } else { at(0).wrapping_add(bytes_of(some)) };
                                prefetch(next, bytes_of(some));
                            }
                            for r in (0..p.m).step_by(blocks::ROWS) {
                                let rows = blocks::ROWS.min(p.m - r);
                                let x = (x.wrapping_add(r * ldx + start), ldx, rows);
                                // SAFETY: the column of `b` and the rows of `x` have `some` elements from `start` on,
                                // which is the start of a block.
                                let sums = unsafe { blocks::dots(p.simd, (p.b.dtype(), at(j)), x, some) };
                                (0..rows).for_each(|i| results[(r + i) * width + j] += sums[i]);
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
