//! `unisono fingerprint`: what each device does with numbers, side by side.

use anyhow::Result;
use serde::Serialize;
use unisono::DeviceSummary;
use unisono_conformance::fingerprint::{Fingerprint, fingerprint};

use crate::check::{chosen, silently};
use crate::output::{self, Usage};
use crate::{FingerprintArguments, Outcome};

/// One device with its answers.
#[derive(Serialize)]
struct Row {
    device: String,
    name: String,
    api: String,
    driver: String,
    /// How often it was asked.
    runs: u32,
    /// Questions that were answered differently in another run.
    unstable: Vec<String>,
    fingerprint: Fingerprint,
}

pub(crate) fn run(arguments: &FingerprintArguments) -> Result<Outcome> {
    let rows: Vec<Row> = chosen(&arguments.devices)?.iter().map(|d| ask(d, arguments)).collect::<Result<_>>()?;
    if arguments.json {
        outln!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        print(&rows, arguments.details);
    }
    Ok(if rows.iter().all(|r| r.unstable.is_empty()) { Outcome::Passed } else { Outcome::Failed })
}

fn ask(summary: &DeviceSummary, arguments: &FingerprintArguments) -> Result<Row> {
    let device = summary.open()?;
    let bar = output::progress(&format!("{} {}", summary.id, summary.api), arguments.json);
    bar.set_length(u64::from(arguments.runs));
    let answers = silently(|| {
        let one = |_| {
            let result = fingerprint(&**device.backend());
            bar.inc(1);
            result
        };
        (0..arguments.runs).map(one).collect::<unisono::Result<Vec<Fingerprint>>>()
    });
    bar.finish_and_clear();
    let mut answers = answers?.into_iter();
    let first = answers.next().ok_or_else(|| Usage("--runs must be at least 1".to_owned()))?;
    let mut unstable: Vec<String> = answers.flat_map(|other| first.differences(&other)).collect();
    unstable.sort();
    unstable.dedup();
    Ok(Row {
        device: summary.id.clone(),
        name: summary.name.clone(),
        api: summary.api.clone(),
        driver: summary.driver.clone(),
        runs: arguments.runs,
        unstable,
        fingerprint: first,
    })
}

/// A table with a row per question and a column per device, then the kernels of each device.
fn print(rows: &[Row], details: bool) {
    let names: Vec<String> = rows.iter().map(|r| format!("{}\n{}\n{}", r.device, r.name, r.api)).collect();
    let header: Vec<&str> = ["", ""].into_iter().chain(names.iter().map(String::as_str)).collect();
    let mut table = output::table(&header);
    let hashes = rows.iter().map(|r| r.fingerprint.hash.clone());
    table.add_row(["fingerprint".to_owned(), String::new()].into_iter().chain(hashes));
    // Kernels have names of their own on each device: they are listed below.
    let Some(first) = rows.first() else { return };
    for t in first.fingerprint.traits.iter().filter(|t| t.group != "sums") {
        let answers = rows.iter().map(|r| r.fingerprint.answer(&t.group, &t.name).unwrap_or("-").to_owned());
        table.add_row([t.group.clone(), t.name.clone()].into_iter().chain(answers));
    }
    outln!("{table}");
    for row in rows {
        output::heading(&format!("Sums on {} {}", row.device, row.name));
        let mut table = output::table(&["kernel", "digits, products, order"]);
        for t in row.fingerprint.traits.iter().filter(|t| t.group == "sums") {
            table.add_row([&t.name, &t.answer]);
        }
        outln!("{table}");
    }
    if details {
        for row in rows {
            output::heading(&format!("Evidence of {} {}", row.device, row.name));
            for t in row.fingerprint.traits.iter().filter(|t| !t.detail.is_empty()) {
                outln!("{}: {}: {} ({})", t.group, t.name, t.answer, t.detail);
            }
        }
    }
    outln!();
    for row in rows {
        let verdict = match (row.runs, row.unstable.as_slice()) {
            (1, _) => format!("{} asked once", row.device),
            (n, []) => format!("{} the same in {n} runs", row.device),
            (n, list) => {
                format!("{} {} of {n} runs differ in: {}", output::verdict(false), row.device, list.join("; "))
            }
        };
        outln!("{verdict}");
    }
}
