//! Host memory as device buffers.
//!
//! A buffer is reached only while the backend's execution lock is held, which is what makes its
//! raw memory sound to share: submissions, writes and reads of one backend never run side by side,
//! and a buffer of another backend is refused. Memory starts zeroed, since reading what was never
//! written must not be undefined behaviour.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use unisono_core::{Error, ErrorKind, Result};

/// Alignment of a buffer's first byte: a cache line.
const ALIGN: usize = 64;

/// Bytes that a backend holds; also its identity, by address.
#[derive(Debug)]
pub(crate) struct Meter {
    now: AtomicU64,
    peak: AtomicU64,
    limit: u64,
}

impl Meter {
    /// A meter that refuses to pass `limit` bytes.
    pub(crate) fn new(limit: u64) -> Meter {
        Meter { now: AtomicU64::new(0), peak: AtomicU64::new(0), limit }
    }

    /// Bytes held now, and the most so far.
    pub(crate) fn read(&self) -> (u64, u64) {
        (self.now.load(Ordering::Relaxed), self.peak.load(Ordering::Relaxed))
    }

    fn add(&self, bytes: u64) -> bool {
        let grown = self.now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            now.checked_add(bytes).filter(|&sum| sum <= self.limit)
        });
        if let Ok(before) = grown {
            self.peak.fetch_max(before + bytes, Ordering::Relaxed);
        }
        grown.is_ok()
    }
}

/// An allocation.
#[derive(Debug)]
pub(crate) struct CpuBuffer {
    block: *mut u8,
    layout: Layout,
    bytes: u64,
    meter: Arc<Meter>,
}

// SAFETY: the memory is only accessed under the backend's execution lock, see the module's text.
unsafe impl Send for CpuBuffer {}
// SAFETY: as above.
unsafe impl Sync for CpuBuffer {}

impl CpuBuffer {
    /// Allocates `bytes` zeroed bytes.
    pub(crate) fn new(bytes: u64, meter: &Arc<Meter>) -> Result<CpuBuffer> {
        let fail = || {
            let (held, _) = meter.read();
            let message = format!("cannot allocate {bytes} bytes ({held} bytes are in use)");
            Error::new(ErrorKind::OutOfMemory, message).on_device("cpu")
        };
        // The block is aligned by hand: an allocator asked for more than its natural alignment
        // clears the memory itself instead of taking zeroed pages from the system.
        let size = usize::try_from(bytes).ok().and_then(|b| b.checked_add(ALIGN)).ok_or_else(fail)?;
        let layout = Layout::from_size_align(size, 16).map_err(|_| fail())?;
        if !meter.add(bytes) {
            return Err(fail());
        }
        // SAFETY: the layout has at least `ALIGN` bytes.
        let block = unsafe { alloc_zeroed(layout) };
        let buffer = CpuBuffer { block, layout, bytes, meter: meter.clone() };
        // On failure the drop below takes the bytes off the meter again.
        if block.is_null() { Err(fail()) } else { Ok(buffer) }
    }

    /// The first byte.
    pub(crate) fn ptr(&self) -> *mut u8 {
        self.block.wrapping_add(self.block.align_offset(ALIGN))
    }

    /// Whether this backend allocated it.
    pub(crate) fn belongs_to(&self, meter: &Arc<Meter>) -> bool {
        Arc::ptr_eq(&self.meter, meter)
    }
}

impl Drop for CpuBuffer {
    fn drop(&mut self) {
        self.meter.now.fetch_sub(self.bytes, Ordering::Relaxed);
        if !self.block.is_null() {
            // SAFETY: allocated in `new` with this layout.
            unsafe { dealloc(self.block, self.layout) };
        }
    }
}
