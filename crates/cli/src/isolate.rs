//! Worker processes of this program: how a check starts them, and what they do.
//!
//! A check runs its suite in workers, so that a driver that crashes or hangs costs a case and not
//! the run. A worker is `unisono worker`, told what to open by arguments and what to run by its
//! standard input; `docs/writing-a-backend.md` describes the protocol.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};
use serde::de::DeserializeOwned;
use serde_json::json;
use unisono::{Backend, Device, DeviceKind, DeviceSummary};
use unisono_conformance::report::DeviceReport;
use unisono_conformance::{
    Fingerprint, Isolation, IsolationError, Level, Options, Progress, resume, run, run_isolated, run_task, serve,
    serve_task,
};

use crate::check::silently;
use crate::{Outcome, model, mutants, numbers};

/// How a check isolates what it runs.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct IsolationArguments {
    /// Run in this process instead of worker processes, for debuggers and profilers: a crash or a
    /// hang of a driver then ends the whole run.
    #[arg(long, visible_alias = "in-process")]
    pub(crate) no_isolation: bool,
    /// Stop a group of cases that takes longer, by the clock on the wall; what has no result then is not
    /// finished. No limit if absent: a group is ended only for lack of progress.
    #[arg(long, value_name = "SECONDS", value_parser = numbers::whole(1..=u64::MAX), conflicts_with = "no_isolation")]
    pub(crate) group_timeout: Option<u64>,
    /// Groups of cases that run at the same time, each in its own process: by default one, and for a
    /// software adapter, which spends its time compiling on one core, as many as there are cores, up
    /// to four.
    #[arg(long, value_name = "N", value_parser = numbers::whole(1..=64_u64), conflicts_with = "no_isolation")]
    pub(crate) workers: Option<u64>,
}

impl IsolationArguments {
    /// The limits for a kind of device, or none for a run in this process.
    pub(crate) fn limits(&self, level: Level, kind: DeviceKind) -> Option<Isolation> {
        let usual = usual_isolation(level, kind);
        let isolation = match self.workers {
            Some(workers) => usual.with_workers(workers as usize),
            None => usual,
        };
        let isolation = match self.group_timeout {
            Some(seconds) => isolation.with_group_limit(Duration::from_secs(seconds)),
            None => isolation,
        };
        (!self.no_isolation).then_some(isolation)
    }
}

/// The limits for a kind of device where nothing else is asked for.
pub(crate) fn usual_isolation(level: Level, kind: DeviceKind) -> Isolation {
    let workers = match kind {
        DeviceKind::Software => std::thread::available_parallelism().map_or(1, usize::from).min(4),
        _ => 1,
    };
    Isolation::new(level).with_workers(workers)
}

/// What to open, in this process or in a worker: its arguments are made and read here alone.
#[derive(Args, Clone, Debug)]
pub(crate) struct Opening {
    /// The device's id.
    #[arg(long, value_name = "ID")]
    device: String,
    /// A fault to plant into it.
    #[arg(long, value_name = "NAME")]
    plant: Option<String>,
    /// A file of further faults.
    #[arg(long, value_name = "FILE")]
    extra: Option<PathBuf>,
    /// Variables that its workers get, or are kept from.
    #[arg(skip)]
    environment: Vec<(&'static str, Option<String>)>,
}

/// Arguments of `worker`.
#[derive(Args)]
pub(crate) struct WorkerArguments {
    #[command(flatten)]
    opening: Opening,
    /// What to do.
    #[arg(long, value_enum, default_value_t = Task::Cases)]
    task: Task,
}

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Task {
    /// The cases of the job.
    Cases,
    /// The embedded model.
    Model,
    /// The numeric fingerprint.
    Fingerprint,
}

impl Opening {
    pub(crate) fn new(summary: &DeviceSummary) -> Opening {
        Opening { device: summary.id.clone(), plant: None, extra: None, environment: Vec::new() }
    }

    /// The same, opened by workers with these variables set, or unset where they have no value.
    pub(crate) fn with_environment(self, environment: Vec<(&'static str, Option<String>)>) -> Opening {
        Opening { environment, ..self }
    }

    /// The same device with a fault, where one is named.
    pub(crate) fn planting(self, plant: Option<String>, extra: Option<PathBuf>) -> Opening {
        Opening { plant, extra, ..self }
    }

    /// Opens it.
    fn open(&self) -> Result<Arc<dyn Backend>> {
        Ok(match &self.plant {
            Some(name) => unisono_mutants::open(&mutants::named(name, self.extra.as_deref())?, &self.device)?,
            None => unisono::open_id(&self.device)?.backend().clone(),
        })
    }

    fn arguments(&self) -> Vec<OsString> {
        let mut arguments = vec!["--device".into(), self.device.clone().into()];
        if let Some(plant) = &self.plant {
            arguments.extend(["--plant".into(), plant.into()]);
        }
        if let Some(extra) = &self.extra {
            arguments.extend(["--extra".into(), extra.into()]);
        }
        arguments
    }

    /// The command of a worker that opens this and does `task`.
    fn worker(&self, task: Task) -> Result<Command> {
        // On Linux this path is the running program even if its file was replaced since.
        let program = if cfg!(target_os = "linux") {
            "/proc/self/exe".into()
        } else {
            std::env::current_exe().context("this program has no path to start workers from")?
        };
        let mut command = Command::new(program);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::arg0(&mut command, "unisono");
        command.arg("worker").args(self.arguments());
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(name) = task.to_possible_value() {
            command.args(["--task", name.get_name()]);
        }
        Ok(command)
    }

    /// The commands of workers, one after the other. That there is a program to start is checked here,
    /// where it is an error with a reason.
    fn workers(&self, task: Task) -> Result<impl FnMut() -> Command + Send> {
        self.worker(task)?;
        let opening = self.clone();
        Ok(move || opening.worker(task).unwrap_or_else(|_| Command::new("")))
    }

    /// Opens it for a worker, which tells errors as text.
    fn backend(&self) -> unisono::Result<Arc<dyn Backend>> {
        self.open()
            .map_err(|e| e.downcast::<unisono::Error>().unwrap_or_else(|e| unisono::Error::invalid(format!("{e:#}"))))
    }
}

/// `unisono worker`: serves the check that started it.
pub(crate) fn work(arguments: &WorkerArguments) -> Result<Outcome> {
    let open = || arguments.opening.backend();
    silently(|| match arguments.task {
        Task::Cases => serve(open),
        Task::Model => serve_task(open, |backend| json!(model::run(&Device::new(backend.clone())))),
        Task::Fingerprint => serve_task(open, |backend| json!(numbers(&**backend))),
    })?;
    Ok(Outcome::Passed)
}

/// What a device has shown, and the kernels that it built for that.
pub(crate) struct Ran {
    pub(crate) report: DeviceReport,
    pub(crate) kernels: u64,
}

/// Runs the suite, in workers where there are limits for them.
pub(crate) fn suite(
    opening: &Opening,
    options: &Options,
    isolation: Option<&Isolation>,
    progress: &mut (dyn FnMut(&Progress<'_>) + Send),
) -> Result<Ran> {
    let Some(isolation) = isolation else {
        let backend = opening.open()?;
        let report = silently(|| run(&*backend, options, progress));
        return Ok(Ran { report, kernels: backend.counters().kernels });
    };
    let mut worker = opening.workers(Task::Cases)?;
    let run = run_isolated(options, isolation, &mut worker, progress)?;
    Ok(Ran { report: run.report, kernels: run.kernels })
}

/// Runs the cases that `before` lacks, and returns the report of both runs.
pub(crate) fn rest(
    before: &DeviceReport,
    opening: &Opening,
    options: &Options,
    isolation: &Isolation,
    progress: &mut (dyn FnMut(&Progress<'_>) + Send),
) -> Result<Ran> {
    let mut worker = opening.workers(Task::Cases)?;
    let run = resume(before, options, isolation, &mut worker, progress)?;
    Ok(Ran { report: run.report, kernels: run.kernels })
}

/// Runs the embedded model in a worker.
pub(crate) fn embedded_model(opening: &Opening, isolation: &Isolation) -> model::Run {
    in_worker(opening, Task::Model, isolation).unwrap_or_else(|e| model::Run::failed(&e))
}

/// Whether an error says nothing about a device, because a limit of time was reached.
pub(crate) fn is_inconclusive(error: &anyhow::Error) -> bool {
    error.downcast_ref::<IsolationError>().is_some_and(IsolationError::is_inconclusive)
}

/// The numeric fingerprint of a device, in a worker where there are limits for one.
pub(crate) fn fingerprint(opening: &Opening, isolation: Option<&Isolation>) -> Result<Fingerprint> {
    let taken: Result<Fingerprint, String> = match isolation {
        Some(isolation) => in_worker(opening, Task::Fingerprint, isolation)?,
        None => silently(|| opening.backend().map_err(|e| e.to_string()).and_then(|backend| numbers(&*backend))),
    };
    taken.map_err(|e| anyhow!("no fingerprint: {e}"))
}

fn numbers(backend: &dyn Backend) -> Result<Fingerprint, String> {
    unisono_conformance::fingerprint::fingerprint(backend).map_err(|e| e.to_string())
}

fn in_worker<T: DeserializeOwned>(opening: &Opening, task: Task, isolation: &Isolation) -> Result<T> {
    let value = run_task(&Options::new(Level::Quick), isolation, &mut opening.workers(task)?)?;
    serde_json::from_value(value).context("the worker's answer cannot be read")
}
