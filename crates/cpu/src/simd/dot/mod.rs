//! Products of a few vectors with a stored matrix, at the speed of memory.
//!
//! Libraries for matrix products pack their operands, which doubles the traffic where each element
//! of a weight is used once. These two kernels read the matrix in place, in `f32`, `f16` or
//! `bf16`: [`dots`] where the summed dimension is contiguous, [`add_rows`] where the other one is.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use std::cell::Cell;

use unisono_core::DType;

use super::Simd;
use super::convert::Run;

/// How many vectors one pass over the matrix serves.
pub(crate) const GROUP: usize = 8;
/// How many of them share registers, where those are sixteen.
const HALF_GROUP: usize = 4;

/// The types of stored elements.
#[cfg(target_arch = "x86_64")]
const F32: u8 = 0;
#[cfg(target_arch = "x86_64")]
const F16: u8 = 1;
#[cfg(target_arch = "x86_64")]
const BF16: u8 = 2;

/// `Σᵢ x[r·ldx + i]·w[j·ldw + i]` for the `rows ≤ GROUP` vectors that start at `x` and the
/// `cols ≤ 2` that start at `w`, as `[j][r]`.
///
/// # Safety
/// `w` has stride 1 and `cols` readable vectors of `k` elements; `x` has `rows` of them.
pub(crate) unsafe fn dots(
    simd: Simd,
    (w, ldw, cols): (Run, usize, usize),
    (x, ldx, rows): (*const f32, usize, usize),
    k: usize,
) -> [[f32; GROUP]; 2] {
    debug_assert!(w.stride == 1 && rows <= GROUP && cols <= 2);
    let mut sums = [[0.0; GROUP]; 2];
    // SAFETY: the caller's promise; a level exists only where the processor has its features.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if simd == Simd::Avx512 {
            return match w.dtype {
                DType::F16 => avx512::dots::<F16>((w.ptr, ldw, cols), (x, ldx, rows), k),
                DType::BF16 => avx512::dots::<BF16>((w.ptr, ldw, cols), (x, ldx, rows), k),
                _ => avx512::dots::<F32>((w.ptr, ldw, cols), (x, ldx, rows), k),
            };
        }
        for first in (0..rows).step_by(HALF_GROUP) {
            let x = (x.add(first * ldx), ldx, HALF_GROUP.min(rows - first));
            let some = few_dots(simd, (w, ldw, cols), x, k);
            for (sums, some) in sums.iter_mut().zip(&some) {
                sums[first..first + HALF_GROUP].copy_from_slice(some);
            }
        }
    }
    sums
}

/// [`dots`] for up to [`HALF_GROUP`] vectors.
///
/// # Safety
/// As [`dots`].
unsafe fn few_dots(
    simd: Simd,
    (w, ldw, cols): (Run, usize, usize),
    (x, ldx, rows): (*const f32, usize, usize),
    k: usize,
) -> [[f32; HALF_GROUP]; 2] {
    // SAFETY: the caller's promise; a level exists only where the processor has its features.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if simd.has_avx2() {
            return match w.dtype {
                DType::F16 => avx2::dots::<F16>((w.ptr, ldw, cols), (x, ldx, rows), k),
                DType::BF16 => avx2::dots::<BF16>((w.ptr, ldw, cols), (x, ldx, rows), k),
                _ => avx2::dots::<F32>((w.ptr, ldw, cols), (x, ldx, rows), k),
            };
        }
        let second = if cols > 1 { portable_dot_row(simd, w.skip(ldw), x, ldx, rows, k) } else { [0.0; HALF_GROUP] };
        [portable_dot_row(simd, w, x, ldx, rows, k), second]
    }
}

/// Columns of a tile.
pub(crate) const TILE_COLS: usize = 4;

/// Where a tile adds its sums: row `r`, column `c` at `r·ld + c`.
#[derive(Clone, Copy)]
struct Sums<'a> {
    to: &'a [Cell<f32>],
    ld: usize,
    cols: usize,
}

impl Sums<'_> {
    /// Adds to the columns of row `r` that there are.
    #[inline(always)]
    fn add(self, r: usize, sums: [f32; TILE_COLS]) {
        let row = &self.to[r * self.ld..][..self.cols];
        row.iter().zip(sums).for_each(|(to, sum)| to.set(to.get() + sum));
    }
}

/// `y[r·ldy + c] += Σᵢ x[r·ldx + i]·w[c][i]` for any number of `rows` and `cols ≤ TILE_COLS` columns:
/// sums in registers, nothing packed, since both operands lie along the summed dimension.
///
/// # Safety
/// Each of the first `cols` pointers of `w` and each of the `rows` vectors of `x` has `k` readable
/// elements.
pub(crate) unsafe fn tile(
    simd: Simd,
    (mut w, cols): ([*const f32; TILE_COLS], usize),
    (x, ldx, rows): (*const f32, usize, usize),
    k: usize,
    (y, ldy): (&mut [f32], usize),
) {
    debug_assert!((1..=TILE_COLS).contains(&cols) && (rows == 0 || y.len() >= (rows - 1) * ldy + cols));
    // Columns that are not there repeat the last one; their sums are not stored.
    (cols..TILE_COLS).for_each(|c| w[c] = w[cols - 1]);
    let most = match simd {
        #[cfg(target_arch = "x86_64")]
        Simd::Avx512 => 6,
        _ => 3,
    };
    let y = Cell::from_mut(y).as_slice_of_cells();
    let groups = rows.div_ceil(most);
    for group in 0..groups {
        // As even as can be: a tile of few rows loads more for each product.
        let (first, end) = (group * rows / groups, (group + 1) * rows / groups);
        let to = &y[first * ldy..(end - 1) * ldy + cols];
        let (x, y) = ((x.wrapping_add(first * ldx), ldx, end - first), Sums { to, ld: ldy, cols });
        // SAFETY: the caller's promise; a level exists only where the processor has its features.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            match simd {
                Simd::Avx512 => avx512::tile(w, x, k, y),
                Simd::Avx2 => avx2::tile(w, x, k, y),
                Simd::Portable => portable_tile(w, x, k, y),
            }
            #[cfg(not(target_arch = "x86_64"))]
            portable_tile(w, x, k, y);
        }
    }
}

/// # Safety
/// As [`tile`].
unsafe fn portable_tile(w: [*const f32; TILE_COLS], (x, ldx, rows): (*const f32, usize, usize), k: usize, y: Sums<'_>) {
    for r in 0..rows {
        // SAFETY: each has `k` elements.
        let x = unsafe { std::slice::from_raw_parts(x.add(r * ldx), k) };
        // SAFETY: as above.
        y.add(r, w.map(|w| lane_sums(unsafe { std::slice::from_raw_parts(w, k) }, x)));
    }
}

/// The dot product of two vectors, in lanes that compilers turn into vector code.
fn lane_sums(w: &[f32], x: &[f32]) -> f32 {
    let mut lanes = [0f32; 2 * LANES];
    for (w, x) in w.chunks(lanes.len()).zip(x.chunks(lanes.len())) {
        lanes.iter_mut().zip(w.iter().zip(x)).for_each(|(lane, (w, x))| *lane += w * x);
    }
    lanes.iter().sum()
}

/// `y[c] += Σⱼ p[j]·v[j][c]` over the rows `j` of a matrix whose rows are `ld` elements apart.
///
/// # Safety
/// `v` has stride 1; `p.len()` rows of `y.len()` elements are readable from it.
pub(crate) unsafe fn add_rows(simd: Simd, p: &[f32], v: Run, ld: usize, y: &mut [f32]) {
    debug_assert!(v.stride == 1);
    // SAFETY: the caller's promise; a level exists only where the processor has its features.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if simd.has_avx2() {
            return match v.dtype {
                DType::F16 => avx2::add_rows::<F16>(p, v.ptr, ld, y),
                DType::BF16 => avx2::add_rows::<BF16>(p, v.ptr, ld, y),
                _ => avx2::add_rows::<F32>(p, v.ptr, ld, y),
            };
        }
        portable_add_rows(simd, p, v, ld, y);
    }
}

const CHUNK: usize = 256;
const LANES: usize = 8;

unsafe fn portable_dot_row(simd: Simd, w: Run, x: *const f32, ldx: usize, rows: usize, k: usize) -> [f32; HALF_GROUP] {
    let mut lanes = [[0f32; LANES]; HALF_GROUP];
    let mut buffer = [0f32; CHUNK];
    for start in (0..k).step_by(CHUNK) {
        let n = CHUNK.min(k - start);
        // SAFETY: `start + n ≤ k` elements are readable.
        let w = unsafe { w.skip(start).as_f32(simd, n, &mut buffer) };
        for (r, lanes) in lanes.iter_mut().enumerate().take(rows) {
            // SAFETY: vector `r` has `k ≥ start + n` elements.
            let x = unsafe { std::slice::from_raw_parts(x.add(r * ldx + start), n) };
            for (w, x) in w.chunks(LANES).zip(x.chunks(LANES)) {
                for (lane, (w, x)) in lanes.iter_mut().zip(w.iter().zip(x)) {
                    *lane += w * x;
                }
            }
        }
    }
    lanes.map(|l| l.iter().sum())
}

unsafe fn portable_add_rows(simd: Simd, p: &[f32], v: Run, ld: usize, y: &mut [f32]) {
    let mut buffer = [0f32; CHUNK];
    for (c, y) in y.chunks_mut(CHUNK).enumerate() {
        for (j, &p) in p.iter().enumerate() {
            // SAFETY: row `j` has at least `c·CHUNK + y.len()` elements.
            let v = unsafe { v.skip(j * ld + c * CHUNK).as_f32(simd, y.len(), &mut buffer) };
            y.iter_mut().zip(v).for_each(|(y, v)| *y += p * v);
        }
    }
}
