//! How one kernel is timed: warm-up, batches long enough for the clock, at least 15 samples.
//!
//! A sample is the time of a batch of runs, divided by their number. The batch is as long as the
//! clock needs: a millisecond by timestamps of the device, five by the host's clock, which also sees
//! the submission. A row has a budget of time; where it ends the samples early, the row says so.

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

/// The times of one kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Timed {
    /// Whose clock.
    pub clock: Clock,
    /// Seconds of one run, by sample.
    pub samples: Vec<f64>,
    /// Runs in each sample.
    pub batch: usize,
}

/// Something that can be run many times and timed.
pub trait Runs {
    /// Runs it `count` times and gives the time of all.
    fn run(&mut self, count: usize) -> Result<(Clock, Duration)>;
}

/// Measures `runs`. `between` is called about four times, spread over the samples: the place of the
/// [reference](crate::reference).
pub fn measure(runs: &mut dyn Runs, effort: &Effort, between: &mut dyn FnMut() -> Result<()>) -> Result<Timed> {
    let (clock, batch) = calibrate(runs, effort)?;
    let wanted = effort.samples.max(FEWEST);
    let start = Instant::now();
    let mut samples = Vec::with_capacity(wanted);
    while samples.len() < wanted && (samples.len() < FEWEST || start.elapsed() < effort.limit) {
        if samples.len() % wanted.div_ceil(4) == 0 {
            between()?;
        }
        let (_, time) = runs.run(batch)?;
        samples.push(time.as_secs_f64() / batch as f64);
    }
    Ok(Timed { clock, samples, batch })
}

/// Warms up, and finds how many runs make a sample.
fn calibrate(runs: &mut dyn Runs, effort: &Effort) -> Result<(Clock, usize)> {
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

    fn timed(clock: Clock, each: Duration) -> (Timed, Fixed) {
        let mut runs = Fixed { clock, each, calls: Vec::new() };
        let timed = measure(&mut runs, &Effort::default(), &mut || Ok(())).unwrap();
        (timed, runs)
    }

    #[test]
    fn short_kernels_are_batched_until_the_clock_can_see_them() {
        for (clock, least) in [(Clock::Device, 1e-3), (Clock::Host, 5e-3)] {
            let (timed, runs) = timed(clock, Duration::from_micros(3));
            assert_eq!(timed.samples.len(), 15);
            assert!(timed.samples.iter().all(|s| (s - 3e-6).abs() < 1e-12), "{:?}", timed.samples);
            assert!(timed.batch as f64 * 3e-6 >= least, "{clock:?}: {}", timed.batch);
            assert!(timed.batch as f64 * 3e-6 <= 2.0 * least, "{clock:?}: {}", timed.batch);
            assert_eq!(runs.calls[0], 1, "one run warms up");
            assert!(runs.calls[runs.calls.len() - 15..].iter().all(|&n| n == timed.batch));
        }
    }

    #[test]
    fn long_kernels_run_once_per_sample() {
        let (timed, runs) = timed(Clock::Device, Duration::from_millis(30));
        assert_eq!((timed.batch, timed.samples.len(), runs.calls.len()), (1, 15, 17));
    }

    #[test]
    fn a_row_that_is_out_of_time_takes_few_samples_but_not_none() {
        let mut runs = Fixed { clock: Clock::Host, each: Duration::from_millis(9), calls: Vec::new() };
        let effort = Effort { limit: Duration::ZERO, ..Effort::default() };
        let mut between = 0;
        let timed = measure(&mut runs, &effort, &mut || {
            between += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!((timed.samples.len(), between), (FEWEST, 1));
    }

    #[test]
    fn the_reference_has_its_turn_four_times() {
        let mut runs = Fixed { clock: Clock::Device, each: Duration::from_millis(2), calls: Vec::new() };
        let mut between = 0;
        let count = &mut || {
            between += 1;
            Ok(())
        };
        measure(&mut runs, &Effort::default(), count).unwrap();
        assert_eq!(between, 4);
    }
}
