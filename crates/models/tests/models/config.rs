//! `config.json` and the rotary tables.

use unisono_models::{ModelConfig, RopeScaling, RopeTables, rope_tables};

use crate::tiny;

fn parse(json: &str) -> Result<ModelConfig, String> {
    ModelConfig::from_json(json.as_bytes()).map_err(|e| e.to_string())
}

/// A minimal configuration with fields replaced or (with `null`) left out.
fn with(changes: &[(&str, serde_json::Value)]) -> Result<ModelConfig, String> {
    let mut config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100,
        "max_position_embeddings": 128, "rms_norm_eps": 1e-5
    });
    for (name, value) in changes {
        config[*name] = value.clone();
    }
    parse(&config.to_string())
}

fn tables(config: &ModelConfig, rows: usize) -> RopeTables {
    rope_tables(config.rope.as_ref().unwrap(), rows)
}

#[test]
fn defaults_are_those_of_the_format() {
    let config = with(&[]).unwrap();
    let rope = config.rope.clone().unwrap();
    assert_eq!((config.num_key_value_heads, config.head_dim, rope.theta, rope.rotary_dim), (4, 16, 10_000.0, 16));
    assert!(!config.tie_word_embeddings && config.eos_token_ids.is_empty() && rope.scaling == RopeScaling::None);
    let ids = with(&[("bos_token_id", 1.into()), ("eos_token_id", serde_json::json!([2, 3]))]).unwrap();
    assert_eq!((ids.bos_token_ids, ids.eos_token_ids), (vec![1], vec![2, 3]));
}

#[test]
fn rope_parameters_of_newer_versions_are_read() {
    let config = with(&[("rope_parameters", serde_json::json!({"rope_type": "default", "rope_theta": 5e5}))]).unwrap();
    let rope = config.rope.unwrap();
    assert!(rope.theta == 5e5 && rope.scaling == RopeScaling::None);
}

#[test]
fn each_fault_is_named() {
    let cases: &[(&str, serde_json::Value, &str)] = &[
        ("architectures", serde_json::json!(["FalconForCausalLM"]), "FalconForCausalLM"),
        ("hidden_size", 0.into(), "hidden_size is 0"),
        ("vocab_size", 0.into(), "vocab_size is 0"),
        ("num_attention_heads", 0.into(), "num_attention_heads is 0"),
        ("num_attention_heads", 5.into(), "5 does not divide hidden_size 64"),
        ("num_key_value_heads", 3.into(), "3 does not divide num_attention_heads 4"),
        ("num_key_value_heads", 0.into(), "num_key_value_heads is 0"),
        ("head_dim", 15.into(), "head_dim 15 is odd"),
        ("num_hidden_layers", u64::MAX.into(), "num_hidden_layers is"),
        ("rms_norm_eps", serde_json::json!(-1.0), "rms_norm_eps is -1"),
        ("rope_theta", serde_json::json!(0.0), "rope_theta is 0"),
        ("eos_token_id", 100.into(), "token 100 is outside"),
        ("use_bidirectional_attention", true.into(), "use_bidirectional_attention"),
        ("quantization_config", serde_json::json!({"quant_method": "gptq"}), "quantization_config"),
        ("hidden_act", "mish".into(), "hidden_act mish"),
        ("rope_scaling", serde_json::json!({"rope_type": "ntk", "factor": 2.0}), "ntk"),
        ("rope_scaling", serde_json::json!({"type": "linear"}), "linear needs factor"),
        ("rope_scaling", serde_json::json!({"type": "linear", "factor": 0}), "factor of the rope scaling is 0"),
        ("rope_scaling", serde_json::json!({"type": "factors", "factors": [1.0]}), "1 entries; 8 are"),
        ("partial_rotary_factor", serde_json::json!(0.5), "partial_rotary_factor 0.5"),
        ("rope_scaling", serde_json::json!({"rope_type": "llama3"}), "needs factor"),
        ("hidden_size", "wide".into(), "hidden"),
    ];
    for (field, value, expected) in cases {
        let message = with(&[(field, value.clone())]).unwrap_err();
        assert!(message.starts_with("config.json: "), "{message}");
        assert!(message.contains(expected) || *field == "hidden_size", "{field} = {value}: {message}");
    }
    assert!(parse("{}").unwrap_err().contains("neither architectures nor model_type"));
    assert!(parse(r#"{"model_type": "llama"}"#).unwrap_err().contains("missing field hidden_size"));
    assert!(parse("not json").is_err());
}

#[test]
fn rope_tables_are_the_formula() {
    let config = parse(&tiny::config_json("")).unwrap();
    let tables = tables(&config, 70);
    assert_eq!(tables.cos.len(), 70 * tiny::HEAD_DIM / 2);
    for position in [0, 1, 33, 69] {
        for i in 0..tiny::HEAD_DIM / 2 {
            let angle = position as f64 / tiny::THETA.powf(2.0 * i as f64 / tiny::HEAD_DIM as f64);
            let at = position * tiny::HEAD_DIM / 2 + i;
            assert!((f64::from(tables.cos[at]) - angle.cos()).abs() < 1e-7);
            assert!((f64::from(tables.sin[at]) - angle.sin()).abs() < 1e-7);
        }
    }
}

#[test]
fn llama3_scaling_keeps_short_waves_and_stretches_long_ones() {
    let scaling = serde_json::json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 8192});
    let head_dim = 128;
    let fields = [("head_dim", head_dim.into()), ("rope_theta", 500_000.0.into()), ("rope_scaling", scaling)];
    let config = with(&fields).unwrap();
    let tables = tables(&config, 2);
    for i in 0..64 {
        let frequency = 500_000f64.powf(-2.0 * i as f64 / 128.0);
        let wavelength = 2.0 * std::f64::consts::PI / frequency;
        let expected = if wavelength < 8192.0 / 4.0 {
            frequency
        } else if wavelength > 8192.0 {
            frequency / 8.0
        } else {
            let smooth = (8192.0 / wavelength - 1.0) / 3.0;
            (1.0 - smooth) * frequency / 8.0 + smooth * frequency
        };
        let actual = f64::from(tables.sin[64 + i]);
        assert!((actual / expected.sin() - 1.0).abs() < 1e-6, "pair {i}: {actual} is not {}", expected.sin());
    }
}
