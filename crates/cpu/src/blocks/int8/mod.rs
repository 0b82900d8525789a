//! Products of blocks with activations that were rounded to 8-bit integers: the numeric mode
//! `int8-activations`.
//!
//! Whatever the format of the weight, both operands are brought into the same order, in parts of 256
//! elements: byte `64·t + 4·l + i` of a part is element `16·l + 4·t + i`. So lane `l` of a vector of 32-bit
//! integers only ever adds products of the elements `16·l..16·l + 16`, which share a factor in every format, and a
//! part needs one conversion and one multiplication by its factors, not one for each group. Codes of
//! weights are unsigned, as the instructions for products of bytes want one operand to be.
//!
//! The error model of the mode stands in `docs/numerics.md`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod parts;
mod quantise;
mod weights;

pub(crate) use quantise::quantise;
pub(crate) use weights::{dots_of_blocks, kind, reads_blocks, unpack};

use std::ops::Range;

use crate::scratch::Record;
use crate::simd::Simd;

/// Elements of a part: the largest block.
pub(crate) const PART: usize = 256;
/// Lanes of a vector: groups of a part that may have a factor of their own.
const LANES: usize = 16;
/// Columns of a weight that are multiplied together.
pub(crate) const COLS: usize = 4;
/// Rows of activations that are.
pub(crate) const ROWS: usize = 4;

/// 256 elements of a weight: element `e` of lane `l` is `factor[l]·(code − zero) + offset[l]`, where `zero` is that of
/// the format.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Weights {
    code: [u8; PART],
    factor: [f32; LANES],
    offset: [f32; LANES],
}

/// 256 activations: element `e` of lane `l` is `scale[l]·code`.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Activations {
    code: [i8; PART],
    scale: [f32; LANES],
    /// −zero·Σ code of each lane.
    start: [i32; LANES],
    /// scale·Σ code of each lane.
    sum: [f32; LANES],
}

// SAFETY: both consist of numbers, and are aligned to 64 bytes.
unsafe impl Record for Weights {}
// SAFETY: as above.
unsafe impl Record for Activations {}

impl Activations {
    const ZERO: Activations =
        Activations { code: [0; PART], scale: [0.0; LANES], start: [0; LANES], sum: [0.0; LANES] };
}

/// Which instructions multiply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// AVX-512 with VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2 with the VNNI of 256 bits.
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What every processor of the target has.
    Portable,
}

impl Level {
    /// The best below a level of vector code.
    pub(crate) fn of(simd: Simd) -> Level {
        #[cfg(target_arch = "x86_64")]
        match simd {
            Simd::Avx512 if std::arch::is_x86_feature_detected!("avx512vnni") => return Level::Avx512,
            Simd::Avx512 | Simd::Avx2 if std::arch::is_x86_feature_detected!("avxvnni") => return Level::AvxVnni,
            Simd::Avx512 | Simd::Avx2 => return Level::Avx2,
            Simd::Portable => {}
        }
        let _ = simd;
        Level::Portable
    }
}

/// What a format has beside codes and factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A zero that is taken from the codes.
    Centred(u8),
    /// Offsets.
    Offset,
}

impl Kind {
    /// What is taken from the codes.
    pub(crate) fn zero(self) -> u8 {
        match self {
            Kind::Centred(zero) => zero,
            Kind::Offset => 0,
        }
    }
}

/// The dot products of parts `some` of `cols ≤ COLS` columns of a weight and of `rows ≤ ROWS` rows of activations:
/// each begins `parts` after the one before. Zeros for those that are not there.
///
/// # Safety
/// They are readable.
pub(crate) unsafe fn dots(
    level: Level,
    kind: Kind,
    (w, cols): (*const Weights, usize),
    (x, rows): (*const Activations, usize),
    (parts, some): (usize, Range<usize>),
) -> [[f32; ROWS]; COLS] {
    debug_assert!(cols <= COLS && rows <= ROWS);
    let mut all = [[0.0; ROWS]; COLS];
    #[cfg(target_arch = "x86_64")]
    if level == Level::Avx512 && cols == COLS {
        // SAFETY: passed on; the level exists only where the processor has its features.
        return unsafe { avx512::dots(kind, w, (x, rows), parts, some) };
    }
    for (c, sums) in all.iter_mut().enumerate().take(cols) {
        // SAFETY: column `c` and the rows have these parts; levels exist only where the processor has their
        // features.
        unsafe {
            let w = std::slice::from_raw_parts(w.add(c * parts + some.start), some.len());
            let x = x.add(some.start);
            *sums = match level {
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => avx512::dots_of_column(kind, w, (x, rows), parts),
                #[cfg(target_arch = "x86_64")]
                Level::AvxVnni | Level::Avx2 => avx2::dots(level == Level::AvxVnni, kind, w, (x, rows), parts),
                Level::Portable => std::array::from_fn(|r| match r < rows {
                    true => dot(w, std::slice::from_raw_parts(x.add(r * parts), w.len())),
                    false => 0.0,
                }),
            };
        }
    }
    all
}

/// One dot product, in plain code.
fn dot(w: &[Weights], x: &[Activations]) -> f32 {
    let mut sums = [0f32; LANES];
    for (w, x) in w.iter().zip(x) {
        let mut lanes = x.start;
        for (w, x) in w.code.chunks_exact(4 * LANES).zip(x.code.chunks_exact(4 * LANES)) {
            for (lane, (w, x)) in lanes.iter_mut().zip(w.chunks_exact(4).zip(x.chunks_exact(4))) {
                *lane += w.iter().zip(x).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum::<i32>();
            }
        }
        for (l, sum) in sums.iter_mut().enumerate() {
            *sum += w.factor[l] * lanes[l] as f32 * x.scale[l] + w.offset[l] * x.sum[l];
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests;
