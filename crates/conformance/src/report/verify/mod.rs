//! Whether a report agrees with itself and with the suite: everything in it that follows from
//! something else is computed again.
//!
//! This finds what was edited, dropped, added or copied from elsewhere, whether or not the digest
//! was computed anew: the digest, the list of cases, completeness, counts and verdicts, the fields
//! of each result against its case, the hashes of the inputs, the oracle's value and bound of each
//! worst element, and the bits of every result that has only one right answer. It cannot know where
//! the rest was measured: somebody who runs the suite and makes a consistent forgery from it is not
//! found here. Running results again is what proves more; see `docs/report-format.md`.

mod document;
mod exact;
mod facts;
mod list;
mod parts;
mod recompute;
mod result;

use std::collections::HashMap;
use std::fmt;

use serde_json::Value;

use super::{Report, ReportError, SCHEMA_VERSION, Verdict};
use crate::runner::{Item, Kernels, Options, select};

/// Something in a report that contradicts something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where in the document: `devices[0].results[12].status`.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// How much to compute again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Data and oracle of every case; otherwise those of all but [large](crate::Case::is_large)
    /// ones.
    pub deep: bool,
    /// The time now (RFC 3339, UTC, to the second), after which no report can have been made.
    pub now: Option<String>,
}

/// What a verification has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Every contradiction, in the order of the document.
    pub problems: Vec<Problem>,
    /// What the report says of itself: a run that failed can be told truly.
    pub verdict: Verdict,
    /// Results of the report.
    pub results: usize,
    /// Cases whose data and oracle were computed again.
    pub recomputed: usize,
    /// Cases that are large and were left to a deep verification.
    pub skipped: usize,
    /// Results whose output can have one value only, and has it bit by bit.
    pub exact: usize,
    /// Results that have one value but for the signs of zeros and flushed numbers, so that the hash
    /// of a right output need not be the oracle's, and is not.
    pub unproven: usize,
}

impl Verification {
    /// Whether nothing contradicts anything.
    pub fn passed(&self) -> bool {
        self.problems.is_empty()
    }

    fn problem(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem { path: path.into(), message: message.into() });
    }
}

/// Verifies the report in `text`; `progress` gets the number of cases recomputed and their total.
///
/// # Errors
///
/// If `text` is no report that this version can verify: not JSON, not of the schema, or of another
/// version of it.
pub fn verify(
    text: &str,
    options: &VerifyOptions,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Verification, ReportError> {
    let value: Value = serde_json::from_str(text).map_err(|e| ReportError(e.to_string()))?;
    let report = Report::from_json(text)?;
    if report.schema_version < SCHEMA_VERSION {
        return Err(ReportError(format!(
            "the report has schema version {}; this program verifies version {SCHEMA_VERSION}, and an older one is \
             verified by the program that wrote it",
            report.schema_version
        )));
    }
    let results = report.devices.iter().map(|d| d.results.len()).sum();
    let mut found = Verification { verdict: report.verdict, results, ..Default::default() };
    document::check(&value, &report, &mut found);
    facts::check(&report, options.now.as_deref(), &mut found);
    parts::check(&report, &mut found);
    let Some(run) = list::options_of(&report, &mut found) else { return Ok(found) };
    if list::is_stale(&report, run.level, &mut found) {
        return Ok(found);
    }
    let items = select(&run);
    let by_id: HashMap<&str, &Item> = items.iter().map(|item| (item.id(), item)).collect();
    let suite = Suite { run, items: &items, by_id };
    list::check(&report, &suite, &mut found);
    result::check(&report, &suite, &mut found);
    recompute::check(&report, &suite, options.deep, progress, &mut found);
    Ok(found)
}

/// What this program would run for a report.
struct Suite<'a> {
    run: Options,
    items: &'a [Item],
    by_id: HashMap<&'a str, &'a Item>,
}

impl Suite<'_> {
    /// Whether every kernel of a case runs, and not only the selected one.
    fn runs_all(&self) -> bool {
        self.run.kernels == Kernels::All
    }
}

/// The path of a device's field.
fn of_device(device: usize, field: &str) -> String {
    format!("devices[{device}].{field}")
}

/// The path of a result's field.
fn of_result(device: usize, result: usize, field: &str) -> String {
    format!("devices[{device}].results[{result}].{field}")
}
