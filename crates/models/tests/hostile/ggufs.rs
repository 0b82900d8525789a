//! GGUF files, single and split.

use std::borrow::Cow;

use unisono_models::Source;

use crate::tiny_gguf::{source_of, tiny_llama};
use crate::writer::{Field, Gguf, string};
use crate::{Random, Tally};

/// The tiny model with a vocabulary, an alignment and rotary factors.
fn base() -> Gguf {
    let mut file = tiny_llama();
    file.field("general.alignment", Field::u32(32));
    file.field("tokenizer.ggml.model", Field::text("none"));
    file.field("tokenizer.ggml.tokens", Field::texts(&["<s>", "a", "b"]));
    file.field("tokenizer.ggml.scores", Field::array(6, 2, &[0; 8]));
    file.field("tokenizer.ggml.eos_token_id", Field::u32(2));
    file.floats("rope_freqs.weight", &[4], &[1.0, 1.0, 2.0, 2.0]);
    file
}

const ABSURD: [u64; 8] = [0, 1, 3, 1 << 20, 1 << 32, 1 << 61, u64::MAX - 31, u64::MAX];

#[test]
fn damaged_headers_and_descriptions() {
    let mut tally = Tally::default();
    let mut check = |what: &str, bytes: Vec<u8>| tally.check(what, bytes.len(), || source_of(bytes));
    check("nothing wrong", base().bytes());
    for magic in [*b"ggml", *b"FUGG", [0; 4], *b"GGU\xff"] {
        check("magic", [&magic[..], &base().bytes()[4..]].concat());
    }
    for version in [0, 1, 4, 3u32.swap_bytes(), u32::MAX] {
        check("version", Gguf { version, ..base() }.bytes());
    }
    for count in ABSURD {
        check("tensor count", Gguf { tensor_count: Some(count), ..base() }.bytes());
        check("pair count", Gguf { field_count: Some(count), ..base() }.bytes());
    }
    for alignment in [0, 3, 31, 1 << 31, u32::MAX] {
        let mut file = base();
        file.field("general.alignment", Field::u32(alignment));
        check("alignment", file.bytes());
    }
    for i in 0..base().tensors.len() {
        let mut with = |what: &str, change: &dyn Fn(&mut Gguf)| {
            let mut file = base();
            change(&mut file);
            check(&format!("{what} of {}", base().tensors[i].name), file.bytes());
        };
        for size in ABSURD {
            with("dimension", &|file| file.tensors[i].dims[0] = size);
            with("offset", &|file| file.tensors[i].offset = Some(size));
        }
        with("offset inside another tensor", &|file| file.tensors[i].offset = Some(32 * (i as u64 % 3 + 1)));
        with("no dimension", &|file| file.tensors[i].dims.clear());
        with("overflow", &|file| file.tensors[i].dims = vec![1 << 40, 1 << 40]);
        with("rank 5", &|file| file.tensors[i].dims.extend([1; 4]));
        with("turned", &|file| file.tensors[i].dims.reverse());
        for kind in [1, 2, 4, 5, 12, 16, 24, 28, 30, 31, 39, 99, u32::MAX] {
            with("type", &|file| file.tensors[i].kind = kind);
        }
        with("same name", &|file| file.tensors[i].name = file.tensors[(i + 1) % 3].name.clone());
        with("empty name", &|file| file.tensors[i].name.clear());
        with("long name", &|file| file.tensors[i].name = "\u{1b}[31m".repeat(1000));
        with("no data", &|file| file.tensors[i].data.clear());
        with("missing", &|file| drop(file.tensors.remove(i)));
    }
    tally.expect(1, 500);
}

#[test]
fn damaged_metadata() {
    let mut tally = Tally::default();
    let mut check = |what: &str, bytes: Vec<u8>| tally.check(what, bytes.len(), || source_of(bytes));
    for i in 0..base().fields.len() {
        let key = base().fields[i].0.clone();
        let mut with = |what: &str, change: &dyn Fn(&mut Gguf)| {
            let mut file = base();
            change(&mut file);
            check(&format!("{what} of {key}"), file.bytes());
        };
        with("missing", &|file| drop(file.fields.remove(i)));
        with("twice", &|file| file.fields.push(file.fields[i].clone()));
        with("empty key", &|file| file.fields[i].0.clear());
        for kind in 0..=13 {
            with("another type", &|file| file.fields[i].1.0 = kind);
        }
        for value in [0, 1, 7, 1 << 16, 1 << 31, u32::MAX] {
            with("value", &|file| file.fields[i].1 = Field::u32(value));
        }
        for value in [0.0, -1.0, 1e-30, f32::MAX, f32::INFINITY, f32::NAN] {
            with("value", &|file| file.fields[i].1 = Field::f32(value));
        }
        with("text", &|file| file.fields[i].1 = Field::text("\u{1b}[31m"));
        with("not UTF-8", &|file| file.fields[i].1 = Field(8, [&string("ab")[..8], &[0xff, 0xfe]].concat()));
        with("short", &|file| file.fields[i].1.1.truncate(3));
        for count in ABSURD {
            with("string length", &|file| file.fields[i].1 = Field(8, count.to_le_bytes().to_vec()));
            with("array length", &|file| file.fields[i].1 = Field::array(4, count, &[0; 8]));
            with("strings", &|file| file.fields[i].1 = Field::array(8, count, &[0; 16]));
            with("bytes", &|file| file.fields[i].1 = Field::array(7, count, &[2; 3]));
        }
        with("array of arrays", &|file| file.fields[i].1 = Field::array(9, 1, &[0; 12]));
    }
    tally.expect(2, 500);
}

#[test]
fn truncated_and_random_damage() {
    let mut tally = Tally::default();
    let whole = base().bytes();
    let data: usize = base().tensors.iter().map(|t| t.data.len().next_multiple_of(32)).sum();
    let head = whole.len() - data;
    let mut random = Random(1);
    for cut in (0..head).step_by(13).chain((head..whole.len()).step_by(997)) {
        tally.check(&format!("cut at {cut}"), cut, || source_of(whole[..cut].to_vec()));
    }
    assert_eq!(tally.loaded, 0);
    for i in 0..1000 {
        let damaged = random.damage(&whole, head);
        tally.check(&format!("random damage {i}"), damaged.len(), || source_of(damaged));
    }
    tally.expect(1, 500);
}

#[test]
fn damaged_splits() {
    let mut tally = Tally::default();
    let halves = || {
        let mut first = base();
        let mut second = Gguf::new();
        second.tensors = first.tensors.split_off(9);
        for (i, part) in [&mut first, &mut second].into_iter().enumerate() {
            part.field("split.no", Field::u32(i as u32)).field("split.count", Field::u32(2));
            part.field("split.tensors.count", Field::u32(22));
        }
        (first, second)
    };
    let mut check = |what: &str, first: Vec<u8>, second: Vec<u8>| {
        let size = first.len() + second.len();
        let files = [("one.gguf", first), ("two.gguf", second)];
        let files = files.into_iter().map(|(name, bytes)| (name.to_owned(), Cow::Owned(bytes))).collect();
        tally.check(what, size, || Source::from_gguf_bytes("tiny", files));
    };
    let (first, second) = halves();
    check("nothing wrong", first.bytes(), second.bytes());
    check("in the other order", second.bytes(), first.bytes());
    check("the first twice", first.bytes(), first.bytes());
    for key in ["split.no", "split.count", "split.tensors.count", "general.architecture", "general.alignment"] {
        for value in [0, 1, 2, 3, 1 << 16, u32::MAX] {
            let (mut first, mut second) = halves();
            second.field(key, Field::u32(value));
            check(key, first.bytes(), second.bytes());
            first.field(key, Field::u32(value));
            check(key, first.bytes(), halves().1.bytes());
        }
        let (mut first, second) = halves();
        first.field(key, Field::text("two"));
        check(key, first.bytes(), second.bytes());
        first.fields.retain(|(other, _)| other != key);
        check(key, first.bytes(), second.bytes());
    }
    let mut random = Random(2);
    for i in 0..100 {
        let (first, second) = halves();
        let damaged = random.damage(&second.bytes(), 600);
        check(&format!("random damage {i}"), first.bytes(), damaged);
    }
    tally.expect(2, 50);
}
