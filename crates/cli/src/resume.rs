//! `check --resume`: runs what a report has not finished, and completes it.
//!
//! Only a report of this program, about this machine's devices as they are, can be completed: half of
//! one device and half of another would prove nothing about either.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use unisono::DeviceSummary;
use unisono_conformance::Options;
use unisono_conformance::report::{DeviceReport, Report};

use crate::check::{self, Shown};
use crate::isolate::{self, Opening};
use crate::output::{self, Usage};
use crate::progress::{Progress, Unit};
use crate::{CheckArguments, Outcome, reports};

pub(crate) fn run(path: &Path, arguments: &CheckArguments) -> Result<Outcome> {
    let file = if path.is_dir() { path.join("report.json") } else { path.to_owned() };
    let before = reports::read(&file)?;
    let refuse = |message: String| Usage(format!("{} cannot be resumed: {message}", file.display()));
    same_program(&before).map_err(refuse)?;
    let options = before.options().map_err(|e| refuse(e.to_string()))?;
    let all = unisono::devices();
    let mut left = 0;
    for device in before.devices.iter().filter(|d| !d.is_complete()) {
        same_device(device, &all).map_err(refuse)?;
        left += 1;
    }
    if left == 0 {
        outln!("{}: every case of the report has run", output::verdict_of(before.verdict()));
        return Ok(before.verdict().into());
    }
    let mut report = before.clone();
    for device in report.devices.iter_mut().filter(|d| !d.is_complete()) {
        let summary = same_device(device, &all).map_err(refuse)?;
        *device = complete(device, summary, &options, arguments)?;
    }
    report.date = Some(reports::now());
    let folder = || file.parent().map(Path::to_owned).unwrap_or_default();
    let folder: PathBuf = arguments.report.clone().unwrap_or_else(folder);
    reports::write(&report, &folder)?;
    Ok(report.verdict().into())
}

/// Why a report of another program, or of another list of cases, is refused.
fn same_program(report: &Report) -> Result<(), String> {
    let now = reports::assemble(&Options::new(report.options().map_err(|e| e.to_string())?.level), Vec::new());
    let of = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    for (name, then, now) in [
        ("schema version", report.schema_version.to_string(), now.schema_version.to_string()),
        ("version", report.version.clone(), now.version.clone()),
        ("commit", of(&report.commit), of(&now.commit)),
        ("list of cases", report.case_list_hash.clone(), now.case_list_hash.clone()),
        ("processor", report.host.cpu.clone(), now.host.cpu.clone()),
    ] {
        if then != now {
            return Err(format!("its {name} is {then}, here it is {now}; run the check anew"));
        }
    }
    Ok(())
}

/// The device of this machine that a part of a report is about.
fn same_device<'a>(report: &DeviceReport, all: &'a [DeviceSummary]) -> Result<&'a DeviceSummary, String> {
    let facts = &report.device;
    let found = all.iter().find(|d| d.id == facts.id).ok_or_else(|| format!("this machine has no {}", facts.id))?;
    let driver = format!("{} {}", facts.driver, facts.driver_version).trim().to_owned();
    for (what, then, now) in
        [("device", &facts.name, &found.name), ("API", &facts.api, &found.api), ("driver", &driver, &found.driver)]
    {
        if then != now {
            return Err(format!("the {what} of {} was '{then}' and is '{now}'; run the check anew", facts.id));
        }
    }
    Ok(found)
}

/// Runs what one device lacks.
fn complete(
    before: &DeviceReport,
    summary: &DeviceSummary,
    options: &Options,
    arguments: &CheckArguments,
) -> Result<DeviceReport> {
    let property = |name: &str| before.device.properties.get(name).cloned();
    let opening =
        Opening::new(summary).planting(property("planted-fault"), property("planted-fault-file").map(PathBuf::from));
    let limits = arguments.isolation.limits(options.level, summary.kind);
    let isolation = limits.ok_or_else(|| anyhow!("a resumed check runs in worker processes"))?;
    let bar = Progress::new(&format!("{} {}", summary.id, summary.api), Unit::Cases, arguments.quiet);
    let mut ran = isolate::rest(before, &opening, options, &isolation, &mut |progress| bar.of_suite(progress))?;
    if before.models.iter().any(|m| m.unfinished.is_some()) {
        bar.set_message("the embedded model");
        let result = isolate::embedded_model(&opening, &isolation).result();
        ran.report.models.retain(|m| m.unfinished.is_none());
        ran.report.models.push(result);
    }
    bar.finish_and_clear();
    check::print_device(summary, &ran, Shown::Failures);
    Ok(ran.report)
}
