//! Products of bytes with AVX2: as they are, or with the VNNI of 256 bits.
//!
//! The instruction of AVX2 adds two products of bytes as a number of 16 bits, which holds those of signed
//! codes (2·128·127), but not of unsigned ones up to 255. So the sign of a code moves to the activation.

use std::arch::x86_64::{
    __m256, __m256i, _mm256_abs_epi8, _mm256_add_epi32, _mm256_add_ps, _mm256_cvtepi32_ps, _mm256_dpbusd_avx_epi32,
    _mm256_fmadd_ps, _mm256_load_ps, _mm256_load_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_mul_ps,
    _mm256_set1_epi8, _mm256_set1_epi16, _mm256_setzero_ps, _mm256_setzero_si256, _mm256_sign_epi8, _mm256_sub_epi8,
};

use super::super::x86::horizontal_sum;
use super::{Activations, Kind, Weights};

/// # Safety
/// The processor has AVX2, FMA and the VNNI of 256 bits.
#[target_feature(enable = "avx2,fma,avxvnni")]
pub(super) unsafe fn dot_vnni(kind: Kind, w: &[Weights], x: &[Activations]) -> f32 {
    let mut sums = [_mm256_setzero_ps(); 2];
    for (w, x) in w.iter().zip(x) {
        for (half, sum) in sums.iter_mut().enumerate() {
            // SAFETY: there are as many bytes and numbers, and parts are aligned.
            unsafe {
                let mut lanes = match kind {
                    Kind::Centred(_) => _mm256_load_si256(x.start.as_ptr().add(8 * half).cast()),
                    Kind::Offset => _mm256_setzero_si256(),
                };
                for t in 0..4 {
                    let [w, x] = bytes(w, x, 64 * t + 32 * half);
                    lanes = _mm256_dpbusd_avx_epi32(lanes, w, x);
                }
                *sum = scaled(kind, (w, x), half, lanes, *sum);
            }
        }
    }
    horizontal_sum(_mm256_add_ps(sums[0], sums[1]))
}

/// # Safety
/// The processor has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn dot(kind: Kind, w: &[Weights], x: &[Activations]) -> f32 {
    let (zero, ones) = (_mm256_set1_epi8(kind.zero().cast_signed()), _mm256_set1_epi16(1));
    let mut sums = [_mm256_setzero_ps(); 2];
    for (w, x) in w.iter().zip(x) {
        for (half, sum) in sums.iter_mut().enumerate() {
            // SAFETY: there are as many bytes and numbers, and parts are aligned.
            unsafe {
                let mut lanes = _mm256_setzero_si256();
                for t in 0..4 {
                    let [w, x] = bytes(w, x, 64 * t + 32 * half);
                    let pairs = match kind {
                        Kind::Offset => _mm256_maddubs_epi16(w, x),
                        Kind::Centred(_) => {
                            let w = _mm256_sub_epi8(w, zero);
                            _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w))
                        }
                    };
                    lanes = _mm256_add_epi32(lanes, _mm256_madd_epi16(pairs, ones));
                }
                *sum = scaled(kind, (w, x), half, lanes, *sum);
            }
        }
    }
    horizontal_sum(_mm256_add_ps(sums[0], sums[1]))
}

/// 32 codes of both.
///
/// # Safety
/// `at + 32` is at most 256.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn bytes(w: &Weights, x: &Activations, at: usize) -> [__m256i; 2] {
    // SAFETY: the caller's promise; parts are aligned.
    unsafe {
        let x = _mm256_load_si256(x.code.as_ptr().add(at).cast());
        [_mm256_load_si256(w.code.as_ptr().add(at).cast()), x]
    }
}

/// `sum` and what half of the lanes of a part stand for.
///
/// # Safety
/// The half is 0 or 1.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn scaled(kind: Kind, (w, x): (&Weights, &Activations), half: usize, lanes: __m256i, sum: __m256) -> __m256 {
    // SAFETY: the caller's promise; parts are aligned.
    unsafe {
        let at = |lanes: &[f32; 16]| _mm256_load_ps(lanes.as_ptr().add(8 * half));
        let product = _mm256_mul_ps(_mm256_cvtepi32_ps(lanes), at(&w.factor));
        let sum = _mm256_fmadd_ps(product, at(&x.scale), sum);
        match kind {
            Kind::Centred(_) => sum,
            Kind::Offset => _mm256_fmadd_ps(at(&w.offset), at(&x.sum), sum),
        }
    }
}
