//! Dot products for AVX-512: up to eight vectors and two columns at a time, as many sums as registers
//! allow, so that every loaded vector is used several times.

use std::arch::x86_64::{
    __m512, _MM_HINT_T0, _mm_add_ps, _mm_prefetch, _mm_storeu_ps, _mm256_loadu_si256, _mm512_add_ps,
    _mm512_castps512_ps128, _mm512_castsi512_ps, _mm512_cvtepu16_epi32, _mm512_cvtph_ps, _mm512_extractf32x4_ps,
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_maskz_loadu_ps, _mm512_reduce_add_ps, _mm512_setzero_ps,
    _mm512_shuffle_ps, _mm512_slli_epi32, _mm512_unpackhi_ps, _mm512_unpacklo_ps,
};

use super::avx2::load1;
use super::{BF16, F16, GROUP, Sums, TILE_COLS};

/// Lanes of a register.
const LANES: usize = 16;

/// Sixteen elements from position `i` on.
///
/// # Safety
/// They are readable.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load<const KIND: u8>(p: *const u8, i: usize) -> __m512 {
    // SAFETY: the caller's promise.
    unsafe {
        match KIND {
            F16 => _mm512_cvtph_ps(_mm256_loadu_si256(p.cast::<u16>().add(i).cast())),
            BF16 => {
                let half = _mm256_loadu_si256(p.cast::<u16>().add(i).cast());
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(half)))
            }
            _ => _mm512_loadu_ps(p.cast::<f32>().add(i)),
        }
    }
}

/// Asks for what is read soon: with one vector nothing but memory sets the time.
#[inline]
fn prefetch<const KIND: u8>(p: *const u8, i: usize) {
    const AHEAD: usize = 4096;
    let bytes = if KIND == super::F32 { 4 } else { 2 };
    // SAFETY: any address may be asked for.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(p.wrapping_add(i * bytes + AHEAD).cast()) };
}

/// As [`super::dots`].
///
/// # Safety
/// That of [`super::dots`], on a processor with AVX-512.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn dots<const KIND: u8>(
    (w, ldw, cols): (*const u8, usize, usize),
    (x, ldx, rows): (*const f32, usize, usize),
    k: usize,
) -> [[f32; GROUP]; 2] {
    // SAFETY: passed on.
    unsafe {
        match (cols, rows) {
            (1, 1) => block::<KIND, 1, 1, 8>(w, ldw, x, ldx, k),
            (1, 2) => block::<KIND, 1, 2, 4>(w, ldw, x, ldx, k),
            (1, 3) => block::<KIND, 1, 3, 4>(w, ldw, x, ldx, k),
            (1, 4) => block::<KIND, 1, 4, 4>(w, ldw, x, ldx, k),
            (1, 5) => block::<KIND, 1, 5, 2>(w, ldw, x, ldx, k),
            (1, 6) => block::<KIND, 1, 6, 2>(w, ldw, x, ldx, k),
            (1, 7) => block::<KIND, 1, 7, 2>(w, ldw, x, ldx, k),
            (1, _) => block::<KIND, 1, 8, 2>(w, ldw, x, ldx, k),
            // One column after the other, so that memory is read in order.
            (_, 1) => {
                let bytes = if KIND == super::F32 { 4 } else { 2 };
                let first = block::<KIND, 1, 1, 8>(w, ldw, x, ldx, k)[0];
                [first, block::<KIND, 1, 1, 8>(w.add(ldw * bytes), ldw, x, ldx, k)[0]]
            }
            (_, 2) => block::<KIND, 2, 2, 4>(w, ldw, x, ldx, k),
            (_, 3) => block::<KIND, 2, 3, 2>(w, ldw, x, ldx, k),
            (_, 4) => block::<KIND, 2, 4, 2>(w, ldw, x, ldx, k),
            (_, 5) => block::<KIND, 2, 5, 2>(w, ldw, x, ldx, k),
            (_, 6) => block::<KIND, 2, 6, 1>(w, ldw, x, ldx, k),
            (_, 7) => block::<KIND, 2, 7, 1>(w, ldw, x, ldx, k),
            (_, _) => block::<KIND, 2, 8, 1>(w, ldw, x, ldx, k),
        }
    }
}

/// `UNROLL` independent sums for each of `COLS·ROWS` products hide the latency of the additions.
///
/// # Safety
/// As [`dots`], for that many columns and vectors.
#[inline]
// The indices run over several arrays at once.
#[allow(clippy::needless_range_loop)]
#[target_feature(enable = "avx512f")]
unsafe fn block<const KIND: u8, const COLS: usize, const ROWS: usize, const UNROLL: usize>(
    w: *const u8,
    ldw: usize,
    x: *const f32,
    ldx: usize,
    k: usize,
) -> [[f32; GROUP]; 2] {
    let mut sums = [[[_mm512_setzero_ps(); UNROLL]; ROWS]; COLS];
    let mut i = 0;
    // SAFETY: every access lies below `k` in its vector.
    unsafe {
        while i + LANES * UNROLL <= k {
            for u in 0..UNROLL {
                let at = i + LANES * u;
                let mut wide = [_mm512_setzero_ps(); COLS];
                for (j, wide) in wide.iter_mut().enumerate() {
                    if ROWS == 1 {
                        prefetch::<KIND>(w, j * ldw + at);
                    }
                    *wide = load::<KIND>(w, j * ldw + at);
                }
                for r in 0..ROWS {
                    let x = _mm512_loadu_ps(x.add(r * ldx + at));
                    for j in 0..COLS {
                        sums[j][r][u] = _mm512_fmadd_ps(wide[j], x, sums[j][r][u]);
                    }
                }
            }
            i += LANES * UNROLL;
        }
        while i + LANES <= k {
            for r in 0..ROWS {
                let x = _mm512_loadu_ps(x.add(r * ldx + i));
                for (j, sums) in sums.iter_mut().enumerate() {
                    sums[r][0] = _mm512_fmadd_ps(load::<KIND>(w, j * ldw + i), x, sums[r][0]);
                }
            }
            i += LANES;
        }
        let mut result = [[0f32; GROUP]; 2];
        for (sums, result) in sums.iter().zip(&mut result) {
            for (sums, result) in sums.iter().zip(result) {
                let total = sums[1..].iter().fold(sums[0], |total, &sum| _mm512_add_ps(total, sum));
                *result = _mm512_reduce_add_ps(total);
            }
        }
        while i < k {
            for (j, result) in result.iter_mut().enumerate().take(COLS) {
                let w = load1::<KIND>(w, j * ldw + i);
                for (r, result) in result.iter_mut().enumerate().take(ROWS) {
                    *result = w.mul_add(*x.add(r * ldx + i), *result);
                }
            }
            i += 1;
        }
        result
    }
}

/// As [`super::tile`] for up to [`super::TILE_ROWS`] vectors.
///
/// # Safety
/// That of [`super::tile`], on a processor with AVX-512.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn tile(
    w: [*const f32; TILE_COLS],
    (x, ldx, rows): (*const f32, usize, usize),
    k: usize,
    y: Sums<'_>,
) {
    // SAFETY: passed on.
    unsafe {
        match rows {
            1 => tile_of::<1>(w, x, ldx, k, y),
            2 => tile_of::<2>(w, x, ldx, k, y),
            3 => tile_of::<3>(w, x, ldx, k, y),
            4 => tile_of::<4>(w, x, ldx, k, y),
            5 => tile_of::<5>(w, x, ldx, k, y),
            _ => tile_of::<6>(w, x, ldx, k, y),
        }
    }
}

/// # Safety
/// As [`tile`], for `ROWS` vectors.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn tile_of<const ROWS: usize>(w: [*const f32; TILE_COLS], x: *const f32, ldx: usize, k: usize, y: Sums<'_>) {
    let mut sums = [[_mm512_setzero_ps(); TILE_COLS]; ROWS];
    let whole = k / LANES * LANES;
    // SAFETY: every access lies below `k` in its vector.
    unsafe {
        for i in (0..whole).step_by(LANES) {
            let w = [
                _mm512_loadu_ps(w[0].add(i)),
                _mm512_loadu_ps(w[1].add(i)),
                _mm512_loadu_ps(w[2].add(i)),
                _mm512_loadu_ps(w[3].add(i)),
            ];
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = _mm512_loadu_ps(x.add(r * ldx + i));
                for (sum, &w) in sums.iter_mut().zip(&w) {
                    *sum = _mm512_fmadd_ps(w, x, *sum);
                }
            }
        }
        if whole < k {
            let mask = (1 << (k - whole)) - 1;
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = _mm512_maskz_loadu_ps(mask, x.add(r * ldx + whole));
                for (sum, &w) in sums.iter_mut().zip(&w) {
                    *sum = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, w.add(whole)), x, *sum);
                }
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        y.add(r, four_sums(sums));
    }
}

/// The sum of the lanes of each of four registers.
#[inline]
#[target_feature(enable = "avx512f")]
fn four_sums([a, b, c, d]: [__m512; 4]) -> [f32; 4] {
    let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    let all = _mm512_add_ps(_mm512_shuffle_ps::<0x44>(ab, cd), _mm512_shuffle_ps::<0xee>(ab, cd));
    let quarters = [
        _mm512_castps512_ps128(all),
        _mm512_extractf32x4_ps::<1>(all),
        _mm512_extractf32x4_ps::<2>(all),
        _mm512_extractf32x4_ps::<3>(all),
    ];
    let sum = _mm_add_ps(_mm_add_ps(quarters[0], quarters[1]), _mm_add_ps(quarters[2], quarters[3]));
    let mut four = [0.0; 4];
    // SAFETY: there is room for four.
    unsafe { _mm_storeu_ps(four.as_mut_ptr(), sum) };
    four
}
