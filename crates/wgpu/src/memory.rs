//! Device memory: a pool of buffers in size classes.
//!
//! A dropped buffer goes back to the pool at once, even if the device still works on it: whoever
//! gets it next reaches it through the same queue, so every later use runs after the earlier ones.
//! Raw buffers keep their identity (an id) while they are recycled, which lets bind groups that
//! were made for them be found again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use unisono_core::{Error, ErrorKind, Result};

use crate::device::{Gpu, lock};
use crate::upload::Uploads;

/// Smallest allocation. Sizes are multiples of 16, so rounding a binding up to whole words never
/// leaves the allocation.
const MIN_BYTES: u64 = 256;
/// From here on classes are 1 MiB apart: weights should not pay for rounding.
const LARGE_BYTES: u64 = 16 << 20;
/// Free memory that the pool keeps before it gives some back to the driver.
const MAX_FREE_BYTES: u64 = 256 << 20;
/// What poisoned memory holds: NaN in every floating-point type, an index that is out of range.
static POISON: [u8; 64 << 10] = [0xff; 64 << 10];

/// The pool of one device.
#[derive(Debug)]
pub(crate) struct Memory {
    gpu: Arc<Gpu>,
    pub(crate) uploads: Uploads,
    free: Mutex<FreeList>,
    next_id: AtomicU64,
    now: AtomicU64,
    peak: AtomicU64,
    poison: bool,
}

#[derive(Debug, Default)]
struct FreeList {
    by_size: BTreeMap<u64, Vec<Raw>>,
    bytes: u64,
}

/// A wgpu buffer and its identity.
#[derive(Clone, Debug)]
struct Raw {
    buffer: wgpu::Buffer,
    id: u64,
}

/// A buffer in use. Dropping it gives it back to the pool.
#[derive(Debug)]
pub(crate) struct Block {
    raw: Raw,
    memory: Arc<Memory>,
}

impl Block {
    pub(crate) fn raw(&self) -> &wgpu::Buffer {
        &self.raw.buffer
    }

    /// Different for every raw buffer that the pool ever made.
    pub(crate) fn id(&self) -> u64 {
        self.raw.id
    }

    /// Bytes allocated, at least as many as asked for.
    pub(crate) fn capacity(&self) -> u64 {
        self.raw.buffer.size()
    }

    pub(crate) fn belongs_to(&self, memory: &Arc<Memory>) -> bool {
        Arc::ptr_eq(&self.memory, memory)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.memory.give_back(self.raw.clone());
    }
}

impl Memory {
    pub(crate) fn new(gpu: Arc<Gpu>, poison: bool) -> Arc<Memory> {
        Arc::new(Memory {
            uploads: Uploads::new(Arc::clone(&gpu)),
            gpu,
            free: Mutex::default(),
            next_id: AtomicU64::new(0),
            now: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            poison,
        })
    }

    /// Bytes in use now, and the most there ever were.
    pub(crate) fn usage(&self) -> (u64, u64) {
        (self.now.load(Relaxed), self.peak.load(Relaxed))
    }

    /// A buffer of at least `bytes` bytes, for kernels and copies.
    pub(crate) fn alloc(self: &Arc<Memory>, bytes: u64) -> Result<Block> {
        let max = self.gpu.limits.max_buffer_size;
        let size = size_class(bytes, max).ok_or_else(|| {
            let message = format!("a buffer of {bytes} bytes was asked for; the largest is {max} bytes");
            Error::new(ErrorKind::OutOfMemory, message).on_device(&self.gpu.label)
        })?;
        let recycled = lock(&self.free).take(size);
        let raw = match recycled {
            Some(raw) => raw,
            None => self.create(bytes, size)?,
        };
        let now = self.now.fetch_add(raw.buffer.size(), Relaxed) + raw.buffer.size();
        self.peak.fetch_max(now, Relaxed);
        let block = Block { raw, memory: Arc::clone(self) };
        self.poison(&block)?;
        Ok(block)
    }

    /// In the debug mode: makes the content of `block` NaN, after everything submitted before.
    pub(crate) fn poison(&self, block: &Block) -> Result<()> {
        if !self.poison {
            return Ok(());
        }
        let size = block.capacity();
        (0..size).step_by(POISON.len()).try_for_each(|offset| {
            let part = (size - offset).min(POISON.len() as u64) as usize;
            self.uploads.write(block.raw(), offset, &POISON[..part])
        })
    }

    /// Whether memory is poisoned.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poison
    }

    fn create(&self, asked: u64, size: u64) -> Result<Raw> {
        let descriptor = wgpu::BufferDescriptor {
            label: None,
            size,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        };
        let what = || format!("allocating {asked} bytes");
        let attempt = || self.gpu.capture(what, || self.gpu.device.create_buffer(&descriptor));
        let mut result = attempt();
        if result.as_ref().is_err_and(|e| e.kind() == ErrorKind::OutOfMemory) && lock(&self.free).shrink_to(0) {
            // What the pool held back is free once the device is done with it.
            #[cfg(not(target_family = "wasm"))]
            self.gpu.wait_for(None)?;
            result = attempt();
        }
        let buffer = result.map_err(|e| match e.kind() {
            ErrorKind::OutOfMemory => {
                let (now, max) = (self.now.load(Relaxed), self.gpu.limits.max_buffer_size);
                let message = format!(
                    "no memory for a buffer of {asked} bytes: {now} bytes are in use; the largest buffer is {max} bytes"
                );
                Error::new(ErrorKind::OutOfMemory, message).on_device(&self.gpu.label)
            }
            _ => e,
        })?;
        Ok(Raw { buffer, id: self.next_id.fetch_add(1, Relaxed) })
    }

    fn give_back(&self, raw: Raw) {
        self.now.fetch_sub(raw.buffer.size(), Relaxed);
        let mut free = lock(&self.free);
        free.put(raw);
        free.shrink_to(MAX_FREE_BYTES);
    }
}

impl FreeList {
    /// A buffer of `size` bytes or up to a quarter more.
    fn take(&mut self, size: u64) -> Option<Raw> {
        let (&key, list) = self.by_size.range_mut(size..=size.saturating_add(size / 4)).next()?;
        let raw = list.pop()?;
        if list.is_empty() {
            self.by_size.remove(&key);
        }
        self.bytes -= key;
        Some(raw)
    }

    fn put(&mut self, raw: Raw) {
        let size = raw.buffer.size();
        self.bytes += size;
        self.by_size.entry(size).or_default().push(raw);
    }

    /// Gives the largest buffers back to the driver until at most `bytes` are left. Destroying
    /// waits for the device by itself and works although old bind groups still name the buffer.
    fn shrink_to(&mut self, bytes: u64) -> bool {
        let before = self.bytes;
        while self.bytes > bytes {
            let Some(mut largest) = self.by_size.last_entry() else { break };
            let size = *largest.key();
            if let Some(raw) = largest.get_mut().pop() {
                raw.buffer.destroy();
                self.bytes -= size;
            }
            if largest.get().is_empty() {
                largest.remove();
            }
        }
        self.bytes < before
    }
}

/// The allocation size that serves `bytes`, at most an eighth more; `None` above `max`.
fn size_class(bytes: u64, max: u64) -> Option<u64> {
    let exact = bytes.max(MIN_BYTES).checked_next_multiple_of(16)?;
    if exact > max {
        return None;
    }
    let step = if exact > LARGE_BYTES { 1 << 20 } else { ((1 << exact.ilog2()) / 8).max(16) };
    match exact.checked_next_multiple_of(step) {
        Some(size) if size <= max => Some(size),
        _ => Some(exact),
    }
}

#[cfg(test)]
mod tests {
    use super::size_class;

    #[test]
    fn size_classes_are_padded_tight_and_within_the_limit() {
        let max = 1 << 30;
        for bytes in (0..70_000).chain([(16 << 20) - 1, 16 << 20, (16 << 20) + 1, max - 1, max]) {
            let size = size_class(bytes, max).unwrap();
            assert!(size >= bytes && size >= 16 && size.is_multiple_of(16) && size <= max, "{bytes} -> {size}");
            assert!(size <= (bytes + bytes / 8 + 16).max(256).max((bytes > (16 << 20)) as u64 * (bytes + (1 << 20))));
        }
        assert_eq!(size_class(max + 1, max), None);
        assert_eq!(size_class(u64::MAX, u64::MAX), None);
    }
}
