//! Conversions between stored elements and `f32`, rounding to nearest even.

use half::{bf16, f16};
use unisono_core::DType;

use super::{Simd, simd_fn};

/// A strided run of elements in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// The first element.
    pub(crate) ptr: *mut u8,
    /// What they are; loads and stores take `f32`, `f16` and `bf16`.
    pub(crate) dtype: DType,
    /// Distance between neighbours, in elements.
    pub(crate) stride: usize,
}

impl Run {
    /// The run that starts `elements` strides further on.
    ///
    /// # Safety
    /// That element, or the one before it, lies in the same allocation.
    pub(crate) unsafe fn skip(self, elements: usize) -> Run {
        // SAFETY: the caller's promise.
        let ptr = unsafe { self.ptr.add(elements * self.stride * self.dtype.block_bytes()) };
        Run { ptr, ..self }
    }

    /// Whether the elements are adjacent `f32`, which need no conversion.
    pub(crate) fn is_plain(self) -> bool {
        self.dtype == DType::F32 && self.stride == 1
    }

    /// The `n` elements as `f32`: in place where they are stored so, else converted into `buffer`.
    ///
    /// # Safety
    /// The `n` elements are readable and nobody writes them while the result lives; `buffer` has
    /// room for `n`.
    pub(crate) unsafe fn as_f32(self, simd: Simd, n: usize, buffer: &mut [f32]) -> &[f32] {
        if self.is_plain() {
            // SAFETY: the caller's promise; the storage of f32 tensors is aligned to 4 bytes.
            return unsafe { std::slice::from_raw_parts(self.ptr.cast(), n) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.load(simd, &mut buffer[..n]) };
        &buffer[..n]
    }

    /// Where to compute the `n` elements before they are stored: their own memory, or `buffer`
    /// where they need a conversion (and then a [`store`](Self::store)).
    ///
    /// # Safety
    /// The elements are writable and nobody else uses them while the result lives; `buffer` has
    /// room for `n`.
    pub(crate) unsafe fn place(self, n: usize, buffer: &mut [f32]) -> &mut [f32] {
        if self.is_plain() {
            // SAFETY: the caller's promise; the storage of f32 tensors is aligned to 4 bytes.
            return unsafe { std::slice::from_raw_parts_mut(self.ptr.cast(), n) };
        }
        &mut buffer[..n]
    }

    /// Reads `out.len()` elements.
    ///
    /// # Safety
    /// The elements are readable, and `out` does not overlap them.
    pub(crate) unsafe fn load(self, simd: Simd, out: &mut [f32]) {
        let n = out.len();
        if n == 0 {
            return;
        }
        if self.stride == 0 && n > 1 {
            let mut one = [0f32];
            // SAFETY: the caller's promise for the only element there is.
            unsafe { self.load(simd, &mut one) };
            return out.fill(one[0]);
        }
        // SAFETY: the caller's promise; every element of a tensor is aligned to its size.
        unsafe {
            match (self.dtype, self.stride) {
                (DType::F32, 1) => out.copy_from_slice(std::slice::from_raw_parts(self.ptr.cast(), n)),
                (DType::F16, 1) => from_f16(simd, std::slice::from_raw_parts(self.ptr.cast(), n), out),
                (DType::BF16, 1) => from_bf16(simd, std::slice::from_raw_parts(self.ptr.cast(), n), out),
                (DType::F16, s) => {
                    let at = |i: usize| self.ptr.cast::<f16>().add(i * s).read().to_f32_const();
                    out.iter_mut().enumerate().for_each(|(i, v)| *v = at(i));
                }
                (DType::BF16, s) => {
                    let at = |i: usize| self.ptr.cast::<bf16>().add(i * s).read().to_f32_const();
                    out.iter_mut().enumerate().for_each(|(i, v)| *v = at(i));
                }
                (_, s) => {
                    let at = |i: usize| self.ptr.cast::<f32>().add(i * s).read();
                    out.iter_mut().enumerate().for_each(|(i, v)| *v = at(i));
                }
            }
        }
    }

    /// Writes `values`.
    ///
    /// # Safety
    /// The elements are writable, by nobody else at the same time, and `values` does not overlap
    /// them.
    pub(crate) unsafe fn store(self, simd: Simd, values: &[f32]) {
        let n = values.len();
        if n == 0 {
            return;
        }
        // SAFETY: the caller's promise; every element of a tensor is aligned to its size.
        unsafe {
            match (self.dtype, self.stride) {
                (DType::F32, 1) => std::slice::from_raw_parts_mut(self.ptr.cast(), n).copy_from_slice(values),
                (DType::F16, 1) => to_f16(simd, values, std::slice::from_raw_parts_mut(self.ptr.cast(), n)),
                (DType::BF16, 1) => to_bf16(simd, values, std::slice::from_raw_parts_mut(self.ptr.cast(), n)),
                (DType::F16, s) => {
                    let to = self.ptr.cast::<u16>();
                    values.iter().enumerate().for_each(|(i, &v)| to.add(i * s).write(f16::from_f32_const(v).to_bits()));
                }
                (DType::BF16, s) => {
                    let to = self.ptr.cast::<u16>();
                    values.iter().enumerate().for_each(|(i, &v)| to.add(i * s).write(round_bf16(v)));
                }
                (_, s) => {
                    let to = self.ptr.cast::<f32>();
                    values.iter().enumerate().for_each(|(i, &v)| to.add(i * s).write(v));
                }
            }
        }
    }
}

/// The upper half of `v`, rounded to nearest even. A NaN stays a NaN.
#[inline(always)]
fn round_bf16(v: f32) -> u16 {
    let bits = v.to_bits();
    let rounded = (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16;
    if v.is_nan() { (bits >> 16) as u16 | 0x40 } else { rounded }
}

#[inline(always)]
fn to_bf16_body<const FMA: bool>(from: &[f32], to: &mut [u16]) {
    for (t, &f) in to.iter_mut().zip(from) {
        *t = round_bf16(f);
    }
}

simd_fn! {
    /// Rounds to `bf16`.
    fn to_bf16(from: &[f32], to: &mut [u16]) = to_bf16_body
}

#[inline(always)]
fn from_bf16_body<const FMA: bool>(from: &[u16], to: &mut [f32]) {
    for (t, &f) in to.iter_mut().zip(from) {
        *t = f32::from_bits(u32::from(f) << 16);
    }
}

simd_fn! {
    /// Widens `bf16`.
    fn from_bf16(from: &[u16], to: &mut [f32]) = from_bf16_body
}

fn from_f16(simd: Simd, from: &[u16], to: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if simd.has_avx2() {
        // SAFETY: levels with AVX2 exist only where the processor has these features.
        return unsafe { x86::from_f16(from, to) };
    }
    let _ = simd;
    to.iter_mut().zip(from).for_each(|(t, &f)| *t = f16::from_bits(f).to_f32_const());
}

fn to_f16(simd: Simd, from: &[f32], to: &mut [u16]) {
    #[cfg(target_arch = "x86_64")]
    if simd.has_avx2() {
        // SAFETY: levels with AVX2 exist only where the processor has these features.
        return unsafe { x86::to_f16(from, to) };
    }
    let _ = simd;
    to.iter_mut().zip(from).for_each(|(t, &f)| *t = f16::from_f32_const(f).to_bits());
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _MM_FROUND_TO_NEAREST_INT, _mm_loadu_si128, _mm_storeu_si128, _mm256_cvtph_ps, _mm256_cvtps_ph,
        _mm256_loadu_ps, _mm256_storeu_ps,
    };

    use half::f16;

    #[target_feature(enable = "avx2,f16c")]
    pub(super) fn from_f16(from: &[u16], to: &mut [f32]) {
        let (from, from_rest) = from.as_chunks::<8>();
        let (to, to_rest) = to.as_chunks_mut::<8>();
        for (f, t) in from.iter().zip(to) {
            // SAFETY: both arrays have eight elements.
            unsafe { _mm256_storeu_ps(t.as_mut_ptr(), _mm256_cvtph_ps(_mm_loadu_si128(f.as_ptr().cast()))) };
        }
        to_rest.iter_mut().zip(from_rest).for_each(|(t, &f)| *t = f16::from_bits(f).to_f32_const());
    }

    #[target_feature(enable = "avx2,f16c")]
    pub(super) fn to_f16(from: &[f32], to: &mut [u16]) {
        let (from, from_rest) = from.as_chunks::<8>();
        let (to, to_rest) = to.as_chunks_mut::<8>();
        for (f, t) in from.iter().zip(to) {
            // SAFETY: both arrays have eight elements.
            unsafe {
                let half = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm256_loadu_ps(f.as_ptr()));
                _mm_storeu_si128(t.as_mut_ptr().cast(), half);
            }
        }
        to_rest.iter_mut().zip(from_rest).for_each(|(t, &f)| *t = f16::from_f32_const(f).to_bits());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every f16 and bf16 pattern widens and rounds back to itself at both levels, odd lengths and
    /// strides included.
    #[test]
    fn sixteen_bit_patterns_survive_the_way_through_f32() {
        let all: Vec<u16> = (0..=u16::MAX).collect();
        for simd in Simd::all() {
            for dtype in [DType::F16, DType::BF16] {
                let run = Run { ptr: all.as_ptr().cast_mut().cast(), dtype, stride: 1 };
                let mut wide = vec![0f32; all.len()];
                let mut back = vec![0u16; all.len()];
                let to = Run { ptr: back.as_mut_ptr().cast(), dtype, stride: 1 };
                // SAFETY: both vectors have the length of the slices.
                unsafe {
                    run.load(simd, &mut wide);
                    to.store(simd, &wide);
                }
                for (i, (&a, &b)) in all.iter().zip(&back).enumerate() {
                    let exact = if dtype == DType::F16 {
                        f16::from_bits(a).to_f64() as f32
                    } else {
                        bf16::from_bits(a).to_f64() as f32
                    };
                    assert!(
                        wide[i] == exact || (wide[i].is_nan() && exact.is_nan()),
                        "{dtype} {a:#x} gave {}",
                        wide[i]
                    );
                    assert!(a == b || exact.is_nan(), "{dtype} {a:#x} came back as {b:#x}");
                    assert!(!exact.is_nan() || wide[i].is_nan());
                }
            }
        }
    }

    #[test]
    fn stores_round_to_nearest_even_and_overflow_to_infinity() {
        let values =
            [65504.0, 65519.9, 65520.0, -70000.0, 1.0 + 1.0 / 2048.0, 1.0 + 3.0 / 2048.0, 2f32.powi(-25), 6e-8];
        for simd in Simd::all() {
            for stride in [1, 3] {
                let mut half = vec![0u16; 64];
                // SAFETY: eight elements with stride 3 reach element 21 of 64.
                unsafe { Run { ptr: half.as_mut_ptr().cast(), dtype: DType::F16, stride }.store(simd, &values) };
                let got: Vec<f32> = (0..8).map(|i| f16::from_bits(half[i * stride]).to_f32()).collect();
                let one = 1.0 / 1024.0;
                let want =
                    [65504.0, 65504.0, f32::INFINITY, f32::NEG_INFINITY, 1.0, 1.0 + 2.0 * one, 0.0, 5.960_464_5e-8];
                assert_eq!(got, want, "{simd:?} stride {stride}");
                let short = Run { ptr: half.as_mut_ptr().cast(), dtype: DType::BF16, stride };
                // SAFETY: as above.
                unsafe { short.store(simd, &[1.003_906_3, 1.011_718_8, 3.4e38]) };
                let got: Vec<f32> = (0..3).map(|i| bf16::from_bits(half[i * stride]).to_f32()).collect();
                assert_eq!(got, [1.0, 1.015_625, f32::INFINITY], "{simd:?} stride {stride}");
            }
        }
    }
}
