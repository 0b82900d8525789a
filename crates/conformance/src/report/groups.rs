//! How the groups of an isolated run ended: each runs in a worker process of its own, so that a
//! crash, a hang or a lost device costs at most one group.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One group of cases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupResult {
    /// The families in it, as `matmul` or `neg..sqrt` (first to last in the order of the suite).
    pub name: String,
    /// Cases of the run that belong to it.
    pub cases: usize,
    /// How many workers it took: one, and one more after each that ended early.
    pub workers: usize,
    /// Whether it ran again with nothing beside it, because its first worker made no progress or was
    /// killed from outside.
    #[serde(default)]
    pub alone: bool,
    /// Seconds that it took, the start of the workers included.
    pub seconds: f64,
    /// How the first worker that did not complete ended, or that all went well.
    pub outcome: GroupOutcome,
    /// The case that ran when that worker ended; empty if none did or all went well.
    #[serde(default)]
    pub during: String,
    /// What is known about it: the reason and the end of the worker's standard error. Empty if all
    /// went well.
    #[serde(default)]
    pub detail: String,
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum GroupOutcome {
    /// Every case has its result.
    Completed,
    /// The process ended before its last case.
    Crashed {
        /// The signal that killed it, on Unix.
        signal: Option<i32>,
        /// Its exit code, where it ended by itself.
        exit_code: Option<i32>,
    },
    /// It was killed because it took too long.
    TimedOut {
        /// The limit that it reached, in seconds.
        limit_seconds: f64,
        /// Whether that is the limit for time of its own without progress (else the one that somebody
        /// gave the whole group, which proves nothing).
        stalled: bool,
    },
    /// It was killed because it said nothing at all, not even that it lives. That proves nothing: it
    /// may have been stopped.
    Silent {
        /// The limit that it reached, in seconds.
        limit_seconds: f64,
    },
    /// The time limit of the run ended it.
    Stopped,
    /// The worker said that its device was lost.
    Lost,
    /// The worker ended as if all were well, but results are missing.
    Incomplete,
    /// No worker could be started, or it could not open the device.
    NotStarted,
}

impl GroupOutcome {
    /// Whether every case has its result.
    pub fn is_completed(self) -> bool {
        self == GroupOutcome::Completed
    }

    /// Whether this says nothing about the device: cases that have no result are not finished.
    pub fn is_inconclusive(self) -> bool {
        matches!(
            self,
            GroupOutcome::TimedOut { stalled: false, .. } | GroupOutcome::Silent { .. } | GroupOutcome::Stopped
        )
    }
}

/// In words that go with "the worker …".
impl fmt::Display for GroupOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            GroupOutcome::Completed => f.write_str("completed"),
            GroupOutcome::Crashed { signal: Some(signal), .. } => match signal_name(signal) {
                Some(name) => write!(f, "was killed by signal {signal} ({name})"),
                None => write!(f, "was killed by signal {signal}"),
            },
            GroupOutcome::Crashed { exit_code: Some(code), .. } => write!(f, "exited with code {code}"),
            GroupOutcome::Crashed { .. } => f.write_str("ended for an unknown reason"),
            GroupOutcome::TimedOut { limit_seconds, stalled: true } => {
                write!(f, "was killed after {limit_seconds} s of its own without progress")
            }
            GroupOutcome::TimedOut { limit_seconds, stalled: false } => {
                write!(f, "was killed at the time limit of the group, {limit_seconds} s")
            }
            GroupOutcome::Silent { limit_seconds } => {
                write!(f, "was killed after {limit_seconds} s without a sign of life")
            }
            GroupOutcome::Stopped => f.write_str("was stopped at the time limit of the run"),
            GroupOutcome::Lost => f.write_str("lost its device"),
            GroupOutcome::Incomplete => f.write_str("ended without all results"),
            GroupOutcome::NotStarted => f.write_str("could not be started"),
        }
    }
}

/// The names of the signals that crashes end in, whose numbers are the same on Linux and macOS but
/// for SIGBUS.
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 if cfg!(target_os = "linux") => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 if cfg!(target_os = "macos") => "SIGBUS",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => return None,
    })
}
