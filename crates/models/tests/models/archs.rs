//! Every architecture loads from the tensors that transformers writes for it, and from nothing
//! less. The shapes are those of the golden models; what is computed with them is compared by the
//! tests across crates.

use std::borrow::Cow;
use std::path::Path;

use serde_json::{Value, json};
use unisono_core::ErrorKind;
use unisono_models::{Model, ModelConfig, ModelOptions, Source, TextEncoder};

use crate::tiny;

/// Name and shape of each tensor.
type Shapes = Vec<(String, Vec<usize>)>;

/// The golden models: name, configuration and tensors.
fn goldens() -> Vec<(String, Vec<u8>, Shapes)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/models/goldens");
    let mut names: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    let read = |name: &std::ffi::OsString| {
        let file = |file| std::fs::read(dir.join(name).join(file)).unwrap();
        let listed: Value = serde_json::from_slice(&file("tensors.json")).unwrap();
        let tensors = listed["tensors"].as_array().unwrap().iter().map(|tensor| {
            let shape = serde_json::from_value(tensor["shape"].clone()).unwrap();
            (tensor["name"].as_str().unwrap().to_owned(), shape)
        });
        (name.to_string_lossy().into_owned(), file("config.json"), tensors.collect())
    };
    names.iter().map(read).collect()
}

/// A checkpoint whose tensors are all zero.
fn zeros(config: &[u8], tensors: &[(String, Vec<usize>)]) -> Source {
    let (mut header, mut len) = (serde_json::Map::new(), 0);
    for (name, shape) in tensors {
        let end = len + 4 * shape.iter().product::<usize>();
        header.insert(name.clone(), json!({"dtype": "F32", "shape": shape, "data_offsets": [len, end]}));
        len = end;
    }
    let file = tiny::file(Value::Object(header).to_string().as_bytes(), &vec![0; len]);
    Source::from_bytes("zeros", config.to_vec(), vec![("model.safetensors".to_owned(), Cow::from(file))])
}

/// Number of weights, by whichever way the architecture loads.
fn load(config: &[u8], tensors: &[(String, Vec<usize>)]) -> Result<u64, String> {
    let (device, source) = (tiny::device(), zeros(config, tensors));
    if ModelConfig::from_json(config).unwrap().architecture.is_encoder() {
        let wrong = Model::load(&device, &source, &ModelOptions::default()).unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::Invalid, "{wrong}");
        return TextEncoder::load(&device, &source).map(|m| m.parameters()).map_err(|e| e.to_string());
    }
    let model = Model::load(&device, &source, &ModelOptions::default()).map_err(|e| e.to_string())?;
    // For embedding all but an output projection of its own is wanted.
    let head =
        if model.config().tie_word_embeddings { 0 } else { model.config().vocab_size * model.config().hidden_size };
    let encoder = TextEncoder::load(&device, &source).unwrap();
    assert_eq!(encoder.parameters() + head as u64, model.parameters());
    Ok(model.parameters())
}

#[test]
fn each_architecture_takes_all_its_tensors() {
    let goldens = goldens();
    assert!(goldens.len() >= 30, "{}", goldens.len());
    for (name, config, tensors) in goldens {
        let elements: usize = tensors.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        assert_eq!(load(&config, &tensors), Ok(elements as u64), "{name}");
    }
}

#[test]
fn each_missing_or_misshapen_tensor_is_named() {
    let mut seen = std::collections::BTreeSet::new();
    for (name, config, tensors) in goldens() {
        // One model of each architecture.
        if !seen.insert(ModelConfig::from_json(&config).unwrap().architecture.name()) {
            continue;
        }
        // The first and the last layer stand for all.
        let middle = |tensor: &str| tensor.contains(".1.") && !tensor.contains("experts");
        for i in (0..tensors.len()).filter(|&i| !middle(&tensors[i].0)) {
            let mut changed = tensors.clone();
            let (tensor, shape) = changed.remove(i);
            let message = load(&config, &changed).unwrap_err();
            assert!(message.contains(&tensor) && message.contains("missing"), "{name}, {tensor}: {message}");
            let wrong = shape.iter().map(|&n| n + 2).collect();
            changed.push((tensor.clone(), wrong));
            let message = load(&config, &changed).unwrap_err();
            let asked = format!("{shape:?}");
            assert!(message.contains(&tensor) && message.contains(&asked), "{name}, {tensor}: {message}");
        }
    }
    assert_eq!(seen.len(), 10, "{seen:?}");
}

#[test]
fn experts_may_be_stacked() {
    // The names and shapes of new versions of transformers.
    let (_, config, tensors) = goldens().into_iter().find(|(name, ..)| name == "mixtral-4-experts").unwrap();
    let elements: usize = tensors.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
    let config_of = ModelConfig::from_json(&config).unwrap();
    let (hidden, inner) = (config_of.hidden_size, config_of.intermediate_size);
    let mut fused: Vec<_> = tensors.iter().filter(|(name, _)| !name.contains("block_sparse_moe")).cloned().collect();
    let mut stacked = fused.clone();
    for layer in 0..config_of.num_hidden_layers {
        let at = |name: &str| format!("model.layers.{layer}.mlp.{name}");
        fused.push((at("gate.weight"), vec![4, hidden]));
        fused.push((at("experts.gate_up_proj"), vec![4, 2 * inner, hidden]));
        fused.push((at("experts.down_proj"), vec![4, hidden, inner]));
        stacked.push((at("gate.weight"), vec![4, hidden]));
        for (name, shape) in [("gate", [inner, hidden]), ("up", [inner, hidden]), ("down", [hidden, inner])] {
            stacked.push((at(&format!("experts.{name}")), vec![4, shape[0], shape[1]]));
        }
    }
    assert_eq!(load(&config, &fused), Ok(elements as u64));
    assert_eq!(load(&config, &stacked), Ok(elements as u64));
}
