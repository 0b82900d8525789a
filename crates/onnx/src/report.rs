//! The result of a folder of tests: counts per operator and device, and every miss with its reason.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::run::{TestResult, Verdict};

/// Verdicts of the tests of one operator on one device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorCounts {
    /// How many there are of each verdict, in the order of [`Verdict::ALL`].
    pub counts: [usize; Verdict::ALL.len()],
}

impl OperatorCounts {
    /// How many have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        Verdict::ALL.iter().position(|&v| v == verdict).map_or(0, |i| self.counts[i])
    }

    /// How many the contract covers.
    pub fn covered(&self) -> usize {
        self.counts.iter().sum::<usize>() - self.count(Verdict::NotCovered)
    }

    /// The share of the covered ones that pass, in per cent; 100 where none is covered.
    pub fn percent(&self) -> f64 {
        match self.covered() {
            0 => 100.0,
            covered => 100.0 * self.count(Verdict::Pass) as f64 / covered as f64,
        }
    }

    fn add(&mut self, verdict: Verdict) {
        if let Some(i) = Verdict::ALL.iter().position(|&v| v == verdict) {
            self.counts[i] += 1;
        }
    }
}

/// The tests of a folder on a list of devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OnnxReport {
    /// Version of this format.
    pub version: u32,
    /// Version of ONNX that generated the tests, where known.
    pub onnx: Option<String>,
    /// When the tests ran.
    pub date: Option<String>,
    /// Ids of the devices, the oracle first, each with a name.
    pub devices: Vec<(String, String)>,
    /// Tests that could not be read, with the reason.
    pub unreadable: Vec<(String, String)>,
    /// The results.
    pub tests: Vec<TestResult>,
}

impl OnnxReport {
    /// A report over `devices`, ids with names.
    pub fn new(onnx: Option<String>, devices: Vec<(String, String)>) -> OnnxReport {
        OnnxReport { version: 1, onnx, date: None, devices, unreadable: Vec::new(), tests: Vec::new() }
    }

    /// Verdicts of device `index` per operator, of tests with one node.
    pub fn by_operator(&self, index: usize) -> BTreeMap<&str, OperatorCounts> {
        let mut counts: BTreeMap<&str, OperatorCounts> = BTreeMap::new();
        for test in self.tests.iter().filter(|t| t.single) {
            if let Some(device) = test.devices.get(index) {
                counts.entry(&test.operator).or_default().add(device.verdict);
            }
        }
        counts
    }

    /// Verdicts of device `index` over all tests with one node, or over all with several.
    pub fn total(&self, index: usize, single: bool) -> OperatorCounts {
        let mut counts = OperatorCounts::default();
        let tests = self.tests.iter().filter(|t| t.single == single);
        tests.filter_map(|t| t.devices.get(index)).for_each(|d| counts.add(d.verdict));
        counts
    }

    /// The covered tests that did not pass on device `index`, with the reason.
    pub fn misses(&self, index: usize) -> impl Iterator<Item = (&TestResult, Verdict, &str)> {
        let all = self.tests.iter().filter_map(move |t| t.devices.get(index).map(|d| (t, d.verdict, &d.detail[..])));
        all.filter(|(_, verdict, _)| !matches!(verdict, Verdict::Pass | Verdict::NotCovered))
    }

    /// Why tests with one node are not covered, with how many there are of each reason.
    pub fn uncovered(&self) -> BTreeMap<(&str, &str), usize> {
        let mut reasons = BTreeMap::new();
        for test in self.tests.iter().filter(|t| t.single) {
            let not = test.devices.iter().find(|d| d.verdict == Verdict::NotCovered);
            if let Some(device) = not {
                *reasons.entry((&test.operator[..], &device.detail[..])).or_insert(0) += 1;
            }
        }
        reasons
    }

    /// Whether every test could be read and nothing failed.
    pub fn passed(&self) -> bool {
        let failed = |t: &TestResult| t.devices.iter().any(|d| d.verdict == Verdict::Fail);
        self.unreadable.is_empty() && !self.tests.iter().any(failed)
    }

    /// As JSON.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

/// A page in Markdown: totals, counts per operator, misses, and what is not covered.
pub fn markdown(report: &OnnxReport) -> String {
    let mut page = String::from("# ONNX backend node tests\n\n");
    // Writing to a string cannot fail.
    let _ = write_page(&mut page, report);
    page
}

fn write_page(page: &mut String, report: &OnnxReport) -> std::fmt::Result {
    writeln!(
        page,
        "ONNX {}, {}.\n",
        report.onnx.as_deref().unwrap_or("of an unknown version"),
        report.date.as_deref().unwrap_or("no date")
    )?;
    writeln!(
        page,
        "| device | tests | covered | pass | fail | loose | unsupported | unmapped | pass of covered | not covered |"
    )?;
    writeln!(page, "|---|---|---|---|---|---|---|---|---|---|")?;
    for single in [true, false] {
        for (i, (id, name)) in report.devices.iter().enumerate() {
            let kind = if single { "one operator" } else { "several operators" };
            let c = report.total(i, single);
            writeln!(
                page,
                "| {id} ({name}), {kind} | {} | {} | {} | {} | {} | {} | {} | {:.1} % | {} |",
                c.counts.iter().sum::<usize>(),
                c.covered(),
                c.count(Verdict::Pass),
                c.count(Verdict::Fail),
                c.count(Verdict::Loose),
                c.count(Verdict::Unsupported),
                c.count(Verdict::Unmapped),
                c.percent(),
                c.count(Verdict::NotCovered)
            )?;
        }
    }
    writeln!(
        page,
        "\n## By operator\n\nPassed of covered tests with one operator; operators without a covered test are left out.\n"
    )?;
    write!(page, "| operator | tests |")?;
    report.devices.iter().try_for_each(|(id, _)| write!(page, " {id} |"))?;
    writeln!(page, "\n|---|---|{}", "---|".repeat(report.devices.len()))?;
    let columns: Vec<_> = (0..report.devices.len()).map(|i| report.by_operator(i)).collect();
    for (operator, first) in columns.first().into_iter().flatten().filter(|(_, c)| c.covered() > 0) {
        write!(page, "| {operator} | {} |", first.counts.iter().sum::<usize>())?;
        for column in &columns {
            let c = column.get(operator).copied().unwrap_or_default();
            write!(page, " {}/{} |", c.count(Verdict::Pass), c.covered())?;
        }
        writeln!(page)?;
    }
    writeln!(page, "\n## Misses\n")?;
    let mut any = false;
    for (i, (id, _)) in report.devices.iter().enumerate() {
        for (test, verdict, detail) in report.misses(i) {
            any = true;
            writeln!(page, "* `{}` on {id}: {}. {}", test.name, verdict.name(), detail.replace('\n', " "))?;
        }
    }
    for (name, reason) in &report.unreadable {
        any = true;
        writeln!(page, "* `{name}` cannot be read: {reason}")?;
    }
    if !any {
        writeln!(page, "None.")?;
    }
    writeln!(page, "\n## Not covered\n\n| operator | tests | reason |\n|---|---|---|")?;
    for ((operator, reason), count) in report.uncovered() {
        writeln!(page, "| {operator} | {count} | {reason} |")?;
    }
    Ok(())
}
