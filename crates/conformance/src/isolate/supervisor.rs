//! The supervisor's side: groups one after the other, or a few at a time, and results out of
//! whatever their workers leave behind.

use std::collections::HashMap;
use std::fmt;
use std::ops::ControlFlow;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use super::Isolation;
use super::group::{Group, groups};
use super::process::{Ended, Limits, watch};
use super::protocol::{Job, Message};
use super::said::{Said, deserves_another_try, last_words, outcome, reason};
use crate::report::{CaseResult, DeviceFacts, DeviceReport, GroupOutcome, GroupResult, SourceText, Status};
use crate::runner::{Item, Options, Progress, planted, select};

/// Groups in a row that cannot open the device before the rest is given up.
const UNOPENED: usize = 2;

/// Held for reading by every group and task of this process that runs, on whatever device, and for
/// writing by one that runs alone.
static BESIDE: RwLock<()> = RwLock::new(());

/// What an isolated run brings.
#[derive(Clone, Debug)]
pub struct IsolatedRun {
    /// The report, with [`groups`](DeviceReport::groups).
    pub report: DeviceReport,
    /// Kernels that the workers have built, by their own count.
    pub kernels: u64,
}

/// Nothing could be run: no worker started, none could open the device, or a task failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsolationError {
    reason: String,
    inconclusive: bool,
}

impl IsolationError {
    pub(super) fn new(reason: impl Into<String>) -> IsolationError {
        IsolationError { reason: reason.into(), inconclusive: false }
    }

    /// Whether this says nothing about the device, because a limit of time was reached: neither a
    /// pass nor a failure, and another run may bring either.
    pub fn is_inconclusive(&self) -> bool {
        self.inconclusive
    }
}

impl fmt::Display for IsolationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for IsolationError {}

/// Runs what `options` select in workers, blocking. `worker` makes the command of a worker, a
/// program that calls [`serve`](super::serve); its environment is inherited. `progress` is called
/// after each case and about once a second while one runs, from one thread at a time.
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
    let (run, _) = run_rest(options, isolation, Before::default(), worker, progress)?;
    Ok(run)
}

/// What another run has brought already.
#[derive(Default)]
pub(super) struct Before<'a> {
    /// The results of each case that does not run again.
    pub(super) results: HashMap<String, Vec<CaseResult>>,
    /// The texts of kernels that failed in them.
    pub(super) sources: Vec<SourceText>,
    /// The device of these results; another one is refused.
    pub(super) facts: Option<&'a DeviceFacts>,
}

/// Runs what is not in `before`, and puts both together. The second value says of each group
/// whether anything of it ran now.
pub(super) fn run_rest(
    options: &Options,
    isolation: &Isolation,
    before: Before<'_>,
    worker: &mut (dyn FnMut() -> Command + Send),
    progress: &mut (dyn FnMut(&Progress<'_>) + Send),
) -> Result<(IsolatedRun, Vec<bool>), IsolationError> {
    let start = Instant::now();
    let items = select(options);
    let groups = groups(items.iter().map(|item| (item.id(), item.family())));
    let by_id = items.iter().map(|item| (item.id(), item)).collect();
    let state = State {
        worker,
        progress,
        results: before.results,
        sources: before.sources,
        facts: None,
        kernels: 0,
        unopened: 0,
        ended: groups.iter().map(blank_group).collect(),
        again: Vec::new(),
    };
    let runs = |group: &Group| group.cases.iter().any(|id| !state.results.contains_key(id));
    let ran: Vec<bool> = groups.iter().map(runs).collect();
    let run = Run { options, isolation, items: by_id, start, expected: before.facts, state: Mutex::new(state) };
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..isolation.workers.clamp(1, groups.len().max(1)) {
            scope.spawn(|| {
                while let Some((i, group)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, groups.get(i)?)))
                {
                    if ran[i] {
                        run.group_or_skip(i, group);
                    }
                }
            });
        }
    });
    let again = std::mem::take(&mut run.state().again);
    again.into_iter().for_each(|attempt| run.alone(attempt));
    let mut state = run.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    let Some(facts) = state.facts else {
        // The first line gives the reason, the rest is what the worker wrote.
        let ended = state.ended.iter().find(|group| !group.detail.is_empty());
        let reason = ended.and_then(|group| group.detail.lines().next()).unwrap_or("no case is selected");
        let inconclusive = ended.is_some_and(|group| group.outcome.is_inconclusive());
        return Err(IsolationError { reason: reason.to_string(), inconclusive });
    };
    let all: Vec<_> = items.iter().flat_map(|item| state.results.remove(item.id()).unwrap_or_default()).collect();
    let profiles = crate::profiles::of_run(options, &items, &all);
    let report = DeviceReport::of_facts(facts, all, start.elapsed().as_secs_f64());
    let mut report = report.with_sources(state.sources);
    (report.groups, report.profiles) = (state.ended, profiles);
    Ok((IsolatedRun { report, kernels: state.kernels }, ran))
}

/// Runs a task in a worker that calls [`serve_task`](super::serve_task) and returns what it brings.
/// A worker that makes no progress is replaced once, with nothing beside it.
///
/// # Errors
///
/// How the worker ended, where it ended without bringing anything or crashed after that.
pub fn run_task(
    options: &Options,
    isolation: &Isolation,
    worker: &mut dyn FnMut() -> Command,
) -> Result<serde_json::Value, IsolationError> {
    let mut task = || {
        let deadline = isolation.group_limit.and_then(|limit| Instant::now().checked_add(limit));
        let limits = Limits { deadline, stall: isolation.stall_limit, silence: isolation.silence_limit };
        let (mut payload, mut said) = (None, Said::default());
        let ended = watch(worker(), job(options, &[]), &limits, &mut |message| {
            match message {
                Message::Payload { value } => payload = Some(value),
                other => said.hear(&other),
            }
            ControlFlow::Continue(())
        });
        (payload, said, ended)
    };
    let (mut payload, mut said, mut ended) = {
        let _beside = BESIDE.read().unwrap_or_else(PoisonError::into_inner);
        task()
    };
    if payload.is_none() && deserves_another_try(&ended) {
        let _alone = BESIDE.write().unwrap_or_else(PoisonError::into_inner);
        (payload, said, ended) = task();
    }
    let outcome = outcome(&ended, &said, isolation, payload.is_none());
    match payload {
        Some(value) if outcome.is_completed() => Ok(value),
        _ => Err(IsolationError { reason: reason(&ended, &said, outcome), inconclusive: outcome.is_inconclusive() }),
    }
}

struct Run<'a> {
    options: &'a Options,
    isolation: &'a Isolation,
    items: HashMap<&'a str, &'a Item>,
    start: Instant,
    expected: Option<&'a DeviceFacts>,
    state: Mutex<State<'a>>,
}

/// What groups that run at the same time share.
struct State<'a> {
    worker: &'a mut (dyn FnMut() -> Command + Send),
    progress: &'a mut (dyn FnMut(&Progress<'_>) + Send),
    results: HashMap<String, Vec<CaseResult>>,
    sources: Vec<SourceText>,
    facts: Option<DeviceFacts>,
    kernels: u64,
    /// Groups in a row that could not open the device.
    unopened: usize,
    /// How the groups ended, in the order of the groups.
    ended: Vec<GroupResult>,
    /// Those that run again, alone, when all others have ended.
    again: Vec<Attempt<'a>>,
}

/// A group that has begun.
struct Attempt<'a> {
    index: usize,
    left: Vec<&'a str>,
    result: GroupResult,
    /// Workers that ended early and cost a case.
    early: usize,
    deadline: Option<Instant>,
}

impl<'a> Run<'a> {
    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a group, unless the device cannot be opened: the first group that cannot ends the run if
    /// none could before, later ones end it when there are [`UNOPENED`] in a row.
    fn group_or_skip(&self, index: usize, group: &'a Group) {
        let (unopened, never) = {
            let state = self.state();
            (state.unopened, state.facts.is_none())
        };
        if unopened >= UNOPENED || (unopened > 0 && never) {
            self.state().ended[index] = self.skip(group);
            return;
        }
        let mut attempt = {
            let state = self.state();
            let left = group.cases.iter().map(String::as_str).filter(|id| !state.results.contains_key(*id)).collect();
            let deadline = self.isolation.group_limit.and_then(|limit| Instant::now().checked_add(limit));
            Attempt { index, left, result: blank_group(group), early: 0, deadline }
        };
        let again = {
            let _beside = BESIDE.read().unwrap_or_else(PoisonError::into_inner);
            self.attempt(&mut attempt, false)
        };
        let mut state = self.state();
        if again {
            state.again.push(attempt);
            return;
        }
        state.unopened = if attempt.result.outcome == GroupOutcome::NotStarted { unopened + 1 } else { 0 };
        state.ended[index] = attempt.result;
    }

    /// The second attempt at a group, with nothing beside it.
    fn alone(&self, mut attempt: Attempt<'a>) {
        let _alone = BESIDE.write().unwrap_or_else(PoisonError::into_inner);
        attempt.result.alone = true;
        self.attempt(&mut attempt, true);
        self.state().ended[attempt.index] = attempt.result;
    }

    /// Runs what is left of a group in as many workers as it takes. Returns whether to do so again
    /// alone.
    fn attempt(&self, attempt: &mut Attempt<'a>, alone: bool) -> bool {
        let start = Instant::now();
        let again = self.workers(attempt, alone);
        attempt.result.seconds += start.elapsed().as_secs_f64();
        again
    }

    fn workers(&self, attempt: &mut Attempt<'a>, alone: bool) -> bool {
        let Attempt { left, result, early, deadline, .. } = attempt;
        let (mut why, mut inconclusive) = (String::new(), false);
        while !left.is_empty() && *early <= self.isolation.restarts {
            result.workers += 1;
            let before = left.len();
            let (ended, said) = self.worker(left, *deadline);
            {
                let state = self.state();
                left.retain(|id| !state.results.contains_key(*id));
            }
            let outcome = outcome(&ended, &said, self.isolation, !left.is_empty());
            if outcome.is_completed() {
                break;
            }
            if !alone && !left.is_empty() && deserves_another_try(&ended) {
                return true;
            }
            *early += 1;
            let beside = if alone { ", with nothing beside it" } else { "" };
            let reason = reason(&ended, &said, outcome);
            let lost = said.last.filter(|_| outcome == GroupOutcome::Lost);
            let during = said.running.filter(|id| left.contains(&id.as_str())).or(lost).unwrap_or_default();
            inconclusive = outcome.is_inconclusive();
            if let Some(at) = left.iter().position(|id| *id == during) {
                left.remove(at);
                let status = if inconclusive { Status::NotFinished } else { Status::Error };
                self.settle(&during, status, &format!("{reason} while running this case{beside}"), &ended.output);
            }
            why = if during.is_empty() { reason } else { format!("{reason} while running {during}{beside}") };
            // An end that no case explains is the one to be told of.
            if result.outcome.is_completed() || (during.is_empty() && !result.during.is_empty()) {
                (result.outcome, result.during) = (outcome, during);
                result.detail = [why.as_str(), &ended.output].join("\n").trim_end().to_string();
            }
            let hopeless = match outcome {
                // A crash on opening is tried again once; a device that says no is believed.
                GroupOutcome::NotStarted => said.refused.is_some() || *early > 1 || alone,
                GroupOutcome::TimedOut { stalled, .. } => !stalled,
                GroupOutcome::Stopped => true,
                GroupOutcome::Incomplete => left.len() == before,
                _ => false,
            };
            if hopeless || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
        }
        let why = if *early > 1 { format!("{early} workers ended early; the last: {why}") } else { why };
        let status = if inconclusive { Status::NotFinished } else { Status::NotRun };
        left.drain(..).for_each(|id| self.settle(id, status, &why, ""));
        false
    }

    /// A group for which no worker is started any more.
    fn skip(&self, group: &Group) -> GroupResult {
        let detail = format!("the device did not open for the {UNOPENED} groups before");
        group.cases.iter().for_each(|id| self.settle(id, Status::NotRun, &detail, ""));
        GroupResult { outcome: GroupOutcome::NotStarted, detail, ..blank_group(group) }
    }

    /// Runs one worker and keeps the results that it brings.
    fn worker(&self, cases: &[&str], deadline: Option<Instant>) -> (Ended, Said) {
        let mut said = Said::default();
        let mut options = self.options.clone();
        options.time_limit = options.time_limit.map(|limit| limit.saturating_sub(self.start.elapsed()));
        let (stall, silence) = (self.isolation.stall_limit, self.isolation.silence_limit);
        let limits = Limits { deadline, stall, silence };
        let command = (self.state().worker)();
        let ended = watch(command, job(&options, cases), &limits, &mut |message| {
            let kernels = said.kernels;
            said.hear(&message);
            self.state().kernels += said.kernels.saturating_sub(kernels);
            match message {
                _ if said.refused.is_some() => return ControlFlow::Break(()),
                Message::Hello { device, .. } => {
                    if let Some(reason) = self.expected.and_then(|expected| other_device(expected, &device)) {
                        (said.hello, said.refused) = (false, Some(reason));
                        return ControlFlow::Break(());
                    }
                    self.state().facts.get_or_insert(*device);
                }
                Message::Results { id, results, sources } if cases.contains(&id.as_str()) => {
                    self.state().sources.extend(sources);
                    self.keep(&id, results);
                }
                Message::Alive(alive) => self.tell(said.running.as_deref().unwrap_or_default(), &alive.doing),
                _ => {}
            }
            ControlFlow::Continue(())
        });
        (ended, said)
    }

    /// Tells what is running.
    fn tell(&self, id: &str, doing: &str) {
        let mut state = self.state();
        let (done, total, kernels) = (state.results.len(), self.items.len(), state.kernels);
        (state.progress)(&Progress { done, total, id, ended: false, results: &[], kernels, doing });
    }

    /// Keeps results if they are of that case. There may be none: a case may lack the kernel that the
    /// options name.
    fn keep(&self, id: &str, results: Vec<CaseResult>) {
        let mut state = self.state();
        if results.iter().any(|r| r.id != id) || state.results.contains_key(id) {
            return;
        }
        let (done, total, kernels) = (state.results.len() + 1, self.items.len(), state.kernels);
        (state.progress)(&Progress { done, total, id, ended: true, results: &results, kernels, doing: "" });
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

/// Why a device is not the one that is expected.
fn other_device(expected: &DeviceFacts, device: &DeviceFacts) -> Option<String> {
    let differences = expected.differences(device);
    let list = differences.join("; ");
    (!differences.is_empty()).then(|| format!("{} is not the device of the report: {list}", device.id))
}

fn blank_group(group: &Group) -> GroupResult {
    GroupResult {
        name: group.name.clone(),
        cases: group.cases.len(),
        workers: 0,
        alone: false,
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
