//! A report as a table for spreadsheets and data frames: one line per result, every column of it.

use super::{Report, ReportError};

/// The columns, in their order.
pub const COLUMNS: [&str; 24] = [
    "device",
    "id",
    "family",
    "dtype",
    "informative",
    "kernel",
    "selected",
    "status",
    "expected_status",
    "ratio",
    "output",
    "index",
    "expected",
    "actual",
    "bound",
    "numeric_modes",
    "input_hash",
    "output_hash",
    "seconds",
    "detail",
    "issue",
    "reproduce",
    "level",
    "date",
];

/// The results of every device of `report` as CSV (RFC 4180) with a header. Numbers have all their
/// digits; `inf`, `-inf` and `nan` are written so; what a result lacks is empty.
pub fn render(report: &Report) -> Result<String, ReportError> {
    let wrap = |e: &dyn std::fmt::Display| ReportError(format!("cannot write CSV: {e}"));
    let mut writer = ::csv::WriterBuilder::new().terminator(::csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(COLUMNS).map_err(|e| wrap(&e))?;
    for device in &report.devices {
        for r in &device.results {
            let worst = |text: &dyn Fn(&super::Worst) -> String| r.worst.as_ref().map(text).unwrap_or_default();
            let expectation = r.expectation.as_ref();
            let index = |w: &super::Worst| w.index.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
            let record = [
                device.device.id.clone(),
                r.id.clone(),
                r.family.clone(),
                r.dtype.clone(),
                r.informative.to_string(),
                r.kernel.clone(),
                r.selected.to_string(),
                r.status.name().to_string(),
                expectation.map(|e| e.entry.kind.name().to_string()).unwrap_or_default(),
                r.ratio.map(|n| exactly(n.0)).unwrap_or_default(),
                worst(&|w| w.output.to_string()),
                worst(&index),
                worst(&|w| exactly(w.expected.0)),
                worst(&|w| exactly(w.actual.0)),
                worst(&|w| exactly(w.bound.0)),
                r.numeric_modes.join(" "),
                r.input_hash.clone(),
                r.output_hash.clone(),
                exactly(r.seconds),
                r.detail.clone(),
                expectation.map(|e| e.entry.issue.clone()).unwrap_or_default(),
                r.reproduce.clone(),
                report.level.clone(),
                report.date.clone().unwrap_or_default(),
            ];
            writer.write_record(record).map_err(|e| wrap(&e))?;
        }
    }
    let bytes = writer.into_inner().map_err(|e| wrap(&e))?;
    String::from_utf8(bytes).map_err(|e| wrap(&e))
}

/// The shortest text that reads back as the same number.
fn exactly(x: f64) -> String {
    match x {
        x if x.is_nan() => "nan".to_string(),
        x if x.is_infinite() => if x > 0.0 { "inf" } else { "-inf" }.to_string(),
        x => format!("{x:e}"),
    }
}
