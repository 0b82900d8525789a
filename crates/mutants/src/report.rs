//! What a run over faults has shown, as JSON and as a page.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::run::{FalseAlarms, Verdict};

/// The version of the JSON that [`MutantsReport`] writes.
pub const MUTANTS_SCHEMA_VERSION: u32 = 1;

/// Verdicts over a list of faults.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MutantsReport {
    /// See [`MUTANTS_SCHEMA_VERSION`].
    pub mutants_schema_version: u32,
    /// Version of the crate.
    pub version: String,
    /// The commit, where the caller knows it.
    pub commit: Option<String>,
    /// When it ran, as the caller writes dates.
    pub date: Option<String>,
    /// The processor, as the caller names it.
    pub host: String,
    /// The devices, by id.
    pub devices: BTreeMap<String, String>,
    /// Counts over `verdicts`.
    pub totals: Totals,
    /// How often other comparators reject correct outputs.
    pub false_alarms: FalseAlarms,
    /// Seconds of the whole run.
    pub seconds: f64,
    /// One per fault.
    pub verdicts: Vec<Verdict>,
}

/// Counts over verdicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// How many faults.
    pub faults: usize,
    /// Of how many classes.
    pub classes: usize,
    /// How many were caught.
    pub caught: usize,
    /// Of how many were outputs compared by the comparators of other projects.
    pub compared: usize,
    /// Rejected by ggml's NMSE.
    pub ggml: usize,
    /// Rejected by burn's default tolerance.
    pub burn: usize,
    /// Rejected by the tolerance of the ONNX tests.
    pub onnx: usize,
    /// Over the bounds of this suite on the same data.
    pub bounds: usize,
}

impl Totals {
    /// Counts `verdicts`.
    pub fn of(verdicts: &[Verdict]) -> Totals {
        let mut classes: Vec<&str> = verdicts.iter().map(|v| v.class.as_str()).collect();
        classes.sort_unstable();
        classes.dedup();
        let scores = || verdicts.iter().filter_map(|v| v.scores.as_ref());
        Totals {
            faults: verdicts.len(),
            classes: classes.len(),
            caught: verdicts.iter().filter(|v| v.caught.is_some()).count(),
            compared: scores().count(),
            ggml: scores().filter(|s| s.ggml).count(),
            burn: scores().filter(|s| s.burn).count(),
            onnx: scores().filter(|s| s.onnx).count(),
            bounds: scores().filter(|s| s.bounds).count(),
        }
    }
}

impl MutantsReport {
    /// A report with the counts of `verdicts`.
    pub fn new(verdicts: Vec<Verdict>, false_alarms: FalseAlarms, seconds: f64) -> MutantsReport {
        MutantsReport {
            mutants_schema_version: MUTANTS_SCHEMA_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: None,
            date: None,
            host: String::new(),
            devices: BTreeMap::new(),
            totals: Totals::of(&verdicts),
            false_alarms,
            seconds,
            verdicts,
        }
    }

    /// Whether every fault was caught, and there was one.
    pub fn passed(&self) -> bool {
        self.totals.faults > 0 && self.totals.caught == self.totals.faults
    }

    /// As JSON, indented.
    ///
    /// # Errors
    ///
    /// If a number cannot be written.
    pub fn to_json(&self) -> Result<String, String> {
        serde_json::to_string_pretty(self).map_err(|e| e.to_string())
    }

    /// The comparators with what they caught and what they rejected wrongly, in rows.
    pub fn comparators(&self) -> Vec<[String; 3]> {
        let (t, f) = (&self.totals, &self.false_alarms);
        let row = |name: &str, caught: usize, of: usize, alarms: usize| {
            [name.to_owned(), format!("{caught}/{of}"), format!("{alarms}/{}", f.outputs)]
        };
        vec![
            row("ggml: NMSE, threshold of each operation", t.ggml, t.compared, f.ggml),
            row("burn: default tolerance", t.burn, t.compared, f.burn),
            row("ONNX: rtol 1e-3, atol 1e-7", t.onnx, t.compared, f.onnx),
            row("bounds of this suite, same data", t.bounds, t.compared, f.bounds),
            [
                "this suite, whole".to_owned(),
                format!("{}/{}", t.caught, t.faults),
                format!("{}/{}", f.bounds, f.outputs),
            ],
        ]
    }

    /// As a page in Markdown.
    pub fn to_markdown(&self) -> String {
        let t = &self.totals;
        let mut text = String::from("# Planted faults\n\n");
        let _ = writeln!(
            text,
            "{} faults of {} classes, {} caught, in {:.0} s{}{}.\n",
            t.faults,
            t.classes,
            t.caught,
            self.seconds,
            self.date.as_deref().map(|d| format!(", {d}")).unwrap_or_default(),
            self.commit.as_deref().map(|c| format!(", commit {c}")).unwrap_or_default(),
        );
        for (id, name) in &self.devices {
            let _ = writeln!(text, "* `{id}`: {name}");
        }
        text.push_str("\n| comparator | faults caught | correct outputs rejected |\n|---|---|---|\n");
        for [name, caught, alarms] in self.comparators() {
            let _ = writeln!(text, "| {name} | {caught} | {alarms} |");
        }
        text.push_str("\n| fault | class | device | caught by | kernel | reason | ggml | burn | ONNX |\n");
        text.push_str("|---|---|---|---|---|---|---|---|---|\n");
        for v in &self.verdicts {
            let (case, kernel, reason) = match (&v.caught, &v.problem) {
                (Some(c), _) => (format!("`{}`", c.case), c.kernel.as_str(), c.reason.as_str()),
                (None, Some(problem)) => ("**missed**".to_owned(), "", problem.as_str()),
                (None, None) => ("**missed**".to_owned(), "", ""),
            };
            let mark = |by: fn(&crate::run::Scores) -> bool| match &v.scores {
                None => "",
                Some(s) if by(s) => "caught",
                Some(_) => "missed",
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {case} | {kernel} | {} | {} | {} | {} |",
                v.fault,
                v.class,
                v.device,
                reason.replace('|', "\\|").replace('\n', " "),
                mark(|s| s.ggml),
                mark(|s| s.burn),
                mark(|s| s.onnx),
            );
        }
        text
    }
}
