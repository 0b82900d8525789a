//! `matmul` and `linear` for few rows of `a` and a weight in blocks: each block is read once,
//! unpacked on the stack and multiplied with every row, in f32.

use super::Launch;
use super::matmul::Product;
use super::small::rows_of_a;
use crate::blocks;
use crate::scratch::with_scratch;
use crate::view::split;

/// Elements of the weight that one unit of work reads.
const UNIT: usize = 32 * 1024;

/// `b` is stored by columns (a weight `[n, k]` in blocks, transposed).
pub(crate) fn block_rows(launch: &Launch<'_>) {
    let p = Product::new(launch);
    if p.y.desc.is_empty() {
        return;
    }
    let b_col = Product::matrix_strides(p.b)[1];
    let width = (UNIT / p.k.max(1)).clamp(4, 256).min(p.n);
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
                    for j in 0..if p.k == 0 { 0 } else { cols } {
                        let w = (p.b.dtype(), p.b.at(offsets[1] + (first + j) * b_col).cast_const());
                        for r in (0..p.m).step_by(blocks::ROWS) {
                            let rows = blocks::ROWS.min(p.m - r);
                            // SAFETY: the column of `b` and the rows of `x` have `k` elements.
                            let sums = unsafe { blocks::dots(p.simd, w, (x.wrapping_add(r * ldx), ldx, rows), p.k) };
                            (0..rows).for_each(|i| results[(r + i) * width + j] = sums[i]);
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
