//! Copies, gathered and scattered rows where an operand is in a block format.
//!
//! Decoding and quantising visit the blocks of the operand that has them: the space is that
//! operand's shape counted in blocks, and the other side moves by as many elements. Between equal
//! formats blocks are bytes, which the kernels for plain types move.

use unisono_core::{DType, Reason, TensorDesc};

use super::builder::{Builder, block_constants, code, for_output, word};
use super::map;
use super::window::{Piece, View, collapse, windows};
use crate::caps::Caps;

/// Invocations of a workgroup that decodes (`GROUP` in the shader), each for eight elements.
const DECODING_GROUP: u64 = 256;
/// Invocations of a workgroup that quantises, each for one block.
const QUANTISING_GROUP: u64 = 64;

/// A conversion under construction.
struct Conversion<'a> {
    kernel: &'a str,
    /// The block format.
    format: DType,
    /// Blocks that one workgroup takes.
    blocks_per_group: u64,
    /// Stride of the plain operand within a block.
    step: u64,
    /// The space, in blocks.
    sizes: Vec<u64>,
    /// First row of a window, row after the last, all rows, row stride of the block operand.
    extra: [u64; 4],
}

pub(super) fn copy(b: &mut Builder<'_>) -> Result<(), Reason> {
    let (x, y) = (&b.input(0).desc, &b.output(0).desc);
    if x.dtype == y.dtype {
        let views = [b.output_view(0), b.input_view(0)];
        let axis = axis_of(x)?;
        let sizes = counted(x, axis);
        let [y, x] = views.map(|view| bytes(&view, axis));
        return map::copy_over(b, &byte_sizes(sizes, axis, y.1), &y.0, &x.0);
    }
    if x.dtype.is_block() {
        let axis = axis_of(x)?;
        let conversion = dequantise("dequantise", x, axis, y.strides[axis]);
        let y = widened(b.output_view(0), axis, x.dtype);
        conversion.launch(b, &[y, b.input_view(0)])
    } else {
        let axis = axis_of(y)?;
        let conversion = quantise("quantise", y, axis, x.strides[axis]);
        let x = widened(b.input_view(0), axis, y.dtype);
        conversion.launch(b, &[b.output_view(0), x])
    }
}

/// Rows of a table in a block format, as numbers. The table has rows.
pub(super) fn gather(b: &mut Builder<'_>) -> Result<(), Reason> {
    let (table, indices, y) = (&b.input(0).desc, &b.input(1).desc, &b.output(0).desc);
    let (axis, lead) = (axis_of(table)?, indices.rank());
    let y_axis = lead + axis - 1;
    let mut index_strides = b.input_view(1).strides;
    index_strides.resize(y.rank(), 0);
    let index = b.input_view(1).with(index_strides, 1);
    let whole = b.input_view(0);
    let mut strides = vec![0; lead];
    strides.extend(&whole.strides[1..]);
    let mut sizes: Vec<u64> = indices.shape.iter().map(|&n| n as u64).collect();
    sizes.extend(&counted(table, axis)[1..]);
    let mut conversion = dequantise("dequantise_rows", table, axis, y.strides[y_axis]);
    conversion.sizes = sizes;
    let y = widened(b.output_view(0), y_axis, table.dtype);
    for (first, rows) in row_windows(&whole, table, axis, b.caps)? {
        let table = conversion.window(&whole, &strides, first, rows, table.shape[0] as u64);
        conversion.launch(b, &[y.clone(), table, index.clone()])?;
    }
    Ok(())
}

/// Rows of numbers, or of blocks, into a target in a block format.
pub(super) fn scatter(b: &mut Builder<'_>) -> Result<(), Reason> {
    let (src, dst) = (&b.input(0).desc, &b.output(0).desc);
    let axis = axis_of(dst)?;
    let whole = b.output_view(0);
    let mut index_strides = vec![0; src.rank()];
    index_strides[0] = b.input_view(1).strides[0];
    let index = b.input_view(1).with(index_strides.clone(), 1);
    let mut strides = whole.strides.clone();
    strides[0] = 0;
    let mut sizes = counted(dst, axis);
    sizes[0] = src.shape[0] as u64;
    let mut conversion = quantise("quantise_rows", dst, axis, src.strides[axis]);
    conversion.sizes = sizes;
    let rows = dst.shape[0] as u64;
    let target = |c: &mut Conversion<'_>, (first, n): (u64, u64)| c.window(&whole, &strides, first, n, rows);
    for window in row_windows(&whole, dst, axis, b.caps)? {
        let dst_view = target(&mut conversion, window);
        if src.dtype == dst.dtype {
            let (y, unit) = bytes(&dst_view, axis);
            let sizes = byte_sizes(conversion.sizes.clone(), axis, unit);
            let extra = [window.0, window.0 + window.1, 0, conversion.extra[3]];
            let mut index_strides = index_strides.clone();
            index_strides.push(0);
            let index = index.clone().with(index_strides, 1);
            map::scatter_over(b, extra, &sizes, &[y, bytes(&b.input_view(0), axis).0, index])?;
        } else {
            let src = widened(b.input_view(0), axis, dst.dtype);
            conversion.launch(b, &[dst_view, src, index.clone()])?;
        }
    }
    Ok(())
}

fn axis_of(desc: &TensorDesc) -> Result<usize, Reason> {
    desc.block_axis().ok_or_else(|| Reason::Invalid(format!("{desc} has no block axis")))
}

fn dequantise<'a>(kernel: &'a str, x: &TensorDesc, axis: usize, step: usize) -> Conversion<'a> {
    let blocks_per_group = DECODING_GROUP / (x.dtype.block_elements() as u64 / 8);
    let step = step as u64;
    Conversion { kernel, format: x.dtype, blocks_per_group, step, sizes: counted(x, axis), extra: [0; 4] }
}

fn quantise<'a>(kernel: &'a str, y: &TensorDesc, axis: usize, step: usize) -> Conversion<'a> {
    let sizes = counted(y, axis);
    let step = step as u64;
    Conversion { kernel, format: y.dtype, blocks_per_group: QUANTISING_GROUP, step, sizes, extra: [0; 4] }
}

/// How many groups with a scale of their own a block of 256 has.
fn groups_of_block(format: DType) -> u32 {
    if matches!(format, DType::Q4K | DType::Q5K) { 8 } else { 16 }
}

/// The shape in blocks.
fn counted(desc: &TensorDesc, axis: usize) -> Vec<u64> {
    let mut sizes: Vec<u64> = desc.shape.iter().map(|&n| n as u64).collect();
    sizes[axis] /= desc.dtype.block_elements() as u64;
    sizes
}

/// A view of numbers that moves along `axis` by blocks of `format`.
fn widened(view: View, axis: usize, format: DType) -> View {
    let n = format.block_elements() as u64;
    let (mut strides, step) = (view.strides.clone(), view.strides[axis]);
    strides[axis] = step * n;
    view.with(strides, (n - 1) * step + 1)
}

/// A view of blocks as one of bytes, with the block axis and the bytes of a block last; and how many
/// bytes those are.
fn bytes(view: &View, axis: usize) -> (View, u64) {
    let unit = view.unit_bytes();
    let mut strides: Vec<u64> = view.strides.iter().map(|s| s * unit).collect();
    let along = strides.remove(axis);
    strides.extend([along, 1]);
    let inner = (view.inner - 1) * unit + 1;
    (View { source: view.source, dtype: DType::U8, start: view.start * unit, strides, inner }, unit)
}

/// The space of such views.
fn byte_sizes(mut sizes: Vec<u64>, axis: usize, unit: u64) -> Vec<u64> {
    let along = sizes.remove(axis);
    sizes.extend([along, unit]);
    sizes
}

/// Windows of rows of the operand that has blocks: first row and how many.
fn row_windows(whole: &View, desc: &TensorDesc, axis: usize, caps: &Caps) -> Result<Vec<(u64, u64)>, Reason> {
    let sizes = counted(desc, axis);
    let row: u64 = sizes[1..].iter().zip(&whole.strides[1..]).map(|(n, s)| (n - 1) * s).sum();
    let rows = whole.clone().with(vec![whole.strides[0]], row + 1);
    let mut list: Vec<(u64, u64)> =
        windows(&[sizes[0]], &[&rows], caps)?.iter().map(|p| (p.start[0], p.sizes[0])).collect();
    list.sort_unstable();
    Ok(list)
}

impl Conversion<'_> {
    /// The view of `rows` rows from `first` on, where the kernel itself moves along the rows.
    fn window(&mut self, whole: &View, strides: &[u64], first: u64, rows: u64, total: u64) -> View {
        let row = whole.strides[0];
        self.extra = [first, first + rows, total, row * whole.scale()];
        let view = whole.clone().with(strides.to_vec(), (rows - 1) * row + 1);
        View { start: view.start + first * row, ..view }
    }

    /// Launches over the space; views are y, a and perhaps the indices.
    fn launch(&self, b: &mut Builder<'_>, views: &[View]) -> Result<(), Reason> {
        let plain = views.iter().find(|v| !v.dtype.is_block()).map_or(DType::F32, |v| v.dtype);
        let mut constants = block_constants(self.format).to_vec();
        let y = if views[0].dtype.is_block() { DType::U8 } else { views[0].dtype };
        constants.extend([("Y", code(y)), ("A", code(plain))]);
        let all: Vec<&View> = views.iter().collect();
        for piece in windows(&self.sizes, &all, b.caps)? {
            self.launch_piece(b, views, &constants, &piece, &for_output(self.kernel, y))?;
        }
        Ok(())
    }

    fn launch_piece(
        &self,
        b: &mut Builder<'_>,
        views: &[View],
        constants: &[(&'static str, f64)],
        piece: &Piece,
        variant: &str,
    ) -> Result<(), Reason> {
        let scaled = |view: &View| view.strides.iter().map(|s| s * view.scale()).collect::<Vec<u64>>();
        let (dims, strides) = collapse(&piece.sizes, &views.iter().map(scaled).collect::<Vec<_>>());
        let (mut bindings, mut bases) = (Vec::new(), [0; 3]);
        for (view, base) in views.iter().zip(&mut bases) {
            let (binding, first) = view.bind(piece, b.caps);
            bindings.push(binding);
            *base = first;
        }
        let mut params = vec![word(piece.count())?, dims.len() as u32, 0, word(self.step)?];
        params.extend([groups_of_block(self.format), bases[0], bases[1], bases[2]]);
        for d in 0..6 {
            params.push(word(dims.get(d).copied().unwrap_or(1))?);
            for i in 0..3 {
                params.push(word(strides.get(i).and_then(|s| s.get(d)).copied().unwrap_or(0))?);
            }
        }
        for value in self.extra {
            params.push(word(value)?);
        }
        b.launch(variant, constants, bindings, params, piece.count().div_ceil(self.blocks_per_group))
    }
}
