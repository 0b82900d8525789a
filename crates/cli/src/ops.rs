//! `unisono ops`: which device runs which operation on which element type, from results: those of
//! reports on disk, or of a run of the suite now.

use std::fmt::Write as _;

use anyhow::Result;
use unisono_conformance::report::{OpTable, Report, device_title};
use unisono_conformance::{Isolation, Options};

use crate::isolate::Opening;
use crate::progress::{Progress, Unit};
use crate::{OpsArguments, Outcome, check, output, reports};

pub(crate) fn run(arguments: &OpsArguments) -> Result<Outcome> {
    let found: Vec<Report> = if arguments.reports.is_empty() {
        vec![measure(arguments)?]
    } else {
        arguments.reports.iter().map(|path| reports::read(path)).collect::<Result<_>>()?
    };
    let table = OpTable::new(&found);
    if arguments.markdown {
        out!("{}", page(&found, &table));
    } else {
        print(&table);
    }
    Ok(found.iter().map(Report::verdict).max().unwrap_or_default().into())
}

fn measure(arguments: &OpsArguments) -> Result<Report> {
    let options = Options::new(arguments.level.into());
    let mut results = Vec::new();
    for summary in check::chosen(&arguments.devices)? {
        let bar = Progress::new(&format!("{} {}", summary.id, summary.api), Unit::Cases, false);
        let isolation = Isolation::new(options.level);
        let ran = check::check_device(&Opening::new(&summary), &options, Some(&isolation), &bar)?;
        results.push(ran.report);
        bar.finish_and_clear();
    }
    Ok(reports::assemble(&options, results))
}

fn print(table: &OpTable) {
    let header: Vec<&str> =
        ["operation", "dtype"].into_iter().chain(table.devices.iter().map(String::as_str)).collect();
    let mut text = output::table(&header);
    for row in &table.rows {
        let cells = row.cells.iter().map(|c| c.as_ref().map_or_else(String::new, ToString::to_string));
        text.add_row([row.family.clone(), row.dtype.clone()].into_iter().chain(cells));
    }
    outln!("{text}");
    for row in &table.rows {
        for (device, cell) in table.devices.iter().zip(&row.cells) {
            if let Some(reason) = cell.as_ref().and_then(|c| c.reason.as_deref()) {
                outln!("{} {} on {device}: {reason}", row.family, row.dtype);
            }
        }
    }
}

/// The page with its introduction: what the cells mean and where the results come from.
fn page(found: &[Report], table: &OpTable) -> String {
    let mut text = String::from(
        "# Operations\n\n\
         Which device runs which operation on which element type. The page is written by\n\
         `unisono ops --markdown --from REPORT…` from the results of the conformance suite, not from what a\n\
         backend says of itself. `native`: kernels of the device; `composed`: the decomposition into\n\
         primitives; `mixed`: some cases each; `unsupported`: some case was declined, the reason is in the\n\
         notes. The number is the largest error of any element of any case on any kernel, as a share of its\n\
         proven bound: over 1 would be a failure. The dtype is that of the operand after which the cases are\n\
         listed (the weight of a product, the source of a cast).\n\n\
         | device | level | cases | results | failed | seconds | date |\n|---|---|---|---|---|---|---|\n",
    );
    for report in found {
        for device in &report.devices {
            let s = &device.summary;
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {:.0} | {} |",
                device_title(&device.device),
                report.level,
                s.cases,
                device.results.len(),
                device.failures().count(),
                device.seconds,
                report.date.as_deref().unwrap_or("").split('T').next().unwrap_or_default(),
            );
        }
    }
    text.push('\n');
    text.push_str(&table.markdown());
    text
}
