//! GGUF files: what is written is read, and a model in them computes what it does elsewhere.

use unisono_models::gguf::{File, Value};
use unisono_models::{Model, ModelOptions, Source};

use crate::tiny;
use crate::tiny_gguf::{source_of, tiny_llama};
use crate::writer::{Field, Gguf};

fn load(source: &Source) -> Model {
    Model::load(&tiny::device(), source, &ModelOptions::default()).unwrap()
}

fn logits(model: &Model) -> Vec<f32> {
    model.session().unwrap().prefill(&[4, 9, 30, 1, 22]).unwrap()
}

fn assert_close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}

#[test]
fn a_model_computes_what_it_does_from_safetensors() {
    let expected = logits(&load(&tiny::source()));
    let model = load(&source_of(tiny_llama().bytes()).unwrap());
    assert_close(&logits(&model), &expected);
    // Without the permutation of q and k it is another model.
    let mut plain = tiny_llama();
    let (shape, values) = &tiny::tensors()["model.layers.0.self_attn.q_proj.weight"];
    plain.tensors.retain(|t| t.name != "blk.0.attn_q.weight");
    plain.floats("blk.0.attn_q.weight", shape, values);
    let other = logits(&load(&source_of(plain.bytes()).unwrap()));
    assert!(other.iter().zip(&expected).any(|(a, b)| (a - b).abs() > 1e-2));
}

#[test]
fn split_files_are_found_and_checked() {
    let whole = tiny_llama();
    let parts = |count: usize| -> Vec<Gguf> {
        let mut parts = vec![Gguf::new(); count];
        parts[0].fields.clone_from(&whole.fields);
        for (i, tensor) in whole.tensors.iter().enumerate() {
            parts[i * count / whole.tensors.len()].tensors.push(tensor.clone());
        }
        for (i, part) in parts.iter_mut().enumerate() {
            part.field("split.no", Field(2, (i as u16).to_le_bytes().to_vec()));
            part.field("split.count", Field(2, (count as u16).to_le_bytes().to_vec()));
            part.field("split.tensors.count", Field(5, (whole.tensors.len() as i32).to_le_bytes().to_vec()));
        }
        parts
    };
    let dir = tempfile::tempdir().unwrap();
    let path = |i: usize| dir.path().join(format!("tiny-{i:05}-of-00003.gguf"));
    let mut good = parts(3);
    for (i, part) in good.iter().enumerate() {
        std::fs::write(path(i + 1), part.bytes()).unwrap();
    }
    let expected = logits(&load(&source_of(whole.bytes()).unwrap()));
    for start in [dir.path().to_path_buf(), path(1), path(2), path(3)] {
        let source = Source::open(&start).unwrap();
        assert_eq!(source.name(), "tiny");
        assert_eq!(logits(&load(&source)), expected);
    }
    let open = || Source::open(path(1)).unwrap_err().to_string();
    std::fs::rename(path(3), dir.path().join("away")).unwrap();
    assert!(open().contains("tiny-00003-of-00003.gguf"), "{}", open());
    std::fs::write(path(3), good[1].bytes()).unwrap();
    assert!(open().contains("split.no is 1, as in tiny-00002-of-00003.gguf"), "{}", open());
    good[2].field("split.count", Field::u32(4));
    std::fs::write(path(3), good[2].bytes()).unwrap();
    assert!(open().contains("tiny-00003-of-00003.gguf: the model has 4 parts (split.count), 3 are given"));
    good[2].field("split.count", Field::u32(3));
    let tensor = good[2].tensors.pop().unwrap();
    std::fs::write(path(3), good[2].bytes()).unwrap();
    assert!(open().contains("metadata split.tensors.count is I32(21)"), "{}", open());
    good[2].tensors.push(tensor);
    good[2].field("general.architecture", Field::text("qwen2"));
    std::fs::write(path(3), good[2].bytes()).unwrap();
    assert!(open().contains("general.architecture is \"qwen2\""), "{}", open());
    let double = good[0].tensors[0].clone();
    good[2].tensors[0] = double;
    std::fs::write(path(3), good[2].bytes()).unwrap();
    assert!(open().contains("is in tiny-00001-of-00003.gguf and again in tiny-00003"), "{}", open());
    std::fs::copy(path(1), dir.path().join("first.gguf")).unwrap();
    let message = Source::open(dir.path().join("first.gguf")).unwrap_err().to_string();
    assert!(message.contains("its name should say"), "{message}");
    let message = Source::open(dir.path()).unwrap_err().to_string();
    assert!(message.contains("several GGUF models (first.gguf, tiny-00001-of-00003.gguf)"), "{message}");
}

#[test]
fn old_versions_and_alignments_are_read() {
    for (version, alignment) in [(2, 32), (3, 8), (3, 4096), (3, 1)] {
        let mut file = tiny_llama();
        (file.version, file.alignment) = (version, alignment);
        file.field("general.alignment", Field::u32(alignment as u32));
        let bytes = file.bytes();
        let parsed = File::parse("a.gguf", &bytes).unwrap();
        assert_eq!(parsed.version(), version);
        assert_eq!(parsed.metadata().get("llama.context_length"), Some(&Value::U32(64)));
        let info = &parsed.tensors()["blk.1.ffn_down.weight"];
        assert_eq!((info.stored.to_string(), &info.shape[..]), ("F32".to_owned(), &[tiny::HIDDEN, tiny::FFN][..]));
        let first = tiny::tensors()["model.layers.1.mlp.down_proj.weight"].1[0] as f32;
        assert_eq!(bytes[info.bytes.clone()][..4], first.to_le_bytes());
    }
}

#[test]
fn missing_tensors_have_both_names() {
    let mut file = tiny_llama();
    file.tensors.retain(|t| t.name != "blk.1.ffn_up.weight");
    let source = source_of(file.bytes()).unwrap();
    let message = Model::load(&tiny::device(), &source, &ModelOptions::default()).unwrap_err().to_string();
    let wanted = "tensor model.layers.1.mlp.up_proj.weight (there blk.1.ffn_up.weight) is missing in tiny.gguf";
    assert!(message.contains(wanted), "{message}");
}

#[test]
fn the_vocabulary_is_that_of_the_metadata() {
    let mut file = tiny_llama();
    assert!(source_of(file.bytes()).unwrap().vocabulary().is_none());
    file.field("tokenizer.ggml.model", Field::text("llama"));
    let message = source_of(file.bytes()).unwrap_err().to_string();
    assert!(message.contains("tokenizer.ggml.tokens is missing"), "{message}");
    file.field("tokenizer.ggml.tokens", Field::texts(&["<s>", "", "Grüße"]));
    file.field("tokenizer.ggml.scores", Field::array(6, 3, &[0, 0, 128, 63].repeat(3)));
    file.field("tokenizer.ggml.token_type", Field::array(5, 3, &[3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]));
    file.field("tokenizer.ggml.eos_token_id", Field::u32(2));
    file.field("tokenizer.ggml.add_bos_token", Field(7, vec![1]));
    let source = source_of(file.bytes()).unwrap();
    let vocabulary = source.vocabulary().unwrap();
    assert_eq!(vocabulary.tokens, ["<s>", "", "Grüße"]);
    assert_eq!((&vocabulary.scores[..], &vocabulary.types[..]), (&[1.0; 3][..], &[3, 1, 1][..]));
    assert_eq!((vocabulary.eos_id, vocabulary.bos_id, vocabulary.add_bos), (Some(2), None, Some(true)));
}

#[test]
fn a_loaded_model_cuts_text_by_the_vocabulary_of_its_file() {
    let mut file = tiny_llama();
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>", "▁", "a", "b", "▁a", "▁ab"].map(str::to_owned).into();
    tokens.extend((tokens.len()..tiny::VOCAB).map(|i| format!("<{i}>")));
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let n = tokens.len() as u64;
    file.field("tokenizer.ggml.model", Field::text("llama"));
    file.field("tokenizer.ggml.tokens", Field::texts(&tokens));
    file.field(
        "tokenizer.ggml.scores",
        Field::array(6, n, &(0..n).flat_map(|i| (i as f32).to_le_bytes()).collect::<Vec<_>>()),
    );
    let kind = |i: u64| if i < 3 { 3u32 } else { 1 };
    file.field(
        "tokenizer.ggml.token_type",
        Field::array(5, n, &(0..n).flat_map(|i| kind(i).to_le_bytes()).collect::<Vec<_>>()),
    );
    for (key, id) in [("bos", 1), ("eos", 2), ("eot", 40), ("unknown", 0)] {
        file.field(&format!("tokenizer.ggml.{key}_token_id"), Field::u32(id));
    }
    let model = load(&source_of(file.bytes()).unwrap());
    let tokenizer = model.tokenizer().unwrap();
    assert_eq!(tokenizer.encode("ab a", true).unwrap(), [1, 7, 6]);
    assert_eq!(tokenizer.decode(&[1, 7, 6]).unwrap(), "ab a");
    assert_eq!(model.config().eos_token_ids, [2, 40]);
    assert!(load(&source_of(tiny_llama().bytes()).unwrap()).tokenizer().is_err());
}

#[test]
fn each_fault_of_a_file_is_named() {
    let parse = |file: &Gguf| File::parse("a.gguf", &file.bytes()).unwrap_err().to_string();
    let expect = |change: &dyn Fn(&mut Gguf), wanted: &str| {
        let mut file = tiny_llama();
        change(&mut file);
        let message = parse(&file);
        assert!(message.starts_with("a.gguf: ") && message.contains(wanted), "{message}");
    };
    // The first tensor is output.weight [50, 24] in f32, 4800 bytes; token_embd.weight follows it.
    let first = "tensor output.weight ";
    expect(&|f| f.version = 1, "GGUF version 1 is not supported; 2 and 3 are");
    expect(&|f| f.version = 3u32.swap_bytes(), "the file is big-endian");
    expect(&|f| f.tensor_count = Some(1 << 60), "the number of tensors is 1152921504606846976, too large for the");
    expect(&|f| f.field_count = Some(1 << 60), "the number of metadata pairs is 1152921504606846976, too large");
    expect(&|f| f.fields[1].0 = "general.architecture".into(), "metadata general.architecture is there twice");
    expect(&|f| f.fields[0].1.0 = 13, "metadata general.architecture has the type 13; 0 to 12 are possible");
    expect(&|f| f.fields[1].1 = Field::array(9, 1, &[0; 12]), "metadata llama.embedding_length is an array of arrays");
    expect(&|f| f.fields[1].1 = Field(7, vec![2]), "metadata llama.embedding_length has a truth value of 2");
    expect(&|f| f.fields[1].1 = Field::array(4, 1 << 62, &[0; 8]), "the length of metadata llama.embedding_length is");
    expect(
        &|f| f.fields.push(("general.alignment".into(), Field::u32(3))),
        "general.alignment is U32(3); wanted is a power of two",
    );
    expect(&|f| f.tensors[1].name = f.tensors[0].name.clone(), &format!("{first}is there twice"));
    expect(&|f| f.tensors[0].dims = vec![1; 5], &format!("{first}has 5 dimensions; 4 are possible"));
    expect(&|f| f.tensors[0].dims[1] = 0, &format!("{first}has a dimension of 0"));
    expect(&|f| f.tensors[0].dims = vec![1 << 40; 3], "is too large");
    expect(&|f| f.tensors[0].kind = 99, &format!("{first}has the unknown type 99"));
    expect(&|f| f.tensors[0].kind = 2, &format!("{first}has rows of 24 elements; Q4_0 has blocks of 32"));
    expect(&|f| f.tensors[0].offset = Some(8), &format!("{first}has offset 8, no multiple of 32"));
    expect(&|f| f.tensors[0].offset = Some(32), "tensors output.weight and token_embd.weight overlap");
    expect(
        &|f| f.tensors[0].offset = Some(1 << 40),
        "has 4800 bytes at offset 1099511627776 of the data, the file ends",
    );
    expect(&|f| f.tensors.last_mut().unwrap().data.truncate(4), "truncated or damaged");
    let message = File::parse("a.gguf", b"PK\x03\x04").unwrap_err().to_string();
    assert_eq!(message, "a.gguf: not a GGUF file: it begins with PK\\x03\\x04");
}
