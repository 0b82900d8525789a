//! `unisono bench`: operations, timed and checked.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use unisono::{Backend, Device, DeviceSummary, ErrorKind};
use unisono_bench::cases::{self, Item, Selection};
use unisono_bench::data::Patterns;
use unisono_bench::report::{DeviceBench, Doubts, Row};
use unisono_bench::run::{Event, Options, run as run_items};
use unisono_bench::timing::Effort;

use super::{files, tables};
use crate::output::{self, Usage};
use crate::{Outcome, check, numbers, out};

/// Arguments of `bench` itself.
#[derive(Args)]
pub(crate) struct RowArguments {
    /// Device to measure: an id, a vendor, an API, part of a name, or `auto`. Repeatable; every
    /// device of the machine if absent.
    #[arg(long = "device", value_name = "NAME")]
    devices: Vec<String>,
    /// Operations of a kind of model: llama-decode, llama-prefill, bert or moe. Repeatable; the two of
    /// a Llama if absent.
    #[arg(long = "set", value_name = "NAME")]
    sets: Vec<String>,
    /// Shape of the model: 1b, 7b, 8b, 70b (Llama), mini, base, large (BERT), 30b-a3b, 20b, 8x7b
    /// (experts). Repeatable; the smallest of each set if absent.
    #[arg(long = "shape", value_name = "NAME")]
    shapes: Vec<String>,
    /// Type of weights and caches, or `all`. Repeatable; f32, f16, q4_0, q4_k and q8_0 if absent.
    #[arg(long = "dtype", value_name = "TYPE")]
    dtypes: Vec<String>,
    /// Time the cases of the conformance suite with this id, prefix or glob instead of a set (or
    /// beside one that is named). Repeatable.
    #[arg(long = "case", value_name = "ID|GLOB")]
    cases: Vec<String>,
    /// Tokens of a prompt.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = numbers::whole(1..=usize::MAX))]
    tokens: usize,
    /// Only operations whose id has this part. Repeatable.
    #[arg(long = "only", value_name = "PART")]
    only: Vec<String>,
    /// Samples of a row.
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = numbers::whole(1..=usize::MAX))]
    samples: usize,
    /// How often all rows are visited; the samples of a row are dealt out over the rounds.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = numbers::whole(1..=usize::MAX))]
    rounds: usize,
    /// Seconds for the samples of a row; a row that runs out of them has fewer, and says so.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    time_limit: f64,
    /// Seconds after which a row is given up: it is skipped where its runs would take longer.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    row_limit: f64,
    /// Leave weights where the caches hold them, instead of rotating over copies.
    #[arg(long)]
    warm: bool,
    /// Time every kernel that could serve an operation, and show what the selector's choice loses.
    #[arg(long)]
    candidates: bool,
    /// Force a vendor's tuning profile on adapters, as UNISONO_PROFILE does.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Write bench.json, bench.csv and bench.html to this directory, anew after every row.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &RowArguments) -> Result<Outcome> {
    let options = options(arguments)?;
    let mut patterns = Patterns::new();
    let mut items = cases::items(&selection(arguments)?, &mut patterns).map_err(|e| Usage(e.to_string()))?;
    if items.is_empty() {
        return Err(Usage("no operation has a weight or cache of this type in this shape".to_owned()).into());
    }
    if !arguments.only.is_empty() {
        items.retain(|item| arguments.only.iter().any(|part| item.id.contains(part)));
        if items.is_empty() {
            return Err(Usage(format!("--only {}: no operation has it in its id", arguments.only.join(", "))).into());
        }
    }
    let mut done = Vec::new();
    for summary in check::chosen(&arguments.devices)? {
        let device = open(&summary, arguments.profile.as_deref())?;
        let bench = measure(&summary, &device, &items, &mut patterns, &options, (arguments, &done))?;
        if !arguments.json {
            print(&summary, &bench, arguments.candidates);
        }
        done.push(bench);
        if arguments.report.is_none() {
            out::wanted()?;
        }
    }
    let report = files::assemble(done);
    if arguments.json {
        outln!("{}", report.to_json()?);
    }
    if let Some(directory) = &arguments.report {
        files::write(&report, directory)?;
        files::announce(directory);
    }
    Ok(if report.passed() { Outcome::Passed } else { Outcome::Failed })
}

fn options(arguments: &RowArguments) -> Result<Options> {
    let seconds = |name: &str, seconds: f64| {
        Duration::try_from_secs_f64(seconds).map_err(|_| Usage(format!("{name} {seconds}: seconds from 0 up")))
    };
    let limit = seconds("--time-limit", arguments.time_limit)?;
    Ok(Options {
        effort: Effort { samples: arguments.samples, limit, ..Effort::default() },
        rounds: arguments.rounds,
        row_limit: seconds("--row-limit", arguments.row_limit)?,
        candidates: arguments.candidates,
        warm: arguments.warm,
        ceilings: None,
    })
}

fn selection(arguments: &RowArguments) -> Result<Selection> {
    let mut dtypes = Vec::new();
    for name in &arguments.dtypes {
        if name == "all" {
            dtypes.extend(cases::WEIGHTS);
            continue;
        }
        dtypes.push(unisono::DType::from_name(name).ok_or_else(|| {
            let known: Vec<&str> = cases::WEIGHTS.iter().map(|d| d.name()).collect();
            Usage(format!("no element type {name}; there are: all, {}", known.join(", ")))
        })?);
    }
    Ok(Selection {
        sets: arguments.sets.clone(),
        shapes: arguments.shapes.clone(),
        dtypes,
        cases: arguments.cases.clone(),
        tokens: Some(arguments.tokens),
    })
}

/// Opens a device, with a profile where one is asked for and the device has profiles.
fn open(summary: &DeviceSummary, profile: Option<&str>) -> Result<Device> {
    let Some(profile) = profile.filter(|_| summary.id.starts_with("wgpu:")) else { return Ok(summary.open()?) };
    let options = unisono::wgpu::WgpuOptions { profile: Some(profile.to_lowercase()), ..Default::default() };
    match unisono::wgpu::open(&summary.id, &options) {
        Ok(backend) => Ok(Device::new(backend)),
        Err(e) if e.kind() == ErrorKind::Invalid => Err(Usage(format!("--profile {profile}: {e}")).into()),
        Err(e) => Err(e.into()),
    }
}

/// Measures one device. Each row is printed to standard error as it is measured, and the report is
/// written after each: what is interrupted has lost nothing.
fn measure(
    summary: &DeviceSummary,
    device: &Device,
    items: &[Item],
    patterns: &mut Patterns,
    options: &Options,
    (arguments, done): (&RowArguments, &[DeviceBench]),
) -> Result<DeviceBench> {
    let bar = output::progress(&format!("{} {}", summary.id, summary.api), arguments.json);
    let backend: &dyn Backend = &**device.backend();
    let mut written = Ok(());
    let bench = run_items(backend, items, patterns, options, &mut |event| match event {
        Event::Begin { done, total, now } => {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
            bar.set_message(now.to_owned());
        }
        Event::Row { round, row } if !arguments.json => {
            bar.suspend(|| errln!("{}", tables::line(round, options.rounds, row)));
        }
        Event::Row { .. } => {}
        Event::Visited(so_far) => {
            if let Some(directory) = arguments.report.as_ref().filter(|_| written.is_ok()) {
                let mut report = files::assemble(done.iter().chain([so_far]).cloned().collect());
                report.complete = false;
                written = files::write(&report, directory);
            }
        }
    })?;
    bar.finish_and_clear();
    written?;
    Ok(bench)
}

fn print(summary: &DeviceSummary, bench: &DeviceBench, candidates: bool) {
    let profile = &bench.device.profile;
    let with = if profile.is_empty() { String::new() } else { format!(", profile {profile}") };
    let device = format!("{} {} ({}{with})", summary.id, summary.name, summary.api);
    output::heading(&output::with_modes(&device, &bench.device.numeric_modes));
    outln!("{}", tables::ceilings(&bench.ceilings));
    let rows: Vec<&Row> = bench.rows.iter().collect();
    outln!("{}", if candidates { tables::candidates(&rows) } else { tables::rows(&rows) });
    if candidates {
        outln!("{}", losses(&bench.rows));
    }
    let right = bench.rows.iter().filter(|r| r.conformant).count();
    let failed = bench.rows.iter().filter(|r| r.outcome.is_failure()).count();
    let skipped = bench.rows.len() - right - failed;
    let doubts = Doubts::of(&bench.rows).text().map(|doubt| format!(" ({doubt})")).unwrap_or_default();
    let spread = bench.reference_spread.map_or(String::new(), |s| {
        let drift = bench.worst_drift.map_or(0.0, |d| 100.0 * (d - 1.0));
        format!("; the reference kernel varied by {:.0}%, at most {drift:+.0}% during a row", 100.0 * (s - 1.0))
    });
    outln!(
        "{}: {right} rows measured and right, {failed} wrong or failed, {skipped} skipped{doubts}, in {}{spread}",
        output::verdict(failed == 0),
        output::seconds(bench.seconds),
    );
}

/// What the selector's choices lose, over all items with more than one kernel.
fn losses(rows: &[Row]) -> String {
    let time = |row: &Row| row.figures.as_ref().map(|f| f.time);
    let (mut several, mut lost) = (0, Vec::new());
    for chosen in rows.iter().filter(|r| r.selected) {
        let Some(own) = time(chosen) else { continue };
        let others = rows.iter().filter(|r| r.id == chosen.id && !r.selected);
        let Some(best) = others.filter_map(time).min_by(|a, b| a.median.total_cmp(&b.median)) else { continue };
        several += 1;
        // Only where the intervals are apart.
        if best.high < own.low {
            lost.push(own.median / best.median - 1.0);
        }
    }
    let worst = lost.iter().copied().fold(0.0, f64::max);
    format!(
        "the choice is not the fastest in {} of {several} operations; it loses {:.0}% at most",
        lost.len(),
        100.0 * worst
    )
}
