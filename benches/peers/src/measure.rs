//! Timing, A B A B: a sample of Unisono, a sample of a peer, and so on through the peers and again.
//!
//! A shared machine's speed drifts; two neighbouring samples see the same machine. So the ratio of
//! each pair is kept, and the median of those is the result.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

/// A sample takes at least this long, so that the clock and a wake-up do not show.
const SAMPLE: Duration = Duration::from_millis(10);
/// Work below this gets an untimed run before each sample, which brings back caches and threads
/// that the neighbour's sample displaced.
const SHORT: Duration = Duration::from_millis(20);
/// Rounds that are made even when the time limit is over.
const LEAST_ROUNDS: usize = 3;

/// A library's way to do the work of a row.
pub(crate) trait Runner {
    /// Does the work `iterations` times and waits for the last.
    fn run(&mut self, iterations: usize) -> Result<()>;
    /// The result of the latest run in row-major order, or `None` where nothing is computed.
    fn output(&mut self) -> Result<Option<Vec<f32>>>;
    /// Called before a sample.
    fn wake(&mut self) {}
    /// Called after a sample: threads that would spin go to sleep.
    fn rest(&mut self) {}
}

/// A library in a row.
pub(crate) struct Entry {
    /// Its name.
    pub(crate) library: &'static str,
    /// Which of its ways this is; empty where there is one.
    pub(crate) variant: String,
    runner: Box<dyn Runner>,
    first: Duration,
}

impl Entry {
    pub(crate) fn new(library: &'static str, variant: impl Into<String>, runner: impl Runner + 'static) -> Entry {
        Entry { library, variant: variant.into(), runner: Box::new(runner), first: Duration::ZERO }
    }

    /// The very first run, timed, and its result.
    pub(crate) fn first_run(&mut self) -> Result<Option<Vec<f32>>> {
        self.runner.wake();
        self.first = self.timed(1)?;
        self.runner.rest();
        self.runner.output()
    }

    fn timed(&mut self, iterations: usize) -> Result<Duration> {
        let start = Instant::now();
        self.runner.run(iterations).with_context(|| self.library)?;
        Ok(start.elapsed())
    }

    fn sample(&mut self, pace: &Pace) -> Result<f64> {
        self.runner.wake();
        if pace.once < SHORT {
            self.timed(1)?;
        }
        let time = self.timed(pace.iterations)?;
        self.runner.rest();
        Ok(time.as_secs_f64() / pace.iterations as f64)
    }

    /// Warms up, each of `copies` at least once: some libraries pack a weight when they first meet
    /// it. How long a run takes then, and how many make a sample.
    fn pace(&mut self, copies: usize) -> Result<Pace> {
        self.runner.wake();
        self.timed(copies)?;
        let mut once = self.timed(1)?;
        let mut warm = once;
        while warm < SAMPLE {
            let time = self.timed(1)?;
            once = once.min(time);
            warm += time;
        }
        self.runner.rest();
        let iterations = (SAMPLE.as_secs_f64() / once.as_secs_f64().max(1e-7)).ceil().clamp(1.0, 10_000.0) as usize;
        Ok(Pace { first: self.first, once, iterations })
    }
}

/// How a library is sampled.
struct Pace {
    first: Duration,
    /// A run after warm-up, roughly.
    once: Duration,
    iterations: usize,
}

/// A median with the 20th and 80th percentile.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) p20: f64,
    pub(crate) p80: f64,
}

impl Spread {
    /// Of at least one number.
    pub(crate) fn of(values: &[f64]) -> Spread {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |q: f64| {
            let place = q * (sorted.len() - 1) as f64;
            let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            low + (high - low) * place.fract()
        };
        Spread { median: at(0.5), p20: at(0.2), p80: at(0.8) }
    }
}

/// The times of one library in a row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Timing {
    /// Seconds of one run.
    pub(crate) seconds: Spread,
    /// Time of Unisono over the time of this library, pair by pair; 1 for Unisono itself.
    pub(crate) ratio: Spread,
    pub(crate) samples: usize,
    /// Runs in a sample.
    pub(crate) iterations: usize,
    /// Seconds of the very first run, with whatever it compiles, packs or tunes.
    pub(crate) first_seconds: f64,
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Samples of each library.
    pub(crate) samples: usize,
    /// Time for a row, after which no new round of samples begins.
    pub(crate) limit: Duration,
    /// Copies of the operands that runs rotate over.
    pub(crate) copies: usize,
}

/// Times `ours` against each of `peers`; the first result is ours.
pub(crate) fn measure(ours: &mut Entry, peers: &mut [Entry], plan: &Plan) -> Result<Vec<Timing>> {
    let own = ours.pace(plan.copies)?;
    let paces = peers.iter_mut().map(|p| p.pace(plan.copies)).collect::<Result<Vec<_>>>()?;
    let mut pairs = vec![Vec::new(); peers.len()];
    let mut alone = Vec::new();
    let start = Instant::now();
    for round in 0..plan.samples {
        if round >= LEAST_ROUNDS && start.elapsed() > plan.limit {
            break;
        }
        if peers.is_empty() {
            alone.push(ours.sample(&own)?);
        }
        for ((peer, pace), pairs) in peers.iter_mut().zip(&paces).zip(&mut pairs) {
            pairs.push((ours.sample(&own)?, peer.sample(pace)?));
        }
    }
    alone.extend(pairs.iter().flatten().map(|(a, _)| *a));
    let timing = |[seconds, ratio]: [Spread; 2], samples: usize, pace: &Pace| Timing {
        seconds,
        ratio,
        samples,
        iterations: pace.iterations,
        first_seconds: pace.first.as_secs_f64(),
    };
    let one = Spread { median: 1.0, p20: 1.0, p80: 1.0 };
    let mut all = vec![timing([Spread::of(&alone), one], alone.len(), &own)];
    all.extend(pairs.iter().zip(&paces).map(|(pairs, pace)| timing(paired(pairs), pairs.len(), pace)));
    Ok(all)
}

/// The times of a peer, and the ratios of ours to them, from pairs of ours and theirs.
fn paired(pairs: &[(f64, f64)]) -> [Spread; 2] {
    let times: Vec<f64> = pairs.iter().map(|(_, theirs)| *theirs).collect();
    let ratios: Vec<f64> = pairs.iter().map(|(ours, theirs)| ours / theirs).collect();
    [Spread::of(&times), Spread::of(&ratios)]
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    /// Does nothing, and writes down when it is woken.
    struct Idler {
        name: &'static str,
        woken: Rc<RefCell<Vec<&'static str>>>,
    }

    impl Runner for Idler {
        fn run(&mut self, _iterations: usize) -> Result<()> {
            Ok(())
        }

        fn output(&mut self) -> Result<Option<Vec<f32>>> {
            Ok(None)
        }

        fn wake(&mut self) {
            self.woken.borrow_mut().push(self.name);
        }
    }

    #[test]
    fn percentiles_lie_between_numbers() {
        let spread = Spread::of(&[5.0, 1.0, 3.0, 2.0, 4.0, 6.0]);
        assert_eq!([spread.p20, spread.median, spread.p80], [2.0, 3.5, 5.0]);
        let one = Spread::of(&[7.0]);
        assert_eq!([one.p20, one.median, one.p80], [7.0; 3]);
    }

    #[test]
    fn a_drift_of_the_machine_cancels_in_the_ratio() {
        let [seconds, ratio] = paired(&[(2.0, 1.0), (6.0, 3.0), (20.0, 10.0)]);
        assert_eq!(seconds.median, 3.0);
        assert_eq!([ratio.p20, ratio.median, ratio.p80], [2.0; 3]);
    }

    #[test]
    fn samples_alternate_with_ours_until_the_limit() {
        let woken = Rc::default();
        let entry = |name| Entry::new(name, "", Idler { name, woken: Rc::clone(&woken) });
        let (mut ours, mut peers) = (entry("ours"), [entry("a"), entry("b")]);
        let plan = Plan { samples: 100, limit: Duration::ZERO, copies: 1 };
        let timings = measure(&mut ours, &mut peers, &plan).unwrap();
        let expected = [2 * LEAST_ROUNDS, LEAST_ROUNDS, LEAST_ROUNDS];
        assert_eq!(timings.iter().map(|t| t.samples).collect::<Vec<_>>(), expected);
        let (warm_up, samples) = (["ours", "a", "b"], ["ours", "a", "ours", "b"].repeat(LEAST_ROUNDS));
        assert_eq!(*woken.borrow(), [&warm_up[..], &samples].concat());
    }
}
