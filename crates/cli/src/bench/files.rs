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

/// The names of the files of a report.
const NAMES: [&str; 3] = ["bench.json", "bench.csv", "bench.html"];

/// Writes the report in every form. Each file is whole at any time: a new one takes the place of the
/// old one when it is complete.
pub(super) fn write(report: &Report, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    for (name, text) in NAMES.iter().zip([report.to_json()?, csv::render(report)?, html::render(report)]) {
        let (path, part) = (directory.join(name), directory.join(format!("{name}.part")));
        fs::write(&part, text).with_context(|| format!("cannot write {}", part.display()))?;
        fs::rename(&part, &path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Says where the files are.
pub(super) fn announce(directory: &Path) {
    errln!("wrote {} to {}", NAMES.join(", "), directory.display());
}

/// Reads a report. A file that is none, or that a newer program wrote, is bad usage.
pub(super) fn read(path: &Path) -> Result<Report> {
    let text = reports::text(path)?;
    Report::from_json(&text).map_err(|e| Usage(format!("{}: {e}", path.display())).into())
}
