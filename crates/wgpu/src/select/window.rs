//! Windows: pieces of an operation whose operands each fit one storage buffer binding.
//!
//! An operation iterates over a space (rows of a softmax, batch × m × n of a matrix product) and
//! each operand moves through it with strides. Where an operand spans more than a binding may, the
//! space is cut along the dimension that moves it furthest, until all pieces fit. Binding offsets
//! are aligned down; the elements cut off are the `base` that the kernel adds.
//!
//! An operand in a block format is counted in blocks: its view moves by blocks, and its `base` is
//! in bytes, since a binding's offset need not be a whole number of blocks.

use unisono_core::{DType, Operand, Reason};

use crate::caps::Caps;
use crate::launch::{Binding, Source};

/// An operand as seen from an iteration space. Its unit is what the dtype stores as one: an
/// element, or a block of a block format.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// Whose memory.
    pub(super) source: Source,
    /// Its element type.
    pub(super) dtype: DType,
    /// First unit within the slot.
    pub(super) start: u64,
    /// Units moved by one step along each dimension of the space.
    pub(super) strides: Vec<u64>,
    /// Units spanned at one point of the space, at least 1.
    pub(super) inner: u64,
}

impl View {
    /// A view whose iteration space is the operand's own shape; in a block format that shape in
    /// blocks.
    pub(super) fn new(source: Source, operand: &Operand) -> View {
        let desc = &operand.desc;
        let unit = desc.dtype.block_elements();
        let axis = desc.block_axis();
        let stride = |(d, &s): (usize, &usize)| if axis == Some(d) { 1 } else { (s / unit) as u64 };
        View {
            source,
            dtype: desc.dtype,
            start: (operand.offset / unit) as u64,
            strides: desc.strides.iter().enumerate().map(stride).collect(),
            inner: 1,
        }
    }

    /// With other strides and the span that they leave out.
    pub(super) fn with(mut self, strides: Vec<u64>, inner: u64) -> View {
        self.strides = strides;
        self.inner = inner.max(1);
        self
    }

    /// The view of a piece, which becomes the whole space.
    pub(super) fn at(&self, piece: &Piece) -> View {
        let moved: u64 = piece.start.iter().zip(&self.strides).map(|(&i, &s)| i * s).sum();
        View { start: self.start + moved, ..self.clone() }
    }

    /// Bytes of one unit.
    pub(super) fn unit_bytes(&self) -> u64 {
        self.dtype.block_bytes() as u64
    }

    /// What a kernel counts strides and positions in: elements, or the bytes of a block format.
    pub(super) fn scale(&self) -> u64 {
        if self.dtype.is_block() { self.unit_bytes() } else { 1 }
    }

    fn span(&self, sizes: &[u64]) -> u64 {
        let steps = sizes.iter().zip(&self.strides).map(|(&n, &s)| n.saturating_sub(1).saturating_mul(s));
        steps.fold(self.inner, u64::saturating_add)
    }

    /// Whether a binding can hold it at any offset.
    fn fits(&self, sizes: &[u64], caps: &Caps) -> bool {
        let bytes = self.span(sizes).saturating_mul(self.unit_bytes());
        let most = match self.dtype.is_block() {
            true => caps.max_storage_buffer_binding_size.min(MOST_BLOCK_BYTES),
            false => caps.max_storage_buffer_binding_size,
        };
        bytes.saturating_add(u64::from(caps.min_storage_buffer_offset_alignment) + 4) <= most
    }

    /// The binding for a piece, and which element of it comes first; in a block format, which byte.
    pub(super) fn bind(&self, piece: &Piece, caps: &Caps) -> (Binding, u32) {
        let moved: u64 = piece.start.iter().zip(&self.strides).map(|(&i, &s)| i * s).sum();
        let first = (self.start + moved) * self.unit_bytes();
        let offset = first - first % u64::from(caps.min_storage_buffer_offset_alignment);
        let end = first + self.span(&piece.sizes) * self.unit_bytes();
        let binding = Binding { source: self.source, offset, size: (end - offset).next_multiple_of(4) };
        (binding, ((first - offset) / (self.unit_bytes() / self.scale())) as u32)
    }

    /// Elements per word of the buffer, at least 1.
    pub(super) fn per_word(&self) -> u32 {
        (4 / self.dtype.block_bytes() as u32).max(1)
    }

    /// The lower (0) or upper (1) words of 64-bit elements, as a view of words.
    pub(super) fn half(mut self, half: u64) -> View {
        self.dtype = DType::U32;
        self.start = 2 * self.start + half;
        self.strides.iter_mut().for_each(|stride| *stride *= 2);
        self.inner = 2 * (self.inner - 1) + 1;
        self
    }
}

/// The most bytes of blocks in one binding: what a 32-bit byte address reaches.
const MOST_BLOCK_BYTES: u64 = (1 << 32) - 4;

/// A rectangular piece of an iteration space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// First index in each dimension.
    pub(super) start: Vec<u64>,
    /// Size in each dimension.
    pub(super) sizes: Vec<u64>,
}

impl Piece {
    /// The whole space.
    pub(super) fn whole(sizes: &[u64]) -> Piece {
        Piece { start: vec![0; sizes.len()], sizes: sizes.to_vec() }
    }

    /// The piece in two, cut along dimension `d`, which has two points or more.
    pub(super) fn halves(self, d: usize) -> [Piece; 2] {
        let half = self.sizes[d].div_ceil(2);
        let (mut low, mut high) = (self.clone(), self);
        low.sizes[d] = half;
        high.start[d] += half;
        high.sizes[d] -= half;
        [low, high]
    }

    /// Points in the piece.
    pub(super) fn count(&self) -> u64 {
        self.sizes.iter().product()
    }
}

/// The most points of one piece: what 32-bit index arithmetic carries with room to round up.
const MOST_POINTS: u64 = 1 << 31;

/// Cuts a space into pieces in which every view fits a binding.
pub(super) fn windows(sizes: &[u64], views: &[&View], caps: &Caps) -> Result<Vec<Piece>, Reason> {
    let mut done = Vec::new();
    let mut open = vec![Piece::whole(sizes)];
    while let Some(piece) = open.pop() {
        let strides = match views.iter().find(|v| !v.fits(&piece.sizes, caps)) {
            Some(view) => view.strides.clone(),
            None if piece.count() >= MOST_POINTS => vec![1; sizes.len()],
            None => {
                done.push(piece);
                continue;
            }
        };
        let reach = |d: usize| strides[d].saturating_mul(piece.sizes[d] - 1);
        let cut = (0..sizes.len()).filter(|&d| reach(d) > 0).max_by_key(|&d| reach(d)).ok_or_else(|| {
            Reason::Limit(format!(
                "one row of an operand is larger than the {} bytes that a binding can have",
                caps.max_storage_buffer_binding_size
            ))
        })?;
        let [low, high] = piece.halves(cut);
        open.push(high);
        open.push(low);
    }
    Ok(done)
}

/// Drops dimensions of size 1 and merges neighbours that every list of strides walks as one.
pub(super) fn collapse(sizes: &[u64], strides: &[Vec<u64>]) -> (Vec<u64>, Vec<Vec<u64>>) {
    let mut out_sizes: Vec<u64> = Vec::new();
    let mut out_strides: Vec<Vec<u64>> = vec![Vec::new(); strides.len()];
    for d in 0..sizes.len() {
        if sizes[d] == 1 {
            continue;
        }
        let joins = !out_sizes.is_empty()
            && strides.iter().zip(&out_strides).all(|(s, o)| o.last().copied() == s[d].checked_mul(sizes[d]));
        if joins {
            if let Some(last) = out_sizes.last_mut() {
                *last *= sizes[d];
            }
        } else {
            out_sizes.push(sizes[d]);
        }
        for (s, o) in strides.iter().zip(&mut out_strides) {
            if joins {
                o.pop();
            }
            o.push(s[d]);
        }
    }
    if out_sizes.is_empty() {
        out_sizes.push(1);
        out_strides.iter_mut().for_each(|o| o.push(0));
    }
    (out_sizes, out_strides)
}
