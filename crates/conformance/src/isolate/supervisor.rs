//! The supervisor's side: groups one after the other, or a few at a time, and results out of
//! whatever their workers leave behind.

use std::collections::HashMap;
use std::fmt;
use std::ops::ControlFlow;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Isolation;
use super::group::{Group, groups};
use super::process::{Ended, How, Limits, watch};
use super::protocol::{Job, Message, PROTOCOL};
use crate::report::{CaseResult, DeviceFacts, DeviceReport, GroupOutcome, GroupResult, Status};
use crate::runner::{Item, Options, Progress, planted, select};

/// Lines of a worker's output that stand in the detail of a case, and characters of each.
const LAST_WORDS: usize = 3;
const LONGEST_WORD: usize = 200;
/// Groups in a row that cannot open the device before the rest is given up.
const UNOPENED: usize = 2;

/// What an isolated run brings.
#[derive(Clone, Debug)]
pub struct IsolatedRun {
    /// The report, with [`groups`](DeviceReport::groups).
    pub report: DeviceReport,
    /// Kernels that the workers which ended in order have built.
    pub kernels: u64,
}

/// Nothing could be run: no worker started, or none could open the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsolationError(String);

impl fmt::Display for IsolationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for IsolationError {}

/// Runs what `options` select in workers, blocking. `worker` makes the command of a worker, a
/// program that calls [`serve`](super::serve); its environment is inherited. `progress` is called
/// after each case, from one thread at a time.
///
/// # Errors
///
/// If the first workers could not open the device, or nothing is selected.
pub fn run_isolated(
    options: &Options,
    isolation: &Isolation,
    worker: &mut (dyn FnMut() -> Command + Send),
    progress: &mut (dyn FnMut(&Progress<'_>) + Send),
) -> Result<IsolatedRun, IsolationError> {
    let start = Instant::now();
    let items = select(options);
    let groups = groups(items.iter().map(|item| (item.id(), item.family())));
    let by_id = items.iter().map(|item| (item.id(), item)).collect();
    let ended = groups.iter().map(|_| None).collect();
    let state = State { worker, progress, results: HashMap::new(), facts: None, kernels: 0, unopened: 0, ended };
    let run = Run { options, isolation, items: by_id, start, state: Mutex::new(state) };
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..isolation.workers.clamp(1, groups.len().max(1)) {
            scope.spawn(|| {
                while let Some((i, group)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, groups.get(i)?)))
                {
                    run.group_or_skip(i, group);
                }
            });
        }
    });
    let mut state = run.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    let ended: Vec<GroupResult> = state.ended.into_iter().flatten().collect();
    let Some(facts) = state.facts else {
        // The first line gives the reason, the rest is what the worker wrote.
        let reason = ended.first().and_then(|group| group.detail.lines().next());
        return Err(IsolationError(reason.unwrap_or("no case is selected").to_string()));
    };
    let all: Vec<_> = items.iter().flat_map(|item| state.results.remove(item.id()).unwrap_or_default()).collect();
    let profiles = crate::profiles::of_run(options, &items, &all);
    let mut report = DeviceReport::of_facts(facts, all, start.elapsed().as_secs_f64());
    (report.groups, report.profiles) = (ended, profiles);
    Ok(IsolatedRun { report, kernels: state.kernels })
}

/// Runs a task in a worker that calls [`serve_task`](super::serve_task) and returns what it brings.
///
/// # Errors
///
/// How the worker ended, where it ended without bringing anything or crashed after that.
pub fn run_task(
    options: &Options,
    isolation: &Isolation,
    worker: Command,
) -> Result<serde_json::Value, IsolationError> {
    let limits = Limits { deadline: Instant::now() + isolation.group_limit, stall: isolation.group_limit };
    let mut payload = None;
    let mut said = Said::default();
    let ended = watch(worker, job(options, &[]), &limits, &mut |message| {
        match message {
            Message::Payload { value } => payload = Some(value),
            other => said.hear(&other),
        }
        ControlFlow::Continue(())
    });
    let outcome = outcome(&ended, &said, isolation, payload.is_none());
    match payload {
        Some(value) if outcome.is_completed() => Ok(value),
        _ => Err(IsolationError(reason(&ended, &said, outcome))),
    }
}

struct Run<'a> {
    options: &'a Options,
    isolation: &'a Isolation,
    items: HashMap<&'a str, &'a Item>,
    start: Instant,
    state: Mutex<State<'a>>,
}

/// What groups that run at the same time share.
struct State<'a> {
    worker: &'a mut (dyn FnMut() -> Command + Send),
    progress: &'a mut (dyn FnMut(&Progress<'_>) + Send),
    results: HashMap<String, Vec<CaseResult>>,
    facts: Option<DeviceFacts>,
    kernels: u64,
    /// Groups in a row that could not open the device.
    unopened: usize,
    /// How the groups ended, in the order of the groups.
    ended: Vec<Option<GroupResult>>,
}

/// What a worker has said of itself.
#[derive(Default)]
struct Said {
    hello: bool,
    refused: Option<String>,
    running: Option<String>,
    last: Option<String>,
    stopped: Option<(String, bool)>,
    kernels: Option<u64>,
}

impl Said {
    fn hear(&mut self, message: &Message) {
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
            Message::Payload { .. } => {}
            Message::End { kernels } => self.kernels = Some(*kernels),
        }
    }
}

impl<'a> Run<'a> {
    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a group, unless the device cannot be opened: the first group that cannot ends the run if
    /// none could before, later ones end it when there are [`UNOPENED`] in a row.
    fn group_or_skip(&self, i: usize, group: &Group) {
        let (unopened, never) = {
            let state = self.state();
            (state.unopened, state.facts.is_none())
        };
        let hopeless = unopened >= UNOPENED || (unopened > 0 && never);
        let result = if hopeless { self.skip(group) } else { self.group(group) };
        let mut state = self.state();
        state.unopened = if result.outcome == GroupOutcome::NotStarted { unopened + 1 } else { 0 };
        state.ended[i] = Some(result);
    }

    /// Runs a group in as many workers as it takes.
    fn group(&self, group: &Group) -> GroupResult {
        let start = Instant::now();
        let deadline = start + self.isolation.group_limit;
        let mut result = blank_group(group);
        let mut left: Vec<&str> = group.cases.iter().map(String::as_str).collect();
        let mut why = String::new();
        while !left.is_empty() && result.workers <= self.isolation.restarts {
            result.workers += 1;
            let before = left.len();
            let (ended, said) = self.worker(&left, deadline);
            {
                let state = self.state();
                left.retain(|id| !state.results.contains_key(*id));
            }
            let outcome = outcome(&ended, &said, self.isolation, !left.is_empty());
            if outcome.is_completed() {
                break;
            }
            let reason = reason(&ended, &said, outcome);
            let lost = said.last.filter(|_| outcome == GroupOutcome::Lost);
            let during = said.running.filter(|id| left.contains(&id.as_str())).or(lost).unwrap_or_default();
            if let Some(at) = left.iter().position(|id| *id == during) {
                left.remove(at);
                self.settle(&during, Status::Error, &format!("{reason} while running this case"), &ended.output);
            }
            why = if during.is_empty() { reason } else { format!("{reason} while running {during}") };
            // An end that no case explains is the one to be told of.
            if result.outcome.is_completed() || (during.is_empty() && !result.during.is_empty()) {
                (result.outcome, result.during) = (outcome, during);
                result.detail = [why.as_str(), &ended.output].join("\n").trim_end().to_string();
            }
            let hopeless = match outcome {
                // A crash on opening is tried again once; a device that says no is believed.
                GroupOutcome::NotStarted => said.refused.is_some() || result.workers > 1,
                GroupOutcome::TimedOut { stalled, .. } => !stalled,
                GroupOutcome::Incomplete => left.len() == before || said.stopped.is_some(),
                _ => false,
            };
            if hopeless || Instant::now() >= deadline {
                break;
            }
        }
        if !left.is_empty() {
            let why = match result.workers {
                0 | 1 => why,
                workers => format!("{workers} workers ended early; the last: {why}"),
            };
            left.into_iter().for_each(|id| self.settle(id, Status::NotRun, &why, ""));
        }
        result.seconds = start.elapsed().as_secs_f64();
        result
    }

    /// A group for which no worker is started any more.
    fn skip(&self, group: &Group) -> GroupResult {
        let detail = format!("the device did not open for the {UNOPENED} groups before");
        group.cases.iter().for_each(|id| self.settle(id, Status::NotRun, &detail, ""));
        GroupResult { outcome: GroupOutcome::NotStarted, detail, ..blank_group(group) }
    }

    /// Runs one worker and keeps the results that it brings.
    fn worker(&self, cases: &[&str], deadline: Instant) -> (Ended, Said) {
        let mut said = Said::default();
        let mut options = self.options.clone();
        options.time_limit = options.time_limit.map(|limit| limit.saturating_sub(self.start.elapsed()));
        let limits = Limits { deadline, stall: self.isolation.stall_limit };
        let command = (self.state().worker)();
        let ended = watch(command, job(&options, cases), &limits, &mut |message| {
            said.hear(&message);
            match message {
                _ if said.refused.is_some() => return ControlFlow::Break(()),
                Message::Hello { device, .. } => {
                    self.state().facts.get_or_insert(*device);
                }
                Message::Results { id, results } if cases.contains(&id.as_str()) => self.keep(&id, results),
                Message::End { kernels } => self.state().kernels += kernels,
                _ => {}
            }
            ControlFlow::Continue(())
        });
        (ended, said)
    }

    /// Keeps results if they are of that case. There may be none: a case may lack the kernel that the
    /// options name.
    fn keep(&self, id: &str, results: Vec<CaseResult>) {
        let mut state = self.state();
        if results.iter().any(|r| r.id != id) || state.results.contains_key(id) {
            return;
        }
        let (done, total) = (state.results.len() + 1, self.items.len());
        (state.progress)(&Progress { done, total, id, results: &results });
        state.results.insert(id.to_string(), results);
    }

    /// A case that no worker has a result for.
    fn settle(&self, id: &str, status: Status, why: &str, output: &str) {
        let facts = self.state().facts.clone();
        let device = facts.as_ref().map_or("", |facts| facts.id.as_str());
        if let Some(item) = self.items.get(id) {
            let detail = format!("{why}{}", last_words(output));
            let mut result = CaseResult { status, detail, ..item.blank(device, self.options) };
            if let Some(facts) = &facts {
                result.reproduce.push_str(&planted(&facts.properties));
            }
            self.keep(id, vec![result]);
        }
    }
}

fn blank_group(group: &Group) -> GroupResult {
    GroupResult {
        name: group.name.clone(),
        cases: group.cases.len(),
        workers: 0,
        seconds: 0.0,
        outcome: GroupOutcome::Completed,
        during: String::new(),
        detail: String::new(),
    }
}

/// The job as the line that a worker reads.
fn job(options: &Options, cases: &[&str]) -> Vec<u8> {
    let cases = cases.iter().map(ToString::to_string).collect();
    let job = Job { options: options.clone(), cases };
    let mut line = serde_json::to_vec(&job).expect("a job has nothing that JSON cannot hold");
    line.push(b'\n');
    line
}

/// How a worker ended, given whether results are `missing`.
fn outcome(ended: &Ended, said: &Said, isolation: &Isolation, missing: bool) -> GroupOutcome {
    let timed_out = |limit: Duration, stalled| GroupOutcome::TimedOut { limit_seconds: limit.as_secs_f64(), stalled };
    match &ended.how {
        _ if !said.hello => GroupOutcome::NotStarted,
        How::Stalled => timed_out(isolation.stall_limit, true),
        How::Late => timed_out(isolation.group_limit, false),
        _ if matches!(said.stopped, Some((_, true))) => GroupOutcome::Lost,
        How::Exited(status) if said.kernels.is_none() || !status.success() => crashed(*status),
        _ if missing => GroupOutcome::Incomplete,
        _ => GroupOutcome::Completed,
    }
}

fn crashed(status: ExitStatus) -> GroupOutcome {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal = None;
    GroupOutcome::Crashed { signal, exit_code: status.code() }
}

/// The outcome as a sentence about the worker.
fn reason(ended: &Ended, said: &Said, outcome: GroupOutcome) -> String {
    match (&said.refused, &said.stopped, &ended.how) {
        (Some(reason), ..) => reason.clone(),
        (_, Some((reason, _)), _) => reason.clone(),
        (_, _, How::NotSpawned(e)) => format!("the worker could not be started: {e}"),
        _ if outcome != GroupOutcome::NotStarted => format!("the worker {outcome}"),
        (_, _, how) => {
            let how = match how {
                How::Exited(status) => crashed(*status).to_string(),
                _ => "was killed for taking too long".to_string(),
            };
            format!("the worker {how} before its device was open{}", last_words(&ended.output))
        }
    }
}

/// The last lines that a worker wrote, as the end of a sentence.
fn last_words(output: &str) -> String {
    let short = |line: &str| line.chars().take(LONGEST_WORD).collect::<String>();
    let lines: Vec<String> = output.lines().map(|line| short(line.trim())).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LAST_WORDS)..];
    if last.is_empty() { String::new() } else { format!("; the last that it wrote: {}", last.join(" / ")) }
}
