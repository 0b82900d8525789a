//! Whether a worker that makes no progress hangs, or only waits for its turn.
//!
//! The clock on the wall cannot tell: beside other work a driver that builds a kernel in ten seconds
//! takes minutes, and a process that somebody stopped takes as long as it is stopped. So what counts
//! is time that the worker had for itself, by its own account, since its last progress: a case that
//! started or ended, a kernel that was built, a submission that came back. Each heartbeat tells its
//! clock *t*, the processor time *c* of all its threads, and, on Linux, the time *w* that its threads
//! could have run and were not let. Of the time between two progresses this counts:
//!
//! * **min(c, t)**: it ran. A driver that spins is found by this alone, however busy the machine is:
//!   on a busy one it takes longer to use the same processor time. Threads that run side by side
//!   count once, or a software adapter on many cores would seem to work for hours.
//! * **t − w**: it ran or slept by its own choice. A driver that waits for what never comes sleeps, and
//!   a process that sleeps is not waiting for a processor, which *w* proves. Where *w* is not known,
//!   a worker that used less than a twentieth of *t* is taken to have slept, else only what it ran
//!   counts.
//!
//! Time without heartbeats does not count: the thread that sends them could not run either, so the
//! process was stopped, or the machine, or had no memory. Nor does it matter when the supervisor
//! reads them. A worker whose heartbeats stay out for very long (or that never sends any, because
//! its protocol is another program's) is ended as *silent*, which proves nothing about its device.

use std::time::Duration;

use super::beat::PERIOD;
use super::protocol::Alive;

/// Below this share of processor time a worker is taken to sleep, where waiting is not measured.
const ASLEEP: f64 = 0.05;

/// What is known of a worker since its last progress.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    last: Option<Alive>,
    wall: f64,
    cpu: f64,
    waited: Option<f64>,
}

impl Pulse {
    /// The worker has come further.
    pub(super) fn progress(&mut self) {
        (self.wall, self.cpu, self.waited) = (0.0, 0.0, None);
    }

    /// The worker has sent a heartbeat.
    pub(super) fn beat(&mut self, alive: &Alive) {
        let Some(last) = self.last.replace(alive.clone()) else { return };
        if (last.kernels, last.steps) != (alive.kernels, alive.steps) {
            return self.progress();
        }
        // A beat that comes late tells nothing of the time in which it should have come.
        let late = 2.0 * PERIOD.as_secs_f64();
        self.wall += (alive.seconds - last.seconds).clamp(0.0, late);
        self.cpu += (alive.cpu_seconds - last.cpu_seconds).max(0.0);
        if let (Some(before), Some(now)) = (last.waited_seconds, alive.waited_seconds) {
            // A thread that has ended takes its time out of the sum.
            self.waited = Some(self.waited.unwrap_or(0.0) + (now - before).max(0.0));
        }
    }

    /// How long the worker could have made progress, and did not.
    pub(super) fn stalled(&self) -> Duration {
        let ran = self.cpu.min(self.wall);
        let own = match self.waited {
            Some(waited) => ran.max(self.wall - waited),
            None if self.cpu < ASLEEP * self.wall => self.wall,
            None => ran,
        };
        Duration::try_from_secs_f64(own).unwrap_or_default()
    }

    /// What the worker did instead of making progress, as the end of a sentence.
    pub(super) fn evidence(&self) -> String {
        format!("in {:.0} s it used {:.1} s of processor time", self.wall, self.cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pulse after `beats` seconds of which each uses so much processor time and waiting.
    fn after(beats: u32, interval: f64, cpu: f64, waited: Option<f64>) -> f64 {
        let mut pulse = Pulse::default();
        for i in 0..=beats {
            let at = f64::from(i);
            let waited_seconds = waited.map(|w| w * at);
            pulse.beat(&Alive {
                seconds: interval * at,
                cpu_seconds: cpu * at,
                waited_seconds,
                kernels: 3,
                steps: 7,
                doing: String::new(),
            });
        }
        pulse.stalled().as_secs_f64()
    }

    #[track_caller]
    fn assert_about(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 1e-6, "{actual} is not {expected}");
    }

    #[test]
    fn only_time_that_a_worker_had_for_itself_counts() {
        for waited in [None, Some(0.0)] {
            // It spins, on one processor and on eight.
            assert_about(after(100, 1.0, 1.0, waited), 100.0);
            assert_about(after(100, 1.0, 8.0, waited), 100.0);
            // It sleeps.
            assert_about(after(100, 1.0, 0.001, waited), 100.0);
        }
        // It gets a tenth of a processor.
        assert_about(after(100, 1.0, 0.1, None), 10.0);
        assert_about(after(100, 1.0, 0.1, Some(0.9)), 10.0);
        // It gets next to nothing, which only the time that it waited tells from sleep.
        assert_about(after(100, 1.0, 0.01, Some(0.99)), 1.0);
        // It sleeps between looks at the device, which without that time looks like a busy machine.
        assert_about(after(100, 1.0, 0.1, Some(0.0)), 100.0);
        // Several threads wait while one runs all the time.
        assert_about(after(100, 1.0, 1.0, Some(3.0)), 100.0);
        // It is stopped for an hour between two beats.
        assert_about(after(3, 3600.0, 0.5, Some(0.0)), 6.0);
    }

    #[test]
    fn every_kind_of_progress_starts_anew() {
        let beat = |seconds: f64, kernels, steps| Alive {
            seconds,
            cpu_seconds: seconds,
            waited_seconds: None,
            kernels,
            steps,
            doing: String::new(),
        };
        let mut pulse = Pulse::default();
        for (alive, stalled) in [
            (beat(50.0, 0, 0), 0.0),
            (beat(51.0, 0, 0), 1.0),
            (beat(52.0, 0, 0), 2.0),
            (beat(53.0, 1, 0), 0.0),
            (beat(54.0, 1, 0), 1.0),
            (beat(55.0, 1, 1), 0.0),
            (beat(56.0, 1, 1), 1.0),
        ] {
            pulse.beat(&alive);
            assert_about(pulse.stalled().as_secs_f64(), stalled);
        }
        pulse.progress();
        assert_about(pulse.stalled().as_secs_f64(), 0.0);
        pulse.beat(&beat(57.0, 1, 1));
        assert_about(pulse.stalled().as_secs_f64(), 1.0);
        // A clock that goes back is no time.
        pulse.beat(&beat(5.0, 1, 1));
        assert_about(pulse.stalled().as_secs_f64(), 1.0);
    }
}
