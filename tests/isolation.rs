//! Workers that crash, hang, lose their device or talk nonsense: the run goes on, what they cost is
//! one case, and the report says what happened.
//!
//! This program is its own worker: called with a fault in the environment it serves the naive
//! backend behind a trap that springs at one case.

use std::ops::Range;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use unisono_conformance::isolate::Message;
use unisono_conformance::{
    Case, CaseResult, GroupOutcome, IsolatedRun, Isolation, IsolationError, Level, Options, Status, Verdict, find,
    resume, run, run_isolated, run_task, serve, serve_task,
};
use unisono_core::op::OpDesc;
use unisono_core::{
    Backend, Bindings, Buffer, BufferDesc, Counters, DeviceInfo, Error, ErrorKind, Plan, Program, Readback, Result,
    Support, Ticket,
};
use unisono_tests::naive::Naive;

/// The environment variables of a worker: its fault, and the case at which the trap springs.
const FAULT: &str = "UNISONO_TEST_FAULT";
const CASE: &str = "UNISONO_TEST_CASE";
/// A file that the first worker of a run makes.
const ONCE: &str = "UNISONO_TEST_ONCE";
/// A file into which a worker writes its process id.
const PID: &str = "UNISONO_TEST_PID";

/// A test with its name apart.
type Test = fn() -> std::result::Result<(), Failed>;

fn main() -> ExitCode {
    if let Ok(fault) = std::env::var(FAULT) {
        return worker(&fault);
    }
    let tests: [(&str, Test); 19] = [
        ("a_healthy_worker_reports_what_a_run_in_process_reports", healthy),
        ("several_workers_at_a_time_report_the_same", several_at_a_time),
        ("an_abort_costs_one_case", abort),
        ("an_exit_costs_one_case", exit),
        ("a_driver_that_sleeps_for_ever_costs_one_case_and_two_stall_limits", hang),
        ("a_driver_that_spins_for_ever_costs_one_case_and_two_stall_limits", spin),
        ("a_worker_that_stalls_once_is_run_again_alone_and_leaves_no_trace", once),
        ("a_slow_driver_that_builds_kernels_is_alive", building),
        ("a_task_that_stalls_once_is_run_again", task_again),
        ("a_worker_that_says_nothing_is_not_finished", silent),
        ("what_is_not_finished_is_run_by_a_resumed_run", resumed),
        ("a_lost_device_costs_one_case", lost),
        ("a_driver_that_always_crashes_costs_its_group", always),
        ("what_a_group_does_not_do_in_its_time_is_not_finished", slow),
        ("noise_on_standard_output_and_a_flood_on_standard_error_cost_nothing", noise),
        ("garbage_instead_of_results_is_an_error", garbage),
        ("a_device_that_does_not_open_is_an_error", unopened),
        ("a_crash_after_the_last_case_fails_the_run", late_crash),
        ("a_task_brings_its_value_or_the_reason", task),
    ];
    let mut trials: Vec<Trial> = tests.into_iter().map(|(name, test)| Trial::test(name, test)).collect();
    if cfg!(unix) {
        trials.push(Trial::test("a_worker_ends_with_its_supervisor", orphan));
        trials.push(Trial::test("a_worker_that_is_stopped_and_continued_passes", stopped));
        trials.push(Trial::test("a_worker_beside_many_busy_processes_passes", crowded));
        trials.push(Trial::test("a_worker_that_is_killed_from_outside_is_run_again", killed));
    }
    unisono_conformance::libtest::run(trials)
}

// The worker's side.

fn worker(fault: &str) -> ExitCode {
    let served = match fault {
        "burn" => {
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(12) {
                std::hint::black_box(0);
            }
            return ExitCode::SUCCESS;
        }
        "silent" => {
            let device = Box::new(unisono_conformance::DeviceFacts::of(Naive::default().info()));
            for message in [
                Message::Hello { protocol: unisono_conformance::isolate::PROTOCOL, device },
                Message::Start { id: std::env::var(CASE).unwrap() },
            ] {
                println!("{}", serde_json::to_string(&message).unwrap());
            }
            std::thread::sleep(Duration::from_secs(600));
            Ok(())
        }
        "task hangs once" => serve_task(
            || Ok(Arc::new(Naive::default())),
            |backend| {
                if first_time() {
                    std::thread::sleep(Duration::from_secs(600));
                }
                backend.info().id.clone().into()
            },
        ),
        "supervise" => {
            let _ = isolated(&["neg/"], "hang", &trapped("neg/"));
            Ok(())
        }
        "garbage" => {
            println!("{}", "\u{1b}[31m{\"start\": \"nothing\"} ".repeat(10_000));
            return ExitCode::SUCCESS;
        }
        "other protocol" => {
            let hello = Message::Hello {
                protocol: 77,
                device: Box::new(unisono_conformance::DeviceFacts::of(Naive::default().info())),
            };
            println!("{}", serde_json::to_string(&hello).unwrap());
            std::thread::sleep(Duration::from_secs(600));
            Ok(())
        }
        "crash on open" => {
            eprintln!("no such file: libdriver.so");
            std::process::abort();
        }
        "refuse" => serve(|| Err(Error::new(ErrorKind::DeviceNotFound, "somebody took the device"))),
        "task" => serve_task(|| Ok(Arc::new(Naive::default())), |backend| backend.info().id.clone().into()),
        "task aborts" => serve_task(|| Ok(Arc::new(Naive::default())), |_| std::process::abort()),
        fault => {
            let fault = fault.to_owned();
            let at_end = fault == "crash at the end";
            let served = serve(move || Ok(Arc::new(Trap::new(fault))));
            if at_end {
                std::process::abort();
            }
            served
        }
    };
    if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether no worker before this one got here: there is no file yet at the path in the environment.
fn first_time() -> bool {
    let path = std::env::var(ONCE).unwrap();
    std::fs::OpenOptions::new().write(true).create_new(true).open(path).is_ok()
}

/// Uses processor time of its own, however long that takes.
fn work(time: Duration) {
    let start = cpu_time::ThreadTime::now();
    while start.elapsed() < time {
        std::hint::black_box(0);
    }
}

/// The naive backend, but for one case.
#[derive(Debug)]
struct Trap {
    inner: Naive,
    info: DeviceInfo,
    fault: String,
    at: Option<OpDesc>,
    lost: AtomicBool,
    /// Kernels that it claims to have built since the trap sprang.
    built: AtomicU64,
}

impl Trap {
    fn new(fault: String) -> Trap {
        let at = std::env::var(CASE).ok().and_then(|id| find(&id, Level::Full).pop()).map(|case| case.desc);
        let mut info = Naive::default().info().clone();
        if fault == "other device" {
            info.driver_version = "2".into();
        }
        Trap { inner: Naive::default(), info, fault, at, lost: AtomicBool::new(false), built: AtomicU64::new(0) }
    }

    fn spring(&self) {
        // Where the supervisor learns which process is here.
        let told = || {
            if let Ok(path) = std::env::var(PID) {
                std::fs::write(path, std::process::id().to_string()).unwrap();
            }
        };
        match self.fault.as_str() {
            "abort" => {
                eprintln!("driver: assertion failed: bo->refcount > 0");
                std::process::abort();
            }
            "exit" => std::process::exit(7),
            "hang" => {
                told();
                std::thread::sleep(Duration::from_secs(600));
            }
            "spin" => work(Duration::from_secs(600)),
            "hang once" if first_time() => std::thread::sleep(Duration::from_secs(600)),
            // Builds kernels, each within the limit and all of them far over it.
            "build" => {
                for _ in 0..10 {
                    std::thread::sleep(Duration::from_secs(1));
                    self.built.fetch_add(1, Ordering::SeqCst);
                }
            }
            "work" => {
                told();
                work(Duration::from_secs(2));
            }
            "wait" => {
                told();
                std::thread::sleep(Duration::from_millis(1500));
            }
            "killed once" if first_time() => {
                let kill = ["-KILL".to_string(), std::process::id().to_string()];
                Command::new("kill").args(kill).status().unwrap();
                std::thread::sleep(Duration::from_secs(60));
            }
            "lose" => self.lost.store(true, Ordering::SeqCst),
            _ => {}
        }
    }

    fn check(&self) -> Result<()> {
        match self.lost.load(Ordering::SeqCst) {
            true => Err(Error::new(ErrorKind::DeviceLost, "the driver gave up")),
            false => Ok(()),
        }
    }
}

impl Backend for Trap {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn supports(&self, op: &OpDesc) -> Support {
        self.inner.supports(op)
    }

    fn kernels(&self, op: &OpDesc) -> Vec<Arc<str>> {
        self.inner.kernels(op)
    }

    fn alloc(&self, desc: &BufferDesc) -> Result<Buffer> {
        self.check()?;
        self.inner.alloc(desc)
    }

    fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check()?;
        self.inner.write(buffer, offset, bytes)
    }

    fn read(&self, buffer: &Buffer, range: Range<u64>) -> Readback {
        self.inner.read(buffer, range)
    }

    fn compile(&self, program: &Program) -> Result<Arc<dyn Plan>> {
        match self.fault.as_str() {
            "always abort" => std::process::abort(),
            "noise" => {
                print!("driver: compiling ");
                eprintln!("{}", "warning: this line comes a thousand times\n".repeat(1000));
            }
            _ => {}
        }
        if program.steps().iter().any(|step| Some(step.desc()) == self.at) {
            self.spring();
        }
        self.check()?;
        self.inner.compile(program)
    }

    fn submit(&self, plan: &Arc<dyn Plan>, bindings: &Bindings) -> Result<Ticket> {
        self.inner.submit(plan, bindings)
    }

    fn counters(&self) -> Counters {
        Counters { kernels: 11 + self.built.load(Ordering::SeqCst), ..self.inner.counters() }
    }
}

// The supervisor's side.

fn options(patterns: &[&str]) -> Options {
    Options::new(Level::Quick).with_patterns(patterns.iter().map(ToString::to_string).collect())
}

fn limits() -> Isolation {
    Isolation::new(Level::Quick)
}

fn command(fault: &str, case: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(FAULT, fault).env(CASE, case);
    command
}

fn isolated_within(
    limits: &Isolation,
    patterns: &[&str],
    fault: &str,
    case: &str,
) -> std::result::Result<IsolatedRun, IsolationError> {
    run_isolated(&options(patterns), limits, &mut || command(fault, case), &mut |_| {})
}

fn isolated(patterns: &[&str], fault: &str, case: &str) -> std::result::Result<IsolatedRun, IsolationError> {
    isolated_within(&limits(), patterns, fault, case)
}

/// A case of the family in the middle of its cases that is the only one with its operands.
fn trapped(prefix: &str) -> String {
    let cases = find(prefix, Level::Quick);
    let unique = |c: &&Case| cases.iter().filter(|other| other.desc == c.desc).count() == 1;
    let unique: Vec<&Case> = cases.iter().filter(unique).collect();
    unique[unique.len() / 2].id.clone()
}

/// Everything but what depends on time.
fn facts(results: &[CaseResult]) -> Vec<CaseResult> {
    results.iter().map(|r| CaseResult { seconds: 0.0, ..r.clone() }).collect()
}

fn in_process(patterns: &[&str]) -> Vec<CaseResult> {
    facts(&run(&Naive::default(), &options(patterns), &mut |_| {}).results)
}

fn healthy() -> std::result::Result<(), Failed> {
    healthy_with(1)
}

fn several_at_a_time() -> std::result::Result<(), Failed> {
    healthy_with(3)?;
    let case = trapped("neg/");
    let run = isolated_within(&limits().with_workers(3), &["neg/", "exp/"], "exit", &case)?;
    let outcome = GroupOutcome::Crashed { signal: None, exit_code: Some(7) };
    costs_one_case(&run, &case, outcome, &["exited with code 7 while running"]);
    Ok(())
}

fn healthy_with(workers: usize) -> std::result::Result<(), Failed> {
    let mut seen = Vec::new();
    // Enough families for several groups.
    let patterns = ["add/", "neg/", "exp/", "softmax/", "rms_norm/", "concat/", "program/"];
    let run =
        run_isolated(&options(&patterns), &limits().with_workers(workers), &mut || command("none", ""), &mut |p| {
            if p.ended {
                seen.push((p.done, p.total, p.id.to_owned()));
            }
        })?;
    let report = &run.report;
    assert_eq!(facts(&report.results), in_process(&patterns), "the same results in the same order");
    assert!(report.groups.len() > 1 && report.groups.iter().all(|g| g.outcome.is_completed() && g.workers == 1));
    assert_eq!(report.groups.iter().map(|g| g.cases).sum::<usize>(), report.summary.cases);
    assert_eq!(run.kernels, 11 * report.groups.len() as u64);
    assert_eq!(report.device.id, Naive::default().info().id);
    let count = report.summary.cases;
    assert!(seen.len() == count && seen.iter().enumerate().all(|(i, p)| (p.0, p.1) == (i + 1, count)), "{seen:?}");
    Ok(())
}

/// The run is that of a healthy worker but for one case, which is an error that says `parts`.
fn costs_one_case(run: &IsolatedRun, case: &str, outcome: GroupOutcome, parts: &[&str]) {
    costs(run, case, outcome, parts, 2);
}

fn costs(run: &IsolatedRun, case: &str, outcome: GroupOutcome, parts: &[&str], workers: usize) {
    let report = &run.report;
    assert!(!report.passed());
    for (seen, healthy) in facts(&report.results).iter().zip(in_process(&["neg/", "exp/"])) {
        assert_eq!(seen.id, healthy.id);
        if seen.id != case {
            assert_eq!(*seen, healthy);
            continue;
        }
        assert_eq!(seen.status, Status::Error);
        assert!(parts.iter().all(|part| seen.detail.contains(part)), "{}", seen.detail);
        assert!(seen.reproduce.contains(case) && !seen.family.is_empty() && !seen.dtype.is_empty());
    }
    let group = &report.groups[0];
    assert_eq!((group.workers, group.outcome, group.during.as_str()), (workers, outcome, case));
    assert!(parts.iter().all(|part| group.detail.contains(part)), "{}", group.detail);
}

fn abort() -> std::result::Result<(), Failed> {
    let case = trapped("neg/");
    let run = isolated(&["neg/", "exp/"], "abort", &case)?;
    let outcome = GroupOutcome::Crashed { signal: cfg!(unix).then_some(6), exit_code: None };
    if cfg!(unix) {
        let parts = ["was killed by signal 6 (SIGABRT) while running", "driver: assertion failed: bo->refcount"];
        costs_one_case(&run, &case, outcome, &parts);
    }
    Ok(())
}

fn exit() -> std::result::Result<(), Failed> {
    let case = trapped("neg/");
    let run = isolated(&["neg/", "exp/"], "exit", &case)?;
    let outcome = GroupOutcome::Crashed { signal: None, exit_code: Some(7) };
    costs_one_case(&run, &case, outcome, &["exited with code 7 while running"]);
    Ok(())
}

/// A limit of time by the clock on the wall, in which a busy machine gets some cases done.
const PATIENCE: Duration = Duration::from_secs(8);

/// Limits under which a hang is found soon.
fn short() -> Isolation {
    Isolation { stall_limit: Duration::from_secs(3), ..limits() }
}

fn hang() -> std::result::Result<(), Failed> {
    hangs("hang")
}

fn spin() -> std::result::Result<(), Failed> {
    hangs("spin")
}

fn hangs(fault: &str) -> std::result::Result<(), Failed> {
    let case = trapped("exp/");
    let start = Instant::now();
    let run = isolated_within(&short(), &["neg/", "exp/"], fault, &case)?;
    let outcome = GroupOutcome::TimedOut { limit_seconds: 3.0, stalled: true };
    let parts = ["was killed after 3 s of its own without progress (in ", "while running", "with nothing beside it"];
    costs(&run, &case, outcome, &parts, 3);
    assert!(run.report.groups[0].alone && run.report.verdict() == Verdict::Fail);
    assert!(start.elapsed() > 2 * short().stall_limit);
    Ok(())
}

/// A run whose workers share a file that is not there yet.
fn run_once(limits: &Isolation, fault: &str, case: &str) -> std::result::Result<IsolatedRun, IsolationError> {
    let path = std::env::temp_dir().join(format!("unisono-once-{}-{}", std::process::id(), fault.replace(' ', "-")));
    let mut worker = || {
        let mut command = command(fault, case);
        command.env(ONCE, &path);
        command
    };
    let run = run_isolated(&options(&["neg/", "exp/"]), limits, &mut worker, &mut |_| {});
    assert!(std::fs::remove_file(&path).is_ok(), "the trap has sprung");
    run
}

/// The run is that of a healthy worker, but for groups that ran again.
fn is_healthy(run: &IsolatedRun, workers: usize) {
    assert_eq!(facts(&run.report.results), in_process(&["neg/", "exp/"]));
    let group = &run.report.groups[0];
    assert_eq!((group.workers, group.alone, group.outcome), (workers, workers > 1, GroupOutcome::Completed));
    assert!(run.report.passed() && group.detail.is_empty() && group.during.is_empty());
}

fn once() -> std::result::Result<(), Failed> {
    let run = run_once(&short(), "hang once", &trapped("neg/"))?;
    is_healthy(&run, 2);
    Ok(())
}

fn killed() -> std::result::Result<(), Failed> {
    let run = run_once(&limits(), "killed once", &trapped("neg/"))?;
    is_healthy(&run, 2);
    Ok(())
}

fn building() -> std::result::Result<(), Failed> {
    let start = Instant::now();
    let mut built = Vec::new();
    let case = trapped("neg/");
    let run = run_isolated(&options(&["neg/", "exp/"]), &short(), &mut || command("build", &case), &mut |progress| {
        if !progress.ended && progress.id == case {
            built.push(progress.kernels);
        }
    })?;
    assert!(start.elapsed() > 3 * short().stall_limit, "the trap has sprung");
    is_healthy(&run, 1);
    assert!(built.is_sorted() && built.first() < built.last(), "a watcher sees kernels being built: {built:?}");
    Ok(())
}

/// Starts a run in a thread, waits until its worker is in the trap and returns both.
fn trapped_worker(
    fault: &'static str,
    limits: Isolation,
    program: fn(&str, &str) -> Command,
) -> (std::thread::JoinHandle<std::result::Result<IsolatedRun, IsolationError>>, String) {
    let path = std::env::temp_dir().join(format!("unisono-pid-{}-{fault}", std::process::id()));
    let file = path.clone();
    let running = std::thread::spawn(move || {
        let case = trapped("neg/");
        let mut worker = || {
            let mut command = program(fault, &case);
            command.env(PID, &file);
            command
        };
        run_isolated(&options(&["neg/", "exp/"]), &limits, &mut worker, &mut |_| {})
    });
    let patience = Instant::now() + Duration::from_secs(60);
    let pid = || std::fs::read_to_string(&path).unwrap_or_default();
    while pid().is_empty() {
        assert!(Instant::now() < patience, "the worker came to its trap");
        std::thread::sleep(Duration::from_millis(20));
    }
    let worker = pid();
    std::fs::remove_file(&path).unwrap();
    (running, worker)
}

fn stopped() -> std::result::Result<(), Failed> {
    let (running, worker) = trapped_worker("wait", short(), command);
    let send = |signal: &str| assert!(Command::new("kill").args([signal, &worker]).status().unwrap().success());
    // Each time longer than the limit without progress, had it not been stopped.
    for _ in 0..2 {
        send("-STOP");
        std::thread::sleep(Duration::from_secs(5));
        send("-CONT");
        std::thread::sleep(Duration::from_millis(100));
    }
    is_healthy(&running.join().unwrap()?, 1);
    Ok(())
}

/// A worker that yields to everything else.
fn nice(fault: &str, case: &str) -> Command {
    let mut nice = Command::new("nice");
    nice.args(["-n", "5"]).arg(std::env::current_exe().unwrap()).env(FAULT, fault).env(CASE, case);
    nice
}

fn crowded() -> std::result::Result<(), Failed> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (running, _) = trapped_worker("work", short(), nice);
    let start = Instant::now();
    let mut burners: Vec<_> = (0..2 * cores).map(|_| command("burn", "").spawn().unwrap()).collect();
    let run = running.join().unwrap();
    let elapsed = start.elapsed();
    for burner in &mut burners {
        burner.wait()?;
    }
    // More than the limit by the clock, less by the time that it had for itself.
    assert!(elapsed > short().stall_limit, "the machine was busy: {elapsed:?}");
    is_healthy(&run?, 1);
    Ok(())
}

fn task_again() -> std::result::Result<(), Failed> {
    let path = std::env::temp_dir().join(format!("unisono-task-{}", std::process::id()));
    let mut worker = || {
        let mut command = command("task hangs once", "");
        command.env(ONCE, &path);
        command
    };
    let value = run_task(&options(&[]), &short(), &mut worker);
    std::fs::remove_file(&path)?;
    assert_eq!(value?, Naive::default().info().id.as_str());
    let limits = Isolation { group_limit: Some(Duration::from_secs(1)), ..short() };
    let error = run_task(&options(&[]), &limits, &mut || command("silent", "")).unwrap_err();
    assert!(error.is_inconclusive() && error.to_string().contains("time limit of the group, 1 s"), "{error}");
    Ok(())
}

fn silent() -> std::result::Result<(), Failed> {
    let case = find("neg/", Level::Quick)[0].id.clone();
    let limits = Isolation { silence_limit: Duration::from_secs(1), restarts: 0, ..short() };
    let run = isolated_within(&limits, &["neg/"], "silent", &case)?;
    let report = &run.report;
    assert!(report.results.iter().all(|r| r.status == Status::NotFinished));
    assert!(report.results[0].detail.contains("was killed after 1 s without a sign of life while running this case"));
    let group = &report.groups[0];
    assert_eq!((group.outcome, group.workers), (GroupOutcome::Silent { limit_seconds: 1.0 }, 2));
    assert_eq!(report.verdict(), Verdict::NotFinished);
    Ok(())
}

/// A run that a limit ended, and the rest of it: together they are a whole run.
fn resumed() -> std::result::Result<(), Failed> {
    let patterns = ["softmax/", "neg/"];
    let limits = limits().with_group_limit(PATIENCE);
    let first = isolated_within(&limits, &patterns, "hang", &trapped("softmax/"))?.report;
    let done: Vec<String> = first.results.iter().filter(|r| r.status == Status::Pass).map(|r| r.id.clone()).collect();
    assert!(!done.is_empty() && first.verdict() == Verdict::NotFinished && !first.is_complete());
    let mut ran = Vec::new();
    let mut resume = |fault: &str| {
        resume(&first, &options(&patterns), &self::limits(), &mut || command(fault, ""), &mut |progress| {
            if progress.ended {
                ran.push(progress.id.to_owned());
            }
        })
    };
    let error = resume("other device").unwrap_err().to_string();
    assert!(error.contains("is not the device of the report: driver_version"), "{error}");
    let whole = resume("none")?.report;
    assert!(!ran.is_empty() && ran.iter().all(|id| !done.contains(id)), "only what was left runs");
    assert_eq!(facts(&whole.results), in_process(&patterns));
    assert!(whole.passed() && whole.groups.iter().all(|g| g.outcome.is_completed() && g.workers > 0));
    assert_eq!(whole.summary, run(&Naive::default(), &options(&patterns), &mut |_| {}).summary);
    assert!(whole.seconds > first.seconds);
    Ok(())
}

fn lost() -> std::result::Result<(), Failed> {
    let case = trapped("neg/");
    let run = isolated(&["neg/", "exp/"], "lose", &case)?;
    costs_one_case(&run, &case, GroupOutcome::Lost, &["the driver gave up"]);
    Ok(())
}

fn always() -> std::result::Result<(), Failed> {
    let run = isolated(&["neg/", "softmax/"], "always abort", "")?;
    let report = &run.report;
    let count = |status| report.results.iter().filter(|r| r.status == status).count();
    let groups = report.groups.len();
    assert!(groups >= 2, "{:?}", report.groups);
    // Each worker gets past one case that it is blamed for; then the group is given up.
    assert_eq!((count(Status::Error), count(Status::Pass)), (4 * groups, 0));
    assert_eq!(count(Status::NotRun), report.summary.cases - 4 * groups);
    assert!(report.groups.iter().all(|g| g.workers == 4));
    let not_run = report.results.iter().find(|r| r.status == Status::NotRun).unwrap();
    assert!(not_run.detail.starts_with("4 workers ended early; the last: the worker"), "{}", not_run.detail);
    Ok(())
}

fn slow() -> std::result::Result<(), Failed> {
    let limits = limits().with_group_limit(PATIENCE);
    let case = trapped("softmax/");
    let run = isolated_within(&limits, &["softmax/"], "hang", &case)?;
    let statuses: Vec<Status> = run.report.results.iter().map(|r| r.status).collect();
    let done = statuses.iter().take_while(|&&s| s != Status::NotFinished).count();
    assert!(done > 0, "some cases end in time");
    assert!(statuses.len() > done + 1 && statuses[done..].iter().all(|&s| s == Status::NotFinished), "{statuses:?}");
    let group = &run.report.groups[0];
    let limit_seconds = PATIENCE.as_secs_f64();
    assert_eq!(group.outcome, GroupOutcome::TimedOut { limit_seconds, stalled: false });
    assert_eq!((group.during.as_str(), run.report.results[done].id.as_str()), (case.as_str(), case.as_str()));
    assert_eq!(group.workers, 1, "the time is that of all workers of a group");
    assert_eq!(run.report.verdict(), Verdict::NotFinished);
    Ok(())
}

fn noise() -> std::result::Result<(), Failed> {
    let run = isolated(&["neg/", "exp/"], "noise", "")?;
    assert_eq!(facts(&run.report.results), in_process(&["neg/", "exp/"]));
    assert!(run.report.groups.iter().all(|g| g.outcome.is_completed() && g.detail.is_empty()));
    Ok(())
}

fn garbage() -> std::result::Result<(), Failed> {
    let error = isolated(&["neg/"], "garbage", "").unwrap_err().to_string();
    assert!(error.contains("exited with code 0 before its device was open"), "{error}");
    assert!(error.contains("{\"start\": \"nothing\"}") && error.len() < 1000 && !error.contains('\u{1b}'), "{error}");
    let error = isolated(&["neg/"], "other protocol", "").unwrap_err().to_string();
    assert!(error.contains("version 77"), "{error}");
    Ok(())
}

fn unopened() -> std::result::Result<(), Failed> {
    let error = isolated(&["neg/"], "refuse", "").unwrap_err().to_string();
    assert!(error.contains("somebody took the device"), "{error}");
    let error = isolated(&["neg/"], "crash on open", "").unwrap_err().to_string();
    assert!(error.contains("before its device was open") && error.contains("libdriver.so"), "{error}");
    let mut missing = || Command::new("/no/such/program");
    let error = run_isolated(&options(&["neg/"]), &limits(), &mut missing, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("could not be started"), "{error}");
    Ok(())
}

fn late_crash() -> std::result::Result<(), Failed> {
    let run = isolated(&["neg/"], "crash at the end", "")?;
    assert_eq!(facts(&run.report.results), in_process(&["neg/"]));
    let group = &run.report.groups[0];
    assert!(matches!(group.outcome, GroupOutcome::Crashed { .. }) && group.during.is_empty(), "{group:?}");
    assert!(run.report.summary.passed() && !run.report.passed());
    Ok(())
}

fn task() -> std::result::Result<(), Failed> {
    let value = run_task(&options(&[]), &limits(), &mut || command("task", ""))?;
    assert_eq!(value, Naive::default().info().id.as_str());
    for (fault, part) in [("task aborts", "the worker "), ("refuse", "somebody took the device")] {
        let error = run_task(&options(&[]), &limits(), &mut || command(fault, "")).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    Ok(())
}

/// A supervisor is killed while its worker hangs in the driver.
fn orphan() -> std::result::Result<(), Failed> {
    let path = std::env::temp_dir().join(format!("unisono-worker-{}", std::process::id()));
    let mut supervisor = command("supervise", "").env(PID, &path).spawn()?;
    let patience = Instant::now() + Duration::from_secs(60);
    let wait = |done: &dyn Fn() -> bool| {
        while !done() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(50));
        }
        done()
    };
    let pid = || std::fs::read_to_string(&path).unwrap_or_default();
    assert!(wait(&|| !pid().is_empty()), "the worker came to its trap");
    let worker = pid();
    // A process that nobody has reaped yet has ended all the same.
    let state = || Command::new("ps").args(["-o", "stat=", "-p", &worker]).output().unwrap().stdout;
    let alive = || state().first().is_some_and(|&c| c != b'Z');
    assert!(alive());
    supervisor.kill()?;
    supervisor.wait()?;
    let gone = wait(&|| !alive());
    std::fs::remove_file(&path)?;
    assert!(gone, "the worker outlives its supervisor");
    Ok(())
}
