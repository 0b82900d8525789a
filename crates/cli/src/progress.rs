//! How far a long run has come, on standard error: a bar in a terminal, and a line at least every 15
//! seconds where there is none, so that a log of a CI run or of a machine far away shows that it is
//! alive. `UNISONO_PROGRESS` sets the time between two lines.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use console::user_attended_stderr;
use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// Time between two lines.
const INTERVAL: Duration = Duration::from_secs(15);
/// The environment variable that sets another, in seconds.
const VARIABLE: &str = "UNISONO_PROGRESS";

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Cases,
    Bytes,
    /// Something that the label names.
    Steps,
}

/// The reporter of one run.
pub(crate) struct Progress {
    bar: ProgressBar,
    state: Arc<Mutex<State>>,
    /// Ends the thread that writes lines when it is dropped.
    _lines: Option<Sender<()>>,
}

#[derive(Debug)]
struct State {
    label: String,
    unit: Unit,
    start: Instant,
    /// What was done before the start.
    before: u64,
    done: u64,
    total: u64,
    kernels: u64,
    doing: String,
    over: bool,
}

impl Progress {
    /// A reporter that is silent if `hidden`.
    pub(crate) fn new(label: &str, unit: Unit, hidden: bool) -> Progress {
        let bar = ProgressBar::new(0);
        if hidden {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let template = match unit {
            Unit::Bytes => "{prefix:24!} {bar:30.cyan} {bytes:>10}/{total_bytes} {bytes_per_sec:.dim}",
            _ => "{prefix:24!} {bar:30.cyan} {pos:>5}/{len} {elapsed:>4} {wide_msg:.dim}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        bar.set_prefix(label.to_owned());
        let state = Arc::new(Mutex::new(State::new(label, unit)));
        let lines = (!hidden && !user_attended_stderr()).then(|| write_lines(state.clone(), interval()));
        Progress { bar, state, _lines: lines }
    }

    /// The same among others.
    pub(crate) fn among(mut self, others: &MultiProgress) -> Progress {
        self.bar = others.add(self.bar.clone());
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far a run of the suite has come.
    pub(crate) fn of_suite(&self, progress: &unisono_conformance::Progress<'_>) {
        let (done, total) = (progress.done as u64, progress.total as u64);
        let mut state = self.state();
        if state.total == 0 {
            state.before = done.saturating_sub(u64::from(progress.ended));
        }
        (state.done, state.total, state.kernels) = (done, total, progress.kernels);
        state.doing = match progress.doing {
            "" => progress.id.to_owned(),
            doing => format!("{} [{doing}]", progress.id),
        };
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.bar.set_message(format!("{} kernels, {}", state.kernels, state.doing));
    }

    pub(crate) fn set_length(&self, total: u64) {
        self.state().total = total;
        self.bar.set_length(total);
    }

    pub(crate) fn set_position(&self, done: u64) {
        self.state().done = done;
        self.bar.set_position(done);
    }

    pub(crate) fn inc(&self, more: u64) {
        self.state().done += more;
        self.bar.inc(more);
    }

    /// What is being done.
    pub(crate) fn set_message(&self, doing: impl Into<String>) {
        let doing = doing.into();
        self.bar.set_message(doing.clone());
        self.state().doing = doing;
    }

    /// Prints something with the bar out of the way.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// The run is over; nothing more is written.
    pub(crate) fn finish_and_clear(&self) {
        self.state().over = true;
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.state().over = true;
    }
}

/// The time between two lines; a value that is none counts as not given.
fn interval() -> Duration {
    let given = std::env::var(VARIABLE).ok().and_then(|text| text.trim().parse::<f64>().ok());
    let given = given.filter(|&seconds| seconds > 0.0).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    given.unwrap_or(INTERVAL)
}

/// Starts the thread that writes a line in each interval.
fn write_lines(state: Arc<Mutex<State>>, interval: Duration) -> Sender<()> {
    let (keep, kept) = mpsc::channel::<()>();
    thread::spawn(move || {
        while kept.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
            let state = state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.over {
                break;
            }
            errln!("{}", state.line(state.start.elapsed()));
        }
    });
    keep
}

impl State {
    fn new(label: &str, unit: Unit) -> State {
        let (label, doing) = (label.to_owned(), String::new());
        State { label, unit, start: Instant::now(), before: 0, done: 0, total: 0, kernels: 0, doing, over: false }
    }

    /// `wgpu:0 vulkan: 312 of 1090 cases, 410 kernels built, 1m 40s so far, about 4m left; softmax/…`.
    fn line(&self, elapsed: Duration) -> String {
        let mut parts = Vec::new();
        match self.unit {
            _ if self.total == 0 => {}
            Unit::Cases => parts.push(format!("{} of {} cases", self.done, self.total)),
            Unit::Steps => parts.push(format!("{} of {}", self.done, self.total)),
            Unit::Bytes => parts.push(format!("{} of {}", HumanBytes(self.done), HumanBytes(self.total))),
        }
        if self.unit == Unit::Cases && self.total > 0 {
            parts.push(format!("{} kernels built", self.kernels));
        }
        parts.push(format!("{} so far", output::seconds(elapsed.as_secs_f64())));
        if let Some(left) = self.left(elapsed) {
            parts.push(format!("about {} left", output::seconds(left.ceil())));
        }
        let doing = if self.doing.is_empty() { String::new() } else { format!("; {}", self.doing) };
        format!("{}: {}{doing}", self.label, parts.join(", "))
    }

    /// Seconds left, if the rest goes as fast as what was done.
    fn left(&self, elapsed: Duration) -> Option<f64> {
        let (done, rest) = (self.done.saturating_sub(self.before), self.total.saturating_sub(self.done));
        (done > 0 && rest > 0).then(|| elapsed.as_secs_f64() * rest as f64 / done as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_a_run_has_come() {
        let mut state = State::new("wgpu:0 vulkan", Unit::Cases);
        state.doing = "opening the device".to_owned();
        let minute = Duration::from_secs(60);
        assert_eq!(state.line(minute), "wgpu:0 vulkan: 1m so far; opening the device");
        (state.done, state.total, state.kernels) = (250, 1000, 31);
        state.doing = "neg/plain:dtype=f32 [neg_4]".to_owned();
        assert_eq!(
            state.line(minute),
            "wgpu:0 vulkan: 250 of 1000 cases, 31 kernels built, 1m so far, about 3m left; neg/plain:dtype=f32 [neg_4]"
        );
        // What was done before this run does not make it faster.
        state.before = 200;
        assert!(state.line(minute).contains("about 15m left"), "{}", state.line(minute));
        state.done = 1000;
        assert!(!state.line(minute).contains("left"), "{}", state.line(minute));
        let mut bytes = State::new("loading m", Unit::Bytes);
        (bytes.done, bytes.total) = (1 << 20, 3 << 20);
        assert_eq!(bytes.line(minute), "loading m: 1.00 MiB of 3.00 MiB, 1m so far, about 2m left");
    }
}
