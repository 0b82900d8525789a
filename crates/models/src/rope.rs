//! Cosine and sine tables of the rotary embedding, computed on the host in `f64`.
//!
//! The built-in sine and cosine of large arguments have no guaranteed accuracy on a GPU, so the
//! contract takes tables; every entry here is the correctly computed value rounded once to `f32`.

use std::f64::consts::PI;

use crate::config::ModelConfig;

/// Tables of shape `[rows, head_dim / 2]`, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeTables {
    /// `cos(position · frequency)`.
    pub cos: Vec<f32>,
    /// `sin(position · frequency)`.
    pub sin: Vec<f32>,
}

/// The tables for positions `0..rows`: frequency `i` of a head is `theta^(−2i / head_dim)`
/// (Su et al. 2021), rescaled as the configuration says.
pub fn rope_tables(config: &ModelConfig, rows: usize) -> RopeTables {
    let frequencies = frequencies(config);
    let mut tables = RopeTables { cos: Vec::new(), sin: Vec::new() };
    for position in 0..rows {
        for frequency in &frequencies {
            let (sin, cos) = (position as f64 * frequency).sin_cos();
            tables.cos.push(cos as f32);
            tables.sin.push(sin as f32);
        }
    }
    tables
}

fn frequencies(config: &ModelConfig) -> Vec<f64> {
    let pairs = config.head_dim / 2;
    let plain = (0..pairs).map(|i| config.rope_theta.powf(-2.0 * i as f64 / config.head_dim as f64));
    let Some(scaling) = config.rope_scaling else { return plain.collect() };
    // Llama 3.1: long wavelengths are stretched by `factor`, short ones kept, and those between
    // are blended linearly in the number of turns within the original context.
    let context = scaling.original_max_position_embeddings;
    let scaled = plain.map(|frequency| {
        let turns = context * frequency / (2.0 * PI);
        let keep = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
        let keep = keep.clamp(0.0, 1.0);
        frequency * (keep + (1.0 - keep) / scaling.factor)
    });
    scaled.collect()
}
