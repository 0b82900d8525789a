//! Safetensors files, single and with an index.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use unisono_models::Source;
use unisono_models::safetensors::Index;

use crate::{Random, Tally, tiny};

/// The header of the tiny model and its data.
fn parts() -> (Map<String, Value>, Vec<u8>) {
    let whole = tiny::safetensors(&tiny::tensors());
    let length = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    (serde_json::from_slice(&whole[8..8 + length]).unwrap(), whole[8 + length..].to_vec())
}

fn check(tally: &mut Tally, what: &str, bytes: Vec<u8>) {
    tally.check(what, bytes.len(), || Ok(tiny::source_of(bytes)));
}

#[test]
fn damaged_headers() {
    let mut tally = Tally::default();
    let (header, data) = parts();
    let file = |header: &Map<String, Value>| tiny::file(Value::Object(header.clone()).to_string().as_bytes(), &data);
    check(&mut tally, "nothing wrong", file(&header));
    let sizes =
        [json!(0), json!(1), json!(-1), json!(1u64 << 40), json!(u64::MAX), json!(1e300), json!("1"), Value::Null];
    for name in header.keys() {
        let mut with = |what: &str, field: &str, value: Value| {
            let mut header = header.clone();
            header[name][field] = value;
            check(&mut tally, &format!("{what} of {name}"), file(&header));
        };
        for dtype in ["F32", "BF16", "U8", "I64", "F64", "BOOL", "F4", "F8_E4M3", "F99", "", "f16"] {
            with("dtype", "dtype", json!(dtype));
        }
        for size in &sizes {
            with("size", "shape", json!([size, 24]));
            with("shape", "shape", size.clone());
            with("start", "data_offsets", json!([size, data.len()]));
            with("end", "data_offsets", json!([0, size]));
        }
        with("rank", "shape", json!(vec![1; 9]));
        with("ranks", "shape", json!(vec![1; 10_000]));
        with("three offsets", "data_offsets", json!([0, 1, 2]));
        let mut without = header.clone();
        let entry = without.remove(name).unwrap();
        check(&mut tally, &format!("without {name}"), file(&without));
        // Twice, which no map can hold.
        let text = Value::Object(header.clone()).to_string();
        let twice = format!("{{{}:{entry},{}", json!(name), &text[1..]);
        check(&mut tally, &format!("{name} twice"), tiny::file(twice.as_bytes(), &data));
    }
    tally.expect(1, 500);
}

#[test]
fn truncated_and_random_damage() {
    let mut tally = Tally::default();
    let whole = tiny::safetensors(&tiny::tensors());
    let head = whole.len() - parts().1.len();
    for length in [0, 1, 7, 8, head as u64, whole.len() as u64, 1 << 30, 1 << 62, u64::MAX] {
        check(&mut tally, "header length", [&length.to_le_bytes()[..], &whole[8..]].concat());
    }
    for cut in (0..whole.len()).step_by(101) {
        check(&mut tally, &format!("cut at {cut}"), whole[..cut].to_vec());
    }
    assert_eq!(tally.loaded, 0);
    for filler in ["[", "{\"a\":", "1,", "\"", "[[1],"] {
        let text = filler.repeat(20_000);
        check(&mut tally, filler, tiny::file(text.as_bytes(), &[]));
        let shape = format!("{{\"a\":{{\"dtype\":\"F16\",\"data_offsets\":[0,0],\"shape\":[{text}");
        check(&mut tally, filler, tiny::file(shape.as_bytes(), &[]));
    }
    let mut random = Random(3);
    for i in 0..500 {
        check(&mut tally, &format!("random damage {i}"), random.damage(&whole, head));
    }
    tally.expect(0, 500);
}

#[test]
fn damaged_indices() {
    let mut tally = Tally::default();
    let mut first = tiny::tensors();
    let second = first.split_off("model.layers.1");
    let good: Map<String, Value> = (first.keys().map(|name| (name.clone(), json!("a.safetensors"))))
        .chain(second.keys().map(|name| (name.clone(), json!("b.safetensors"))))
        .collect();
    let files = [("a.safetensors", tiny::safetensors(&first)), ("b.safetensors", tiny::safetensors(&second))];
    let mut check = |what: &str, index: String| {
        let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), Cow::Owned(bytes.clone()))).collect();
        let size = index.len() + files_size(&files);
        tally.check(what, size, || {
            let index = Index::parse("model.safetensors.index.json", index.as_bytes())?;
            Ok(Source::from_bytes("tiny", tiny::config_json("").into_bytes(), files).with_index(index))
        });
    };
    check("nothing wrong", json!({"weight_map": good}).to_string());
    for name in good.keys() {
        for file in ["a.safetensors", "b.safetensors", "c.safetensors"] {
            let mut map = good.clone();
            map[name] = json!(file);
            check(&format!("{name} in {file}"), json!({"weight_map": map}).to_string());
        }
        for file in ["../a.safetensors", "/etc/passwd", "", ".", "..", "a\\b", "C:a", "a\u{0}", "a/../b"] {
            let mut map = good.clone();
            map[name] = json!(file);
            check(&format!("{name} in {file}"), json!({"weight_map": map}).to_string());
        }
        let twice = format!("{{\"weight_map\":{{{}:\"a.safetensors\",{}}}", json!(name), &json!(good).to_string()[1..]);
        check(&format!("{name} twice"), twice);
    }
    let mut map = good.clone();
    map.insert("absent".into(), json!("a.safetensors"));
    check("an absent tensor", json!({"weight_map": map}).to_string());
    for index in
        ["", "{}", "[]", "null", r#"{"weight_map": []}"#, r#"{"weight_map": {"a": 1}}"#, r#"{"weight_map": null}"#]
    {
        check(index, index.to_owned());
    }
    let mut random = Random(4);
    let text = json!({"weight_map": good}).to_string().into_bytes();
    for i in 0..200 {
        let damaged = String::from_utf8_lossy(&random.damage(&text, text.len())).into_owned();
        check(&format!("random damage {i}"), damaged);
    }
    tally.expect(2, 200);
}

fn files_size(files: &Vec<(String, Cow<'static, [u8]>)>) -> usize {
    files.iter().map(|(_, bytes)| bytes.len()).sum()
}
