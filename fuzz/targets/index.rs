//! The index of a checkpoint in several files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use unisono_models::safetensors::Index;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(index) = Index::parse("index.json", bytes) {
        for file in index.files() {
            let path = std::path::Path::new(file);
            assert_eq!(path.file_name(), Some(path.as_os_str()), "{file:?} leaves the directory");
        }
    }
});
