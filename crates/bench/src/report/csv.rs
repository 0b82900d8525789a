//! The rows as CSV, for spreadsheets: one line per item and kernel.

use std::fmt::Display;

use unisono_core::{Error, Result};

use super::Report;

const HEADER: [&str; 24] = [
    "device",
    "id",
    "set",
    "shape",
    "op",
    "dtype",
    "kernel",
    "selected",
    "outcome",
    "conformant",
    "checked",
    "elements",
    "clock",
    "copies",
    "samples",
    "median_s",
    "p20_s",
    "p80_s",
    "low_s",
    "high_s",
    "bytes_per_s",
    "operations_per_s",
    "share_of_ceiling",
    "bound_by",
];

/// The rows of all devices.
pub fn render(report: &Report) -> Result<String> {
    let failed = |e: &dyn Display| Error::internal(format!("a row that is no CSV: {e}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADER.iter().chain(&["flags", "detail"])).map_err(|e| failed(&e))?;
    for device in &report.devices {
        for row in &device.rows {
            let f = row.figures.as_ref();
            let number = |x: Option<f64>| x.map(|x| format!("{x:e}")).unwrap_or_default();
            let flags: Vec<&str> = row.flags.iter().map(|f| f.name()).collect();
            let record = [
                device.device.id.clone(),
                row.id.clone(),
                row.set.clone(),
                row.shape.clone(),
                row.op.clone(),
                row.dtype.clone(),
                row.kernel.clone(),
                row.selected.to_string(),
                row.outcome.name().to_owned(),
                row.conformant.to_string(),
                row.checked.to_string(),
                row.elements.to_string(),
                f.map(|f| f.clock.clone()).unwrap_or_default(),
                row.copies.to_string(),
                f.map(|f| f.samples.len().to_string()).unwrap_or_default(),
                number(f.map(|f| f.time.median)),
                number(f.map(|f| f.time.p20)),
                number(f.map(|f| f.time.p80)),
                number(f.map(|f| f.time.low)),
                number(f.map(|f| f.time.high)),
                number(f.map(|f| f.bandwidth)),
                number(f.map(|f| f.rate)),
                number(f.and_then(|f| f.share)),
                f.and_then(|f| f.bound).map(|b| b.name().to_owned()).unwrap_or_default(),
                flags.join("; "),
                row.detail.clone(),
            ];
            writer.write_record(&record).map_err(|e| failed(&e))?;
        }
    }
    let bytes = writer.into_inner().map_err(|e| failed(&e))?;
    String::from_utf8(bytes).map_err(|e| failed(&e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{report, row};

    #[test]
    fn every_row_is_a_line_of_as_many_cells() {
        let text = render(&report(vec![row("a,b", vec![1e-3, 2e-3, 3e-3]), row("c", vec![1.0])])).unwrap();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!((records.len(), records[0].len()), (2, 26));
        assert_eq!((&records[0][1], &records[0][15]), ("a,b", "2e-3"));
    }
}
