//! How one kernel is timed: warm-up, batches long enough for the clock, at least 15 samples.
//!
//! A sample is the time of a batch of runs, divided by their number. The batch is as long as the
//! clock needs: a millisecond by timestamps of the device, five by the host's clock, which also sees
//! the submission. A row has a budget of time; where it ends the samples early, the row says so.
//! Samples are taken in rounds, each after every other row had its turn: a machine that changes while
//! it is measured is seen in the differences between the rounds.

use std::sync::Arc;
use std::time::Duration;

use unisono_core::{Backend, Bindings, Clock, Plan, Result};
use web_time::Instant;

/// The most runs in one sample.
const MAX_BATCH: usize = 8192;

/// Runs before the first sample, at least.
const WARM_UP_RUNS: usize = 2;

/// Samples below which nothing is said at all.
pub const FEWEST: usize = 3;

/// Samples from one call of the reference to the next.
const BETWEEN: usize = 3;

/// How long and how often to measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// Samples of a row.
    pub samples: usize,
    /// Time for the samples of a row. After it at least [`FEWEST`] are taken, and no more.
    pub limit: Duration,
    /// The least length of a sample by a device's clock.
    pub device_sample: Duration,
    /// The least length of a sample by the host's clock.
    pub host_sample: Duration,
}

impl Default for Effort {
    fn default() -> Effort {
        Effort {
            samples: 15,
            limit: Duration::from_secs(2),
            device_sample: Duration::from_millis(1),
            host_sample: Duration::from_millis(5),
        }
    }
}

/// Something that can be run many times and timed.
pub trait Runs {
    /// Runs it `count` times and gives the time of all.
    fn run(&mut self, count: usize) -> Result<(Clock, Duration)>;
}

impl Effort {
    /// The part of this effort that falls to `round` of so many: samples are dealt out evenly, and so
    /// is the time.
    pub fn of_round(&self, round: usize, rounds: usize) -> Effort {
        let (rounds, all) = (rounds.max(1), self.samples.max(FEWEST));
        let samples = all * (round + 1) / rounds - all * round / rounds;
        Effort { samples: samples.max(1), limit: self.limit / rounds as u32, ..*self }
    }
}

/// Takes the samples of one round, each of `batch` runs: seconds of one run. At least `fewest` are
/// taken, whatever the time. `between` is called before every third: the place of the
/// [reference](crate::reference).
pub fn sample(
    runs: &mut dyn Runs,
    batch: usize,
    effort: &Effort,
    fewest: usize,
    between: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<f64>> {
    let start = Instant::now();
    let mut samples = Vec::with_capacity(effort.samples);
    while samples.len() < effort.samples && (samples.len() < fewest || start.elapsed() < effort.limit) {
        if samples.len().is_multiple_of(BETWEEN) {
            between()?;
        }
        let (_, time) = runs.run(batch)?;
        samples.push(time.as_secs_f64() / batch as f64);
    }
    Ok(samples)
}

/// Warms up, and finds whose clock there is and how many runs make a sample.
pub fn calibrate(runs: &mut dyn Runs, effort: &Effort) -> Result<(Clock, usize)> {
    let start = Instant::now();
    // The first run compiles, allocates and pages in.
    runs.run(1)?;
    let (mut batch, mut ran) = (1, 1);
    loop {
        let (clock, time) = runs.run(batch)?;
        ran += batch;
        let least = match clock {
            Clock::Device => effort.device_sample,
            Clock::Host => effort.host_sample,
        };
        let warm = ran >= WARM_UP_RUNS;
        if (time >= least && warm) || batch >= MAX_BATCH || start.elapsed() >= effort.limit {
            return Ok((clock, batch));
        }
        // A tenth more than it takes, and at most ten times as many: the first runs may be slow.
        let factor = 1.1 * least.as_secs_f64() / time.as_secs_f64().max(1e-9);
        batch = ((batch as f64 * factor.clamp(1.5, 10.0)).ceil() as usize).min(MAX_BATCH);
    }
}

/// A compiled operation over one or more sets of buffers, which take turns.
#[derive(Debug)]
pub struct Rotation<'a> {
    backend: &'a dyn Backend,
    plan: Arc<dyn Plan>,
    bindings: &'a [Bindings],
    next: usize,
}

impl<'a> Rotation<'a> {
    /// Runs `plan` over `bindings` in turn. There is at least one.
    pub fn new(backend: &'a dyn Backend, plan: Arc<dyn Plan>, bindings: &'a [Bindings]) -> Rotation<'a> {
        Rotation { backend, plan, bindings, next: 0 }
    }
}

impl Runs for Rotation<'_> {
    fn run(&mut self, count: usize) -> Result<(Clock, Duration)> {
        let all = self.bindings.iter().cycle().skip(self.next);
        let turn: Vec<Bindings> = all.take(count).cloned().collect();
        self.next = (self.next + count) % self.bindings.len().max(1);
        if let Some(time) = self.backend.time(&self.plan, &turn)? {
            return Ok((Clock::Device, time));
        }
        let start = Instant::now();
        let mut last = None;
        for bindings in &turn {
            last = Some(self.backend.submit(&self.plan, bindings)?);
        }
        if let Some(ticket) = last {
            ticket.wait()?;
        }
        Ok((Clock::Host, start.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a fixed time per run, and notes how it was called.
    struct Fixed {
        clock: Clock,
        each: Duration,
        calls: Vec<usize>,
    }

    impl Runs for Fixed {
        fn run(&mut self, count: usize) -> Result<(Clock, Duration)> {
            self.calls.push(count);
            Ok((self.clock, self.each * count as u32))
        }
    }

    fn timed(clock: Clock, each: Duration) -> (usize, Vec<f64>, Fixed) {
        let mut runs = Fixed { clock, each, calls: Vec::new() };
        let (found, batch) = calibrate(&mut runs, &Effort::default()).unwrap();
        assert_eq!(found, clock);
        let samples = sample(&mut runs, batch, &Effort::default(), FEWEST, &mut || Ok(())).unwrap();
        (batch, samples, runs)
    }

    #[test]
    fn short_kernels_are_batched_until_the_clock_can_see_them() {
        for (clock, least) in [(Clock::Device, 1e-3), (Clock::Host, 5e-3)] {
            let (batch, samples, runs) = timed(clock, Duration::from_micros(3));
            assert_eq!(samples.len(), 15);
            assert!(samples.iter().all(|s| (s - 3e-6).abs() < 1e-12), "{samples:?}");
            assert!(batch as f64 * 3e-6 >= least, "{clock:?}: {batch}");
            assert!(batch as f64 * 3e-6 <= 2.0 * least, "{clock:?}: {batch}");
            assert_eq!(runs.calls[0], 1, "one run warms up");
            assert!(runs.calls[runs.calls.len() - 15..].iter().all(|&n| n == batch));
        }
    }

    #[test]
    fn long_kernels_run_once_per_sample() {
        let (batch, samples, runs) = timed(Clock::Device, Duration::from_millis(30));
        assert_eq!((batch, samples.len(), runs.calls.len()), (1, 15, 17));
    }

    #[test]
    fn a_row_that_is_out_of_time_takes_few_samples_but_not_none() {
        let mut runs = Fixed { clock: Clock::Host, each: Duration::from_millis(9), calls: Vec::new() };
        let effort = Effort { limit: Duration::ZERO, ..Effort::default() };
        let samples = sample(&mut runs, 1, &effort, 2, &mut || Ok(())).unwrap();
        assert_eq!(samples.len(), 2);
    }

    #[test]
    fn the_reference_has_its_turn_before_every_third_sample() {
        let mut runs = Fixed { clock: Clock::Device, each: Duration::from_millis(2), calls: Vec::new() };
        let mut between = Vec::new();
        let mut runs_so_far = 0;
        sample(&mut runs, 1, &Effort { samples: 7, ..Effort::default() }, FEWEST, &mut || {
            runs_so_far += 3;
            between.push(runs_so_far);
            Ok(())
        })
        .unwrap();
        assert_eq!(between, [3, 6, 9]);
    }

    #[test]
    fn rounds_share_the_samples_and_the_time() {
        let shares = |samples: usize, rounds: usize| -> Vec<usize> {
            let effort = Effort { samples, ..Effort::default() };
            (0..rounds).map(|round| effort.of_round(round, rounds).samples).collect()
        };
        assert_eq!((shares(15, 3), shares(16, 3), shares(15, 1)), (vec![5, 5, 5], vec![5, 5, 6], vec![15]));
        assert_eq!(shares(1, 3), [1, 1, 1], "no round without a sample");
        assert_eq!(Effort::default().of_round(1, 4).limit, Duration::from_millis(500));
    }
}
