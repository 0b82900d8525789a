//! What became slower from one report to another, without crying wolf.
//!
//! A row has regressed where three things hold: the samples differ (the bootstrap intervals of the
//! medians are apart, and so are the ranks, at a level that is corrected for the many rows); the
//! median is over a threshold; and the reference kernel, timed beside the row in both runs, does not
//! explain it. The threshold grows with
//! the scatter of the reference: on a machine that varies by a fifth, a tenth says nothing, and the
//! result says so.

use serde::Serialize;
use unisono_core::{Error, Result};

use crate::report::{DeviceBench, Figures, Flag, Outcome, Report, Row};
use crate::stats::{interval, median, rank_test};

/// The share of the rows that differ which may do so by chance.
const FALSE_DISCOVERIES: f64 = 0.05;

/// How sure the intervals are that must be apart.
const CONFIDENCE: f64 = 0.99;

/// The ranks of fewer samples say nothing at the level that many rows ask for; instead they must be
/// apart by more than they scatter.
const ENOUGH_SAMPLES: usize = 8;

/// How to compare.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The least change of a median that counts: 0.07 for 7%.
    pub threshold: f64,
    /// Devices of the first report with their counterparts in the second; those of the same id where
    /// there are none.
    pub devices: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Options {
        Options { threshold: 0.07, devices: Vec::new() }
    }
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Right before, and now wrong, skipped or failing.
    Broken,
    /// Slower.
    Regression,
    /// Faster.
    Improvement,
    /// Over the threshold, but the machine was not the same: a drift of the reference explains it, or
    /// the row is flagged for drift.
    Noise,
}

impl Kind {
    /// Every kind, the worst first.
    pub const ALL: [Kind; 4] = [Kind::Broken, Kind::Regression, Kind::Improvement, Kind::Noise];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Broken => "broken",
            Kind::Regression => "regression",
            Kind::Improvement => "improvement",
            Kind::Noise => "noise",
        }
    }
}

/// One row that changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// What happened.
    pub kind: Kind,
    /// The row.
    pub id: String,
    /// The kernel before.
    pub before_kernel: String,
    /// The kernel now.
    pub after_kernel: String,
    /// Seconds before, at the median.
    pub before: Option<f64>,
    /// Seconds now, at the median.
    pub after: Option<f64>,
    /// Now divided by before.
    pub ratio: Option<f64>,
    /// What is wrong now, where the row is broken.
    pub detail: String,
}

/// What changed on one device.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceDifference {
    /// The id in the first report.
    pub before: String,
    /// The id in the second report.
    pub after: String,
    /// Rows that both reports measured.
    pub compared: usize,
    /// The threshold that was used: larger than asked for where the machine varies more.
    pub threshold: f64,
    /// How much slower the reference kernels are now: compute and memory.
    pub reference: Option<[f64; 2]>,
    /// What changed, the worst first.
    pub changes: Vec<Change>,
    /// Rows of the first report that the second lacks.
    pub missing: Vec<String>,
    /// Rows that only the second has.
    pub added: Vec<String>,
}

/// What changed from one report to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// By device.
    pub devices: Vec<DeviceDifference>,
}

impl Difference {
    /// How many rows are of one kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.devices.iter().flat_map(|d| &d.changes).filter(|c| c.kind == kind).count()
    }

    /// Whether nothing is broken and nothing regressed.
    pub fn passed(&self) -> bool {
        self.count(Kind::Broken) + self.count(Kind::Regression) == 0
    }
}

/// Compares two reports. Fails where they have no device in common, or a named one is absent.
pub fn diff(before: &Report, after: &Report, options: &Options) -> Result<Difference> {
    let find = |report: &'_ Report, id: &str| report.devices.iter().position(|d| d.device.id == id);
    let pairs: Vec<(String, String)> = if options.devices.is_empty() {
        let ids = before.devices.iter().map(|d| d.device.id.clone());
        ids.filter(|id| find(after, id).is_some()).map(|id| (id.clone(), id)).collect()
    } else {
        options.devices.clone()
    };
    let mut devices = Vec::new();
    for (a, b) in pairs {
        let absent = |id: &str, which: &str| Error::invalid(format!("the {which} report has no device {id}"));
        let first = find(before, &a).ok_or_else(|| absent(&a, "first"))?;
        let second = find(after, &b).ok_or_else(|| absent(&b, "second"))?;
        devices.push(compare(&before.devices[first], &after.devices[second], options.threshold));
    }
    if devices.is_empty() {
        return Err(Error::invalid("the reports have no device in common"));
    }
    Ok(Difference { devices })
}

/// What names a row in both reports: the selected kernel may have another name now.
fn key(row: &Row) -> (&str, &str) {
    (&row.id, if row.selected { "" } else { &row.kernel })
}

fn compare(before: &DeviceBench, after: &DeviceBench, threshold: f64) -> DeviceDifference {
    let counterpart = |row: &Row| after.rows.iter().find(|other| key(other) == key(row));
    let pairs: Vec<(&Row, &Row)> = before.rows.iter().filter_map(|row| Some((row, counterpart(row)?))).collect();
    let timed = |(a, b): &&(&Row, &Row)| a.figures.is_some() && b.figures.is_some();
    let compared = pairs.iter().filter(timed).count();
    // Twice the scatter of the reference, of the noisier run.
    let scatter = [before, after].iter().filter_map(|d| d.reference_spread).fold(1.0, f64::max) - 1.0;
    let threshold = threshold.max(2.0 * scatter);
    let judge = Judge { threshold, level: level(&pairs) };
    let mut changes: Vec<Change> = pairs.iter().filter_map(|(a, b)| judge.row(a, b)).collect();
    changes.sort_by(|a, b| {
        let rank = |c: &Change| Kind::ALL.iter().position(|k| *k == c.kind);
        let size = |c: &Change| c.ratio.map_or(0.0, |r| r.ln().abs());
        rank(a).cmp(&rank(b)).then(size(b).total_cmp(&size(a)))
    });
    let name = |row: &Row| match row.selected {
        true => row.id.clone(),
        false => format!("{} on {}", row.id, row.kernel),
    };
    let absent = |rows: &[Row], others: &[Row]| {
        let lacks = |row: &&Row| !others.iter().any(|other| key(other) == key(row));
        rows.iter().filter(lacks).map(name).collect()
    };
    let reference = before.reference.zip(after.reference);
    DeviceDifference {
        before: before.device.id.clone(),
        after: after.device.id.clone(),
        compared,
        threshold,
        reference: reference.map(|(a, b)| [b.compute / a.compute, b.memory / a.memory]),
        changes,
        missing: absent(&before.rows, &after.rows),
        added: absent(&after.rows, &before.rows),
    }
}

/// The level of the rank test that keeps false discoveries at their share (Benjamini & Hochberg
/// 1995): the largest p-value with no more than `p · rows` expected below it by chance.
fn level(pairs: &[(&Row, &Row)]) -> f64 {
    let enough = |f: &&Figures| f.samples.len() >= ENOUGH_SAMPLES;
    let of = |(a, b): &(&Row, &Row)| {
        let (a, b) = (a.figures.as_ref().filter(enough)?, b.figures.as_ref().filter(enough)?);
        Some(rank_test(&a.samples, &b.samples))
    };
    let mut all: Vec<f64> = pairs.iter().filter_map(of).collect();
    all.sort_by(f64::total_cmp);
    let n = all.len() as f64;
    let counted = all.iter().enumerate().rev().find(|(i, p)| **p <= FALSE_DISCOVERIES * (*i as f64 + 1.0) / n);
    counted.map_or(0.0, |(_, &p)| p)
}

struct Judge {
    threshold: f64,
    level: f64,
}

impl Judge {
    fn row(&self, before: &Row, after: &Row) -> Option<Change> {
        let change = |kind, ratio| Change {
            kind,
            id: before.id.clone(),
            before_kernel: before.kernel.clone(),
            after_kernel: after.kernel.clone(),
            before: before.figures.as_ref().map(|f| f.time.median),
            after: after.figures.as_ref().map(|f| f.time.median),
            ratio,
            detail: after.detail.clone(),
        };
        if before.outcome == Outcome::Measured && after.outcome != Outcome::Measured {
            return Some(change(Kind::Broken, None));
        }
        let (a, b) = (before.figures.as_ref()?, after.figures.as_ref()?);
        let ratio = median(&b.samples)? / median(&a.samples)?;
        let slower = ratio > 1.0;
        let (fast, slow) = if slower { (a, b) } else { (b, a) };
        let size = if slower { ratio } else { 1.0 / ratio };
        // Cheapest first: resampling takes milliseconds.
        if size <= 1.0 + self.threshold || !self.differ(fast, slow)? {
            return None;
        }
        let drifted = before.flags.contains(&Flag::Drift) || after.flags.contains(&Flag::Drift);
        let explained = size / machine(fast, slow) <= 1.0 + self.threshold;
        let kind = match () {
            () if drifted || explained => Kind::Noise,
            () if slower => Kind::Regression,
            () => Kind::Improvement,
        };
        Some(change(kind, Some(ratio)))
    }

    /// Whether the samples of `slow` are above those of `fast` by more than chance.
    fn differ(&self, fast: &Figures, slow: &Figures) -> Option<bool> {
        let ((_, end), (start, _)) = (interval(&fast.samples, CONFIDENCE)?, interval(&slow.samples, CONFIDENCE)?);
        if fast.samples.len().min(slow.samples.len()) >= ENOUGH_SAMPLES {
            return Some(end < start && rank_test(&fast.samples, &slow.samples) <= self.level);
        }
        // Twice as far apart as either scatters.
        let range = |samples: &[f64]| {
            let middle = median(samples)?;
            Some(samples.iter().fold(0.0, |m: f64, &s| m.max((s - middle).abs())))
        };
        Some(end + range(&fast.samples)? < start - range(&slow.samples)?)
    }
}

/// How much slower the reference was beside the slower row: 1 where it was not.
fn machine(fast: &Figures, slow: &Figures) -> f64 {
    let ratios = fast.reference.zip(slow.reference);
    ratios.map_or(1.0, |(a, b)| (b.compute / a.compute).max(b.memory / a.memory).max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::Beat;
    use crate::report::tests::{report, row};
    use oorandom::Rand64;

    /// Nearly normal, of deviation 1.
    fn normal(random: &mut Rand64) -> f64 {
        (0..12).map(|_| random.rand_float()).sum::<f64>() - 6.0
    }

    /// A run of 200 rows: each sample scatters by 3% and now and then is interrupted, each row as a
    /// whole by 1%, and the run is `pace` times as slow as it could be.
    fn simulated(seed: u128, pace: f64, slower: f64) -> Report {
        let mut random = Rand64::new(seed);
        let mut rows = Vec::new();
        for i in 0..200 {
            let base = 1e-4 * (1.0 + f64::from(i)) * pace * (1.0 + 0.01 * normal(&mut random));
            let base = if i < 10 { base * slower } else { base };
            let samples = (0..15).map(|_| {
                let interrupted = if random.rand_range(0..12) == 0 { 1.6 } else { 1.0 };
                base * interrupted * (1.0 + 0.03 * normal(&mut random))
            });
            let mut row = row(&format!("row {i}"), samples.collect());
            if let Some(figures) = &mut row.figures {
                figures.reference = Some(Beat { compute: 1e-4 * pace, memory: 2e-3 * pace });
            }
            rows.push(row);
        }
        report(rows)
    }

    #[test]
    fn equal_runs_raise_no_alarm() {
        let mut flagged = 0;
        for pair in 0..10 {
            let (a, b) = (simulated(2 * pair, 1.0, 1.0), simulated(2 * pair + 1, 1.0, 1.0));
            flagged += diff(&a, &b, &Options::default()).unwrap().count(Kind::Regression);
        }
        assert!(flagged <= 20, "{flagged} of 2000 rows");
    }

    #[test]
    fn a_slowdown_of_a_tenth_is_found_and_named() {
        let (a, b) = (simulated(1, 1.0, 1.0), simulated(2, 1.0, 1.10));
        let found = diff(&a, &b, &Options::default()).unwrap();
        assert!(!found.passed());
        let changes = &found.devices[0].changes;
        let slow: Vec<&Change> = changes.iter().filter(|c| c.kind == Kind::Regression).collect();
        let expected: Vec<String> = (0..10).map(|i| format!("row {i}")).collect();
        assert!(slow.iter().all(|c| expected.contains(&c.id)), "{slow:?}");
        assert!(slow.len() >= 8, "{} of 10 were found", slow.len());
        let better = diff(&b, &a, &Options::default()).unwrap();
        assert!(better.passed() && better.count(Kind::Improvement) >= 8);
    }

    #[test]
    fn a_slower_machine_is_no_regression() {
        let (a, b) = (simulated(1, 1.0, 1.0), simulated(2, 1.3, 1.0));
        let found = diff(&a, &b, &Options::default()).unwrap();
        assert!(found.passed(), "{:?}", found.devices[0].changes.first());
        assert!(found.count(Kind::Noise) > 150);
        // Without the reference it would be one.
        let mut blind = b;
        for row in &mut blind.devices[0].rows {
            row.figures.as_mut().unwrap().reference = None;
        }
        assert!(!diff(&a, &blind, &Options::default()).unwrap().passed());
    }

    #[test]
    fn a_noisy_machine_asks_for_more() {
        let (a, mut b) = (simulated(1, 1.0, 1.0), simulated(2, 1.0, 1.3));
        assert!(!diff(&a, &b, &Options::default()).unwrap().passed());
        b.devices[0].reference_spread = Some(1.25);
        let found = diff(&a, &b, &Options::default()).unwrap();
        assert!(found.passed() && found.devices[0].threshold == 0.5);
    }

    #[test]
    fn what_was_right_and_is_wrong_is_broken() {
        let a = report(vec![row("x", vec![1.0; 15]), row("y", vec![1.0; 15])]);
        let mut b = report(vec![row("x", vec![1.0; 15]), row("z", vec![1.0; 15])]);
        b.devices[0].rows[0].outcome = Outcome::Wrong;
        b.devices[0].rows[0].figures = None;
        let found = diff(&a, &b, &Options::default()).unwrap();
        assert!(!found.passed() && found.count(Kind::Broken) == 1);
        let device = &found.devices[0];
        assert_eq!((device.missing.as_slice(), device.added.as_slice()), (&["y".into()][..], &["z".into()][..]));
    }

    #[test]
    fn another_kernel_of_the_selector_is_still_the_same_row() {
        let a = report(vec![row("x", vec![1.0; 15])]);
        let mut b = report(vec![row("x", vec![2.0; 15])]);
        b.devices[0].rows[0].kernel = "another".into();
        assert_eq!(diff(&a, &b, &Options::default()).unwrap().count(Kind::Regression), 1);
    }

    #[test]
    fn reports_without_a_common_device_are_refused() {
        let a = report(Vec::new());
        let mut b = report(Vec::new());
        b.devices[0].device.id = "wgpu:0".into();
        assert!(diff(&a, &b, &Options::default()).is_err());
        let pair = |x: &str, y: &str| Options { devices: vec![(x.into(), y.into())], ..Options::default() };
        assert!(diff(&a, &b, &pair("cpu", "wgpu:0")).is_ok());
        assert!(diff(&a, &b, &pair("cpu", "gpu")).unwrap_err().to_string().contains("gpu"));
    }
}
