//! What output has in common: tables that fit a terminal, colours that `NO_COLOR` turns off,
//! progress on standard error, and numbers in one form.

use std::fmt;
use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use console::{Style, style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

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

/// A section heading on standard output.
pub(crate) fn heading(text: &str) {
    outln!("\n{}", style(text).bold());
}

/// A progress bar on standard error; silent where that is no terminal, or if asked for.
pub(crate) fn progress(label: &str, hidden: bool) -> ProgressBar {
    let bar = ProgressBar::new(0);
    if hidden {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let template = "{prefix:24!} {bar:30.cyan} {pos:>5}/{len} {elapsed:>4} {wide_msg:.dim}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar.set_prefix(label.to_owned());
    bar
}

/// A bar of bytes on standard error; silent where that is no terminal.
pub(crate) fn loading(name: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) =
        ProgressStyle::with_template("{prefix:24!} {bar:30.cyan} {bytes:>10}/{total_bytes} {bytes_per_sec:.dim}")
    {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar.set_prefix(format!("loading {name}"));
    bar
}

/// Seconds as `0.42 s`, `12.3 s` or `2 min 5 s`.
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{s:.2} s"),
        s if s < 60.0 => format!("{s:.1} s"),
        s => humantime::format_duration(Duration::from_secs(s.round() as u64)).to_string(),
    }
}
