//! The first elements of sorted rows, and the permutation that sorts them.
//!
//! An element and its index become one 64-bit number whose order is the wanted one, so that ties
//! go to the lower index and any sort will do.

use unisono_core::{DType, Op};

use super::{BLOCK, Launch};
use crate::simd::Simd;
use crate::view::{Nest, View, split};

/// The bits of a number as an unsigned integer in the same order; both zeros become one, and every
/// NaN the largest.
fn float_key(v: f32) -> u32 {
    if v.is_nan() {
        return u32::MAX;
    }
    let bits = if v == 0.0 { 0 } else { v.to_bits() };
    if bits >> 31 == 1 { !bits } else { bits | 0x8000_0000 }
}

/// The elements of a row of `x` in the wanted order when sorted as numbers: the key, then the index.
fn keys(simd: Simd, x: &View, offset: usize, n: usize, descending: bool, keys: &mut Vec<u64>) {
    let flip = if descending { u32::MAX } else { 0 };
    let pack = |key: u32, i: usize| u64::from(key ^ flip) << 32 | i as u64;
    let row = x.row(offset);
    keys.clear();
    let mut buffer = [0f32; BLOCK];
    for start in (0..n).step_by(BLOCK) {
        let len = BLOCK.min(n - start);
        if x.dtype().is_float() {
            // SAFETY: the block lies in the row.
            let values = unsafe { row.skip(start).as_f32(simd, len, &mut buffer) };
            keys.extend(values.iter().enumerate().map(|(i, &v)| pack(float_key(v), start + i)));
        } else {
            let sign = if x.dtype() == DType::I32 { 0x8000_0000 } else { 0 };
            for i in start..start + len {
                // SAFETY: the row has `n` elements of four bytes.
                let bits = unsafe { x.at(offset + i * row.stride).cast::<u32>().read() };
                keys.push(pack(bits ^ sign, i));
            }
        }
    }
}

/// The loops over rows.
fn rows<const N: usize>(views: [&View; N]) -> Nest<N> {
    let r = views[0].desc.rank() - 1;
    Nest::in_order(&views[0].desc.shape[..r], views.map(|v| &v.desc.strides[..r]))
}

/// `argsort`
pub(crate) fn argsort(launch: &Launch<'_>) {
    let Op::ArgSort(op) = *launch.op else { return };
    let (x, y, simd) = (&launch.inputs[0], &launch.outputs[0], launch.simd);
    if y.desc.is_empty() {
        return;
    }
    let last = x.desc.rank() - 1;
    let n = x.size(last);
    let nest = rows([x, y]);
    split(launch.pool, nest.elements(), 16 * n, &|units| {
        let mut order = Vec::with_capacity(n);
        nest.for_each(units, |[xo, yo]| {
            keys(simd, x, xo, n, op.descending, &mut order);
            order.sort_unstable();
            for (j, &key) in order.iter().enumerate() {
                // SAFETY: the row of `y` has `n` elements, u32.
                unsafe { y.at(yo + j * y.stride(last)).cast::<u32>().write(key as u32) };
            }
        });
    });
}

/// `topk`
pub(crate) fn topk(launch: &Launch<'_>) {
    let Op::TopK(op) = *launch.op else { return };
    let (x, simd) = (&launch.inputs[0], launch.simd);
    let (values, indices) = (&launch.outputs[0], &launch.outputs[1]);
    if indices.desc.is_empty() {
        return;
    }
    let last = x.desc.rank() - 1;
    let n = x.size(last);
    let nest = rows([x, values, indices]);
    split(launch.pool, nest.elements(), 4 * n, &|units| {
        let mut order = Vec::with_capacity(n);
        nest.for_each(units, |[xo, vo, io]| {
            keys(simd, x, xo, n, !op.smallest, &mut order);
            if op.k < n {
                order.select_nth_unstable(op.k - 1);
                order.truncate(op.k);
            }
            order.sort_unstable();
            for (j, &key) in order.iter().enumerate() {
                let index = key as u32;
                let (from, to) = (xo + index as usize * x.stride(last), vo + j * values.stride(last));
                // SAFETY: the index is one of the row's; the results have `k` elements in a row.
                unsafe {
                    indices.at(io + j * indices.stride(last)).cast::<u32>().write(index);
                    if x.dtype().is_float() {
                        let mut value = [0f32];
                        x.run(from, 1).load(simd, &mut value);
                        values.run(to, 1).store(simd, &value);
                    } else {
                        values.at(to).cast::<u32>().write(x.at(from).cast::<u32>().read());
                    }
                }
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_the_numbers() {
        let sorted = [f32::NEG_INFINITY, -2.0, -1.0, -f32::MIN_POSITIVE, -1e-45, 0.0, 1e-45, 1.0, 2.0, f32::INFINITY];
        assert!(sorted.windows(2).all(|w| float_key(w[0]) < float_key(w[1])));
        assert_eq!(float_key(-0.0), float_key(0.0));
        for nan in [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001), f32::from_bits(0xff80_0001)] {
            assert_eq!(float_key(nan), u32::MAX);
        }
        assert!(float_key(f32::INFINITY) < u32::MAX);
    }
}
