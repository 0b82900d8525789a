//! Rotary position embedding with tables computed on the host: the built-in sine and cosine of
//! large arguments have no guaranteed accuracy on a GPU.

use super::{Op, check};
use crate::desc::TensorDesc;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::lower::Lowering;
use crate::program::Step;

/// Which elements of a head form the pairs that are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RopePairing {
    /// `(x₂ᵢ, x₂ᵢ₊₁)`, as in the original paper (Su et al. 2021).
    Interleaved,
    /// `(xᵢ, xᵢ₊ᵣ⸝₂)` with `r` the rotated dimensions, as in GPT-NeoX and Hugging Face's Llama.
    HalfSplit,
}

impl RopePairing {
    /// The name in case ids and reports.
    pub fn name(self) -> &'static str {
        match self {
            RopePairing::Interleaved => "interleaved",
            RopePairing::HalfSplit => "half_split",
        }
    }
}

/// Rotates pairs of each head by an angle that depends on the position:
/// `y₁ = x₁·c − x₂·s`, `y₂ = x₂·c + x₁·s` with `c = cos[positions[b,t], i]`, `s` alike.
///
/// `x`, `y`: `[batch, tokens, heads, head_dim]`, any float. `cos`, `sin`: f32
/// `[table_rows, r/2]` with an even `r ≤ head_dim`; dimensions from `r` on pass through.
/// `positions`: u32 or i32 `[batch, tokens]`; a position outside the table reads zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rope {
    /// Which elements form a pair.
    pub pairing: RopePairing,
}

impl Rope {
    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        check::floats(&[("y", &outputs[0])])?;
        check::shape("y", &outputs[0], &inputs[0].shape)?;
        check_rotation(inputs)
    }
}

/// The rules of `x, cos, sin, positions`.
fn check_rotation(inputs: &[TensorDesc]) -> Result<()> {
    let (x, cos, sin, positions) = (&inputs[0], &inputs[1], &inputs[2], &inputs[3]);
    check::floats(&[("x", x)])?;
    check::dtype("cos", cos, DType::F32)?;
    check::dtype("sin", sin, DType::F32)?;
    check::index("positions", positions)?;
    check::rank("x", x, 4)?;
    check::rank("cos", cos, 2)?;
    check::shape("sin", sin, &cos.shape)?;
    check::shape("positions", positions, &x.shape[..2])?;
    if cos.shape[1] > x.shape[3] / 2 {
        return Err(Error::shape(format!(
            "the table rotates {} dimensions, a head has {}",
            2 * cos.shape[1],
            x.shape[3]
        )));
    }
    Ok(())
}

/// [`Rope`], written into a key cache: `dst[i / size, i % size, h] = rope(x)[b, t, h]` with
/// `i = indices[b, t]` and `size` the second dimension of `dst`.
///
/// `x`, `cos`, `sin`, `positions` are those of [`Rope`]. `indices`: u32 or i32 `[batch, tokens]`;
/// those in range are distinct, one out of range writes nothing, rows that no index names keep
/// their content. `dst`: `[blocks, size, heads, head_dim]` of any strides, updated in place, any
/// float. With the dimensions permuted it is a cache as [`Attention`](super::Attention) reads it:
///
/// * contiguous, `[batch, kv_heads, kv, head_dim]`: blocks are batches, `i = b·kv + position`;
/// * paged, `[pages, kv_heads, page_size, head_dim]`: blocks are pages, `i = page·page_size + slot`.
///
/// The error is that of [`Rope`]: `2u·(|x₁c| + |x₂s|)`, and one rounding to the type of `dst`. An
/// empty `x` writes nothing. Values need no rotation: `scatter_rows` writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RopeWrite {
    /// Which elements form a pair.
    pub pairing: RopePairing,
}

impl RopeWrite {
    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        let (x, indices, dst) = (&inputs[0], &inputs[4], &outputs[0]);
        check_rotation(inputs)?;
        check::floats(&[("dst", dst)])?;
        check::index("indices", indices)?;
        check::shape("indices", indices, &x.shape[..2])?;
        check::rank("dst", dst, 4)?;
        check::shape("dst", dst, &[dst.shape[0], dst.shape[1], x.shape[2], x.shape[3]])
    }

    /// `rope` into a temporary of `dst`'s type, then `scatter_rows`. Where strides cannot join the
    /// first two dimensions of `dst`, it is copied out and back: correct, and slow for a large
    /// cache.
    pub(super) fn decompose(&self, step: &Step, lowering: &mut Lowering<'_>) -> Result<()> {
        let (x, indices, dst) = (step.inputs[0], step.inputs[4], step.outputs[0]);
        if x.desc.is_empty() || dst.desc.is_empty() {
            return Ok(());
        }
        let [tokens, heads, head_dim] = [x.desc.shape[0] * x.desc.shape[1], x.desc.shape[2], x.desc.shape[3]];
        let rotated = lowering.temporary(x.desc.to_contiguous(dst.desc.dtype))?;
        lowering.push(Op::Rope(Rope { pairing: self.pairing }), &step.inputs[..4], &[rotated])?;
        let src = rotated.with_desc(TensorDesc::contiguous(dst.desc.dtype, &[tokens, heads, head_dim])?);
        let indices = match indices.desc.reshaped(&[tokens])? {
            Some(desc) => indices.with_desc(desc),
            None => {
                let list = lowering.temporary(indices.desc.to_contiguous(indices.desc.dtype))?;
                lowering.push(Op::Copy, &[indices], &[list])?;
                list.with_desc(TensorDesc::contiguous(indices.desc.dtype, &[tokens])?)
            }
        };
        let rows = [dst.desc.shape[0] * dst.desc.shape[1], heads, head_dim];
        if let Some(desc) = dst.desc.reshaped(&rows)? {
            return lowering.push(Op::ScatterRows, &[src, indices], &[dst.with_desc(desc)]);
        }
        let copy = lowering.temporary(dst.desc.to_contiguous(dst.desc.dtype))?;
        lowering.push(Op::Copy, &[dst], &[copy])?;
        let joined = copy.with_desc(TensorDesc::contiguous(dst.desc.dtype, &rows)?);
        lowering.push(Op::ScatterRows, &[src, indices], &[joined])?;
        lowering.push(Op::Copy, &[copy], &[dst])
    }
}
