//! Rotary position embedding with the caller's tables, one head at a time.

use unisono_core::Op;
use unisono_core::op::RopePairing;

use super::Launch;
use crate::scratch::with_scratch;
use crate::simd::{Simd, simd_fn};
use crate::view::{Nest, View, split};

/// `y₁ = x₁·c − x₂·s`, `y₂ = x₂·c + x₁·s`
#[inline(always)]
fn rotate_body<const FMA: bool>(pairing: RopePairing, x: &mut [f32], cos: &[f32], sin: &[f32]) {
    let turn = |a: &mut f32, b: &mut f32, c: f32, s: f32| (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
    match pairing {
        RopePairing::HalfSplit => {
            let (first, second) = x.split_at_mut(cos.len());
            for ((a, b), (&c, &s)) in first.iter_mut().zip(second).zip(cos.iter().zip(sin)) {
                turn(a, b, c, s);
            }
        }
        RopePairing::Interleaved => {
            for ([a, b], (&c, &s)) in x.as_chunks_mut::<2>().0.iter_mut().zip(cos.iter().zip(sin)) {
                turn(a, b, c, s);
            }
        }
    }
}

simd_fn! {
    /// Rotates the `2·cos.len()` elements of `x`.
    fn rotate(pairing: RopePairing, x: &mut [f32], cos: &[f32], sin: &[f32]) = rotate_body
}

/// The rows of the tables at a position; zeros outside them.
struct Tables<'a> {
    cos: &'a View,
    sin: &'a View,
    positions: &'a View,
}

impl Tables<'_> {
    /// # Safety
    /// `at` addresses an element of `positions`.
    unsafe fn load(&self, simd: Simd, at: usize, c: &mut [f32], s: &mut [f32]) {
        // SAFETY: the caller's promise.
        match unsafe { self.positions.index_at(at) }.filter(|&p| p < self.cos.size(0)) {
            // SAFETY: the row is inside both tables.
            Some(p) => unsafe {
                self.cos.row(p * self.cos.stride(0)).load(simd, c);
                self.sin.row(p * self.sin.stride(0)).load(simd, s);
            },
            None => {
                c.fill(0.0);
                s.fill(0.0);
            }
        }
    }
}

/// Rotates the heads of one token from `x` to `y`, both strided by their third dimension.
///
/// # Safety
/// `from` and `to` address the first element of a token's heads.
unsafe fn rotate_heads(
    simd: Simd,
    pairing: RopePairing,
    (x, from): (&View, usize),
    (y, to): (&View, usize),
    (c, s): (&[f32], &[f32]),
    room: &mut [f32],
) {
    let (heads, head_dim) = (y.size(2), y.size(3));
    for h in 0..heads {
        // SAFETY: the head has `head_dim` elements in `x` and `y`.
        unsafe {
            let to = y.row(to + h * y.stride(2));
            let values = to.place(head_dim, room);
            x.row(from + h * x.stride(2)).load(simd, values);
            rotate(simd, pairing, &mut values[..2 * c.len()], c, s);
            if !to.is_plain() {
                to.store(simd, values);
            }
        }
    }
}

/// `x, cos, sin, positions -> y`
pub(crate) fn rope(launch: &Launch<'_>) {
    let Op::Rope(op) = *launch.op else { return };
    let [x, cos, sin, positions] = launch.inputs else { return };
    let (y, simd) = (&launch.outputs[0], launch.simd);
    if y.desc.is_empty() {
        return;
    }
    let tables = Tables { cos, sin, positions };
    let (head_dim, half) = (y.size(3), cos.size(1));
    let strides = [&x.desc.strides[..2], &positions.desc.strides[..2], &y.desc.strides[..2]];
    let nest = Nest::in_order(&y.desc.shape[..2], strides);
    split(launch.pool, nest.elements(), y.size(2) * head_dim, &|units| {
        with_scratch(2 * half + head_dim, |scratch| {
            let (rows, head) = scratch.split_at_mut(2 * half);
            let (c, s) = rows.split_at_mut(half);
            nest.for_each(units, |[xo, po, yo]| {
                // SAFETY: the nest's offsets address elements of the operands.
                unsafe {
                    tables.load(simd, po, c, s);
                    rotate_heads(simd, op.pairing, (x, xo), (y, yo), (c, s), head);
                }
            });
        });
    });
}

/// `x, cos, sin, positions, indices -> dst`
pub(crate) fn rope_write(launch: &Launch<'_>) {
    let Op::RopeWrite(op) = *launch.op else { return };
    let [x, cos, sin, positions, indices] = launch.inputs else { return };
    let (dst, simd) = (&launch.outputs[0], launch.simd);
    if x.desc.is_empty() || dst.desc.is_empty() {
        return;
    }
    let tables = Tables { cos, sin, positions };
    let (blocks, size, head_dim, half) = (dst.size(0), dst.size(1), dst.size(3), cos.size(1));
    let strides = [&x.desc.strides[..2], &positions.desc.strides[..2], &indices.desc.strides[..2]];
    let nest = Nest::in_order(&x.desc.shape[..2], strides);
    split(launch.pool, nest.elements(), dst.size(2) * head_dim, &|units| {
        with_scratch(2 * half + head_dim, |scratch| {
            let (rows, head) = scratch.split_at_mut(2 * half);
            let (c, s) = rows.split_at_mut(half);
            nest.for_each(units, |[xo, po, io]| {
                // SAFETY: `io` addresses an element of `indices`.
                let row = unsafe { indices.index_at(io) };
                let Some(row) = row.filter(|&row| row < blocks * size) else { return };
                let to = row / size * dst.stride(0) + row % size * dst.stride(1);
                // SAFETY: the offsets address elements of the operands, and indices are distinct.
                unsafe {
                    tables.load(simd, po, c, s);
                    rotate_heads(simd, op.pairing, (x, xo), (dst, to), (c, s), head);
                }
            });
        });
    });
}
