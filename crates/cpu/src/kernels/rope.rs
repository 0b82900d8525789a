//! Rotary position embedding with the caller's tables, one head at a time.

use unisono_core::Op;
use unisono_core::op::RopePairing;

use super::Launch;
use crate::scratch::with_scratch;
use crate::simd::simd_fn;
use crate::view::{Nest, split};

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

/// `x, cos, sin, positions -> y`
pub(crate) fn rope(launch: &Launch<'_>) {
    let Op::Rope(op) = *launch.op else { return };
    let [x, cos, sin, positions] = launch.inputs else { return };
    let (y, simd) = (&launch.outputs[0], launch.simd);
    if y.desc.is_empty() {
        return;
    }
    let (heads, head_dim, half) = (y.size(2), y.size(3), cos.size(1));
    let strides = [&x.desc.strides[..2], &positions.desc.strides[..2], &y.desc.strides[..2]];
    let nest = Nest::in_order(&y.desc.shape[..2], strides);
    split(launch.pool, nest.elements(), heads * head_dim, &|units| {
        with_scratch(2 * half + head_dim, |scratch| {
            let (tables, head) = scratch.split_at_mut(2 * half);
            let (c, s) = tables.split_at_mut(half);
            nest.for_each(units, |[xo, po, yo]| {
                // SAFETY: `po` addresses an element of `positions`.
                match unsafe { positions.index_at(po) }.filter(|&p| p < cos.size(0)) {
                    // SAFETY: the row is inside both tables.
                    Some(p) => unsafe {
                        cos.row(p * cos.stride(0)).load(simd, c);
                        sin.row(p * sin.stride(0)).load(simd, s);
                    },
                    None => {
                        c.fill(0.0);
                        s.fill(0.0);
                    }
                }
                for h in 0..heads {
                    // SAFETY: the head has `head_dim` elements in `x` and `y`.
                    unsafe {
                        let to = y.row(yo + h * y.stride(2));
                        let values = to.place(head_dim, head);
                        x.row(xo + h * x.stride(2)).load(simd, values);
                        rotate(simd, op.pairing, &mut values[..2 * half], c, s);
                        if !to.is_plain() {
                            to.store(simd, values);
                        }
                    }
                }
            });
        });
    });
}
