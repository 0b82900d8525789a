//! From the packed bytes of a block to its elements, one function per format.

use std::arch::x86_64::{
    __m512, __mmask16, _mm_loadu_si128, _mm512_and_si512, _mm512_cvtepi32_ps, _mm512_cvtepu8_epi32, _mm512_or_si512,
    _mm512_permutexvar_ps, _mm512_rorv_epi32, _mm512_set1_epi32, _mm512_srli_epi32, _mm512_srlv_epi32,
    _mm512_sub_epi32,
};
use std::hint::black_box;

use unisono_core::DType;

use super::super::direct::six_bits;
use super::super::unpack::half_e8m0;
use super::super::{E2M1, IQ4};
use super::Sink;
use super::lanes::{
    Line, both_scaled, both_shifted, bytes, counting, counting_by_four, either, half, halves, has_bits, scaled,
    shifted, signed, stored, stored_eights, table, word,
};

/// # Safety
/// The sink takes as many elements as `w` has.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn each_block(dtype: DType, w: &[u8], sink: &mut impl Sink) {
    /// Runs `$put` with each block as an array.
    macro_rules! blocks {
        // Factors of eight blocks are widened together, and read from memory: there a broadcast is part
        // of the load, while from a register it takes a shuffle. (The compiler would keep registers.)
        ($bytes:literal, $elements:literal, |$block:ident, $factor:ident| $put:expr) => {
            for some in w.as_chunks::<$bytes>().0.chunks(8) {
                let factors = halves::<$bytes, 0>(some);
                for ($block, &$factor) in some.iter().zip(&black_box(&factors).0) {
                    // SAFETY: the caller's promise.
                    unsafe { $put };
                    sink.advance($elements);
                }
            }
        };
        ($bytes:literal, $elements:literal, |$block:ident, $factor:ident, $offset:ident| $put:expr) => {
            for some in w.as_chunks::<$bytes>().0.chunks(8) {
                let numbers = (halves::<$bytes, 0>(some), halves::<$bytes, 2>(some));
                let (Line(factors), Line(offsets)) = black_box(&numbers);
                for ($block, (&$factor, &$offset)) in some.iter().zip(factors.iter().zip(offsets)) {
                    // SAFETY: the caller's promise.
                    unsafe { $put };
                    sink.advance($elements);
                }
            }
        };
        ($bytes:literal, $elements:literal, |$block:ident| $put:expr) => {
            for $block in w.as_chunks::<$bytes>().0 {
                // SAFETY: the caller's promise.
                unsafe { $put };
                sink.advance($elements);
            }
        };
    }
    match dtype {
        DType::Q4_0 => {
            let codes = counting(-8.0);
            blocks!(18, 32, |b, d| sixteen_values(&b[2..], scaled(d, codes), sink));
        }
        DType::Q4_1 => {
            let codes = counting(0.0);
            blocks!(20, 32, |b, d, m| sixteen_values(&b[4..], shifted(d, codes, m), sink));
        }
        DType::Iq4Nl => {
            let codes = table(&IQ4);
            blocks!(18, 32, |b, d| sixteen_values(&b[2..], scaled(d, codes), sink));
        }
        DType::Mxfp4 => {
            let codes = table(&E2M1);
            blocks!(17, 32, |b| sixteen_values(&b[1..], scaled(half_e8m0(b[0]), codes), sink));
        }
        DType::Q5_0 => {
            let codes = [counting(-16.0), counting(0.0)];
            blocks!(22, 32, |b, d| thirty_two_values(&b[6..], word(b, 2), both_scaled(d, codes), sink));
        }
        DType::Q5_1 => {
            let codes = [counting(0.0), counting(16.0)];
            blocks!(24, 32, |b, d, m| {
                thirty_two_values(&b[8..], word(b, 4), both_shifted(d, codes, m), sink);
            });
        }
        DType::Q8_0 => blocks!(34, 32, |b, d| q8_0(b, d, sink)),
        DType::Q2K => blocks!(84, 256, |b| q2_k(b, sink)),
        DType::Q3K => blocks!(110, 256, |b| q3_k(b, sink)),
        DType::Q4K => blocks!(144, 256, |b| q4_k(b, sink)),
        DType::Q5K => blocks!(176, 256, |b| q5_k(b, sink)),
        DType::Q6K => blocks!(210, 256, |b| q6_k(b, sink)),
        DType::Iq4Xs => blocks!(136, 256, |b| iq4_xs(b, sink)),
        _ => {}
    }
}

/// A block of nibbles: sixteen low ones, sixteen high ones.
///
/// # Safety
/// The sink takes 32 elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn sixteen_values(nibbles: &[u8], values: __m512, sink: &mut impl Sink) {
    let v = bytes(nibbles);
    // SAFETY: the caller's promise.
    unsafe {
        sink.put(0, _mm512_permutexvar_ps(v, values));
        sink.put(16, _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(v), values));
    }
}

/// The same with a fifth bit for each.
///
/// # Safety
/// The sink takes 32 elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn thirty_two_values(nibbles: &[u8], fifth: u32, values: [__m512; 2], sink: &mut impl Sink) {
    let v = bytes(nibbles);
    // SAFETY: the caller's promise.
    unsafe {
        sink.put(0, either(v, values, fifth as __mmask16));
        sink.put(16, either(_mm512_srli_epi32::<4>(v), values, (fifth >> 16) as __mmask16));
    }
}

/// # Safety
/// The sink takes 32 elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn q8_0(b: &[u8; 34], factor: f32, sink: &mut impl Sink) {
    for i in 0..2 {
        // SAFETY: the caller's promise.
        unsafe { sink.put(16 * i, scaled(factor, signed(&b[2 + 16 * i..]))) };
    }
}

/// # Safety
/// The sink takes 256 elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn q2_k(b: &[u8; 84], sink: &mut impl Sink) {
    let (scales, codes) = (bytes(b), counting_by_four(0.0));
    let factor = stored(scaled(half(b, 80), _mm512_cvtepi32_ps(_mm512_and_si512(scales, _mm512_set1_epi32(15)))));
    let offset = stored(scaled(-half(b, 82), _mm512_cvtepi32_ps(_mm512_srli_epi32::<4>(scales))));
    let (Line(factor), Line(offset)) = black_box((&factor, &offset));
    for h in 0..2 {
        let mut v = [bytes(&b[16 + 32 * h..]), bytes(&b[32 + 32 * h..])];
        for j in 0..4 {
            for (c, v) in v.iter_mut().enumerate() {
                let g = 8 * h + 2 * j + c;
                let values = shifted(factor[g], codes, offset[g]);
                // SAFETY: the caller's promise.
                unsafe { sink.put(16 * g, _mm512_permutexvar_ps(*v, values)) };
                *v = _mm512_srli_epi32::<2>(*v);
            }
        }
    }
}

/// The sixteen factors of q3_k, less 32: four bits each in eight bytes, two more in four.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn six_bit_factors(s: &[u8]) -> __m512 {
    let (a, b, c) = (word(s, 0), word(s, 4), word(s, 8));
    let low = |word: u32| word & 0x0f0f_0f0f;
    let high = |shift: u32| ((c >> shift) & 0x0303_0303) << 4;
    let words = [low(a) | high(0), low(b) | high(2), low(a >> 4) | high(4), low(b >> 4) | high(6)];
    // SAFETY: four words are sixteen bytes.
    let codes = unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(words.as_ptr().cast())) };
    _mm512_cvtepi32_ps(_mm512_sub_epi32(codes, _mm512_set1_epi32(32)))
}

/// # Safety
/// The sink takes 256 elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn q3_k(b: &[u8; 110], sink: &mut impl Sink) {
    let factor = stored(scaled(half(b, 108), six_bit_factors(&b[96..])));
    let Line(factor) = black_box(&factor);
    let codes = [counting_by_four(-4.0), counting_by_four(0.0)];
    let third = [bytes(b), bytes(&b[16..])];
    for h in 0..2 {
        let mut v = [bytes(&b[32 + 32 * h..]), bytes(&b[48 + 32 * h..])];
        for j in 0..4 {
            for (c, v) in v.iter_mut().enumerate() {
                let g = 8 * h + 2 * j + c;
                let set = has_bits(third[c], 1 << (4 * h + j));
                let values = either(*v, both_scaled(factor[g], codes), set);
                // SAFETY: the caller's promise.
                unsafe { sink.put(16 * g, values) };
                *v = _mm512_srli_epi32::<2>(*v);
            }
        }
    }
}

/// # Safety
/// The sink takes 256 elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn q4_k(b: &[u8; 144], sink: &mut impl Sink) {
    let (scales, codes) = (stored_eights(six_bits(b, half(b, 0), half(b, 2))), counting(0.0));
    let Line(numbers) = black_box(&scales);
    let (factor, offset) = numbers.split_at(8);
    for j in 0..4 {
        let low = shifted(factor[2 * j], codes, offset[2 * j]);
        let high = shifted(factor[2 * j + 1], codes, offset[2 * j + 1]);
        for c in 0..2 {
            let v = bytes(&b[16 + 32 * j + 16 * c..]);
            // SAFETY: the caller's promise.
            unsafe {
                sink.put(64 * j + 16 * c, _mm512_permutexvar_ps(v, low));
                sink.put(64 * j + 32 + 16 * c, _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(v), high));
            }
        }
    }
}

/// # Safety
/// The sink takes 256 elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn q5_k(b: &[u8; 176], sink: &mut impl Sink) {
    let (scales, codes) = (stored_eights(six_bits(b, half(b, 0), half(b, 2))), [counting(0.0), counting(16.0)]);
    let Line(numbers) = black_box(&scales);
    let (factor, offset) = numbers.split_at(8);
    let fifth = [bytes(&b[16..]), bytes(&b[32..])];
    for j in 0..4 {
        let low = both_shifted(factor[2 * j], codes, offset[2 * j]);
        let high = both_shifted(factor[2 * j + 1], codes, offset[2 * j + 1]);
        for (c, &fifth) in fifth.iter().enumerate() {
            let v = bytes(&b[48 + 32 * j + 16 * c..]);
            let set = [1 << (2 * j), 2 << (2 * j)];
            let set = [has_bits(fifth, set[0]), has_bits(fifth, set[1])];
            // SAFETY: the caller's promise.
            unsafe {
                sink.put(64 * j + 16 * c, either(v, low, set[0]));
                sink.put(64 * j + 32 + 16 * c, either(_mm512_srli_epi32::<4>(v), high, set[1]));
            }
        }
    }
}

/// Codes of six bits: a table would be four registers, so they are converted.
///
/// # Safety
/// The sink takes 256 elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn q6_k(b: &[u8; 210], sink: &mut impl Sink) {
    let zero = _mm512_set1_epi32(32);
    let factor = stored(scaled(half(b, 208), signed(&b[192..])));
    let Line(factor) = black_box(&factor);
    let (low, upper) = (_mm512_set1_epi32(15), _mm512_set1_epi32(0x30));
    for h in 0..2 {
        let of = |at: usize| [bytes(&b[at..]), bytes(&b[at + 16..])];
        let (nibbles, two) = ([of(64 * h), of(64 * h + 32)], of(128 + 32 * h));
        // The lower halves of bytes, then the upper ones; two bits further for each 32 elements.
        for part in 0..2 {
            let down = _mm512_set1_epi32(4 * part);
            for (pair, nibbles) in nibbles.iter().enumerate() {
                let j = 2 * part as usize + pair;
                // The two bits get to bits 4 and 5; what a rotation brings to the top is masked.
                let turn = _mm512_set1_epi32((2 * j as i32 + 28) % 32);
                for (c, (&nibble, &two)) in nibbles.iter().zip(&two).enumerate() {
                    let nibble = _mm512_and_si512(_mm512_srlv_epi32(nibble, down), low);
                    let code = _mm512_or_si512(nibble, _mm512_and_si512(_mm512_rorv_epi32(two, turn), upper));
                    let code = _mm512_cvtepi32_ps(_mm512_sub_epi32(code, zero));
                    let g = 8 * h + 2 * j + c;
                    // SAFETY: the caller's promise.
                    unsafe { sink.put(16 * g, scaled(factor[g], code)) };
                }
            }
        }
    }
}

/// # Safety
/// The sink takes 256 elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn iq4_xs(b: &[u8; 136], sink: &mut impl Sink) {
    let (d, codes) = (half(b, 0), table(&IQ4));
    for g in 0..8 {
        let scale = b[4 + g / 2] >> (g % 2 * 4) & 15 | (b[2 + g / 4] >> (g % 4 * 2) & 3) << 4;
        let values = scaled(d * (f32::from(scale) - 32.0), codes);
        let v = bytes(&b[8 + 16 * g..]);
        // SAFETY: the caller's promise.
        unsafe {
            sink.put(32 * g, _mm512_permutexvar_ps(v, values));
            sink.put(32 * g + 16, _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(v), values));
        }
    }
}
