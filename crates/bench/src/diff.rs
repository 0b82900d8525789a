//! What became slower from one report to another, without crying wolf.
//!
//! Every row was measured in rounds, with all other rows between them. How far the rounds of a row lie
//! apart is what two measurements of the same thing differ by, on this machine and at that time: each
//! report is its own A/A test. A row has regressed where all of these hold:
//!
//! * it is slower however its time is read: by the middle of its rounds, by its best round and by its
//!   fastest sample, each by more than the threshold; a disturbance moves some of these, a slower
//!   kernel all;
//! * so it is when each round is divided by the reference kernels that were timed beside it;
//! * the bootstrap interval of the ratio does not reach 1.
//!
//! The threshold is the least change that was asked for, or what the rounds say of the machine,
//! whichever is larger: the gap between the two best rounds, of this row and of most rows.

use serde::Serialize;
use unisono_core::{Error, Result};

use crate::reference::Beat;
use crate::report::{DeviceBench, Figures, Outcome, Report, Row};
use crate::stats::{median, quantile, ratio_interval};

/// How sure the interval of a ratio is.
const CONFIDENCE: f64 = 0.99;

/// The share of the rows whose gaps the threshold of every row covers.
const COVERED: f64 = 0.9;

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
    /// Over the threshold, but the machine was not the same: the reference kernels beside the row
    /// explain it.
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
    /// The bootstrap interval of the ratio, at 99%.
    pub interval: Option<[f64; 2]>,
    /// What the row had to differ by: 0.07 for 7%.
    pub threshold: Option<f64>,
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
    /// What every row had to differ by: more than asked for where the machine varies more. A row
    /// whose own rounds vary more than most must differ by that.
    pub threshold: f64,
    /// How many rows had to differ by more than that.
    pub unsteady: usize,
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
    let judge = Judge { threshold: threshold.max(usual(before)).max(usual(after)) };
    let unsteady = pairs.iter().filter(|(a, b)| judge.of_row(a).max(judge.of_row(b)) > judge.threshold).count();
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
        threshold: judge.threshold,
        unsteady,
        reference: reference.map(|(a, b)| [b.compute / a.compute, b.memory / a.memory]),
        changes,
        missing: absent(&before.rows, &after.rows),
        added: absent(&after.rows, &before.rows),
    }
}

/// The time of a row in the ways in which a slower kernel is seen.
struct Readings {
    /// The middle of all rounds, the best round, the fastest sample, in seconds.
    seconds: [f64; 3],
    /// The middle of all rounds, each in units of the reference kernels beside it.
    relative: f64,
    /// How much slower the second best round is than the best, as a share. `None` of one round.
    gap: Option<f64>,
}

impl Readings {
    fn of(figures: &Figures) -> Option<Readings> {
        let rounds: Vec<f64> = figures.by_round().into_iter().filter_map(median).collect();
        let beats = figures.rounds.iter().map(|r| Some(r.reference)).chain(std::iter::repeat(figures.reference));
        let relative: Vec<f64> = rounds.iter().zip(beats).map(|(seconds, beat)| seconds / pace(beat)).collect();
        let mut sorted = rounds;
        sorted.sort_by(f64::total_cmp);
        let best = *sorted.first()?;
        let fastest = figures.samples.iter().copied().fold(f64::INFINITY, f64::min);
        let gap = sorted.get(1).map(|second| second / best - 1.0);
        Some(Readings { seconds: [quantile(&sorted, 0.5)?, best, fastest], relative: median(&relative)?, gap })
    }
}

/// How slow the machine was: the geometric mean of both references, or 1 where there is none.
fn pace(beat: Option<Beat>) -> f64 {
    beat.map(|b| (b.compute * b.memory).sqrt()).filter(|p| p.is_finite() && *p > 0.0).unwrap_or(1.0)
}

/// How much two measurements of the same thing usually differ by in a run, as a share: what the gaps
/// of most of its rows stay under. Without rounds it is taken from the reference, which is measured
/// all the time: twice its scatter.
fn usual(bench: &DeviceBench) -> f64 {
    let gap = |row: &Row| Readings::of(row.figures.as_ref()?)?.gap;
    let mut gaps: Vec<f64> = bench.rows.iter().filter_map(gap).collect();
    gaps.sort_by(f64::total_cmp);
    quantile(&gaps, COVERED).unwrap_or_else(|| 2.0 * (bench.reference_spread.unwrap_or(1.0) - 1.0))
}

struct Judge {
    threshold: f64,
}

impl Judge {
    /// What a row has to differ by.
    fn of_row(&self, row: &Row) -> f64 {
        let gap = row.figures.as_ref().and_then(Readings::of).and_then(|r| r.gap);
        gap.map_or(self.threshold, |gap| gap.max(self.threshold))
    }

    fn row(&self, before: &Row, after: &Row) -> Option<Change> {
        let change = |kind, ratio, interval, threshold| Change {
            kind,
            id: before.id.clone(),
            before_kernel: before.kernel.clone(),
            after_kernel: after.kernel.clone(),
            before: before.figures.as_ref().map(|f| f.time.median),
            after: after.figures.as_ref().map(|f| f.time.median),
            ratio,
            interval,
            threshold,
            detail: after.detail.clone(),
        };
        if before.outcome == Outcome::Measured && after.outcome != Outcome::Measured {
            return Some(change(Kind::Broken, None, None, None));
        }
        let (a, b) = (before.figures.as_ref()?, after.figures.as_ref()?);
        let (ours, theirs) = (Readings::of(a)?, Readings::of(b)?);
        let ratios = [0, 1, 2].map(|i| theirs.seconds[i] / ours.seconds[i]);
        let slower = ratios[0] > 1.0;
        let change_of = |ratio: f64| if slower { ratio } else { 1.0 / ratio };
        let size = ratios.into_iter().map(change_of).fold(f64::INFINITY, f64::min);
        let threshold = self.of_row(before).max(self.of_row(after));
        // Cheapest first: resampling takes milliseconds.
        if size.is_nan() || size <= 1.0 + threshold {
            return None;
        }
        let (low, high) = ratio_interval(&b.samples, &a.samples, CONFIDENCE)?;
        if low <= 1.0 && high >= 1.0 {
            return None;
        }
        let kind = match () {
            () if change_of(theirs.relative / ours.relative) <= 1.0 + threshold => Kind::Noise,
            () if slower => Kind::Regression,
            () => Kind::Improvement,
        };
        Some(change(kind, Some(ratios[0]), Some([low, high]), Some(threshold)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Round;
    use crate::report::tests::{report, row};
    use oorandom::Rand64;

    /// Nearly normal, of deviation 1.
    fn normal(random: &mut Rand64) -> f64 {
        (0..12).map(|_| random.rand_float()).sum::<f64>() - 6.0
    }

    /// A run of 100 rows in five rounds of three samples on a machine of some `noise`: each sample
    /// scatters by as much and now and then is interrupted, each round as a whole by as much again,
    /// and a neighbour comes and goes who slows rows and reference down by ten times the noise. The
    /// first ten rows are `slower` times as slow, and the whole run is `pace` times as slow.
    fn simulated(seed: u128, noise: f64, pace: f64, slower: f64) -> Report {
        let mut random = Rand64::new(seed);
        let mut rows = Vec::new();
        let mut neighbour = 1.0;
        for i in 0..100 {
            let (mut samples, mut rounds) = (Vec::new(), Vec::new());
            for _ in 0..5 {
                if random.rand_range(0..4) == 0 {
                    neighbour = if neighbour > 1.0 { 1.0 } else { 1.0 + 10.0 * noise };
                }
                let base = 1e-4 * (1.0 + f64::from(i)) * pace * neighbour * (1.0 + noise * normal(&mut random));
                let base = if i < 10 { base * slower } else { base };
                samples.extend((0..3).map(|_| {
                    let interrupted = if random.rand_range(0..12) == 0 { 1.6 } else { 1.0 };
                    base * interrupted * (1.0 + noise * normal(&mut random))
                }));
                let beat = pace * neighbour * (1.0 + noise * normal(&mut random));
                rounds.push(Round { samples: 3, reference: Beat { compute: 1e-4 * beat, memory: 2e-3 * beat } });
            }
            let mut row = row(&format!("row {i}"), samples);
            if let Some(figures) = &mut row.figures {
                let beats: Vec<Beat> = rounds.iter().map(|r| r.reference).collect();
                (figures.rounds, figures.reference) = (rounds, crate::reference::middle(&beats));
            }
            rows.push(row);
        }
        report(rows)
    }

    /// Of ten pairs of equal runs at most 1% of the rows may be flagged, on a quiet machine and on
    /// one that varies by a half.
    #[test]
    fn equal_runs_raise_no_alarm() {
        for noise in [0.005, 0.01, 0.05] {
            let mut flagged = 0;
            for pair in 0..10 {
                let (a, b) = (simulated(2 * pair, noise, 1.0, 1.0), simulated(2 * pair + 1, noise, 1.0, 1.0));
                let found = diff(&a, &b, &Options::default()).unwrap();
                flagged += found.count(Kind::Regression) + found.count(Kind::Improvement);
                assert_eq!(found.devices[0].compared, 100);
            }
            assert!(flagged <= 10, "{flagged} of 1000 rows at {noise}");
        }
    }

    #[test]
    fn a_slowdown_of_a_fifth_is_found_on_a_quiet_machine() {
        let (a, b) = (simulated(1, 0.005, 1.0, 1.0), simulated(2, 0.005, 1.0, 1.2));
        let found = diff(&a, &b, &Options::default()).unwrap();
        assert!(!found.passed());
        let device = &found.devices[0];
        let slow: Vec<&Change> = device.changes.iter().filter(|c| c.kind == Kind::Regression).collect();
        let planted: Vec<String> = (0..10).map(|i| format!("row {i}")).collect();
        assert!(slow.iter().all(|c| planted.contains(&c.id)), "{slow:?}");
        assert!(slow.len() >= 8, "{} of 10 were found, threshold {}", slow.len(), device.threshold);
        let [low, high] = slow[0].interval.unwrap();
        assert!(1.0 < low && low < 1.3 && 1.15 < high && high < 1.9, "{low} {high}");
        let better = diff(&b, &a, &Options::default()).unwrap();
        assert!(better.passed() && better.count(Kind::Improvement) >= 8);
    }

    #[test]
    fn one_disturbed_round_hides_nothing_and_is_no_regression() {
        let steady = |seconds: [f64; 5]| {
            let samples = seconds.iter().flat_map(|s| (0..3).map(move |i| s * (1.0 + 0.001 * f64::from(i)))).collect();
            let mut row = row("x", samples);
            let rounds = vec![Round { samples: 3, reference: Beat { compute: 1e-4, memory: 2e-3 } }; 5];
            row.figures.as_mut().unwrap().rounds = rounds;
            report(vec![row])
        };
        let (calm, disturbed) = (steady([1.0, 1.01, 1.0, 1.02, 1.01]), steady([1.0, 1.6, 1.01, 1.0, 1.02]));
        let kinds = |a: &Report, b: &Report| -> Vec<Kind> {
            diff(a, b, &Options::default()).unwrap().devices[0].changes.iter().map(|c| c.kind).collect()
        };
        assert_eq!(kinds(&calm, &disturbed), []);
        assert_eq!(kinds(&disturbed, &steady([1.25, 1.26, 1.25, 1.25, 1.24])), [Kind::Regression]);
        // All but one: the best round and the fastest sample are what they were.
        assert_eq!(kinds(&calm, &steady([1.3, 1.3, 1.31, 1.0, 1.31])), []);
        // Rounds that differ so much cannot show a fifth.
        assert_eq!(kinds(&calm, &steady([1.2, 1.6, 1.9, 1.5, 1.8])), []);
    }

    #[test]
    fn a_slower_machine_is_no_regression() {
        let (a, b) = (simulated(1, 0.005, 1.0, 1.0), simulated(2, 0.005, 1.3, 1.0));
        let found = diff(&a, &b, &Options::default()).unwrap();
        assert!(found.passed(), "{:?}", found.devices[0].changes.first());
        assert!(found.count(Kind::Noise) > 75);
        // Without the reference it would be one.
        let mut blind = b;
        for row in &mut blind.devices[0].rows {
            let rounds = &mut row.figures.as_mut().unwrap().rounds;
            rounds.iter_mut().for_each(|r| r.reference = Beat { compute: 1e-4, memory: 2e-3 });
        }
        assert!(!diff(&a, &blind, &Options::default()).unwrap().passed());
    }

    #[test]
    fn a_noisy_machine_asks_for_more_and_says_so() {
        let quiet = simulated(1, 0.005, 1.0, 1.0);
        let of = |other: &Report| diff(&quiet, other, &Options::default()).unwrap().devices[0].threshold;
        assert!(of(&simulated(2, 0.005, 1.0, 1.0)) < 0.12, "{}", of(&simulated(2, 0.005, 1.0, 1.0)));
        assert!(of(&simulated(2, 0.05, 1.0, 1.0)) > 0.2);
        // A report of version 1 has no rounds: twice the scatter of the reference.
        let mut old = report(vec![row("x", vec![1.0; 15])]);
        old.devices[0].reference_spread = Some(1.25);
        assert_eq!(diff(&old, &old, &Options::default()).unwrap().devices[0].threshold, 0.5);
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
