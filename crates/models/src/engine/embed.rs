//! Embeddings of texts from decoders: one vector from the hidden states of all tokens.

use std::ops::Range;

use unisono_core::{Error, Result};

use crate::engine::session::Session;
use crate::pooling::Pooling;

impl Session {
    /// The embedding of a text, `[hidden]`: its hidden states after the last norm, pooled, and
    /// divided by their 2-norm if `normalise`. The session is emptied first, and holds the text
    /// afterwards. Fails on no tokens and where they do not fit.
    pub async fn embed_async(&mut self, tokens: &[u32], pooling: Pooling, normalise: bool) -> Result<Vec<f32>> {
        self.embed_after_async(tokens, 0, pooling, normalise).await
    }

    /// [`embed_async`](Self::embed_async) that leaves the first `skip` tokens, a prompt, out of the
    /// pooling.
    pub(crate) async fn embed_after_async(
        &mut self,
        tokens: &[u32],
        skip: usize,
        pooling: Pooling,
        normalise: bool,
    ) -> Result<Vec<f32>> {
        self.reset();
        let hidden = self.all_hidden_async(tokens).await?;
        pool(&hidden, tokens.len(), pooling.counted(tokens.len(), skip), normalise)
    }

    /// [`embed_async`](Self::embed_async), waiting for the result.
    #[cfg(not(target_family = "wasm"))]
    pub fn embed(&mut self, tokens: &[u32], pooling: Pooling, normalise: bool) -> Result<Vec<f32>> {
        crate::engine::wait::block_on(self.embed_async(tokens, pooling, normalise))
    }
}

/// The mean of some of `rows` hidden states, row-major; zeros if there are none. Sums are taken in f64.
fn pool(hidden: &[f32], rows: usize, counted: Range<usize>, normalise: bool) -> Result<Vec<f32>> {
    let width = hidden.len() / rows.max(1);
    if width == 0 {
        return Err(Error::invalid("a text without tokens has no embedding"));
    }
    let count = counted.len().max(1) as f64;
    let mut sums = vec![0.0; width];
    for row in hidden.chunks_exact(width).take(counted.end).skip(counted.start) {
        sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    let norm = sums.iter().map(|x| x * x).sum::<f64>().sqrt();
    let divisor = if normalise { norm.max(f64::MIN_POSITIVE) } else { count };
    Ok(sums.iter().map(|x| (x / divisor) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pooling_is_what_it_says() {
        let hidden = [1.0, 2.0, 5.0, -8.0];
        let of = |pooling, normalise| pool(&hidden, 2, Pooling::counted(pooling, 2, 0), normalise).unwrap();
        assert_eq!(of(Pooling::First, false), [1.0, 2.0]);
        assert_eq!(of(Pooling::Last, false), [5.0, -8.0]);
        assert_eq!(of(Pooling::Mean, false), [3.0, -3.0]);
        let root = 0.5f32.sqrt();
        assert_eq!(of(Pooling::Mean, true), [root, -root]);
        assert_eq!(pool(&hidden, 2, 1..2, false).unwrap(), [5.0, -8.0]);
        assert_eq!(pool(&hidden, 2, 0..0, true).unwrap(), [0.0; 2]);
        assert_eq!(pool(&[0.0; 2], 1, 0..1, true).unwrap(), [0.0; 2]);
        assert!(pool(&[], 0, 0..0, false).is_err());
    }
}
