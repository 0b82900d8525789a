//! Dot products that take the codes of the usual formats from the block into registers, for AVX2, FMA
//! and F16C.
//!
//! [`Codes`](super::Codes) on the stack serve every format alike and cost a store and a load for each
//! code, which is more than the multiplication. Here eight bytes at a time become eight lanes of 32
//! bits: a shift and a mask give the low and the high nibbles. Elements are the same numbers as those
//! that are decoded, and only the order of the sums differs.

use std::arch::x86_64::{
    __m256, __m256i, _mm_cvtsi32_si128, _mm_loadl_epi64, _mm_set_epi64x, _mm256_add_ps, _mm256_and_si256,
    _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_mul_ps,
    _mm256_or_si256, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps, _mm256_slli_epi32, _mm256_srl_epi32,
    _mm256_srli_epi32, _mm256_storeu_ps, _mm256_sub_epi32,
};

use unisono_core::DType;

use super::x86::{horizontal_sum, widen};

/// Sums that run side by side: they hide the latency of an addition.
const SUMS: usize = 4;

/// The dot products of a row of blocks with `N` vectors; `None` for formats without such code.
///
/// # Safety
/// The processor has the features. `N` vectors of as many elements as `w` has are readable from `x`
/// on, `ldx` apart.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn dot_row<const N: usize>(dtype: DType, w: &[u8], x: *const f32, ldx: usize) -> Option<[f32; N]> {
    let mut sums = Sums { x, ldx, sums: [[_mm256_setzero_ps(); SUMS]; N] };
    // SAFETY: every block adds as many elements as it has.
    unsafe {
        match dtype {
            DType::Q4_0 => {
                for block in w.as_chunks::<18>().0 {
                    q4_0(block, &mut sums);
                }
            }
            DType::Q4_1 => {
                for block in w.as_chunks::<20>().0 {
                    q4_1(block, &mut sums);
                }
            }
            DType::Q8_0 => {
                for block in w.as_chunks::<34>().0 {
                    q8_0(block, &mut sums);
                }
            }
            DType::Q4K => {
                for block in w.as_chunks::<144>().0 {
                    q4_k(block, &mut sums);
                }
            }
            DType::Q5K => {
                for block in w.as_chunks::<176>().0 {
                    q5_k(block, &mut sums);
                }
            }
            DType::Q6K => {
                for block in w.as_chunks::<210>().0 {
                    q6_k(block, &mut sums);
                }
            }
            _ => return None,
        }
    }
    Some(sums.total())
}

/// Sums of products with `N` vectors, and where in these the next block begins.
struct Sums<const N: usize> {
    x: *const f32,
    ldx: usize,
    sums: [[__m256; SUMS]; N],
}

impl<const N: usize> Sums<N> {
    /// Adds the products of elements `at..at + 8` of the block.
    ///
    /// # Safety
    /// The vectors have these elements.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn add(&mut self, at: usize, w: __m256) {
        for (r, sums) in self.sums.iter_mut().enumerate() {
            let sum = &mut sums[at / 8 % SUMS];
            // SAFETY: the caller's promise.
            *sum = _mm256_fmadd_ps(w, unsafe { _mm256_loadu_ps(self.x.add(r * self.ldx + at)) }, *sum);
        }
    }

    /// Goes on to the next block.
    #[inline]
    fn advance(&mut self, elements: usize) {
        self.x = self.x.wrapping_add(elements);
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn total(self) -> [f32; N] {
        self.sums.map(|[a, b, c, d]| horizontal_sum(_mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d))))
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
unsafe fn q4_0<const N: usize>(block: &[u8; 18], sums: &mut Sums<N>) {
    let (d, zero) = (_mm256_set1_ps(half(block, 0)), _mm256_set1_epi32(8));
    for i in 0..2 {
        let v = bytes(block, 2 + 8 * i);
        let (low, high) = (low_nibbles(v), _mm256_srli_epi32::<4>(v));
        // SAFETY: the caller's promise.
        unsafe {
            sums.add(8 * i, scaled(d, _mm256_sub_epi32(low, zero)));
            sums.add(16 + 8 * i, scaled(d, _mm256_sub_epi32(high, zero)));
        }
    }
    sums.advance(32);
}

/// # Safety
/// As [`dot_row`], for the 32 elements of a block.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn q4_1<const N: usize>(block: &[u8; 20], sums: &mut Sums<N>) {
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

/// # Safety
/// As [`dot_row`], for the 32 elements of a block.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn q8_0<const N: usize>(block: &[u8; 34], sums: &mut Sums<N>) {
    let d = _mm256_set1_ps(half(block, 0));
    for i in 0..4 {
        // SAFETY: bytes 2 to 33 are the codes; the rest is the caller's promise.
        unsafe {
            let code = _mm256_cvtepi8_epi32(_mm_loadl_epi64(block.as_ptr().add(2 + 8 * i).cast()));
            sums.add(8 * i, scaled(d, code));
        }
    }
    sums.advance(32);
}

/// Factors and offsets of the eight groups of a q4_k or q5_k block: six bits each, the upper two of
/// the last four in other bytes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn six_bits(block: &[u8]) -> ([f32; 8], [f32; 8]) {
    let word = |at: usize| block[at..].first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
    let (a, b, c) = (word(4), word(8), word(12));
    let scales = [a & 0x3f3f_3f3f, (c & 0x0f0f_0f0f) | ((a >> 6) & 0x0303_0303) << 4];
    let mins = [b & 0x3f3f_3f3f, ((c >> 4) & 0x0f0f_0f0f) | ((b >> 6) & 0x0303_0303) << 4];
    let wide = |words: [u32; 2], factor: f32| {
        let eight = _mm_set_epi64x(0, (u64::from(words[1]) << 32 | u64::from(words[0])) as i64);
        let mut all = [0f32; 8];
        let product = scaled(_mm256_set1_ps(factor), _mm256_cvtepu8_epi32(eight));
        // SAFETY: eight numbers fit.
        unsafe { _mm256_storeu_ps(all.as_mut_ptr(), product) };
        all
    };
    (wide(scales, half(block, 0)), wide(mins, -half(block, 2)))
}

/// # Safety
/// As [`dot_row`], for the 256 elements of a block.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn q4_k<const N: usize>(block: &[u8; 144], sums: &mut Sums<N>) {
    let (factor, offset) = six_bits(block);
    for j in 0..4 {
        let [f0, f1] = [factor[2 * j], factor[2 * j + 1]].map(|f| _mm256_set1_ps(f));
        let [o0, o1] = [offset[2 * j], offset[2 * j + 1]].map(|o| _mm256_set1_ps(o));
        for i in 0..4 {
            let v = bytes(block, 16 + 32 * j + 8 * i);
            // SAFETY: the caller's promise.
            unsafe {
                sums.add(64 * j + 8 * i, shifted(f0, low_nibbles(v), o0));
                sums.add(64 * j + 32 + 8 * i, shifted(f1, _mm256_srli_epi32::<4>(v), o1));
            }
        }
    }
    sums.advance(256);
}

/// # Safety
/// As [`dot_row`], for the 256 elements of a block.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn q5_k<const N: usize>(block: &[u8; 176], sums: &mut Sums<N>) {
    let (factor, offset) = six_bits(block);
    let one = _mm256_set1_epi32(1);
    for j in 0..4 {
        let [f0, f1] = [factor[2 * j], factor[2 * j + 1]].map(|f| _mm256_set1_ps(f));
        let [o0, o1] = [offset[2 * j], offset[2 * j + 1]].map(|o| _mm256_set1_ps(o));
        for i in 0..4 {
            let v = bytes(block, 48 + 32 * j + 8 * i);
            // Bits 2j and 2j + 1 of the byte are the fifth bits of the two groups.
            let h = _mm256_srl_epi32(bytes(block, 16 + 8 * i), _mm_cvtsi32_si128(2 * j as i32));
            let first = _mm256_slli_epi32::<4>(_mm256_and_si256(h, one));
            let second = _mm256_slli_epi32::<4>(_mm256_and_si256(_mm256_srli_epi32::<1>(h), one));
            // SAFETY: the caller's promise.
            unsafe {
                sums.add(64 * j + 8 * i, shifted(f0, _mm256_or_si256(low_nibbles(v), first), o0));
                let high = _mm256_or_si256(_mm256_srli_epi32::<4>(v), second);
                sums.add(64 * j + 32 + 8 * i, shifted(f1, high, o1));
            }
        }
    }
    sums.advance(256);
}

/// # Safety
/// As [`dot_row`], for the 256 elements of a block.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn q6_k<const N: usize>(block: &[u8; 210], sums: &mut Sums<N>) {
    let d = half(block, 208);
    let (upper, zero) = (_mm256_set1_epi32(0x30), _mm256_set1_epi32(32));
    for h in 0..2 {
        for i in 0..4 {
            let (a, b) = (bytes(block, 64 * h + 8 * i), bytes(block, 64 * h + 32 + 8 * i));
            let bits = bytes(block, 128 + 32 * h + 8 * i);
            let codes = [
                (low_nibbles(a), _mm256_slli_epi32::<4>(bits)),
                (low_nibbles(b), _mm256_slli_epi32::<2>(bits)),
                (_mm256_srli_epi32::<4>(a), bits),
                (_mm256_srli_epi32::<4>(b), _mm256_srli_epi32::<2>(bits)),
            ];
            for (j, (nibble, bits)) in codes.into_iter().enumerate() {
                let code = _mm256_or_si256(nibble, _mm256_and_si256(bits, upper));
                let scale = f32::from(block[192 + 8 * h + 2 * j + i / 2] as i8);
                let w = scaled(_mm256_set1_ps(d * scale), _mm256_sub_epi32(code, zero));
                // SAFETY: the caller's promise.
                unsafe { sums.add(128 * h + 32 * j + 8 * i, w) };
            }
        }
    }
    sums.advance(256);
}
