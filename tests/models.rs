//! Every architecture on every device of this machine against `transformers`: one test per device
//! and golden model, named like `wgpu:0::gemma2-heads32`, and tests of the bound itself.
//!
//! `cargo test -p unisono-tests --test models -- --parity [--device NAME]…` prints a table of the errors
//! instead.
//!
//! A machine without any adapter fails `adapter_present`, as in the conformance tests.

#[path = "models/mod.rs"]
mod models;
#[path = "models/mutations.rs"]
mod mutations;
#[path = "models/parity.rs"]
mod parity;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Failed, Trial};
use models::compare::{Outcome, run, run_source};
use models::golden::{Golden, Weights, names};
use models::weights::safetensors;
use unisono::{DType, Device, DeviceKind, DeviceSummary, NO_ADAPTER_HELP};
use unisono_models::Source;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--parity") {
        return parity::print(&arguments[1..]);
    }
    let devices = unisono::devices();
    let has_adapter = devices.iter().any(|d| d.kind != DeviceKind::Cpu);
    let mut trials = vec![
        Trial::test("adapter_present", move || adapter_present(has_adapter)),
        Trial::test("every_architecture_has_goldens", every_architecture_has_goldens),
        Trial::test("every_block_format_has_a_golden", every_block_format_has_a_golden),
        Trial::test("greedy_tokens_have_a_margin", greedy_tokens_have_a_margin),
        Trial::test("a_directory_gives_the_same_as_memory", a_directory_gives_the_same_as_memory),
    ];
    trials.extend(mutations::trials());
    for summary in devices {
        let opened = Arc::new(Opened { summary, device: OnceLock::new() });
        for name in names() {
            let opened = opened.clone();
            trials.push(Trial::test(format!("{}::{name}", opened.summary.id), move || agrees(&opened, &name)));
        }
    }
    unisono_conformance::libtest::run(trials)
}

fn adapter_present(present: bool) -> Result<(), Failed> {
    if present || std::env::var("UNISONO_ALLOW_NO_ADAPTER").is_ok_and(|v| v == "1") {
        return Ok(());
    }
    Err(format!("{NO_ADAPTER_HELP} Set UNISONO_ALLOW_NO_ADAPTER=1 to test the CPU alone.").into())
}

/// A device that the first test opens.
struct Opened {
    summary: DeviceSummary,
    device: OnceLock<Device>,
}

impl Opened {
    fn device(&self) -> &Device {
        self.device.get_or_init(|| self.summary.open().expect("the device opens"))
    }
}

fn agrees(opened: &Opened, name: &str) -> Result<(), Failed> {
    let golden = Golden::open(name);
    let outcome = run(opened.device(), &golden)?;
    println!("{}::{name}: {outcome:?}", opened.summary.id);
    if outcome.passed() { Ok(()) } else { Err(format!("{outcome:?}").into()) }
}

fn every_architecture_has_goldens() -> Result<(), Failed> {
    let goldens: Vec<Golden> = names().iter().map(|name| Golden::open(name)).collect();
    for kind in ["llama", "mistral", "mixtral", "qwen2", "qwen3", "gemma2", "gemma3_text", "phi3", "gpt2", "bert"] {
        let count = goldens.iter().filter(|golden| golden.architecture() == kind).count();
        if count < 3 {
            return Err(format!("{kind} has {count} configurations").into());
        }
    }
    Ok(())
}

fn every_block_format_has_a_golden() -> Result<(), Failed> {
    let goldens: Vec<Golden> = names().iter().map(|name| Golden::open(name)).collect();
    let recipes = goldens.iter().filter_map(|golden| match &golden.weights {
        Weights::Gguf(_, recipe) => Some(recipe),
        Weights::Tensors(_) | Weights::Stored(_) => None,
    });
    let kinds: BTreeSet<String> = recipes.flat_map(|recipe| recipe.kinds().map(str::to_lowercase)).collect();
    let missing: Vec<&str> =
        DType::BLOCKS.iter().map(|dtype| dtype.name()).filter(|&name| !kinds.contains(name)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("no golden has {}", missing.join(", ")).into()) }
}

/// Most texts are certain in every token, or equal tokens would prove little.
fn greedy_tokens_have_a_margin() -> Result<(), Failed> {
    let (mut certain, mut all) = (0, 0);
    for golden in names().iter().map(|name| Golden::open(name)).filter(|golden| !golden.is_encoder()) {
        let largest = golden.bounds().into_iter().fold(0.0, f64::max);
        all += golden.texts.len();
        certain += golden.texts.iter().filter(|text| text.min_top2_gap > 2.0 * largest).count();
    }
    println!("{certain} of {all} texts");
    if certain * 10 >= all * 9 { Ok(()) } else { Err(format!("{certain} of {all} texts").into()) }
}

/// The same model from files: one file, and shards with an index.
fn a_directory_gives_the_same_as_memory() -> Result<(), Failed> {
    let device = unisono::open("cpu")?;
    for (name, shards) in [("llama2-tied", 1), ("gpt2-heads80-plain", 1), ("mixtral-4-experts", 3)] {
        let golden = Golden::open(&format!("goldens/{name}"));
        let folder = std::env::temp_dir().join(format!("unisono-models-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("config.json"), golden.config.to_string())?;
        let tensors = golden.tensors();
        if shards == 1 {
            std::fs::write(folder.join("model.safetensors"), safetensors(&tensors))?;
        } else {
            let mut map = serde_json::Map::new();
            for (i, part) in tensors.chunks(tensors.len().div_ceil(shards)).enumerate() {
                let file = format!("model-{:05}-of-{shards:05}.safetensors", i + 1);
                std::fs::write(folder.join(&file), safetensors(part))?;
                map.extend(part.iter().map(|tensor| (tensor.name.clone(), file.clone().into())));
            }
            let index = serde_json::json!({"metadata": {}, "weight_map": map});
            std::fs::write(folder.join("model.safetensors.index.json"), index.to_string())?;
        }
        let outcome = Source::from_dir(&folder).and_then(|source| run_source(&device, &golden, &source));
        std::fs::remove_dir_all(&folder)?;
        let outcome: Outcome = outcome?;
        if !outcome.passed() {
            return Err(format!("{name}: {outcome:?}").into());
        }
    }
    Ok(())
}
