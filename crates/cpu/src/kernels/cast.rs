//! Casts with an integer or a truth value on one side, by the rules of the contract. Rust's own
//! conversions truncate, saturate and wrap as the contract does; an integer is rounded to 16 bits
//! through an `f32` that was rounded to odd, so that it is rounded once.

use unisono_core::DType;

use super::BLOCK;
use crate::simd::Simd;
use crate::simd::convert::Run;

/// Converts `n` elements between plain types of which at least one is no float.
///
/// # Safety
/// `n` elements of `x` are readable and `n` of `y` writable, and they do not overlap.
pub(crate) unsafe fn cast_run(simd: Simd, x: Run, y: Run, n: usize) {
    let mut reals = [0f32; BLOCK];
    let mut integers = [0i64; BLOCK];
    for start in (0..n).step_by(BLOCK) {
        let len = BLOCK.min(n - start);
        // SAFETY: the block lies below `n`.
        unsafe {
            let (x, y) = (x.skip(start), y.skip(start));
            if x.dtype.is_float() {
                store_reals(x.as_f32(simd, len, &mut reals), y);
                continue;
            }
            load_integers(x, &mut integers[..len]);
            if y.dtype.is_float() {
                let round = if y.dtype == DType::F32 { |i: i64| i as f32 } else { to_odd };
                reals.iter_mut().zip(&integers[..len]).for_each(|(r, &i)| *r = round(i));
                y.store(simd, &reals[..len]);
            } else {
                store_integers(&integers[..len], y);
            }
        }
    }
}

/// `i` in f32, truncated, with the last bit set where that was not exact. Rounding the result to a
/// type of at most 22 digits equals rounding `i` itself.
fn to_odd(i: i64) -> f32 {
    let magnitude = i.unsigned_abs();
    let dropped = 40u32.saturating_sub(magnitude.leading_zeros());
    let kept = magnitude >> dropped;
    let lost = u64::from(magnitude != kept << dropped);
    let value = (kept | lost) as f32 * (1u64 << dropped) as f32;
    if i < 0 { -value } else { value }
}

/// # Safety
/// `out.len()` elements of `x` are readable.
unsafe fn load_integers(x: Run, out: &mut [i64]) {
    /// # Safety
    /// As above, for elements of type `T`.
    unsafe fn of<T: Copy>(x: Run, out: &mut [i64], f: impl Fn(T) -> i64) {
        for (i, o) in out.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *o = f(unsafe { x.ptr.cast::<T>().add(i * x.stride).read() });
        }
    }
    // SAFETY: the caller's promise, with the type of the elements.
    unsafe {
        match x.dtype {
            DType::I32 => of::<i32>(x, out, i64::from),
            DType::U32 => of::<u32>(x, out, i64::from),
            DType::I8 => of::<i8>(x, out, i64::from),
            DType::U8 => of::<u8>(x, out, i64::from),
            DType::Bool => of::<u8>(x, out, |b| i64::from(b != 0)),
            _ => of::<i64>(x, out, |i| i),
        }
    }
}

/// # Safety
/// `from.len()` elements of `y` of type `T` are writable.
unsafe fn store<S: Copy, T>(from: &[S], y: Run, f: impl Fn(S) -> T) {
    for (i, &v) in from.iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { y.ptr.cast::<T>().add(i * y.stride).write(f(v)) };
    }
}

/// # Safety
/// `from.len()` elements of `y` are writable.
unsafe fn store_integers(from: &[i64], y: Run) {
    // SAFETY: the caller's promise, with the type of the elements.
    unsafe {
        match y.dtype {
            DType::I32 | DType::U32 => store(from, y, |i| i as u32),
            DType::I8 | DType::U8 => store(from, y, |i| i as u8),
            DType::Bool => store(from, y, |i| u8::from(i != 0)),
            _ => store(from, y, |i| i),
        }
    }
}

/// # Safety
/// `from.len()` elements of `y` are writable.
unsafe fn store_reals(from: &[f32], y: Run) {
    // SAFETY: the caller's promise, with the type of the elements.
    unsafe {
        match y.dtype {
            DType::I32 => store(from, y, |v| v as i32),
            DType::U32 => store(from, y, |v| v as u32),
            DType::I8 => store(from, y, |v| v as i8),
            DType::U8 => store(from, y, |v| v as u8),
            DType::Bool => store(from, y, |v| u8::from(v != 0.0)),
            _ => store(from, y, |v| v as i64),
        }
    }
}
