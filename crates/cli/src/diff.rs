//! `unisono diff`: what changed from one report to another.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use unisono_conformance::report::{
    Change, ChangeKind, DeviceDifference, DiffOptions, Difference, FactChange, RESUME_HINT, diff,
};

use crate::output::{self, Usage};
use crate::{Outcome, reports};

/// Changes listed per kind and device; the JSON has all.
const LISTED: usize = 25;

/// Arguments of `diff`.
#[derive(Args)]
pub(crate) struct DiffArguments {
    /// The report.json of before.
    before: PathBuf,
    /// The report.json of now.
    after: PathBuf,
    /// Compare device A of the first report with device B of the second. Repeatable; devices of the
    /// same id if absent.
    #[arg(long = "device", value_name = "A=B")]
    devices: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &DiffArguments) -> Result<Outcome> {
    let (before, after) = (reports::read(&arguments.before)?, reports::read(&arguments.after)?);
    let mut options = DiffOptions::default();
    for pair in &arguments.devices {
        let (a, b) =
            pair.split_once('=').ok_or_else(|| Usage(format!("--device {pair}: two ids, as in wgpu:0=wgpu:1")))?;
        options.devices.push((a.to_owned(), b.to_owned()));
    }
    let found = diff(&before, &after, &options).map_err(|e| Usage(e.to_string()))?;
    if arguments.json {
        outln!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        print(&found);
    }
    Ok(found.verdict().into())
}

fn print(found: &Difference) {
    print_facts("", &found.facts);
    for device in &found.devices {
        print_device(device);
    }
    for id in &found.missing_devices {
        outln!("{} the second report lacks the device {id}", output::verdict(false));
    }
    for id in &found.added_devices {
        outln!("added: the device {id}");
    }
    let count = |kind| found.devices.iter().flat_map(|d| &d.changes).filter(|c| c.kind == kind).count();
    let counts: Vec<String> = ChangeKind::ALL
        .into_iter()
        .filter(|&kind| count(kind) > 0)
        .map(|kind| format!("{} {}", count(kind), kind.name()))
        .collect();
    let compared: usize = found.devices.iter().map(|d| d.compared).sum();
    let identical: usize = found.devices.iter().map(|d| d.identical).sum();
    let rest = if counts.is_empty() { String::new() } else { format!(", {}", counts.join(", ")) };
    outln!(
        "{}: {} regressions; {compared} results compared, {identical} identical{rest}",
        output::verdict_of(found.verdict()),
        found.regressions
    );
    if found.unfinished > 0 {
        outln!("{} results of the second report are not finished, {RESUME_HINT}", found.unfinished);
    }
}

fn print_facts(indent: &str, facts: &[FactChange]) {
    for fact in facts {
        outln!("{indent}{}: {} -> {}", fact.name, shown(&fact.before), shown(&fact.after));
    }
}

fn shown(text: &str) -> &str {
    if text.is_empty() { "(none)" } else { text }
}

fn print_device(device: &DeviceDifference) {
    let name = if device.before == device.after {
        device.before.clone()
    } else {
        format!("{} -> {}", device.before, device.after)
    };
    output::heading(&name);
    print_facts("  ", &device.facts);
    let mut table = output::table(&["change", "case", "kernel", "before", "after"]);
    let mut rows = 0;
    let mut left_out = Vec::new();
    for kind in ChangeKind::ALL {
        let of_kind: Vec<&Change> = device.changes.iter().filter(|c| c.kind == kind).collect();
        for c in of_kind.iter().take(LISTED) {
            table.add_row([kind.name(), &c.id, &c.kernel, &c.before, &c.after]);
            rows += 1;
        }
        if of_kind.len() > LISTED {
            left_out.push(format!("{} more: {}", of_kind.len() - LISTED, kind.name()));
        }
    }
    if rows > 0 {
        outln!("{table}");
    } else {
        outln!("  no change in {} results", device.compared);
    }
    left_out.iter().for_each(|line| outln!("  {line} (see --json)"));
}
