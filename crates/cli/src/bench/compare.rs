//! `unisono bench diff`: what became slower, faster or broken from one report to another.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use unisono_bench::diff::{DeviceDifference, Difference, Kind, Options, diff};

use super::{files, tables};
use crate::Outcome;
use crate::output::{self, Usage};

/// Arguments of `bench diff`.
#[derive(Args)]
pub(crate) struct DiffArguments {
    /// The bench.json of before.
    before: PathBuf,
    /// The bench.json of now.
    after: PathBuf,
    /// Compare device A of the first report with device B of the second. Repeatable; devices of the
    /// same id if absent.
    #[arg(long = "device", value_name = "A=B")]
    devices: Vec<String>,
    /// The least change of a median that counts, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 7.0)]
    threshold: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &DiffArguments) -> Result<Outcome> {
    if !(arguments.threshold >= 0.0 && arguments.threshold.is_finite()) {
        return Err(Usage(format!("--threshold {}: a percentage from 0 up", arguments.threshold)).into());
    }
    let mut options = Options { threshold: arguments.threshold / 100.0, devices: Vec::new() };
    for pair in &arguments.devices {
        let (a, b) =
            pair.split_once('=').ok_or_else(|| Usage(format!("--device {pair}: two ids, as in wgpu:0=wgpu:1")))?;
        options.devices.push((a.to_owned(), b.to_owned()));
    }
    let (before, after) = (files::read(&arguments.before)?, files::read(&arguments.after)?);
    let found = diff(&before, &after, &options).map_err(|e| Usage(e.to_string()))?;
    if arguments.json {
        outln!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        found.devices.iter().for_each(print);
        outln!("{}: {}", output::verdict(found.passed()), counts(&found));
    }
    Ok(if found.passed() { Outcome::Passed } else { Outcome::Failed })
}

fn counts(found: &Difference) -> String {
    let compared: usize = found.devices.iter().map(|d| d.compared).sum();
    let kinds = Kind::ALL.map(|kind| format!("{} {}", found.count(kind), kind.name()));
    format!("{compared} rows compared; {}", kinds.join(", "))
}

fn print(device: &DeviceDifference) {
    let name = match device.before == device.after {
        true => device.before.clone(),
        false => format!("{} -> {}", device.before, device.after),
    };
    output::heading(&name);
    let unsteady = match device.unsteady {
        0 => String::new(),
        n => format!("; {n} of them, whose rounds lie further apart, by more than that"),
    };
    outln!("  rows must differ by more than {:.0}%{unsteady}", 100.0 * device.threshold);
    if let Some([compute, memory]) = device.reference {
        let percent = |ratio: f64| format!("{:+.1}%", 100.0 * (ratio - 1.0));
        outln!("  time of the reference kernels: compute {}, memory {}", percent(compute), percent(memory));
    }
    if device.changes.is_empty() {
        outln!("  no change in {} rows", device.compared);
    } else {
        outln!("{}", tables::changes(&device.changes));
    }
    for (word, ids) in [("missing", &device.missing), ("added", &device.added)] {
        if !ids.is_empty() {
            outln!("  {word}: {} rows, the first is {}", ids.len(), ids[0]);
        }
    }
}
