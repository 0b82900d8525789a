//! Data movement: copies and casts of any layout, and rows gathered or scattered by index.

use unisono_core::Op;

use super::{BLOCK, Launch, cast};
use crate::pool::Pool;
use crate::simd::Simd;
use crate::simd::convert::Run;
use crate::view::{Nest, View, for_runs, split};

/// `y = x` with cast.
pub(crate) fn copy(launch: &Launch<'_>) {
    copy_view(launch.pool, launch.simd, &launch.inputs[0], &launch.outputs[0]);
}

/// `y = x` of the same dtype where both are contiguous: one block of bytes.
pub(crate) fn copy_bytes(launch: &Launch<'_>) {
    const PIECE: usize = 64 * 1024;
    let (x, y) = (&launch.inputs[0], &launch.outputs[0]);
    let bytes = y.desc.span_bytes() as usize;
    split(launch.pool, bytes.div_ceil(PIECE), PIECE / 4, &|pieces| {
        let (start, end) = (pieces.start * PIECE, bytes.min(pieces.end * PIECE));
        // SAFETY: both operands are contiguous and have `bytes` bytes; pieces are disjoint.
        unsafe { std::ptr::copy_nonoverlapping(x.ptr.add(start), y.ptr.add(start), end - start) };
    });
}

/// Joins the inputs: each is copied to its part of `y`.
pub(crate) fn concat(launch: &Launch<'_>) {
    let Op::Concat(concat) = launch.op else { return };
    let y = &launch.outputs[0];
    let mut at = 0;
    for x in launch.inputs {
        let mut part = View { ptr: y.at(at * y.stride(concat.axis)), ..*y };
        part.desc.shape = x.desc.shape;
        copy_view(launch.pool, launch.simd, x, &part);
        at += x.size(concat.axis);
    }
}

pub(crate) fn copy_view(pool: &Pool, simd: Simd, x: &View, y: &View) {
    let nest = Nest::new(&y.desc.shape, [&x.desc.strides, &y.desc.strides]);
    let same = x.dtype() == y.dtype();
    if let Some([(rows, [x_row, y_row]), (cols, [x_col, 1])]) = nest.inner_pair()
        && same
        && x_row == 1
        && x_col != 1
    {
        let outer = nest.outer(2);
        let bands = rows.div_ceil(BAND);
        return split(pool, outer.elements() * bands, BAND * cols, &|units| {
            for unit in units {
                let first = unit % bands * BAND;
                let size = [BAND.min(rows - first), cols];
                outer.for_each(unit / bands..unit / bands + 1, |[xo, yo]| {
                    let (from, to) = (x.at(xo + first), y.at(yo + first * y_row));
                    // SAFETY: the band of rows lies inside both operands.
                    unsafe {
                        match x.dtype().block_bytes() {
                            8 => turn_band::<u64>(from, x_col, to, y_row, size),
                            4 => turn_band::<u32>(from, x_col, to, y_row, size),
                            2 => turn_band::<u16>(from, x_col, to, y_row, size),
                            _ => turn_band::<u8>(from, x_col, to, y_row, size),
                        }
                    }
                });
            }
        });
    }
    for_runs(pool, &nest, &|[xo, yo], n, [xs, ys]| {
        let (from, to) = (x.run(xo, xs), y.run(yo, ys));
        // SAFETY: the run lies inside both operands, which do not overlap.
        unsafe { if same { move_run(from, to, n) } else { cast_run(simd, from, to, n) } };
    });
}

/// Rows and columns of a tile of a transposition: a cache line of `f32`.
const TILE: usize = 16;
/// Rows that a task turns together: neighbouring cache lines of each column.
const BAND: usize = 64;

/// `y[r][c] = x[c][r]` by tiles that go through a small buffer, so that each side is read or
/// written a whole cache line at a time.
///
/// # Safety
/// The rows of `y` (`y_row` apart) are writable, the columns of `x` (`x_col` apart) readable. `T`
/// is as large as an element.
unsafe fn turn_band<T: Copy + Default>(x: *mut u8, x_col: usize, y: *mut u8, y_row: usize, [rows, cols]: [usize; 2]) {
    let (x, y) = (x.cast::<T>(), y.cast::<T>());
    let mut tile = [[T::default(); TILE]; TILE];
    for first in (0..cols).step_by(TILE) {
        let width = TILE.min(cols - first);
        for top in (0..rows).step_by(TILE) {
            let height = TILE.min(rows - top);
            // SAFETY: every access lies inside the band.
            unsafe {
                for c in 0..width {
                    let column = std::slice::from_raw_parts(x.add((first + c) * x_col + top), height);
                    column.iter().zip(&mut tile).for_each(|(&v, row)| row[c] = v);
                }
                for (r, row) in tile.iter().enumerate().take(height) {
                    std::ptr::copy_nonoverlapping(row.as_ptr(), y.add((top + r) * y_row + first), width);
                }
            }
        }
    }
}

/// Copies bits; both runs have the same dtype.
///
/// # Safety
/// `n` elements of `x` are readable and `n` of `y` writable, and they do not overlap.
unsafe fn move_run(x: Run, y: Run, n: usize) {
    let size = x.dtype.block_bytes();
    // SAFETY: the caller's promise; elements are aligned to their size.
    unsafe {
        match (x.stride, y.stride, size) {
            (1, 1, _) => std::ptr::copy_nonoverlapping(x.ptr, y.ptr, n * size),
            (_, _, 8) => move_strided::<u64>(x, y, n),
            (_, _, 4) => move_strided::<u32>(x, y, n),
            (_, _, 2) => move_strided::<u16>(x, y, n),
            _ => move_strided::<u8>(x, y, n),
        }
    }
}

unsafe fn move_strided<T>(x: Run, y: Run, n: usize) {
    for i in 0..n {
        // SAFETY: as in `move_run`, with `T` as large as an element.
        unsafe { y.ptr.cast::<T>().add(i * y.stride).write(x.ptr.cast::<T>().add(i * x.stride).read()) };
    }
}

/// Converts between types.
///
/// # Safety
/// As [`move_run`].
unsafe fn cast_run(simd: Simd, x: Run, y: Run, n: usize) {
    if !x.dtype.is_float() || !y.dtype.is_float() {
        // SAFETY: the caller's promise.
        return unsafe { cast::cast_run(simd, x, y, n) };
    }
    let mut buffer = [0f32; BLOCK];
    for start in (0..n).step_by(BLOCK) {
        let len = BLOCK.min(n - start);
        // SAFETY: the block lies below `n`.
        unsafe {
            let values = x.skip(start).as_f32(simd, len, &mut buffer);
            y.skip(start).store(simd, values);
        }
    }
}

/// Loops over the elements of one row of `x` and one of `y`, whose leading dimensions are
/// `x_lead` and `y_lead`.
fn row_nest(x: &View, x_lead: usize, y: &View, y_lead: usize) -> Nest<2> {
    Nest::new(&x.desc.shape[x_lead..], [&x.desc.strides[x_lead..], &y.desc.strides[y_lead..]])
}

/// Copies one row; zeros where there is no source.
fn put_row(simd: Simd, nest: &Nest<2>, x: Option<&View>, y: &View) {
    let (n, [xs, ys]) = nest.inner();
    let outer = nest.outer(1);
    outer.for_each(0..outer.elements(), |[xo, yo]| {
        if n == 0 {
            return;
        }
        let to = y.run(yo, ys);
        // SAFETY: the run lies inside the row of `y`, and of `x` where there is one.
        unsafe {
            match x {
                None => clear_run(to, n),
                Some(x) if x.dtype() == y.dtype() => move_run(x.run(xo, xs), to, n),
                Some(x) => cast_run(simd, x.run(xo, xs), to, n),
            }
        }
    });
}

/// Zeros everywhere.
pub(crate) fn clear(pool: &Pool, y: &View) {
    let nest = Nest::new(&y.desc.shape, [&y.desc.strides]);
    // SAFETY: the run lies inside `y`.
    for_runs(pool, &nest, &|[offset], n, [stride]| unsafe { clear_run(y.run(offset, stride), n) });
}

/// # Safety
/// `n` elements of `y` are writable.
pub(crate) unsafe fn clear_run(y: Run, n: usize) {
    let size = y.dtype.block_bytes();
    for i in 0..n {
        // SAFETY: element `i` is writable; zero is all bits clear for every dtype.
        unsafe { y.ptr.add(i * y.stride * size).write_bytes(0, size) };
    }
}

/// `y[i] = table[indices[i]]`
pub(crate) fn gather_rows(launch: &Launch<'_>) {
    let (table, indices, y) = (&launch.inputs[0], &launch.inputs[1], &launch.outputs[0]);
    let lead = indices.desc.rank();
    let row = row_nest(table, 1, y, lead);
    if y.desc.is_empty() {
        return;
    }
    let nest = Nest::in_order(&indices.desc.shape, [&indices.desc.strides, &y.desc.strides[..lead]]);
    split(launch.pool, nest.elements(), row.elements(), &|rows| {
        nest.for_each(rows, |[io, yo]| {
            // SAFETY: `io` addresses an element of `indices`.
            let index = unsafe { indices.index_at(io) }.filter(|&i| i < table.size(0));
            let source = index.map(|i| View { ptr: table.at(i * table.stride(0)), ..*table });
            put_row(launch.simd, &row, source.as_ref(), &View { ptr: y.at(yo), ..*y });
        });
    });
}

/// `dst[indices[i]] = src[i]`
pub(crate) fn scatter_rows(launch: &Launch<'_>) {
    let (src, indices, dst) = (&launch.inputs[0], &launch.inputs[1], &launch.outputs[0]);
    if src.desc.is_empty() {
        return;
    }
    let row = row_nest(src, 1, dst, 1);
    // On one thread: indices that are not distinct, against the contract, must not be a data race.
    for i in 0..src.size(0) {
        // SAFETY: `i` is an index of `indices`, which has one element for each row of `src`.
        let index = unsafe { indices.index_at(i * indices.stride(0)) };
        if let Some(index) = index.filter(|&index| index < dst.size(0)) {
            let source = View { ptr: src.at(i * src.stride(0)), ..*src };
            put_row(launch.simd, &row, Some(&source), &View { ptr: dst.at(index * dst.stride(0)), ..*dst });
        }
    }
}

/// Whether both operands are contiguous and of one dtype.
pub(crate) fn is_block_copy(x: &unisono_core::TensorDesc, y: &unisono_core::TensorDesc) -> bool {
    x.dtype == y.dtype && x.is_contiguous() && y.is_contiguous()
}
