//! The dense product of `f32` blocks, on one thread, by the `gemm` library.
//!
//! Only its `f32` crate is used and none of its threads: our own pool splits the result, so that
//! there is one pool in the process and a product costs no second wake-up.

use gemm_common::Parallelism;
use gemm_f32::gemm::f32::get_gemm_fn;

/// A block of a matrix of `f32`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    /// The first element.
    pub(crate) ptr: *mut f32,
    /// Distance between rows, in elements.
    pub(crate) row: usize,
    /// Distance between columns, in elements.
    pub(crate) col: usize,
}

impl Block {
    fn transposed(self) -> Block {
        Block { row: self.col, col: self.row, ..self }
    }
}

/// `y = a·b`, or `y += a·b`, for `a [m, k]` and `b [k, n]`.
///
/// # Safety
/// The elements of `a` and `b` are readable, those of `y` writable by this thread alone (and
/// initialised where they are added to), and `y` overlaps neither.
pub(crate) unsafe fn gemm(size: [usize; 3], a: Block, b: Block, y: Block, accumulate: bool) {
    // The library's inner kernels write columns, and go element by element through rows. A result
    // that is stored by rows is the transposed one stored by columns: yᵀ = bᵀ·aᵀ.
    let ([m, n, k], a, b, y) = if y.col < y.row {
        ([size[1], size[0], size[2]], b.transposed(), a.transposed(), y.transposed())
    } else {
        (size, a, b, y)
    };
    // SAFETY: the caller's promise covers every element that the library addresses; strides of a
    // valid tensor fit in isize.
    unsafe {
        get_gemm_fn()(
            m,
            n,
            k,
            y.ptr,
            y.col as isize,
            y.row as isize,
            accumulate,
            a.ptr,
            a.col as isize,
            a.row as isize,
            b.ptr,
            b.col as isize,
            b.row as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
