//! Operands at run time, and the iteration over them.
//!
//! A [`Nest`] is the loop nest over several operands of one shape, reduced to as few loops as
//! their strides allow: neighbouring dimensions merge, sizes of 1 vanish, and the dimension along
//! which the output is contiguous comes last. Every kernel that treats elements alike runs on its
//! innermost runs, so that one code path serves contiguous, transposed and broadcast operands.

use unisono_core::{DType, MAX_RANK, TensorDesc};

use crate::pool::Pool;
use crate::simd::convert::Run;

/// A tensor operand in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// The first element.
    pub(crate) ptr: *mut u8,
    /// Element type, shape and strides.
    pub(crate) desc: TensorDesc,
}

// SAFETY: a view is a pointer with a description; the kernels that use it split what they write
// into disjoint parts for their threads.
unsafe impl Send for View {}
// SAFETY: as above.
unsafe impl Sync for View {}

impl View {
    /// The element type.
    pub(crate) fn dtype(&self) -> DType {
        self.desc.dtype
    }

    /// Size of dimension `axis`.
    pub(crate) fn size(&self, axis: usize) -> usize {
        self.desc.shape[axis]
    }

    /// Stride of dimension `axis`.
    pub(crate) fn stride(&self, axis: usize) -> usize {
        self.desc.strides[axis]
    }

    /// Address of the element at `offset`, which is the first of its block in a block format.
    pub(crate) fn at(&self, offset: usize) -> *mut u8 {
        let dtype = self.desc.dtype;
        let units = if dtype.is_block() { offset / dtype.block_elements() } else { offset };
        self.ptr.wrapping_add(units * dtype.block_bytes())
    }

    /// The elements from `offset` on, `stride` apart.
    pub(crate) fn run(&self, offset: usize, stride: usize) -> Run {
        Run { ptr: self.at(offset), dtype: self.desc.dtype, stride }
    }

    /// The row (last dimension) that starts at `offset`.
    pub(crate) fn row(&self, offset: usize) -> Run {
        self.run(offset, self.desc.strides.last().copied().unwrap_or(1))
    }

    /// An index tensor's element at `offset`; `None` where it is negative.
    ///
    /// # Safety
    /// The element is readable.
    pub(crate) unsafe fn index_at(&self, offset: usize) -> Option<usize> {
        let at = self.at(offset);
        if self.desc.dtype == DType::I64 {
            // SAFETY: the caller's promise.
            return usize::try_from(unsafe { at.cast::<i64>().read() }).ok();
        }
        // SAFETY: the caller's promise; the other index types have four bytes.
        let bits = unsafe { at.cast::<u32>().read() };
        match self.desc.dtype {
            DType::I32 => usize::try_from(bits as i32).ok(),
            _ => usize::try_from(bits).ok(),
        }
    }
}

/// The loops over `N` operands of one shape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nest<const N: usize> {
    rank: usize,
    sizes: [usize; MAX_RANK],
    strides: [[usize; N]; MAX_RANK],
}

impl<const N: usize> Nest<N> {
    /// The fewest loops for `shape`; the last operand decides their order.
    pub(crate) fn new(shape: &[usize], strides: [&[usize]; N]) -> Nest<N> {
        let mut nest = Nest::in_order(shape, strides);
        let mut dims: Vec<(usize, [usize; N])> = (0..nest.rank).map(|i| (nest.sizes[i], nest.strides[i])).collect();
        dims.sort_by_key(|(_, s)| std::cmp::Reverse(s[N - 1]));
        nest.rank = 0;
        for (size, strides) in dims {
            nest.push(size, strides);
        }
        nest
    }

    /// Loops in the order of the dimensions, none merged into another order.
    pub(crate) fn in_order(shape: &[usize], strides: [&[usize]; N]) -> Nest<N> {
        let mut nest = Nest { rank: 0, sizes: [1; MAX_RANK], strides: [[0; N]; MAX_RANK] };
        for (axis, &size) in shape.iter().enumerate() {
            nest.push(size, strides.map(|s| s[axis]));
        }
        nest
    }

    fn push(&mut self, size: usize, strides: [usize; N]) {
        if size == 1 {
            return;
        }
        if let Some(outer) = self.rank.checked_sub(1)
            && self.strides[outer].iter().zip(&strides).all(|(&o, &s)| o == s * size)
        {
            self.sizes[outer] *= size;
            self.strides[outer] = strides;
            return;
        }
        self.sizes[self.rank] = size;
        self.strides[self.rank] = strides;
        self.rank += 1;
    }

    /// Number of elements.
    pub(crate) fn elements(&self) -> usize {
        self.sizes[..self.rank].iter().product()
    }

    /// Length of the innermost loop, and each operand's stride in it.
    pub(crate) fn inner(&self) -> (usize, [usize; N]) {
        match self.rank {
            0 => (1, [1; N]),
            r => (self.sizes[r - 1], self.strides[r - 1]),
        }
    }

    /// Takes the two innermost loops, where there are two.
    pub(crate) fn inner_pair(&self) -> Option<[(usize, [usize; N]); 2]> {
        let r = self.rank;
        (r >= 2).then(|| [(self.sizes[r - 2], self.strides[r - 2]), (self.sizes[r - 1], self.strides[r - 1])])
    }

    /// The nest without its `n` innermost loops.
    pub(crate) fn outer(&self, n: usize) -> Nest<N> {
        Nest { rank: self.rank.saturating_sub(n), ..*self }
    }

    /// Calls `f` with the operands' offsets for the indices `range` of all loops.
    pub(crate) fn for_each(&self, range: std::ops::Range<usize>, mut f: impl FnMut([usize; N])) {
        if range.is_empty() {
            return;
        }
        let mut index = [0; MAX_RANK];
        let mut offsets = [0; N];
        let mut rest = range.start;
        for i in (0..self.rank).rev() {
            index[i] = rest % self.sizes[i];
            rest /= self.sizes[i];
            for (o, s) in offsets.iter_mut().zip(&self.strides[i]) {
                *o += s * index[i];
            }
        }
        for _ in range {
            f(offsets);
            for i in (0..self.rank).rev() {
                index[i] += 1;
                if index[i] < self.sizes[i] {
                    offsets.iter_mut().zip(&self.strides[i]).for_each(|(o, s)| *o += s);
                    break;
                }
                index[i] = 0;
                offsets.iter_mut().zip(&self.strides[i]).for_each(|(o, s)| *o -= s * (self.sizes[i] - 1));
            }
        }
    }
}

/// Splits `units` pieces of work of about `cost` elements each into ranges, one task per range, and
/// runs them: on this thread where the work is too small for a wake-up to pay.
pub(crate) fn split(pool: &Pool, units: usize, cost: usize, f: &(dyn Fn(std::ops::Range<usize>) + Sync)) {
    const WORTH_A_THREAD: usize = 16 * 1024;
    let total = units.saturating_mul(cost);
    let tasks = (total / WORTH_A_THREAD).min(4 * pool.threads()).min(units);
    if pool.threads() == 1 || tasks <= 1 {
        return f(0..units);
    }
    pool.run(tasks, &|t| f(units * t / tasks..units * (t + 1) / tasks));
}

/// Runs `f(offsets, length, strides)` for runs that cover the nest, over the pool's threads.
pub(crate) fn for_runs<const N: usize>(
    pool: &Pool,
    nest: &Nest<N>,
    f: &(dyn Fn([usize; N], usize, [usize; N]) + Sync),
) {
    const PIECE: usize = 8 * 1024;
    if nest.elements() == 0 {
        return;
    }
    let (length, strides) = nest.inner();
    let outer = nest.outer(1);
    let pieces = length.div_ceil(PIECE);
    split(pool, outer.elements() * pieces, length.min(PIECE), &|units| {
        if pieces == 1 {
            return outer.for_each(units, |offsets| f(offsets, length, strides));
        }
        for unit in units {
            let start = unit % pieces * PIECE;
            outer.for_each(unit / pieces..unit / pieces + 1, |mut offsets| {
                offsets.iter_mut().zip(&strides).for_each(|(o, s)| *o += s * start);
                f(offsets, PIECE.min(length - start), strides);
            });
        }
    });
}
