//! A worker's heartbeat: once a second it says how much processor time the process has used, how
//! long its threads waited for a processor, and how far the work has come.
//!
//! It runs in threads of its own, because the thread that works may be inside the driver for
//! minutes. Counting kernels is left to another thread than speaking: a backend whose counters wait
//! for a lock that its compiler holds must not silence the worker.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cpu_time::ProcessTime;
use unisono_core::Backend;
use web_time::Instant;

use super::protocol::{Alive, Message};
use super::worker::say;
use crate::runner::now;

/// Time between two beats.
pub(super) const PERIOD: Duration = Duration::from_secs(1);

/// The heartbeat of this process, until it is dropped. Its threads have ended then: one that still held
/// the device would destroy it while the process exits and drivers clean up behind themselves.
pub(super) struct Beat {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    backend: OnceLock<Arc<dyn Backend>>,
    kernels: AtomicU64,
    /// Plans and submissions of the device.
    work: AtomicU64,
    over: Mutex<bool>,
    ending: Condvar,
}

impl Beat {
    pub(super) fn start() -> Beat {
        let shared = Arc::new(Shared::default());
        let (counting, speaking) = (shared.clone(), shared.clone());
        let count = thread::spawn(move || {
            while !counting.is_over_after(PERIOD / 4) {
                counting.count();
            }
        });
        let start = Instant::now();
        let speak = thread::spawn(move || {
            // Without a supervisor nobody listens any more.
            while !speaking.is_over_after(PERIOD) && say(&Message::Alive(speaking.alive(start))).is_ok() {}
        });
        Beat { shared, threads: vec![count, speak] }
    }

    /// From now on the kernels of `backend` are counted.
    pub(super) fn watch(&self, backend: &Arc<dyn Backend>) {
        let _ = self.shared.backend.set(backend.clone());
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        *self.shared.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.ending.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Waits for so long, or until the beat ends; whether it does.
    fn is_over_after(&self, time: Duration) -> bool {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.ending.wait_timeout_while(over, time, |over| !*over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn count(&self) {
        if let Some(backend) = self.backend.get() {
            let counters = backend.counters();
            self.kernels.store(counters.kernels, Relaxed);
            self.work.store(counters.plans.wrapping_add(counters.submissions), Relaxed);
        }
    }

    fn alive(&self, start: Instant) -> Alive {
        Alive {
            seconds: start.elapsed().as_secs_f64(),
            cpu_seconds: ProcessTime::try_now().map_or(0.0, |time| time.as_duration().as_secs_f64()),
            waited_seconds: waited(),
            kernels: self.kernels.load(Relaxed),
            steps: self.work.load(Relaxed).wrapping_add(now::steps()),
            doing: now::doing(),
        }
    }
}

/// Seconds that the threads of this process could have run and no processor was free, where the
/// system tells: the second number of Linux's `schedstat`, in nanoseconds.
fn waited() -> Option<f64> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let mut sum = None;
    for task in tasks.flatten() {
        // A thread may have ended since the directory was read.
        let Ok(text) = std::fs::read_to_string(task.path().join("schedstat")) else { continue };
        let waited: Option<u64> = text.split_ascii_whitespace().nth(1).and_then(|word| word.parse().ok());
        sum = waited.map(|waited| sum.unwrap_or(0.0) + waited as f64 * 1e-9).or(sum);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_holds_the_device_once_the_beat_has_ended() {
        let beat = Beat::start();
        let shared = Arc::downgrade(&beat.shared);
        let start = Instant::now();
        drop(beat);
        assert!(shared.upgrade().is_none(), "a thread still holds what the beat looks at");
        assert!(start.elapsed() < PERIOD / 2, "the threads ended after {:?}", start.elapsed());
    }
}
