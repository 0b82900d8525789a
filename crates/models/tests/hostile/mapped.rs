//! Files on disk: mapped, so that weights are in memory once, whatever their size and place.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use unisono_models::{Model, ModelOptions, Source};

use crate::tiny_gguf::tiny_llama;
use crate::writer::Gguf;
use crate::{meter, tiny};

fn logits(source: &Source) -> Vec<f32> {
    let model = Model::load(&tiny::device(), source, &ModelOptions::default()).unwrap();
    model.session().unwrap().prefill(&[4, 9, 30]).unwrap()
}

/// The model with its output matrix `offset` bytes behind the beginning of the data.
fn write_sparse(path: &Path, mut file: Gguf, offset: u64) {
    let at = file.tensors.iter().position(|t| t.name == "output.weight").unwrap();
    let mut output = file.tensors.remove(at);
    let data = std::mem::take(&mut output.data);
    output.offset = Some(offset);
    file.tensors.push(output);
    let bytes = file.bytes();
    let data_len: usize = file.tensors.iter().map(|t| t.data.len().next_multiple_of(32)).sum();
    let mut out = File::create(path).unwrap();
    out.write_all(&bytes).unwrap();
    out.seek(SeekFrom::Start((bytes.len() - data_len) as u64 + offset)).unwrap();
    out.write_all(&data).unwrap();
}

#[test]
fn tensors_beyond_4_gib_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tiny.gguf");
    std::fs::write(&path, tiny_llama().bytes()).unwrap();
    let expected = logits(&Source::open(&path).unwrap());
    // An offset that is small if its upper half gets lost.
    write_sparse(&path, tiny_llama(), (1 << 32) + 4096);
    let (bytes, actual) = meter::peak(|| logits(&Source::open(&path).unwrap()));
    assert_eq!(actual, expected);
    assert!(bytes < 1 << 24, "{bytes} bytes for a small model in a large file");

    // The same as safetensors, where something must fill the space.
    let whole = tiny::safetensors(&tiny::tensors());
    let length = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&whole[8..8 + length]).unwrap();
    let filler = (1u64 << 32) + 4096;
    for entry in header.values_mut() {
        for offset in entry["data_offsets"].as_array_mut().unwrap() {
            *offset = (offset.as_u64().unwrap() + filler).into();
        }
    }
    let filled = serde_json::json!({"dtype": "U8", "shape": [filler], "data_offsets": [0, filler]});
    header.insert("filler".into(), filled);
    let path = dir.path().join("model.safetensors");
    let mut out = File::create(&path).unwrap();
    out.write_all(&tiny::file(serde_json::Value::Object(header).to_string().as_bytes(), &[])).unwrap();
    out.seek(SeekFrom::Current(filler as i64)).unwrap();
    out.write_all(&whole[8 + length..]).unwrap();
    std::fs::write(dir.path().join("config.json"), tiny::config_json("")).unwrap();
    let source = tiny::source();
    assert_eq!(logits(&Source::open(&path).unwrap()), logits(&source));
}

#[test]
fn weights_are_in_memory_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.gguf");
    // A vocabulary that makes the embedding and the output matrix large.
    let rows = 200_000;
    let mut file = tiny_llama();
    for name in ["token_embd.weight", "output.weight"] {
        let tensor = file.tensors.iter_mut().find(|t| t.name == name).unwrap();
        tensor.dims[1] = rows as u64;
        tensor.data = vec![0; rows * tiny::HIDDEN * 4];
    }
    std::fs::write(&path, file.bytes()).unwrap();
    drop(file);
    let weights = 2 * rows * tiny::HIDDEN * 4;
    let device = tiny::device();
    let options = ModelOptions { context_len: Some(8), ..ModelOptions::default() };
    let (bytes, model) = meter::peak(|| Model::load(&device, &Source::open(&path)?, &options));
    model.unwrap();
    // The device of the tests keeps its buffers on the heap: that is the one copy.
    assert!((weights..weights + weights / 20).contains(&bytes), "{bytes} bytes for weights of {weights}");
}

#[test]
fn what_is_no_checkpoint_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |name: &str| Source::open(dir.path().join(name)).unwrap_err().to_string();
    std::fs::write(dir.path().join("model.txt"), "x").unwrap();
    assert!(refused("model.txt").contains("model.txt: a directory, a .gguf file or a .safetensors file is wanted"));
    std::fs::write(dir.path().join("model.bin"), "x").unwrap();
    assert!(refused("model.bin").contains("model.bin: Weights are read from safetensors and GGUF files alone"));
    assert!(refused("absent").contains("there is nothing of that name"));
    assert!(refused("absent.gguf").contains("absent.gguf does not exist"));
    std::fs::write(dir.path().join("empty.gguf"), "").unwrap();
    assert!(refused("empty.gguf").contains("empty.gguf: the magic number at byte 0 takes 4 bytes"));
    std::fs::create_dir(dir.path().join("folder.gguf")).unwrap();
    assert!(refused("folder.gguf").contains("config.json"));
    std::fs::write(dir.path().join("lone.safetensors"), "").unwrap();
    assert!(refused("lone.safetensors").contains("config.json"));
}

#[test]
fn a_directory_is_what_its_files_say() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Source::open(dir.path());
    std::fs::write(dir.path().join("config.json"), tiny::config_json("")).unwrap();
    assert!(open().unwrap_err().to_string().contains("model.safetensors does not exist"));
    std::fs::write(dir.path().join("first.gguf"), tiny_llama().bytes()).unwrap();
    assert_eq!(open().unwrap().name(), "first");
    std::fs::write(dir.path().join("second.gguf"), tiny_llama().bytes()).unwrap();
    assert!(open().unwrap_err().to_string().contains("several GGUF models (first.gguf, second.gguf)"));
    // Beside safetensors they are conversions of the same model.
    std::fs::write(dir.path().join("model.safetensors"), tiny::safetensors(&tiny::tensors())).unwrap();
    assert!(open().unwrap().tensors().unwrap().iter().all(|(_, file, _)| file == "model.safetensors"));
}

#[test]
fn a_file_that_shrinks_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tiny.gguf");
    std::fs::write(&path, tiny_llama().bytes()).unwrap();
    let source = Source::open(&path).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(5000).unwrap();
    let error = Model::load(&tiny::device(), &source, &ModelOptions::default()).unwrap_err().to_string();
    assert!(error.contains("tiny.gguf has become shorter"), "{error}");
}
