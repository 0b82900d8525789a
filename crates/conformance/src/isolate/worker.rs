//! The worker's side: takes a job, runs it, says what happens.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::thread;

use unisono_core::Backend;
use web_time::Instant;

use super::beat::Beat;
use super::protocol::{Job, Message, PROTOCOL};
use crate::report::{DeviceFacts, Status};
use crate::runner::{Sources, lost, select};

/// Runs the job that the supervisor sends, on the device that `open` opens. To be called by a
/// program that [`run_isolated`](super::run_isolated) starts, which ends when this returns.
///
/// # Errors
///
/// If standard input is no job or standard output is closed. A device that does not open is told to
/// the supervisor.
pub fn serve(open: impl FnOnce() -> unisono_core::Result<Arc<dyn Backend>>) -> io::Result<()> {
    let job = receive()?;
    let beat = Beat::start();
    let Some(backend) = greet(open)? else { return Ok(()) };
    beat.watch(&backend);
    let start = Instant::now();
    let mut items = select(&job.options);
    let wanted: std::collections::HashSet<&str> = job.cases.iter().map(String::as_str).collect();
    items.retain(|item| wanted.contains(item.id()));
    let mut sources = Sources::default();
    for item in items {
        if let Some(limit) = job.options.time_limit.filter(|&limit| start.elapsed() >= limit) {
            let reason = format!("the time limit of {} s was reached", limit.as_secs());
            say(&Message::Stopped { reason, lost: false })?;
            break;
        }
        say(&Message::Start { id: item.id().to_string() })?;
        let results = pollster::block_on(item.run(&*backend, &job.options, &mut sources));
        let suspicious = results.iter().any(|r| r.status == Status::Error);
        say(&Message::Results { id: item.id().to_string(), results, sources: sources.take() })?;
        if suspicious && let Some(reason) = pollster::block_on(lost(&*backend)) {
            say(&Message::Stopped { reason, lost: true })?;
            break;
        }
    }
    say(&Message::End { kernels: backend.counters().kernels })
}

/// Runs something that is no case, such as a whole model, for [`run_task`](super::run_task).
///
/// # Errors
///
/// As [`serve`].
pub fn serve_task(
    open: impl FnOnce() -> unisono_core::Result<Arc<dyn Backend>>,
    task: impl FnOnce(&Arc<dyn Backend>) -> serde_json::Value,
) -> io::Result<()> {
    receive()?;
    let beat = Beat::start();
    let Some(backend) = greet(open)? else { return Ok(()) };
    beat.watch(&backend);
    say(&Message::Payload { value: task(&backend) })?;
    say(&Message::End { kernels: backend.counters().kernels })
}

/// The job; from then on this process ends when its supervisor does.
fn receive() -> io::Result<Job> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let job = serde_json::from_str(&line).map_err(|e| {
        let message = format!("standard input holds no job: {e}; this program is started by a check, not by hand");
        io::Error::new(io::ErrorKind::InvalidInput, message)
    })?;
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        // The driver may hang in another thread, so nothing of this process is waited for.
        std::process::abort();
    });
    Ok(job)
}

fn greet(open: impl FnOnce() -> unisono_core::Result<Arc<dyn Backend>>) -> io::Result<Option<Arc<dyn Backend>>> {
    match open() {
        Ok(backend) => {
            let device = Box::new(DeviceFacts::of(backend.info()));
            say(&Message::Hello { protocol: PROTOCOL, device })?;
            Ok(Some(backend))
        }
        Err(e) => say(&Message::Refused { reason: e.to_string() }).map(|()| None),
    }
}

pub(super) fn say(message: &Message) -> io::Result<()> {
    let text = serde_json::to_string(message)?;
    let mut out = io::stdout().lock();
    writeln!(out, "\n{text}")?;
    out.flush()
}
