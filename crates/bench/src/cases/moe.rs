//! Mixtures of experts: the products of one token, and of a prompt whose tokens choose differently.

use unisono_core::op::TopK;
use unisono_core::{DType, Op, Result, TensorDesc};

use super::Item;
use super::draft::{Draft, fitting};
use crate::data::Patterns;

/// The sizes of a mixture.
pub(super) struct Shape {
    pub(super) name: &'static str,
    hidden: usize,
    inner: usize,
    experts: usize,
    used: usize,
}

/// Qwen3 30B-A3B, gpt-oss 20B and Mixtral 8x7B, from their `config.json`.
pub(super) const SHAPES: [Shape; 3] = [
    Shape { name: "30b-a3b", hidden: 2048, inner: 768, experts: 128, used: 8 },
    Shape { name: "20b", hidden: 2880, inner: 2880, experts: 32, used: 4 },
    Shape { name: "8x7b", hidden: 4096, inner: 14_336, experts: 8, used: 2 },
];

pub(super) fn items(
    shape: &str,
    tokens: usize,
    dtypes: &[DType],
    patterns: &mut Patterns,
    found: &mut Vec<Item>,
) -> Result<()> {
    for s in SHAPES.iter().filter(|s| s.name == shape) {
        for tokens in [1, tokens] {
            products(s, tokens, dtypes, patterns, found)?;
            let op = Op::TopK(TopK { k: s.used, smallest: false });
            let (logits, chosen) = ([tokens, s.experts], [tokens, s.used]);
            let draft = Draft::new(op, DType::F32, patterns).activations(&logits);
            let draft = draft.output(DType::F32, &chosen).output(DType::U32, &chosen);
            let parameters = format!("dtype=f32,rows={tokens},n={},k={}", s.experts, s.used);
            found.push(draft.finish("moe", s.name, "route", &parameters)?);
        }
    }
    Ok(())
}

fn products(s: &Shape, tokens: usize, dtypes: &[DType], patterns: &mut Patterns, found: &mut Vec<Item>) -> Result<()> {
    // One row of activations for all experts of a token on the way up, one for each on the way down.
    for (name, k, n, shared) in [("experts_up", s.hidden, s.inner, true), ("experts_down", s.inner, s.hidden, false)] {
        for dtype in fitting(dtypes, k) {
            let a = match shared {
                true => TensorDesc::contiguous(DType::F32, &[tokens, 1, k])
                    .and_then(|d| d.broadcast_to(&[tokens, s.used, k])),
                false => TensorDesc::contiguous(DType::F32, &[tokens, s.used, k]),
            };
            let item = Draft::new(Op::MatMulId, dtype, patterns)
                .input(a)
                .weight(&[s.experts, n, k])
                .numbers(&[tokens, s.used], (0..tokens).flat_map(|t| choice(s, t)))
                .output(DType::F32, &[tokens, s.used, n])
                .finish("moe", s.name, name, &format!("dtype={dtype},tokens={tokens},k={k},n={n}"))?;
            found.push(item);
        }
    }
    Ok(())
}

/// The experts of a token: distinct, and spread over all of them from token to token.
fn choice(s: &Shape, token: usize) -> impl Iterator<Item = u32> {
    let (first, experts) = (token * 7 + 3, s.experts);
    (0..s.used).map(move |u| ((first + u * (experts / 2 - 1).max(1)) % experts) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_chooses_distinct_experts() {
        for s in &SHAPES {
            for token in 0..64 {
                let mut chosen: Vec<u32> = choice(s, token).collect();
                assert!(chosen.iter().all(|&e| (e as usize) < s.experts));
                chosen.sort_unstable();
                chosen.dedup();
                assert_eq!(chosen.len(), s.used, "{} token {token}", s.name);
            }
        }
    }
}
