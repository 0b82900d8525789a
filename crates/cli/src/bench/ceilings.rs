//! `unisono bench ceilings`: what each device can do at most.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use unisono::DeviceSummary;
use unisono_bench::ceilings::{Extent, Sweep, measure};
use unisono_bench::report::DeviceBench;
use unisono_conformance::DeviceFacts;

use super::{files, tables};
use crate::{Outcome, check, out, output};

/// Arguments of `bench ceilings`.
#[derive(Args)]
pub(crate) struct CeilingArguments {
    /// Device to measure: an id, a vendor, an API, part of a name, or `auto`. Repeatable; every
    /// device of the machine if absent.
    #[arg(long = "device", value_name = "NAME")]
    devices: Vec<String>,
    /// Only what a roofline needs, in seconds.
    #[arg(long)]
    short: bool,
    /// Write bench.json, bench.csv and bench.html to this directory.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &CeilingArguments) -> Result<Outcome> {
    let mut measured = Vec::new();
    for summary in check::chosen(&arguments.devices)? {
        let bench = device(&summary, arguments)?;
        if !arguments.json {
            output::heading(&format!("{} {} ({})", summary.id, summary.name, summary.api));
            outln!("{}", tables::ceilings(&bench.ceilings));
            let all = &bench.ceilings.0;
            let impossible = all.iter().filter(|c| c.impossible).count();
            let uncertain = all.iter().filter(|c| c.doubt.is_some()).count() - impossible;
            outln!(
                "{}: {} ceilings, {uncertain} uncertain, {impossible} impossible, in {}",
                output::verdict(impossible == 0),
                all.len(),
                output::seconds(bench.seconds)
            );
        }
        measured.push(bench);
        if arguments.report.is_none() {
            out::wanted()?;
        }
    }
    let passed = measured.iter().all(|d| d.ceilings.passed());
    let report = files::assemble(measured);
    if arguments.json {
        outln!("{}", report.to_json()?);
    }
    if let Some(directory) = &arguments.report {
        files::write(&report, directory)?;
        files::announce(directory);
    }
    Ok(if passed { Outcome::Passed } else { Outcome::Failed })
}

fn device(summary: &DeviceSummary, arguments: &CeilingArguments) -> Result<DeviceBench> {
    let device = summary.open()?;
    let bar = output::progress(&format!("{} {}", summary.id, summary.api), arguments.json);
    let extent = if arguments.short { Extent::Short } else { Extent::Full };
    let start = Instant::now();
    let ceilings = measure(&**device.backend(), &Sweep::of(device.info(), extent), &mut |probe| {
        bar.set_message(probe.to_owned());
        bar.inc(1);
    })?;
    bar.finish_and_clear();
    Ok(DeviceBench {
        device: DeviceFacts::of(device.info()),
        ceilings,
        reference: None,
        reference_spread: None,
        worst_drift: None,
        cold_bytes: 0,
        seconds: start.elapsed().as_secs_f64(),
        rows: Vec::new(),
    })
}
