//! Files from strangers: every fault is an error that names the file and the tensor.

use unisono_core::ErrorKind;
use unisono_models::safetensors::{Header, Index};
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

    // Beside a single file an index would not be looked at.
    std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
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

#[test]
fn each_fault_of_a_header_is_named() {
    let refused = |header: &str, data: usize| {
        let file = tiny::file(header.as_bytes(), &vec![0; data]);
        Header::parse("a.safetensors", &file).unwrap_err().to_string()
    };
    let entry = |name: &str, dtype: &str, shape: &str, start: u64, end: u64| {
        format!(r#""{name}": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": [{start}, {end}]}}"#)
    };
    let (x, y) = (entry("x", "F32", "[2]", 0, 8), entry("y", "BF16", "[1, 2]", 8, 12));
    let both = tiny::file(format!("{{{y}, {x}}}").as_bytes(), &[0; 12]);
    let header = Header::parse("a.safetensors", &both).unwrap();
    assert_eq!((&header.tensors()["y"].shape[..], header.tensors()["y"].bytes.len()), (&[1, 2][..], 4));
    let cases = [
        (format!("{{{x}, {x}}}"), 8, "malformed header: tensor x is there twice"),
        (format!("{{{y}}}"), 12, "tensor y has data_offsets [8, 12] where 0 is next"),
        (
            format!("{{{x}, {}}}", entry("z", "I8", "[8]", 4, 12)),
            12,
            "tensor z has data_offsets [4, 12] where 8 is next",
        ),
        (format!("{{{x}}}"), 12, "the tensors need 8 bytes, the file has 12"),
        (format!("{{{}}}", entry("x", "F16", "[2]", 0, 8)), 8, "tensor x of shape [2] in F16 has 8 bytes"),
        (format!("{{{}}}", entry("x", "F32", "[2, 9223372036854775809]", 0, 8)), 8, "in F32 has 8 bytes"),
        (format!("{{{}}}", entry("x", "F32", "[1,1,1,1,1,1,1,1,1]", 0, 4)), 4, "at most 8 sizes"),
    ];
    for (header, data, wanted) in cases {
        let message = refused(&header, data);
        assert!(message.starts_with("a.safetensors: ") && message.contains(wanted), "{message}");
    }
}

#[test]
fn an_index_is_held_against_the_files() {
    let mut first = tiny::tensors();
    let second = first.split_off("model.layers.1");
    let load_with = |map: &serde_json::Map<String, serde_json::Value>| {
        let files = [("a.safetensors", &first), ("b.safetensors", &second)];
        let files = files.map(|(name, tensors)| (name.to_owned(), tiny::safetensors(tensors).into())).to_vec();
        let json = serde_json::json!({"weight_map": map}).to_string();
        let index = Index::parse("index.json", json.as_bytes()).unwrap();
        assert_eq!(index.files().first(), Some(&"a.safetensors"));
        load(&Source::from_bytes("tiny", tiny::config_json("").into_bytes(), files).with_index(index))
    };
    let mut map: serde_json::Map<String, serde_json::Value> =
        (first.keys().map(|n| (n.clone(), "a.safetensors".into())))
            .chain(second.keys().map(|n| (n.clone(), "b.safetensors".into())))
            .collect();
    load_with(&map).unwrap();
    map["model.norm.weight"] = "a.safetensors".into();
    let message = load_with(&map).unwrap_err();
    let wanted = "index.json: tensor model.norm.weight should be in a.safetensors and is in b.safetensors";
    assert!(message.contains(wanted), "{message}");
    map["model.norm.weight"] = "b.safetensors".into();
    map.insert("other".into(), "b.safetensors".into());
    let message = load_with(&map).unwrap_err();
    assert!(message.contains("tensor other should be in b.safetensors and is in no file"), "{message}");
    let twice = r#"{"weight_map": {"x": "a.safetensors", "x": "b.safetensors"}}"#;
    let message = Index::parse("index.json", twice.as_bytes()).unwrap_err().to_string();
    assert!(message.starts_with("index.json: x is there twice"), "{message}");
}
