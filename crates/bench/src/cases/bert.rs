//! BERT encoders: a text at once, every token sees all.

use unisono_core::op::{Activation, Attention, LayerNorm, Linear, Visibility};
use unisono_core::{DType, Op, Result};

use super::Item;
use super::draft::{Draft, fitting};
use crate::data::Patterns;

/// The sizes of an encoder.
pub(super) struct Shape {
    pub(super) name: &'static str,
    hidden: usize,
    inner: usize,
    heads: usize,
}

/// MiniLM-L6 (of sentence-transformers), BERT base and large (Devlin et al. 2019).
pub(super) const SHAPES: [Shape; 3] = [
    Shape { name: "mini", hidden: 384, inner: 1536, heads: 12 },
    Shape { name: "base", hidden: 768, inner: 3072, heads: 12 },
    Shape { name: "large", hidden: 1024, inner: 4096, heads: 16 },
];

pub(super) fn items(
    shape: &str,
    tokens: usize,
    dtypes: &[DType],
    patterns: &mut Patterns,
    found: &mut Vec<Item>,
) -> Result<()> {
    for s in SHAPES.iter().filter(|s| s.name == shape) {
        let products = [
            ("attn_q", s.hidden, s.hidden, Activation::None),
            ("ffn_up", s.hidden, s.inner, Activation::Gelu),
            ("ffn_down", s.inner, s.hidden, Activation::None),
        ];
        for (name, k, n, activation) in products {
            for dtype in fitting(dtypes, k) {
                let op = Op::Linear(Linear { bias: true, activation, residual: false });
                let item = Draft::new(op, dtype, patterns)
                    .activations(&[tokens, k])
                    .weight(&[n, k])
                    .activations(&[n])
                    .output(DType::F32, &[tokens, n])
                    .finish("bert", s.name, name, &format!("dtype={dtype},m={tokens},k={k},n={n}"))?;
                found.push(item);
            }
        }
        let x = [tokens, s.hidden];
        let op = Op::LayerNorm(LayerNorm { eps: 1e-12f32.into(), weight: true, bias: true });
        let draft = Draft::new(op, DType::F32, patterns).activations(&x);
        let draft = draft.activations(&[s.hidden]).activations(&[s.hidden]).output(DType::F32, &x);
        let parameters = format!("dtype=f32,rows={tokens},n={}", s.hidden);
        found.push(draft.finish("bert", s.name, "layer_norm", &parameters)?);
        let width = s.hidden / s.heads;
        let q = [1, s.heads, tokens, width];
        let op = Op::Attention(Attention::new((width as f32).powf(-0.5), Visibility::All));
        let draft = Draft::new(op, DType::F32, patterns).activations(&q).activations(&q).activations(&q);
        let parameters = format!("dtype=f32,tokens={tokens},kv={tokens}");
        found.push(draft.output(DType::F32, &q).finish("bert", s.name, "attention", &parameters)?);
    }
    Ok(())
}
