//! The table of operations: which device runs which operation on which element type, and how well,
//! read off the results of a run and never off a claim.
//!
//! A cell says how the selector served the cases of an operation and element type: by kernels of
//! the device, by the decomposition into primitives, or not at all, with the largest error seen as a
//! share of its bound. Reports of several machines can be put side by side.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::{CaseResult, DeviceFacts, Report, Status};
use crate::runner::DECOMPOSITION;

/// How one device ran the cases of one operation and element type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpCell {
    /// Cases that ran on a kernel of the device that its selector chose.
    pub native: usize,
    /// Cases that ran as a composition of primitives.
    pub composed: usize,
    /// Cases that the device declined.
    pub unsupported: usize,
    /// Results (case × kernel) that failed.
    pub failed: usize,
    /// Results that failed as an expectation says.
    pub expected_fail: usize,
    /// Cases that are not finished.
    pub unfinished: usize,
    /// The first reason for declining.
    pub reason: Option<String>,
    /// The largest `error / bound` over all counted results that compared anything.
    pub worst: f64,
}

impl OpCell {
    fn add(&mut self, result: &CaseResult) {
        match result.status {
            Status::Unsupported if result.selected => {
                self.unsupported += 1;
                self.reason.get_or_insert_with(|| result.detail.clone());
            }
            Status::Unsupported => {}
            Status::ExpectedFail => self.expected_fail += 1,
            Status::NotFinished => self.unfinished += 1,
            status if status.is_failure() => self.failed += 1,
            _ if !result.selected => {}
            _ if result.kernel == DECOMPOSITION => self.composed += 1,
            _ => self.native += 1,
        }
        if !result.informative
            && let Some(ratio) = result.ratio
        {
            // NaN counts as over every bound.
            self.worst = if ratio.0.is_nan() { f64::INFINITY } else { self.worst.max(ratio.0) };
        }
    }

    /// `native`, `composed`, `mixed` (some cases each), `unsupported` (some case was declined),
    /// `expected_fail` (some case failed as an expectation says), `not_finished` (some case has no
    /// result yet) or `FAILED`.
    pub fn verdict(&self) -> &'static str {
        match self {
            OpCell { failed: 1.., .. } => "FAILED",
            OpCell { unfinished: 1.., .. } => "not_finished",
            OpCell { expected_fail: 1.., .. } => "expected_fail",
            OpCell { unsupported: 1.., .. } => "unsupported",
            OpCell { native: 1.., composed: 1.., .. } => "mixed",
            OpCell { composed: 1.., .. } => "composed",
            _ => "native",
        }
    }
}

impl fmt::Display for OpCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verdict())?;
        if self.native + self.composed + self.failed + self.expected_fail > 0 {
            write!(f, " {:.2}", self.worst)?;
        }
        Ok(())
    }
}

/// One operation on one element type.
#[derive(Clone, Debug, PartialEq)]
pub struct OpRow {
    /// The operation's name.
    pub family: String,
    /// The element type under which its cases are listed.
    pub dtype: String,
    /// One per column of the table; none where that device ran no such case.
    pub cells: Vec<Option<OpCell>>,
}

/// Operations × element types × devices.
#[derive(Clone, Debug, PartialEq)]
pub struct OpTable {
    /// A title for each device: [`device_title`].
    pub devices: Vec<String>,
    /// In the order of the suite.
    pub rows: Vec<OpRow>,
}

/// `name, api, driver version`, or `CPU: name`: what tells the columns of an [`OpTable`] apart.
pub fn device_title(device: &DeviceFacts) -> String {
    if device.kind == "cpu" {
        return format!("CPU: {}", device.name);
    }
    let mut title = device.name.split(" (").next().unwrap_or(&device.name).to_string();
    let _ = write!(title, ", {}", device.api);
    for extra in [&device.driver, &device.driver_version] {
        if !extra.is_empty() && !title.contains(extra.as_str()) {
            let _ = write!(title, ", {extra}");
        }
    }
    title
}

impl OpTable {
    /// The results of every device of every report.
    pub fn new(reports: &[Report]) -> OpTable {
        let devices: Vec<_> = reports.iter().flat_map(|r| &r.devices).collect();
        let mut rows: BTreeMap<(usize, usize), OpRow> = BTreeMap::new();
        let (mut families, mut dtypes) = (Vec::new(), Vec::new());
        families.extend(crate::case::families().into_iter().map(str::to_string));
        dtypes.extend(unisono_core::DType::ALL.map(|d| d.name().to_string()));
        let position = |list: &mut Vec<String>, name: &str| {
            list.iter().position(|x| x == name).unwrap_or_else(|| {
                list.push(name.to_string());
                list.len() - 1
            })
        };
        for (column, device) in devices.iter().enumerate() {
            for result in &device.results {
                let key = (position(&mut families, &result.family), position(&mut dtypes, &result.dtype));
                let row = rows.entry(key).or_insert_with(|| OpRow {
                    family: result.family.clone(),
                    dtype: result.dtype.clone(),
                    cells: vec![None; devices.len()],
                });
                row.cells[column].get_or_insert_default().add(result);
            }
        }
        let devices = devices.iter().map(|d| device_title(&d.device)).collect();
        OpTable { devices, rows: rows.into_values().collect() }
    }

    /// As a Markdown table, with the reasons for what is unsupported as notes below it.
    pub fn markdown(&self) -> String {
        let mut text = String::from("| operation | dtype |");
        for device in &self.devices {
            let _ = write!(text, " {device} |");
        }
        text.push_str("\n|---|---|");
        text.push_str(&"---|".repeat(self.devices.len()));
        text.push('\n');
        let mut notes: Vec<&str> = Vec::new();
        for row in &self.rows {
            let _ = write!(text, "| {} | {} |", row.family, row.dtype);
            for cell in &row.cells {
                match cell {
                    None => text.push_str(" |"),
                    Some(cell) => {
                        let _ = write!(text, " {cell}");
                        if let Some(reason) = cell.reason.as_deref() {
                            let number = notes.iter().position(|n| *n == reason).unwrap_or_else(|| {
                                notes.push(reason);
                                notes.len() - 1
                            });
                            let _ = write!(text, " [{}]", number + 1);
                        }
                        text.push_str(" |");
                    }
                }
            }
            text.push('\n');
        }
        for (i, note) in notes.iter().enumerate() {
            let _ = write!(text, "\n{}. {note}", i + 1);
        }
        if !notes.is_empty() {
            text.push('\n');
        }
        text
    }
}
