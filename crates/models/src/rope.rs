//! Cosine and sine tables of the rotary embedding, computed on the host in `f64`.
//!
//! The built-in sine and cosine of large arguments have no guaranteed accuracy on a GPU, so the
//! contract takes tables; every entry here is the correctly computed value rounded once to `f32`.

use std::f64::consts::PI;

use crate::config::{RopeConfig, RopeScaling};

/// Tables of shape `[rows, rotary_dim / 2]`, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeTables {
    /// `cos(position · frequency)`, times the attention factor of YaRN and LongRoPE.
    pub cos: Vec<f32>,
    /// `sin(position · frequency)`, likewise.
    pub sin: Vec<f32>,
}

/// The tables for positions `0..rows`: frequency `i` is `theta^(−2i / rotary_dim)` (Su et al.
/// 2021), rescaled as the configuration says. `rows` is the longest context that will be used:
/// LongRoPE chooses its factors by it.
pub fn rope_tables(rope: &RopeConfig, rows: usize) -> RopeTables {
    let frequencies = frequencies(rope, rows);
    let factor = match rope.scaling {
        RopeScaling::Yarn { attention_factor, .. } | RopeScaling::LongRope { attention_factor, .. } => attention_factor,
        _ => 1.0,
    };
    let mut tables = RopeTables { cos: Vec::new(), sin: Vec::new() };
    for position in 0..rows {
        for frequency in &frequencies {
            let (sin, cos) = (position as f64 * frequency).sin_cos();
            tables.cos.push((cos * factor) as f32);
            tables.sin.push((sin * factor) as f32);
        }
    }
    tables
}

fn frequencies(rope: &RopeConfig, rows: usize) -> Vec<f64> {
    let pairs = rope.rotary_dim / 2;
    let plain = (0..pairs).map(|i| rope.theta.powf(-2.0 * i as f64 / rope.rotary_dim as f64));
    match &rope.scaling {
        RopeScaling::None => plain.collect(),
        RopeScaling::Linear { factor } => plain.map(|frequency| frequency / factor).collect(),
        // Long wavelengths are stretched by `factor`, short ones kept, and those between are
        // blended linearly in the number of turns within the original context.
        &RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
            let scaled = plain.map(|frequency| {
                let turns = original_context * frequency / (2.0 * PI);
                let keep = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                frequency * (keep + (1.0 - keep) / factor)
            });
            scaled.collect()
        }
        &RopeScaling::Yarn { factor, beta_fast, beta_slow, truncate, original_context, .. } => {
            let (low, high) = yarn_range(rope, beta_fast, beta_slow, truncate, original_context);
            let scaled = plain.enumerate().map(|(i, frequency)| {
                let slow = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                frequency * ((1.0 - slow) + slow / factor)
            });
            scaled.collect()
        }
        RopeScaling::LongRope { short, long, original_context, .. } => {
            let factors = if rows as f64 > *original_context { long } else { short };
            plain.zip(factors).map(|(frequency, factor)| frequency / factor).collect()
        }
        RopeScaling::Factors(factors) => plain.zip(factors).map(|(frequency, factor)| frequency / factor).collect(),
    }
}

/// The pairs between which YaRN blends: those that turn `beta_fast` and `beta_slow` times within
/// the original context (Peng et al. 2023, section 3.2, solved for the index of the pair).
fn yarn_range(rope: &RopeConfig, beta_fast: f64, beta_slow: f64, truncate: bool, context: f64) -> (f64, f64) {
    let dim = rope.rotary_dim as f64;
    let pair = |turns: f64| dim * (context / (turns * 2.0 * PI)).ln() / (2.0 * rope.theta.ln());
    let (low, high) = (pair(beta_fast), pair(beta_slow));
    let (low, high) = if truncate { (low.floor(), high.ceil()) } else { (low, high) };
    let (low, high) = (low.max(0.0), high.min(dim - 1.0));
    // Equal limits would divide by zero.
    if low == high { (low, high + 0.001) } else { (low, high) }
}
