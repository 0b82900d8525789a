//! `--expect`: the file, and what became of its entries.

use std::path::Path;

use anyhow::Result;
use unisono_conformance::Expectations;
use unisono_conformance::report::{DeviceReport, ExpectationResult};

use crate::output::{self, Usage};

/// Reads the file, if one is named.
pub(crate) fn read(path: Option<&Path>) -> Result<Option<Expectations>> {
    let Some(path) = path else { return Ok(None) };
    let usage = |message: String| Usage(format!("{}: {message}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| usage(format!("cannot be read: {e}")))?;
    Ok(Some(Expectations::parse(&text).map_err(|e| usage(e.to_string()))?))
}

/// Prints what became of each entry about the device.
pub(crate) fn print(report: &DeviceReport) {
    for result in &report.expectations {
        let entry = &result.entry;
        let what = format!("line {} ({}, {}, {})", entry.line, entry.case, entry.kind.name(), entry.issue);
        match result {
            ExpectationResult { expired: true, .. } => outln!(
                "    expectation of {what}: expired after {}, so it excuses nothing; {} results are still as it says",
                entry.expires,
                result.met
            ),
            ExpectationResult { cases: 0, .. } => outln!("    expectation of {what}: none of its cases ran"),
            _ => {
                outln!("    expectation of {what}: {} results as expected, until {}", result.met, entry.expires);
                if result.unexpected_passes > 0 {
                    outln!(
                        "{} expectation of {what}: {} of its cases pass; narrow or delete the entry",
                        output::verdict(false),
                        result.unexpected_passes
                    );
                }
            }
        }
    }
}
