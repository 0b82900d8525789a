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
