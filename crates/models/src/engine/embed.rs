//! Embeddings of texts from decoders: one vector from the hidden states of all tokens.

use unisono_core::{Error, Result};

use crate::engine::session::Session;
use crate::pooling::Pooling;

impl Session {
    /// The embedding of a text, `[hidden]`: its hidden states after the last norm, pooled, and
    /// divided by their 2-norm if `normalise`. The session is emptied first, and holds the text
    /// afterwards. Fails on no tokens and where they do not fit.
    pub async fn embed_async(&mut self, tokens: &[u32], pooling: Pooling, normalise: bool) -> Result<Vec<f32>> {
        self.reset();
        let hidden = self.all_hidden_async(tokens).await?;
        pool(&hidden, tokens.len(), pooling, normalise)
    }

    /// [`embed_async`](Self::embed_async), waiting for the result.
    #[cfg(not(target_family = "wasm"))]
    pub fn embed(&mut self, tokens: &[u32], pooling: Pooling, normalise: bool) -> Result<Vec<f32>> {
        crate::engine::wait::block_on(self.embed_async(tokens, pooling, normalise))
    }
}

/// One vector of `rows` hidden states, row-major. Sums are taken in f64.
fn pool(hidden: &[f32], rows: usize, pooling: Pooling, normalise: bool) -> Result<Vec<f32>> {
    let width = hidden.len() / rows.max(1);
    if width == 0 {
        return Err(Error::invalid("a text without tokens has no embedding"));
    }
    let rows: Vec<&[f32]> = match pooling {
        Pooling::First => hidden.chunks_exact(width).take(1).collect(),
        Pooling::Mean => hidden.chunks_exact(width).collect(),
        Pooling::Last => hidden.chunks_exact(width).next_back().into_iter().collect(),
    };
    let count = rows.len() as f64;
    let mut sums = vec![0.0; width];
    for row in rows {
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
        let of = |pooling, normalise| pool(&hidden, 2, pooling, normalise).unwrap();
        assert_eq!(of(Pooling::First, false), [1.0, 2.0]);
        assert_eq!(of(Pooling::Last, false), [5.0, -8.0]);
        assert_eq!(of(Pooling::Mean, false), [3.0, -3.0]);
        let root = 0.5f32.sqrt();
        assert_eq!(of(Pooling::Mean, true), [root, -root]);
        assert_eq!(pool(&[0.0; 2], 1, Pooling::Mean, true).unwrap(), [0.0; 2]);
        assert!(pool(&[], 0, Pooling::Mean, false).is_err());
    }
}
