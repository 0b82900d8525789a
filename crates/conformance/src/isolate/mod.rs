//! Isolation: the suite in worker processes, so that a driver that crashes, hangs or loses its
//! device costs a case and not the run.
//!
//! The cases of a run are split into [groups] by family, and each group runs in a process of
//! its own, one after the other or [a few at a time](Isolation::workers). The supervisor writes the job to the worker's standard input and
//! reads JSON lines from its standard output (see [`Message`]); standard error is kept for the
//! report. A worker that ends early costs the case that was running, which counts as an error that
//! says so, and a fresh worker goes on with the cases after it. After [`Isolation::restarts`] of these
//! the rest of the group counts as not run. So one crash costs one case, and a driver that always
//! crashes costs a group.
//!
//! **No verdict depends on how busy the machine is.** A worker is ended for lack of progress only, and
//! what counts as lack of progress is time that it had for itself: see the module `pulse`. A group
//! whose worker was ended so, or was killed from outside, runs once more when all others have ended,
//! with nothing of this process beside it. If the same happens again, the case that was running is an
//! error: its driver had the machine, and hung. What ended for another reason than its device, by a
//! [limit for the group](Isolation::group_limit), a time limit of the run, or because the worker was
//! stopped and said nothing for very long, is [not finished](crate::Status::NotFinished): neither a
//! pass nor a failure, and [`resume`] runs the rest.
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

mod beat;
mod chatter;
mod group;
mod process;
mod protocol;
mod pulse;
mod resume;
mod said;
mod supervisor;
mod worker;

use std::time::Duration;

pub use group::{Group, groups};
pub use protocol::{Alive, Job, Message, PROTOCOL};
pub use resume::resume;
pub use supervisor::{IsolatedRun, IsolationError, run_isolated, run_task};
pub use worker::{serve, serve_task};

use crate::case::Level;

/// How long a worker may go without progress, and how often one is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// Time that a worker has for itself and makes no progress in: no case started, no case ended, no
    /// kernel built, nothing came back from the device. Time that it waits for a processor or is
    /// stopped does not count.
    pub stall_limit: Duration,
    /// Time without any message, heartbeats included.
    pub silence_limit: Duration,
    /// Time for a group by the clock on the wall, all of its workers together, where there is such a
    /// limit. What it ends is not finished.
    pub group_limit: Option<Duration>,
    /// How many times a worker that ended early is replaced within a group.
    pub restarts: usize,
    /// Groups that run at the same time. More than one suits a device that lives in its process, as a
    /// software adapter does; processes that share a GPU lose it together.
    pub workers: usize,
}

impl Isolation {
    /// The limits of a level, wide enough for one kernel or one submission on a slow software adapter:
    /// without progress three minutes at the quick level, twenty at the full level, four hours at the
    /// exhaustive level. Groups have no limit.
    pub fn new(level: Level) -> Isolation {
        let (stall, silence) = match level {
            Level::Quick => (180, 900),
            Level::Full => (1200, 6000),
            Level::Exhaustive => (4 * 3600, 86_400),
        };
        Isolation {
            stall_limit: Duration::from_secs(stall),
            silence_limit: Duration::from_secs(silence),
            group_limit: None,
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

    /// A time for each group.
    #[must_use]
    pub fn with_group_limit(mut self, limit: Duration) -> Isolation {
        self.group_limit = Some(limit);
        self
    }
}
