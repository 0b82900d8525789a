//! A worker's heartbeat: once a second it says how much processor time the process has used, how
//! long its threads waited for a processor, and how far the work has come.
//!
//! It runs in threads of its own, because the thread that works may be inside the driver for
//! minutes. Counting kernels is left to another thread than speaking: a backend whose counters wait
//! for a lock that its compiler holds must not silence the worker.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use cpu_time::ProcessTime;
use unisono_core::Backend;
use web_time::Instant;

use super::protocol::{Alive, Message};
use super::worker::say;
use crate::runner::now;

/// Time between two beats.
pub(super) const PERIOD: Duration = Duration::from_secs(1);

/// The heartbeat of this process, until it is dropped.
pub(super) struct Beat {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    backend: OnceLock<Arc<dyn Backend>>,
    kernels: AtomicU64,
    /// Plans and submissions of the device.
    work: AtomicU64,
    over: AtomicBool,
}

impl Beat {
    pub(super) fn start() -> Beat {
        let shared = Arc::new(Shared::default());
        let (counting, speaking) = (shared.clone(), shared.clone());
        thread::spawn(move || {
            while !counting.over.load(Relaxed) {
                counting.count();
                thread::sleep(PERIOD / 4);
            }
        });
        let start = Instant::now();
        thread::spawn(move || {
            loop {
                thread::sleep(PERIOD);
                // Without a supervisor nobody listens any more.
                if speaking.over.load(Relaxed) || say(&Message::Alive(speaking.alive(start))).is_err() {
                    break;
                }
            }
        });
        Beat { shared }
    }

    /// From now on the kernels of `backend` are counted.
    pub(super) fn watch(&self, backend: &Arc<dyn Backend>) {
        let _ = self.shared.backend.set(backend.clone());
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.shared.over.store(true, Relaxed);
    }
}

impl Shared {
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
