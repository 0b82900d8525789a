//! `unisono check`: the conformance suite on one device after the other.

use std::fmt;
use std::panic::{self, PanicHookInfo};

use anyhow::Result;
use unisono::DeviceSummary;
use unisono_conformance::report::{CaseResult, DeviceReport, RESUME_HINT, Report, Status, Verdict};
use unisono_conformance::{Isolation, Options, case_ids};

use crate::isolate::{self, Opening, Ran};
use crate::output::{self, Usage};
use crate::progress::{Progress, Unit};
use crate::{CheckArguments, Outcome, expect, mutants, onnx, out, profiles, reports, resume};

pub(crate) fn run(arguments: &CheckArguments) -> Result<Outcome> {
    if let Some(folder) = &arguments.onnx {
        return onnx::run(folder, arguments);
    }
    if let Some(path) = &arguments.resume {
        return resume::run(path, arguments);
    }
    let level = arguments.level.into();
    for pattern in &arguments.cases {
        if case_ids(&Options::new(level).with_patterns(vec![pattern.clone()])).is_empty() {
            return Err(Usage(format!("no case of this level matches '{pattern}'")).into());
        }
    }
    if let Some(name) = &arguments.profile {
        profiles::named(name)?;
    }
    let expectations = expect::read(arguments.expect.as_deref())?;
    let fault = match &arguments.plant {
        Some(name) => Some(mutants::named(name, arguments.extra.as_deref())?),
        None => None,
    };
    let devices = match &fault {
        Some(fault) => mutants::devices_for(fault, &arguments.devices)?,
        None => chosen(&arguments.devices)?,
    };
    if arguments.devices.is_empty() && devices.iter().all(|d| d.id == "cpu") {
        errln!("{}\n", unisono::NO_ADAPTER_HELP);
    }
    let options = Options::new(level)
        .with_patterns(arguments.cases.clone())
        .with_profile(arguments.profile.clone())
        .with_seed(arguments.seed)
        .with_kernel(arguments.kernel.clone());
    let shown = if arguments.cases.is_empty() || arguments.quiet { Shown::Failures } else { Shown::Results };
    let mut results = Vec::new();
    let mut worst = Verdict::Pass;
    for summary in &devices {
        let isolation = arguments.isolation.limits(level, summary.kind);
        let bar = Progress::new(&format!("{} {}", summary.id, summary.api), Unit::Cases, arguments.quiet);
        let opening = Opening::new(summary).planting(arguments.plant.clone(), arguments.extra.clone());
        let ran = check_device(&opening, &options, isolation.as_ref(), &bar);
        bar.finish_and_clear();
        let mut ran = match ran {
            Ok(ran) => ran,
            Err(e) => {
                let unopened = Unopened::new(summary, &e);
                outln!("{unopened}");
                worst = worst.max(unopened.verdict);
                continue;
            }
        };
        let report = &mut ran.report;
        if let Some(kernel) = arguments.kernel.as_ref().filter(|_| report.results.is_empty()) {
            return Err(Usage(format!("no case of this run has a kernel named '{kernel}' on {}", summary.id)).into());
        }
        if arguments.fingerprint {
            report.fingerprint = Some(isolate::fingerprint(&opening, isolation.as_ref())?);
        }
        if let Some(expectations) = &expectations {
            expectations.apply(report, &reports::today());
        }
        print_device(summary, &ran, shown);
        results.push(ran.report);
        if arguments.report.is_none() {
            out::wanted()?;
        }
    }
    let report = reports::assemble(&options, results);
    if let Some(directory) = &arguments.report {
        reports::write(&report, directory)?;
    }
    Ok(outcome(&report, worst))
}

/// A device on which nothing could be run.
pub(crate) struct Unopened {
    pub(crate) verdict: Verdict,
    line: String,
}

impl Unopened {
    pub(crate) fn new(device: &DeviceSummary, error: &anyhow::Error) -> Unopened {
        let verdict = if isolate::is_inconclusive(error) { Verdict::NotFinished } else { Verdict::Fail };
        let line = format!("{} ({}, {}) cannot be checked: {error:#}", device.id, device.name, device.api);
        Unopened { verdict, line }
    }
}

impl fmt::Display for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", output::verdict_of(self.verdict), self.line)
    }
}

/// The worst of a report and of what has none.
pub(crate) fn outcome(report: &Report, worst: Verdict) -> Outcome {
    let verdict = if report.devices.is_empty() && worst != Verdict::Pass { worst } else { report.verdict() };
    verdict.max(worst).into()
}

/// Which results of a device are printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Failures,
    Results,
}

/// Prints what a device has shown.
pub(crate) fn print_device(summary: &DeviceSummary, ran: &Ran, shown: Shown) {
    let Ran { report, kernels } = ran;
    if shown == Shown::Results {
        report.results.iter().for_each(print_result);
    }
    print_failures(report);
    outln!("{}, {kernels} kernels built", summary_line(summary, report));
    print_unfinished(report);
    profiles::print_verdicts(report);
    expect::print(report);
}

/// Says what is not finished, and what to do about it.
pub(crate) fn print_unfinished(report: &DeviceReport) {
    if let Some(what) = report.unfinished() {
        outln!("    {}: {what} on {}, {RESUME_HINT}", output::verdict_of(Verdict::NotFinished), report.device.id);
    }
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
pub(crate) fn check_device(
    opening: &Opening,
    options: &Options,
    isolation: Option<&Isolation>,
    bar: &Progress,
) -> Result<Ran> {
    bar.set_message("opening the device");
    isolate::suite(opening, options, isolation, &mut |progress| bar.of_suite(progress))
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

/// Prints each group whose worker ended early.
fn print_groups(report: &DeviceReport) {
    for group in report.groups.iter().filter(|g| !g.outcome.is_completed()) {
        let during = if group.during.is_empty() { String::new() } else { format!(" while running {}", group.during) };
        let workers = if group.workers > 1 { format!(", {} workers", group.workers) } else { String::new() };
        let group_line = format!("group {} ({} cases{workers})", group.name, group.cases);
        let verdict = if group.outcome.is_inconclusive() { Verdict::NotFinished } else { Verdict::Fail };
        outln!("{} {group_line}: its worker {}{during}", output::verdict_of(verdict), group.outcome);
        group.detail.lines().for_each(|line| outln!("    {line}"));
    }
}

fn print_result(result: &CaseResult) {
    let ratio = result.ratio.map_or("-".to_owned(), |r| format!("{:.3}", r.0));
    let modes: String = result.numeric_modes.iter().map(|mode| format!("  [{mode}]")).collect();
    outln!("{:11} err/bound {ratio:>8}  {:28} {}{modes}", result.status.name(), result.kernel, result.id);
}

/// Prints each failure with what was expected and how to run it again.
pub(crate) fn print_failures(report: &DeviceReport) {
    for failure in report.failures() {
        outln!("{} {} [{}]", output::verdict(false), failure.id, failure.kernel);
        match &failure.expectation {
            Some(e) => outln!(
                "    {} although line {} of the expectations says {} ({})",
                e.actual.name(),
                e.entry.line,
                e.entry.kind.name(),
                e.entry.issue
            ),
            None => outln!("    {}", failure.detail),
        }
        if let Some(worst) = &failure.worst {
            outln!(
                "    output {} at {:?}: expected {}, computed {}, bound {}",
                worst.output,
                worst.index,
                worst.expected.0,
                worst.actual.0,
                worst.bound.0
            );
        }
        outln!("    {}", failure.reproduce);
    }
    print_groups(report);
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
        output::verdict_of(report.verdict()),
        summary.id,
        summary.name,
        summary.api,
        s.cases,
        counts.join(", "),
        output::seconds(report.seconds)
    )
}
