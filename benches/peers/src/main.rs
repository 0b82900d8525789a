//! Times other tensor libraries beside Unisono, in one process, and prints who needs how long.
//!
//! ```text
//! cd benches/peers
//! cargo run --release [--features ggml,burn,onnxruntime] -- [--device cpu|wgpu:0]… [--row TEXT]… [--report DIR]
//! ```
//!
//! **Run it in this folder**: its `.cargo/config.toml` compiles for the processor at hand, which
//! candle asks for and which ggml's build follows. (Unisono, gemm and faer choose their vector code
//! when they run.)
//!
//! Each library is a feature: `candle`, `gemm` and `faer` by default; `ggml` is ggml's CPU backend,
//! compiled from the sources that the crate llama-cpp-sys-2 carries, which takes CMake (Debian's or
//! PyPI's `cmake`), a C++ compiler, and `cargo fetch` before; `burn` is burn on wgpu, for
//! `--device wgpu:N`.
//! `onnxruntime` is ONNX Runtime's CPU provider, which gets a model of one node for each row. Its
//! library is loaded when the program starts (the tests with this feature ask for it as well), and
//! PyPI's wheel carries it:
//!
//! ```text
//! pip download --no-deps onnxruntime && unzip onnxruntime-*.whl 'onnxruntime/capi/*'
//! ORT_DYLIB_PATH=$PWD/onnxruntime/capi/libonnxruntime.so.N cargo run --release --features onnxruntime
//! ```
//!
//! What makes the comparison fair:
//!
//! - The same numbers go into every library, weights byte by byte in their format, and each output
//!   is compared with Unisono's: `‖theirs − ours‖ / ‖ours‖` may be 10⁻⁴ for f32 products and
//!   normalisations, 10⁻² for products and attention in 16 bits, 2·10⁻² for block formats (other libraries make
//!   the activations 8-bit numbers) and 2·10⁻³ for the rest. A library beyond gets no time.
//! - The same number of threads, operands where the device has them, no copy within the time.
//!   Libraries that make a new tensor for each result (candle, burn) make it within the time, as
//!   their users have no other way.
//! - Samples alternate, ours and theirs; the ratio is the median of the ratios of neighbours, so
//!   that a drift of the machine cancels. Threads that would spin (those of ggml and ONNX Runtime)
//!   sleep meanwhile.
//! - A drift cancels, a crowd does not: where other programs take the cores, libraries whose threads
//!   wait for each other in loops (ggml, candle) lose many times more than Unisono, whose threads
//!   claim work as they come. Measure on a machine that does nothing else, or with real-time
//!   priority (`chrt -r 1` before the program, on Linux), and look at the spreads.
//! - Rows called cold rotate over more than 256 MB of weights, or of keys and values, as a decode
//!   step of a model does. A plain loop that reads as much memory is measured in the same way and
//!   says which share of it a row reaches.
//! - Each library is called as its own users are told to: see the module of each.

#[cfg(feature = "burn")]
mod burn;
#[cfg(feature = "candle")]
mod candle;
mod data;
#[cfg(any(feature = "gemm", feature = "faer"))]
mod dense;
#[cfg(feature = "ggml")]
mod ggml;
#[cfg(feature = "ggml")]
mod ggml_sys;
mod measure;
mod memory;
#[cfg(feature = "onnxruntime")]
mod onnx_model;
#[cfg(feature = "onnxruntime")]
mod onnx_rows;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
mod ours;
mod report;
mod row;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use unisono::Device;
use unisono::cpu::{CpuBackend, CpuOptions};

use crate::data::Data;
use crate::measure::{Entry, Plan, measure};
use crate::report::{Line, Measured, Report};
use crate::row::Row;

/// Times other tensor libraries beside Unisono.
#[derive(Parser)]
struct Arguments {
    /// `cpu` or `wgpu:N`; several may be named.
    #[arg(long = "device", default_value = "cpu")]
    devices: Vec<String>,
    /// Rows whose name contains this text; all without.
    #[arg(long = "row")]
    rows: Vec<String>,
    /// Threads of each library; as many as there are cores without.
    #[arg(long)]
    threads: Option<usize>,
    /// Samples of each library in a row.
    #[arg(long, default_value_t = 15)]
    samples: usize,
    /// Seconds for a row, after which no new round of samples begins.
    #[arg(long, default_value_t = 60)]
    limit: u64,
    /// Folder for peers-speed.json and peers-speed.md.
    #[arg(long)]
    report: Option<PathBuf>,
    /// The date that the report carries.
    #[arg(long)]
    date: Option<String>,
}

/// The libraries that are built in, in a row of `device`.
#[allow(clippy::vec_init_then_push, reason = "each library is there by its feature")]
fn peers(row: &Row, data: &Data, device: &Device, threads: usize) -> Result<Vec<Entry>> {
    let mut all: Vec<Entry> = Vec::new();
    if device.info().id == "cpu" {
        #[cfg(feature = "candle")]
        all.push(candle::prepare(row, data)?);
        #[cfg(feature = "gemm")]
        all.extend(dense::gemm(row, data, threads));
        #[cfg(feature = "faer")]
        all.extend(dense::faer(row, data, threads));
        #[cfg(feature = "ggml")]
        all.extend(ggml::prepare(row, data, threads)?);
        #[cfg(feature = "onnxruntime")]
        all.extend(onnxruntime::prepare(row, data, threads)?);
        if row.cold {
            all.push(memory::prepare(row, threads));
        }
    } else {
        #[cfg(feature = "burn")]
        all.push(burn::prepare(row, data, device)?);
    }
    Ok(all)
}

fn versions() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut add = |name: &str, version: &str| all.insert(name.to_owned(), version.to_owned());
    add("unisono", env!("CARGO_PKG_VERSION"));
    #[cfg(feature = "candle")]
    add("candle", "0.11.1");
    #[cfg(feature = "gemm")]
    add("gemm", "0.19.0");
    #[cfg(feature = "faer")]
    add("faer", "0.24.4");
    #[cfg(feature = "ggml")]
    add("ggml", &ggml::version());
    #[cfg(feature = "onnxruntime")]
    add("onnxruntime", &onnxruntime::version());
    #[cfg(feature = "burn")]
    add("burn", "0.22.1");
    all
}

/// `‖a − b‖ / ‖b‖`; infinite where the lengths differ or a number is not finite.
fn difference(a: &[f32], b: &[f32]) -> f64 {
    let square = |v: f64| v * v;
    let apart: f64 = a.iter().zip(b).map(|(&a, &b)| square(f64::from(a) - f64::from(b))).sum();
    let size: f64 = b.iter().map(|&b| square(f64::from(b))).sum();
    let result = (apart / size).sqrt();
    if a.len() == b.len() && result.is_finite() { result } else { f64::INFINITY }
}

/// The system's load of the last minute, where it tells.
fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Runs every library once, times those that agree.
fn compare(row: &Row, device: &Device, cpu: &Device, threads: usize, plan: &Plan) -> Result<Line> {
    let id = &device.info().id;
    let data = Data::new(&row.work, cpu)?;
    let mut ours = ours::prepare(row, &data, device)?;
    let reference = ours.first_run()?.context("Unisono computed nothing")?;
    let bound = row.work.bound();
    let (mut timed, mut places, mut measured) = (Vec::new(), Vec::new(), Vec::new());
    for mut peer in peers(row, &data, device, threads)? {
        let result = peer.first_run().map(|y| y.map(|y| difference(&y, &reference)));
        let (difference, problem) = match result {
            Ok(d) if d.is_none_or(|d| d <= bound) => (d, None),
            Ok(d) => (d, Some(format!("outputs disagree by {:.1e}", d.unwrap_or_default()))),
            Err(e) => (None, Some(format!("failed: {e:#}"))),
        };
        let (library, variant) = (peer.library.to_owned(), peer.variant.clone());
        if problem.is_none() {
            places.push(measured.len());
            timed.push(peer);
        }
        measured.push(Measured { library, variant, difference, problem, timing: None });
    }
    let plan = Plan { copies: row.copies(), ..*plan };
    let mut timings = measure(&mut ours, &mut timed, &plan)?.into_iter();
    let own = timings.next();
    for (place, timing) in places.into_iter().zip(timings) {
        measured[place].timing = Some(timing);
    }
    let (amount, unit) = row.amount();
    let ours = Measured {
        library: ours.library.to_owned(),
        variant: ours.variant.clone(),
        difference: None,
        problem: None,
        timing: own,
    };
    let (id, device, unit) = (row.id.clone(), id.clone(), unit.name().to_owned());
    Ok(Line { id, device, bound, amount, unit, load: load(), ours, peers: measured })
}

/// What the program was compiled for, of what libraries here ask for.
fn compiled_for() -> Vec<String> {
    let all = [
        (cfg!(target_feature = "avx2"), "AVX2"),
        (cfg!(target_feature = "fma"), "FMA"),
        (cfg!(target_feature = "f16c"), "F16C"),
        (cfg!(target_feature = "avx512f"), "AVX-512"),
        (cfg!(target_feature = "neon"), "NEON"),
    ];
    let mut names: Vec<String> = all.iter().filter(|(has, _)| *has).map(|(_, name)| (*name).to_owned()).collect();
    if names.is_empty() {
        eprintln!("note: compiled without the processor's vector extensions, which candle and ggml need to be fast");
        names.push("any processor of its architecture".into());
    }
    names
}

fn run(arguments: &Arguments, threads: usize) -> Result<()> {
    if arguments.samples == 0 || threads == 0 {
        bail!("at least one sample and one thread are needed");
    }
    let plan = Plan { samples: arguments.samples, limit: Duration::from_secs(arguments.limit), copies: 1 };
    let options = CpuOptions { threads: Some(threads), ..CpuOptions::default() };
    let cpu = Device::new(CpuBackend::with_options(options)?);
    let int8 = Device::new(CpuBackend::with_options(CpuOptions { int8_activations: true, ..options })?);
    let mut report = Report {
        date: arguments.date.clone(),
        processor: unisono::cpu::cpu_name(),
        threads,
        compiled_for: compiled_for(),
        devices: BTreeMap::new(),
        versions: versions(),
        samples: plan.samples,
        seconds_per_row: arguments.limit,
        rows: Vec::new(),
    };
    for id in &arguments.devices {
        let (device, mut rows) = match id.as_str() {
            "cpu" => (cpu.clone(), row::cpu()),
            id => (unisono::open(id)?, row::adapter()),
        };
        let info = device.info();
        let name = format!("{} ({}, {} {})", info.name, info.api, info.driver, info.driver_version);
        report.devices.insert(info.id.clone(), name);
        rows.retain(|r| arguments.rows.is_empty() || arguments.rows.iter().any(|text| r.id.contains(text)));
        if rows.is_empty() {
            bail!("no row of {id} is called so");
        }
        for row in rows {
            let ours = if row.int8 { &int8 } else { &device };
            let line = compare(&row, ours, &cpu, threads, &plan).with_context(|| row.id.clone())?;
            drop(writeln!(io::stderr(), "{}", line.short()));
            report.rows.push(line);
            if let Some(folder) = &arguments.report {
                report.write(folder)?;
            }
        }
    }
    match io::stdout().lock().write_all(report.table().as_bytes()) {
        // Nobody reads any more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = arguments.threads.unwrap_or_else(cores);
    for name in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
        // SAFETY: no other thread was started yet.
        unsafe { std::env::set_var(name, threads.to_string()) };
    }
    match run(&arguments, threads) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            drop(writeln!(io::stderr(), "unisono-bench-peers: {e:#}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_compared_by_norm() {
        assert_eq!(difference(&[3.0, 4.0], &[3.0, 4.0]), 0.0);
        assert!((difference(&[3.0, 4.5], &[3.0, 4.0]) - 0.1).abs() < 1e-9);
        assert_eq!(difference(&[3.0], &[3.0, 4.0]), f64::INFINITY);
        assert_eq!(difference(&[3.0, f32::NAN], &[3.0, 4.0]), f64::INFINITY);
    }

    #[test]
    fn names_are_unique_and_cold_rows_leave_the_caches() {
        let (cpu, adapter) = (row::cpu(), row::adapter());
        for rows in [&cpu, &adapter] {
            let names: std::collections::BTreeSet<&str> = rows.iter().map(|r| r.id.as_str()).collect();
            assert_eq!(names.len(), rows.len());
        }
        for row in cpu.iter().filter(|r| r.cold) {
            assert!(row.copies() * row.work.rotating_bytes() > 256 << 20, "{}", row.id);
        }
        assert!(adapter.iter().all(|r| !r.cold));
    }

    #[test]
    fn every_library_agrees_on_small_rows() {
        let open = |int8_activations| {
            Device::new(CpuBackend::with_options(CpuOptions { int8_activations, ..CpuOptions::default() }).unwrap())
        };
        let (cpu, int8) = (open(false), open(true));
        let plan = Plan { samples: 1, limit: Duration::ZERO, copies: 1 };
        for mut row in row::cpu() {
            use crate::row::Work;
            row.cold = false;
            match &mut row.work {
                Work::Product { m, n, k, .. } => (*m, *n, *k) = ((*m).min(8), 64, 256),
                Work::Attention { heads, kv_heads, tokens, kv, .. } => {
                    (*heads, *kv_heads) = (4, *kv_heads * 4 / *heads);
                    (*tokens, *kv) = ((*tokens).min(16), if *tokens == 1 { 64 } else { 16 });
                }
                Work::Norm { shape, .. } => *shape = [2, 3, 256],
                Work::Function { rows, .. } => *rows = 2,
                Work::Rope { tokens, heads, .. } => (*tokens, *heads) = (16, 2),
            }
            let line = compare(&row, if row.int8 { &int8 } else { &cpu }, &cpu, 2, &plan).unwrap();
            assert_eq!(row.int8, line.ours.variant.contains("int8"), "{}", row.id);
            for peer in &line.peers {
                assert!(peer.problem.is_none(), "{}: {} {:?}", row.id, peer.library, peer.problem);
            }
        }
    }
}
