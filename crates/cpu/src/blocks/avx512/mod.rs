//! Dot products with rows of blocks, and rows decoded, for AVX-512.
//!
//! A code of up to five bits is the index into a table of what it stands for. The table is one or two
//! registers, made anew for every factor by one instruction, and looking up sixteen elements is one
//! more: so elements cost less than half the instructions that conversion and scaling would.
//! `formats` turns packed bytes into elements, with the steps of `lanes`; what happens to the elements
//! is the matter of a [`Sink`]: products with up to [`ROWS`] vectors, or a store.

mod formats;
pub(super) mod lanes;

use std::arch::x86_64::{
    __m512, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_reduce_add_ps, _mm512_setzero_ps, _mm512_storeu_ps,
};

use unisono_core::DType;

use formats::each_block;

/// How many vectors one pass over a row serves.
pub(super) const ROWS: usize = 8;

/// Whether a single vector gains, too. It pays for every table alone, and those of q4_k and q5_k are
/// many, while q6_k has none.
pub(super) fn gains_alone(dtype: DType) -> bool {
    !matches!(dtype, DType::Q4K | DType::Q5K | DType::Q6K)
}

/// What is done with sixteen decoded elements.
trait Sink {
    /// Takes elements `at..at + 16` of the block.
    ///
    /// # Safety
    /// The processor has AVX-512, and the sink has room for these elements.
    unsafe fn put(&mut self, at: usize, w: __m512);
    /// Goes on to the next block.
    fn advance(&mut self, elements: usize);
}

/// Sums of products with `N` vectors, each in `CHAINS` registers (one or two): a single vector hides the
/// latency of additions so. Formats put neighbouring sixteens one after the other, so that compilers know which of two
/// registers is meant, and keep them in registers.
struct Sums<const N: usize, const CHAINS: usize> {
    x: *const f32,
    ldx: usize,
    sums: [[__m512; CHAINS]; N],
}

impl<const N: usize, const CHAINS: usize> Sink for Sums<N, CHAINS> {
    #[inline(always)]
    unsafe fn put(&mut self, at: usize, w: __m512) {
        for (r, sums) in self.sums.iter_mut().enumerate() {
            let sum = &mut sums[at / 16 % CHAINS];
            // SAFETY: the caller's promise.
            *sum = unsafe { _mm512_fmadd_ps(w, _mm512_loadu_ps(self.x.add(r * self.ldx + at)), *sum) };
        }
    }

    #[inline(always)]
    fn advance(&mut self, elements: usize) {
        self.x = self.x.wrapping_add(elements);
    }
}

/// Stores the elements one after the other.
struct Store(*mut f32);

impl Sink for Store {
    #[inline(always)]
    unsafe fn put(&mut self, at: usize, w: __m512) {
        // SAFETY: the caller's promise.
        unsafe { _mm512_storeu_ps(self.0.add(at), w) };
    }

    #[inline(always)]
    fn advance(&mut self, elements: usize) {
        self.0 = self.0.wrapping_add(elements);
    }
}

/// The dot products of a row of blocks with `rows ≤ ROWS` vectors, `ldx` apart.
///
/// # Safety
/// The processor has AVX-512. As many numbers as `w` has elements are readable from each vector.
pub(super) unsafe fn dot_rows(dtype: DType, w: &[u8], (x, ldx, rows): (*const f32, usize, usize)) -> [f32; ROWS] {
    // SAFETY: passed on.
    unsafe {
        match rows {
            1 => sums::<1, 2>(dtype, w, x, ldx),
            2 => sums::<2, 1>(dtype, w, x, ldx),
            3 => sums::<3, 1>(dtype, w, x, ldx),
            4 => sums::<4, 1>(dtype, w, x, ldx),
            5 => sums::<5, 1>(dtype, w, x, ldx),
            6 => sums::<6, 1>(dtype, w, x, ldx),
            7 => sums::<7, 1>(dtype, w, x, ldx),
            _ => sums::<8, 1>(dtype, w, x, ldx),
        }
    }
}

/// # Safety
/// As [`dot_rows`], for `N` vectors.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn sums<const N: usize, const CHAINS: usize>(dtype: DType, w: &[u8], x: *const f32, ldx: usize) -> [f32; ROWS] {
    let mut sink = Sums { x, ldx, sums: [[_mm512_setzero_ps(); CHAINS]; N] };
    // SAFETY: passed on.
    unsafe { each_block(dtype, w, &mut sink) };
    let mut totals = [0.0; ROWS];
    for (total, sums) in totals.iter_mut().zip(&sink.sums) {
        *total = sums.iter().map(|&sum| _mm512_reduce_add_ps(sum)).sum();
    }
    totals
}

/// Decodes the blocks of `w` into `to`, which has room for their elements.
///
/// # Safety
/// The processor has AVX-512.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn decode(dtype: DType, w: &[u8], to: &mut [f32]) {
    debug_assert_eq!(w.len() / dtype.block_bytes() * dtype.block_elements(), to.len());
    // SAFETY: `to` has room for every element.
    unsafe { each_block(dtype, w, &mut Store(to.as_mut_ptr())) };
}
