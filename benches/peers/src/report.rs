//! The table: on the terminal, as Markdown and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use crate::measure::{Spread, Timing};

/// Where Unisono needs more than this many times the best peer's time, a row is listed as slow.
const SLOW: f64 = 3.0;

/// A library in a row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) library: String,
    /// Which of the library's ways; Unisono's kernel.
    pub(crate) variant: String,
    /// `‖theirs − ours‖ / ‖ours‖` of the outputs.
    pub(crate) difference: Option<f64>,
    /// Why there is no timing: it failed, or its output is another one.
    pub(crate) problem: Option<String>,
    pub(crate) timing: Option<Timing>,
}

impl Measured {
    fn name(&self) -> String {
        if self.variant.is_empty() { self.library.clone() } else { format!("{} ({})", self.library, self.variant) }
    }

    fn is_peer(&self) -> bool {
        self.library != "memory"
    }
}

/// A line of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) device: String,
    /// The largest difference of outputs at which they agree.
    pub(crate) bound: f64,
    /// Bytes or operations of one run.
    pub(crate) amount: f64,
    pub(crate) unit: String,
    /// Processes that wanted to run, on average of the last minute, when the row was done.
    pub(crate) load: Option<f64>,
    pub(crate) ours: Measured,
    pub(crate) peers: Vec<Measured>,
}

impl Line {
    /// The peer that takes least beside ours.
    fn best(&self) -> Option<(&Measured, &Timing)> {
        let peers = self.peers.iter().filter(|p| p.is_peer());
        let timed = peers.filter_map(|p| p.timing.as_ref().map(|t| (p, t)));
        timed.max_by(|a, b| a.1.ratio.median.total_cmp(&b.1.ratio.median))
    }

    fn memory(&self) -> Option<&Timing> {
        self.peers.iter().find(|p| !p.is_peer()).and_then(|p| p.timing.as_ref())
    }

    fn rate(&self, time: &Spread) -> String {
        format!("{:.1} {}", self.amount / time.median / 1e9, self.unit)
    }

    /// The line of a run that goes on.
    pub(crate) fn short(&self) -> String {
        let [id, own, rate, best, ratio, memory, others] = self.cells();
        format!("{id}: {own} ms, {rate}; best {best}, ratio {ratio}; {memory}; {others}")
    }

    fn cells(&self) -> [String; 7] {
        let Some(own) = &self.ours.timing else { return [const { String::new() }; 7] };
        let best = self.best();
        let others = self.peers.iter().filter(|p| p.is_peer());
        let others: Vec<String> = others
            .filter(|p| best.is_none_or(|(b, _)| !std::ptr::eq(*p, b)))
            .map(|p| match (&p.timing, &p.problem) {
                (Some(t), _) => format!("{} {}", p.name(), milliseconds(t.seconds.median)),
                (None, Some(problem)) => format!("{}: {problem}", p.name()),
                (None, None) => p.name(),
            })
            .collect();
        [
            self.id.clone(),
            time(&own.seconds),
            self.rate(&own.seconds),
            best.map_or("none".into(), |(p, t)| format!("{} {}", p.name(), time(&t.seconds))),
            best.map_or_else(String::new, |(_, t)| ratio(&t.ratio)),
            self.memory()
                .map_or_else(String::new, |t| format!("{:.0}% of {}", 100.0 / t.ratio.median, self.rate(&t.seconds))),
            others.join("; "),
        ]
    }
}

const HEADER: [&str; 7] = [
    "row",
    "Unisono, ms (p20–p80)",
    "rate",
    "best peer, ms",
    "Unisono / best",
    "share of memory read",
    "other peers, ms",
];

fn milliseconds(seconds: f64) -> String {
    let ms = seconds * 1e3;
    let digits = if ms < 1.0 {
        3
    } else if ms < 100.0 {
        2
    } else {
        0
    };
    format!("{ms:.digits$}")
}

fn time(spread: &Spread) -> String {
    let [median, p20, p80] = [spread.median, spread.p20, spread.p80].map(milliseconds);
    format!("{median} ({p20}–{p80})")
}

fn ratio(spread: &Spread) -> String {
    format!("{:.2} ({:.2}–{:.2})", spread.median, spread.p20, spread.p80)
}

/// Everything that a run found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) date: Option<String>,
    pub(crate) processor: String,
    pub(crate) threads: usize,
    /// Vector extensions that the program was compiled for.
    pub(crate) compiled_for: Vec<String>,
    /// Names and drivers of the devices, by id.
    pub(crate) devices: BTreeMap<String, String>,
    pub(crate) versions: BTreeMap<String, String>,
    pub(crate) samples: usize,
    pub(crate) seconds_per_row: u64,
    pub(crate) rows: Vec<Line>,
}

impl Report {
    /// For the terminal.
    pub(crate) fn table(&self) -> String {
        let mut table = Table::new();
        table.set_content_arrangement(ContentArrangement::Dynamic).set_header(HEADER);
        for line in &self.rows {
            table.add_row(line.cells());
        }
        format!("{table}\n{}", self.slow())
    }

    /// Rows in which Unisono is far behind.
    fn slow(&self) -> String {
        let mut text = String::new();
        for line in &self.rows {
            if let Some((peer, timing)) = line.best().filter(|(_, t)| t.ratio.median > SLOW) {
                let _ = writeln!(
                    text,
                    "- {} on {}: {:.1} times the time of {} (kernel {})",
                    line.id,
                    line.device,
                    timing.ratio.median,
                    peer.name(),
                    line.ours.variant
                );
            }
        }
        if text.is_empty() { format!("No row is more than {SLOW} times behind the best peer.\n") } else { text }
    }

    /// For people: what was measured and on what, then a table for each device.
    fn markdown(&self) -> String {
        let mut text = String::new();
        let date = self.date.as_deref().unwrap_or("not stated");
        let _ = writeln!(text, "- Date: {date}");
        let _ = writeln!(text, "- Processor: {}, {} threads each", self.processor, self.threads);
        let _ = writeln!(text, "- Compiled for: {}", self.compiled_for.join(", "));
        let versions: Vec<String> = self.versions.iter().map(|(name, v)| format!("{name} {v}")).collect();
        let _ = writeln!(text, "- Versions: {}", versions.join(", "));
        let _ = writeln!(
            text,
            "- Samples: {} of each library in a row, or as many as fit into {} s (at least three)",
            self.samples, self.seconds_per_row
        );
        let loads: Vec<f64> = self.rows.iter().filter_map(|r| r.load).collect();
        if !loads.is_empty() {
            let load = Spread::of(&loads);
            let _ = writeln!(
                text,
                "- Load of the machine, this program included: {:.1} ({:.1}–{:.1})",
                load.median, load.p20, load.p80
            );
        }
        for (device, name) in &self.devices {
            let _ = writeln!(text, "\n## {device}: {name}\n");
            let _ = writeln!(text, "| {} |\n|{}", HEADER.join(" | "), "---|".repeat(HEADER.len()));
            for line in self.rows.iter().filter(|l| l.device == *device) {
                let _ = writeln!(text, "| {} |", line.cells().join(" | "));
            }
        }
        let _ = writeln!(text, "\n## More than {SLOW} times behind\n\n{}", self.slow());
        text
    }

    /// Writes `peers-speed.json` and `peers-speed.md` into `folder`.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let put = |name: &str, text: String| {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        put("peers-speed.json", serde_json::to_string_pretty(self)? + "\n")?;
        put("peers-speed.md", self.markdown())
    }
}
