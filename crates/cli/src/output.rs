//! What output has in common: tables that fit a terminal, colours that `NO_COLOR` turns off,
//! and numbers in one form.

use std::fmt;
use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use console::{Style, style};
use unisono_conformance::report::Verdict;

use crate::progress::{Progress, Unit};

/// An error in how the program was called, with exit code 2.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// A table with a header, as wide as the terminal at most.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    if !console::user_attended() {
        // A pipe has no width: wide enough that no name is broken.
        table.set_width(160);
    }
    table.set_header(header.iter().map(|h| style(h).bold().to_string()));
    table
}

/// The name of a device, with the numeric modes that it declares.
pub(crate) fn with_modes(name: &str, modes: &[String]) -> String {
    if modes.is_empty() { name.to_owned() } else { format!("{name} [{}]", modes.join(", ")) }
}

/// `passed` in green or `FAILED` in red.
pub(crate) fn verdict(passed: bool) -> String {
    let (word, colour) = if passed { ("passed", Style::new().green()) } else { ("FAILED", Style::new().red().bold()) };
    colour.apply_to(word).to_string()
}

/// A verdict with its colour: `passed`, `not finished` or `FAILED`.
pub(crate) fn verdict_of(verdict: Verdict) -> String {
    match verdict {
        Verdict::Pass => self::verdict(true),
        Verdict::NotFinished => Style::new().yellow().bold().apply_to(verdict.words()).to_string(),
        Verdict::Fail => self::verdict(false),
    }
}

/// A section heading on standard output.
pub(crate) fn heading(text: &str) {
    outln!("\n{}", style(text).bold());
}

/// Progress of something that the label names, on standard error; silent if asked for.
pub(crate) fn progress(label: &str, hidden: bool) -> Progress {
    Progress::new(label, Unit::Steps, hidden)
}

/// Progress of bytes, on standard error.
pub(crate) fn loading(name: &str) -> Progress {
    Progress::new(&format!("loading {name}"), Unit::Bytes, false)
}

/// Seconds as `0.42 s`, `12.3 s` or `2 min 5 s`.
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{s:.2} s"),
        s if s < 60.0 => format!("{s:.1} s"),
        s => humantime::format_duration(Duration::from_secs(s.round() as u64)).to_string(),
    }
}
