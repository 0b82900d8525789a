//! The vocabulary of a GGUF file: the tokenizer that is made from it, texts that it cuts, tokens that
//! it decodes. What stands behind the bytes `TEXT` is a text, too.
#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use unisono_models::{Detokenizer, Source, Tokenizer};

const TEXTS: [&str; 4] = ["", " the fox's  1234 <|eot|>\n\n", "<s>▁a\t##b [CLS]</s>", "é東京👍🏽\u{301}\0"];

fuzz_target!(|bytes: &[u8]| {
    let cut = bytes.windows(4).position(|w| w == b"TEXT");
    let (file, text) = cut.map_or((bytes, &[][..]), |at| (&bytes[..at], &bytes[at + 4..]));
    let Ok(source) = Source::from_gguf_bytes("fuzz", vec![("fuzz.gguf".into(), Cow::Owned(file.to_vec()))]) else {
        return;
    };
    let Some(vocabulary) = source.vocabulary() else { return };
    let Ok(tokenizer) = Tokenizer::from_gguf(vocabulary) else { return };
    // What no token spells becomes this one: by its number, its type or its name.
    let unknown = |id: u32| {
        let i = id as usize;
        vocabulary.unk_id == Some(id) || vocabulary.types.get(i) == Some(&2) || vocabulary.tokens[i] == "[UNK]"
    };
    let own = String::from_utf8_lossy(text);
    for text in TEXTS.into_iter().chain([&*own]) {
        for special in [false, true] {
            // A vocabulary need not spell every text.
            let Ok(tokens) = tokenizer.encode(text, special) else { continue };
            assert!(tokens.iter().all(|&id| (id as usize) < tokenizer.vocab_size()), "a token does not exist");
            let whole = tokenizer.decode(&tokens).expect("what was encoded decodes");
            let mut stream = Detokenizer::new(&tokenizer);
            let mut streamed = String::new();
            for &id in &tokens {
                streamed += &stream.push(id).expect("a token decodes");
            }
            streamed += &stream.finish().expect("a stream ends");
            assert_eq!(streamed, whole, "a stream decodes to another text");
        }
        let plain = tokenizer.encode_text(text, false).unwrap_or_default();
        let special = plain.iter().find(|&&id| tokenizer.is_special(id) && !unknown(id));
        assert_eq!(special, None, "text became a special token");
    }
    let ids: Vec<u32> = own.bytes().map(u32::from).chain([u32::MAX]).collect();
    let _ = tokenizer.decode_with_special(&ids);
});
