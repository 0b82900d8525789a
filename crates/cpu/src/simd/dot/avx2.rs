//! Dot products and sums of rows for AVX2, FMA and F16C.

use std::arch::x86_64::{
    __m256, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_loadu_si128, _mm_movehdup_ps, _mm_movehl_ps, _mm_storeu_ps,
    _mm256_add_ps, _mm256_castps256_ps128, _mm256_castsi256_ps, _mm256_cvtepu16_epi32, _mm256_cvtph_ps,
    _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_hadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps,
    _mm256_slli_epi32, _mm256_storeu_ps,
};

use half::f16;

use super::{BF16, F16, HALF_GROUP as GROUP, Sums, TILE_COLS};

/// Eight elements from position `i` on.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn load8<const KIND: u8>(p: *const u8, i: usize) -> __m256 {
    // SAFETY: the caller has eight readable elements there.
    unsafe {
        match KIND {
            F16 => _mm256_cvtph_ps(_mm_loadu_si128(p.cast::<u16>().add(i).cast())),
            BF16 => {
                let half = _mm_loadu_si128(p.cast::<u16>().add(i).cast());
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(half)))
            }
            _ => _mm256_loadu_ps(p.cast::<f32>().add(i)),
        }
    }
}

/// The element at position `i`.
///
/// # Safety
/// It is readable.
#[inline]
pub(super) unsafe fn load1<const KIND: u8>(p: *const u8, i: usize) -> f32 {
    // SAFETY: the caller has a readable element there.
    unsafe {
        match KIND {
            F16 => f16::from_bits(p.cast::<u16>().add(i).read()).to_f32_const(),
            BF16 => f32::from_bits(u32::from(p.cast::<u16>().add(i).read()) << 16),
            _ => p.cast::<f32>().add(i).read(),
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn horizontal_sum(v: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

#[target_feature(enable = "avx2,fma,f16c")]
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
            (1, 3) => block::<KIND, 1, 3, 3>(w, ldw, x, ldx, k),
            (1, _) => block::<KIND, 1, 4, 2>(w, ldw, x, ldx, k),
            (_, 1) => block::<KIND, 2, 1, 4>(w, ldw, x, ldx, k),
            (_, 2) => block::<KIND, 2, 2, 2>(w, ldw, x, ldx, k),
            (_, 3) => block::<KIND, 2, 3, 2>(w, ldw, x, ldx, k),
            (_, _) => block::<KIND, 2, 4, 1>(w, ldw, x, ldx, k),
        }
    }
}

/// `UNROLL` independent sums for each of `COLS·ROWS` products hide the latency of the
/// additions; every loaded vector is used for all products that it is part of.
#[inline]
// The indices run over several arrays at once.
#[allow(clippy::needless_range_loop)]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn block<const KIND: u8, const COLS: usize, const ROWS: usize, const UNROLL: usize>(
    w: *const u8,
    ldw: usize,
    x: *const f32,
    ldx: usize,
    k: usize,
) -> [[f32; GROUP]; 2] {
    let mut sums = [[[_mm256_setzero_ps(); UNROLL]; ROWS]; COLS];
    let mut i = 0;
    // SAFETY: every access lies below `k` in its vector.
    unsafe {
        while i + 8 * UNROLL <= k {
            for u in 0..UNROLL {
                let at = i + 8 * u;
                let mut wide = [_mm256_setzero_ps(); COLS];
                for (j, wide) in wide.iter_mut().enumerate() {
                    *wide = load8::<KIND>(w, j * ldw + at);
                }
                for r in 0..ROWS {
                    let x = _mm256_loadu_ps(x.add(r * ldx + at));
                    for j in 0..COLS {
                        sums[j][r][u] = _mm256_fmadd_ps(wide[j], x, sums[j][r][u]);
                    }
                }
            }
            i += 8 * UNROLL;
        }
        while i + 8 <= k {
            for r in 0..ROWS {
                let x = _mm256_loadu_ps(x.add(r * ldx + i));
                for (j, sums) in sums.iter_mut().enumerate() {
                    sums[r][0] = _mm256_fmadd_ps(load8::<KIND>(w, j * ldw + i), x, sums[r][0]);
                }
            }
            i += 8;
        }
        let mut result = [[0f32; GROUP]; 2];
        for (sums, result) in sums.iter().zip(&mut result) {
            for (sums, result) in sums.iter().zip(result) {
                let total = sums[1..].iter().fold(sums[0], |total, &sum| _mm256_add_ps(total, sum));
                *result = horizontal_sum(total);
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

/// Four rows in one pass over `y`, so that it is read and written a quarter as often.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn add_rows<const KIND: u8>(p: &[f32], v: *const u8, ld: usize, y: &mut [f32]) {
    let n = y.len();
    let y = y.as_mut_ptr();
    for (group, p) in p.chunks(GROUP).enumerate() {
        let first = group * GROUP * ld;
        let wide = [0, 1, 2, 3].map(|j| _mm256_set1_ps(p.get(j).copied().unwrap_or(0.0)));
        let mut c = 0;
        // SAFETY: every access lies in a row that exists, below its `n` elements.
        unsafe {
            if p.len() == GROUP {
                while c + 16 <= n {
                    let (mut low, mut high) = (_mm256_loadu_ps(y.add(c)), _mm256_loadu_ps(y.add(c + 8)));
                    for (j, &wide) in wide.iter().enumerate() {
                        low = _mm256_fmadd_ps(wide, load8::<KIND>(v, first + j * ld + c), low);
                        high = _mm256_fmadd_ps(wide, load8::<KIND>(v, first + j * ld + c + 8), high);
                    }
                    _mm256_storeu_ps(y.add(c), low);
                    _mm256_storeu_ps(y.add(c + 8), high);
                    c += 16;
                }
            }
            while c + 8 <= n {
                let mut sum = _mm256_loadu_ps(y.add(c));
                for (j, &wide) in wide.iter().enumerate().take(p.len()) {
                    sum = _mm256_fmadd_ps(wide, load8::<KIND>(v, first + j * ld + c), sum);
                }
                _mm256_storeu_ps(y.add(c), sum);
                c += 8;
            }
            while c < n {
                for (j, &p) in p.iter().enumerate() {
                    *y.add(c) = p.mul_add(load1::<KIND>(v, first + j * ld + c), *y.add(c));
                }
                c += 1;
            }
        }
    }
}

/// As [`super::tile`] for up to three vectors: more sums would not fit into sixteen registers.
///
/// # Safety
/// That of [`super::tile`], on a processor with AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
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
            _ => tile_of::<3>(w, x, ldx, k, y),
        }
    }
}

/// # Safety
/// As [`tile`], for `ROWS` vectors.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_of<const ROWS: usize>(w: [*const f32; TILE_COLS], x: *const f32, ldx: usize, k: usize, y: Sums<'_>) {
    const LANES: usize = 8;
    let mut sums = [[_mm256_setzero_ps(); TILE_COLS]; ROWS];
    let whole = k / LANES * LANES;
    let mut rest = [[0f32; TILE_COLS]; ROWS];
    // SAFETY: every access lies below `k` in its vector.
    unsafe {
        for i in (0..whole).step_by(LANES) {
            let mut xs = [_mm256_setzero_ps(); ROWS];
            for (r, to) in xs.iter_mut().enumerate() {
                *to = _mm256_loadu_ps(x.add(r * ldx + i));
            }
            for (c, w) in w.iter().enumerate() {
                let w = _mm256_loadu_ps(w.add(i));
                for (sums, &x) in sums.iter_mut().zip(&xs) {
                    sums[c] = _mm256_fmadd_ps(w, x, sums[c]);
                }
            }
        }
        for i in whole..k {
            for (r, rest) in rest.iter_mut().enumerate() {
                for (sum, w) in rest.iter_mut().zip(&w) {
                    *sum = w.add(i).read().mul_add(*x.add(r * ldx + i), *sum);
                }
            }
        }
    }
    for (r, (sums, rest)) in sums.into_iter().zip(rest).enumerate() {
        let mut all = four_sums(sums);
        all.iter_mut().zip(rest).for_each(|(sum, rest)| *sum += rest);
        y.add(r, all);
    }
}

/// The sum of the lanes of each of four registers.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn four_sums([a, b, c, d]: [__m256; 4]) -> [f32; 4] {
    let all = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    let sum = _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps::<1>(all));
    let mut four = [0.0; 4];
    // SAFETY: there is room for four.
    unsafe { _mm_storeu_ps(four.as_mut_ptr(), sum) };
    four
}
