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
        ("eos_token_id", "</s>".into(), "eos_token_id is \"</s>\"; a token or a list of tokens is wanted"),
        ("eos_token_id", serde_json::json!([[1]]), "eos_token_id is [[1]]; a token"),
        ("hidden_size", serde_json::json!([64, 64]), "hidden_size is [64,64]; a whole number is wanted"),
        ("num_hidden_layers", serde_json::json!(2.5), "num_hidden_layers is 2.5; a whole number"),
        ("tie_word_embeddings", "yes".into(), "tie_word_embeddings is \"yes\"; true or false"),
        ("rope_scaling", 3.into(), "rope_scaling is 3; an object is wanted"),
        (
            "rope_scaling",
            serde_json::json!({"type": "linear", "factor": "2"}),
            "rope_scaling.factor is \"2\"; a number",
        ),
        ("layer_types", "full".into(), "layer_types is \"full\"; a list of strings"),
        ("use_bidirectional_attention", true.into(), "use_bidirectional_attention"),
        ("quantization_config", serde_json::json!({"quant_method": "gptq"}), "quantization_config"),
        ("hidden_act", "mish".into(), "hidden_act mish"),
        ("rope_scaling", serde_json::json!({"rope_type": "ntk", "factor": 2.0}), "ntk"),
        ("rope_scaling", serde_json::json!({"type": "linear"}), "linear needs factor"),
        ("rope_scaling", serde_json::json!({"type": "linear", "factor": 0}), "factor of the rope scaling is 0"),
        ("rope_scaling", serde_json::json!({"type": "factors", "factors": [1.0]}), "1 entries; 8 are"),
        ("partial_rotary_factor", serde_json::json!(0.5), "partial_rotary_factor 0.5"),
        ("rope_scaling", serde_json::json!({"rope_type": "llama3"}), "needs factor"),
        ("hidden_size", "wide".into(), "hidden_size is \"wide\""),
        ("max_position_embeddings", 0.into(), "max_position_embeddings is 0"),
    ];
    for (field, value, expected) in cases {
        let message = with(&[(field, value.clone())]).unwrap_err();
        assert!(message.starts_with("config.json: "), "{message}");
        assert!(message.contains(expected), "{field} = {value}: {message}");
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

/// The architecture is looked at first: fields of one that is not known, or that an architecture does
/// not use, may be anything.
#[test]
fn an_unknown_architecture_is_named_whatever_its_fields_are() {
    let odd = |class: &str| {
        serde_json::json!({"architectures": [class], "model_type": "new", "hidden_size": {"text": 3},
            "intermediate_size": [1, 2], "rope_scaling": "none", "layer_types": 3, "eos_token_id": {"a": 1},
            "sliding_window": [1], "num_hidden_layers": "many", "quantization_config": 1})
    };
    let message = parse(&odd("NewForCausalLM").to_string()).unwrap_err();
    assert!(message.contains("architecture NewForCausalLM is not supported; LlamaForCausalLM, "), "{message}");
    let message = parse(&serde_json::json!({"architectures": "Llama"}).to_string()).unwrap_err();
    assert!(message.contains("architectures is \"Llama\"; a list of strings"), "{message}");
    let unused = serde_json::json!(["of", {"another": "shape"}]);
    let names = [
        "n_inner",
        "num_local_experts",
        "sliding_window",
        "query_pre_attn_scalar",
        "position_embedding_type",
        "type_vocab_size",
        "norm_topk_prob",
        "sliding_window_pattern",
        "rope_local_base_freq",
        "pooling",
        "text_config",
    ];
    let plain = with(&[]).unwrap();
    for name in names {
        assert_eq!(with(&[(name, unused.clone())]), Ok(plain.clone()), "{name}");
    }
}

/// Python writes numbers that JSON has not. They are read, and refused where they would be used.
#[test]
fn words_for_numbers_that_are_not_finite() {
    let config = with(&[]).unwrap();
    let text = r#"{"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100, "max_position_embeddings": 128,
        "rms_norm_eps": 1e-5, "unused": [NaN, Infinity, {"x": -Infinity}], "name": "NaN"}"#;
    assert_eq!(parse(text), Ok(config));
    for (from, to, part) in [
        ("1e-5", "NaN", "rms_norm_eps is NaN; it must be finite"),
        ("1e-5", "Infinity", "rms_norm_eps is inf"),
        ("\"unused\"", "\"rope_theta\": -Infinity, \"unused\"", "rope_theta is -inf"),
        ("128", "NaN", "max_position_embeddings is \"NaN\"; a whole number"),
    ] {
        let message = parse(&text.replacen(from, to, 1)).unwrap_err();
        assert!(message.contains(part), "{message}");
    }
    for strict in ["nan", "-NaN", "+Infinity", "Inf", "NaN1"] {
        assert!(parse(&text.replacen("1e-5", strict, 1)).is_err(), "{strict}");
    }
}

#[test]
fn special_tokens_and_repeated_fields_become_notes() {
    let config = with(&[("eos_token_id", serde_json::json!([2, 100, -1])), ("bos_token_id", (-1).into())]).unwrap();
    assert_eq!((&config.eos_token_ids[..], &config.bos_token_ids[..]), (&[2][..], &[][..]));
    assert_eq!(config.notes.len(), 3);
    assert_eq!(config.notes[1], "config.json: eos_token_id 100 is outside the vocabulary of 100 and is ignored");
    let text = tiny::config_json(r#", "num_hidden_layers": 1, "unused": 1, "unused": 2"#);
    let config = parse(&text).unwrap();
    assert_eq!(config.num_hidden_layers, 1, "the last, as in Python");
    assert!(
        config.notes.iter().any(|note| note.contains("num_hidden_layers is there more than once")),
        "{:?}",
        config.notes
    );
}

/// The limits on sizes are no limits on contexts.
#[test]
fn contexts_may_be_long_or_missing() {
    let context =
        |value: serde_json::Value| with(&[("max_position_embeddings", value)]).map(|c| c.max_position_embeddings);
    assert_eq!(context((10_485_760).into()), Ok(10_485_760));
    assert_eq!(context(u64::MAX.into()), Ok(i32::MAX as usize));
    assert!(context(serde_json::json!(1e30)).unwrap_err().contains("max_position_embeddings is 1e"));
    let missing = with(&[("max_position_embeddings", serde_json::Value::Null)]).unwrap();
    assert_eq!(missing.max_position_embeddings, 2048);
    assert!(missing.notes[0].contains("max_position_embeddings is not there; 2048 is taken"), "{:?}", missing.notes);
}
