//! Products of bytes with AVX-512 and its VNNI, four columns of a weight at a time.

use std::arch::x86_64::{
    __m512, __m512i, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_load_ps, _mm512_load_si512,
    _mm512_mul_ps, _mm512_reduce_add_ps, _mm512_setzero_ps, _mm512_setzero_si512,
};

use super::{Activations, COLS, Kind, LANES, ROWS, Weights};

/// The dot products of [`COLS`] columns with `rows ≤ ROWS` rows.
///
/// # Safety
/// The processor has AVX-512 with BW and VNNI. Columns and rows have `parts` parts each, one after the other.
pub(super) unsafe fn dots(
    kind: Kind,
    w: *const Weights,
    (x, rows): (*const Activations, usize),
    parts: usize,
) -> [[f32; ROWS]; COLS] {
    // SAFETY: passed on.
    unsafe {
        match (kind, rows) {
            (Kind::Centred(_), 1) => products::<COLS, 1, true>(w, x, parts),
            (Kind::Centred(_), 2) => products::<COLS, 2, true>(w, x, parts),
            (Kind::Centred(_), 3) => products::<COLS, 3, true>(w, x, parts),
            (Kind::Centred(_), _) => products::<COLS, 4, true>(w, x, parts),
            (Kind::Offset, 1) => products::<COLS, 1, false>(w, x, parts),
            (Kind::Offset, 2) => products::<COLS, 2, false>(w, x, parts),
            (Kind::Offset, 3) => products::<COLS, 3, false>(w, x, parts),
            (Kind::Offset, _) => products::<COLS, 4, false>(w, x, parts),
        }
    }
}

/// One dot product.
///
/// # Safety
/// The processor has AVX-512 with BW and VNNI.
pub(super) unsafe fn dot(kind: Kind, w: &[Weights], x: &[Activations]) -> f32 {
    let parts = w.len().min(x.len());
    // SAFETY: passed on; both have so many parts.
    unsafe {
        match kind {
            Kind::Centred(_) => products::<1, 1, true>(w.as_ptr(), x.as_ptr(), parts)[0][0],
            Kind::Offset => products::<1, 1, false>(w.as_ptr(), x.as_ptr(), parts)[0][0],
        }
    }
}

/// # Safety
/// As [`dots`], for `C` columns and `N` rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn products<const C: usize, const N: usize, const CENTRED: bool>(
    w: *const Weights,
    x: *const Activations,
    parts: usize,
) -> [[f32; ROWS]; COLS] {
    let mut sums = [[_mm512_setzero_ps(); N]; C];
    for p in 0..parts {
        for (c, sums) in sums.iter_mut().enumerate() {
            // SAFETY: column `c` has part `p`; parts are aligned.
            let (codes, factor, offset) = unsafe {
                let w = w.add(c * parts + p);
                let code = (&raw const (*w).code).cast::<u8>();
                let codes: [__m512i; 4] = std::array::from_fn(|t| _mm512_load_si512(code.add(64 * t).cast()));
                (codes, numbers(&raw const (*w).factor), numbers(&raw const (*w).offset))
            };
            for (r, sum) in sums.iter_mut().enumerate() {
                // SAFETY: row `r` has part `p`; parts are aligned.
                unsafe {
                    let x = x.add(r * parts + p);
                    let code = (&raw const (*x).code).cast::<i8>();
                    let mut lanes = _mm512_setzero_si512();
                    if CENTRED {
                        lanes = _mm512_load_si512((&raw const (*x).start).cast());
                    }
                    for (t, &w) in codes.iter().enumerate() {
                        lanes = _mm512_dpbusd_epi32(lanes, w, _mm512_load_si512(code.add(64 * t).cast()));
                    }
                    let product = _mm512_mul_ps(_mm512_cvtepi32_ps(lanes), factor);
                    *sum = _mm512_fmadd_ps(product, numbers(&raw const (*x).scale), *sum);
                    if !CENTRED {
                        *sum = _mm512_fmadd_ps(offset, numbers(&raw const (*x).sum), *sum);
                    }
                }
            }
        }
    }
    let mut all = [[0.0; ROWS]; COLS];
    for (all, sums) in all.iter_mut().zip(&sums) {
        for (all, &sum) in all.iter_mut().zip(sums) {
            *all = _mm512_reduce_add_ps(sum);
        }
    }
    all
}

/// # Safety
/// They are readable and aligned.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn numbers(from: *const [f32; LANES]) -> __m512 {
    // SAFETY: the caller's promise.
    unsafe { _mm512_load_ps(from.cast()) }
}
