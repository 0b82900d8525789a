//! The operands of a row, made once and given to every library.
//!
//! Activations are multiples of 1/64, which every float type here holds exactly, so that a library
//! that computes in 16 bits reads the same numbers. Weights are stored in the row's format before
//! anybody sees them.

use anyhow::Result;
use unisono::{DType, Device};

use crate::row::{Norm, Work};

/// The first position's base angle in rotary embeddings.
pub(crate) const ROPE_BASE: f32 = 10_000.0;
/// What normalisations add to the variance.
pub(crate) const EPS: f32 = 1e-5;

/// Operands on the host, as stored.
#[derive(Debug, Default)]
pub(crate) struct Data {
    /// Activations or queries.
    pub(crate) x: Vec<f32>,
    /// The weight in the row's format, or the keys.
    pub(crate) weight: Vec<u8>,
    /// Values, of the type of the keys.
    pub(crate) values: Vec<u8>,
    /// Factors of a normalisation.
    pub(crate) factor: Vec<f32>,
    /// Biases of a normalisation.
    pub(crate) bias: Vec<f32>,
}

/// The `i`th number of a sequence that is spread evenly (SplitMix64's finaliser).
fn hash(seed: u64, i: usize) -> u64 {
    let mut z = (i as u64 ^ (seed << 48)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Multiples of 1/64 from −1 to 1.
fn coarse(seed: u64, count: usize) -> Vec<f32> {
    (0..count).map(|i| (hash(seed, i) % 129) as f32 / 64.0 - 1.0).collect()
}

/// Numbers from −1 to 1.
fn fine(seed: u64, count: usize) -> Vec<f32> {
    (0..count).map(|i| (hash(seed, i) >> 40) as f32 / (1u64 << 23) as f32 - 1.0).collect()
}

impl Data {
    /// Makes the operands; `cpu` stores weights in their format.
    pub(crate) fn new(work: &Work, cpu: &Device) -> Result<Data> {
        let stored = |seed, dtype: DType, shape: &[usize]| -> Result<Vec<u8>> {
            let values = fine(seed, shape.iter().product());
            Ok(cpu.tensor(&values, shape)?.cast(dtype)?.read().wait()?)
        };
        let mut data = Data::default();
        match *work {
            Work::Product { dtype, m, n, k } => {
                data.x = coarse(1, m * k);
                data.weight = stored(2, dtype, &[n, k])?;
            }
            Work::Attention { dtype, heads, kv_heads, tokens, kv, dim, .. } => {
                data.x = coarse(1, heads * tokens * dim);
                data.weight = stored(2, dtype, &[kv_heads, kv, dim])?;
                data.values = stored(3, dtype, &[kv_heads, kv, dim])?;
            }
            Work::Norm { norm, shape } => {
                data.x = fine(1, shape.iter().product());
                if norm != Norm::Softmax {
                    data.factor = fine(2, shape[2]);
                    data.bias = fine(3, shape[2]);
                }
            }
            Work::Function { rows, cols, .. } => data.x = fine(1, rows * cols).iter().map(|v| 4.0 * v).collect(),
            Work::Rope { tokens, heads, dim } => data.x = fine(1, tokens * heads * dim),
        }
        Ok(data)
    }
}

/// Cosines and sines of rotary embeddings, each `[tokens, dim / 2]`.
pub(crate) fn rope_tables(tokens: usize, dim: usize) -> [Vec<f32>; 2] {
    let angle = |t: usize, i: usize| t as f64 * f64::from(ROPE_BASE).powf(-2.0 * i as f64 / dim as f64);
    let table =
        |f: fn(f64) -> f64| (0..tokens).flat_map(|t| (0..dim / 2).map(move |i| f(angle(t, i)) as f32)).collect();
    [table(f64::cos), table(f64::sin)]
}
