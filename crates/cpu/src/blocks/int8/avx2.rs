//! Products of bytes with AVX2: as they are, or with the VNNI of 256 bits. Rows share the registers that hold a
//! column.
//!
//! The instruction of AVX2 adds two products of bytes as a number of 16 bits. Codes of up to five bits leave room for
//! the products of four bytes of a lane, codes of six bits for those of two; codes of eight bits do not, so their sign
//! moves to the activation.

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _mm_loadu_si128, _mm256_abs_epi8, _mm256_add_epi8, _mm256_add_epi16, _mm256_add_epi32,
    _mm256_castsi128_si256, _mm256_cvtepi32_ps, _mm256_dpbusd_avx_epi32, _mm256_fmadd_ps, _mm256_inserti128_si256,
    _mm256_load_ps, _mm256_load_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_set1_epi8,
    _mm256_set1_epi16, _mm256_setzero_ps, _mm256_setzero_si256, _mm256_sign_epi8, _mm256_store_si256, _mm256_sub_epi8,
    _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
};

use super::super::x86::horizontal_sum;
use super::{Activations, Kind, LANES, ROWS, Weights};

/// How bytes are multiplied, for a constant: with VNNI, or as so many bits of the codes allow.
const VNNI: u8 = 0;
const FIVE_BITS: u8 = 5;
const SIX_BITS: u8 = 6;
const EIGHT_BITS: u8 = 8;

/// The dot products of a column with `rows ≤ ROWS` rows, `ldx` parts apart.
///
/// # Safety
/// The processor has AVX2 and FMA, and the VNNI of 256 bits where `vnni` says so. Each row has as many parts as the
/// column.
pub(super) unsafe fn dots(
    vnni: bool,
    kind: Kind,
    w: &[Weights],
    (x, rows): (*const Activations, usize),
    ldx: usize,
) -> [f32; ROWS] {
    // SAFETY: passed on.
    unsafe {
        match (vnni, kind) {
            (true, _) => with_vnni(kind, w, (x, rows), ldx),
            (_, Kind::Centred(128)) => by_rows::<EIGHT_BITS>(kind, w, (x, rows), ldx),
            (_, Kind::Centred(32)) => by_rows::<SIX_BITS>(kind, w, (x, rows), ldx),
            _ => by_rows::<FIVE_BITS>(kind, w, (x, rows), ldx),
        }
    }
}

/// # Safety
/// As [`dots`], with VNNI.
#[target_feature(enable = "avx2,fma,avxvnni")]
unsafe fn with_vnni(kind: Kind, w: &[Weights], x: (*const Activations, usize), ldx: usize) -> [f32; ROWS] {
    // SAFETY: passed on.
    unsafe { by_rows::<VNNI>(kind, w, x, ldx) }
}

/// # Safety
/// As [`dots`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn by_rows<const HOW: u8>(
    kind: Kind,
    w: &[Weights],
    (x, rows): (*const Activations, usize),
    ldx: usize,
) -> [f32; ROWS] {
    // SAFETY: passed on.
    unsafe {
        match rows {
            1 => products::<HOW, 1>(kind, w, x, ldx),
            2 => products::<HOW, 2>(kind, w, x, ldx),
            3 => products::<HOW, 3>(kind, w, x, ldx),
            _ => products::<HOW, 4>(kind, w, x, ldx),
        }
    }
}

/// # Safety
/// As [`dots`], for `N` rows.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn products<const HOW: u8, const N: usize>(
    kind: Kind,
    w: &[Weights],
    x: *const Activations,
    ldx: usize,
) -> [f32; ROWS] {
    let zero = _mm256_set1_epi8(kind.zero().cast_signed());
    let mut sums = [_mm256_setzero_ps(); N];
    for (p, w) in w.iter().enumerate() {
        for half in 0..2 {
            // SAFETY: there are as many bytes and numbers; parts are aligned; each row has part `p`.
            unsafe {
                let codes: [__m256i; 4] = std::array::from_fn(|t| {
                    let codes = _mm256_load_si256(w.code.as_ptr().add(64 * t + 32 * half).cast());
                    if HOW == EIGHT_BITS { _mm256_sub_epi8(codes, zero) } else { codes }
                });
                let at = |lanes: &[f32; 16]| _mm256_load_ps(lanes.as_ptr().add(8 * half));
                let (factor, offset) = (at(&w.factor), at(&w.offset));
                for (r, sum) in sums.iter_mut().enumerate() {
                    let x = &*x.add(r * ldx + p);
                    let start = match kind {
                        Kind::Centred(_) if HOW != EIGHT_BITS => {
                            _mm256_load_si256(x.start.as_ptr().add(8 * half).cast())
                        }
                        _ => _mm256_setzero_si256(),
                    };
                    let x_codes =
                        std::array::from_fn(|t| _mm256_load_si256(x.code.as_ptr().add(64 * t + 32 * half).cast()));
                    let lanes = lanes::<HOW>(start, codes, x_codes);
                    let product = _mm256_mul_ps(_mm256_cvtepi32_ps(lanes), factor);
                    *sum = _mm256_fmadd_ps(product, at(&x.scale), *sum);
                    if kind == Kind::Offset {
                        *sum = _mm256_fmadd_ps(offset, at(&x.sum), *sum);
                    }
                }
            }
        }
    }
    let mut all = [0.0; ROWS];
    all.iter_mut().zip(sums).for_each(|(all, sum): (_, __m256)| *all = horizontal_sum(sum));
    all
}

/// `start` and the products of four times four bytes of each lane.
///
/// # Safety
/// The processor has the VNNI of 256 bits where `HOW` asks for it.
#[inline(always)]
unsafe fn lanes<const HOW: u8>(start: __m256i, w: [__m256i; 4], x: [__m256i; 4]) -> __m256i {
    // SAFETY: the callers were compiled for AVX2; the rest is the caller's promise.
    unsafe {
        let ones = _mm256_set1_epi16(1);
        let pairs = |t: usize| _mm256_maddubs_epi16(w[t], x[t]);
        match HOW {
            VNNI => (0..4).fold(start, |lanes, t| _mm256_dpbusd_avx_epi32(lanes, w[t], x[t])),
            FIVE_BITS => {
                let four = _mm256_add_epi16(_mm256_add_epi16(pairs(0), pairs(1)), _mm256_add_epi16(pairs(2), pairs(3)));
                _mm256_add_epi32(start, _mm256_madd_epi16(four, ones))
            }
            SIX_BITS => [_mm256_add_epi16(pairs(0), pairs(1)), _mm256_add_epi16(pairs(2), pairs(3))]
                .into_iter()
                .fold(start, |lanes, two| _mm256_add_epi32(lanes, _mm256_madd_epi16(two, ones))),
            _ => (0..4).fold(start, |lanes, t| {
                let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w[t]), _mm256_sign_epi8(x[t], w[t]));
                _mm256_add_epi32(lanes, _mm256_madd_epi16(pairs, ones))
            }),
        }
    }
}

/// The codes of all lanes, which begin at `−zero`, in the order of a part.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn in_lanes<'a>(codes: impl Fn(usize) -> &'a [i8; LANES], zero: u8, to: &mut Weights) {
    let zero = _mm256_set1_epi8(zero.cast_signed());
    for half in 0..2 {
        // SAFETY: each lane has sixteen codes; parts are aligned.
        unsafe {
            let of = |l: usize| -> __m128i { _mm_loadu_si128(codes(8 * half + l).as_ptr().cast()) };
            // Four lanes in the lower halves of registers, four in the upper ones.
            let two = |l: usize| _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(of(l)), of(l + 4));
            let (a, b, c, d) = (two(0), two(1), two(2), two(3));
            let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
            let (ab_high, cd_high) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
            let turned = [
                _mm256_unpacklo_epi64(ab, cd),
                _mm256_unpackhi_epi64(ab, cd),
                _mm256_unpacklo_epi64(ab_high, cd_high),
                _mm256_unpackhi_epi64(ab_high, cd_high),
            ];
            for (t, codes) in turned.into_iter().enumerate() {
                let at = to.code.as_mut_ptr().add(64 * t + 32 * half);
                _mm256_store_si256(at.cast(), _mm256_add_epi8(codes, zero));
            }
        }
    }
}
