//! How far loading has come, told to whoever asked, in bytes read from the files.

use std::cell::Cell;
use std::fmt;

/// Counts bytes and tells each count.
pub(crate) struct Progress<'a> {
    done: Cell<u64>,
    total: u64,
    tell: &'a dyn Fn(u64, u64),
}

impl<'a> Progress<'a> {
    /// Tells `tell` how many of `total` bytes were read.
    pub(crate) fn new(total: u64, tell: &'a dyn Fn(u64, u64)) -> Progress<'a> {
        Progress { done: Cell::new(0), total, tell }
    }

    /// Counts `bytes` more. The count stops at the total: some tensors are read twice.
    pub(crate) fn add(&self, bytes: u64) {
        self.done.set(self.done.get().saturating_add(bytes).min(self.total));
        (self.tell)(self.done.get(), self.total);
    }
}

impl fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
