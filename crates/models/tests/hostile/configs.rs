//! `config.json`.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use unisono_models::Source;

use crate::{Random, Tally, tiny};

#[test]
fn damaged_configurations() {
    let mut tally = Tally::default();
    let weights = tiny::safetensors(&tiny::tensors());
    let mut check = |what: &str, config: Vec<u8>| {
        let size = config.len() + weights.len();
        let files = vec![("model.safetensors".to_owned(), Cow::from(weights.clone()))];
        tally.check(what, size, || Ok(Source::from_bytes("tiny", config, files)));
    };
    let good: Map<String, Value> = serde_json::from_str(&tiny::config_json(
        r#", "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32}, "eos_token_id": [1, 2], "bos_token_id": 3, "hidden_act": "silu",
        "tie_word_embeddings": false, "rope_parameters": null, "torch_dtype": "float16""#,
    ))
    .unwrap();
    check("nothing wrong", json!(good).to_string().into_bytes());
    let absurd = [
        Value::Null,
        json!(0),
        json!(1),
        json!(-1),
        json!(7),
        json!(1u64 << 20),
        json!(u64::MAX),
        json!(1e-300),
        json!(1e300),
        json!(0.5),
        json!("\u{1b}[31m"),
        json!(""),
        json!([]),
        json!([[]]),
        json!([1e9, -1]),
        json!({}),
        json!({"rope_type": "linear"}),
        json!(true),
    ];
    for key in good.keys() {
        for value in &absurd {
            let mut config = good.clone();
            config[key] = value.clone();
            check(&format!("{key} is {value}"), json!(config).to_string().into_bytes());
        }
        let mut config = good.clone();
        config.remove(key);
        check(&format!("no {key}"), json!(config).to_string().into_bytes());
    }
    for key in good["rope_scaling"].as_object().unwrap().keys() {
        for value in &absurd {
            let mut config = good.clone();
            config["rope_scaling"][key] = value.clone();
            check(&format!("{key} is {value}"), json!(config).to_string().into_bytes());
        }
    }
    let text = json!(good).to_string().into_bytes();
    for cut in 0..text.len() {
        check(&format!("cut at {cut}"), text[..cut].to_vec());
    }
    for filler in ["[", "{\"a\":", "\u{feff}", "\"\\ud800"] {
        check(filler, filler.repeat(10_000).into_bytes());
    }
    let mut random = Random(5);
    for i in 0..300 {
        check(&format!("random damage {i}"), random.damage(&text, text.len()));
    }
    tally.expect(2, 500);
}
