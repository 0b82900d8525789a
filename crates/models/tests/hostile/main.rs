//! Damaged and malicious files: each is loaded or refused with a message that names the file, in
//! little time, without a panic, and without taking more memory than the file's size justifies.

mod configs;
mod ggufs;
mod mapped;
mod meter;
mod tensors;
#[path = "../models/tiny.rs"]
#[allow(dead_code, reason = "shared with the tests of models")]
mod tiny;
#[path = "../models/tiny_gguf.rs"]
mod tiny_gguf;
#[path = "../models/writer.rs"]
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use unisono_models::{Model, ModelOptions, Source};

/// How a file fared.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) loaded: usize,
    pub(crate) refused: usize,
}

impl Tally {
    /// Fails unless at least so many files loaded and more than so many were refused: damage that
    /// the reader does not notice, or files that never load, would say nothing.
    pub(crate) fn expect(&self, loaded: usize, refused: usize) {
        println!("{} files loaded, {} refused", self.loaded, self.refused);
        assert!(self.loaded >= loaded && self.refused > refused);
    }

    /// Opens what `open` gives and loads it. `size` is that of the files together.
    pub(crate) fn check(&mut self, what: &str, size: usize, open: impl FnOnce() -> unisono_core::Result<Source>) {
        let device = tiny::device();
        let options = ModelOptions { context_len: Some(8), ..ModelOptions::default() };
        let start = Instant::now();
        let (bytes, result) = meter::peak(|| {
            let load = || open().and_then(|source| Model::load(&device, &source, &options)).map(drop);
            catch_unwind(AssertUnwindSafe(load)).map(|result| result.map_err(|e| e.to_string()))
        });
        assert!(start.elapsed() < Duration::from_secs(2), "{what}: {:?}", start.elapsed());
        // Maps and strings take a few times the bytes that they are read from; the rest is what a
        // device and a model of no size have.
        let limit = 12 * size + (1 << 18);
        assert!(bytes <= limit, "{what}: {bytes} bytes for files of {size}");
        match result {
            Err(_) => panic!("{what}: it panicked"),
            Ok(Ok(())) => self.loaded += 1,
            Ok(Err(message)) => {
                self.refused += 1;
                let names = ["tiny.gguf", "one.gguf", "two.gguf", ".safetensors", ".json", "context_len"];
                assert!(names.iter().any(|name| message.contains(name)), "{what}: no file is named: {message}");
                assert!(message.len() < 2000 && !message.contains('\u{1b}'), "{what}: {message:?}");
            }
        }
    }
}

/// Numbers by a fixed seed (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }

    /// Flips, overwrites, removes or doubles a few bytes among the first `head`.
    pub(crate) fn damage(&mut self, bytes: &[u8], head: usize) -> Vec<u8> {
        let mut damaged = bytes.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(head.min(damaged.len()));
            match self.below(5) {
                0 => damaged[at] ^= 1 << self.below(8),
                1 => damaged[at] = [0, 0xff, 0x7f, 0x80][self.below(4)],
                2 => drop(damaged.remove(at)),
                3 => damaged.insert(at, self.below(256) as u8),
                _ => {
                    let end = (at + 8).min(damaged.len());
                    damaged[at..end].fill([0, 0xff][self.below(2)]);
                }
            }
        }
        damaged
    }
}
