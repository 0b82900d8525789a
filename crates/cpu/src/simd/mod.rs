//! Vector code, chosen at run time.
//!
//! Most loops are written once, in plain Rust that compilers vectorise (no branches, explicit
//! lanes for sums), and compiled three times: with AVX-512, with AVX2, FMA and F16C, and with
//! whatever the target guarantees (SSE2, NEON, WebAssembly SIMD, nothing). [`simd_fn`] builds those.
//! Only the dot products and the conversions to and from `f16` use intrinsics.

pub(crate) mod convert;
pub(crate) mod dot;
mod functions;
pub(crate) mod math;
pub(crate) mod reduce;

/// Which vector code to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Simd {
    /// AVX-512 F, BW, DQ and VL, with all that [`Simd::Avx2`] stands for. Only [`Simd::detect`] gives it, after
    /// it saw them.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2, FMA and F16C. Only [`Simd::detect`] and [`Simd::without_avx512`] give it, after the former saw
    /// all three.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What every processor of the target architecture has.
    Portable,
}

impl Simd {
    /// The best level of this processor.
    pub(crate) fn detect() -> Simd {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("fma")
            && std::arch::is_x86_feature_detected!("f16c")
        {
            let avx512 = std::arch::is_x86_feature_detected!("avx512f")
                && std::arch::is_x86_feature_detected!("avx512bw")
                && std::arch::is_x86_feature_detected!("avx512dq")
                && std::arch::is_x86_feature_detected!("avx512vl");
            return if avx512 { Simd::Avx512 } else { Simd::Avx2 };
        }
        Simd::Portable
    }

    /// Every level of this processor, the best first.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Simd> {
        let mut all = vec![Simd::detect(), Simd::detect().without_avx512(), Simd::Portable];
        all.dedup();
        all
    }

    /// This level, or the next one below where it is that of AVX-512.
    pub(crate) fn without_avx512(self) -> Simd {
        match self {
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 => Simd::Avx2,
            other => other,
        }
    }

    /// Whether AVX2, FMA and F16C may be used.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn has_avx2(self) -> bool {
        matches!(self, Simd::Avx512 | Simd::Avx2)
    }

    /// The instruction sets in use, for the device's description.
    pub(crate) fn features(self) -> &'static [&'static str] {
        match self {
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 => &["avx512f", "avx512bw", "avx512dq", "avx512vl", "avx2", "fma", "f16c"],
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2 => &["avx2", "fma", "f16c"],
            Simd::Portable => &["portable"],
        }
    }
}

/// Defines a function with a leading [`Simd`] argument that runs `$body::<true>` compiled for AVX-512 or
/// for AVX2 and FMA, or `$body::<false>` compiled for the target's baseline. The flag says whether a
/// fused multiply-add is one instruction.
macro_rules! simd_fn {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:ident) => {
        $(#[$doc])*
        $vis fn $name(simd: $crate::simd::Simd, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            if simd == $crate::simd::Simd::Avx512 {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    $body::<true>($($arg),*)
                }
                // SAFETY: `Simd::Avx512` exists only where the processor has these features.
                return unsafe { avx512($($arg),*) };
            }
            #[cfg(target_arch = "x86_64")]
            if simd == $crate::simd::Simd::Avx2 {
                #[target_feature(enable = "avx2,fma,f16c")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    $body::<true>($($arg),*)
                }
                // SAFETY: `Simd::Avx2` exists only where the processor has these features.
                return unsafe { avx2($($arg),*) };
            }
            let _ = simd;
            $body::<false>($($arg),*)
        }
    };
}
pub(crate) use simd_fn;

/// `a·b + c`, fused where that is one instruction.
#[inline(always)]
pub(crate) fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Asks for the lines of the cache that hold `bytes` bytes from `from` on, where the processor can be asked. Any address
/// will do: nothing is read.
#[inline]
pub(crate) fn prefetch(from: *const u8, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    for at in (0..bytes).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch of an address that does not exist does nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(at).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (from, bytes);
}
