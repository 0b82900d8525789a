//! The file: one entry per line, five fields between bars, `#` starts a comment.

use super::device::Selector;
use super::{ExpectationError, Expectations};
use crate::report::{ExpectationEntry, ExpectationKind};
use crate::runner::{every_id, fits};

/// The fields of an entry, for error messages.
const FIELDS: &str = "case [@ kernel] | device | kind | issue | expires";

impl Expectations {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// The first line that is no entry, or whose case is in no level of the suite.
    pub fn parse(text: &str) -> Result<Expectations, ExpectationError> {
        let mut entries = Vec::new();
        let mut ids = None;
        for (i, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let error = |message| ExpectationError { line: i + 1, message };
            let (entry, selector) = entry(i + 1, line).map_err(error)?;
            let ids = ids.get_or_insert_with(every_id);
            if !ids.iter().any(|id| fits(&entry.case, id)) {
                return Err(error(format!("no case of the suite matches '{}'", entry.case)));
            }
            entries.push((entry, selector));
        }
        Ok(Expectations { entries })
    }
}

fn entry(line: usize, text: &str) -> Result<(ExpectationEntry, Selector), String> {
    let fields: Vec<&str> = text.split('|').map(str::trim).collect();
    let &[what, device, kind, issue, expires] = fields.as_slice() else {
        return Err(format!("{} fields instead of 5: {FIELDS}", fields.len()));
    };
    let (case, kernel) = what.split_once('@').map_or((what, ""), |(case, kernel)| (case.trim(), kernel.trim()));
    if case.is_empty() {
        return Err("the case is empty".to_string());
    }
    if what.contains('@') && kernel.is_empty() {
        return Err("the kernel after '@' is empty".to_string());
    }
    let kind = ExpectationKind::ALL.into_iter().find(|k| k.name() == kind).ok_or_else(|| {
        format!("the kind is '{kind}'; there are: {}", ExpectationKind::ALL.map(ExpectationKind::name).join(", "))
    })?;
    if issue.is_empty() {
        return Err("the issue is empty: say where the defect is followed up".to_string());
    }
    if !is_date(expires) {
        return Err(format!("'{expires}' is no date: write the last day as year-month-day, as in 2027-01-31"));
    }
    let selector = Selector::parse(device)?;
    let owned = str::to_string;
    let entry = ExpectationEntry {
        line,
        case: owned(case),
        kernel: owned(kernel),
        device: owned(device),
        kind,
        issue: owned(issue),
        expires: owned(expires),
    };
    Ok((entry, selector))
}

/// Whether `text` is a day of the calendar as `2027-01-31`, so that days compare as text.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let &[year, month, day] = parts.as_slice() else { return false };
    let number = |text: &str, digits: usize| {
        let plain = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u32>().ok().filter(|_| plain)
    };
    let (Some(year), Some(month), Some(day)) = (number(year, 4), number(month, 2), number(day, 2)) else {
        return false;
    };
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, line: usize, part: &str) {
        let error = Expectations::parse(text).unwrap_err();
        assert!(error.line == line && error.message.contains(part), "{error}");
        assert!(error.to_string().starts_with(&format!("line {line}: ")));
    }

    #[test]
    fn a_file_has_entries_comments_and_empty_lines() {
        let text = "# known\n\nneg/ | * | fail | https://example.org/1 | 2027-01-31\n\
                    softmax/*dtype=f16* @ softmax_* | vendor=amd version<23.1 | warn | #7 | 2028-02-29\n";
        let read = Expectations::parse(text).unwrap();
        let entries: Vec<_> = read.entries().collect();
        assert_eq!((entries.len(), entries[0].line, entries[1].line), (2, 3, 4));
        assert_eq!((entries[0].case.as_str(), entries[0].kernel.as_str()), ("neg/", ""));
        assert_eq!((entries[1].case.as_str(), entries[1].kernel.as_str()), ("softmax/*dtype=f16*", "softmax_*"));
        assert_eq!((entries[1].issue.as_str(), entries[1].expires.as_str()), ("#7", "2028-02-29"));
        assert!(Expectations::parse("").unwrap().entries.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        refused("# one\nneg/ | * | fail | #1", 2, "4 fields instead of 5");
        refused("neg/ | * | fail | #1 | 2027-01-31 | x", 1, "6 fields");
        refused(" | * | fail | #1 | 2027-01-31", 1, "the case is empty");
        refused("neg/ @ | * | fail | #1 | 2027-01-31", 1, "kernel");
        refused("neg/ | * | broken | #1 | 2027-01-31", 1, "fail, unsupported, warn");
        refused("neg/ | * | fail |  | 2027-01-31", 1, "the issue is empty");
        refused("nag/ | * | fail | #1 | 2027-01-31", 1, "no case of the suite matches 'nag/'");
        refused("neg/*f17* | * | fail | #1 | 2027-01-31", 1, "no case");
        refused("neg/ |  | fail | #1 | 2027-01-31", 1, "the device is empty");
        for date in ["2027-02-29", "2027-13-01", "2027-00-10", "2027-1-31", "soon", "", "2027-04-31", "+027-01-01"] {
            refused(&format!("neg/ | * | fail | #1 | {date}"), 1, "is no date");
        }
    }

    #[test]
    fn cases_of_every_level_and_programs_can_be_named() {
        for case in ["program/", "program/concurrent*", "matmul/long*", "*"] {
            Expectations::parse(&format!("{case} | * | fail | #1 | 2027-01-31")).unwrap();
        }
    }
}
