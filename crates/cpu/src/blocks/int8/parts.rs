//! Blocks of the common formats as parts, with AVX-512.
//!
//! A shuffle of 32-bit lanes brings packed bytes into the order of lanes before they are split into codes, so
//! that nothing has to be moved afterwards.

use std::arch::x86_64::{
    __m512, __m512i, _mm_loadu_si128, _mm_setr_epi16, _mm256_cvtph_ps, _mm256_loadu_si256, _mm512_and_si512,
    _mm512_castps256_ps512, _mm512_castsi128_si512, _mm512_castsi256_si512, _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps,
    _mm512_inserti32x4, _mm512_inserti64x4, _mm512_loadu_si512, _mm512_mul_ps, _mm512_permutex2var_epi32,
    _mm512_permutexvar_epi32, _mm512_permutexvar_ps, _mm512_rorv_epi32, _mm512_set1_epi8, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_shuffle_i64x2, _mm512_srlv_epi32, _mm512_store_ps, _mm512_store_si512,
    _mm512_ternarylogic_epi32, _mm512_xor_si512,
};

use unisono_core::DType;

use super::super::avx512::lanes::half;
use super::super::direct::six_bits;
use super::{LANES, Weights};

/// Four registers: byte `64·t + b` of a part is byte `b` of register `t`.
pub(super) type Part = [__m512i; 4];
/// A number for each lane, for each register of a part.
type Lanes = [[i32; LANES]; 4];

/// Applies `$value` to each register `t` and lane `l`.
macro_rules! lanes {
    (|$t:ident, $l:ident| $value:expr) => {{
        const ALL: Lanes = {
            let mut all = [[0; LANES]; 4];
            let mut $t = 0;
            while $t < 4 {
                let mut $l = 0;
                while $l < LANES {
                    all[$t][$l] = ($value) as i32;
                    $l += 1;
                }
                $t += 1;
            }
            all
        };
        &ALL
    }};
}

/// What is done with a part.
pub(super) trait Sink {
    /// Takes the next part: its codes, factors and offsets.
    ///
    /// # Safety
    /// The processor has AVX-512 with BW and VNNI, and the sink has room for the part.
    unsafe fn take(&mut self, codes: Part, factor: __m512, offset: __m512);
}

/// Stores parts one after the other.
struct Store(*mut Weights);

impl Sink for Store {
    #[inline(always)]
    unsafe fn take(&mut self, codes: Part, factor: __m512, offset: __m512) {
        // SAFETY: the caller's promise; there is room for 256 bytes and twice sixteen numbers, and parts are aligned.
        unsafe {
            let to = &mut *self.0;
            for (t, codes) in codes.into_iter().enumerate() {
                _mm512_store_si512(to.code.as_mut_ptr().add(64 * t).cast(), codes);
            }
            _mm512_store_ps(to.factor.as_mut_ptr(), factor);
            _mm512_store_ps(to.offset.as_mut_ptr(), offset);
        }
        self.0 = self.0.wrapping_add(1);
    }
}

/// Whether a format has code of its own here.
pub(super) fn has_own(dtype: DType) -> bool {
    matches!(dtype, DType::Q4_0 | DType::Q8_0 | DType::Q4K | DType::Q5K | DType::Q6K)
}

/// Gives whole parts of a format that [has code of its own](has_own) to a sink.
///
/// # Safety
/// The sink has room for them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn each(dtype: DType, bytes: &[u8], sink: &mut impl Sink) {
    macro_rules! parts {
        ($blocks:literal of $bytes:literal, $put:expr) => {
            for blocks in bytes.as_chunks::<$bytes>().0.as_chunks::<$blocks>().0 {
                let (codes, factor, offset) = $put(blocks);
                // SAFETY: the caller's promise.
                unsafe { sink.take(codes, factor, offset) };
            }
        };
    }
    match dtype {
        DType::Q4_0 => parts!(8 of 18, |b| q4_0(b)),
        DType::Q8_0 => parts!(8 of 34, |b| q8_0(b)),
        DType::Q4K => parts!(1 of 144, |b: &[[u8; 144]; 1]| q4_k(&b[0])),
        DType::Q5K => parts!(1 of 176, |b: &[[u8; 176]; 1]| q5_k(&b[0])),
        DType::Q6K => parts!(1 of 210, |b: &[[u8; 210]; 1]| q6_k(&b[0])),
        _ => {}
    }
}

/// Unpacks whole parts of a format that [has code of its own](has_own).
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn unpack(dtype: DType, bytes: &[u8], to: &mut [Weights]) {
    // SAFETY: there are as many parts as blocks fill.
    unsafe { each(dtype, bytes, &mut Store(to.as_mut_ptr())) };
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn vector(lanes: &[i32; LANES]) -> __m512i {
    // SAFETY: there are sixteen.
    unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) }
}

/// 64 bytes from `at` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn sixty_four<const BYTES: usize>(block: &[u8; BYTES], at: usize) -> __m512i {
    assert!(at + 64 <= BYTES);
    // SAFETY: there are as many.
    unsafe { _mm512_loadu_si512(block.as_ptr().add(at).cast()) }
}

/// Bytes 2 to 17 of each of four blocks.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn nibbles_of_four(blocks: &[[u8; 18]]) -> __m512i {
    // SAFETY: each block has bytes 2 to 17.
    let of = |i: usize| unsafe { _mm_loadu_si128(blocks[i].as_ptr().add(2).cast()) };
    let two = _mm512_inserti32x4::<1>(_mm512_castsi128_si512(of(0)), of(1));
    _mm512_inserti32x4::<3>(_mm512_inserti32x4::<2>(two, of(2)), of(3))
}

/// Each of eight numbers twice.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn twice(eight: __m512) -> __m512 {
    _mm512_permutexvar_ps(vector(&lanes!(|_t, l| l / 2)[0]), eight)
}

/// The factors of eight blocks, which begin with them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn factors<const BYTES: usize>(blocks: &[[u8; BYTES]; 8]) -> __m512 {
    let bits = |b: usize| i16::from_le_bytes([blocks[b][0], blocks[b][1]]);
    let eight = _mm_setr_epi16(bits(0), bits(1), bits(2), bits(3), bits(4), bits(5), bits(6), bits(7));
    twice(_mm512_castps256_ps512(_mm256_cvtph_ps(eight)))
}

/// Four bits of each byte of the lanes that `from` names in two registers, those above `shift`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn nibbles(raw: [__m512i; 2], from: &Lanes, shift: &Lanes) -> Part {
    let low = _mm512_set1_epi8(15);
    std::array::from_fn(|t| {
        let four = _mm512_permutex2var_epi32(raw[0], vector(&from[t]), raw[1]);
        _mm512_and_si512(_mm512_srlv_epi32(four, vector(&shift[t])), low)
    })
}

/// `codes` with the bits `mask` of each byte of the lanes that `from` names, rotated right by `turn`: what a rotation
/// brings from the next byte is not among those bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn with_upper(codes: Part, bits: __m512i, from: &Lanes, turn: &Lanes, mask: i8) -> Part {
    let mask = _mm512_set1_epi8(mask);
    std::array::from_fn(|t| {
        let upper = _mm512_rorv_epi32(_mm512_permutexvar_epi32(vector(&from[t]), bits), vector(&turn[t]));
        // codes | (upper & mask)
        _mm512_ternarylogic_epi32::<0xF8>(codes[t], upper, mask)
    })
}

/// Codes in the order of the elements in the order of lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn in_lanes(natural: Part) -> Part {
    // Of two registers the first (third) lanes of each four, then the second (fourth) ones.
    let [even, _, odd, _] = lanes!(|t, l| 4 * (l % 8) + l / 8 + t);
    let pick = |from: [__m512i; 2], lanes| _mm512_permutex2var_epi32(from[0], vector(lanes), from[1]);
    let (low, high) = ([natural[0], natural[1]], [natural[2], natural[3]]);
    let (a, b, c, d) = (pick(low, even), pick(high, even), pick(low, odd), pick(high, odd));
    [
        _mm512_shuffle_i64x2::<0x44>(a, b),
        _mm512_shuffle_i64x2::<0xEE>(a, b),
        _mm512_shuffle_i64x2::<0x44>(c, d),
        _mm512_shuffle_i64x2::<0xEE>(c, d),
    ]
}

/// Lane `2·b` is the lower half of block `b`, lane `2·b + 1` the upper one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn q4_0(blocks: &[[u8; 18]; 8]) -> (Part, __m512, __m512) {
    let raw = [nibbles_of_four(&blocks[..4]), nibbles_of_four(&blocks[4..8])];
    let codes = nibbles(raw, lanes!(|t, l| l / 2 * 4 + t), lanes!(|_t, l| l % 2 * 4));
    (codes, factors(blocks), _mm512_setzero_ps())
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn q8_0(blocks: &[[u8; 34]; 8]) -> (Part, __m512, __m512) {
    // SAFETY: each block has bytes 2 to 33.
    let of = |i: usize| unsafe { _mm256_loadu_si256(blocks[i].as_ptr().add(2).cast()) };
    let sign = _mm512_set1_epi8(-128);
    let natural: Part = std::array::from_fn(|c| {
        let two = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(of(2 * c)), of(2 * c + 1));
        _mm512_xor_si512(two, sign)
    });
    (in_lanes(natural), factors(blocks), _mm512_setzero_ps())
}

/// Factors and offsets of q4_k and q5_k.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn six_bit_numbers(block: &[u8]) -> [__m512; 2] {
    six_bits(block, half(block, 0), half(block, 2)).map(|eight| twice(_mm512_castps256_ps512(eight)))
}

/// The nibbles of q4_k and q5_k: lane `l` has those of 32 bytes `l / 4`, of the upper half of each byte where `l % 4 > 1`,
/// of their second half where `l` is odd.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn halves_of_bytes(raw: [__m512i; 2]) -> Part {
    nibbles(raw, lanes!(|t, l| l / 4 * 8 + l % 2 * 4 + t), lanes!(|_t, l| l / 2 % 2 * 4))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn q4_k(b: &[u8; 144]) -> (Part, __m512, __m512) {
    let [factor, offset] = six_bit_numbers(b);
    (halves_of_bytes([sixty_four(b, 16), sixty_four(b, 80)]), factor, offset)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn q5_k(b: &[u8; 176]) -> (Part, __m512, __m512) {
    let [factor, offset] = six_bit_numbers(b);
    let codes = halves_of_bytes([sixty_four(b, 48), sixty_four(b, 112)]);
    // Bit l / 2 of bytes 16 to 47 becomes bit 4.
    let turn = lanes!(|_t, l| (l / 2 + 28) % 32);
    let codes = with_upper(codes, sixty_four(b, 16), lanes!(|t, l| l % 2 * 4 + t), turn, 0x10);
    (codes, factor, offset)
}

/// Lane `8·h + 2·j + c`: nibbles of 32 bytes `2·h + j % 2`, upper ones where `j > 1`, and two more bits of 32 others.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn q6_k(b: &[u8; 210]) -> (Part, __m512, __m512) {
    let from = lanes!(|t, l| l / 8 * 16 + l / 2 % 2 * 8 + l % 2 * 4 + t);
    let codes = nibbles([sixty_four(b, 0), sixty_four(b, 64)], from, lanes!(|_t, l| l / 4 % 2 * 4));
    // Bits 2·j and 2·j + 1 become bits 4 and 5.
    let turn = lanes!(|_t, l| (l / 2 % 4 * 2 + 28) % 32);
    let codes = with_upper(codes, sixty_four(b, 128), lanes!(|t, l| l / 8 * 8 + l % 2 * 4 + t), turn, 0x30);
    // SAFETY: bytes 192 to 207 are there.
    let scales = unsafe { _mm512_cvtepi8_epi32(_mm_loadu_si128(b.as_ptr().add(192).cast())) };
    let factor = _mm512_mul_ps(_mm512_set1_ps(half(b, 208)), _mm512_cvtepi32_ps(scales));
    (codes, factor, _mm512_setzero_ps())
}
