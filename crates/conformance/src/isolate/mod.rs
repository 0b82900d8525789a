//! Isolation: the suite in worker processes, so that a driver that crashes, hangs or loses its
//! device costs a case and not the run.
//!
//! The cases of a run are split into [groups] by family, and each group runs in a process of
//! its own, one after the other or [a few at a time](Isolation::workers). The supervisor writes the job to the worker's standard input and
//! reads JSON lines from its standard output (see [`Message`]); standard error is kept for the
//! report. A worker that ends early, says nothing for too long or uses up the time of its group is
//! killed and reaped; the case that was running counts as an error that says so, and a fresh worker
//! goes on with the cases after it. After [`Isolation::restarts`] of these the rest of the group
//! counts as not run. So one crash costs one case, and a driver that always crashes costs a group.
//!
//! A third party isolates its own backend with one program of two roles:
//!
//! ```no_run
//! # use std::sync::Arc;
//! # fn open() -> unisono_core::Result<Arc<dyn unisono_core::Backend>> { std::process::abort() }
//! use std::process::Command;
//! use unisono_conformance::{Isolation, Level, Options, run_isolated, serve};
//!
//! if std::env::args().nth(1).as_deref() == Some("worker") {
//!     return serve(open).expect("the supervisor has gone");
//! }
//! let options = Options::new(Level::Quick);
//! let mut worker = || {
//!     let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
//!     command.arg("worker");
//!     command
//! };
//! let run = run_isolated(&options, &Isolation::new(options.level), &mut worker, &mut |progress| {
//!     eprintln!("{}/{} {}", progress.done, progress.total, progress.id);
//! });
//! match run {
//!     Ok(run) => assert!(run.report.passed()),
//!     Err(e) => eprintln!("{e}"),
//! }
//! ```

mod group;
mod process;
mod protocol;
mod supervisor;
mod worker;

use std::time::Duration;

pub use group::{Group, groups};
pub use protocol::{Job, Message, PROTOCOL};
pub use supervisor::{IsolatedRun, IsolationError, run_isolated, run_task};
pub use worker::{serve, serve_task};

use crate::case::Level;

/// How long a worker may take, and how often one is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// Time for a group, all of its workers together.
    pub group_limit: Duration,
    /// Time without a sign of life: no case started, no case ended.
    pub stall_limit: Duration,
    /// How many times a worker that ended early is replaced within a group.
    pub restarts: usize,
    /// Groups that run at the same time. More than one suits a device that lives in its process, as a
    /// software adapter does; processes that share a GPU lose it together.
    pub workers: usize,
}

impl Isolation {
    /// The limits of a level, wide enough for a slow software adapter on a busy machine: five
    /// minutes for a group of the quick level, an hour and a half for one of the full level, three days
    /// for one of the exhaustive level.
    pub fn new(level: Level) -> Isolation {
        let (group, stall) = match level {
            Level::Quick => (300, 120),
            Level::Full => (5400, 1200),
            Level::Exhaustive => (3 * 86_400, 4 * 3600),
        };
        Isolation {
            group_limit: Duration::from_secs(group),
            stall_limit: Duration::from_secs(stall),
            restarts: 3,
            workers: 1,
        }
    }

    /// Another number of groups at the same time, at least one.
    #[must_use]
    pub fn with_workers(mut self, workers: usize) -> Isolation {
        self.workers = workers.max(1);
        self
    }

    /// Another time for a group; no case may take longer than that.
    #[must_use]
    pub fn with_group_limit(mut self, limit: Duration) -> Isolation {
        self.group_limit = limit;
        self.stall_limit = self.stall_limit.min(limit);
        self
    }
}
