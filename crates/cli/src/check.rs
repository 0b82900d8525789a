//! `unisono check`: the conformance suite on one device after the other.

use std::panic::{self, PanicHookInfo};

use anyhow::Result;
use indicatif::ProgressBar;
use unisono::{Device, DeviceSummary};
use unisono_conformance::fingerprint::fingerprint;
use unisono_conformance::report::{CaseResult, DeviceReport, Report, Status};
use unisono_conformance::{Options, case_ids, run as run_suite};

use crate::output::{self, Usage};
use crate::{CheckArguments, Outcome, mutants, onnx, reports};

pub(crate) fn run(arguments: &CheckArguments) -> Result<Outcome> {
    if let Some(folder) = &arguments.onnx {
        return onnx::run(folder, arguments);
    }
    let level = arguments.level.into();
    for pattern in &arguments.cases {
        if case_ids(&Options::new(level).with_patterns(vec![pattern.clone()])).is_empty() {
            return Err(Usage(format!("no case of this level matches '{pattern}'")).into());
        }
    }
    let fault = match &arguments.plant {
        Some(name) => Some(mutants::named(name, arguments.extra.as_deref())?),
        None => None,
    };
    let devices = match &fault {
        Some(fault) => mutants::devices_for(fault, &arguments.devices)?,
        None => chosen(&arguments.devices)?,
    };
    if arguments.devices.is_empty() && devices.iter().all(|d| d.id == "cpu") {
        eprintln!("{}\n", unisono::NO_ADAPTER_HELP);
    }
    let options = Options::new(level)
        .with_patterns(arguments.cases.clone())
        .with_seed(arguments.seed)
        .with_kernel(arguments.kernel.clone());
    let single = !arguments.cases.is_empty() && !arguments.quiet;
    let mut results = Vec::new();
    for summary in &devices {
        let device = match &fault {
            Some(fault) => Device::new(unisono_mutants::open(fault, &summary.id)?),
            None => summary.open()?,
        };
        let bar = output::progress(&format!("{} {}", summary.id, summary.api), arguments.quiet);
        let mut report = silently(|| check_device(&device, &options, &bar));
        bar.finish_and_clear();
        if let Some(kernel) = arguments.kernel.as_ref().filter(|_| report.results.is_empty()) {
            return Err(Usage(format!("no case of this run has a kernel named '{kernel}' on {}", summary.id)).into());
        }
        if arguments.fingerprint {
            report.fingerprint = Some(silently(|| fingerprint(&**device.backend()))?);
        }
        if single {
            report.results.iter().for_each(print_result);
        }
        print_failures(&report);
        println!("{}, {} kernels built", summary_line(summary, &report), device.counters().kernels);
        results.push(report);
    }
    let report = reports::assemble(&options, results);
    if let Some(directory) = &arguments.report {
        reports::write(&report, directory)?;
    }
    Ok(outcome(&report))
}

/// Whether a report as a whole passes.
pub(crate) fn outcome(report: &Report) -> Outcome {
    if report.passed() { Outcome::Passed } else { Outcome::Failed }
}

/// The devices with these names, each once; all of the machine's if there are no names.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<DeviceSummary>> {
    let all = unisono::devices();
    if names.is_empty() {
        return Ok(all);
    }
    let mut chosen: Vec<DeviceSummary> = Vec::new();
    for name in names {
        for device in unisono::matching(&all, name)? {
            if !chosen.contains(&device) {
                chosen.push(device);
            }
        }
    }
    Ok(chosen)
}

/// Runs the suite on one device, with progress on `bar`.
pub(crate) fn check_device(device: &Device, options: &Options, bar: &ProgressBar) -> DeviceReport {
    run_suite(&**device.backend(), options, &mut |progress| {
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
        bar.set_message(progress.id.to_owned());
    })
}

/// A panic inside a backend becomes a result of its case; its trace would only tear the output.
pub(crate) fn silently<T>(work: impl FnOnce() -> T) -> T {
    type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Sync + Send>;
    let before: Hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let result = work();
    panic::set_hook(before);
    result
}

fn print_result(result: &CaseResult) {
    let ratio = result.ratio.map_or("-".to_owned(), |r| format!("{:.3}", r.0));
    let modes: String = result.numeric_modes.iter().map(|mode| format!("  [{mode}]")).collect();
    println!("{:11} err/bound {ratio:>8}  {:28} {}{modes}", result.status.name(), result.kernel, result.id);
}

/// Prints each failure with what was expected and how to run it again.
pub(crate) fn print_failures(report: &DeviceReport) {
    for failure in report.failures() {
        println!("{} {} [{}]", output::verdict(false), failure.id, failure.kernel);
        println!("    {}", failure.detail);
        if let Some(worst) = &failure.worst {
            println!(
                "    output {} at {:?}: expected {}, computed {}, bound {}",
                worst.output, worst.index, worst.expected.0, worst.actual.0, worst.bound.0
            );
        }
        println!("    {}", failure.reproduce);
    }
}

fn summary_line(summary: &DeviceSummary, report: &DeviceReport) -> String {
    let s = &report.summary;
    let counts: Vec<String> = Status::ALL
        .into_iter()
        .filter(|&status| s.count(status) > 0)
        .map(|status| format!("{} {}", s.count(status), status.name()))
        .collect();
    let modes = &report.device.numeric_modes;
    let modes = if modes.is_empty() { String::new() } else { format!(", bounds of {}", modes.join(" and ")) };
    format!(
        "{} {} ({}, {}{modes}): {} cases, {} in {}",
        output::verdict(report.passed()),
        summary.id,
        summary.name,
        summary.api,
        s.cases,
        counts.join(", "),
        output::seconds(report.seconds)
    )
}
