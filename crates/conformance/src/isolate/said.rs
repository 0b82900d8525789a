//! What a worker has said of itself, and what to make of it when it has ended.

use std::process::ExitStatus;

use super::Isolation;
use super::process::{Ended, How};
use super::protocol::{Message, PROTOCOL};
use crate::report::GroupOutcome;

/// Lines of a worker's output that stand in the detail of a case, and characters of each.
const LAST_WORDS: usize = 3;
const LONGEST_WORD: usize = 200;

#[derive(Default)]
pub(super) struct Said {
    pub(super) hello: bool,
    pub(super) refused: Option<String>,
    /// The case that it is at.
    pub(super) running: Option<String>,
    /// The case that it ended last.
    pub(super) last: Option<String>,
    /// Why no further case can run, and whether the device was lost.
    pub(super) stopped: Option<(String, bool)>,
    pub(super) ended: bool,
    pub(super) kernels: u64,
}

impl Said {
    pub(super) fn hear(&mut self, message: &Message) {
        match message {
            Message::Hello { protocol: PROTOCOL, .. } => self.hello = true,
            Message::Hello { protocol, .. } => {
                self.refused = Some(format!("the worker speaks version {protocol} of the protocol, not {PROTOCOL}"));
            }
            Message::Refused { reason } => self.refused = Some(reason.clone()),
            Message::Start { id } => self.running = Some(id.clone()),
            Message::Results { id, .. } => {
                self.running = None;
                self.last = Some(id.clone());
            }
            Message::Stopped { reason, lost } => self.stopped = Some((reason.clone(), *lost)),
            Message::Alive(alive) => self.kernels = self.kernels.max(alive.kernels),
            Message::Payload { .. } => {}
            Message::End { kernels } => (self.ended, self.kernels) = (true, *kernels),
        }
    }
}

/// How a worker ended, given whether results are `missing`.
pub(super) fn outcome(ended: &Ended, said: &Said, isolation: &Isolation, missing: bool) -> GroupOutcome {
    match &ended.how {
        How::Late => {
            let limit = isolation.group_limit.unwrap_or_default();
            GroupOutcome::TimedOut { limit_seconds: limit.as_secs_f64(), stalled: false }
        }
        How::Silent => GroupOutcome::Silent { limit_seconds: isolation.silence_limit.as_secs_f64() },
        _ if !said.hello => GroupOutcome::NotStarted,
        How::Stalled(_) => GroupOutcome::TimedOut { limit_seconds: isolation.stall_limit.as_secs_f64(), stalled: true },
        _ if matches!(said.stopped, Some((_, true))) => GroupOutcome::Lost,
        How::Exited(status) if !said.ended || !status.success() => crashed(*status),
        _ if missing && said.stopped.is_some() => GroupOutcome::Stopped,
        _ if missing => GroupOutcome::Incomplete,
        _ => GroupOutcome::Completed,
    }
}

/// Whether another worker, with nothing beside it, may come further: this one made no progress, or
/// was killed from outside, as by a system that has no memory left.
pub(super) fn deserves_another_try(ended: &Ended) -> bool {
    match &ended.how {
        How::Stalled(_) | How::Silent => true,
        How::Exited(status) => killed_from_outside(*status),
        How::NotSpawned(_) | How::Late | How::Dismissed => false,
    }
}

/// SIGKILL and SIGTERM are sent by others; a driver that crashes gets other signals.
fn killed_from_outside(status: ExitStatus) -> bool {
    matches!(crashed(status), GroupOutcome::Crashed { signal: Some(9 | 15), .. })
}

fn crashed(status: ExitStatus) -> GroupOutcome {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal = None;
    GroupOutcome::Crashed { signal, exit_code: status.code() }
}

/// The outcome as a sentence about the worker.
pub(super) fn reason(ended: &Ended, said: &Said, outcome: GroupOutcome) -> String {
    match (&said.refused, &said.stopped, &ended.how) {
        (Some(reason), ..) => reason.clone(),
        (_, Some((reason, _)), _) => reason.clone(),
        (_, _, How::NotSpawned(e)) => format!("the worker could not be started: {e}"),
        (_, _, How::Stalled(evidence)) if said.hello => format!("the worker {outcome} ({evidence})"),
        _ if outcome != GroupOutcome::NotStarted => format!("the worker {outcome}"),
        (_, _, how) => {
            let how = match how {
                How::Exited(status) => crashed(*status).to_string(),
                How::Stalled(evidence) => format!("was killed because it made no progress ({evidence})"),
                _ => "was killed for taking too long".to_string(),
            };
            format!("the worker {how} before its device was open{}", last_words(&ended.output))
        }
    }
}

/// The last lines that a worker wrote, as the end of a sentence.
pub(super) fn last_words(output: &str) -> String {
    let short = |line: &str| line.chars().take(LONGEST_WORD).collect::<String>();
    let lines: Vec<String> = output.lines().map(|line| short(line.trim())).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LAST_WORDS)..];
    if last.is_empty() { String::new() } else { format!("; the last that it wrote: {}", last.join(" / ")) }
}
