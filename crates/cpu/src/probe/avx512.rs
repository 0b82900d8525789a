//! Probe loops in AVX-512, for what a processor with units of 512 bits does twice as fast. Sixteen chains hide the
//! latency of a multiply-add (4 or 5 cycles, one or two units) and leave registers for its operands.

use std::arch::x86_64::{
    __m512, __m512i, _mm512_add_epi32, _mm512_add_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_reduce_add_epi32, _mm512_reduce_add_ps, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_storeu_ps,
};
use std::hint::black_box;

use super::{Loops, x86};

const CHAINS: usize = 16;
const UNROLL: usize = 4;

/// Those of AVX2, except for what is here.
const LOOPS: Loops = Loops {
    // SAFETY (of every call here): the level exists only where the processor has AVX-512 F and BW.
    // SAFETY: see above.
    fma: (|rounds| unsafe { fma(rounds) }, (CHAINS * UNROLL * 16 * 2) as u32),
    // SAFETY: see above.
    read: |a, rounds| unsafe { read(a, rounds) },
    // SAFETY: see above.
    copy: |a, y, rounds| unsafe { copy(a, y, rounds) },
    // SAFETY: see above.
    triad: |a, b, y, rounds| unsafe { triad(a, b, y, rounds) },
    ..x86::LOOPS
};

/// [`LOOPS`] with products of bytes by VNNI, where the processor has it.
pub(super) fn loops() -> Loops {
    if !is_x86_feature_detected!("avx512vnni") {
        return LOOPS;
    }
    // SAFETY: the processor has it.
    Loops { dot_int8: (|rounds| unsafe { dot_int8(rounds) }, (CHAINS * UNROLL * 64 * 2) as u32), ..LOOPS }
}

#[target_feature(enable = "avx512f")]
fn fma(rounds: u32) -> f32 {
    let (factor, term) = (_mm512_set1_ps(black_box(0.999)), _mm512_set1_ps(black_box(0.001)));
    let mut chains = [_mm512_setzero_ps(); CHAINS];
    for _ in 0..rounds {
        for _ in 0..UNROLL {
            for chain in &mut chains {
                *chain = _mm512_fmadd_ps(*chain, factor, term);
            }
        }
    }
    total(chains)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn total(sums: [__m512; CHAINS]) -> f32 {
    _mm512_reduce_add_ps(sums[1..].iter().fold(sums[0], |all, &sum| _mm512_add_ps(all, sum)))
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn dot_int8(rounds: u32) -> i32 {
    let (a, b) = (_mm512_set1_epi8(black_box(1)), _mm512_set1_epi8(black_box(3)));
    let mut chains: [__m512i; CHAINS] = std::array::from_fn(|i| _mm512_set1_epi32(black_box(i as i32)));
    for _ in 0..rounds {
        for _ in 0..UNROLL {
            for chain in &mut chains {
                *chain = _mm512_dpbusd_epi32(*chain, a, b);
            }
        }
    }
    _mm512_reduce_add_epi32(chains[1..].iter().fold(chains[0], |all, &sum| _mm512_add_epi32(all, sum)))
}

#[target_feature(enable = "avx512f")]
fn read(a: &[f32], rounds: u32) -> f32 {
    let mut sums = [_mm512_setzero_ps(); CHAINS];
    for _ in 0..rounds {
        for line in black_box(a).chunks_exact(64) {
            for (i, sum) in sums.iter_mut().enumerate().take(4) {
                // SAFETY: there are 64 numbers.
                *sum = _mm512_add_ps(*sum, unsafe { _mm512_loadu_ps(line.as_ptr().add(16 * i)) });
            }
        }
    }
    total(sums)
}

#[target_feature(enable = "avx512f")]
fn copy(a: &[f32], y: &mut [f32], rounds: u32) {
    for _ in 0..rounds {
        for (from, to) in black_box(a).chunks_exact(64).zip(black_box(&mut *y).chunks_exact_mut(64)) {
            for i in (0..64).step_by(16) {
                // SAFETY: both have 64 numbers.
                unsafe { _mm512_storeu_ps(to.as_mut_ptr().add(i), _mm512_loadu_ps(from.as_ptr().add(i))) };
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
fn triad(a: &[f32], b: &[f32], y: &mut [f32], rounds: u32) {
    let factor = _mm512_set1_ps(black_box(0.5));
    for _ in 0..rounds {
        let arrays = black_box(a).chunks_exact(64).zip(b.chunks_exact(64));
        for ((a, b), to) in arrays.zip(black_box(&mut *y).chunks_exact_mut(64)) {
            for i in (0..64).step_by(16) {
                // SAFETY: all three have 64 numbers.
                unsafe {
                    let (a, b) = (_mm512_loadu_ps(a.as_ptr().add(i)), _mm512_loadu_ps(b.as_ptr().add(i)));
                    _mm512_storeu_ps(to.as_mut_ptr().add(i), _mm512_fmadd_ps(factor, b, a));
                }
            }
        }
    }
}
