//! `unisono diff`: what changed from one report to another.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use unisono_conformance::report::{
    Change, ChangeKind, DeviceDifference, DiffOptions, Difference, ErrorsOf, FactChange, RESUME_HINT, diff,
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
    /// same id if absent, or the only device of each report.
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
    if device.other_device {
        outln!("  two devices: results are compared by case, the choice of one with that of the other");
    }
    print_operations(device);
    let mut left_out = Vec::new();
    for kind in ChangeKind::ALL {
        let of_kind: Vec<&Change> = device.changes.iter().filter(|c| c.kind == kind).collect();
        of_kind.iter().take(LISTED).for_each(|change| print_change(change));
        if of_kind.len() > LISTED {
            left_out.push(format!("{} more: {}", of_kind.len() - LISTED, kind.name()));
        }
    }
    if device.changes.is_empty() {
        outln!("  no change in {} results", device.compared);
    }
    left_out.iter().for_each(|line| outln!("  {line} (see --json)"));
}

/// A change on lines of its own: ids of cases are longer than any column.
fn print_change(change: &Change) {
    let kernel = if change.kernel.is_empty() { String::new() } else { format!(" [{}]", change.kernel) };
    outln!("{}: {}{kernel}", change.kind.name(), change.id);
    let detail = if change.detail.is_empty() { String::new() } else { format!(": {}", change.detail) };
    outln!("    {} -> {}{detail}", shown(&change.before), shown(&change.after));
}

/// The largest error/bound of each operation on both sides: of two devices all, of one those that
/// changed.
fn print_operations(device: &DeviceDifference) {
    let ratio = |side: &Option<ErrorsOf>| side.as_ref().map_or("-".to_owned(), |e| format!("{:.3}", e.ratio));
    let mut table = output::table(&["operation", "dtype", &device.before, &device.after, "worst of the second"]);
    for row in &device.operations {
        let (before, after) = (ratio(&row.before), ratio(&row.after));
        if !device.other_device && before == after {
            continue;
        }
        let worst = row.after.as_ref().filter(|e| e.ratio.0 > 0.0);
        let worst = worst.map(|e| format!("{} [{}]", spaced(&e.case), e.kernel)).unwrap_or_default();
        table.add_row([row.family.clone(), row.dtype.clone(), before, after, worst]);
    }
    if table.row_iter().len() > 0 {
        outln!("  largest error/bound (over 1 fails):\n{table}");
    }
}

/// An id that a table may break where its parts end.
fn spaced(id: &str) -> String {
    id.replace(',', ", ").replace(':', ": ")
}
