//! The memory around a tensor under test.
//!
//! Every tensor of a case lives in a buffer of its own, at a non-zero offset between two guards.
//! Guards, the gaps of strided outputs and the outputs themselves start as poison, which is a NaN
//! in every floating-point type. What must not change is compared byte by byte afterwards, and two
//! runs with different poison tell an element that was written from one that happens to hold the
//! pattern.

use unisono_core::{DType, Dims, Error, Result, TensorDesc};

/// Bytes after a tensor, and at least as many before it. A multiple of 256, the largest alignment
/// that WebGPU may ask of a binding, so that the case's own offset alone decides the alignment.
pub(crate) const GUARD: usize = 1024;

/// Bytes before a tensor: also a whole number of blocks, since offsets are counted in those.
fn guard_before(dtype: DType) -> usize {
    let (mut a, mut b) = (dtype.block_bytes(), 256);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    let both = dtype.block_bytes() / a * 256;
    GUARD.next_multiple_of(both)
}

/// A pattern that fills memory before a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Poison {
    /// Every byte 0xFF (0xA5 for one-byte types).
    Ones,
    /// The bytes FF 7F in turn (0x5A for one-byte types): also a NaN in `f32`, `f16` and `bf16`.
    Alternate,
}

impl Poison {
    /// The pattern of run number `run`; neighbours differ.
    pub(crate) fn of_run(run: u32) -> Poison {
        if run.is_multiple_of(2) { Poison::Ones } else { Poison::Alternate }
    }

    /// The byte at position `at` of a buffer of `dtype`.
    fn byte(self, dtype: DType, at: usize) -> u8 {
        match (self, dtype.block_bytes()) {
            (Poison::Ones, 1) => 0xA5,
            (Poison::Alternate, 1) => 0x5A,
            (Poison::Alternate, _) if at % 2 == 1 => 0x7F,
            _ => 0xFF,
        }
    }
}

/// The buffer of one tensor.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    pub(crate) desc: TensorDesc,
    /// First byte of the tensor.
    start: usize,
    /// Bytes of its span.
    span: usize,
}

impl Region {
    /// A region for `desc`, `offset` elements (or blocks) further than its guard asks.
    pub(crate) fn new(desc: TensorDesc, offset: usize) -> Result<Region> {
        let overflow = || Error::invalid(format!("{desc} with its guards exceeds the address space"));
        let span = usize::try_from(desc.span_bytes()).map_err(|_| overflow())?;
        let start = offset.checked_mul(desc.dtype.block_bytes()).and_then(|b| b.checked_add(guard_before(desc.dtype)));
        let start = start.ok_or_else(overflow)?;
        start.checked_add(span).and_then(|end| end.checked_add(GUARD)).ok_or_else(overflow)?;
        Ok(Region { desc, start, span })
    }

    /// Bytes of the buffer.
    pub(crate) fn bytes(&self) -> usize {
        self.start + self.span + GUARD
    }

    /// The tensor's offset in its buffer, in elements.
    pub(crate) fn offset(&self) -> usize {
        self.start / self.desc.dtype.block_bytes() * self.desc.dtype.block_elements()
    }

    /// The tensor with each block as one element; itself for a plain type.
    fn units(&self) -> (Dims, Dims) {
        let elements = self.desc.dtype.block_elements();
        let (mut shape, mut strides) = (self.desc.shape, self.desc.strides);
        if let Some(axis) = self.desc.block_axis() {
            shape[axis] /= elements;
            strides.iter_mut().for_each(|s| *s /= elements);
            strides[axis] = 1;
        }
        (shape, strides)
    }

    /// The tensor's bytes within those of the buffer; empty where the buffer is too short.
    pub(crate) fn span<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        buffer.get(self.start..self.start + self.span).unwrap_or_default()
    }

    /// The buffer before a run: `content` over the span, or poison everywhere.
    pub(crate) fn image(&self, content: Option<&[u8]>, poison: Poison) -> Vec<u8> {
        let mut image: Vec<u8> = (0..self.bytes()).map(|at| poison.byte(self.desc.dtype, at)).collect();
        if let Some(content) = content {
            let length = content.len().min(self.span);
            image[self.start..self.start + length].copy_from_slice(&content[..length]);
        }
        image
    }

    /// The first byte of each element (or block) within the span, in logical row-major order.
    pub(crate) fn positions(&self) -> Vec<usize> {
        let mut all = if self.desc.is_empty() { Vec::new() } else { vec![0] };
        let (shape, strides) = self.units();
        for (&size, &stride) in shape.iter().zip(strides.iter()) {
            all = all.iter().flat_map(|&at| (0..size).map(move |i| at + i * stride)).collect();
        }
        all.iter_mut().for_each(|at| *at *= self.desc.dtype.block_bytes());
        all
    }

    /// The bytes of the elements alone, in logical row-major order.
    pub(crate) fn elements(&self, buffer: &[u8]) -> Vec<u8> {
        let span = self.span(buffer);
        if self.desc.is_contiguous() {
            return span.to_vec();
        }
        let size = self.desc.dtype.block_bytes();
        self.positions().into_iter().filter_map(|at| span.get(at..at + size)).flatten().copied().collect()
    }

    /// What changed in the guards and gaps between `before` and `after`, in words.
    pub(crate) fn trespass(&self, name: &str, before: &[u8], after: &[u8]) -> Option<String> {
        if before.len() != after.len() {
            return Some(format!("{name}: {} bytes came back instead of {}", after.len(), before.len()));
        }
        let changed = |range: std::ops::Range<usize>| range.into_iter().find(|&i| before[i] != after[i]);
        if let Some(at) = changed(0..self.start) {
            return Some(format!("{name}: wrote {} bytes before its first element", self.start - at));
        }
        if let Some(at) = changed(self.start + self.span..self.bytes()) {
            return Some(format!("{name}: wrote {} bytes after its end", at - self.start - self.span + 1));
        }
        if self.desc.is_contiguous() {
            return None;
        }
        let mut is_gap = vec![true; self.span];
        let size = self.desc.dtype.block_bytes();
        for at in self.positions() {
            is_gap[at..at + size].fill(false);
        }
        let at = (0..self.span).find(|&i| is_gap[i] && before[self.start + i] != after[self.start + i])?;
        Some(format!("{name}: wrote between its elements, at byte {at} of its span"))
    }

    /// Logical numbers of elements (or blocks) that still hold the poison of their run, in every one of `runs`
    /// (poison and bytes of the buffer afterwards).
    pub(crate) fn unwritten(&self, runs: &[(Poison, &[u8])]) -> Vec<usize> {
        let size = self.desc.dtype.block_bytes();
        let untouched = |at: usize| {
            runs.iter().all(|(poison, after)| {
                let start = self.start + at;
                (start..start + size).all(|i| after.get(i) == Some(&poison.byte(self.desc.dtype, i)))
            })
        };
        self.positions().into_iter().enumerate().filter(|&(_, at)| untouched(at)).map(|(i, _)| i).collect()
    }

    /// The index in the logical shape of row-major element `flat`.
    pub(crate) fn index_of(&self, flat: usize) -> Vec<usize> {
        index_in(&self.desc.shape, flat)
    }

    /// The index of the first element of number `flat` of [`positions`](Self::positions).
    pub(crate) fn index_of_unit(&self, flat: usize) -> Vec<usize> {
        let mut index = index_in(&self.units().0, flat);
        if let Some(axis) = self.desc.block_axis() {
            index[axis] *= self.desc.dtype.block_elements();
        }
        index
    }
}

fn index_in(shape: &[usize], flat: usize) -> Vec<usize> {
    let mut rest = flat;
    let mut index = vec![0; shape.len()];
    for (i, &size) in shape.iter().enumerate().rev() {
        index[i] = rest % size.max(1);
        rest /= size.max(1);
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strided() -> Region {
        // Rows of two elements, four apart.
        Region::new(TensorDesc::strided(DType::F16, &[3, 2], &[4, 1]).unwrap(), 3).unwrap()
    }

    #[test]
    fn every_poison_is_a_nan_in_every_float() {
        for poison in [Poison::Ones, Poison::Alternate] {
            for dtype in DType::FLOATS {
                let region = Region::new(TensorDesc::contiguous(dtype, &[5]).unwrap(), 1).unwrap();
                let image = region.image(None, poison);
                let values = crate::data::decode(dtype, region.span(&image));
                assert!(values.len() == 5 && values.iter().all(|v| v.is_nan()), "{poison:?} {dtype}");
            }
        }
    }

    #[test]
    fn each_foreign_byte_is_noticed_and_no_own_byte() {
        let region = strided();
        let before = region.image(None, Poison::Ones);
        let own: Vec<usize> =
            region.positions().into_iter().flat_map(|at| [at, at + 1]).map(|at| at + region.start).collect();
        assert_eq!(own.len(), 12);
        for at in 0..before.len() {
            let mut after = before.clone();
            after[at] = 0;
            assert_eq!(region.trespass("y", &before, &after).is_none(), own.contains(&at), "byte {at}");
        }
    }

    #[test]
    fn regions_of_blocks_count_in_blocks() {
        for dtype in DType::BLOCKS {
            let (block, bytes) = (dtype.block_elements(), dtype.block_bytes());
            // Two columns of two blocks each, with a gap of one block between them.
            let desc = TensorDesc::strided(dtype, &[2 * block, 2], &[1, 3 * block]).unwrap();
            let region = Region::new(desc, 3).unwrap();
            assert!(region.start >= GUARD && region.offset() * bytes == region.start * block);
            assert_eq!(region.start % 256, 3 * bytes % 256, "{dtype}");
            assert_eq!(region.positions(), [0, 3 * bytes, bytes, 4 * bytes]);
            assert_eq!(region.index_of_unit(3), [block, 1]);
            let before = region.image(None, Poison::Ones);
            let mut after = before.clone();
            after[region.start + 2 * bytes] = 0;
            assert!(region.trespass("y", &before, &after).unwrap().contains("between"));
            let alternate = region.image(None, Poison::Alternate);
            assert_eq!(region.unwritten(&[(Poison::Ones, &before), (Poison::Alternate, &alternate)]), [0, 1, 2, 3]);
        }
    }

    #[test]
    fn a_written_poison_pattern_is_told_from_an_unwritten_element() {
        let region = strided();
        let (a, b) = (region.image(None, Poison::Ones), region.image(None, Poison::Alternate));
        assert_eq!(region.unwritten(&[(Poison::Ones, &a), (Poison::Alternate, &b)]).len(), 6);
        let written = region.image(Some(&vec![0xFF; region.span]), Poison::Alternate);
        assert!(region.unwritten(&[(Poison::Ones, &a), (Poison::Alternate, &written)]).is_empty());
        assert_eq!(region.index_of(3), [1, 1]);
    }
}
