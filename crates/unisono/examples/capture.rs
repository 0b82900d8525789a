//! A small step captured once and replayed: an attention layer that appends to its cache.
//!
//! `cargo run --example capture [DEVICE]`

use unisono::{AttentionOptions, DType, Result, TensorDesc};

const HEADS: usize = 2;
const HEAD_DIM: usize = 4;
const CAPACITY: usize = 8;

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "auto".into());
    let device = unisono::open(&name)?;

    // The cache starts zeroed; the step updates it in place.
    let keys = device.zeros(DType::F32, &[CAPACITY, HEADS, HEAD_DIM])?;
    let values = device.zeros(DType::F32, &[CAPACITY, HEADS, HEAD_DIM])?;

    // What changes from token to token is data: the new row, its position, the visible length.
    let inputs = [
        TensorDesc::contiguous(DType::F32, &[1, HEADS, HEAD_DIM])?,
        TensorDesc::contiguous(DType::U32, &[1])?,
        TensorDesc::contiguous(DType::U32, &[1, 1])?,
    ];
    let step = device.capture(&inputs, |inputs| {
        let [row, position, limit] = inputs else { return Ok(Vec::new()) };
        keys.scatter_rows_(position, row)?;
        values.scatter_rows_(position, row)?;
        // The cache is [kv, heads, head_dim]; attention wants [batch, heads, kv, head_dim].
        let k = keys.transpose(0, 1)?.unsqueeze(0)?;
        let v = values.transpose(0, 1)?.unsqueeze(0)?;
        let q = row.transpose(0, 1)?.unsqueeze(0)?;
        Ok(vec![q.attention(&k, &v, AttentionOptions { limits: Some(limit), ..Default::default() })?])
    })?;

    let before = device.counters();
    for token in 0..CAPACITY as u32 {
        let row: Vec<f32> = (0..HEADS * HEAD_DIM).map(|i| (token as usize * i % 7) as f32 / 7.0).collect();
        let row = device.tensor(&row, &[1, HEADS, HEAD_DIM])?;
        let position = device.tensor(&[token], &[1])?;
        let limit = device.tensor(&[token + 1], &[1, 1])?;
        let y = step.run(&[&row, &position, &limit])?;
        println!("token {token}: {:.3?}", y[0].to_vec::<f32>()?);
    }
    let after = device.counters();
    assert_eq!(after.plans, before.plans, "a replay compiles nothing");
    assert_eq!(after.submissions - before.submissions, CAPACITY as u64, "a replay is one submission");
    println!("{CAPACITY} tokens, {} submissions, no plan compiled", after.submissions - before.submissions);
    Ok(())
}
