//! Llama: one token after another (decode), or a prompt at once (prefill).
//!
//! The operations of one layer as the engine records them, and the ends of the model. A decode step
//! reads a cache of 2048 keys, as far into a conversation as most get.

use unisono_core::op::{AddRmsNorm, Attention, Gate, RmsNorm, Rope, RopePairing, RopeWrite, Visibility};
use unisono_core::{DType, Op, Result, TensorDesc};

use super::Item;
use super::draft::{Draft, fitting};
use crate::data::Patterns;

/// Keys that a decode step sees.
const KEYS: usize = 2048;

/// The sizes of a model.
pub(super) struct Shape {
    pub(super) name: &'static str,
    hidden: usize,
    inner: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    vocabulary: usize,
}

/// Llama 3.2 1B, Llama 2 7B, Llama 3 8B, Llama 3 70B, from their `config.json`.
pub(super) const SHAPES: [Shape; 4] = [
    Shape { name: "1b", hidden: 2048, inner: 8192, heads: 32, kv_heads: 8, head_dim: 64, vocabulary: 128_256 },
    Shape { name: "7b", hidden: 4096, inner: 11_008, heads: 32, kv_heads: 32, head_dim: 128, vocabulary: 32_000 },
    Shape { name: "8b", hidden: 4096, inner: 14_336, heads: 32, kv_heads: 8, head_dim: 128, vocabulary: 128_256 },
    Shape { name: "70b", hidden: 8192, inner: 28_672, heads: 64, kv_heads: 8, head_dim: 128, vocabulary: 128_256 },
];

/// The types of a cache.
const CACHES: [DType; 4] = [DType::F32, DType::F16, DType::BF16, DType::Q8_0];

/// Adds the items of a shape: a decode step without `prompt`, else the prefill of so many tokens.
pub(super) fn items(
    shape: &str,
    prompt: Option<usize>,
    dtypes: &[DType],
    patterns: &mut Patterns,
    found: &mut Vec<Item>,
) -> Result<()> {
    for s in SHAPES.iter().filter(|s| s.name == shape) {
        products(s, prompt, dtypes, patterns, found)?;
        rows(s, prompt, patterns, found)?;
        caches(s, prompt, dtypes, patterns, found)?;
    }
    Ok(())
}

fn set(prompt: Option<usize>) -> &'static str {
    if prompt.is_some() { "llama-prefill" } else { "llama-decode" }
}

/// The products with weights.
fn products(
    s: &Shape,
    prompt: Option<usize>,
    dtypes: &[DType],
    patterns: &mut Patterns,
    found: &mut Vec<Item>,
) -> Result<()> {
    let tokens = prompt.unwrap_or(1);
    let mut products = vec![
        ("attn_q", s.hidden, s.heads * s.head_dim),
        ("attn_kv", s.hidden, s.kv_heads * s.head_dim),
        ("ffn_up", s.hidden, s.inner),
        ("ffn_down", s.inner, s.hidden),
    ];
    if prompt.is_none() {
        // Only the last token of a prompt needs logits.
        products.push(("lm_head", s.hidden, s.vocabulary));
    }
    for (name, k, n) in products {
        for dtype in fitting(dtypes, k) {
            let item = Draft::new(Op::MatMul, dtype, patterns)
                .activations(&[tokens, k])
                .weight(&[n, k])
                .output(DType::F32, &[tokens, n])
                .finish(set(prompt), s.name, name, &format!("dtype={dtype},m={tokens},k={k},n={n}"))?;
            found.push(item);
        }
    }
    Ok(())
}

/// What works on rows of activations.
fn rows(s: &Shape, prompt: Option<usize>, patterns: &mut Patterns, found: &mut Vec<Item>) -> Result<()> {
    let tokens = prompt.unwrap_or(1);
    let x = [tokens, s.hidden];
    let eps = 1e-5f32.into();
    let mut add = |draft: Draft<'_>, name: &str, n: usize| {
        found.push(draft.finish(set(prompt), s.name, name, &format!("dtype=f32,rows={tokens},n={n}"))?);
        Ok(())
    };
    let float = DType::F32;
    let draft = Draft::new(Op::RmsNorm(RmsNorm { eps, weight: true }), float, patterns);
    add(draft.activations(&x).activations(&[s.hidden]).output(float, &x), "rms_norm", s.hidden)?;
    let draft = Draft::new(Op::AddRmsNorm(AddRmsNorm { eps }), float, patterns);
    let draft = draft.activations(&x).activations(&x).activations(&[s.hidden]);
    add(draft.output(float, &x).output(float, &x), "add_rms_norm", s.hidden)?;
    let inner = [tokens, s.inner];
    let draft = Draft::new(Op::Gated(Gate::SwiGlu), float, patterns);
    add(draft.activations(&inner).activations(&inner).output(float, &inner), "swiglu", s.inner)?;
    let q = [1, tokens, s.heads, s.head_dim];
    let draft = Draft::new(Op::Rope(Rope { pairing: RopePairing::HalfSplit }), float, patterns).activations(&q);
    add(tables(draft, s, tokens).output(float, &q), "rope", s.heads * s.head_dim)
}

/// The tables and positions of a rotation: the last `tokens` of [`KEYS`], or the first ones.
fn tables<'a>(draft: Draft<'a>, s: &Shape, tokens: usize) -> Draft<'a> {
    let table = [KEYS.max(tokens), s.head_dim / 2];
    draft.activations(&table).activations(&table).numbers(&[1, tokens], positions(tokens))
}

fn positions(tokens: usize) -> impl Iterator<Item = u32> {
    let first = if tokens == 1 { KEYS - 1 } else { 0 };
    (first..first + tokens).map(|p| p as u32)
}

/// What reads and writes the cache of a layer.
fn caches(
    s: &Shape,
    prompt: Option<usize>,
    dtypes: &[DType],
    patterns: &mut Patterns,
    found: &mut Vec<Item>,
) -> Result<()> {
    let tokens = prompt.unwrap_or(1);
    let keys = if prompt.is_some() { tokens } else { KEYS };
    for dtype in fitting(dtypes, s.head_dim).filter(|d| CACHES.contains(d)) {
        let parameters = format!("dtype={dtype},tokens={tokens},kv={keys}");
        let by_head = || TensorDesc::contiguous(dtype, &[1, keys, s.kv_heads, s.head_dim])?.permuted(&[0, 2, 1, 3]);
        let q = [1, s.heads, tokens, s.head_dim];
        let op = Attention::new((s.head_dim as f32).powf(-0.5), Visibility::Limits);
        let item = Draft::new(Op::Attention(op), dtype, patterns)
            .activations(&q)
            .input(by_head())
            .input(by_head())
            .numbers(&[1, tokens], positions(tokens).map(|p| p + 1))
            .output(DType::F32, &q)
            .finish(set(prompt), s.name, "attention", &parameters)?;
        found.push(item);
        let rows = [keys, s.kv_heads, s.head_dim];
        let item = Draft::new(Op::ScatterRows, dtype, patterns)
            .activations(&[tokens, s.kv_heads, s.head_dim])
            .numbers(&[tokens], positions(tokens))
            .output(dtype, &rows)
            .finish(set(prompt), s.name, "cache_write", &parameters)?;
        // Blocks in this format need a search that no device does.
        if !dtype.is_block() || dtype.is_quantisable() {
            found.push(item);
        }
        if dtype.is_float() {
            let op = Op::RopeWrite(RopeWrite { pairing: RopePairing::HalfSplit });
            let draft = Draft::new(op, dtype, patterns).activations(&[1, tokens, s.kv_heads, s.head_dim]);
            let item = tables(draft, s, tokens)
                .numbers(&[1, tokens], positions(tokens))
                .output(dtype, &[1, keys, s.kv_heads, s.head_dim])
                .finish(set(prompt), s.name, "rope_write", &parameters)?;
            found.push(item);
        }
    }
    Ok(())
}
