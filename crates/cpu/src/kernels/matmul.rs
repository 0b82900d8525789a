//! `matmul` and its composite `linear` for operands of any size, layout and type.
//!
//! The result is split into tiles, one task each. Operands that are not `f32` are converted in
//! panels of a tile, so a large weight is never widened as a whole; bias, activation and residual
//! are applied while a tile is in cache, in `f32`, before the only rounding.

use unisono_core::Op;
use unisono_core::op::Activation;

use super::gemm::{Block, gemm};
use super::{BLOCK, Launch};
use crate::blocks;
use crate::scratch::with_scratch;
use crate::simd::convert::Run;
use crate::simd::{Simd, math, reduce};
use crate::view::{Nest, View};

/// A product with what follows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product<'a> {
    pub(crate) simd: Simd,
    pub(crate) a: &'a View,
    pub(crate) b: &'a View,
    pub(crate) y: &'a View,
    bias: Option<&'a View>,
    residual: Option<&'a View>,
    activation: Activation,
    /// Offsets of `a`, `b`, `residual` and `y` for each matrix of the batch.
    pub(crate) batch: Nest<4>,
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
}

impl<'a> Product<'a> {
    /// From the launch of a `matmul` or a `linear`.
    pub(crate) fn new(launch: &Launch<'a>) -> Product<'a> {
        let (a, b, y) = (&launch.inputs[0], &launch.inputs[1], &launch.outputs[0]);
        let mut rest = launch.inputs[2..].iter();
        let (mut bias, mut residual, mut activation) = (None, None, Activation::None);
        if let Op::Linear(op) = launch.op {
            bias = if op.bias { rest.next() } else { None };
            residual = if op.residual { rest.next() } else { None };
            activation = op.activation;
        }
        let r = y.desc.rank();
        let lead = |v: &View| v.desc.strides.without_last(2);
        let strides = [&*lead(a), &*lead(b), &*lead(residual.unwrap_or(y)), &*lead(y)];
        let batch = Nest::in_order(&y.desc.shape[..r - 2], strides);
        let (m, n, k) = (y.size(r - 2), y.size(r - 1), a.size(r - 1));
        Product { simd: launch.simd, a, b, y, bias, residual, activation, batch, m, n, k }
    }

    /// Strides of an operand's last two dimensions.
    pub(crate) fn matrix_strides(v: &View) -> [usize; 2] {
        let r = v.desc.rank();
        [v.stride(r - 2), v.stride(r - 1)]
    }

    fn is_bare(&self) -> bool {
        self.bias.is_none() && self.residual.is_none() && self.activation == Activation::None
    }

    /// Bias, activation and residual for the products of row `i`, columns from `j` on, then the
    /// store (none where `values` is that part of `y`).
    ///
    /// # Safety
    /// The part of the row lies inside `y`, and this thread alone writes it.
    pub(crate) unsafe fn finish(&self, offsets: [usize; 4], i: usize, j: usize, values: &mut [f32]) {
        let simd = self.simd;
        let place = |v: &View, offset: usize| -> Run {
            let [row, col] = Product::matrix_strides(v);
            v.run(offset + i * row + j * col, col)
        };
        let to = place(self.y, offsets[3]);
        let in_place = to.is_plain() && std::ptr::eq(to.ptr.cast::<f32>(), values.as_ptr());
        if in_place && self.is_bare() {
            return;
        }
        let mut buffer = [0f32; BLOCK];
        for (c, values) in values.chunks_mut(BLOCK).enumerate() {
            let (at, len) = (c * BLOCK, values.len());
            // SAFETY: bias has `n` elements, the residual the shape of `y`.
            unsafe {
                if let Some(bias) = self.bias {
                    let bias = bias.row((j + at) * bias.stride(0));
                    reduce::add_to(simd, values, bias.as_f32(simd, len, &mut buffer));
                }
                if let Some(op) = self.activation.unary() {
                    math::unary(simd, op, values);
                }
                if let Some(residual) = self.residual {
                    let residual = place(residual, offsets[2]).skip(at);
                    reduce::add_to(simd, values, residual.as_f32(simd, len, &mut buffer));
                }
                if !in_place {
                    to.skip(at).store(simd, values);
                }
            }
        }
    }
}

/// Rows `first..first + rows` (whole blocks of a block format) and columns `0..cols` (from `offset` on) of a strided matrix as an
/// `f32` block: in place, or converted into `buffer`.
///
/// # Safety
/// The elements are readable, `buffer` has room for them, and nobody writes them meanwhile.
pub(crate) unsafe fn panel(
    simd: Simd,
    v: &View,
    offset: usize,
    [rows, cols]: [usize; 2],
    [row, col]: [usize; 2],
    buffer: &mut [f32],
) -> Block {
    if v.dtype() == unisono_core::DType::F32 {
        return Block { ptr: v.at(offset).cast(), row, col };
    }
    if v.dtype().is_block() {
        for (c, to) in buffer.chunks_mut(rows).enumerate().take(cols) {
            // SAFETY: the caller's promise; blocks lie along the rows, which start and end with one.
            unsafe { blocks::decode(simd, v.dtype(), v.at(offset + c * col), to) };
        }
        return Block { ptr: buffer.as_mut_ptr(), row: 1, col: rows };
    }
    // Load along the dimension that is contiguous, and keep that layout.
    if row == 1 && col != 1 {
        for (c, to) in buffer.chunks_mut(rows).enumerate().take(cols) {
            // SAFETY: the caller's promise.
            unsafe { v.run(offset + c * col, row).load(simd, to) };
        }
        return Block { ptr: buffer.as_mut_ptr(), row: 1, col: rows };
    }
    for (r, to) in buffer.chunks_mut(cols).enumerate().take(rows) {
        // SAFETY: the caller's promise.
        unsafe { v.run(offset + r * row, col).load(simd, to) };
    }
    Block { ptr: buffer.as_mut_ptr(), row: cols, col: 1 }
}

/// How the result is cut: rows and columns of a tile, and the depth of a panel.
#[derive(Clone, Copy, Debug)]
struct Tiling {
    rows: usize,
    cols: usize,
    depth: usize,
}

fn tiling(p: &Product<'_>, threads: usize) -> Tiling {
    const WORTH_A_THREAD: usize = 256 * 1024;
    let is_f32 = |v: &View| v.dtype() == unisono_core::DType::F32;
    let matrices = p.batch.elements().max(1);
    let work = p.m * p.n * p.k.max(1);
    let wanted = (4 * threads).div_ceil(matrices).min(work / WORTH_A_THREAD).max(1);
    let parts = if threads == 1 { 1 } else { wanted };
    let (mut rows, mut cols) = (p.m, p.n);
    if p.n >= p.m {
        cols = p.n.div_ceil(parts).next_multiple_of(16);
    } else {
        rows = p.m.div_ceil(parts).next_multiple_of(16);
    }
    let depth = if is_f32(p.a) && is_f32(p.b) { p.k } else { 512 };
    if !is_f32(p.y) || depth != p.k {
        rows = rows.min(512);
        cols = cols.min(512);
    }
    Tiling { rows: rows.min(p.m).max(1), cols: cols.min(p.n).max(1), depth: depth.min(p.k).max(1) }
}

/// Any operands, by tiles.
pub(crate) fn product(launch: &Launch<'_>) {
    let p = Product::new(launch);
    if p.y.desc.is_empty() {
        return;
    }
    let tile = tiling(&p, launch.pool.threads());
    let (down, across) = (p.m.div_ceil(tile.rows), p.n.div_ceil(tile.cols));
    let tasks = p.batch.elements() * down * across;
    launch.pool.run(tasks, &|task| {
        let (matrix, i, j) = (task / (down * across), task / across % down * tile.rows, task % across * tile.cols);
        let size = [tile.rows.min(p.m - i), tile.cols.min(p.n - j)];
        p.batch.for_each(matrix..matrix + 1, |offsets| one_tile(&p, offsets, [i, j], size, tile.depth));
    });
}

fn one_tile(p: &Product<'_>, offsets: [usize; 4], [i, j]: [usize; 2], [m, n]: [usize; 2], depth: usize) {
    let f32_like = |v: &View| v.dtype() == unisono_core::DType::F32;
    let [a_row, a_col] = Product::matrix_strides(p.a);
    let [b_row, b_col] = Product::matrix_strides(p.b);
    let [y_row, y_col] = Product::matrix_strides(p.y);
    let direct = f32_like(p.y) && y_col == 1;
    let a_room = if f32_like(p.a) { 0 } else { m * depth };
    let b_room = if f32_like(p.b) { 0 } else { n * depth };
    with_scratch(a_room + b_room + if direct { 0 } else { m * n }, |scratch| {
        let (a_panel, scratch) = scratch.split_at_mut(a_room);
        let (b_panel, result) = scratch.split_at_mut(b_room);
        let y = if direct {
            Block { ptr: p.y.at(offsets[3] + i * y_row + j).cast(), row: y_row, col: 1 }
        } else {
            Block { ptr: result.as_mut_ptr(), row: n, col: 1 }
        };
        for start in (0..p.k).step_by(depth) {
            let k = depth.min(p.k - start);
            // SAFETY: the tile lies inside the operands, and this task alone writes it.
            unsafe {
                let a = panel(p.simd, p.a, offsets[0] + i * a_row + start * a_col, [m, k], [a_row, a_col], a_panel);
                let b = panel(p.simd, p.b, offsets[1] + start * b_row + j * b_col, [k, n], [b_row, b_col], b_panel);
                gemm([m, n, k], a, b, y, start > 0);
            }
        }
        for r in 0..m {
            // SAFETY: row `r` of the tile has `n` elements at `y`, this task's own.
            unsafe {
                let values = std::slice::from_raw_parts_mut(y.ptr.add(r * y.row), n);
                if p.k == 0 {
                    values.fill(0.0);
                }
                p.finish(offsets, i + r, j, values);
            }
        }
    });
}
