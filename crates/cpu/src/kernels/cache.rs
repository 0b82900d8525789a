//! Where the keys and values of attention lie: in a cache per sequence, or in pages that a table
//! names; as floats, or as q8_0 blocks that are widened a tile at a time.
//!
//! A tile of neighbouring keys is read as [`Part`]s: runs of keys at equal distances. A contiguous
//! cache gives one part, pages give one each, and a page that does not exist a part of zeros.

use unisono_core::DType;

use super::gemm::Block;
use super::matmul::panel;
use crate::blocks;
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
        // Rows that follow one another are one.
        let step = self.view.stride(2);
        let (rows, length) = if step == width { (1, self.keys * width) } else { (self.keys, width) };
        for (j, to) in room.chunks_mut(length.max(1)).enumerate().take(rows) {
            // SAFETY: a row is whole blocks, which lie inside the view.
            unsafe { blocks::decode(simd, self.view.dtype(), self.view.at(offset + j * step), &mut to[..length]) };
        }
        Block { ptr: room.as_mut_ptr(), row: width, col: 1 }
    }
}
