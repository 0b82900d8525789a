//! `unisono check --onnx DIR`: ONNX's own node tests on the oracle and on every device.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};
use unisono::Device;
use unisono_onnx::{ORACLE, OnnxReport, Test, Verdict, list, markdown, run as run_test, version};

use crate::output::{self, Usage};
use crate::{CheckArguments, Outcome, check};

pub(crate) fn run(folder: &Path, arguments: &CheckArguments) -> Result<Outcome> {
    let entries = list(folder, &arguments.cases).map_err(|e| Usage(e.to_string()))?;
    if entries.is_empty() {
        let what = if arguments.cases.is_empty() { "no test" } else { "no test of these names" };
        return Err(Usage(format!("{} holds {what}; docs/onnx.md says how to generate them", folder.display())).into());
    }
    let chosen = check::chosen(&arguments.devices)?;
    let devices: Vec<Device> = chosen.iter().map(unisono::DeviceSummary::open).collect::<Result<_, _>>()?;
    let names = chosen.iter().map(|d| (d.id.clone(), format!("{}, {}", d.name, d.api)));
    let oracle = (ORACLE.to_owned(), "f64".to_owned());
    let mut report = OnnxReport::new(version(folder), std::iter::once(oracle).chain(names).collect());
    report.date = Some(humantime::format_rfc3339_seconds(SystemTime::now()).to_string());

    let bar = output::progress("onnx", arguments.quiet);
    bar.set_length(entries.len() as u64);
    check::silently(|| {
        for entry in &entries {
            bar.set_message(entry.name.clone());
            match Test::read(entry) {
                Ok(test) => report.tests.push(run_test(&test, &devices)),
                Err(e) => report.unreadable.push((entry.name.clone(), e.to_string())),
            }
            bar.inc(1);
        }
    });
    bar.finish_and_clear();
    if !arguments.quiet {
        print_operators(&report);
    }
    print_misses(&report);
    print_totals(&report);
    if let Some(directory) = &arguments.report {
        write(&report, directory)?;
    }
    Ok(if report.passed() { Outcome::Passed } else { Outcome::Failed })
}

/// Passed and covered tests per operator and device.
fn print_operators(report: &OnnxReport) {
    let mut header = vec!["operator", "tests"];
    header.extend(report.devices.iter().map(|(id, _)| &id[..]));
    let mut table = output::table(&header);
    let columns: Vec<_> = (0..report.devices.len()).map(|i| report.by_operator(i)).collect();
    for (operator, first) in columns[0].iter().filter(|(_, c)| c.covered() > 0) {
        let mut row = vec![(*operator).to_owned(), first.counts.iter().sum::<usize>().to_string()];
        row.extend(columns.iter().map(|column| {
            let c = column.get(operator).copied().unwrap_or_default();
            format!("{}/{}", c.count(Verdict::Pass), c.covered())
        }));
        table.add_row(row);
    }
    outln!("Passed of covered tests with one operator:\n{table}");
}

fn print_misses(report: &OnnxReport) {
    for (i, (id, _)) in report.devices.iter().enumerate() {
        for (test, verdict, detail) in report.misses(i) {
            outln!("{} {} [{id}]\n    {detail}", verdict.name(), test.name);
        }
    }
    for (name, reason) in &report.unreadable {
        outln!("unreadable {name}\n    {reason}");
    }
}

fn print_totals(report: &OnnxReport) {
    for (i, (id, name)) in report.devices.iter().enumerate() {
        for (single, kind) in [(true, "one operator"), (false, "several operators")] {
            let c = report.total(i, single);
            let counts: Vec<String> = Verdict::ALL.map(|v| format!("{} {}", c.count(v), v.name())).into();
            let passed = c.count(Verdict::Fail) == 0;
            let share = c.percent();
            outln!(
                "{} {id} ({name}), {kind}: {}; {share:.1} % of {} covered tests pass",
                output::verdict(passed),
                counts.join(", "),
                c.covered()
            );
        }
    }
}

fn write(report: &OnnxReport, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let json = report.to_json().context("cannot write the report as JSON")?;
    for (name, text) in [("onnx.json", json), ("onnx.md", markdown(report))] {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        outln!("wrote {}", path.display());
    }
    Ok(())
}
