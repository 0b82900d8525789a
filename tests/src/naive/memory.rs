//! Memory of the simple backend: bytes behind a lock, counted, with a limit where a test wants a
//! small device.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use unisono_core::{Buffer, Error, ErrorKind, Result};

use super::lock;

/// Bytes in use, the most there were, and the most there may be.
#[derive(Debug)]
pub(super) struct Meter {
    now: AtomicU64,
    peak: AtomicU64,
    limit: u64,
}

/// A block of memory, given back when dropped.
#[derive(Debug)]
pub(super) struct Memory {
    bytes: Mutex<Vec<u8>>,
    size: u64,
    meter: Arc<Meter>,
}

impl Meter {
    pub(super) fn new(limit: u64) -> Arc<Meter> {
        Arc::new(Meter { now: AtomicU64::new(0), peak: AtomicU64::new(0), limit })
    }

    /// Bytes in use, and the most there were.
    pub(super) fn read(&self) -> (u64, u64) {
        (self.now.load(Ordering::Relaxed), self.peak.load(Ordering::Relaxed))
    }

    /// A buffer of zeros.
    pub(super) fn alloc(self: &Arc<Meter>, size: u64) -> Result<Buffer> {
        let len = usize::try_from(size).map_err(|_| Error::invalid("the buffer exceeds the address space"))?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|e| Error::new(ErrorKind::OutOfMemory, e.to_string()))?;
        bytes.resize(len, 0);
        let now = self.now.fetch_add(size, Ordering::Relaxed) + size;
        // Made first, so that its drop takes back what a failure added.
        let memory = Memory { bytes: Mutex::new(bytes), size, meter: Arc::clone(self) };
        if now > self.limit {
            let message = format!("no room for {size} bytes: {} of {} are in use", now - size, self.limit);
            return Err(Error::new(ErrorKind::OutOfMemory, message));
        }
        self.peak.fetch_max(now, Ordering::Relaxed);
        Ok(Buffer::new(size, Arc::new(memory)))
    }
}

impl Memory {
    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        lock(&self.bytes)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.meter.now.fetch_sub(self.size, Ordering::Relaxed);
    }
}
