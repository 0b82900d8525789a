//! Rescaled rotary frequencies, against numbers of transformers 5.23 and against each other.

use serde_json::{Value, json};
use unisono_models::{ModelConfig, RopeTables, rope_tables};

/// The tables of a Llama with heads of 128 and these rotary parameters.
fn tables(parameters: &Value, rows: usize) -> RopeTables {
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "hidden_size": 512, "intermediate_size": 96, "num_hidden_layers": 1,
        "num_attention_heads": 4, "vocab_size": 100, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5,
        "rope_parameters": parameters
    });
    let config = ModelConfig::from_json(config.to_string().as_bytes()).unwrap();
    rope_tables(config.rope.as_ref().unwrap(), rows)
}

/// For each pair the frequency, from the tables' second row, and the factor on cosine and sine.
fn frequencies(tables: &RopeTables) -> Vec<(f64, f64)> {
    let row = |table: &[f32]| table[64..128].iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
    let (cos, sin) = (row(&tables.cos), row(&tables.sin));
    cos.iter().zip(&sin).map(|(&c, &s)| (s.atan2(c), c.hypot(s))).collect()
}

fn check(parameters: &Value, theta: f64, factor: f64, expected: &[(usize, f64)]) {
    let frequencies = frequencies(&tables(parameters, 2));
    for &(pair, ratio) in expected {
        let (frequency, length) = frequencies[pair];
        let plain = theta.powf(-2.0 * pair as f64 / 128.0);
        assert!((frequency / plain / ratio - 1.0).abs() < 1e-5, "pair {pair}: {} is not {ratio}", frequency / plain);
        assert!((length / factor - 1.0).abs() < 1e-6, "pair {pair}: factor {length}");
    }
}

#[test]
fn yarn_is_that_of_transformers() {
    // As Qwen 2.5 uses it: ln 4 / 10 + 1.
    let parameters = json!({"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0,
        "original_max_position_embeddings": 32768});
    let expected =
        [(0, 1.0), (23, 1.0), (25, 0.911764722), (30, 0.691176455), (36, 0.426470584), (40, 0.25), (63, 0.25)];
    check(&parameters, 1e6, 1.138629436, &expected);
    let parameters = json!({"rope_type": "yarn", "rope_theta": 1e4, "factor": 8.0, "truncate": false,
        "original_max_position_embeddings": 4096, "beta_fast": 16.0, "beta_slow": 2.0, "mscale": 1.0,
        "mscale_all_dim": 0.5});
    let expected = [(10, 1.0), (25, 1.0), (30, 0.743300940), (36, 0.379965019), (40, 0.137741093), (63, 0.125)];
    check(&parameters, 1e4, 1.094179988, &expected);
}

#[test]
fn divisors_are_those_of_the_file() {
    check(&json!({"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}), 1e4, 1.0, &[(0, 0.25), (63, 0.25)]);
    check(&json!({"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}), 1e4, 1.0, &[(0, 1.0), (63, 1.0)]);
    let list = |first: f64| (0..64).map(|i| first + f64::from(i)).collect::<Vec<_>>();
    let factors = json!({"rope_type": "factors", "rope_theta": 1e4, "factors": list(1.0)});
    check(&factors, 1e4, 1.0, &[(0, 1.0), (1, 0.5), (63, 1.0 / 64.0)]);

    // Long divisors serve contexts that are longer than the original one, in every row.
    let longrope = json!({"rope_type": "longrope", "rope_theta": 1e4, "short_factor": list(1.0),
        "long_factor": list(2.0), "original_max_position_embeddings": 4096});
    let attention = (1.0 + 32f64.ln() / 4096f64.ln()).sqrt();
    check(&longrope, 1e4, attention, &[(0, 1.0), (1, 0.5), (63, 1.0 / 64.0)]);
    let [short, long] = [4096, 4097].map(|rows| frequencies(&tables(&longrope, rows)));
    for pair in [1, 30, 63] {
        let expected = (pair as f64 + 2.0) / (pair as f64 + 1.0);
        assert!((short[pair].0 / long[pair].0 / expected - 1.0).abs() < 1e-5, "pair {pair}");
    }
}
