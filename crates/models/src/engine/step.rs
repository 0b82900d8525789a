//! What changes from step to step, as one small integer tensor: the recorded program is the same
//! at every step.

use unisono_core::{Result, Tensor};

/// What a step of `n` tokens is given: views of one packed u32 tensor of `3n + 1` elements.
#[derive(Debug)]
pub(crate) struct StepInputs {
    /// Token ids, `[n]`.
    pub(crate) tokens: Tensor,
    /// Positions of the tokens in their text, `[n]`. One outside the cache writes nothing: padding.
    pub(crate) positions: Tensor,
    /// How many rows of the cache each token sees, `[1, n]`.
    pub(crate) limits: Tensor,
    /// The token whose logits are wanted, `[1]`.
    pub(crate) row: Tensor,
}

impl StepInputs {
    /// Number of elements of the packed tensor for `n` tokens.
    pub(crate) fn packed_len(n: usize) -> usize {
        3 * n + 1
    }

    /// The four parts of the packed tensor.
    pub(crate) fn unpack(packed: &Tensor, n: usize) -> Result<StepInputs> {
        Ok(StepInputs {
            tokens: packed.slice(0, 0..n)?,
            positions: packed.slice(0, n..2 * n)?,
            limits: packed.slice(0, 2 * n..3 * n)?.unsqueeze(0)?,
            row: packed.slice(0, 3 * n..3 * n + 1)?,
        })
    }

    /// Number of tokens.
    pub(crate) fn len(&self) -> usize {
        self.tokens.shape().iter().product()
    }
}
