//! The main job: every device of the machine, checked quickly, running the embedded model, and
//! compared, with a table and a report at the end.

use std::path::Path;
use std::thread;

use anyhow::{Context, Result};
use indicatif::{MultiProgress, ProgressBar};
use unisono::DeviceSummary;
use unisono_conformance::report::{DeviceReport, ModelResult, Number};
use unisono_conformance::{Level, Options};
use unisono_models::{Verification, tiny_llama, verify};

use crate::check::{check_device, outcome, print_failures, silently};
use crate::{Outcome, devices, output, reports};

/// Where the report goes.
const REPORT: &str = "unisono-report";

struct Checked {
    device: DeviceSummary,
    report: DeviceReport,
    model: Result<Verification, String>,
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
            Err(line) => unopened.push(line),
        }
    }

    output::heading("Results");
    println!("{}", table(&checked));
    checked.iter().for_each(|c| print_failures(&c.report));
    for c in &checked {
        print_model_failures(c);
    }
    print_text(&checked);
    unopened.iter().for_each(|line| println!("{} {line}", output::verdict(false)));

    let all_opened = unopened.is_empty();
    let report = reports::assemble(&Options::new(Level::Quick), checked.into_iter().map(|c| c.report).collect());
    println!();
    reports::write(&report, Path::new(REPORT)).context("the report could not be written")?;
    Ok(if all_opened { outcome(&report) } else { Outcome::Failed })
}

/// Checks all devices at the same time: most of the time goes into building kernels, which each
/// driver does on one processor. A device that does not open is an `Err`; the others still run.
fn check_all(devices: Vec<DeviceSummary>) -> Vec<Result<Checked, String>> {
    let bars = MultiProgress::new();
    let label = |d: &DeviceSummary| format!("{} {}", d.id, d.api);
    let jobs: Vec<_> = devices.into_iter().map(|d| (bars.add(output::progress(&label(&d), false)), d)).collect();
    silently(|| {
        thread::scope(|scope| {
            let running: Vec<_> =
                jobs.into_iter().map(|(bar, device)| scope.spawn(move || check(device, &bar))).collect();
            let crashed = || Err("the check of a device ended unexpectedly".to_owned());
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| crashed())).collect()
        })
    })
}

/// The quick suite and the embedded model on one device.
fn check(device: DeviceSummary, bar: &ProgressBar) -> Result<Checked, String> {
    let opened = device.open().map_err(|e| format!("{} ({}) cannot be opened: {e}", device.id, device.name))?;
    let mut report = check_device(&opened, &Options::new(Level::Quick), bar);
    bar.set_message("the embedded model");
    let model = verify(&opened).map_err(|e| e.to_string());
    bar.finish_and_clear();
    report.models.push(match &model {
        Ok(v) => ModelResult {
            model: tiny_llama().name().to_owned(),
            prompts: v.prompts.len(),
            tokens_match: v.passed(),
            max_logit_ratio: Some(Number(v.max_err_over_bound)),
            tokens_per_second: Some(v.decode_tokens_per_second),
        },
        Err(_) => ModelResult {
            model: tiny_llama().name().to_owned(),
            prompts: 0,
            tokens_match: false,
            max_logit_ratio: None,
            tokens_per_second: None,
        },
    });
    Ok(Checked { device, report, model })
}

fn table(checked: &[Checked]) -> comfy_table::Table {
    let header =
        ["device", "API", "cases", "passed", "failed", "err/bound", "golden tokens", "logits", "tokens/s", "time", ""];
    let mut table = output::table(&header);
    for c in checked {
        let s = &c.report.summary;
        let counted = c.report.results.iter().filter(|r| !r.informative);
        let worst = counted.filter_map(|r| r.ratio).map(|r| r.0).fold(0.0, f64::max);
        let (tokens, logits, speed) = match &c.model {
            Ok(v) => {
                let equal: usize = v.prompts.iter().map(|p| p.tokens_equal).sum();
                let total: usize = v.prompts.iter().map(|p| p.tokens).sum();
                let ratio = format!("{:.3}", v.max_err_over_bound);
                (format!("{equal}/{total}"), ratio, format!("{:.0}", v.decode_tokens_per_second))
            }
            Err(_) => ("error".into(), "-".into(), "-".into()),
        };
        table.add_row([
            format!("{} {}", c.device.id, c.device.name),
            c.device.api.clone(),
            s.cases.to_string(),
            (s.pass + s.warn + s.info).to_string(),
            s.failures().to_string(),
            format!("{worst:.3}"),
            tokens,
            logits,
            speed,
            output::seconds(c.report.seconds),
            output::verdict(c.report.passed()),
        ]);
    }
    table
}

fn print_model_failures(checked: &Checked) {
    match &checked.model {
        Err(e) => println!("{} the embedded model on {}: {e}", output::verdict(false), checked.device.id),
        Ok(v) => {
            for p in v.prompts.iter().filter(|p| !p.passed()) {
                println!(
                    "{} the embedded model on {}: prompt {:?}: {} of {} tokens equal, logit err/bound {:.3}",
                    output::verdict(false),
                    checked.device.id,
                    p.prompt,
                    p.tokens_equal,
                    p.tokens,
                    p.max_err_over_bound
                );
            }
        }
    }
}

/// What the model wrote: once if all devices agree, which they should.
fn print_text(checked: &[Checked]) {
    let texts = || checked.iter().filter_map(|c| c.model.as_ref().ok()?.prompts.first().map(|p| (c, p)));
    let Some((_, first)) = texts().next() else { return };
    output::heading("The embedded model writes");
    if texts().all(|(_, p)| p.text == first.text) {
        println!("{}{}", first.prompt, first.text);
        println!("(the same on {} of {} devices)", texts().count(), checked.len());
    } else {
        for (c, p) in texts() {
            println!("{}: {}{}", c.device.id, p.prompt, p.text);
        }
    }
}
