//! Dot products with one vector that take codes from the block into registers, for AVX2, FMA and F16C.
//!
//! [`Codes`](super::Codes) on the stack serve every format alike and cost a store and a load for each
//! code. Formats of nibbles with an offset pay most, since they have another multiply-add. Here eight
//! bytes at a time become eight lanes of 32 bits: a shift and a mask give the low and the high nibbles.
//! Elements are the same numbers as those that are decoded; only the order of the sums differs. Other
//! formats, and several vectors, gained nothing from it.

use std::arch::x86_64::{
    __m256, __m256i, _mm_set_epi64x, _mm256_add_ps, _mm256_and_si256, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32,
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_mul_ps, _mm256_permutevar8x32_ps, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_srli_epi32,
};

use unisono_core::DType;

use super::x86::{horizontal_sum, widen};

/// Sums that run side by side: they hide the latency of an addition.
const SUMS: usize = 4;

/// The dot product of a row of blocks with a vector; `None` for formats without such code.
///
/// # Safety
/// The processor has the features. As many numbers as `w` has elements are readable from `x` on.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn dot_row(dtype: DType, w: &[u8], x: *const f32) -> Option<f32> {
    let mut sums = Sums { x, sums: [_mm256_setzero_ps(); SUMS] };
    // SAFETY: every block adds as many elements as it has.
    unsafe {
        match dtype {
            DType::Q4_1 => {
                for block in w.as_chunks::<20>().0 {
                    q4_1(block, &mut sums);
                }
            }
            DType::Q4K => {
                for block in w.as_chunks::<144>().0 {
                    q4_k(block, &mut sums);
                }
            }
            _ => return None,
        }
    }
    Some(sums.total())
}

/// Sums of products, and where in the vector the next block begins.
struct Sums {
    x: *const f32,
    sums: [__m256; SUMS],
}

impl Sums {
    /// Adds the products of elements `at..at + 8` of the block.
    ///
    /// # Safety
    /// The vector has these elements.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn add(&mut self, at: usize, w: __m256) {
        let sum = &mut self.sums[at / 8 % SUMS];
        // SAFETY: the caller's promise.
        *sum = _mm256_fmadd_ps(w, unsafe { _mm256_loadu_ps(self.x.add(at)) }, *sum);
    }

    /// Goes on to the next block.
    #[inline]
    fn advance(&mut self, elements: usize) {
        self.x = self.x.wrapping_add(elements);
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn total(self) -> f32 {
        let [a, b, c, d] = self.sums;
        horizontal_sum(_mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d)))
    }
}

/// Eight bytes as lanes of 32 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn bytes(from: &[u8], at: usize) -> __m256i {
    let eight = from[at..].first_chunk::<8>().map_or(0, |b| i64::from_le_bytes(*b));
    _mm256_cvtepu8_epi32(_mm_set_epi64x(0, eight))
}

#[inline]
#[target_feature(enable = "avx2")]
fn low_nibbles(v: __m256i) -> __m256i {
    _mm256_and_si256(v, _mm256_set1_epi32(15))
}

/// The f16 at byte `at`.
#[inline]
#[target_feature(enable = "f16c")]
fn half(block: &[u8], at: usize) -> f32 {
    widen(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// `factor · code`.
#[inline]
#[target_feature(enable = "avx2")]
fn scaled(factor: __m256, code: __m256i) -> __m256 {
    _mm256_mul_ps(factor, _mm256_cvtepi32_ps(code))
}

/// `factor · code + offset`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn shifted(factor: __m256, code: __m256i, offset: __m256) -> __m256 {
    _mm256_fmadd_ps(factor, _mm256_cvtepi32_ps(code), offset)
}

/// # Safety
/// As [`dot_row`], for the 32 elements of a block.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn q4_1(block: &[u8; 20], sums: &mut Sums) {
    let (d, m) = (_mm256_set1_ps(half(block, 0)), _mm256_set1_ps(half(block, 2)));
    for i in 0..2 {
        let v = bytes(block, 4 + 8 * i);
        // SAFETY: the caller's promise.
        unsafe {
            sums.add(8 * i, shifted(d, low_nibbles(v), m));
            sums.add(16 + 8 * i, shifted(d, _mm256_srli_epi32::<4>(v), m));
        }
    }
    sums.advance(32);
}

/// Factors and offsets of the eight groups of a q4_k block, whose first numbers are `d` and `dmin`: six
/// bits each, the upper two of the last four in other bytes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn six_bits(block: &[u8], d: f32, dmin: f32) -> [__m256; 2] {
    let word = |at: usize| block[at..].first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
    let (a, b, c) = (word(4), word(8), word(12));
    let scales = [a & 0x3f3f_3f3f, (c & 0x0f0f_0f0f) | ((a >> 6) & 0x0303_0303) << 4];
    let mins = [b & 0x3f3f_3f3f, ((c >> 4) & 0x0f0f_0f0f) | ((b >> 6) & 0x0303_0303) << 4];
    let wide = |words: [u32; 2], factor: f32| {
        let eight = _mm_set_epi64x(0, (u64::from(words[1]) << 32 | u64::from(words[0])) as i64);
        scaled(_mm256_set1_ps(factor), _mm256_cvtepu8_epi32(eight))
    };
    [wide(scales, d), wide(mins, -dmin)]
}

/// Lane `g` in every lane.
#[inline]
#[target_feature(enable = "avx2")]
fn lane(v: __m256, g: i32) -> __m256 {
    _mm256_permutevar8x32_ps(v, _mm256_set1_epi32(g))
}

/// # Safety
/// As [`dot_row`], for the 256 elements of a block.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn q4_k(block: &[u8; 144], sums: &mut Sums) {
    let [factor, offset] = six_bits(block, half(block, 0), half(block, 2));
    for j in 0..4i32 {
        let [f0, f1] = [lane(factor, 2 * j), lane(factor, 2 * j + 1)];
        let [o0, o1] = [lane(offset, 2 * j), lane(offset, 2 * j + 1)];
        for i in 0..4 {
            let v = bytes(block, 16 + 32 * j as usize + 8 * i);
            // SAFETY: the caller's promise.
            unsafe {
                sums.add(64 * j as usize + 8 * i, shifted(f0, low_nibbles(v), o0));
                sums.add(64 * j as usize + 32 + 8 * i, shifted(f1, _mm256_srli_epi32::<4>(v), o1));
            }
        }
    }
    sums.advance(256);
}
