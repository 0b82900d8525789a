//! Sixteen elements at a time: bytes as lanes, tables of values, and factors in memory.

use std::arch::x86_64::{
    __m256, __m512, __m512i, __mmask16, _mm_loadu_si128, _mm_set_epi64x, _mm256_cvtph_ps, _mm256_storeu_ps,
    _mm512_add_ps, _mm512_broadcast_i32x4, _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_mask_permutexvar_ps, _mm512_mul_ps, _mm512_permutexvar_ps, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_shuffle_epi8, _mm512_storeu_ps, _mm512_test_epi32_mask,
};

use std::hint::black_box;

use super::super::x86::widen;

/// What starts with a line of the cache: numbers that are written as a vector and read one by one must
/// not lie across two lines.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Line<T>(pub(super) T);

/// The f16 at byte `at`.
///
/// Its bits go through memory: compilers would insert them into whatever a register holds, and each
/// block would wait for the last instruction of the block before that wrote it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(in crate::blocks) fn half(b: &[u8], at: usize) -> f32 {
    widen(black_box(u16::from_le_bytes([b[at], b[at + 1]])))
}

/// Sixteen bytes as lanes of 32 bits: each quarter of the register gets them all, which is part of the
/// load, and picks its own. (To widen them takes two passes through the same units.)
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn bytes(from: &[u8]) -> __m512i {
    const PICK: [i8; 64] = {
        let mut pick = [-1; 64];
        let mut i = 0;
        while i < 16 {
            pick[4 * i] = i as i8;
            i += 1;
        }
        pick
    };
    let from: &[u8; 16] = from.first_chunk().unwrap_or(&[0; 16]);
    // SAFETY: there are sixteen, and 64.
    unsafe {
        let all = _mm512_broadcast_i32x4(_mm_loadu_si128(from.as_ptr().cast()));
        _mm512_shuffle_epi8(all, _mm512_loadu_si512(PICK.as_ptr().cast()))
    }
}

/// The f16 at byte `AT` of each of up to eight blocks.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn halves<const BYTES: usize, const AT: usize>(blocks: &[[u8; BYTES]]) -> Line<[f32; 8]> {
    // In two registers: what was stored in small pieces cannot be loaded in a large one before it reaches the cache.
    let bits = |some: &[[u8; BYTES]]| {
        let bits = some.iter().map(|block| u64::from(u16::from_le_bytes([block[AT], block[AT + 1]])));
        bits.rev().fold(0, |all, bits| all << 16 | bits).cast_signed()
    };
    let (low, high) = blocks.split_at(blocks.len().min(4));
    let bits = _mm_set_epi64x(bits(high), bits(low));
    let mut numbers = Line([0.0; 8]);
    // SAFETY: both have room for eight.
    unsafe { _mm256_storeu_ps(numbers.0.as_mut_ptr(), _mm256_cvtph_ps(bits)) };
    numbers
}

/// Twice eight numbers in memory.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn stored_eights([first, second]: [__m256; 2]) -> Line<[f32; 16]> {
    let mut to = Line([0.0; 16]);
    // SAFETY: there is room for sixteen.
    unsafe {
        _mm256_storeu_ps(to.0.as_mut_ptr(), first);
        _mm256_storeu_ps(to.0.as_mut_ptr().add(8), second);
    }
    to
}

/// Sixteen numbers in memory.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn stored(numbers: __m512) -> Line<[f32; 16]> {
    let mut to = Line([0.0; 16]);
    // SAFETY: there is room for sixteen.
    unsafe { _mm512_storeu_ps(to.0.as_mut_ptr(), numbers) };
    to
}

#[inline]
pub(super) fn word(from: &[u8], at: usize) -> u32 {
    from[at..].first_chunk().map_or(0, |b| u32::from_le_bytes(*b))
}

/// Sixteen signed bytes as numbers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn signed(from: &[u8]) -> __m512 {
    let from: &[u8; 16] = from.first_chunk().unwrap_or(&[0; 16]);
    // SAFETY: there are sixteen.
    unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.as_ptr().cast()))) }
}

/// Sixteen values as a table.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn table(values: &[i8; 16]) -> __m512 {
    signed(&values.map(|v| v as u8))
}

/// `i % period` for each lane.
const fn lanes(period: usize) -> [f32; 16] {
    let mut lanes = [0.0; 16];
    let mut i = 0;
    while i < 16 {
        lanes[i] = (i % period) as f32;
        i += 1;
    }
    lanes
}

/// `first`, `first + 1`, …: sixteen of them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn counting(first: f32) -> __m512 {
    const LANES: [f32; 16] = lanes(16);
    // SAFETY: there are sixteen.
    _mm512_add_ps(unsafe { _mm512_loadu_ps(LANES.as_ptr()) }, _mm512_set1_ps(first))
}

/// `first` to `first + 3`, four times: the table of a code of two bits with any bits above it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn counting_by_four(first: f32) -> __m512 {
    const LANES: [f32; 16] = lanes(4);
    // SAFETY: there are sixteen.
    _mm512_add_ps(unsafe { _mm512_loadu_ps(LANES.as_ptr()) }, _mm512_set1_ps(first))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn scaled(factor: f32, codes: __m512) -> __m512 {
    _mm512_mul_ps(_mm512_set1_ps(factor), codes)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn shifted(factor: f32, codes: __m512, offset: f32) -> __m512 {
    _mm512_fmadd_ps(_mm512_set1_ps(factor), codes, _mm512_set1_ps(offset))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn both_scaled(factor: f32, codes: [__m512; 2]) -> [__m512; 2] {
    [scaled(factor, codes[0]), scaled(factor, codes[1])]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn both_shifted(factor: f32, codes: [__m512; 2], offset: f32) -> [__m512; 2] {
    [shifted(factor, codes[0], offset), shifted(factor, codes[1], offset)]
}

/// Entry `code % 16` of the first table, or of the second where the mask is set.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn either(code: __m512i, tables: [__m512; 2], second: __mmask16) -> __m512 {
    _mm512_mask_permutexvar_ps(_mm512_permutexvar_ps(code, tables[0]), second, code, tables[1])
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn has_bits(v: __m512i, bits: i32) -> __mmask16 {
    _mm512_test_epi32_mask(v, _mm512_set1_epi32(bits))
}
