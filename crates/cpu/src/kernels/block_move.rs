//! Copies, gathers and scatters where one side is in a block format: blocks are decoded, made, or
//! moved as they are, one at a time.

use unisono_core::TensorDesc;

use super::Launch;
use crate::blocks::{self, MAX_BLOCK};
use crate::pool::Pool;
use crate::simd::Simd;
use crate::view::{Nest, View, split};

/// The loops over the blocks of `x` and `y` (the dimensions from `x_lead` and `y_lead` on, of one
/// shape): each block is one element, at the offset of its first element.
struct Blocks {
    nest: Nest<2>,
    /// Distance between the elements of a block on either side.
    steps: [usize; 2],
    elements: usize,
}

impl Blocks {
    fn new(x: &TensorDesc, x_lead: usize, y: &TensorDesc, y_lead: usize) -> Blocks {
        let (blocks, lead) = if y.dtype.is_block() { (y, y_lead) } else { (x, x_lead) };
        let elements = blocks.dtype.block_elements();
        let mut shape = blocks.shape[lead..].to_vec();
        let (mut xs, mut ys) = (x.strides[x_lead..].to_vec(), y.strides[y_lead..].to_vec());
        let mut steps = [1; 2];
        if let Some(axis) = blocks.block_axis().and_then(|axis| axis.checked_sub(lead)) {
            steps = [xs[axis], ys[axis]];
            shape[axis] /= elements;
            xs[axis] *= elements;
            ys[axis] *= elements;
        }
        Blocks { nest: Nest::in_order(&shape, [&xs, &ys]), steps, elements }
    }

    /// Blocks number `range`, from `x` (zeros where there is none) to `y`.
    fn run(&self, simd: Simd, x: Option<&View>, y: &View, range: std::ops::Range<usize>) {
        let mut buffer = [0f32; MAX_BLOCK];
        let values = &mut buffer[..self.elements];
        let bytes = y.dtype().block_bytes();
        self.nest.for_each(range, |[from, to]| {
            // SAFETY: both blocks lie inside their operands; this task alone writes that of `y`.
            unsafe {
                match x {
                    Some(x) if x.dtype() == y.dtype() => std::ptr::copy_nonoverlapping(x.at(from), y.at(to), bytes),
                    Some(x) if y.dtype().is_block() => {
                        x.run(from, self.steps[0]).load(simd, values);
                        blocks::pack(simd, y.dtype(), values, std::slice::from_raw_parts_mut(y.at(to), bytes));
                    }
                    Some(x) => {
                        blocks::decode(simd, x.dtype(), x.at(from), values);
                        y.run(to, self.steps[1]).store(simd, values);
                    }
                    None => {
                        values.fill(0.0);
                        y.run(to, self.steps[1]).store(simd, values);
                    }
                }
            }
        });
    }

    fn run_all(&self, pool: &Pool, simd: Simd, x: &View, y: &View) {
        split(pool, self.nest.elements(), 4 * self.elements, &|range| self.run(simd, Some(x), y, range));
    }
}

/// `y = x` where one side is blocks, or both are.
pub(crate) fn copy(launch: &Launch<'_>) {
    let (x, y) = (&launch.inputs[0], &launch.outputs[0]);
    if !y.desc.is_empty() {
        Blocks::new(&x.desc, 0, &y.desc, 0).run_all(launch.pool, launch.simd, x, y);
    }
}

/// `y[i] = table[indices[i]]`, decoded.
pub(crate) fn gather_rows(launch: &Launch<'_>) {
    let (table, indices, y) = (&launch.inputs[0], &launch.inputs[1], &launch.outputs[0]);
    if y.desc.is_empty() {
        return;
    }
    let lead = indices.desc.rank();
    let nest = Nest::in_order(&indices.desc.shape, [&indices.desc.strides, &y.desc.strides[..lead]]);
    if table.desc.is_empty() {
        // A table without rows: every index is out of range, and no block says how rows are cut.
        return super::movement::clear(launch.pool, y);
    }
    let row = Blocks::new(&table.desc, 1, &y.desc, lead);
    let blocks = row.nest.elements();
    split(launch.pool, nest.elements(), blocks * row.elements, &|rows| {
        nest.for_each(rows, |[io, yo]| {
            // SAFETY: `io` addresses an element of `indices`.
            let index = unsafe { indices.index_at(io) }.filter(|&i| i < table.size(0));
            let source = index.map(|i| View { ptr: table.at(i * table.stride(0)), ..*table });
            row.run(launch.simd, source.as_ref(), &View { ptr: y.at(yo), ..*y }, 0..blocks);
        });
    });
}

/// `dst[indices[i]] = src[i]`, quantised on the way where `src` is a float.
pub(crate) fn scatter_rows(launch: &Launch<'_>) {
    let (src, indices, dst) = (&launch.inputs[0], &launch.inputs[1], &launch.outputs[0]);
    if src.desc.is_empty() || dst.desc.is_empty() {
        return;
    }
    let row = Blocks::new(&src.desc, 1, &dst.desc, 1);
    // Each task writes its own blocks of all rows: indices that are not distinct, against the contract,
    // must not be a data race.
    split(launch.pool, row.nest.elements(), 4 * row.elements * src.size(0), &|blocks| {
        for i in 0..src.size(0) {
            // SAFETY: `i` is an index of `indices`, which has one element for each row of `src`.
            let index = unsafe { indices.index_at(i * indices.stride(0)) };
            if let Some(index) = index.filter(|&index| index < dst.size(0)) {
                let source = View { ptr: src.at(i * src.stride(0)), ..*src };
                let target = View { ptr: dst.at(index * dst.stride(0)), ..*dst };
                row.run(launch.simd, Some(&source), &target, blocks.clone());
            }
        }
    });
}
