//! `config.json`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use unisono_models::ModelConfig;

fuzz_target!(|bytes: &[u8]| {
    let _ = ModelConfig::from_json(bytes);
});
