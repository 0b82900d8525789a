//! Probe loops in AVX2 and FMA. Twelve chains hide the latency of a multiply-add (4 or 5 cycles, two
//! units) and leave registers for its operands.

use std::arch::x86_64::{
    __m256, __m256i, _mm256_add_epi32, _mm256_add_ps, _mm256_fmadd_ps, _mm256_hadd_ps, _mm256_loadu_ps,
    _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_permute2f128_ps, _mm256_set1_epi8,
    _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps, _mm256_storeu_si256,
};
use std::hint::black_box;

use super::Loops;

const CHAINS: usize = 12;
const UNROLL: usize = 4;
const SUMS: usize = 4;

pub(super) const LOOPS: Loops = Loops {
    // SAFETY (of every call here): levels with AVX2 exist only where the processor has the features.
    // SAFETY: see above.
    fma: (|rounds| unsafe { fma(rounds) }, (CHAINS * UNROLL * 8 * 2) as u32),
    // SAFETY: see above.
    dot_int8: (|rounds| unsafe { dot_int8(rounds) }, (CHAINS * UNROLL * 32 * 2) as u32),
    // SAFETY: see above.
    sum: (|rounds| unsafe { sum(rounds) }, (SUMS * 8) as u32),
    // SAFETY: see above.
    read: |a, rounds| unsafe { read(a, rounds) },
    // SAFETY: see above.
    copy: |a, y, rounds| unsafe { copy(a, y, rounds) },
    // SAFETY: see above.
    triad: |a, b, y, rounds| unsafe { triad(a, b, y, rounds) },
};

#[inline]
#[target_feature(enable = "avx2,fma")]
fn total(v: __m256) -> f32 {
    let mut lanes = [0f32; 8];
    // SAFETY: eight numbers fit.
    unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), v) };
    lanes.iter().sum()
}

#[target_feature(enable = "avx2,fma")]
fn fma(rounds: u32) -> f32 {
    let (factor, term) = (_mm256_set1_ps(black_box(0.999)), _mm256_set1_ps(black_box(0.001)));
    let mut chains = [_mm256_setzero_ps(); CHAINS];
    for _ in 0..rounds {
        for _ in 0..UNROLL {
            for chain in &mut chains {
                *chain = _mm256_fmadd_ps(*chain, factor, term);
            }
        }
    }
    total(chains.into_iter().fold(_mm256_setzero_ps(), |sum, chain| _mm256_add_ps(sum, chain)))
}

#[target_feature(enable = "avx2,fma")]
fn dot_int8(rounds: u32) -> i32 {
    let (factor, ones) = (_mm256_set1_epi8(black_box(3)), _mm256_set1_epi16(black_box(1)));
    let mut chains: [__m256i; CHAINS] = std::array::from_fn(|i| _mm256_set1_epi32(black_box(i as i32)));
    for _ in 0..rounds {
        for _ in 0..UNROLL {
            for chain in &mut chains {
                *chain = _mm256_add_epi32(*chain, _mm256_madd_epi16(_mm256_maddubs_epi16(*chain, factor), ones));
            }
        }
    }
    let mut lanes = [0i32; 8];
    let sum = chains[1..].iter().fold(chains[0], |sum, &chain| _mm256_add_epi32(sum, chain));
    // SAFETY: eight numbers fit.
    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sum) };
    lanes.iter().fold(0, |sum, &lane| sum.wrapping_add(lane))
}

#[target_feature(enable = "avx2,fma")]
fn sum(rounds: u32) -> f32 {
    let factor = _mm256_set1_ps(black_box(0.1));
    let mut chains = [_mm256_set1_ps(black_box(1.0)); SUMS];
    for _ in 0..rounds {
        for chain in &mut chains {
            // Pairs, quarters, then the two halves: every lane holds the sum of all.
            let pairs = _mm256_hadd_ps(*chain, *chain);
            let quarters = _mm256_hadd_ps(pairs, pairs);
            let other = _mm256_permute2f128_ps::<1>(quarters, quarters);
            *chain = _mm256_mul_ps(_mm256_add_ps(quarters, other), factor);
        }
    }
    total(chains.into_iter().fold(_mm256_setzero_ps(), |sum, chain| _mm256_add_ps(sum, chain)))
}

#[target_feature(enable = "avx2,fma")]
fn read(a: &[f32], rounds: u32) -> f32 {
    let mut sums = [_mm256_setzero_ps(); 8];
    for _ in 0..rounds {
        for line in black_box(a).chunks_exact(64) {
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: a line has 64 numbers.
                *sum = _mm256_add_ps(*sum, unsafe { _mm256_loadu_ps(line.as_ptr().add(8 * i)) });
            }
        }
    }
    total(sums.into_iter().fold(_mm256_setzero_ps(), |all, sum| _mm256_add_ps(all, sum)))
}

#[target_feature(enable = "avx2,fma")]
fn copy(a: &[f32], y: &mut [f32], rounds: u32) {
    for _ in 0..rounds {
        for (from, to) in black_box(a).chunks_exact(64).zip(black_box(&mut *y).chunks_exact_mut(64)) {
            for i in (0..64).step_by(8) {
                // SAFETY: both lines have 64 numbers.
                unsafe { _mm256_storeu_ps(to.as_mut_ptr().add(i), _mm256_loadu_ps(from.as_ptr().add(i))) };
            }
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn triad(a: &[f32], b: &[f32], y: &mut [f32], rounds: u32) {
    let factor = _mm256_set1_ps(black_box(0.5));
    for _ in 0..rounds {
        let arrays = black_box(a).chunks_exact(64).zip(b.chunks_exact(64));
        for ((a, b), to) in arrays.zip(black_box(&mut *y).chunks_exact_mut(64)) {
            for i in (0..64).step_by(8) {
                // SAFETY: all three lines have 64 numbers.
                unsafe {
                    let (a, b) = (_mm256_loadu_ps(a.as_ptr().add(i)), _mm256_loadu_ps(b.as_ptr().add(i)));
                    _mm256_storeu_ps(to.as_mut_ptr().add(i), _mm256_fmadd_ps(factor, b, a));
                }
            }
        }
    }
}
