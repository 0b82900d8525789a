//! A model whose embedding table no single binding of the device can hold: 128,256 tokens of width
//! 1,024 in f16, embedding and output projection at once. `scripts/vocabulary_goldens.py` says how its
//! weights are made and what `transformers` computed.

#[path = "models/mod.rs"]
mod models;

use std::path::Path;
use std::time::Instant;

use models::compare::epsilon;
use models::golden::{Arrays, Sizes};
use models::weights::{Recipe, StoredTensor, TensorRecipe, safetensors};
use serde::Deserialize;
use unisono::Device;
use unisono_models::{Model, ModelOptions, Source};

const NAME: &str = "vocabulary";
const TABLE: &str = "model.embed_tokens.weight";
const NUMBERS: usize = 1 << 21;

#[derive(Deserialize)]
struct Goldens {
    #[serde(flatten)]
    sizes: Sizes,
    /// Which logits of a position are golden.
    rows: Vec<usize>,
    texts: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    tokens: Vec<u32>,
    /// The most likely token after each.
    best: Vec<u32>,
    min_top2_gap: f64,
}

fn read(file: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(NAME).join(file);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The table: rows cut from numbers of the rule.
fn table(recipe: &TensorRecipe) -> StoredTensor {
    let &[vocab, hidden] = recipe.shape.as_slice() else { panic!("the table is no matrix") };
    let numbers = recipe.renamed("table", &[NUMBERS]).make(NAME).bytes;
    let mut bytes = Vec::with_capacity(vocab * hidden * 2);
    for token in 0..vocab {
        let start = token * 7919 % (NUMBERS - hidden);
        bytes.extend_from_slice(&numbers[2 * start..2 * (start + hidden)]);
    }
    StoredTensor { name: TABLE.into(), shape: recipe.shape.clone(), dtype: recipe.dtype.clone(), bytes }
}

fn source() -> Source {
    let recipe: Recipe = serde_json::from_slice(&read("tensors.json")).unwrap();
    let make = |tensor: &TensorRecipe| if tensor.name == TABLE { table(tensor) } else { tensor.make(NAME) };
    let tensors = recipe.make_with(NAME, make);
    let weights = vec![("model.safetensors".to_owned(), safetensors(&tensors).into())];
    Source::from_bytes(NAME, read("config.json"), weights)
}

/// All logits of the golden text on a device.
fn logits(device: &Device, source: &Source, tokens: &[u32]) -> Vec<f32> {
    let model = Model::load(device, source, &ModelOptions::default()).unwrap();
    model.session().unwrap().all_logits(tokens).unwrap()
}

#[test]
fn a_table_over_the_binding_limit_gives_the_golden_logits() {
    let goldens: Goldens = serde_json::from_slice(&read("goldens.json")).unwrap();
    let arrays = Arrays::new(read("goldens.safetensors"));
    let (golden, norms) = (arrays.get("logits"), arrays.get("row_norms"));
    let text = &goldens.texts[0];
    let (epsilon, vocab, rows) = (epsilon(&goldens.sizes), goldens.sizes.vocab, &goldens.rows);
    let largest = f64::from(norms.iter().copied().fold(0.0, f32::max));
    assert!(text.min_top2_gap > 4.0 * epsilon * largest, "the best tokens are certain");
    assert_eq!(golden.len(), rows.len() * text.tokens.len());
    let source = source();
    let bytes = 2 * (vocab * goldens.sizes.hidden) as u64;

    let mut cpu: Option<Vec<f32>> = None;
    let mut windowed = 0;
    let devices = unisono::devices();
    for summary in &devices {
        let device = summary.open().unwrap();
        let limit = device.info().limits.get("max-storage-buffer-binding-size").copied();
        windowed += usize::from(limit.is_some_and(|limit| limit < bytes));
        let start = Instant::now();
        let seen = logits(&device, &source, &text.tokens);
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(seen.len(), text.tokens.len() * vocab, "{}", summary.id);

        let mut ratio = 0f64;
        for (position, golden) in golden.chunks(rows.len()).enumerate() {
            let seen = &seen[position * vocab..(position + 1) * vocab];
            for ((&row, &golden), &norm) in rows.iter().zip(golden).zip(&norms) {
                let off = (f64::from(seen[row]) - f64::from(golden)).abs() / (epsilon * f64::from(norm));
                assert!(off <= 1.0, "{}: token {row} at {position}: {} and not {golden}", summary.id, seen[row]);
                ratio = ratio.max(off);
            }
            let best = (0..vocab).reduce(|best, i| if seen[i] > seen[best] { i } else { best }).unwrap();
            assert_eq!(best as u32, text.best[position], "{}: best token at {position}", summary.id);
        }
        // Rows that are not golden must be those of the CPU: both are off by a bound at most, and no
        // row is twice as long as the longest golden one.
        let cpu = cpu.get_or_insert_with(|| seen.clone());
        let most = 4.0 * epsilon * largest;
        let apart = cpu.iter().zip(&seen).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()).fold(0.0, f64::max);
        assert!(apart <= most, "{}: {apart} from the CPU, {most} is allowed", summary.id);
        println!(
            "{}: {} MiB a binding, table of {} MiB: error over bound {ratio:.3}, {apart:.1e} from the CPU, {seconds:.1} s",
            summary.id,
            limit.map_or("any".into(), |limit| (limit >> 20).to_string()),
            bytes >> 20,
        );
    }
    println!("{windowed} of {} devices need more than one binding", devices.len());
}
