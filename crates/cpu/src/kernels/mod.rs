//! The kernels, a file per family.
//!
//! A kernel is a function of a [`Launch`]: it trusts that the operation is valid, that every
//! operand's elements exist, and that no output overlaps another operand. The selector, the
//! program's own checks and the bindings' see to that before anything runs.

pub(crate) mod attention;
pub(crate) mod block_move;
pub(crate) mod block_rows;
pub(crate) mod cache;
pub(crate) mod cast;
pub(crate) mod choose;
pub(crate) mod conv;
pub(crate) mod elementwise;
pub(crate) mod experts;
pub(crate) mod gemm;
pub(crate) mod group_norm;
pub(crate) mod int8;
pub(crate) mod integer;
pub(crate) mod matmul;
pub(crate) mod movement;
pub(crate) mod norm;
pub(crate) mod reduce;
pub(crate) mod rope;
pub(crate) mod scan;
pub(crate) mod small;
pub(crate) mod softmax;
pub(crate) mod sort;
pub(crate) mod tiles;

use unisono_core::Op;

use crate::pool::Pool;
use crate::simd::Simd;
use crate::view::View;

/// An operation at the moment it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Launch<'a> {
    /// The operation.
    pub(crate) op: &'a Op,
    /// Its inputs, in the operation's order.
    pub(crate) inputs: &'a [View],
    /// Its outputs, in the operation's order.
    pub(crate) outputs: &'a [View],
    /// The threads to use.
    pub(crate) pool: &'a Pool,
    /// The vector code to use.
    pub(crate) simd: Simd,
}

/// A kernel.
pub(crate) type KernelFn = fn(&Launch<'_>);

/// Elements that elementwise kernels convert and compute on at a time: they stay in the first
/// cache between the steps.
pub(crate) const BLOCK: usize = 1024;
