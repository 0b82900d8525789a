//! The header of a safetensors file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use unisono_models::safetensors::Header;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(header) = Header::parse("fuzz.safetensors", bytes) {
        let tensors: usize = header.tensors().values().map(|info| bytes[info.bytes.clone()].len()).sum();
        assert!(tensors + 8 <= bytes.len(), "tensors overlap");
    }
});
