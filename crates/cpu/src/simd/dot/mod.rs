//! Products of a few vectors with a stored matrix, at the speed of memory.
//!
//! Libraries for matrix products pack their operands, which doubles the traffic where each element
//! of a weight is used once. These two kernels read the matrix in place, in `f32`, `f16` or
//! `bf16`: [`dots`] where the summed dimension is contiguous, [`add_rows`] where the other one is.

use unisono_core::DType;

use super::Simd;
use super::convert::Run;

/// How many vectors one pass over the matrix serves.
pub(crate) const GROUP: usize = 4;

/// `Σᵢ x[r·ldx + i]·w[j·ldw + i]` for the `rows ≤ GROUP` vectors that start at `x` and the
/// `cols ≤ 2` that start at `w`, as `[j][r]`.
///
/// # Safety
/// `w` has stride 1 and `cols` readable vectors of `k` elements; `x` has `rows` of them.
pub(crate) unsafe fn dots(
    simd: Simd,
    (w, ldw, cols): (Run, usize, usize),
    (x, ldx, rows): (*const f32, usize, usize),
    k: usize,
) -> [[f32; GROUP]; 2] {
    debug_assert!(w.stride == 1 && rows <= GROUP && cols <= 2);
    // SAFETY: the caller's promise; `Simd::Avx2` exists only where the processor has the features.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if simd == Simd::Avx2 {
            return match w.dtype {
                DType::F16 => x86::dots::<{ x86::F16 }>((w.ptr, ldw, cols), (x, ldx, rows), k),
                DType::BF16 => x86::dots::<{ x86::BF16 }>((w.ptr, ldw, cols), (x, ldx, rows), k),
                _ => x86::dots::<{ x86::F32 }>((w.ptr, ldw, cols), (x, ldx, rows), k),
            };
        }
        let second = if cols > 1 { portable_dot_row(simd, w.skip(ldw), x, ldx, rows, k) } else { [0.0; GROUP] };
        [portable_dot_row(simd, w, x, ldx, rows, k), second]
    }
}

/// `y[c] += Σⱼ p[j]·v[j][c]` over the rows `j` of a matrix whose rows are `ld` elements apart.
///
/// # Safety
/// `v` has stride 1; `p.len()` rows of `y.len()` elements are readable from it.
pub(crate) unsafe fn add_rows(simd: Simd, p: &[f32], v: Run, ld: usize, y: &mut [f32]) {
    debug_assert!(v.stride == 1);
    // SAFETY: the caller's promise; `Simd::Avx2` exists only where the processor has the features.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if simd == Simd::Avx2 {
            return match v.dtype {
                DType::F16 => x86::add_rows::<{ x86::F16 }>(p, v.ptr, ld, y),
                DType::BF16 => x86::add_rows::<{ x86::BF16 }>(p, v.ptr, ld, y),
                _ => x86::add_rows::<{ x86::F32 }>(p, v.ptr, ld, y),
            };
        }
        portable_add_rows(simd, p, v, ld, y);
    }
}

const CHUNK: usize = 256;
const LANES: usize = 8;

unsafe fn portable_dot_row(simd: Simd, w: Run, x: *const f32, ldx: usize, rows: usize, k: usize) -> [f32; GROUP] {
    let mut lanes = [[0f32; LANES]; GROUP];
    let mut buffer = [0f32; CHUNK];
    for start in (0..k).step_by(CHUNK) {
        let n = CHUNK.min(k - start);
        // SAFETY: `start + n ≤ k` elements are readable.
        let w = unsafe { w.skip(start).as_f32(simd, n, &mut buffer) };
        for (r, lanes) in lanes.iter_mut().enumerate().take(rows) {
            // SAFETY: vector `r` has `k ≥ start + n` elements.
            let x = unsafe { std::slice::from_raw_parts(x.add(r * ldx + start), n) };
            for (w, x) in w.chunks(LANES).zip(x.chunks(LANES)) {
                for (lane, (w, x)) in lanes.iter_mut().zip(w.iter().zip(x)) {
                    *lane += w * x;
                }
            }
        }
    }
    lanes.map(|l| l.iter().sum())
}

unsafe fn portable_add_rows(simd: Simd, p: &[f32], v: Run, ld: usize, y: &mut [f32]) {
    let mut buffer = [0f32; CHUNK];
    for (c, y) in y.chunks_mut(CHUNK).enumerate() {
        for (j, &p) in p.iter().enumerate() {
            // SAFETY: row `j` has at least `c·CHUNK + y.len()` elements.
            let v = unsafe { v.skip(j * ld + c * CHUNK).as_f32(simd, y.len(), &mut buffer) };
            y.iter_mut().zip(v).for_each(|(y, v)| *y += p * v);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_loadu_si128, _mm_movehdup_ps, _mm_movehl_ps, _mm256_add_ps,
        _mm256_castps256_ps128, _mm256_castsi256_ps, _mm256_cvtepu16_epi32, _mm256_cvtph_ps, _mm256_extractf128_ps,
        _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_slli_epi32, _mm256_storeu_ps,
    };

    use half::f16;

    use super::GROUP;

    pub(super) const F32: u8 = 0;
    pub(super) const F16: u8 = 1;
    pub(super) const BF16: u8 = 2;

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

    #[inline]
    unsafe fn load1<const KIND: u8>(p: *const u8, i: usize) -> f32 {
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
}
