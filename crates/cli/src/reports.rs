//! Reports on disk: what the suite returned, with date, host and commit, in every form.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};
use unisono_conformance::Options;
use unisono_conformance::report::{DeviceReport, Host, Report, badge, csv, html, junit, markdown};

use crate::output::Usage;

/// The report over the devices that ran with `options`.
pub(crate) fn assemble(options: &Options, devices: Vec<DeviceReport>) -> Report {
    let system = os_info::get();
    let host = Host { os: system.to_string(), cpu: unisono::cpu::cpu_name(), ..Host::from_target() };
    let mut report = Report::new(options.level, host, devices).with_options(options);
    report.commit = Some(env!("UNISONO_COMMIT").to_owned()).filter(|c| !c.is_empty());
    report.commit_date = Some(env!("UNISONO_COMMIT_DATE").to_owned()).filter(|d| !d.is_empty());
    report.dirty = env!("UNISONO_DIRTY").parse().ok();
    report.date = Some(now());
    report
}

/// The time as reports write it.
pub(crate) fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// Writes the report in every form and says so.
pub(crate) fn write(report: &Report, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let mut report = report.clone();
    report.seal()?;
    let badge = serde_json::to_string_pretty(&badge(&report)).context("cannot write the badge")?;
    let files = [
        ("report.json", report.to_json()?),
        ("report.html", html::render(&report)),
        ("report.junit.xml", junit::render(&report)?),
        ("report.csv", csv::render(&report)?),
        ("report.md", markdown::render(&report)),
        ("badge.json", badge),
    ];
    let mut names = Vec::new();
    for (name, text) in files {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        names.push(name);
    }
    outln!("wrote {} to {}", names.join(", "), directory.display());
    Ok(())
}

/// The text of a report's file. A file that is not there is bad usage.
pub(crate) fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|e| Usage(format!("cannot read {}: {e}", path.display())).into())
}

/// Reads a report. A file that is none, or that a newer program wrote, is bad usage.
pub(crate) fn read(path: &Path) -> Result<Report> {
    let text = text(path)?;
    Report::from_json(&text).map_err(|e| Usage(format!("{} cannot be read as a report: {e}", path.display())).into())
}

/// The day of today, as `2026-11-23`.
pub(crate) fn today() -> String {
    now().chars().take(10).collect()
}
