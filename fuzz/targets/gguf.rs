//! A GGUF file: its header, its translation to a configuration, its vocabulary. A model in two
//! parts too, where the input has the bytes `SPLIT` between them.
#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use unisono_models::Source;
use unisono_models::gguf::File;

fuzz_target!(|bytes: &[u8]| {
    let cut = bytes.windows(5).position(|w| w == b"SPLIT");
    let parts = match cut {
        Some(at) => vec![&bytes[..at], &bytes[at + 5..]],
        None => vec![bytes],
    };
    for part in &parts {
        if let Ok(file) = File::parse("fuzz.gguf", part) {
            for info in file.tensors().values() {
                assert!(part.get(info.bytes.clone()).is_some(), "a tensor lies outside of the file");
            }
        }
    }
    let parts = parts.into_iter().zip(["1.gguf", "2.gguf"]);
    let parts = parts.map(|(part, name)| (name.to_owned(), Cow::Owned(part.to_vec()))).collect();
    if let Ok(source) = Source::from_gguf_bytes("fuzz", parts) {
        source.tensors().expect("a checked model lists its tensors");
        // The configuration may still be refused.
        let _ = source.config();
    }
});
