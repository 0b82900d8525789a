//! A Llama forward pass in `f64`, straight from the formulas: no cache, no chunks, no views.

use crate::tiny::{EPS, FFN, HEAD_DIM, HEADS, HIDDEN, KV_HEADS, LAYERS, THETA, Tensors, VOCAB};

/// Logits after every token.
pub(crate) fn forward(tensors: &Tensors, tokens: &[u32]) -> Vec<Vec<f64>> {
    let get = |name: &str| &tensors[name].1;
    let mut h: Vec<Vec<f64>> =
        tokens.iter().map(|&t| get("model.embed_tokens.weight")[t as usize * HIDDEN..][..HIDDEN].to_vec()).collect();
    for layer in 0..LAYERS {
        let w = |name: &str| get(&format!("model.layers.{layer}.{name}.weight"));
        let mut queries = Vec::new();
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for (position, x) in h.iter().enumerate() {
            let x = norm(x, w("input_layernorm"));
            queries.push(rotate(&product(w("self_attn.q_proj"), &x), position));
            keys.push(rotate(&product(w("self_attn.k_proj"), &x), position));
            values.push(product(w("self_attn.v_proj"), &x));
        }
        for position in 0..tokens.len() {
            let mut attended = vec![0.0; HEADS * HEAD_DIM];
            for head in 0..HEADS {
                let kv = head / (HEADS / KV_HEADS) * HEAD_DIM;
                let q = &queries[position][head * HEAD_DIM..][..HEAD_DIM];
                let score = |k: &Vec<f64>| dot(q, &k[kv..kv + HEAD_DIM]) / (HEAD_DIM as f64).sqrt();
                let weights: Vec<f64> = keys[..=position].iter().map(|k| score(k).exp()).collect();
                let total: f64 = weights.iter().sum();
                for i in 0..HEAD_DIM {
                    let sum: f64 = weights.iter().zip(&values).map(|(p, v)| p * v[kv + i]).sum();
                    attended[head * HEAD_DIM + i] = sum / total;
                }
            }
            add(&mut h[position], &product(w("self_attn.o_proj"), &attended));
            let x = norm(&h[position], w("post_attention_layernorm"));
            let (gate, up) = (product(w("mlp.gate_proj"), &x), product(w("mlp.up_proj"), &x));
            let gated: Vec<f64> = (0..FFN).map(|i| gate[i] / (1.0 + (-gate[i]).exp()) * up[i]).collect();
            add(&mut h[position], &product(w("mlp.down_proj"), &gated));
        }
    }
    let logits = h.iter().map(|h| product(get("lm_head.weight"), &norm(h, get("model.norm.weight"))));
    let logits: Vec<Vec<f64>> = logits.collect();
    assert!(logits.iter().all(|l| l.len() == VOCAB));
    logits
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn product(weight: &[f64], x: &[f64]) -> Vec<f64> {
    weight.chunks(x.len()).map(|row| dot(row, x)).collect()
}

fn add(to: &mut [f64], other: &[f64]) {
    to.iter_mut().zip(other).for_each(|(a, b)| *a += b);
}

fn norm(x: &[f64], weight: &[f64]) -> Vec<f64> {
    let scale = 1.0 / (dot(x, x) / x.len() as f64 + EPS).sqrt();
    x.iter().zip(weight).map(|(x, w)| x * scale * w).collect()
}

fn rotate(x: &[f64], position: usize) -> Vec<f64> {
    let mut y = x.to_vec();
    for head in (0..x.len()).step_by(HEAD_DIM) {
        for i in 0..HEAD_DIM / 2 {
            let (a, b) = (x[head + i], x[head + i + HEAD_DIM / 2]);
            let angle = position as f64 / THETA.powf(2.0 * i as f64 / HEAD_DIM as f64);
            y[head + i] = a * angle.cos() - b * angle.sin();
            y[head + i + HEAD_DIM / 2] = b * angle.cos() + a * angle.sin();
        }
    }
    y
}
