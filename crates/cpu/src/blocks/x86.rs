//! The parts of unpacking and multiplying that compilers do not turn into good vector code by
//! themselves, for AVX2, FMA and F16C.
//!
//! Each function has a plain twin beside its caller; the tests run both.

use std::arch::x86_64::{
    __m256, _mm_add_ps, _mm_add_ss, _mm_and_si128, _mm_cvtph_ps, _mm_cvtsi32_si128, _mm_cvtss_f32, _mm_loadl_epi64,
    _mm_loadu_si128, _mm_movehdup_ps, _mm_movehl_ps, _mm_set1_epi8, _mm_shuffle_epi8, _mm_srli_epi16, _mm_storeu_si128,
    _mm_sub_epi8, _mm256_add_epi8, _mm256_add_ps, _mm256_and_si256, _mm256_castps256_ps128, _mm256_cmpeq_epi8,
    _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps, _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_loadu_ps,
    _mm256_loadu_si256, _mm256_mul_ps, _mm256_set1_epi8, _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_set1_ps,
    _mm256_setr_epi64x, _mm256_setzero_ps, _mm256_shuffle_epi8, _mm256_storeu_si256,
};

use super::unpack::Format;
use super::{Codes, GROUP, MAX_BLOCK};

/// An f16 widened.
#[inline]
#[target_feature(enable = "f16c")]
pub(super) fn widen(bits: u16) -> f32 {
    _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(bits))))
}

/// Low nibbles of 16 bytes, then the high ones, less `zero`.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn nibbles(qs: &[u8; 16], zero: i8, code: &mut [i8; 32]) {
    // SAFETY: the arrays have 16 and 32 bytes.
    unsafe {
        let (q, mask, zero) = (_mm_loadu_si128(qs.as_ptr().cast()), _mm_set1_epi8(15), _mm_set1_epi8(zero));
        let low = _mm_sub_epi8(_mm_and_si128(q, mask), zero);
        let high = _mm_sub_epi8(_mm_and_si128(_mm_srli_epi16::<4>(q), mask), zero);
        _mm_storeu_si128(code.as_mut_ptr().cast(), low);
        _mm_storeu_si128(code.as_mut_ptr().add(16).cast(), high);
    }
}

/// The nibbles of 16 bytes, each replaced by its value in `table`.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn looked_up(qs: &[u8; 16], table: &[i8; 16], code: &mut [i8; 32]) {
    // SAFETY: the arrays have 16 and 32 bytes.
    unsafe {
        let (table, q) = (_mm_loadu_si128(table.as_ptr().cast()), _mm_loadu_si128(qs.as_ptr().cast()));
        let mask = _mm_set1_epi8(15);
        let high = _mm_and_si128(_mm_srli_epi16::<4>(q), mask);
        _mm_storeu_si128(code.as_mut_ptr().cast(), _mm_shuffle_epi8(table, _mm_and_si128(q, mask)));
        _mm_storeu_si128(code.as_mut_ptr().add(16).cast(), _mm_shuffle_epi8(table, high));
    }
}

/// Adds bit `i` of the four bytes to code `i`, as bit 4.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn fifth_bits(qh: [u8; 4], code: &mut [i8; 32]) {
    // Byte i of the vector gets byte i / 8 of the mask, and keeps bit i % 8 of it.
    let bytes = _mm256_setr_epi64x(0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303);
    let spread = _mm256_shuffle_epi8(_mm256_set1_epi32(i32::from_le_bytes(qh)), bytes);
    let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
    let set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit);
    let fifth = _mm256_and_si256(set, _mm256_set1_epi8(16));
    // SAFETY: the array has 32 bytes.
    unsafe {
        let sum = _mm256_add_epi8(_mm256_loadu_si256(code.as_ptr().cast()), fifth);
        _mm256_storeu_si256(code.as_mut_ptr().cast(), sum);
    }
}

/// Adds `value` to element `l` of group `g` of 32 where bit `g` of byte `l` is set, and `always` to
/// every element.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn upper_bits(bits: &[u8; 32], value: i8, always: i8, code: &mut [i8; MAX_BLOCK]) {
    let (value, always) = (_mm256_set1_epi8(value), _mm256_set1_epi8(always));
    // SAFETY: the arrays have 32 and 8·32 bytes.
    unsafe {
        let bits = _mm256_loadu_si256(bits.as_ptr().cast());
        for g in 0..8 {
            let bit = _mm256_set1_epi8((1u8 << g) as i8);
            let set = _mm256_cmpeq_epi8(_mm256_and_si256(bits, bit), bit);
            let more = _mm256_add_epi8(_mm256_and_si256(set, value), always);
            let at = code.as_mut_ptr().add(32 * g);
            _mm256_storeu_si256(at.cast(), _mm256_add_epi8(_mm256_loadu_si256(at.cast()), more));
        }
    }
}

/// Eight codes as numbers.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn eight(code: *const i8) -> __m256 {
    // SAFETY: the caller has eight codes there.
    unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(code.cast()))) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn horizontal_sum(v: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

/// The dot products of a row of blocks with `N` vectors.
///
/// A single vector multiplies the codes of a group first and the factor once; several share the
/// decoded elements.
///
/// # Safety
/// `N` vectors of as many elements as `w` has are readable from `x` on, `ldx` apart.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn dot_row<F: Format, const N: usize>(w: &[u8], x: *const f32, ldx: usize) -> [f32; N] {
    let mut codes = Codes::ZERO;
    let mut sums = [[_mm256_setzero_ps(); 2]; N];
    let mut more = [_mm256_setzero_ps(); 2];
    for (b, block) in w.chunks_exact(F::BYTES).enumerate() {
        F::unpack::<true>(block, &mut codes);
        for pair in 0..F::ELEMENTS / (2 * GROUP) {
            let first = 2 * GROUP * pair;
            // SAFETY: groups 2·pair and 2·pair + 1 are 32 codes, and so many elements of each vector.
            unsafe {
                let code = codes.code.as_ptr().add(first);
                let x = x.add(b * F::ELEMENTS + first);
                for g in 0..2 {
                    let factor = _mm256_set1_ps(codes.factor[2 * pair + g]);
                    let (low, high) = (eight(code.add(16 * g)), eight(code.add(16 * g + 8)));
                    if F::CENTRED && N == 1 {
                        let part = _mm256_mul_ps(low, _mm256_loadu_ps(x.add(16 * g)));
                        let part = _mm256_fmadd_ps(high, _mm256_loadu_ps(x.add(16 * g + 8)), part);
                        sums[0][g] = _mm256_fmadd_ps(factor, part, sums[0][g]);
                        continue;
                    }
                    let [low, high] = if F::CENTRED {
                        [_mm256_mul_ps(factor, low), _mm256_mul_ps(factor, high)]
                    } else {
                        let offset = _mm256_set1_ps(codes.offset[2 * pair + g]);
                        [_mm256_fmadd_ps(factor, low, offset), _mm256_fmadd_ps(factor, high, offset)]
                    };
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let x = x.add(r * ldx + 16 * g);
                        // One vector alone has sums enough in flight only with four of them.
                        let sums = if N == 1 && g == 1 { &mut more } else { sums };
                        sums[0] = _mm256_fmadd_ps(low, _mm256_loadu_ps(x), sums[0]);
                        sums[1] = _mm256_fmadd_ps(high, _mm256_loadu_ps(x.add(8)), sums[1]);
                    }
                }
            }
        }
    }
    sums[0] = [_mm256_add_ps(sums[0][0], more[0]), _mm256_add_ps(sums[0][1], more[1])];
    sums.map(|[a, b]| horizontal_sum(_mm256_add_ps(a, b)))
}
