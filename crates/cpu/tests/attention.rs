//! Attention against a naive computation in `f64`.

mod common;

use common::{Host, U, check};
use unisono_core::DType;
use unisono_core::op::{Attention, Op, Visibility};

struct Case {
    heads: [usize; 2],
    tokens: usize,
    kv: usize,
    dims: [usize; 2],
    dtype: DType,
    visibility: Visibility,
    mask: bool,
    layout: usize,
}

const BATCH: usize = 2;

fn run(case: &Case) {
    let Case { heads: [heads, kv_heads], tokens, kv, dims: [d, v_dim], dtype, visibility, mask, layout } = *case;
    let make =
        |shape: &[usize], seed| Host::layouts(dtype, shape).swap_remove((layout + seed) % 3).random(seed as u64, 1.5);
    let q = make(&[BATCH, heads, tokens, d], 1);
    let k = make(&[BATCH, kv_heads, kv, d], 2);
    let v = make(&[BATCH, kv_heads, kv, v_dim], 3);
    let bias = Host::new(DType::F32, &[BATCH, 1, tokens, kv])
        .fill(|i| if i % 7 == 2 { f64::NEG_INFINITY } else { (i % 5) as f64 * 0.3 })
        .view(|desc| desc.broadcast_to(&[BATCH, heads, tokens, kv]));
    let limits = Host::new(DType::U32, &[BATCH, tokens]).fill(|i| [kv, 0, kv + 3, kv / 2, 1][i % 5] as f64);
    let mut inputs = vec![q.clone(), k.clone(), v.clone()];
    inputs.extend(mask.then(|| bias.clone()));
    inputs.extend((visibility == Visibility::Limits).then(|| limits.clone()));
    let scale = 1.0 / (d as f32).sqrt().max(1.0);
    let op = Op::Attention(Attention { mask, ..Attention::new(scale, visibility) });

    let group = heads / kv_heads;
    let mut want = Vec::new();
    for row in 0..BATCH * heads * tokens {
        let (batch, head, token) = (row / (heads * tokens), row / tokens % heads, row % tokens);
        let shared = batch * kv_heads + head / group;
        let limit = match visibility {
            Visibility::All => kv,
            Visibility::Causal => (kv + token + 1).saturating_sub(tokens),
            Visibility::Limits => (limits.get(batch * tokens + token) as usize).min(kv),
        };
        let score = |j: usize| {
            let dot: f64 = (0..d).map(|i| q.get(row * d + i) * k.get((shared * kv + j) * d + i)).sum();
            dot * f64::from(scale) + if mask { bias.get(row * kv + j) } else { 0.0 }
        };
        let scores: Vec<f64> = (0..limit).map(score).collect();
        let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let p: Vec<f64> = scores.iter().map(|s| if max > f64::NEG_INFINITY { (s - max).exp() } else { 0.0 }).collect();
        let sum: f64 = p.iter().sum();
        for i in 0..v_dim {
            let value: f64 = p.iter().enumerate().map(|(j, p)| p * v.get((shared * kv + j) * v_dim + i)).sum();
            want.push(if sum > 0.0 { value / sum } else { 0.0 });
        }
    }
    let y = Host::layouts(dtype, &[BATCH, heads, tokens, v_dim]).swap_remove(layout);
    let error = (20.0 + 4.0 * d as f64 + kv as f64) * 1.5 * U;
    check(&op, &inputs, &[y], &|_, i| (want[i], error));
}

#[test]
fn visibilities_masks_types_and_layouts() {
    for (i, dtype) in DType::FLOATS.into_iter().enumerate() {
        for visibility in [Visibility::All, Visibility::Causal, Visibility::Limits] {
            for mask in [false, true] {
                for (tokens, kv) in [(1, 17), (7, 7), (33, 129), (5, 3)] {
                    let layout = (i + tokens) % 3;
                    run(&Case { heads: [4, 2], tokens, kv, dims: [16, 7], dtype, visibility, mask, layout });
                }
            }
        }
    }
}

#[test]
fn groups_and_head_sizes() {
    for heads in [[1, 1], [3, 1], [6, 3], [9, 1]] {
        for dims in [[1, 1], [33, 17], [64, 64]] {
            for tokens in [1, 3, 20] {
                let visibility = Visibility::Causal;
                run(&Case { heads, tokens, kv: 40, dims, dtype: DType::F32, visibility, mask: false, layout: 0 });
            }
        }
    }
}

/// Long enough that the keys of a decode step are split over threads, and that rows fill several
/// blocks.
#[test]
fn long_caches_are_split_and_merged() {
    for visibility in [Visibility::All, Visibility::Limits] {
        for dtype in [DType::F32, DType::F16] {
            for mask in [false, true] {
                run(&Case { heads: [2, 1], tokens: 1, kv: 1200, dims: [64, 64], dtype, visibility, mask, layout: 0 });
            }
        }
    }
    let visibility = Visibility::Causal;
    run(&Case {
        heads: [2, 1],
        tokens: 90,
        kv: 300,
        dims: [16, 16],
        dtype: DType::F32,
        visibility,
        mask: false,
        layout: 2,
    });
}

#[test]
fn no_keys_give_zeros() {
    for tokens in [0, 3] {
        let visibility = Visibility::All;
        run(&Case {
            heads: [2, 1],
            tokens,
            kv: 0,
            dims: [8, 8],
            dtype: DType::F32,
            visibility,
            mask: false,
            layout: 0,
        });
    }
}

/// Rows of a cache that a query does not see may hold anything finite.
#[test]
fn stale_keys_and_values_do_not_leak() {
    let (kv, seen, d) = (300, 130, 8);
    let q = Host::new(DType::F32, &[1, 1, 1, d]).random(1, 1.0);
    let stale = |i: usize, fresh: f64| if i / d < seen { fresh } else { 3e38 };
    let k = Host::new(DType::F32, &[1, 1, kv, d]).fill(|i| stale(i, 0.0));
    let v = Host::new(DType::F32, &[1, 1, kv, d]).fill(|i| stale(i, 2.0));
    let limits = Host::new(DType::U32, &[1, 1]).fill(|_| seen as f64);
    let op = Op::Attention(Attention::new(1.0, Visibility::Limits));
    check(&op, &[q, k, v, limits], &[Host::new(DType::F32, &[1, 1, 1, d])], &|_, _| (2.0, 1e-5));
}
