//! Block formats on the CPU: unpacking, packing, and dot products with packed rows.
//!
//! Every format unpacks to the same thing, signed byte codes with a factor and an offset per 16
//! elements, so one loop decodes and one loop multiplies whatever the format. The layouts are those
//! of `docs/quantisation.md`.

mod dot;
mod pack;
mod unpack;

pub(crate) use dot::{decode, dots};
pub(crate) use pack::pack;

/// Elements of the largest block.
pub(crate) const MAX_BLOCK: usize = 256;
/// Elements that share a factor and an offset.
const GROUP: usize = 16;

/// A block as codes: element `i` is `factor[i / 16]·code[i] + offset[i / 16]`. The product is exact
/// in f32, so the sum is rounded once, fused or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Codes {
    code: [i8; MAX_BLOCK],
    factor: [f32; MAX_BLOCK / GROUP],
    offset: [f32; MAX_BLOCK / GROUP],
}

impl Codes {
    const ZERO: Codes =
        Codes { code: [0; MAX_BLOCK], factor: [0.0; MAX_BLOCK / GROUP], offset: [0.0; MAX_BLOCK / GROUP] };
}

/// The values that the codes of iq4_nl and iq4_xs stand for.
const IQ4: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// E2M1 numbers, doubled.
const E2M1: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];
