//! Rows of blocks for AVX-512: from the packed bytes to registers, for every format.
//!
//! A code of up to five bits is the index into a table of what it stands for. The table is one or two
//! registers, made anew for every factor by one instruction, and looking up sixteen elements is one
//! more: so elements cost less than half the instructions that conversion and scaling would, and
//! a row is decoded about as fast as memory delivers it. What happens to the elements is the matter of
//! a [`Sink`]: dot products with up to [`ROWS`] vectors, or a store.

use std::arch::x86_64::{
    __m512, __m512i, __mmask16, _mm_loadu_si128, _mm256_cvtph_ps, _mm256_storeu_ps, _mm512_add_ps, _mm512_and_si512,
    _mm512_broadcast_i32x4, _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps, _mm512_cvtepu8_epi32, _mm512_fmadd_ps,
    _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mask_permutexvar_ps, _mm512_mul_ps, _mm512_or_si512,
    _mm512_permutexvar_ps, _mm512_reduce_add_ps, _mm512_rorv_epi32, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_shuffle_epi8, _mm512_srli_epi32, _mm512_srlv_epi32, _mm512_storeu_ps, _mm512_sub_epi32,
    _mm512_test_epi32_mask,
};
use std::hint::black_box;

use unisono_core::DType;

use super::direct::{half, six_bits};
use super::unpack::half_e8m0;
use super::{E2M1, IQ4};

/// How many vectors one pass over a row serves.
pub(super) const ROWS: usize = 8;

/// Whether a single vector gains, too. It pays for every table alone, and those of q5_k are two, while
/// q6_k has none.
pub(super) fn gains_alone(dtype: DType) -> bool {
    !matches!(dtype, DType::Q5K | DType::Q6K)
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

/// Sums of products with `N` vectors, each in `CHAINS` registers: they hide the latency of additions.
/// Formats put neighbouring sixteens one after the other, so that compilers know which of two
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
            2 => sums::<2, 2>(dtype, w, x, ldx),
            3 => sums::<3, 2>(dtype, w, x, ldx),
            4 => sums::<4, 2>(dtype, w, x, ldx),
            5 => sums::<5, 2>(dtype, w, x, ldx),
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

/// # Safety
/// The sink takes as many elements as `w` has.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn each_block(dtype: DType, w: &[u8], sink: &mut impl Sink) {
    /// Runs `$put` with each block as an array.
    macro_rules! blocks {
        // Factors of eight blocks are widened together, and read from memory: there a broadcast is part
        // of the load, while from a register it takes a shuffle. (The compiler would keep registers.)
        ($bytes:literal, $elements:literal, |$block:ident, $factor:ident| $put:expr) => {
            for some in w.as_chunks::<$bytes>().0.chunks(8) {
                let factors = halves::<$bytes, 0>(some);
                for ($block, &$factor) in some.iter().zip(black_box(&factors)) {
                    // SAFETY: the caller's promise.
                    unsafe { $put };
                    sink.advance($elements);
                }
            }
        };
        ($bytes:literal, $elements:literal, |$block:ident, $factor:ident, $offset:ident| $put:expr) => {
            for some in w.as_chunks::<$bytes>().0.chunks(8) {
                let numbers = (halves::<$bytes, 0>(some), halves::<$bytes, 2>(some));
                let (factors, offsets) = black_box(&numbers);
                for ($block, (&$factor, &$offset)) in some.iter().zip(factors.iter().zip(offsets)) {
                    // SAFETY: the caller's promise.
                    unsafe { $put };
                    sink.advance($elements);
                }
            }
        };
        ($bytes:literal, $elements:literal, |$block:ident| $put:expr) => {
            for $block in w.as_chunks::<$bytes>().0 {
                // SAFETY: the caller's promise.
                unsafe { $put };
                sink.advance($elements);
            }
        };
    }
    match dtype {
        DType::Q4_0 => {
            let codes = counting(-8.0);
            blocks!(18, 32, |b, d| sixteen_values(&b[2..], scaled(d, codes), sink));
        }
        DType::Q4_1 => {
            let codes = counting(0.0);
            blocks!(20, 32, |b, d, m| sixteen_values(&b[4..], shifted(d, codes, m), sink));
        }
        DType::Iq4Nl => {
            let codes = table(&IQ4);
            blocks!(18, 32, |b, d| sixteen_values(&b[2..], scaled(d, codes), sink));
        }
        DType::Mxfp4 => {
            let codes = table(&E2M1);
            blocks!(17, 32, |b| sixteen_values(&b[1..], scaled(half_e8m0(b[0]), codes), sink));
        }
        DType::Q5_0 => {
            let codes = [counting(-16.0), counting(0.0)];
            blocks!(22, 32, |b, d| thirty_two_values(&b[6..], word(b, 2), both_scaled(d, codes), sink));
        }
        DType::Q5_1 => {
            let codes = [counting(0.0), counting(16.0)];
            blocks!(24, 32, |b, d, m| {
                thirty_two_values(&b[8..], word(b, 4), both_shifted(d, codes, m), sink);
            });
        }
        DType::Q8_0 => blocks!(34, 32, |b, d| q8_0(b, d, sink)),
        DType::Q2K => blocks!(84, 256, |b| q2_k(b, sink)),
        DType::Q3K => blocks!(110, 256, |b| q3_k(b, sink)),
        DType::Q4K => blocks!(144, 256, |b| q4_k(b, sink)),
        DType::Q5K => blocks!(176, 256, |b| q5_k(b, sink)),
        DType::Q6K => blocks!(210, 256, |b| q6_k(b, sink)),
        DType::Iq4Xs => blocks!(136, 256, |b| iq4_xs(b, sink)),
        _ => {}
    }
}

/// Sixteen bytes as lanes of 32 bits: each quarter of the register gets them all, which is part of the
/// load, and picks its own. (To widen them takes two passes through the same units.)
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn bytes(from: &[u8]) -> __m512i {
    const PICK: [i8; 64] = {
        let mut pick = [-1; 64];
        let mut i = 0;
        while i < 16 {
            pick[4 * i] = i as i8;
            i += 1;
        }
        pick
    };
    let from: &[u8; 16] = from.first_chunk().unwrap_or(&[0; 16]);
    // SAFETY: there are sixteen, and 64.
    unsafe {
        let all = _mm512_broadcast_i32x4(_mm_loadu_si128(from.as_ptr().cast()));
        _mm512_shuffle_epi8(all, _mm512_loadu_si512(PICK.as_ptr().cast()))
    }
}

/// The f16 at byte `AT` of each of up to eight blocks.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn halves<const BYTES: usize, const AT: usize>(blocks: &[[u8; BYTES]]) -> [f32; 8] {
    let mut bits = [0u16; 8];
    for (bits, block) in bits.iter_mut().zip(blocks) {
        *bits = u16::from_le_bytes([block[AT], block[AT + 1]]);
    }
    let mut numbers = [0.0; 8];
    // SAFETY: both have room for eight.
    unsafe { _mm256_storeu_ps(numbers.as_mut_ptr(), _mm256_cvtph_ps(_mm_loadu_si128(bits.as_ptr().cast()))) };
    numbers
}

/// Sixteen numbers in memory.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn stored(numbers: __m512) -> [f32; 16] {
    let mut to = [0.0; 16];
    // SAFETY: there is room for sixteen.
    unsafe { _mm512_storeu_ps(to.as_mut_ptr(), numbers) };
    to
}

#[inline]
fn word(from: &[u8], at: usize) -> u32 {
    from[at..].first_chunk().map_or(0, |b| u32::from_le_bytes(*b))
}

/// Sixteen signed bytes as numbers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn signed(from: &[u8]) -> __m512 {
    let from: &[u8; 16] = from.first_chunk().unwrap_or(&[0; 16]);
    // SAFETY: there are sixteen.
    unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.as_ptr().cast()))) }
}

/// Sixteen values as a table.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn table(values: &[i8; 16]) -> __m512 {
    signed(&values.map(|v| v as u8))
}

/// `i % period` for each lane.
const fn lanes(period: usize) -> [f32; 16] {
    let mut lanes = [0.0; 16];
    let mut i = 0;
    while i < 16 {
        lanes[i] = (i % period) as f32;
        i += 1;
    }
    lanes
}

/// `first`, `first + 1`, …: sixteen of them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn counting(first: f32) -> __m512 {
    const LANES: [f32; 16] = lanes(16);
    // SAFETY: there are sixteen.
    _mm512_add_ps(unsafe { _mm512_loadu_ps(LANES.as_ptr()) }, _mm512_set1_ps(first))
}

/// `first` to `first + 3`, four times: the table of a code of two bits with any bits above it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn counting_by_four(first: f32) -> __m512 {
    const LANES: [f32; 16] = lanes(4);
    // SAFETY: there are sixteen.
    _mm512_add_ps(unsafe { _mm512_loadu_ps(LANES.as_ptr()) }, _mm512_set1_ps(first))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn scaled(factor: f32, codes: __m512) -> __m512 {
    _mm512_mul_ps(_mm512_set1_ps(factor), codes)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn shifted(factor: f32, codes: __m512, offset: f32) -> __m512 {
    _mm512_fmadd_ps(_mm512_set1_ps(factor), codes, _mm512_set1_ps(offset))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn both_scaled(factor: f32, codes: [__m512; 2]) -> [__m512; 2] {
    [scaled(factor, codes[0]), scaled(factor, codes[1])]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn both_shifted(factor: f32, codes: [__m512; 2], offset: f32) -> [__m512; 2] {
    [shifted(factor, codes[0], offset), shifted(factor, codes[1], offset)]
}

/// Entry `code % 16` of the first table, or of the second where the mask is set.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn either(code: __m512i, tables: [__m512; 2], second: __mmask16) -> __m512 {
    _mm512_mask_permutexvar_ps(_mm512_permutexvar_ps(code, tables[0]), second, code, tables[1])
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn has_bits(v: __m512i, bits: i32) -> __mmask16 {
    _mm512_test_epi32_mask(v, _mm512_set1_epi32(bits))
}

/// A block of nibbles: sixteen low ones, sixteen high ones.
///
/// # Safety
/// The sink takes 32 elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn sixteen_values(nibbles: &[u8], values: __m512, sink: &mut impl Sink) {
    let v = bytes(nibbles);
    // SAFETY: the caller's promise.
    unsafe {
        sink.put(0, _mm512_permutexvar_ps(v, values));
        sink.put(16, _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(v), values));
    }
}

/// The same with a fifth bit for each.
///
/// # Safety
/// The sink takes 32 elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn thirty_two_values(nibbles: &[u8], fifth: u32, values: [__m512; 2], sink: &mut impl Sink) {
    let v = bytes(nibbles);
    // SAFETY: the caller's promise.
    unsafe {
        sink.put(0, either(v, values, fifth as __mmask16));
        sink.put(16, either(_mm512_srli_epi32::<4>(v), values, (fifth >> 16) as __mmask16));
    }
}

/// # Safety
/// The sink takes 32 elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn q8_0(b: &[u8; 34], factor: f32, sink: &mut impl Sink) {
    for i in 0..2 {
        // SAFETY: the caller's promise.
        unsafe { sink.put(16 * i, scaled(factor, signed(&b[2 + 16 * i..]))) };
    }
}

/// # Safety
/// The sink takes 256 elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn q2_k(b: &[u8; 84], sink: &mut impl Sink) {
    let (scales, codes) = (bytes(b), counting_by_four(0.0));
    let factor = stored(scaled(half(b, 80), _mm512_cvtepi32_ps(_mm512_and_si512(scales, _mm512_set1_epi32(15)))));
    let offset = stored(scaled(-half(b, 82), _mm512_cvtepi32_ps(_mm512_srli_epi32::<4>(scales))));
    let (factor, offset) = black_box((&factor, &offset));
    for h in 0..2 {
        let mut v = [bytes(&b[16 + 32 * h..]), bytes(&b[32 + 32 * h..])];
        for j in 0..4 {
            for (c, v) in v.iter_mut().enumerate() {
                let g = 8 * h + 2 * j + c;
                let values = shifted(factor[g], codes, offset[g]);
                // SAFETY: the caller's promise.
                unsafe { sink.put(16 * g, _mm512_permutexvar_ps(*v, values)) };
                *v = _mm512_srli_epi32::<2>(*v);
            }
        }
    }
}

/// The sixteen factors of q3_k, less 32: four bits each in eight bytes, two more in four.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn six_bit_factors(s: &[u8]) -> __m512 {
    let (a, b, c) = (word(s, 0), word(s, 4), word(s, 8));
    let low = |word: u32| word & 0x0f0f_0f0f;
    let high = |shift: u32| ((c >> shift) & 0x0303_0303) << 4;
    let words = [low(a) | high(0), low(b) | high(2), low(a >> 4) | high(4), low(b >> 4) | high(6)];
    // SAFETY: four words are sixteen bytes.
    let codes = unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(words.as_ptr().cast())) };
    _mm512_cvtepi32_ps(_mm512_sub_epi32(codes, _mm512_set1_epi32(32)))
}

/// # Safety
/// The sink takes 256 elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn q3_k(b: &[u8; 110], sink: &mut impl Sink) {
    let factor = stored(scaled(half(b, 108), six_bit_factors(&b[96..])));
    let factor = black_box(&factor);
    let codes = [counting_by_four(-4.0), counting_by_four(0.0)];
    let third = [bytes(b), bytes(&b[16..])];
    for h in 0..2 {
        let mut v = [bytes(&b[32 + 32 * h..]), bytes(&b[48 + 32 * h..])];
        for j in 0..4 {
            for (c, v) in v.iter_mut().enumerate() {
                let g = 8 * h + 2 * j + c;
                let set = has_bits(third[c], 1 << (4 * h + j));
                let values = either(*v, both_scaled(factor[g], codes), set);
                // SAFETY: the caller's promise.
                unsafe { sink.put(16 * g, values) };
                *v = _mm512_srli_epi32::<2>(*v);
            }
        }
    }
}

/// # Safety
/// The sink takes 256 elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn q4_k(b: &[u8; 144], sink: &mut impl Sink) {
    let (scales, codes) = (six_bits(b), counting(0.0));
    let (factor, offset) = black_box(&scales);
    for j in 0..4 {
        let low = shifted(factor[2 * j], codes, offset[2 * j]);
        let high = shifted(factor[2 * j + 1], codes, offset[2 * j + 1]);
        for c in 0..2 {
            let v = bytes(&b[16 + 32 * j + 16 * c..]);
            // SAFETY: the caller's promise.
            unsafe {
                sink.put(64 * j + 16 * c, _mm512_permutexvar_ps(v, low));
                sink.put(64 * j + 32 + 16 * c, _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(v), high));
            }
        }
    }
}

/// # Safety
/// The sink takes 256 elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn q5_k(b: &[u8; 176], sink: &mut impl Sink) {
    let (scales, codes) = (six_bits(b), [counting(0.0), counting(16.0)]);
    let (factor, offset) = black_box(&scales);
    let fifth = [bytes(&b[16..]), bytes(&b[32..])];
    for j in 0..4 {
        let low = both_shifted(factor[2 * j], codes, offset[2 * j]);
        let high = both_shifted(factor[2 * j + 1], codes, offset[2 * j + 1]);
        for (c, &fifth) in fifth.iter().enumerate() {
            let v = bytes(&b[48 + 32 * j + 16 * c..]);
            let set = [1 << (2 * j), 2 << (2 * j)];
            let set = [has_bits(fifth, set[0]), has_bits(fifth, set[1])];
            // SAFETY: the caller's promise.
            unsafe {
                sink.put(64 * j + 16 * c, either(v, low, set[0]));
                sink.put(64 * j + 32 + 16 * c, either(_mm512_srli_epi32::<4>(v), high, set[1]));
            }
        }
    }
}

/// Codes of six bits: a table would be four registers, so they are converted.
///
/// # Safety
/// The sink takes 256 elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn q6_k(b: &[u8; 210], sink: &mut impl Sink) {
    let zero = _mm512_set1_epi32(32);
    let factor = stored(scaled(half(b, 208), signed(&b[192..])));
    let factor = black_box(&factor);
    let (low, upper) = (_mm512_set1_epi32(15), _mm512_set1_epi32(0x30));
    for h in 0..2 {
        // Of the upper halves of bytes after the lower ones; two bits further for each 32 elements.
        for part in 0..2 {
            for pair in 0..2 {
                let j = 2 * part + pair;
                // The two bits get to bits 4 and 5; what a rotation brings to the top is masked.
                let (down, turn) = (_mm512_set1_epi32(4 * part), _mm512_set1_epi32((2 * j + 28) % 32));
                for c in 0..2 {
                    let nibble = _mm512_srlv_epi32(bytes(&b[64 * h + 32 * pair as usize + 16 * c..]), down);
                    let two = _mm512_rorv_epi32(bytes(&b[128 + 32 * h + 16 * c..]), turn);
                    let code = _mm512_or_si512(_mm512_and_si512(nibble, low), _mm512_and_si512(two, upper));
                    let code = _mm512_cvtepi32_ps(_mm512_sub_epi32(code, zero));
                    let g = 8 * h + 2 * j as usize + c;
                    // SAFETY: the caller's promise.
                    unsafe { sink.put(16 * g, scaled(factor[g], code)) };
                }
            }
        }
    }
}

/// # Safety
/// The sink takes 256 elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn iq4_xs(b: &[u8; 136], sink: &mut impl Sink) {
    let (d, codes) = (half(b, 0), table(&IQ4));
    for g in 0..8 {
        let scale = b[4 + g / 2] >> (g % 2 * 4) & 15 | (b[2 + g / 4] >> (g % 4 * 2) & 3) << 4;
        let values = scaled(d * (f32::from(scale) - 32.0), codes);
        let v = bytes(&b[8 + 16 * g..]);
        // SAFETY: the caller's promise.
        unsafe {
            sink.put(32 * g, _mm512_permutexvar_ps(v, values));
            sink.put(32 * g + 16, _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(v), values));
        }
    }
}
