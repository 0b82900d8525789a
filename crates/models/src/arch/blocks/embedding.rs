//! The way into a decoder: tokens, and positions where they are learned.

use unisono_core::{DType, Result, Tensor};

use crate::engine::step::StepInputs;

/// Embedding tables as they are stored.
#[derive(Debug)]
pub(crate) struct Embedding {
    /// `[vocab, hidden]`.
    pub(crate) tokens: Tensor,
    /// `[positions, hidden]`.
    pub(crate) positions: Option<Tensor>,
    /// Factor on the rows of `tokens`.
    pub(crate) scale: Option<f32>,
}

impl Embedding {
    /// f32 `[n, hidden]`. Positions outside their table (padding) read zeros.
    pub(crate) fn forward(&self, step: &StepInputs) -> Result<Tensor> {
        let mut x = self.tokens.gather_rows_as(&step.tokens, DType::F32)?;
        if let Some(scale) = self.scale {
            x = x.scale_shift(scale, 0.0)?;
        }
        match &self.positions {
            Some(positions) => x.add(&positions.gather_rows_as(&step.positions, DType::F32)?),
            None => Ok(x),
        }
    }
}
