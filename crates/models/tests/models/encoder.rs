//! Encoders: padding, pooling and what is refused. The numbers themselves are compared with golden
//! ones by the tests across crates.

use std::borrow::Cow;

use serde_json::{Value, json};
use unisono_models::{EncoderText, Model, ModelOptions, Pooling, Source, TextEncoder};

use crate::tiny;
use crate::tiny_gguf;
use crate::writer::{Field, Gguf};

const HIDDEN: usize = 12;
const TEXTS: [&[u32]; 4] = [&[3, 17, 4, 0, 8, 8, 31, 22, 5], &[19], &[30, 2], &[1, 2, 3, 4, 5, 6, 7]];

/// The tensors of a small BERT, with weights of its own, by the names of old files.
fn tensors() -> Vec<(String, Vec<usize>, Vec<f64>)> {
    let mut shapes = Vec::new();
    for (name, rows) in [("word", 32), ("position", 10), ("token_type", 2)] {
        shapes.push((format!("embeddings.{name}_embeddings.weight"), vec![rows, HIDDEN]));
    }
    let mut norms = vec!["embeddings.LayerNorm".to_owned()];
    for layer in 0..2 {
        let at = |name: &str| format!("encoder.layer.{layer}.{name}");
        for (name, out, input) in [
            ("attention.self.query", HIDDEN, HIDDEN),
            ("attention.self.key", HIDDEN, HIDDEN),
            ("attention.self.value", HIDDEN, HIDDEN),
            ("attention.output.dense", HIDDEN, HIDDEN),
            ("intermediate.dense", 20, HIDDEN),
            ("output.dense", HIDDEN, 20),
        ] {
            shapes.push((format!("{}.weight", at(name)), vec![out, input]));
            shapes.push((format!("{}.bias", at(name)), vec![out]));
        }
        norms.extend([at("attention.output.LayerNorm"), at("output.LayerNorm")]);
    }
    shapes.extend(norms.iter().flat_map(|norm| ["gamma", "beta"].map(|part| (format!("{norm}.{part}"), vec![HIDDEN]))));
    let mut state = 7u64;
    let mut uniform = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        f64::from((state >> 40) as f32 / (1u64 << 24) as f32 * 2.0 - 1.0)
    };
    let filled = |(name, shape): (String, Vec<usize>)| {
        let shift = if name.ends_with("gamma") { 1.0 } else { 0.0 };
        let values = (0..shape.iter().product()).map(|_| shift + uniform()).collect();
        (name, shape, values)
    };
    shapes.into_iter().map(filled).collect()
}

/// The model in safetensors.
fn source() -> Source {
    source_of(tensors())
}

/// The model with this value somewhere in a projection.
pub(crate) fn source_with(value: f64) -> Source {
    let mut tensors = tensors();
    let found = tensors.iter_mut().find(|(name, ..)| name == "encoder.layer.1.output.dense.weight").unwrap();
    found.2[5] = value;
    source_of(tensors)
}

fn source_of(tensors: Vec<(String, Vec<usize>, Vec<f64>)>) -> Source {
    let config = json!({"architectures": ["BertModel"], "hidden_size": HIDDEN, "intermediate_size": 20,
        "num_hidden_layers": 2, "num_attention_heads": 3, "vocab_size": 32, "max_position_embeddings": 10,
        "type_vocab_size": 2, "layer_norm_eps": 1e-6, "hidden_act": "gelu"});
    let (mut header, mut data) = (serde_json::Map::new(), Vec::<u8>::new());
    for (name, shape, values) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|&v| (v as f32).to_le_bytes()));
        header.insert(name, json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]}));
    }
    let file = tiny::file(Value::Object(header).to_string().as_bytes(), &data);
    Source::from_bytes("bert", config.to_string().into_bytes(), vec![("model.safetensors".into(), Cow::from(file))])
}

/// A vocabulary as GGUF files spell it: `▁` begins a word.
const WORDS: [&str; 32] = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "▁the", "▁fox", "es", "s", "▁quick", "▁,", "▁!", "▁'", "▁s", "▁na",
    "i", "ve", "▁東", "▁京", "▁un", "happy", "▁12", "34", "▁ℝ", "▁b", "c", "▁re", "ad", "er", "▁.", "▁jump", "ed",
];

/// The model in a GGUF file, with its vocabulary.
fn gguf() -> Gguf {
    let mut file = Gguf::new();
    file.field("general.architecture", Field::text("bert"));
    for (key, size) in [
        ("embedding_length", HIDDEN),
        ("feed_forward_length", 20),
        ("block_count", 2),
        ("attention.head_count", 3),
        ("context_length", 10),
        ("pooling_type", 1),
    ] {
        file.field(&format!("bert.{key}"), Field::u32(size as u32));
    }
    file.field("bert.attention.layer_norm_epsilon", Field::f32(1e-6));
    file.field("tokenizer.ggml.model", Field::text("bert"));
    file.field("tokenizer.ggml.tokens", Field::texts(&WORDS));
    let types: Vec<u8> = (0..32).flat_map(|i| if i < 5 { 3u32 } else { 1 }.to_le_bytes()).collect();
    file.field("tokenizer.ggml.token_type", Field::array(5, 32, &types));
    for (key, id) in [("unknown", 1), ("cls", 2), ("seperator", 3), ("padding", 0)] {
        file.field(&format!("tokenizer.ggml.{key}_token_id"), Field::u32(id));
    }
    for (name, shape, values) in tensors() {
        let name = name
            .replace("embeddings.word_embeddings", "token_embd")
            .replace("embeddings.position_embeddings", "position_embd")
            .replace("embeddings.token_type_embeddings", "token_types")
            .replace("embeddings.LayerNorm", "token_embd_norm")
            .replace("encoder.layer.", "blk.")
            .replace("attention.self.query", "attn_q")
            .replace("attention.self.key", "attn_k")
            .replace("attention.self.value", "attn_v")
            .replace("attention.output.dense", "attn_output")
            .replace("attention.output.LayerNorm", "attn_output_norm")
            .replace("intermediate.dense", "ffn_up")
            .replace("output.dense", "ffn_down")
            .replace("output.LayerNorm", "layer_output_norm")
            .replace("gamma", "weight")
            .replace("beta", "bias");
        file.floats(&name, &shape, &values);
    }
    file
}

#[test]
fn a_gguf_file_embeds_text() {
    let encoder = TextEncoder::load(&tiny::device(), &tiny_gguf::source_of(gguf().bytes()).unwrap()).unwrap();
    let sentence = encoder.sentence().unwrap();
    assert_eq!((sentence.pooling, sentence.normalise), (Pooling::Mean, true));
    // Tokens by BertTokenizerLegacy of transformers 5.23.0 with the same vocabulary.
    let texts: [(&str, &[u32]); 6] = [
        ("The quick foxes!", &[2, 5, 9, 6, 7, 11, 3]),
        ("the fox's", &[2, 5, 6, 12, 13, 3]),
        ("Naïve, unhappy", &[2, 14, 15, 16, 10, 19, 20, 3]),
        ("東京 1234.", &[2, 17, 18, 21, 22, 29, 3]),
        ("reader jumped xyz", &[2, 26, 27, 28, 30, 31, 1, 3]),
        ("", &[2, 3]),
    ];
    let tokenizer = encoder.tokenizer().unwrap();
    let cut = texts.map(|(text, _)| tokenizer.encode(text, true).unwrap());
    for ((text, expected), found) in texts.iter().zip(&cut) {
        assert_eq!(found, expected, "{text:?}");
    }
    let found = encoder.embed(&texts.map(|(_, tokens)| tokens), Pooling::Mean, true).unwrap();
    let expected = self::encoder().embed(&texts.map(|(_, tokens)| tokens), Pooling::Mean, true).unwrap();
    for ((found, expected), (text, _)) in found.iter().zip(&expected).zip(texts) {
        assert_close(found, expected, text);
    }
    // Without a vocabulary, tokens still go in.
    let mut bare = gguf();
    bare.fields.retain(|(key, _)| !key.starts_with("tokenizer."));
    let encoder = TextEncoder::load(&tiny::device(), &tiny_gguf::source_of(bare.bytes()).unwrap()).unwrap();
    assert!(encoder.tokenizer().unwrap_err().to_string().contains("has no tokenizer"));
}

fn encoder() -> TextEncoder {
    TextEncoder::load(&tiny::device(), &source()).unwrap()
}

fn assert_close(a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 2e-6, "{what}: {worst}");
}

#[test]
fn padding_changes_nothing() {
    let encoder = encoder();
    let together = encoder.hidden(&TEXTS).unwrap();
    for (text, hidden) in TEXTS.iter().zip(&together) {
        assert_eq!(hidden.len(), text.len() * HIDDEN);
        assert_close(hidden, &encoder.hidden(&[*text]).unwrap()[0], &format!("{text:?}"));
    }
    // More texts than run together, in order.
    let many: Vec<&[u32]> = TEXTS.iter().copied().cycle().take(70).collect();
    for (i, hidden) in encoder.hidden(&many).unwrap().iter().enumerate() {
        assert_close(hidden, &together[i % 4], &format!("text {i}"));
    }
    assert!(encoder.hidden::<&[u32]>(&[]).unwrap().is_empty());
}

#[test]
fn every_token_sees_every_other() {
    let encoder = encoder();
    let change = |i: usize| {
        let mut text = TEXTS[0].to_vec();
        text[i] = 29;
        encoder.hidden(&[&text]).unwrap().remove(0)
    };
    let plain = encoder.hidden(&TEXTS[..1]).unwrap().remove(0);
    for (changed, seen) in [(0, 8), (8, 0)] {
        let other = change(changed);
        let row = |hidden: &[f32]| hidden[seen * HIDDEN..(seen + 1) * HIDDEN].to_vec();
        assert_ne!(row(&other), row(&plain), "token {seen} does not see token {changed}");
    }
    let typed = EncoderText { tokens: TEXTS[0], types: &[0, 0, 0, 0, 0, 0, 0, 0, 1], prompt: 0 };
    assert_ne!(encoder.hidden(&[typed]).unwrap()[0], plain, "types are ignored");
}

#[test]
fn pooling_is_what_it_says() {
    let encoder = encoder();
    let hidden = encoder.hidden(&TEXTS).unwrap();
    for (pooling, rows) in [(Pooling::First, 0..1), (Pooling::Last, 8..9), (Pooling::Mean, 0..9)] {
        let mut expected = [0f64; HIDDEN];
        for row in hidden[0][rows.start * HIDDEN..rows.end * HIDDEN].chunks(HIDDEN) {
            expected.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x) / rows.len() as f64);
        }
        let plain = encoder.embed(&TEXTS, pooling, false).unwrap();
        assert_close(&plain[0], &expected.map(|x| x as f32), &format!("{pooling:?}"));
        let length = expected.iter().map(|x| x * x).sum::<f64>().sqrt();
        let unit = encoder.embed(&TEXTS, pooling, true).unwrap();
        assert_close(&unit[0], &expected.map(|x| (x / length) as f32), &format!("{pooling:?}, normalised"));
    }
    // A text of one token is its own mean.
    assert_close(&encoder.embed(&TEXTS, Pooling::Mean, false).unwrap()[1], &hidden[1], "one token");
}

#[test]
fn texts_that_do_not_fit_are_refused() {
    let encoder = encoder();
    let message = |tokens: &[u32], types: &[u32]| {
        encoder.hidden(&[EncoderText { tokens, types, prompt: 0 }]).unwrap_err().to_string()
    };
    assert!(message(&[], &[]).contains("0 tokens; 1 to 10"));
    assert!(message(&[1; 11], &[]).contains("11 tokens"));
    assert!(message(&[1, 32], &[]).contains("token 32 is outside the vocabulary of 32"));
    assert!(message(&[1, 2], &[0, 2]).contains("token type 2 is outside"));
    assert!(message(&[1, 2], &[0]).contains("1 token types for 2 tokens"));
    assert!(encoder.sentence().is_none() && encoder.tokenizer().is_err());
}

#[test]
fn files_of_sentence_transformers_are_read() {
    let module = |kind: &str, path: &str| json!({"idx": 0, "name": "0", "path": path, "type": kind});
    let transformer = module("sentence_transformers.models.Transformer", "");
    let pooling = module("sentence_transformers.models.Pooling", "1_Pooling");
    let normalize = module("sentence_transformers.models.Normalize", "2_Normalize");
    let read = |modules: &Value, pooling: &Value, limits: Option<&str>| {
        let (modules, pooling) = (modules.to_string(), pooling.to_string());
        let source = source().with_sentence_files(modules.as_bytes(), pooling.as_bytes(), limits.map(str::as_bytes));
        source.map_err(|e| e.to_string())
    };
    let flags = json!({"word_embedding_dimension": 12, "pooling_mode_cls_token": false,
        "pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": false});
    let all = json!([transformer, pooling, normalize]);
    let source = read(&all, &flags, Some(r#"{"max_seq_length": 6, "do_lower_case": false}"#)).unwrap();
    let encoder = TextEncoder::load(&tiny::device(), &source).unwrap();
    let sentence = encoder.sentence().unwrap();
    assert_eq!((sentence.pooling, sentence.normalise, encoder.max_tokens()), (Pooling::Mean, true, 6));
    let source = read(&json!([transformer, pooling]), &json!({"pooling_mode": "lasttoken"}), None).unwrap();
    let encoder = TextEncoder::load(&tiny::device(), &source).unwrap();
    let sentence = encoder.sentence().unwrap();
    assert_eq!((sentence.pooling, sentence.normalise, encoder.max_tokens()), (Pooling::Last, false, 10));

    // What the file leaves out is the mean.
    for pooling in [json!({}), json!({"pooling_mode": ["mean"]}), json!({"pooling_mode_cls_token": false})] {
        let encoder = TextEncoder::load(&tiny::device(), &read(&all, &pooling, None).unwrap()).unwrap();
        assert_eq!(encoder.sentence().unwrap().pooling, Pooling::Mean);
    }
    let dense = module("sentence_transformers.models.Dense", "2_Dense");
    let outside = module("sentence_transformers.models.Pooling", "../1_Pooling");
    let refused = [
        (json!([transformer, pooling, dense]), flags.clone(), "Dense"),
        (json!([transformer]), flags.clone(), "no Pooling module"),
        (json!([module("T.Transformer", "0_Transformer"), pooling]), flags.clone(), "directory \"0_Transformer\""),
        (json!([transformer, outside]), flags.clone(), "not a plain name"),
        (json!({}), flags.clone(), "modules.json"),
        (all.clone(), json!({"pooling_mode_max_tokens": true}), "pooling \"max\""),
        (all.clone(), json!({"pooling_mode_max_tokens": true, "pooling_mode_mean_tokens": true}), "max + mean"),
        (all.clone(), json!({"pooling_mode": ["mean", "cls"]}), "mean + cls"),
        (all.clone(), json!({"pooling_mode": "rank"}), "pooling \"rank\""),
        (all, json!(3), "1_Pooling/config.json"),
    ];
    for (modules, pooling, expected) in refused {
        let message = read(&modules, &pooling, None).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}

/// A decoder beside files of sentence-transformers is not kept from predicting by them.
#[test]
fn unsupported_modules_concern_embedding_only() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.json"), tiny::config_json("")).unwrap();
    std::fs::write(dir.path().join("model.safetensors"), tiny::safetensors(&tiny::tensors())).unwrap();
    for (modules, part) in [
        (
            r#"[{"path": "", "type": "Transformer"}, {"path": "1_Dense", "type": "sentence_transformers.models.Dense"}]"#,
            "Dense",
        ),
        (r#"[{"path": "", "type": "Transformer"}, {"path": "1_Pooling", "type": "Pooling"}]"#, "1_Pooling/config.json"),
        ("{", "modules.json"),
    ] {
        std::fs::write(dir.path().join("modules.json"), modules).unwrap();
        let source = Source::open(dir.path()).unwrap();
        assert!(Model::load(&tiny::device(), &source, &ModelOptions::default()).is_ok(), "{modules}");
        let bert = self::source().with_sentence_files(modules.as_bytes(), b"3", None);
        assert!(bert.is_err(), "{modules}");
        // Who wants vectors is told what is wrong.
        let source = Source::from_dir(dir.path()).unwrap();
        let message = TextEncoder::load(&tiny::device(), &source).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
}
