//! Files that are broken or hostile give an error that names them, never a panic.

mod common;

use std::fs;
use std::path::Path;

use common::{Node, f32s};
use prost::Message;
use unisono_onnx::proto::{ModelProto, TensorProto};
use unisono_onnx::{Test, Value, list};

fn relu() -> Node {
    Node::new("Relu", 14).input(f32s(&[2], &[-1.0, 2.0])).output(f32s(&[2], &[0.0, 2.0]))
}

fn read(folder: &Path) -> Result<Test, String> {
    let entries = list(folder, &[]).map_err(|e| e.to_string())?;
    Test::read(&entries[0]).map_err(|e| e.to_string())
}

#[test]
fn names_select_tests() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["test_relu", "test_relu_again", "test_other", "notes"] {
        relu().write(&folder.path().join(name));
    }
    fs::remove_file(folder.path().join("notes/model.onnx")).unwrap();
    let names = |patterns: &[&str]| {
        let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        list(folder.path(), &patterns).unwrap().into_iter().map(|e| e.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["test_other", "test_relu", "test_relu_again"]);
    assert_eq!(names(&["test_relu"]), ["test_relu"]);
    assert_eq!(names(&["test_relu*"]), ["test_relu", "test_relu_again"]);
    assert!(list(&folder.path().join("absent"), &[]).unwrap_err().to_string().contains("absent"));
}

#[test]
fn every_truncation_is_an_error_or_a_smaller_message() {
    let model = relu().model.encode_to_vec();
    let data = relu().inputs[0].encode_to_vec();
    for n in 0..model.len() {
        let _ = ModelProto::decode(&model[..n]);
    }
    for n in 0..data.len() {
        let folder = tempfile::tempdir().unwrap();
        let test = folder.path().join("test_it");
        relu().write(&test);
        fs::write(test.join("test_data_set_0/input_0.pb"), &data[..n]).unwrap();
        let error = read(folder.path()).unwrap_err();
        assert!(error.contains("input_0.pb"), "{error}");
    }
}

#[test]
fn missing_files_are_named() {
    for (name, wanted) in [("test_data_set_0/output_0.pb", "output_0.pb"), ("test_data_set_0", "test_data_set_0")] {
        let folder = tempfile::tempdir().unwrap();
        let test = folder.path().join("test_it");
        relu().write(&test);
        let path = test.join(name);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        let error = read(folder.path()).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn tensors_must_hold_what_their_shape_says() {
    let error = |tensor: TensorProto| Value::from_proto(&tensor).unwrap_err().to_string();
    let with = |dims: &[i64]| TensorProto { dims: dims.to_vec(), ..f32s(&[], &[1.0, 2.0]) };
    assert!(error(with(&[3])).contains("8 bytes are given"));
    assert!(error(with(&[-2])).contains("a dimension is -2"));
    assert!(error(with(&[i64::MAX, i64::MAX])).contains("overflow"), "{}", error(with(&[i64::MAX, i64::MAX])));
    assert!(error(with(&[1; 7])).contains("rank 7"));
    let nothing = TensorProto { dims: vec![1 << 40], data_type: 1, ..TensorProto::default() };
    assert!(error(nothing).contains("0 elements are given"));
    let foreign = TensorProto { data_type: 8, ..TensorProto::default() };
    assert!(error(foreign).contains("string"));
    let elsewhere = TensorProto { data_location: 1, data_type: 1, ..TensorProto::default() };
    assert!(error(elsewhere).contains("another file"));
}

#[test]
fn garbage_is_no_model() {
    let mut state = 1u32;
    for length in 0..100 {
        let folder = tempfile::tempdir().unwrap();
        let test = folder.path().join("test_it");
        relu().write(&test);
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        fs::write(test.join("model.onnx"), bytes).unwrap();
        assert!(read(folder.path()).is_err());
    }
}
