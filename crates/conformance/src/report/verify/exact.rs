//! Outputs that can be right in one way only: where every bound is 0, the oracle's values are the
//! output, bit by bit, and its hash follows from the case.
//!
//! Two freedoms stay: the sign of a zero that does not count, and a number that may be flushed to
//! zero. An output with such elements may have another hash and still be right.

use crate::Expected;
use crate::case::Case;
use crate::data::encode;
use crate::hash::Fnv;

/// The hash of the output that the oracle computes.
pub(super) struct ExactHash {
    pub(super) hash: String,
    /// Whether a right output can have no other hash.
    pub(super) certain: bool,
}

/// The hash of the only right output of `case`; none where a bound leaves room, or where the output
/// is in blocks, whose bytes the oracle does not fix.
pub(super) fn exact_hash(case: &Case, expected: &[Expected]) -> Option<ExactHash> {
    let (mut hash, mut certain) = (Fnv::new(), true);
    for (desc, expected) in case.desc.outputs.iter().zip(expected) {
        if desc.dtype.is_block() || expected.bounds.iter().any(|&bound| bound != 0.0) {
            return None;
        }
        let size = desc.dtype.block_bytes();
        for (i, &value) in expected.values.iter().enumerate() {
            if value.is_nan() {
                return None;
            }
            let zero = value == 0.0 && !expected.signed_zero;
            let flushed = value != 0.0 && value.abs() < expected.flush_below;
            certain &= !(desc.dtype.is_float() && (zero || flushed));
            let bits = match &expected.integers {
                Some(integers) => integers[i] as u64,
                None => encode(desc.dtype, value),
            };
            hash.update(&bits.to_le_bytes()[..size]);
        }
    }
    Some(ExactHash { hash: hash.hex(), certain })
}
