//! From the bytes of a block to [`Codes`], one function per format.
//!
//! The loops are plain so that compilers turn them into byte-wide vector code; the flag says
//! whether they are compiled for AVX2, FMA and F16C.

use half::f16;

#[cfg(target_arch = "x86_64")]
use super::x86;
use super::{Codes, E2M1, IQ4, MAX_BLOCK};

/// A block format.
pub(super) trait Format {
    /// Elements of a block.
    const ELEMENTS: usize;
    /// Bytes of a block.
    const BYTES: usize;
    /// Whether every offset is 0.
    const CENTRED: bool;
    /// Unpacks `b`, which has [`BYTES`](Self::BYTES) bytes.
    fn unpack<const FMA: bool>(b: &[u8], to: &mut Codes);
}

/// The f16 at byte `at`.
#[inline(always)]
fn half<const FMA: bool>(b: &[u8], at: usize) -> f32 {
    let bits = u16::from_le_bytes([b[at], b[at + 1]]);
    #[cfg(target_arch = "x86_64")]
    if FMA {
        // SAFETY: the flag is set only where the processor has F16C.
        return unsafe { x86::widen(bits) };
    }
    f16::from_bits(bits).to_f32_const()
}

/// Low nibbles of 16 bytes, then the high ones, less `zero`.
#[inline(always)]
fn nibbles<const FMA: bool>(qs: &[u8], zero: i8, code: &mut [i8]) {
    let (Some(qs), Some(code)) = (qs.first_chunk::<16>(), code.first_chunk_mut::<32>()) else { return };
    #[cfg(target_arch = "x86_64")]
    if FMA {
        // SAFETY: the flag is set only where the processor has AVX2.
        return unsafe { x86::nibbles(qs, zero, code) };
    }
    for (i, &q) in qs.iter().enumerate() {
        code[i] = (q & 15) as i8 - zero;
        code[16 + i] = (q >> 4) as i8 - zero;
    }
}

/// The nibbles of 16 bytes, each replaced by its value in `table`.
#[inline(always)]
fn looked_up<const FMA: bool>(qs: &[u8], table: &[i8; 16], code: &mut [i8]) {
    let (Some(qs), Some(code)) = (qs.first_chunk::<16>(), code.first_chunk_mut::<32>()) else { return };
    #[cfg(target_arch = "x86_64")]
    if FMA {
        // SAFETY: the flag is set only where the processor has AVX2.
        return unsafe { x86::looked_up(qs, table, code) };
    }
    for (i, &q) in qs.iter().enumerate() {
        code[i] = table[usize::from(q & 15)];
        code[16 + i] = table[usize::from(q >> 4)];
    }
}

/// Adds bit `i` of the four bytes to code `i`, as bit 4.
#[inline(always)]
fn fifth_bits<const FMA: bool>(qh: &[u8], code: &mut [i8]) {
    let (Some(&qh), Some(code)) = (qh.first_chunk::<4>(), code.first_chunk_mut::<32>()) else { return };
    #[cfg(target_arch = "x86_64")]
    if FMA {
        // SAFETY: the flag is set only where the processor has AVX2.
        return unsafe { x86::fifth_bits(qh, code) };
    }
    for (i, code) in code.iter_mut().enumerate() {
        *code += ((qh[i / 8] >> (i % 8) & 1) << 4) as i8;
    }
}

/// Adds `value` to element `l` of group `g` of 32 where bit `g` of byte `l` is set, and `always` to
/// every element.
#[inline(always)]
fn upper_bits<const FMA: bool>(bits: &[u8], value: i8, always: i8, code: &mut [i8; MAX_BLOCK]) {
    let Some(bits) = bits.first_chunk::<32>() else { return };
    #[cfg(target_arch = "x86_64")]
    if FMA {
        // SAFETY: the flag is set only where the processor has AVX2.
        return unsafe { x86::upper_bits(bits, value, always, code) };
    }
    for (g, code) in code.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        for (code, bits) in code.iter_mut().zip(bits) {
            *code += always + if bits >> g & 1 == 0 { 0 } else { value };
        }
    }
}

macro_rules! format {
    ($name:ident, $elements:literal, $bytes:literal, $centred:literal, |$b:ident, $to:ident| $body:block) => {
        pub(super) struct $name;
        impl Format for $name {
            const ELEMENTS: usize = $elements;
            const BYTES: usize = $bytes;
            const CENTRED: bool = $centred;
            #[inline(always)]
            fn unpack<const FMA: bool>($b: &[u8], $to: &mut Codes) {
                // An array instead of a slice: no bounds are checked below.
                let Some($b) = $b.first_chunk::<$bytes>() else { return };
                $body
            }
        }
    };
}

format!(Q40, 32, 18, true, |b, to| {
    nibbles::<FMA>(&b[2..], 8, &mut to.code);
    to.factor[..2].fill(half::<FMA>(b, 0));
});

format!(Q41, 32, 20, false, |b, to| {
    nibbles::<FMA>(&b[4..], 0, &mut to.code);
    to.factor[..2].fill(half::<FMA>(b, 0));
    to.offset[..2].fill(half::<FMA>(b, 2));
});

format!(Q50, 32, 22, true, |b, to| {
    nibbles::<FMA>(&b[6..], 16, &mut to.code);
    fifth_bits::<FMA>(&b[2..6], &mut to.code);
    to.factor[..2].fill(half::<FMA>(b, 0));
});

format!(Q51, 32, 24, false, |b, to| {
    nibbles::<FMA>(&b[8..], 0, &mut to.code);
    fifth_bits::<FMA>(&b[4..8], &mut to.code);
    to.factor[..2].fill(half::<FMA>(b, 0));
    to.offset[..2].fill(half::<FMA>(b, 2));
});

format!(Q80, 32, 34, true, |b, to| {
    for (code, &q) in to.code[..32].iter_mut().zip(&b[2..34]) {
        *code = q as i8;
    }
    to.factor[..2].fill(half::<FMA>(b, 0));
});

/// Two-bit parts of q2_k and q3_k: four elements, 32 apart, in each byte.
#[inline(always)]
fn quarters(qs: &[u8], code: &mut [i8; MAX_BLOCK]) {
    let Some(qs) = qs.first_chunk::<64>() else { return };
    for h in 0..2 {
        for j in 0..4 {
            for l in 0..32 {
                code[128 * h + 32 * j + l] = (qs[32 * h + l] >> (2 * j) & 3) as i8;
            }
        }
    }
}

format!(Q2K, 256, 84, false, |b, to| {
    quarters(&b[16..80], &mut to.code);
    let (d, dmin) = (half::<FMA>(b, 80), half::<FMA>(b, 82));
    for (g, &s) in b[..16].iter().enumerate() {
        to.factor[g] = d * f32::from(s & 15);
        to.offset[g] = -dmin * f32::from(s >> 4);
    }
});

format!(Q3K, 256, 110, true, |b, to| {
    quarters(&b[32..96], &mut to.code);
    upper_bits::<FMA>(&b[..32], 4, -4, &mut to.code);
    let (s, d) = (&b[96..108], half::<FMA>(b, 108));
    for g in 0..16 {
        let low = s[g % 8] >> (g / 8 * 4) & 15;
        let high = s[8 + g % 4] >> (g / 4 * 2) & 3;
        to.factor[g] = d * (f32::from(low | high << 4) - 32.0);
    }
});

/// Factors and offsets of q4_k and q5_k, whose first 16 bytes are alike.
#[inline(always)]
fn six_bit_scales<const FMA: bool>(b: &[u8], to: &mut Codes) {
    let (d, dmin, s) = (half::<FMA>(b, 0), half::<FMA>(b, 2), &b[4..16]);
    for g in 0..8 {
        let (scale, min) = if g < 4 {
            (s[g] & 63, s[g + 4] & 63)
        } else {
            (s[g + 4] & 15 | (s[g - 4] >> 6) << 4, s[g + 4] >> 4 | (s[g] >> 6) << 4)
        };
        to.factor[2 * g..2 * g + 2].fill(d * f32::from(scale));
        to.offset[2 * g..2 * g + 2].fill(-dmin * f32::from(min));
    }
}

/// The nibbles of q4_k and q5_k: 32 low ones, then the high ones of the same bytes.
#[inline(always)]
fn halves(qs: &[u8], code: &mut [i8; MAX_BLOCK]) {
    let Some(qs) = qs.first_chunk::<128>() else { return };
    for j in 0..4 {
        for l in 0..32 {
            code[64 * j + l] = (qs[32 * j + l] & 15) as i8;
        }
        for l in 0..32 {
            code[64 * j + 32 + l] = (qs[32 * j + l] >> 4) as i8;
        }
    }
}

format!(Q4K, 256, 144, false, |b, to| {
    halves(&b[16..144], &mut to.code);
    six_bit_scales::<FMA>(b, to);
});

format!(Q5K, 256, 176, false, |b, to| {
    halves(&b[48..176], &mut to.code);
    upper_bits::<FMA>(&b[16..48], 16, 0, &mut to.code);
    six_bit_scales::<FMA>(b, to);
});

format!(Q6K, 256, 210, true, |b, to| {
    for h in 0..2 {
        for j in 0..4 {
            for l in 0..32 {
                let low = b[64 * h + 32 * (j % 2) + l] >> (j / 2 * 4) & 15;
                let high = b[128 + 32 * h + l] >> (2 * j) & 3;
                to.code[128 * h + 32 * j + l] = (low | high << 4) as i8 - 32;
            }
        }
    }
    let d = half::<FMA>(b, 208);
    for (factor, &s) in to.factor.iter_mut().zip(&b[192..208]) {
        *factor = d * f32::from(s as i8);
    }
});

format!(Iq4Nl, 32, 18, true, |b, to| {
    looked_up::<FMA>(&b[2..], &IQ4, &mut to.code);
    to.factor[..2].fill(half::<FMA>(b, 0));
});

format!(Iq4Xs, 256, 136, true, |b, to| {
    let d = half::<FMA>(b, 0);
    for g in 0..8 {
        looked_up::<FMA>(&b[8 + 16 * g..], &IQ4, &mut to.code[32 * g..]);
        let scale = b[4 + g / 2] >> (g % 2 * 4) & 15 | (b[2 + g / 4] >> (g % 4 * 2) & 3) << 4;
        to.factor[2 * g..2 * g + 2].fill(d * (f32::from(scale) - 32.0));
    }
});

format!(Mxfp4, 32, 17, true, |b, to| {
    looked_up::<FMA>(&b[1..], &E2M1, &mut to.code);
    to.factor[..2].fill(half_e8m0(b[0]));
});

/// Half of 2^(e − 127), since the codes are doubled.
#[inline(always)]
pub(super) fn half_e8m0(e: u8) -> f32 {
    f32::from_bits(if e < 2 { 0x0020_0000 << e } else { u32::from(e - 1) << 23 })
}
