//! Tokens and text, with a byte-level vocabulary made here.

use unisono_models::{Detokenizer, Tokenizer};

/// Byte-level BPE without merges: a token for each byte, then `<s>`, which begins a text.
fn tokenizer() -> Tokenizer {
    // The printable stand-ins of the bytes, as GPT-2 assigns them.
    let printable = |b: u32| (33..127).contains(&b) || (161..173).contains(&b) || (174..256).contains(&b);
    let mut next = 256;
    let mut vocab = serde_json::Map::new();
    for byte in 0..256u32 {
        let code = if printable(byte) { byte } else { next };
        next += u32::from(!printable(byte));
        vocab.insert(char::from_u32(code).unwrap().to_string(), byte.into());
    }
    let byte_level =
        serde_json::json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let json = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": [{"id": 256, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
        "pre_tokenizer": byte_level, "decoder": byte_level,
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [256], "tokens": ["<s>"]}}},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": []}
    });
    Tokenizer::from_bytes(json.to_string().as_bytes()).unwrap()
}

const TEXT: &str = "It's  a naïve café — 東京 🦊\n\tend.";

#[test]
fn text_survives_the_round_trip() {
    let tokenizer = tokenizer();
    let tokens = tokenizer.encode(TEXT, false).unwrap();
    assert_eq!(tokens, TEXT.bytes().map(u32::from).collect::<Vec<_>>());
    assert_eq!(tokenizer.decode(&tokens).unwrap(), TEXT);
    let special = tokenizer.encode(TEXT, true).unwrap();
    assert_eq!((special[0], &special[1..]), (256, &tokens[..]));
    assert_eq!(tokenizer.decode(&special).unwrap(), TEXT);
    assert_eq!((tokenizer.vocab_size(), tokenizer.token_id("<s>")), (257, Some(256)));
    assert!(Tokenizer::from_bytes(b"{}").unwrap_err().to_string().starts_with("tokenizer.json"));
}

#[test]
fn a_stream_never_splits_a_character() {
    let tokenizer = tokenizer();
    let mut stream = Detokenizer::new(&tokenizer);
    let (mut text, mut consumed) = (String::new(), 0);
    for byte in TEXT.bytes() {
        text.push_str(&stream.push(byte.into()).unwrap());
        consumed += 1;
        // All characters that are complete by now, and nothing else.
        let complete = (0..=consumed).rev().find(|&i| TEXT.is_char_boundary(i)).unwrap();
        assert_eq!(text, TEXT[..complete]);
    }
    assert_eq!(stream.finish().unwrap(), "");
}

#[test]
fn an_unfinished_character_ends_as_a_replacement() {
    let tokenizer = tokenizer();
    let fox = "🦊".as_bytes();
    let mut stream = Detokenizer::new(&tokenizer);
    assert_eq!(stream.push(b'a'.into()).unwrap(), "a");
    assert_eq!(stream.push(fox[0].into()).unwrap(), "");
    assert_eq!(stream.finish().unwrap(), "\u{FFFD}");
}

#[test]
fn a_stream_continues_a_prompt() {
    let tokenizer = tokenizer();
    let prompt = tokenizer.encode("a long prompt before it", true).unwrap();
    let mut stream = Detokenizer::after(&tokenizer, &prompt);
    let text: String = " goes on".bytes().map(|b| stream.push(b.into()).unwrap()).collect();
    assert_eq!(text, " goes on");
}
