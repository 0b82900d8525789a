//! Convolution: windows as columns, and products of weights with panels of them.
//!
//! The direct kernel never holds all columns: a task gathers the windows of some hundred pixels as
//! `f32`, multiplies them with the weights of their group and adds the bias before the only
//! rounding.

use unisono_core::op::{Conv2d, Im2Col};
use unisono_core::{DType, Op};

use super::Launch;
use super::gemm::{Block, gemm};
use crate::scratch::with_scratch;
use crate::simd::Simd;
use crate::view::{View, split};

/// A view of rank 4: sequences become images of height 1.
fn image(v: &View) -> View {
    if v.desc.rank() == 4 {
        return *v;
    }
    View { ptr: v.ptr, desc: v.desc.with_axis(2, 1).unwrap_or(v.desc) }
}

/// How windows lie in an image.
#[derive(Clone, Copy, Debug)]
struct Windows {
    op: Im2Col,
    size: [usize; 2],
    across: usize,
}

impl Windows {
    /// The row or column of the image that window `o` sees at place `k` of its kernel.
    fn place(&self, d: usize, o: usize, k: usize) -> Option<usize> {
        let at = o * self.op.stride[d] + k * self.op.dilation[d];
        at.checked_sub(self.op.padding[d]).filter(|&i| i < self.size[d])
    }

    /// The windows of one row, `first..last`, that lie inside the image at column `k` of the kernel.
    fn inside(&self, k: usize, first: usize, last: usize) -> std::ops::Range<usize> {
        let (stride, padding) = (self.op.stride[1], self.op.padding[1]);
        let shift = k * self.op.dilation[1];
        let start = padding.saturating_sub(shift).div_ceil(stride).max(first);
        let end = (self.size[1] + padding).saturating_sub(shift).div_ceil(stride).min(last);
        start.min(end)..end
    }

    /// Calls `f(row, pieces)` for the rows of windows that pixels `first..last` fall into: the row, its
    /// windows, and the number of the first of them counted from `first`.
    fn rows(&self, first: usize, last: usize, mut f: impl FnMut(usize, std::ops::Range<usize>, usize)) {
        let mut at = first;
        while at < last {
            let (row, column) = (at / self.across, at % self.across);
            let end = self.across.min(column + last - at);
            f(row, column..end, at - first);
            at += end - column;
        }
    }

    /// Pixels `first..` of the windows at place `(i, j)` of the kernel, from the plane of `x` at
    /// `offset`, as `f32`.
    ///
    /// # Safety
    /// The plane lies inside `x`.
    unsafe fn load(&self, simd: Simd, x: &View, offset: usize, [i, j]: [usize; 2], first: usize, out: &mut [f32]) {
        let last = first + out.len();
        self.rows(first, last, |row, windows, at| {
            let out = &mut out[at..at + windows.len()];
            let Some(iy) = self.place(0, row, i) else { return out.fill(0.0) };
            let inside = self.inside(j, windows.start, windows.end);
            if inside.is_empty() {
                return out.fill(0.0);
            }
            out[..inside.start - windows.start].fill(0.0);
            out[inside.end - windows.start..].fill(0.0);
            let ix = inside.start * self.op.stride[1] + j * self.op.dilation[1] - self.op.padding[1];
            let from = x.run(offset + iy * x.stride(2) + ix * x.stride(3), self.op.stride[1] * x.stride(3));
            // SAFETY: every window of `inside` sees a column of the image.
            unsafe { from.load(simd, &mut out[inside.start - windows.start..inside.end - windows.start]) };
        });
    }
}

/// `im2col` of floats.
pub(crate) fn im2col(launch: &Launch<'_>) {
    let Op::Im2Col(op) = *launch.op else { return };
    let (x, y, simd) = (&launch.inputs[0], &launch.outputs[0], launch.simd);
    let size = [x.size(2), x.size(3)];
    let Ok([_, across]) = op.windows(size) else { return };
    let windows = Windows { op, size, across };
    let ([kh, kw], pixels) = (op.kernel, y.size(2));
    split(launch.pool, y.size(0) * y.size(1), pixels, &|units| {
        with_scratch(pixels, |buffer| {
            for unit in units {
                let (b, row) = (unit / y.size(1), unit % y.size(1));
                let offset = b * x.stride(0) + row / (kh * kw) * x.stride(1);
                let to = y.run(b * y.stride(0) + row * y.stride(1), y.stride(2));
                // SAFETY: the plane lies inside `x`, the row inside `y`, which only this task writes.
                unsafe {
                    let values = to.place(pixels, buffer);
                    windows.load(simd, x, offset, [row / kw % kh, row % kw], 0, values);
                    if !to.is_plain() {
                        to.store(simd, values);
                    }
                }
            }
        });
    });
}

/// `im2col` between equal types of any kind, bit for bit.
pub(crate) fn im2col_bytes(launch: &Launch<'_>) {
    let Op::Im2Col(op) = *launch.op else { return };
    let (x, y) = (&launch.inputs[0], &launch.outputs[0]);
    let size = [x.size(2), x.size(3)];
    let Ok([_, across]) = op.windows(size) else { return };
    let windows = Windows { op, size, across };
    let ([kh, kw], bytes) = (op.kernel, y.dtype().block_bytes());
    split(launch.pool, y.size(0) * y.size(1), y.size(2), &|units| {
        for unit in units {
            let (b, row) = (unit / y.size(1), unit % y.size(1));
            let from = b * x.stride(0) + row / (kh * kw) * x.stride(1);
            for pixel in 0..y.size(2) {
                let to = y.at(b * y.stride(0) + row * y.stride(1) + pixel * y.stride(2));
                let down = windows.place(0, pixel / across, row / kw % kh);
                let at = down.zip(windows.place(1, pixel % across, row % kw));
                // SAFETY: the place lies inside the image, the pixel inside `y`.
                unsafe {
                    match at {
                        Some((iy, ix)) => {
                            let element = x.at(from + iy * x.stride(2) + ix * x.stride(3));
                            std::ptr::copy_nonoverlapping(element, to, bytes);
                        }
                        None => to.write_bytes(0, bytes),
                    }
                }
            }
        }
    });
}

/// `conv1d` and `conv2d`
pub(crate) fn direct(launch: &Launch<'_>) {
    let op = match launch.op {
        Op::Conv2d(op) => *op,
        Op::Conv1d(op) => op.as_2d(),
        _ => return,
    };
    let (x, w, y) = (image(&launch.inputs[0]), image(&launch.inputs[1]), image(&launch.outputs[0]));
    if y.desc.is_empty() {
        return;
    }
    let terms = w.size(1) * w.size(2) * w.size(3);
    with_scratch(w.size(0) * terms, |weights| {
        for (row, to) in weights.chunks_mut(w.size(3).max(1)).enumerate() {
            let (i, c, o) = (row % w.size(2), row / w.size(2) % w.size(1), row / (w.size(2) * w.size(1)));
            let at = o * w.stride(0) + c * w.stride(1) + i * w.stride(2);
            // SAFETY: a row of the kernel, which has elements if there is one.
            unsafe { w.run(at, w.stride(3)).load(launch.simd, to) };
        }
        multiply(launch, &op, [&x, &w, &y], weights);
    });
}

fn multiply(launch: &Launch<'_>, op: &Conv2d, [x, w, y]: [&View; 3], weights: &[f32]) {
    let simd = launch.simd;
    let (per_group, outputs) = (w.size(1), y.size(1) / op.groups);
    let (kernel, terms) = ([w.size(2), w.size(3)], w.size(1) * w.size(2) * w.size(3));
    let windows = Windows { op: op.columns(kernel), size: [x.size(2), x.size(3)], across: y.size(3) };
    let pixels = y.size(2) * y.size(3);
    let bias = launch.inputs.get(2).filter(|_| op.bias);
    // A panel of columns stays in the second cache.
    let tile = (64 * 1024 / terms.max(1)).clamp(32, 512).min(pixels);
    let tiles = pixels.div_ceil(tile);
    launch.pool.run(y.size(0) * op.groups * tiles, &|task| {
        let (b, group, first) = (task / (op.groups * tiles), task / tiles % op.groups, task % tiles * tile);
        let n = tile.min(pixels - first);
        with_scratch((terms + outputs) * n, |scratch| {
            let (panel, sums) = scratch.split_at_mut(terms * n);
            for (t, to) in panel.chunks_mut(n).enumerate() {
                let (j, i, c) = (t % kernel[1], t / kernel[1] % kernel[0], t / (kernel[1] * kernel[0]));
                let plane = b * x.stride(0) + (group * per_group + c) * x.stride(1);
                // SAFETY: the plane of a channel of this group.
                unsafe { windows.load(simd, x, plane, [i, j], first, to) };
            }
            let a = Block { ptr: weights[group * outputs * terms..].as_ptr().cast_mut(), row: terms, col: 1 };
            let columns = Block { ptr: panel.as_mut_ptr(), row: n, col: 1 };
            if terms == 0 {
                sums.fill(0.0);
            } else {
                // SAFETY: `a` has the rows of this group, the panel and the sums are this task's own.
                unsafe {
                    gemm([outputs, n, terms], a, columns, Block { ptr: sums.as_mut_ptr(), row: n, col: 1 }, false);
                };
            }
            for (o, sums) in sums.chunks_mut(n).enumerate() {
                let channel = group * outputs + o;
                if let Some(bias) = bias {
                    let mut add = [0f32];
                    // SAFETY: the bias has an element for each output channel.
                    unsafe { bias.run(channel * bias.stride(0), 1).load(simd, &mut add) };
                    sums.iter_mut().for_each(|v| *v += add[0]);
                }
                let at = b * y.stride(0) + channel * y.stride(1);
                windows.rows(first, first + n, |row, columns, from| {
                    let to = y.run(at + row * y.stride(2) + columns.start * y.stride(3), y.stride(3));
                    // SAFETY: the pixels lie inside `y`; only this task writes them.
                    unsafe { to.store(simd, &sums[from..from + columns.len()]) };
                });
            }
        });
    });
}

/// Whether [`im2col`] serves these types; equal ones are moved by [`im2col_bytes`] too.
pub(crate) fn is_float_pair(x: DType, y: DType) -> bool {
    x.is_float() && y.is_float()
}
