//! `unisono mutants`: faults are planted one after the other, and the suite has to find each.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result};
use unisono::DeviceSummary;
use unisono_mutants::{Fault, MutantsReport, Runner, Verdict, file, registry};

use crate::output::{self, Usage};
use crate::{MutantsArguments, Outcome, check, out};

pub(crate) fn run(arguments: &MutantsArguments) -> Result<Outcome> {
    let mut faults = faults(arguments.extra.as_deref())?;
    if let Some(class) = &arguments.class {
        let known = classes(&faults);
        faults.retain(|f| f.class == *class);
        if faults.is_empty() {
            return Err(Usage(format!("no fault has the class '{class}'; there are: {}", known.join(", "))).into());
        }
    }
    if !arguments.names.is_empty() {
        let all: Vec<String> = faults.iter().map(|f| f.name.clone()).collect();
        if let Some(name) = arguments.names.iter().find(|name| !all.contains(name)) {
            return Err(unknown(name, &faults).into());
        }
        faults.retain(|f| arguments.names.contains(&f.name));
    }
    if arguments.list {
        list(&faults);
        return Ok(Outcome::Passed);
    }
    let devices = devices(arguments.device.as_deref(), &mut faults)?;
    let report = plant(&faults, &devices, arguments)?;
    print(&report);
    if let Some(directory) = &arguments.report {
        write(&report, directory)?;
    }
    Ok(if report.passed() { Outcome::Passed } else { Outcome::Failed })
}

/// The registry, and the faults of a file; names are unique.
pub(crate) fn faults(extra: Option<&Path>) -> Result<Vec<Fault>> {
    let mut faults = registry::all()?;
    if let Some(path) = extra {
        for fault in file::read(path).map_err(|e| Usage(e.to_string()))? {
            if faults.iter().any(|f| f.name == fault.name) {
                let message = format!("{}: there already is a fault '{}'", path.display(), fault.name);
                return Err(Usage(message).into());
            }
            faults.push(fault);
        }
    }
    Ok(faults)
}

/// The fault called `name`.
pub(crate) fn named(name: &str, extra: Option<&Path>) -> Result<Fault> {
    let faults = faults(extra)?;
    match faults.iter().find(|f| f.name == name) {
        Some(fault) => Ok(fault.clone()),
        None => Err(unknown(name, &faults).into()),
    }
}

/// The devices with these names that `fault` can be planted into; the first that fits if there are
/// no names.
pub(crate) fn devices_for(fault: &Fault, names: &[String]) -> Result<Vec<DeviceSummary>> {
    let fits = |d: &DeviceSummary| fault.is_shader() != (d.id == "cpu");
    let mut devices = check::chosen(names)?;
    if names.is_empty() {
        devices.retain(fits);
        devices.truncate(1);
        if devices.is_empty() {
            let message = format!("'{}' is a fault of shaders; {}", fault.name, unisono::NO_ADAPTER_HELP);
            return Err(unisono::Error::new(unisono::ErrorKind::DeviceNotFound, message).into());
        }
    } else if let Some(other) = devices.iter().find(|d| !fits(d)) {
        let place = if fault.is_shader() { "shaders" } else { "the CPU backend" };
        return Err(Usage(format!("'{}' is a fault of {place}, not of {}", fault.name, other.id)).into());
    }
    Ok(devices)
}

fn unknown(name: &str, faults: &[Fault]) -> Usage {
    let near: Vec<&str> = faults.iter().map(|f| f.name.as_str()).filter(|n| n.contains(name)).take(5).collect();
    let hint = if near.is_empty() { String::new() } else { format!("; similar: {}", near.join(", ")) };
    Usage(format!("there is no fault '{name}'{hint}; `unisono mutants --list` shows all"))
}

fn classes(faults: &[Fault]) -> Vec<String> {
    let mut classes: Vec<String> = faults.iter().map(|f| f.class.clone()).collect();
    classes.sort_unstable();
    classes.dedup();
    classes
}

fn list(faults: &[Fault]) {
    let mut table = output::table(&["fault", "class", "where", "what is wrong"]);
    for fault in faults {
        table.add_row([&fault.name, &fault.class, &fault.place_name(), &fault.about]);
    }
    outln!("{table}");
    outln!("{} faults of {} classes", faults.len(), classes(faults).len());
}

/// The devices to run on: the CPU and the first adapter, or the one that was asked for, and then
/// only the faults that fit it.
fn devices(name: Option<&str>, faults: &mut Vec<Fault>) -> Result<Vec<DeviceSummary>> {
    let all = unisono::devices();
    if let Some(name) = name {
        let chosen = unisono::matching(&all, name)?.swap_remove(0);
        faults.retain(|f| f.is_shader() != (chosen.id == "cpu"));
        if faults.is_empty() {
            return Err(Usage(format!("none of these faults can be planted into {}", chosen.id)).into());
        }
        return Ok(vec![chosen]);
    }
    let mut chosen: Vec<DeviceSummary> = Vec::new();
    if faults.iter().any(|f| !f.is_shader()) {
        chosen.extend(unisono::matching(&all, "cpu")?);
    }
    if faults.iter().any(Fault::is_shader) {
        let adapter = all.iter().find(|d| d.id != "cpu").cloned();
        let missing = || unisono::Error::new(unisono::ErrorKind::DeviceNotFound, unisono::NO_ADAPTER_HELP);
        chosen.push(adapter.ok_or_else(missing)?);
    }
    Ok(chosen)
}

fn plant(faults: &[Fault], devices: &[DeviceSummary], arguments: &MutantsArguments) -> Result<MutantsReport> {
    let start = Instant::now();
    let adapter = devices.iter().find(|d| d.id != "cpu").map(|d| d.id.clone());
    let mut runner = Runner::new(adapter);
    if arguments.quick {
        runner = runner.at_the_quick_level();
    }
    let bar = output::progress("planted faults", arguments.quiet);
    bar.set_length(faults.len() as u64);
    let mut verdicts: Vec<Verdict> = Vec::new();
    for fault in faults {
        bar.set_message(fault.name.clone());
        let verdict = check::silently(|| runner.run(fault))?;
        bar.suspend(|| print_verdict(&verdict));
        verdicts.push(verdict);
        bar.inc(1);
        if arguments.report.is_none() {
            out::wanted()?;
        }
    }
    bar.finish_and_clear();
    let mut report = MutantsReport::new(verdicts, runner.false_alarms(), start.elapsed().as_secs_f64());
    report.commit = Some(env!("UNISONO_COMMIT").to_owned()).filter(|c| !c.is_empty());
    report.date = Some(humantime::format_rfc3339_seconds(SystemTime::now()).to_string());
    report.host = unisono::cpu::cpu_name();
    report.devices = devices
        .iter()
        .map(|d| (d.id.clone(), format!("{} ({}, {})", d.name, d.api, d.driver)))
        .collect::<BTreeMap<_, _>>();
    Ok(report)
}

fn print_verdict(v: &Verdict) {
    outln!(
        "{} {} ({}, {}), {}",
        output::verdict(v.caught.is_some()),
        v.fault,
        v.class,
        v.device,
        output::seconds(v.seconds)
    );
    match (&v.caught, &v.problem) {
        (Some(c), _) if c.kernel.is_empty() => outln!("    {}: {}", c.case, c.reason),
        (Some(c), _) => outln!("    {} [{}]: {}", c.case, c.kernel, c.reason),
        (None, problem) => {
            let problem = problem.as_deref().unwrap_or("no case failed");
            outln!("    unnoticed in {} cases: {problem}", v.cases);
        }
    }
    if let Some(s) = &v.scores {
        let mark = |caught: bool| if caught { "caught" } else { "missed" };
        outln!("    ggml {}, burn {}, ONNX {}", mark(s.ggml), mark(s.burn), mark(s.onnx));
    }
}

fn print(report: &MutantsReport) {
    let mut table = output::table(&["comparator", "faults caught", "correct outputs rejected"]);
    report.comparators().into_iter().for_each(|row| {
        table.add_row(row);
    });
    outln!("{table}");
    let missed: Vec<&str> = report.verdicts.iter().filter(|v| v.caught.is_none()).map(|v| v.fault.as_str()).collect();
    if !missed.is_empty() {
        outln!("went unnoticed: {}", missed.join(", "));
    }
    let t = &report.totals;
    outln!(
        "{} {} of {} faults of {} classes caught in {}",
        output::verdict(report.passed()),
        t.caught,
        t.faults,
        t.classes,
        output::seconds(report.seconds)
    );
}

fn write(report: &MutantsReport, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let json = report.to_json().map_err(anyhow::Error::msg).context("cannot write the report as JSON")?;
    for (name, text) in [("mutants.json", json), ("mutants.md", report.to_markdown())] {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        outln!("wrote {}", path.display());
    }
    Ok(())
}
