//! Vocabularies and `tokenizer.json` files that are damaged or mean harm: an error, never a panic.

use serde_json::{Value, json};
use unisono_models::{Tokenizer, Vocabulary};

use crate::vocabularies::{golden, vocabulary};

fn good(name: &str) -> Vocabulary {
    vocabulary(&golden(name)["vocabulary"])
}

#[track_caller]
fn refused(vocabulary: &Vocabulary, parts: &[&str]) {
    let error = Tokenizer::from_gguf(vocabulary).map(|_| ()).unwrap_err().to_string();
    for part in parts {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
}

#[test]
fn damaged_vocabularies_are_named() {
    let change = |name: &str, change: fn(&mut Vocabulary), parts: &[&str]| {
        let mut vocabulary = good(name);
        change(&mut vocabulary);
        refused(&vocabulary, parts);
    };
    for name in ["gpt-2", "sentencepiece", "unigram", "wordpiece"] {
        change(name, |v| v.model = "rwkv".into(), &["tokenizer.ggml.model", "rwkv", "llama"]);
        change(name, |v| v.tokens.clear(), &["tokenizer.ggml.tokens is empty"]);
        change(name, |v| v.tokens.push("extra".into()), &["entries, the vocabulary"]);
        change(name, |v| v.scores = vec![0.0], &["scores has 1 entries"]);
        change(name, |v| v.types[7] = 9, &["token_type[7] is 9"]);
        change(name, |v| v.bos_id = Some(1 << 30), &["bos_token_id is 1073741824"]);
        change(name, |v| v.unk_id = Some(u32::MAX), &["unknown_token_id"]);
        change(name, |v| v.tokens[20] = v.tokens[21].clone(), &["20 and 21 are both"]);
    }
    change("gpt-2", |v| v.pre = Some("martian".into()), &["tokenizer.ggml.pre", "martian", "llama-bpe"]);
    change("gpt-2", |v| v.merges[3] = "a".into(), &["merges[3]", "space"]);
    change("gpt-2", |v| v.merges[3] = "zq qz".into(), &["merges[3]", "\"zq\" is no token"]);
    change("gpt-2", |v| v.merges[3] = "a ~".into(), &["merges[3]", "\"a~\" is no token"]);
    change("gpt-2", |v| v.bos_id = None, &["add_bos_token", "bos_token_id"]);
    change("sentencepiece", |v| v.scores.clear(), &["scores is missing"]);
    change("sentencepiece", |v| v.scores[5] = f32::NAN, &["scores[5]"]);
    change("sentencepiece", |v| v.tokens[10] = "<0xZZ>".into(), &["<0xZZ>", "spells no byte"]);
    change("sentencepiece", |v| v.types[10] = 1, &["has bytes, but not <0x"]);
    change("sentencepiece-no-bytes", |v| (v.unk_id, v.types[0]) = (None, 1), &["neither bytes nor"]);
    change("sentencepiece-nfkc", |v| v.precompiled_charsmap.truncate(3), &["precompiled_charsmap"]);
    change("wordpiece", |v| (v.unk_id, v.tokens[1]) = (None, "[OTHER]".into()), &["no token [UNK]"]);
    change("wordpiece", |v| (v.sep_id, v.eos_id, v.tokens[3]) = (None, None, "x-y".into()), &["[SEP]"]);
    for numbers in 0..400 {
        let mut vocabulary = good("sentencepiece-nfkc");
        let at = numbers * 7 % vocabulary.precompiled_charsmap.len();
        vocabulary.precompiled_charsmap[at] ^= 1 << (numbers % 8);
        let _ = Tokenizer::from_gguf(&vocabulary).map(|t| t.encode("AB ﬁne é ½ 🦊\u{200b}", true));
    }
}

/// Numbers that are the same everywhere (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}

const TEXTS: [&str; 5] =
    ["", "The fox's  12 é東京🦊\n\n<s></s><tool>", "\u{301}\u{200d}", "▁▁ a", "\u{0}\u{10ffff}<|eot|>"];

/// Whatever was built must also work.
fn use_it(tokenizer: &Tokenizer) {
    for text in TEXTS {
        for special in [true, false] {
            if let (Ok(a), Ok(_)) = (tokenizer.encode(text, special), tokenizer.encode_text(text, special)) {
                let _ = tokenizer.decode(&a);
            }
        }
    }
    let _ = tokenizer.decode_with_special(&[0, 1, 5, 1000, u32::MAX]);
}

#[test]
fn mutated_vocabularies_do_not_panic() {
    let mut random = Random(1);
    let strings = ["", " ", "▁", "##", "a b", "\u{0}", "<0x41>", "Ġ", "🦊", "x\u{301}", "[UNK]"];
    let (mut built, mut refused) = (0, 0);
    for round in 0..400 {
        let name =
            ["gpt-2", "llama-bpe", "sentencepiece", "sentencepiece-no-bytes", "unigram", "unigram-t5", "wordpiece"]
                [round % 7];
        let mut v = good(name);
        for _ in 0..1 + random.below(4) {
            let (n, string) = (v.tokens.len(), strings[random.below(strings.len())].to_owned());
            match random.below(14) {
                0 => v.tokens.truncate(1 + random.below(n)),
                1 => v.tokens[random.below(n)] = string,
                2 if v.types.len() == n => v.types[random.below(n)] = random.below(8) as u32,
                3 => v.types.clear(),
                4 if v.scores.len() == n => {
                    let score =
                        [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, f32::MAX, f32::MIN][random.below(7)];
                    v.scores[random.below(n)] = score;
                }
                5 if !v.merges.is_empty() => {
                    let (i, j) = (random.below(v.merges.len()), random.below(v.merges.len()));
                    v.merges.swap(i, j);
                }
                6 if !v.merges.is_empty() => v.merges.truncate(random.below(v.merges.len())),
                7 => v.merges.push(format!("{string} {string}")),
                8 => v.unk_id = Some(random.below(2 * n) as u32),
                9 => v.bos_id = None,
                10 => v.model = ["gpt2", "llama", "t5", "bert"][random.below(4)].into(),
                11 => v.add_space_prefix = Some(random.below(2) == 0),
                12 => v.types = vec![1 + random.below(6) as u32; n],
                _ => v.precompiled_charsmap = (0..random.below(40)).map(|_| random.below(256) as u8).collect(),
            }
        }
        match Tokenizer::from_gguf(&v) {
            Ok(tokenizer) => {
                use_it(&tokenizer);
                built += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(built > 40 && refused > 100, "{built} built, {refused} refused: both are wanted");
}

/// A small `tokenizer.json` with most parts.
fn tokenizer_json() -> Value {
    let vocab: serde_json::Map<String, Value> = ["<unk>", "a", "b", "##b", "▁", "ab", "<0x41>"]
        .iter()
        .enumerate()
        .map(|(i, t)| ((*t).to_owned(), i.into()))
        .collect();
    json!({
        "version": "1.0", "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "<unk>"},
        "added_tokens": [{"id": 0, "content": "<unk>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "FixedLength", "length": 4}]},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<unk>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<unk>": {"id": "<unk>", "ids": [0], "tokens": ["<unk>"]}}},
        "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "vocab": vocab, "merges": ["a b"]}
    })
}

#[test]
fn padding_and_truncation_are_left_out() {
    let tokenizer = Tokenizer::from_bytes(tokenizer_json().to_string().as_bytes()).unwrap();
    assert_eq!(tokenizer.encode("ab ab", true).unwrap(), [0, 4, 5, 4, 5]);
    assert_eq!(tokenizer.encode("<unk>", false).unwrap(), [0]);
    let plain = tokenizer.encode_text("<unk>", false).unwrap();
    assert_ne!(plain, [0]);
}

#[test]
fn harmful_tokenizer_json_is_refused() {
    let tries: [(&str, Value, &str); 15] = [
        ("/pre_tokenizer/pretokenizers/0/length", json!(0), "length 0"),
        ("/model/continuing_subword_prefix", json!("##long"), "merge 0"),
        // The crate's buffer is as long as the longest token.
        ("/model/merges", json!(["a b", "<0x41> <unk>"]), "merge 1"),
        ("/model/merges", json!([["<unk>", "<0x41>"]]), "merge 0"),
        ("/model/vocab/a", json!(u32::MAX), "id 4294967295"),
        ("/model/vocab", json!({}), "vocabulary is empty"),
        ("/model/dropout", json!(0.5), "dropout"),
        ("/post_processor/single/0/SpecialToken/id", json!("[CLS]"), "[CLS]"),
        (
            "/normalizer/normalizers",
            json!(vec![
                json!({"type": "Replace", "pattern": {"String": "▁"}, "content": "▁▁▁▁▁▁▁▁"});
                40
            ]),
            "normalizer makes up to",
        ),
        (
            "/decoder/decoders",
            json!(vec![json!({"type": "Replace", "pattern": {"Regex": ""}, "content": "aaaaaaaa"}); 40]),
            "decoder makes up to",
        ),
        ("/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "////////"}), "precompiled_charsmap"),
        ("/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAAAAA=="}), "trie is empty"),
        ("/post_processor/special_tokens/<unk>/ids", json!(vec![0; 5000]), "adds 5001 tokens"),
        (
            "/pre_tokenizer",
            json!({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false}),
            "tokenizer.json",
        ),
        ("/version", json!("2.0"), "2.0"),
    ];
    for (path, value, part) in tries {
        let mut json = tokenizer_json();
        *json.pointer_mut(path).unwrap() = value;
        let error = Tokenizer::from_bytes(json.to_string().as_bytes()).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("tokenizer.json") && error.contains(part), "{path}: {error}");
    }
    let long = json!({"model": {"type": "WordPiece", "vocab": {"[UNK]": 0}, "max_input_chars_per_word": 1_000_000}});
    assert!(
        Tokenizer::from_bytes(long.to_string().as_bytes())
            .unwrap_err()
            .to_string()
            .contains("max_input_chars_per_word")
    );
    assert!(Tokenizer::from_bytes("[".repeat(100_000).as_bytes()).is_err());
}

#[test]
fn mutated_tokenizer_json_does_not_panic() {
    let base = tokenizer_json().to_string();
    let embedded = include_bytes!("../../assets/tiny-llama/tokenizer.json");
    let mut random = Random(2);
    let (mut built, mut refused) = (0, 0);
    let values = [
        json!(null),
        json!(0),
        json!(-1),
        json!(1e30),
        json!(u64::MAX),
        json!(""),
        json!("▁"),
        json!([]),
        json!({}),
        json!(true),
        json!([[]]),
    ];
    for round in 0..600 {
        let bytes = if round % 20 == 0 {
            // Bytes of a real file, one flipped.
            let mut bytes = embedded.to_vec();
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
            bytes
        } else {
            let mut json: Value = serde_json::from_str(&base).unwrap();
            for _ in 0..1 + random.below(2) {
                let mut paths = Vec::new();
                list(&json, String::new(), &mut paths);
                let path = &paths[random.below(paths.len())];
                let donor = json.pointer(&paths[random.below(paths.len())]).cloned().unwrap();
                let value = if random.below(3) == 0 { donor } else { values[random.below(values.len())].clone() };
                *json.pointer_mut(path).unwrap() = value;
            }
            json.to_string().into_bytes()
        };
        match Tokenizer::from_bytes(&bytes) {
            Ok(tokenizer) => {
                use_it(&tokenizer);
                built += 1;
            }
            Err(error) => {
                assert!(!error.to_string().contains("malformed"), "a panic inside the crate: {error}");
                refused += 1;
            }
        }
    }
    assert!(built > 30 && refused > 50, "{built} built, {refused} refused: both are wanted");
}

/// Every place of a document.
fn list(json: &Value, path: String, out: &mut Vec<String>) {
    match json {
        Value::Object(map) => {
            for (key, value) in map {
                list(value, format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")), out);
            }
        }
        Value::Array(items) => {
            for (i, value) in items.iter().enumerate() {
                list(value, format!("{path}/{i}"), out);
            }
        }
        _ => {}
    }
    if !path.is_empty() {
        out.push(path);
    }
}

#[test]
fn long_texts_take_time_in_proportion() {
    let text = "the fox ".repeat(20_000) + &" ".repeat(100_000) + &"x".repeat(100_000);
    for name in ["llama-bpe", "sentencepiece", "unigram", "wordpiece"] {
        let start = std::time::Instant::now();
        let tokens = Tokenizer::from_gguf(&good(name)).unwrap().encode(&text, true).unwrap();
        assert!(tokens.len() > 20_000 && start.elapsed().as_secs() < 30, "{name}: {:?}", start.elapsed());
    }
}
