//! Data for large operands without the cost of making it: a few megabytes of ordinary numbers, and
//! these repeated.
//!
//! The number of elements (or blocks) of a pattern is prime, so no two rows of a weight are alike
//! and a kernel that reads the wrong row is found. The oracle reads the same bytes from the pattern,
//! and a weight of a gigabyte never exists on the host.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use unisono_conformance::ordinary_bytes;
use unisono_core::{Backend, Buffer, BufferDesc, DType, Error, Result, TensorDesc};

/// About as many bytes as a pattern has.
const PATTERN_BYTES: usize = 4 << 20;

/// Ordinary numbers of one type, made when first read: a list of items costs nothing.
#[derive(Debug)]
pub struct Pattern {
    dtype: DType,
    name: &'static str,
    bytes: OnceLock<Vec<u8>>,
}

impl Pattern {
    fn bytes(&self) -> &[u8] {
        self.bytes.get_or_init(|| {
            let size = self.dtype.block_bytes();
            let blocks = next_prime(PATTERN_BYTES / size);
            let made = ordinary_bytes(self.dtype, blocks * self.dtype.block_elements(), self.name);
            // A vector of whole blocks always has a descriptor; zeros would be found by the oracle.
            made.unwrap_or_else(|_| vec![0; size])
        })
    }
}

/// The bytes of one operand.
#[derive(Clone, Debug)]
pub enum Source {
    /// A pattern, repeated.
    Pattern(Arc<Pattern>),
    /// These bytes; what is read beyond them is 0.
    Bytes(Arc<[u8]>),
}

impl Source {
    /// `u32` numbers: indices, positions, limits.
    pub fn numbers(numbers: impl IntoIterator<Item = u32>) -> Source {
        Source::Bytes(numbers.into_iter().flat_map(u32::to_le_bytes).collect())
    }

    /// Copies what lies at byte `offset` to `target`.
    pub fn read(&self, offset: u64, target: &mut [u8]) {
        match self {
            Source::Pattern(pattern) => {
                let pattern = pattern.bytes();
                let mut at = (offset % pattern.len() as u64) as usize;
                let mut rest = target;
                while !rest.is_empty() {
                    let n = rest.len().min(pattern.len() - at);
                    let (now, later) = rest.split_at_mut(n);
                    now.copy_from_slice(&pattern[at..at + n]);
                    (rest, at) = (later, 0);
                }
            }
            Source::Bytes(bytes) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                let n = target.len().min(bytes.len() - from);
                target[..n].copy_from_slice(&bytes[from..from + n]);
                target[n..].fill(0);
            }
        }
    }

    /// Writes `bytes` bytes of it to `buffer`, from its start.
    pub fn fill(&self, backend: &dyn Backend, buffer: &Buffer, bytes: u64) -> Result<()> {
        match self {
            Source::Pattern(pattern) => {
                let pattern = pattern.bytes();
                let mut at = 0;
                while at < bytes {
                    let n = (bytes - at).min(pattern.len() as u64);
                    backend.write(buffer, at, &pattern[..n as usize])?;
                    at += n;
                }
                Ok(())
            }
            Source::Bytes(_) => {
                let mut all = vec![0; bytes as usize];
                self.read(0, &mut all);
                backend.write(buffer, 0, &all)
            }
        }
    }

    /// A new buffer with `bytes` bytes of it.
    pub fn upload(&self, backend: &dyn Backend, bytes: u64) -> Result<Buffer> {
        let buffer = backend.alloc(&BufferDesc::new(bytes))?;
        self.fill(backend, &buffer, bytes)?;
        Ok(buffer)
    }
}

/// Patterns by element type, made once each.
#[derive(Debug, Default)]
pub struct Patterns {
    known: HashMap<(DType, &'static str), Arc<Pattern>>,
}

impl Patterns {
    /// No pattern yet.
    pub fn new() -> Patterns {
        Patterns::default()
    }

    /// Ordinary numbers of `dtype`; `name` tells operands of one type apart.
    pub fn get(&mut self, dtype: DType, name: &'static str) -> Source {
        let fresh = || Arc::new(Pattern { dtype, name, bytes: OnceLock::new() });
        Source::Pattern(Arc::clone(self.known.entry((dtype, name)).or_insert_with(fresh)))
    }
}

fn next_prime(from: usize) -> usize {
    let is_prime = |n: &usize| *n > 1 && (2..).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    (from.max(2)..).find(is_prime).unwrap_or(2)
}

/// Which indices of each dimension are taken; `None` for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picks(Vec<Option<Vec<usize>>>);

impl Picks {
    /// Everything.
    pub fn all() -> Picks {
        Picks::default()
    }

    /// Only `indices` of dimension `axis`, too.
    #[must_use]
    pub fn with(mut self, axis: usize, indices: &[usize]) -> Picks {
        if self.0.len() <= axis {
            self.0.resize(axis + 1, None);
        }
        self.0[axis] = Some(indices.to_vec());
        self
    }

    fn of(&self, axis: usize) -> Option<&[usize]> {
        self.0.get(axis)?.as_deref()
    }
}

/// The picked part of a tensor as a tensor of its own: its descriptor and its bytes. `read` copies
/// from a byte offset of the tensor's storage.
///
/// The dimension of stride 1 stays innermost, and blocks stay whole: that dimension of a block
/// format is never picked from.
pub fn extract(
    desc: &TensorDesc,
    picks: &Picks,
    mut read: impl FnMut(u64, &mut [u8]),
) -> Result<(TensorDesc, Vec<u8>)> {
    let rank = desc.rank();
    let (elements, size) = (desc.dtype.block_elements(), desc.dtype.block_bytes());
    let inner = (0..rank).rev().find(|&i| desc.strides[i] == 1 && desc.shape[i] > 1 && picks.of(i).is_none());
    if desc.dtype.is_block() && inner != desc.block_axis() {
        return Err(Error::invalid(format!("a part of {desc} would cut its blocks")));
    }
    let len = |i: usize| picks.of(i).map_or(desc.shape[i], <[usize]>::len);
    let shape: Vec<usize> = (0..rank).map(len).collect();
    let outer: Vec<usize> = (0..rank).filter(|&i| Some(i) != inner).collect();
    let run = inner.map_or(1, |i| desc.shape[i]);
    let mut strides = vec![1; rank];
    let mut next = run;
    for &i in outer.iter().rev() {
        strides[i] = next;
        next *= shape[i];
    }
    let picked = TensorDesc::strided(desc.dtype, &shape, &strides)?;
    let rows: usize = outer.iter().map(|&i| shape[i]).product();
    let row_bytes = run / elements * size;
    let mut bytes = vec![0; rows * row_bytes];
    if row_bytes > 0 {
        for (row, target) in bytes.chunks_exact_mut(row_bytes).enumerate() {
            let (mut rest, mut at) = (row, 0);
            for &i in outer.iter().rev() {
                let index = rest % shape[i];
                rest /= shape[i];
                at += picks.of(i).map_or(index, |list| list[index]) * desc.strides[i];
            }
            read((at / elements * size) as u64, target);
        }
    }
    Ok((picked, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use unisono_conformance::read_logical;

    #[test]
    fn patterns_repeat_and_have_a_prime_length() {
        let mut patterns = Patterns::new();
        for dtype in [DType::F32, DType::Q4K, DType::Mxfp4] {
            let source = patterns.get(dtype, "w");
            let Source::Pattern(pattern) = &source else { panic!("a pattern") };
            let bytes = pattern.bytes();
            let blocks = bytes.len() / dtype.block_bytes();
            assert_eq!(next_prime(blocks), blocks, "{dtype}");
            assert!((PATTERN_BYTES..PATTERN_BYTES + 100_000).contains(&bytes.len()), "{dtype}");
            let mut twice = vec![0; 16];
            source.read(bytes.len() as u64 - 8, &mut twice);
            assert_eq!((&twice[..8], &twice[8..]), (&bytes[bytes.len() - 8..], &bytes[..8]));
        }
    }

    #[test]
    fn bytes_end_in_zeros() {
        let source = Source::numbers([7, 9]);
        let mut read = [1u8; 8];
        source.read(4, &mut read);
        assert_eq!(read, [9, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn parts_hold_what_the_whole_has_there() {
        let values: Vec<u8> = (0..24u32).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let source = Source::Bytes(values.into());
        // Stored [4, 6], seen transposed [6, 4]: rows 1 and 3 of the storage.
        let desc = TensorDesc::strided(DType::F32, &[6, 4], &[1, 6]).unwrap();
        let picks = Picks::all().with(1, &[1, 3]);
        let (part, bytes) = extract(&desc, &picks, |at, to| source.read(at, to)).unwrap();
        let seen = read_logical(&part, &bytes).unwrap();
        assert_eq!(seen, [6.0, 18.0, 7.0, 19.0, 8.0, 20.0, 9.0, 21.0, 10.0, 22.0, 11.0, 23.0]);
        // Both dimensions: elements one by one.
        let picks = picks.with(0, &[0, 5]);
        let (part, bytes) = extract(&desc, &picks, |at, to| source.read(at, to)).unwrap();
        assert_eq!(read_logical(&part, &bytes).unwrap(), [6.0, 18.0, 11.0, 23.0]);
        // A broadcast row.
        let row = TensorDesc::strided(DType::F32, &[3, 2], &[0, 1]).unwrap();
        let (part, bytes) = extract(&row, &Picks::all().with(0, &[2]), |at, to| source.read(at, to)).unwrap();
        assert_eq!(read_logical(&part, &bytes).unwrap(), [0.0, 1.0]);
    }

    #[test]
    fn blocks_stay_whole() {
        let mut patterns = Patterns::new();
        let source = patterns.get(DType::Q4_0, "w");
        let desc = TensorDesc::contiguous(DType::Q4_0, &[8, 64]).unwrap();
        let turned = desc.transposed(0, 1).unwrap();
        let mut all = vec![0; desc.span_bytes() as usize];
        source.read(0, &mut all);
        let whole = read_logical(&desc, &all).unwrap();
        let (part, bytes) = extract(&turned, &Picks::all().with(1, &[2, 7]), |at, to| source.read(at, to)).unwrap();
        let seen = read_logical(&part, &bytes).unwrap();
        assert!((0..64).all(|k| seen[2 * k] == whole[2 * 64 + k] && seen[2 * k + 1] == whole[7 * 64 + k]));
        assert!(extract(&turned, &Picks::all().with(0, &[0]), |_, _| ()).is_err());
    }
}
