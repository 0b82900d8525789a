//! Reports on disk: what the suite returned, with date, host and commit.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};
use unisono_conformance::Level;
use unisono_conformance::report::{DeviceReport, Host, Report, html};

/// The report over the devices that ran.
pub(crate) fn assemble(level: Level, devices: Vec<DeviceReport>) -> Report {
    let host = Host { cpu: unisono::cpu::cpu_name(), ..Host::from_target() };
    let mut report = Report::new(level, host, devices);
    report.commit = Some(env!("UNISONO_COMMIT").to_owned()).filter(|c| !c.is_empty());
    report.date = Some(humantime::format_rfc3339_seconds(SystemTime::now()).to_string());
    report
}

/// Writes `report.json` and `report.html` and says so.
pub(crate) fn write(report: &Report, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let json = report.to_json().context("cannot write the report as JSON")?;
    for (name, text) in [("report.json", json), ("report.html", html::render(report))] {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}
