//! Rotary position embedding with tables computed on the host: the built-in sine and cosine of
//! large arguments have no guaranteed accuracy on a GPU.

use super::check;
use crate::desc::TensorDesc;
use crate::dtype::DType;
use crate::error::{Error, Result};

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
        let (x, cos, sin, positions, y) = (&inputs[0], &inputs[1], &inputs[2], &inputs[3], &outputs[0]);
        check::floats(&[("x", x), ("y", y)])?;
        check::dtype("cos", cos, DType::F32)?;
        check::dtype("sin", sin, DType::F32)?;
        check::index("positions", positions)?;
        check::rank("x", x, 4)?;
        check::rank("cos", cos, 2)?;
        check::shape("sin", sin, &cos.shape)?;
        check::shape("y", y, &x.shape)?;
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
}
