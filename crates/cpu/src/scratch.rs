//! Working memory of kernels, kept per thread between calls so that a large block is mapped and
//! cleared once and not in every operation.

use std::cell::RefCell;

thread_local! {
    static SPARE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with `n` floats of undefined content. Calls nest.
pub(crate) fn with_scratch<R>(n: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut block = SPARE.with(|spare| spare.borrow_mut().pop()).unwrap_or_default();
    if block.len() < n {
        block.clear();
        block.resize(n, 0.0);
    }
    let result = f(&mut block[..n]);
    SPARE.with(|spare| spare.borrow_mut().push(block));
    result
}

/// What consists of numbers alone: any bits are a value of it.
///
/// # Safety
/// That is so, and it is aligned to [`LINE`] bytes at most.
pub(crate) unsafe trait Record: Copy {}

// SAFETY: any bits are a number.
unsafe impl Record for f32 {}

/// Bytes of a line of the cache.
const LINE: usize = 64;

/// Calls `f` with `n` records of undefined content, of which the first begins a line of the cache. Calls nest.
pub(crate) fn with_records<T: Record, R>(n: usize, f: impl FnOnce(&mut [T]) -> R) -> R {
    let bytes = n * size_of::<T>() + LINE;
    with_scratch(bytes.div_ceil(size_of::<f32>()), |scratch| {
        let start = scratch.as_mut_ptr().cast::<u8>();
        let start = start.wrapping_add(start.align_offset(LINE));
        // SAFETY: the scratch has room for them behind the first line that begins in it, and any bits are
        // a record.
        f(unsafe { std::slice::from_raw_parts_mut(start.cast(), n) })
    })
}
