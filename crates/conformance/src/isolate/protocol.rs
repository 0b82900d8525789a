//! What supervisor and worker say to each other: one JSON value per line.
//!
//! The supervisor writes one [`Job`] to the worker's standard input and keeps it open; when it
//! closes, the supervisor has gone and the worker ends. The worker writes [`Message`]s to its
//! standard output. Each is preceded by a line feed, so that text which a driver prints without one
//! does not swallow it; lines that are no message are kept with standard error.

use serde::{Deserialize, Serialize};

use crate::report::{CaseResult, DeviceFacts, SourceText};
use crate::runner::Options;

/// The version of the protocol: a worker of another one is refused.
pub const PROTOCOL: u32 = 1;

/// What a worker has to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The options of the whole run.
    pub options: Options,
    /// The ids of the cases to run, among those that `options` select. Empty for a
    /// [task](super::run_task).
    pub cases: Vec<String>,
}

/// What a worker's heartbeat tells, all of it since the process started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Alive {
    /// By a clock that never goes back.
    pub seconds: f64,
    /// Processor time of all threads, of user and system.
    pub cpu_seconds: f64,
    /// Time in which threads could have run and no processor was free, summed over them; none where
    /// that is not known.
    #[serde(default)]
    pub waited_seconds: Option<f64>,
    /// Kernels that the device has built.
    pub kernels: u64,
    /// Any number that is another one after each step of the work.
    pub steps: u64,
    /// The kernel that is being built or run.
    #[serde(default)]
    pub doing: String,
}

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// First of all: the device is open.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// The device.
        device: Box<DeviceFacts>,
    },
    /// Instead of a hello: why there is none. Nothing follows.
    Refused {
        /// The reason.
        reason: String,
    },
    /// A case starts.
    Start {
        /// Its id.
        id: String,
    },
    /// A case has ended.
    Results {
        /// Its id.
        id: String,
        /// One per kernel.
        results: Vec<CaseResult>,
        /// The texts that results which failed name, where this worker has not sent them before.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        sources: Vec<SourceText>,
    },
    /// No further case can run. [`End`](Message::End) follows.
    Stopped {
        /// The reason.
        reason: String,
        /// Whether the device was lost (else a time limit was reached).
        lost: bool,
    },
    /// Once a second, at any time: the process lives. [`serve`](super::serve) sends it by itself.
    Alive(Alive),
    /// What a task has brought.
    Payload {
        /// Whatever supervisor and worker agree on.
        value: serde_json::Value,
    },
    /// Everything was done.
    End {
        /// Kernels that the device has built.
        kernels: u64,
    },
}
