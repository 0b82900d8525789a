//! `unisono bench model`: a whole model, prompt and decode, with what the host spends on it.
//!
//! Kernels can be fast and an engine slow: between them lie recording, submission and waiting. So
//! besides tokens per second this tells the processor time of the calling thread for each token and
//! for each kernel launch, and the memory.

use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use cpu_time::ThreadTime;
use serde::Serialize;
use unisono::{DType, Device, DeviceKind};
use unisono_bench::stats::{Summary, median};
use unisono_models::{Model, ModelOptions, Session, Shape, Source};

use crate::output::{self, Usage};
use crate::{Outcome, check, load, numbers};

/// Arguments of `bench model`.
#[derive(Args)]
pub(crate) struct ModelBenchArguments {
    /// A GGUF or safetensors file, or a directory in the layout of Hugging Face.
    #[arg(long, value_name = "PATH", conflicts_with = "shape")]
    model: Option<std::path::PathBuf>,
    /// Random weights of a known shape: 110m, 1b, 3b, 7b, 8b or 70b.
    #[arg(long, value_name = "NAME", default_value = "110m")]
    shape: String,
    /// Element type of random weights, block formats included.
    #[arg(long, value_name = "TYPE", default_value = "q4_0", conflicts_with = "model")]
    dtype: String,
    /// Device to measure: an id, a vendor, an API, part of a name, or `auto`. Repeatable; every
    /// device of the machine if absent.
    #[arg(long = "device", value_name = "NAME")]
    devices: Vec<String>,
    /// Tokens of the prompt.
    #[arg(long, value_name = "TOKENS", default_value_t = 128, value_parser = numbers::whole(1..=usize::MAX))]
    prompt: usize,
    /// Tokens decoded after it.
    #[arg(long, value_name = "TOKENS", default_value_t = 32, value_parser = numbers::whole(1..=usize::MAX))]
    decode: usize,
    /// How often both are repeated.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = numbers::whole(1..=usize::MAX))]
    runs: usize,
    /// Element type of the key-value cache: f32, f16, bf16 or q8_0.
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = load::cache_dtype)]
    cache_dtype: DType,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What was measured on one device. Times in seconds, memory in bytes.
#[derive(Serialize)]
struct ModelFigures {
    model: String,
    parameters: u64,
    device_id: String,
    device: String,
    api: String,
    profile: String,
    numeric_modes: Vec<String>,
    prompt_tokens: usize,
    decode_tokens: usize,
    runs: usize,
    load_seconds: f64,
    /// From the start of the first prompt on a loaded model, kernels compiled on the way.
    first_token_cold_seconds: f64,
    /// The median of later prompts.
    first_token_seconds: f64,
    prompt_tokens_per_second: f64,
    /// Of single steps: the median, and what a fifth of them do not reach or exceed.
    decode_tokens_per_second: f64,
    decode_tokens_per_second_p20: f64,
    decode_tokens_per_second_p80: f64,
    /// Processor time of the calling thread for a decoded token. `None` where that thread computes.
    host_seconds_per_token: Option<f64>,
    /// The same for each kernel launch.
    host_seconds_per_launch: Option<f64>,
    launches_per_token: f64,
    submissions_per_token: f64,
    device_bytes_peak: u64,
    /// The largest resident set of the process so far, where the system tells.
    process_bytes_peak: Option<u64>,
}

pub(super) fn run(arguments: &ModelBenchArguments) -> Result<Outcome> {
    let source = source(arguments)?;
    let mut all = Vec::new();
    for summary in check::chosen(&arguments.devices)? {
        let device = summary.open()?;
        all.push(measure(&device, &source, arguments).with_context(|| format!("{} failed", summary.id))?);
    }
    if arguments.json {
        outln!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(Outcome::Passed);
    }
    outln!("{}", table(&all));
    outln!(
        "{}: {} prompt tokens, then {} decoded, {} times; medians",
        source.name(),
        arguments.prompt,
        arguments.decode,
        arguments.runs
    );
    Ok(Outcome::Passed)
}

fn source(arguments: &ModelBenchArguments) -> Result<Source> {
    if let Some(path) = &arguments.model {
        return load::open(path);
    }
    let usage = |e: unisono::Error| Usage(e.message().to_owned());
    let shape = Shape::by_name(&arguments.shape).map_err(usage)?;
    let dtype = DType::from_name(&arguments.dtype)
        .ok_or_else(|| Usage(format!("there is no element type {:?}", arguments.dtype)))?;
    Ok(shape.random_source(dtype, 1).map_err(usage)?)
}

fn measure(device: &Device, source: &Source, arguments: &ModelBenchArguments) -> Result<ModelFigures> {
    let context_len = arguments.prompt + arguments.decode + 1;
    let options =
        ModelOptions { context_len: Some(context_len), cache_dtype: arguments.cache_dtype, ..ModelOptions::default() };
    let bar = output::loading(source.name());
    let start = Instant::now();
    let model = Model::load_with_progress(device, source, &options, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    let load_seconds = start.elapsed().as_secs_f64();
    crate::load::notes(model.notes());
    let vocab = model.config().vocab_size as u64;
    let prompt: Vec<u32> = (0..arguments.prompt as u64).map(|i| (i * 7919 % vocab) as u32).collect();

    let bar = output::progress(&format!("{} on {}", source.name(), device.info().id), arguments.json);
    bar.set_length(arguments.runs as u64);
    bar.set_message("the first prompt");
    let mut session = model.session()?;
    let start = Instant::now();
    let mut token = session.prefill_token(&prompt)?;
    let first_token_cold_seconds = start.elapsed().as_secs_f64();
    // The first steps compile what a single token needs.
    for _ in 0..2.min(arguments.decode) {
        token = session.decode_token(token)?;
    }

    let mut prompts = Vec::new();
    let mut steps = Vec::new();
    let mut decode = Decoded::default();
    for _ in 0..arguments.runs {
        session.reset();
        let start = Instant::now();
        let token = session.prefill_token(&prompt)?;
        prompts.push(start.elapsed().as_secs_f64());
        bar.set_message("decode");
        decode.run(&mut session, token, arguments.decode, &mut steps)?;
        bar.inc(1);
        bar.set_message("prompt");
    }
    bar.finish_and_clear();
    let after = device.counters();
    let info = device.info();
    let first_token_seconds = median(&prompts).context("no prompt ran")?;
    let step = Summary::of(&steps).context("no token was decoded")?;
    let per_token = |n: u64| n as f64 / steps.len() as f64;
    // The CPU backend computes on the calling thread, too.
    let host = (info.kind != DeviceKind::Cpu).then_some(decode.host_seconds);
    Ok(ModelFigures {
        model: source.name().to_owned(),
        parameters: model.parameters(),
        device_id: info.id.clone(),
        device: info.name.clone(),
        api: info.api.clone(),
        profile: info.profile.clone(),
        numeric_modes: info.numeric_modes.iter().map(|mode| mode.name().to_owned()).collect(),
        prompt_tokens: arguments.prompt,
        decode_tokens: arguments.decode,
        runs: arguments.runs,
        load_seconds,
        first_token_cold_seconds,
        first_token_seconds,
        prompt_tokens_per_second: arguments.prompt as f64 / first_token_seconds,
        decode_tokens_per_second: 1.0 / step.median,
        decode_tokens_per_second_p20: 1.0 / step.p80,
        decode_tokens_per_second_p80: 1.0 / step.p20,
        host_seconds_per_token: host.map(|seconds| seconds / steps.len() as f64),
        host_seconds_per_launch: host.map(|seconds| seconds / decode.launches.max(1) as f64),
        launches_per_token: per_token(decode.launches),
        submissions_per_token: per_token(decode.submissions),
        device_bytes_peak: after.bytes_peak,
        process_bytes_peak: process_bytes_peak(),
    })
}

/// What all decoded tokens cost together.
#[derive(Default)]
struct Decoded {
    host_seconds: f64,
    launches: u64,
    submissions: u64,
}

impl Decoded {
    fn run(&mut self, session: &mut Session, first: u32, tokens: usize, steps: &mut Vec<f64>) -> Result<()> {
        let before = session.model().device().counters();
        let thread = ThreadTime::now();
        let mut token = first;
        for _ in 0..tokens {
            let start = Instant::now();
            token = session.decode_token(token)?;
            steps.push(start.elapsed().as_secs_f64());
        }
        self.host_seconds += thread.elapsed().as_secs_f64();
        let after = session.model().device().counters();
        self.launches += after.dispatches - before.dispatches;
        self.submissions += after.submissions - before.submissions;
        Ok(())
    }
}

/// The high-water mark of the resident set, in bytes.
fn process_bytes_peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

fn table(all: &[ModelFigures]) -> comfy_table::Table {
    let mut table = output::table(&[
        "device",
        "API",
        "load, s",
        "first token, s (cold)",
        "prompt, tokens/s",
        "decode, tokens/s (p20–p80)",
        "host, µs/token",
        "host, µs/launch",
        "launches/token",
        "memory, MiB (process)",
    ]);
    let microseconds = |seconds: Option<f64>| seconds.map_or("—".to_owned(), |s| format!("{:.1}", s * 1e6));
    let mib = |bytes: u64| format!("{:.0}", bytes as f64 / f64::from(1 << 20));
    for f in all {
        table.add_row([
            output::with_modes(&format!("{} {}", f.device_id, f.device), &f.numeric_modes),
            f.api.clone(),
            format!("{:.2}", f.load_seconds),
            format!("{:.3} ({:.3})", f.first_token_seconds, f.first_token_cold_seconds),
            format!("{:.1}", f.prompt_tokens_per_second),
            format!(
                "{:.1} ({:.1}–{:.1})",
                f.decode_tokens_per_second, f.decode_tokens_per_second_p20, f.decode_tokens_per_second_p80
            ),
            microseconds(f.host_seconds_per_token),
            microseconds(f.host_seconds_per_launch),
            format!("{:.0}", f.launches_per_token),
            format!("{} ({})", mib(f.device_bytes_peak), f.process_bytes_peak.map_or("—".to_owned(), mib)),
        ]);
    }
    table
}
