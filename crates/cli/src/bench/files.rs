//! Reports of benchmarks on disk: with date, host and commit, in every form.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use unisono_bench::report::{DeviceBench, Report, csv, html};
use unisono_conformance::Host;

use crate::output::Usage;
use crate::reports;

/// The report over `devices`.
pub(super) fn assemble(devices: Vec<DeviceBench>) -> Report {
    let host = Host { os: os_info::get().to_string(), cpu: unisono::cpu::cpu_name(), ..Host::from_target() };
    let mut report = Report::new(host, devices);
    report.commit = Some(env!("UNISONO_COMMIT").to_owned()).filter(|c| !c.is_empty());
    report.dirty = env!("UNISONO_DIRTY").parse().ok();
    report.date = Some(reports::now());
    report
}

/// Writes the report in every form and says so.
pub(super) fn write(report: &Report, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let files =
        [("bench.json", report.to_json()?), ("bench.csv", csv::render(report)?), ("bench.html", html::render(report))];
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    for (name, text) in &files {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    eprintln!("wrote {} to {}", names.join(", "), directory.display());
    Ok(())
}

/// Reads a report. A file that is none, or that a newer program wrote, is bad usage.
pub(super) fn read(path: &Path) -> Result<Report> {
    let text = reports::text(path)?;
    Report::from_json(&text).map_err(|e| Usage(format!("{}: {e}", path.display())).into())
}
