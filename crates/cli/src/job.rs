//! The main job: every device of the machine, running the embedded model, checked quickly, and
//! compared, with a table and a report at the end.
//!
//! The model comes first, so that a reader sees within seconds that a device works; a check on a
//! machine without any compiled kernel takes minutes.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, anyhow};
use indicatif::MultiProgress;
use unisono::DeviceSummary;
use unisono_conformance::report::{DeviceReport, ProfileVerdict, Verdict};
use unisono_conformance::{Level, Options};

use crate::check::{Unopened, check_device, outcome, print_failures, print_unfinished};
use crate::isolate::{self, Opening};
use crate::progress::{Progress, Unit};
use crate::{Outcome, devices, model, output, profiles, reports};

/// Where the report goes.
const REPORT: &str = "unisono-report";

struct Checked {
    device: DeviceSummary,
    report: DeviceReport,
    model: model::Run,
}

pub(crate) fn run() -> Result<Outcome> {
    output::heading("Devices");
    let all = unisono::devices();
    devices::print_table(&all);

    let mut checked = Vec::new();
    let mut unopened = Vec::new();
    for result in check_all(all) {
        match result {
            Ok(result) => checked.push(result),
            Err(device) => unopened.push(device),
        }
    }

    output::heading("Results");
    outln!("{}", table(&checked));
    checked.iter().for_each(|c| print_failures(&c.report));
    for c in checked.iter().filter(|c| c.report.profiles.iter().any(|p| p.verdict != ProfileVerdict::Pass)) {
        outln!("{}", c.device.id);
        profiles::print_verdicts(&c.report);
    }
    for c in &checked {
        print_model_failures(c);
    }
    print_texts(&checked);
    unopened.iter().for_each(|device| outln!("{device}"));
    checked.iter().for_each(|c| print_unfinished(&c.report));

    let worst = unopened.iter().map(|device| device.verdict).max().unwrap_or(Verdict::Pass);
    let report = reports::assemble(&Options::new(Level::Quick), checked.into_iter().map(|c| c.report).collect());
    outln!();
    reports::write(&report, Path::new(REPORT)).context("the report could not be written")?;
    Ok(outcome(&report, worst))
}

/// Checks all devices at the same time: most of the time goes into building kernels, which each
/// driver does on one processor. A device that does not open is an `Err`; the others still run.
fn check_all(devices: Vec<DeviceSummary>) -> Vec<Result<Checked, Unopened>> {
    let bars = MultiProgress::new();
    let label = |d: &DeviceSummary| format!("{} {}", d.id, d.api);
    let bar = |d: &DeviceSummary| Progress::new(&label(d), Unit::Cases, false).among(&bars);
    let jobs: Vec<_> = devices.into_iter().map(|d| (bar(&d), d)).collect();
    let said = Mutex::new(false);
    thread::scope(|scope| {
        let start = |(bar, device): (Progress, DeviceSummary)| {
            let check = {
                let (device, said) = (device.clone(), &said);
                move || check(device, &bar, said)
            };
            (device, scope.spawn(check))
        };
        let running: Vec<_> = jobs.into_iter().map(start).collect();
        let crashed = |device| Err(Unopened::new(&device, &anyhow!("its check ended unexpectedly")));
        running.into_iter().map(|(device, thread)| thread.join().unwrap_or_else(|_| crashed(device))).collect()
    })
}

/// The embedded model and the quick suite on one device. `said` is whether what the model writes has
/// been printed.
fn check(device: DeviceSummary, bar: &Progress, said: &Mutex<bool>) -> Result<Checked, Unopened> {
    let opening = Opening::new(&device);
    let isolation = isolate::usual_isolation(Level::Quick, device.kind);
    bar.set_message("the embedded model");
    let model = isolate::embedded_model(&opening, &isolation);
    bar.suspend(|| print_model(&device, &model, said));
    let ran = check_device(&opening, &Options::new(Level::Quick), Some(&isolation), bar);
    let mut report = ran.map_err(|e| Unopened::new(&device, &e))?.report;
    bar.finish_and_clear();
    report.models.push(model.result());
    Ok(Checked { device, report, model })
}

/// What the model did on a device, and the first time what it wrote.
fn print_model(device: &DeviceSummary, model: &model::Run, said: &Mutex<bool>) {
    // The devices' lines must not mix.
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(first) = model.prompts.first() else { return };
    if !*said {
        output::heading("The embedded model writes");
        outln!("{}{}", first.prompt, first.text);
        *said = true;
    }
    outln!("({}: {:.0} tokens/s)", device.id, model.tokens_per_second);
}

fn table(checked: &[Checked]) -> comfy_table::Table {
    let header = [
        "device",
        "API",
        "cases",
        "passed",
        "failed",
        "err/bound",
        "golden tokens",
        "logits",
        "tokens/s",
        "profiles",
        "time",
        "",
    ];
    let mut table = output::table(&header);
    for c in checked {
        let s = &c.report.summary;
        let counted = c.report.results.iter().filter(|r| !r.informative);
        let worst = counted.filter_map(|r| r.ratio).map(|r| r.0).fold(0.0, f64::max);
        let (tokens, logits, speed) = if c.model.error.is_none() {
            let equal: usize = c.model.prompts.iter().map(|p| p.tokens_equal).sum();
            let total: usize = c.model.prompts.iter().map(|p| p.tokens).sum();
            let ratio = format!("{:.3}", c.model.ratio.0);
            (format!("{equal}/{total}"), ratio, format!("{:.0}", c.model.tokens_per_second))
        } else {
            (if c.model.unfinished { "not finished" } else { "error" }.into(), "-".into(), "-".into())
        };
        let profiles = c.report.profiles.iter().filter(|p| p.verdict == ProfileVerdict::Pass).count();
        table.add_row([
            output::with_modes(&format!("{} {}", c.device.id, c.device.name), &c.report.device.numeric_modes),
            c.device.api.clone(),
            s.cases.to_string(),
            (s.pass + s.warn + s.info).to_string(),
            s.failures().to_string(),
            format!("{worst:.3}"),
            tokens,
            logits,
            speed,
            format!("{}/{}", profiles, c.report.profiles.len()),
            output::seconds(c.report.seconds),
            output::verdict_of(c.report.verdict()),
        ]);
    }
    table
}

fn print_model_failures(checked: &Checked) {
    let verdict = if checked.model.unfinished { Verdict::NotFinished } else { Verdict::Fail };
    let start = format!("{} the embedded model on {}:", output::verdict_of(verdict), checked.device.id);
    if let Some(e) = &checked.model.error {
        outln!("{start} {e}");
    }
    for p in checked.model.prompts.iter().filter(|p| !p.passed) {
        outln!(
            "{start} prompt {:?}: {} of {} tokens equal, logit err/bound {:.3}",
            p.prompt,
            p.tokens_equal,
            p.tokens,
            p.ratio.0
        );
    }
}

/// What the model wrote on each device, if they do not agree, which they should.
fn print_texts(checked: &[Checked]) {
    let texts = || checked.iter().filter_map(|c| c.model.prompts.first().map(|p| (c, p)));
    let Some((_, first)) = texts().next() else { return };
    if texts().all(|(_, p)| p.text == first.text) {
        outln!("The embedded model wrote the same text on {} of {} devices.", texts().count(), checked.len());
    } else {
        output::heading("The embedded model does not write the same on all devices");
        for (c, p) in texts() {
            outln!("{}: {}{}", c.device.id, p.prompt, p.text);
        }
    }
}
