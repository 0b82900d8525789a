//! Files from strangers: every fault is an error that names the file and the tensor.

use unisono_core::ErrorKind;
use unisono_models::{Model, ModelOptions, Source};

use crate::tiny;

fn load(source: &Source) -> Result<Model, String> {
    Model::load(&tiny::device(), source, &ModelOptions::default()).map_err(|e| e.to_string())
}

fn load_bytes(bytes: &[u8]) -> Result<Model, String> {
    load(&tiny::source_of(bytes.to_vec()))
}

#[test]
fn every_truncation_is_an_error() {
    let whole = tiny::safetensors(&tiny::tensors());
    load_bytes(&whole).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    for len in (0..40).chain([header - 1, header, header + 1, whole.len() / 2, whole.len() - 1]) {
        let message = load_bytes(&whole[..len]).unwrap_err();
        assert!(message.contains("model.safetensors"), "{len} bytes: {message}");
    }
    assert!(load_bytes(&[whole, vec![0]].concat()).is_err(), "trailing bytes");
}

#[test]
fn hostile_headers_are_errors() {
    let entry = |shape: &str, offsets: &str| {
        format!(r#"{{"a": {{"dtype": "F16", "shape": {shape}, "data_offsets": {offsets}}}}}"#)
    };
    let headers = [
        String::new(),
        "[]".into(),
        "{".into(),
        "\u{0}\u{1}".into(),
        r#"{"a": 1}"#.into(),
        r#"{"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 2]}}"#.into(),
        entry("[1]", "[0, 4]"),
        entry("[1]", "[2, 0]"),
        entry("[1]", "[2, 4]"),
        entry("[-1]", "[0, 2]"),
        entry("[4611686018427387904, 4]", "[0, 0]"),
        entry("[1]", "[0, 18446744073709551615]"),
        "[".repeat(100_000),
    ];
    for header in headers {
        let message = load_bytes(&tiny::file(header.as_bytes(), &[0; 4])).unwrap_err();
        assert!(message.starts_with("model.safetensors: "), "{message}");
    }
    for length in [u64::MAX, u64::MAX - 7, 1 << 40, 9] {
        let bytes = [&length.to_le_bytes()[..], b"{}"].concat();
        assert!(load_bytes(&bytes).unwrap_err().contains("header"));
    }
}

#[test]
fn missing_and_misshapen_tensors_are_named() {
    let name = "model.layers.1.self_attn.k_proj.weight";
    let mut tensors = tiny::tensors();
    let (shape, values) = tensors.remove(name).unwrap();
    let message = load_bytes(&tiny::safetensors(&tensors)).unwrap_err();
    assert!(message.contains(name) && message.contains("missing in model.safetensors"), "{message}");
    tensors.insert(name.to_owned(), (vec![shape[1], shape[0]], values));
    let message = load_bytes(&tiny::safetensors(&tensors)).unwrap_err();
    assert!(message.contains(name) && message.contains("[24, 16]") && message.contains("[16, 24]"), "{message}");
}

#[test]
fn element_types_without_operations_are_refused() {
    let mut bytes = tiny::safetensors(&tiny::tensors());
    let at = bytes.windows(5).position(|w| w == b"\"F16\"").unwrap();
    bytes[at..at + 5].copy_from_slice(b"\"I16\"");
    let error = Model::load(&tiny::device(), &tiny::source_of(bytes), &ModelOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DType);
    assert!(error.to_string().contains("is I16"), "{error}");
}

#[test]
fn directories_load_whole_and_in_shards() {
    let dir = tempfile::tempdir().unwrap();
    let message = |dir: &std::path::Path| Source::from_dir(dir).unwrap_err().to_string();
    assert!(message(&dir.path().join("absent")).contains("absent is not a directory"));
    assert!(message(dir.path()).contains("config.json"));
    std::fs::write(dir.path().join("config.json"), tiny::config_json("")).unwrap();
    assert!(message(dir.path()).contains("model.safetensors does not exist"));
    std::fs::write(dir.path().join("model.safetensors"), tiny::safetensors(&tiny::tensors())).unwrap();
    let tokens = [4, 9, 30];
    let whole = load(&Source::from_dir(dir.path()).unwrap()).unwrap();
    let expected = whole.session().unwrap().prefill(&tokens).unwrap();
    assert_eq!(whole.name(), dir.path().file_name().unwrap().to_string_lossy());

    let mut first = tiny::tensors();
    let second = first.split_off("model.layers.1");
    let file_of = |name: &String| if first.contains_key(name) { "a.safetensors" } else { "b.safetensors" };
    let map: serde_json::Map<_, _> =
        first.keys().chain(second.keys()).map(|name| (name.clone(), file_of(name).into())).collect();
    let index = dir.path().join("model.safetensors.index.json");
    std::fs::write(&index, serde_json::json!({"weight_map": map}).to_string()).unwrap();
    std::fs::write(dir.path().join("a.safetensors"), tiny::safetensors(&first)).unwrap();
    assert!(message(dir.path()).contains("b.safetensors does not exist"));
    std::fs::write(dir.path().join("b.safetensors"), tiny::safetensors(&second)).unwrap();
    let sharded = load(&Source::from_dir(dir.path()).unwrap()).unwrap();
    assert_eq!(sharded.session().unwrap().prefill(&tokens).unwrap(), expected);

    // A file that shrinks between opening and loading.
    let source = Source::from_dir(dir.path()).unwrap();
    std::fs::write(dir.path().join("b.safetensors"), &tiny::safetensors(&second)[..100]).unwrap();
    assert!(load(&source).unwrap_err().contains("b.safetensors"));

    std::fs::write(&index, r#"{"weight_map": {"a": "../outside.safetensors"}}"#).unwrap();
    assert!(message(dir.path()).contains("not a plain file name"));
}
