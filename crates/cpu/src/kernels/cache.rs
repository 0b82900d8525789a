//! Where the keys and values of attention lie: in a cache per sequence, or in pages that a table
//! names; as floats, or as q8_0 blocks that are widened a tile at a time.
//!
//! A tile of neighbouring keys is read as [`Part`]s: runs of keys at equal distances. A contiguous
//! cache gives one part, pages give one each, and a page that does not exist a part of zeros.

use half::f16;
use unisono_core::DType;

use super::gemm::Block;
use super::matmul::panel;
use crate::simd::Simd;
use crate::simd::convert::Run;
use crate::view::View;

/// Keys (or values) with their page table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cache<'a> {
    view: &'a View,
    table: Option<&'a View>,
}

/// Neighbouring keys of one head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    view: &'a View,
    /// Offset of the first key; `None` for a page that does not exist.
    offset: Option<usize>,
    /// How many keys.
    pub(crate) keys: usize,
}

impl<'a> Cache<'a> {
    /// `view` is `[caches or pages, kv_heads, keys, width]`.
    pub(crate) fn new(view: &'a View, table: Option<&'a View>) -> Cache<'a> {
        Cache { view, table }
    }

    /// How many caches there are.
    pub(crate) fn count(&self) -> usize {
        self.table.map_or(self.view.size(0), |t| t.size(0))
    }

    /// The keys `start..start + keys` of a cache as parts, each with its distance from `start`.
    pub(crate) fn parts(
        &self,
        cache: usize,
        head: usize,
        start: usize,
        keys: usize,
    ) -> impl Iterator<Item = (usize, Part<'a>)> {
        let Cache { view, table } = *self;
        let size = view.size(2);
        let mut at = 0;
        std::iter::from_fn(move || {
            if at == keys {
                return None;
            }
            let (page, slot) = match table {
                None => (cache, start + at),
                Some(t) => {
                    let key = start + at;
                    let place = t.at(cache * t.stride(0) + key / size * t.stride(1));
                    // SAFETY: the cache and its page are indices of the table, which is u32.
                    (unsafe { place.cast::<u32>().read() } as usize, key % size)
                }
            };
            let n = (keys - at).min(size - slot);
            let offset = page * view.stride(0) + head * view.stride(1) + slot * view.stride(2);
            let part = Part { view, offset: (page < view.size(0)).then_some(offset), keys: n };
            at += n;
            Some((at - n, part))
        })
    }
}

impl Part<'_> {
    /// Whether all keys are zero because their page does not exist.
    pub(crate) fn is_zero(&self) -> bool {
        self.offset.is_none()
    }

    /// Whether the elements of each row are neighbours (once widened).
    pub(crate) fn has_plain_rows(&self, width: usize) -> bool {
        self.view.stride(3) == 1 || width == 1
    }

    /// The first row, and the distance between rows: in place, or widened into `room`.
    pub(crate) fn rows(&self, simd: Simd, width: usize, room: &mut [f32]) -> (Run, usize) {
        let offset = self.offset.unwrap_or(0);
        if self.view.dtype().is_block() {
            // SAFETY: the keys of a part lie inside the view.
            let block = unsafe { self.block(simd, width, room) };
            return (Run { ptr: block.ptr.cast(), dtype: DType::F32, stride: 1 }, width);
        }
        (self.view.run(offset, 1), self.view.stride(2))
    }

    /// The keys as a block of f32, one row each: in place, or widened into `room`.
    ///
    /// # Safety
    /// The keys lie inside the view, and `room` has `keys · width` elements.
    pub(crate) unsafe fn block(&self, simd: Simd, width: usize, room: &mut [f32]) -> Block {
        let offset = self.offset.unwrap_or(0);
        if !self.view.dtype().is_block() {
            let strides = [self.view.stride(2), self.view.stride(3)];
            // SAFETY: the caller's promise.
            return unsafe { panel(simd, self.view, offset, [self.keys, width], strides, room) };
        }
        for (j, to) in room.chunks_mut(width).enumerate().take(self.keys) {
            let first = (offset + j * self.view.stride(2)) / Q8_ELEMENTS * Q8_BYTES;
            for (b, to) in to.chunks_mut(Q8_ELEMENTS).enumerate() {
                // SAFETY: a row is whole blocks, which lie inside the view.
                unsafe { widen_q8_0(self.view.ptr.add(first + b * Q8_BYTES), to) };
            }
        }
        Block { ptr: room.as_mut_ptr(), row: width, col: 1 }
    }
}

const Q8_ELEMENTS: usize = 32;
const Q8_BYTES: usize = 34;

/// `d·q` of the block at `from`: an f16 `d`, then 32 signed bytes.
///
/// # Safety
/// The 34 bytes of the block are readable.
unsafe fn widen_q8_0(from: *const u8, to: &mut [f32]) {
    // SAFETY: the caller's promise.
    let (d, q) = unsafe { (from.cast::<u16>().read_unaligned(), std::slice::from_raw_parts(from.add(2), Q8_ELEMENTS)) };
    let d = f16::from_bits(d).to_f32();
    to.iter_mut().zip(q).for_each(|(x, &q)| *x = d * f32::from(q as i8));
}
