//! What a run leaves behind: the suite's own report, and a table of counts by family.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use unisono_conformance::{DeviceReport, Host, Level, Report, Status, html};

/// A Markdown table: how each family's results ended.
pub fn summary(device: &DeviceReport) -> String {
    const COLUMNS: [(&str, &[Status]); 6] = [
        ("pass", &[Status::Pass]),
        ("warn", &[Status::Warn, Status::Info]),
        ("unsupported", &[Status::Unsupported]),
        ("fail", &[Status::Fail, Status::NotRun]),
        ("error", &[Status::Error]),
        ("not finished", &[Status::NotFinished]),
    ];
    let mut families: Vec<(&str, [usize; 6])> = Vec::new();
    let mut total = [0; 6];
    for result in &device.results {
        let Some(column) = COLUMNS.iter().position(|(_, list)| list.contains(&result.status)) else { continue };
        let row = match families.iter().position(|(family, _)| *family == result.family) {
            Some(row) => row,
            None => {
                families.push((&result.family, [0; 6]));
                families.len() - 1
            }
        };
        families[row].1[column] += 1;
        total[column] += 1;
    }
    let mut text = format!("\n{}, {:.0} s\n\n| family |", device.device.name, device.seconds);
    COLUMNS.iter().for_each(|(name, _)| write!(text, " {name} |").expect("a string"));
    text += "\n|---|---|---|---|---|---|---|\n";
    for (family, counts) in families.iter().chain(&[("all", total)]) {
        write!(text, "| {family} |").expect("a string");
        counts.iter().for_each(|n| write!(text, " {n} |").expect("a string"));
        text += "\n";
    }
    text
}

/// Writes `report.json`, `report.html` and `summary.md` into `folder`.
pub fn write(folder: &Path, level: Level, date: Option<String>, device: DeviceReport) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let table = summary(&device);
    let mut report = Report::new(level, Host::from_target(), vec![device]);
    report.date = date;
    for (name, text) in
        [("report.json", report.to_json()?), ("report.html", html::render(&report)), ("summary.md", table)]
    {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
