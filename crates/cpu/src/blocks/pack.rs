//! From numbers to a block: the rules of `docs/quantisation.md`, one block at a time.
//!
//! The order of every rounding is part of the rule, so nothing here is vectorised by hand, fused or
//! reassociated; compilers may use vectors, which round as single numbers do.

use half::f16;
use unisono_core::DType;

use super::unpack::half_e8m0;
use super::{E2M1, GROUP};
use crate::simd::simd_fn;

simd_fn! {
    /// Writes the block that stands for `x`, which has as many elements as a block.
    pub(crate) fn pack(dtype: DType, x: &[f32], b: &mut [u8]) = body
}

#[inline(always)]
fn body<const FMA: bool>(dtype: DType, x: &[f32], b: &mut [u8]) {
    match dtype {
        DType::Q4_0 => {
            let q = signed(x, 8.0, b);
            nibbles(&q, &mut b[2..]);
        }
        DType::Q4_1 => {
            let q = between(x, 15.0, b);
            nibbles(&q, &mut b[4..]);
        }
        DType::Q5_0 => {
            let q = signed(x, 16.0, b);
            fifth_bits(&q, &mut b[2..6]);
            nibbles(&q, &mut b[6..]);
        }
        DType::Q5_1 => {
            let q = between(x, 31.0, b);
            fifth_bits(&q, &mut b[4..8]);
            nibbles(&q, &mut b[8..]);
        }
        DType::Q8_0 => {
            let d = largest(x) / 127.0;
            let inverse = reciprocal(d);
            store_half(d, &mut b[..2]);
            b[2..].iter_mut().zip(x).for_each(|(b, x)| *b = (x * inverse).round() as i8 as u8);
        }
        DType::Mxfp4 => mxfp4(x, b),
        DType::Q2K => q2_k(x, b),
        DType::Q3K => q3_k(x, b),
        DType::Q4K => {
            let (q, scales) = with_minimum::<32>(x, 15.0, 63.0, &mut b[..4]);
            six_bit_scales(&scales, &mut b[4..16]);
            halves(&q, &mut b[16..]);
        }
        DType::Q5K => {
            let (q, scales) = with_minimum::<32>(x, 31.0, 63.0, &mut b[..4]);
            six_bit_scales(&scales, &mut b[4..16]);
            for l in 0..32 {
                b[16 + l] = (0..8).fold(0, |bits, g| bits | (q[32 * g + l] >> 4) << g);
            }
            halves(&q, &mut b[48..]);
        }
        DType::Q6K => q6_k(x, b),
        // The contract refuses the rest.
        _ => {}
    }
}

/// Stores `value` as f16 and returns it as stored.
#[inline(always)]
fn store_half(value: f32, to: &mut [u8]) -> f32 {
    let stored = f16::from_f32_const(value);
    to.copy_from_slice(&stored.to_le_bytes());
    stored.to_f32_const()
}

/// The largest magnitude of whole groups of eight.
#[inline(always)]
fn largest(x: &[f32]) -> f32 {
    let mut lanes = [0f32; 8];
    for x in x.as_chunks::<8>().0 {
        lanes.iter_mut().zip(x).for_each(|(lane, x)| *lane = lane.max(x.abs()));
    }
    lanes.into_iter().fold(0.0, f32::max)
}

#[inline(always)]
fn reciprocal(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// `a / b`, 0 where there is no divisor.
#[inline(always)]
fn ratio(a: f32, b: f32) -> f32 {
    if b == 0.0 { 0.0 } else { a / b }
}

/// q4_0 and q5_0: the largest element gets code 0, zero the code `levels`.
#[inline(always)]
fn signed(x: &[f32], levels: f32, b: &mut [u8]) -> [u8; 32] {
    let largest = largest(x);
    let v = x.iter().copied().find(|v| v.abs() == largest).unwrap_or(0.0);
    let d = v / -levels;
    let inverse = reciprocal(d);
    store_half(d, &mut b[..2]);
    codes(x, |x| (x * inverse + (levels + 0.5)).trunc().min(2.0 * levels - 1.0))
}

/// q4_1 and q5_1: steps from the smallest element to the largest.
#[inline(always)]
fn between(x: &[f32], levels: f32, b: &mut [u8]) -> [u8; 32] {
    let (low, high) = x.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &x| (l.min(x), h.max(x)));
    let d = (high - low) / levels;
    let inverse = reciprocal(d);
    store_half(d, &mut b[..2]);
    store_half(low, &mut b[2..4]);
    codes(x, |x| ((x - low) * inverse + 0.5).trunc().min(levels))
}

#[inline(always)]
fn codes(x: &[f32], code: impl Fn(f32) -> f32) -> [u8; 32] {
    let mut q = [0; 32];
    // A code that is no number becomes 0, one that is out of range the nearest end.
    q.iter_mut().zip(x).for_each(|(q, &x)| *q = code(x) as u8);
    q
}

#[inline(always)]
fn nibbles(q: &[u8; 32], to: &mut [u8]) {
    for i in 0..16 {
        to[i] = q[i] & 15 | q[16 + i] << 4;
    }
}

#[inline(always)]
fn fifth_bits(q: &[u8; 32], to: &mut [u8]) {
    let bits = q.iter().enumerate().fold(0u32, |bits, (i, q)| bits | u32::from(q >> 4) << i);
    to.copy_from_slice(&bits.to_le_bytes());
}

#[inline(always)]
fn mxfp4(x: &[f32], b: &mut [u8]) {
    let largest = largest(x);
    // The exponent field: that of a subnormal number is low enough to end at 0 as well.
    let e = ((largest.to_bits() >> 23) as i32 - 2).clamp(0, 254) as u8;
    let scale = half_e8m0(e);
    let q = {
        let mut q = [0; 32];
        for (q, &x) in q.iter_mut().zip(x) {
            let distance = |code: usize| (scale * f32::from(E2M1[code]) - x).abs();
            // The first of equally near codes: the smaller magnitude, and +0.
            *q = (1..16).fold(0, |best, code| if distance(code) < distance(best) { code } else { best }) as u8;
        }
        q
    };
    b[0] = e;
    nibbles(&q, &mut b[1..]);
}

/// Codes, and the scale and minimum of each group, of a K-quant with minima; `header` takes `d` and
/// `dmin`.
#[inline(always)]
fn with_minimum<const SIZE: usize>(x: &[f32], top: f32, scales: f32, header: &mut [u8]) -> ([u8; 256], [[u8; 2]; 16]) {
    let groups = || x.chunks(SIZE).enumerate();
    let low = |g: &[f32]| g.iter().fold(0f32, |a, x| a.max(-x));
    let high = |g: &[f32]| g.iter().fold(f32::NEG_INFINITY, |a, &x| a.max(x));
    let mut parts = [[0u8; 2]; 16];
    let deepest = groups().fold(0f32, |a, (_, g)| a.max(low(g)));
    let dmin = store_half(deepest / scales, &mut header[2..4]);
    let mut steps = [0f32; 16];
    for (i, g) in groups() {
        parts[i][1] = ratio(low(g), dmin).round().min(scales) as u8;
        steps[i] = (high(g) + dmin * f32::from(parts[i][1])).max(0.0) / top;
    }
    let widest = steps.iter().fold(0f32, |a, &b| a.max(b));
    let d = store_half(widest / scales, &mut header[..2]);
    let mut q = [0; 256];
    for (i, g) in groups() {
        parts[i][0] = ratio(steps[i], d).round().min(scales) as u8;
        let (step, offset) = (d * f32::from(parts[i][0]), dmin * f32::from(parts[i][1]));
        for (q, x) in q[SIZE * i..].iter_mut().zip(g) {
            *q = ratio(x + offset, step).round().clamp(0.0, top) as u8;
        }
    }
    (q, parts)
}

/// Codes and group scales of a K-quant around zero; `header` takes `d`.
#[inline(always)]
fn around_zero(x: &[f32], top: f32, scales: f32, header: &mut [u8]) -> ([i8; 256], [u8; 16]) {
    let mut parts = [0; 16];
    let widest = x.chunks(GROUP).fold(0f32, |a, g| a.max(largest(g) / top));
    let d = store_half(widest / scales, header);
    let mut q = [0; 256];
    for (i, g) in x.chunks(GROUP).enumerate() {
        parts[i] = ratio(largest(g) / top, d).round().min(scales) as u8;
        let step = d * f32::from(parts[i]);
        for (q, &x) in q[GROUP * i..].iter_mut().zip(g) {
            *q = ratio(x, step).round().clamp(-top, top) as i8;
        }
    }
    (q, parts)
}

#[inline(always)]
fn q2_k(x: &[f32], b: &mut [u8]) {
    let mut header = [0; 4];
    let (q, scales) = with_minimum::<16>(x, 3.0, 15.0, &mut header);
    for (b, [scale, min]) in b.iter_mut().zip(scales) {
        *b = scale | min << 4;
    }
    quarters(|i| q[i], &mut b[16..80]);
    b[80..84].copy_from_slice(&header);
}

#[inline(always)]
fn q3_k(x: &[f32], b: &mut [u8]) {
    let mut header = [0; 2];
    let (q, scales) = around_zero(x, 3.0, 31.0, &mut header);
    let code = |i: usize| (q[i] + 4) as u8;
    for (l, b) in b[..32].iter_mut().enumerate() {
        *b = (0..8).fold(0, |bits, part| bits | (code(32 * part + l) >> 2) << part);
    }
    quarters(|i| code(i) & 3, &mut b[32..96]);
    b[96..108].fill(0);
    for (g, scale) in scales.into_iter().enumerate() {
        let scale = scale + 32;
        b[96 + g % 8] |= (scale & 15) << (g / 8 * 4);
        b[104 + g % 4] |= (scale >> 4) << (g / 4 * 2);
    }
    b[108..110].copy_from_slice(&header);
}

#[inline(always)]
fn q6_k(x: &[f32], b: &mut [u8]) {
    let mut header = [0; 2];
    let (q, scales) = around_zero(x, 31.0, 127.0, &mut header);
    let code = |i: usize| (q[i] + 32) as u8;
    for h in 0..2 {
        for l in 0..32 {
            let part = |j: usize| code(128 * h + 32 * j + l);
            b[64 * h + l] = part(0) & 15 | part(2) << 4;
            b[64 * h + 32 + l] = part(1) & 15 | part(3) << 4;
            b[128 + 32 * h + l] = (0..4).fold(0, |bits, j| bits | (part(j) >> 4) << (2 * j));
        }
    }
    b[192..208].copy_from_slice(&scales);
    b[208..210].copy_from_slice(&header);
}

/// Two-bit parts: four elements, 32 apart, in each byte.
#[inline(always)]
fn quarters(code: impl Fn(usize) -> u8, to: &mut [u8]) {
    for (i, to) in to.iter_mut().enumerate() {
        let (h, l) = (i / 32, i % 32);
        *to = (0..4).fold(0, |bits, j| bits | code(128 * h + 32 * j + l) << (2 * j));
    }
}

#[inline(always)]
fn halves(q: &[u8; 256], to: &mut [u8]) {
    for (i, to) in to.iter_mut().enumerate().take(128) {
        let (j, l) = (i / 32, i % 32);
        *to = q[64 * j + l] & 15 | q[64 * j + 32 + l] << 4;
    }
}

#[inline(always)]
fn six_bit_scales(scales: &[[u8; 2]; 16], s: &mut [u8]) {
    for g in 0..4 {
        let ([scale, min], [high_scale, high_min]) = (scales[g], scales[g + 4]);
        s[g] = scale | (high_scale >> 4) << 6;
        s[g + 4] = min | (high_min >> 4) << 6;
        s[g + 8] = high_scale & 15 | high_min << 4;
    }
}
