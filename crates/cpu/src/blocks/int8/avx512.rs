//! Products of bytes with AVX-512 and its VNNI: four unpacked columns of a weight with four rows, or one column with
//! up to four rows as its blocks are read.

use std::arch::x86_64::{
    __m512, __m512i, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_load_ps, _mm512_load_si512,
    _mm512_mul_ps, _mm512_reduce_add_ps, _mm512_setzero_ps, _mm512_setzero_si512,
};
use std::ops::Range;

use unisono_core::DType;

use super::parts::{Part, Sink, each};
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
    some: Range<usize>,
) -> [[f32; ROWS]; COLS] {
    // SAFETY: passed on.
    unsafe {
        match (kind, rows) {
            (Kind::Centred(_), 1) => products::<COLS, 1, true>(w, x, parts, some),
            (Kind::Centred(_), 2) => products::<COLS, 2, true>(w, x, parts, some),
            (Kind::Centred(_), 3) => products::<COLS, 3, true>(w, x, parts, some),
            (Kind::Centred(_), _) => products::<COLS, 4, true>(w, x, parts, some),
            (Kind::Offset, 1) => products::<COLS, 1, false>(w, x, parts, some),
            (Kind::Offset, 2) => products::<COLS, 2, false>(w, x, parts, some),
            (Kind::Offset, 3) => products::<COLS, 3, false>(w, x, parts, some),
            (Kind::Offset, _) => products::<COLS, 4, false>(w, x, parts, some),
        }
    }
}

/// The dot products of one column with `rows ≤ ROWS` rows, `ldx` parts apart.
///
/// # Safety
/// The processor has AVX-512 with BW and VNNI. Each row has as many parts as the column.
pub(super) unsafe fn dots_of_column(
    kind: Kind,
    w: &[Weights],
    (x, rows): (*const Activations, usize),
    ldx: usize,
) -> [f32; ROWS] {
    let mut all = [0.0; ROWS];
    for (r, sum) in all.iter_mut().enumerate().take(rows) {
        // SAFETY: passed on, for one row.
        *sum = unsafe {
            let x = x.add(r * ldx);
            match kind {
                Kind::Centred(_) => products::<1, 1, true>(w.as_ptr(), x, 0, 0..w.len())[0][0],
                Kind::Offset => products::<1, 1, false>(w.as_ptr(), x, 0, 0..w.len())[0][0],
            }
        };
    }
    all
}

/// The dot products of whole parts of a column with `rows ≤ ROWS` rows, `ldx` parts apart.
///
/// # Safety
/// The processor has AVX-512 with BW and VNNI. Each row has as many parts.
pub(super) unsafe fn dots_of_blocks(
    kind: Kind,
    w: (DType, &[u8]),
    (x, rows): (*const Activations, usize),
    ldx: usize,
) -> [f32; ROWS] {
    // SAFETY: passed on.
    unsafe {
        match (kind, rows) {
            (Kind::Centred(_), 1) => blocks::<1, true>(w, x, ldx),
            (Kind::Centred(_), 2) => blocks::<2, true>(w, x, ldx),
            (Kind::Centred(_), 3) => blocks::<3, true>(w, x, ldx),
            (Kind::Centred(_), _) => blocks::<4, true>(w, x, ldx),
            (Kind::Offset, 1) => blocks::<1, false>(w, x, ldx),
            (Kind::Offset, 2) => blocks::<2, false>(w, x, ldx),
            (Kind::Offset, 3) => blocks::<3, false>(w, x, ldx),
            (Kind::Offset, _) => blocks::<4, false>(w, x, ldx),
        }
    }
}

/// # Safety
/// As [`dots_of_blocks`], for `N` rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn blocks<const N: usize, const CENTRED: bool>(
    (dtype, w): (DType, &[u8]),
    x: *const Activations,
    ldx: usize,
) -> [f32; ROWS] {
    let mut sink = Sums::<N, CENTRED> { x, ldx, sums: [_mm512_setzero_ps(); N] };
    // SAFETY: each row has as many parts.
    unsafe { each(dtype, w, &mut sink) };
    let mut all = [0.0; ROWS];
    for (all, sum) in all.iter_mut().zip(sink.sums) {
        *all = _mm512_reduce_add_ps(sum);
    }
    all
}

/// Sums of products with `N` rows.
struct Sums<const N: usize, const CENTRED: bool> {
    x: *const Activations,
    ldx: usize,
    sums: [__m512; N],
}

impl<const N: usize, const CENTRED: bool> Sink for Sums<N, CENTRED> {
    #[inline(always)]
    unsafe fn take(&mut self, codes: Part, factor: __m512, offset: __m512) {
        for (r, sum) in self.sums.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let row = Row::load::<CENTRED>(self.x.add(r * self.ldx));
                *sum = row.with_part::<CENTRED>(*sum, (codes, factor, offset));
            }
        }
        self.x = self.x.wrapping_add(1);
    }
}

/// A part of a row of activations in registers.
struct Row {
    codes: Part,
    start: __m512i,
    scale: __m512,
    sum: __m512,
}

impl Row {
    /// # Safety
    /// `x` is readable.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn load<const CENTRED: bool>(x: *const Activations) -> Row {
        // SAFETY: the caller's promise; parts are aligned.
        unsafe {
            let code = (&raw const (*x).code).cast::<i8>();
            Row {
                codes: std::array::from_fn(|t| _mm512_load_si512(code.add(64 * t).cast())),
                start: if CENTRED { _mm512_load_si512((&raw const (*x).start).cast()) } else { _mm512_setzero_si512() },
                scale: numbers(&raw const (*x).scale),
                sum: if CENTRED { _mm512_setzero_ps() } else { numbers(&raw const (*x).sum) },
            }
        }
    }

    /// `sum` and the products with a part of a weight.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn with_part<const CENTRED: bool>(&self, sum: __m512, (codes, factor, offset): (Part, __m512, __m512)) -> __m512 {
        let mut lanes = self.start;
        for (w, &x) in codes.into_iter().zip(&self.codes) {
            lanes = _mm512_dpbusd_epi32(lanes, w, x);
        }
        let product = _mm512_mul_ps(_mm512_cvtepi32_ps(lanes), factor);
        let sum = _mm512_fmadd_ps(product, self.scale, sum);
        if CENTRED { sum } else { _mm512_fmadd_ps(offset, self.sum, sum) }
    }
}

/// # Safety
/// As [`dots`], for `C` columns and `N` rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn products<const C: usize, const N: usize, const CENTRED: bool>(
    w: *const Weights,
    x: *const Activations,
    parts: usize,
    some: Range<usize>,
) -> [[f32; ROWS]; C] {
    let mut sums = [[_mm512_setzero_ps(); N]; C];
    for p in some {
        for (c, sums) in sums.iter_mut().enumerate() {
            // SAFETY: each column has part `p`; parts are aligned.
            let part = unsafe {
                let w = w.add(c * parts + p);
                let code = (&raw const (*w).code).cast::<u8>();
                let codes: Part = std::array::from_fn(|t| _mm512_load_si512(code.add(64 * t).cast()));
                (codes, numbers(&raw const (*w).factor), numbers(&raw const (*w).offset))
            };
            for (r, sum) in sums.iter_mut().enumerate() {
                // SAFETY: row `r` has part `p`.
                let row = unsafe { Row::load::<CENTRED>(x.add(r * parts + p)) };
                *sum = row.with_part::<CENTRED>(*sum, part);
            }
        }
    }
    sums.map(|sums| {
        let mut all = [0.0; ROWS];
        all.iter_mut().zip(sums).for_each(|(all, sum)| *all = _mm512_reduce_add_ps(sum));
        all
    })
}

/// # Safety
/// They are readable and aligned.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn numbers(from: *const [f32; LANES]) -> __m512 {
    // SAFETY: the caller's promise.
    unsafe { _mm512_load_ps(from.cast()) }
}
