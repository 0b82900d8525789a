//! Workers that crash, hang, lose their device or talk nonsense: the run goes on, what they cost is
//! one case, and the report says what happened.
//!
//! This program is its own worker: called with a fault in the environment it serves the naive
//! backend behind a trap that springs at one case.

use std::ops::Range;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use unisono_conformance::isolate::Message;
use unisono_conformance::{
    Case, CaseResult, GroupOutcome, IsolatedRun, Isolation, IsolationError, Level, Options, Status, find, run,
    run_isolated, run_task, serve, serve_task,
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

/// A test with its name apart.
type Test = fn() -> std::result::Result<(), Failed>;

fn main() -> ExitCode {
    if let Ok(fault) = std::env::var(FAULT) {
        return worker(&fault);
    }
    let tests: [(&str, Test); 13] = [
        ("a_healthy_worker_reports_what_a_run_in_process_reports", healthy),
        ("several_workers_at_a_time_report_the_same", several_at_a_time),
        ("an_abort_costs_one_case", abort),
        ("an_exit_costs_one_case", exit),
        ("a_hang_costs_one_case_and_the_stall_limit", hang),
        ("a_lost_device_costs_one_case", lost),
        ("a_driver_that_always_crashes_costs_its_group", always),
        ("the_time_limit_of_a_group_ends_it", slow),
        ("noise_on_standard_output_and_a_flood_on_standard_error_cost_nothing", noise),
        ("garbage_instead_of_results_is_an_error", garbage),
        ("a_device_that_does_not_open_is_an_error", unopened),
        ("a_crash_after_the_last_case_fails_the_run", late_crash),
        ("a_task_brings_its_value_or_the_reason", task),
    ];
    let mut trials: Vec<Trial> = tests.into_iter().map(|(name, test)| Trial::test(name, test)).collect();
    if cfg!(unix) {
        trials.push(Trial::test("a_worker_ends_with_its_supervisor", orphan));
    }
    unisono_conformance::libtest::run(trials)
}

// The worker's side.

fn worker(fault: &str) -> ExitCode {
    let served = match fault {
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

/// The naive backend, but for one case.
#[derive(Debug)]
struct Trap {
    inner: Naive,
    fault: String,
    at: Option<OpDesc>,
    lost: AtomicBool,
}

impl Trap {
    fn new(fault: String) -> Trap {
        let at = std::env::var(CASE).ok().and_then(|id| find(&id, Level::Full).pop()).map(|case| case.desc);
        Trap { inner: Naive::default(), fault, at, lost: AtomicBool::new(false) }
    }

    fn spring(&self) {
        match self.fault.as_str() {
            "abort" => {
                eprintln!("driver: assertion failed: bo->refcount > 0");
                std::process::abort();
            }
            "exit" => std::process::exit(7),
            "hang" => {
                if let Ok(path) = std::env::var("UNISONO_TEST_PID") {
                    std::fs::write(path, std::process::id().to_string()).unwrap();
                }
                std::thread::sleep(Duration::from_secs(600));
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
        self.inner.info()
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
            "slow" => std::thread::sleep(Duration::from_millis(200)),
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
        Counters { kernels: 11, ..self.inner.counters() }
    }
}

// The supervisor's side.

fn options(patterns: &[&str]) -> Options {
    Options::new(Level::Quick).with_patterns(patterns.iter().map(ToString::to_string).collect())
}

fn limits() -> Isolation {
    Isolation { group_limit: Duration::from_secs(600), stall_limit: Duration::from_secs(120), restarts: 3, workers: 1 }
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
            seen.push((p.done, p.total, p.id.to_owned()));
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
    assert_eq!((group.workers, group.outcome, group.during.as_str()), (2, outcome, case));
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

fn hang() -> std::result::Result<(), Failed> {
    let case = trapped("exp/");
    let limits = Isolation { stall_limit: Duration::from_secs(4), ..limits() };
    let start = Instant::now();
    let run = isolated_within(&limits, &["neg/", "exp/"], "hang", &case)?;
    let outcome = GroupOutcome::TimedOut { limit_seconds: 4.0, stalled: true };
    costs_one_case(&run, &case, outcome, &["was killed after 4 s without a sign of life while running"]);
    assert!(start.elapsed() > limits.stall_limit);
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
    let limits = Isolation { group_limit: Duration::from_secs(3), ..limits() };
    let run = isolated_within(&limits, &["softmax/"], "slow", "")?;
    let statuses: Vec<Status> = run.report.results.iter().map(|r| r.status).collect();
    let done = statuses.iter().take_while(|s| !s.is_failure()).count();
    assert!(done > 0, "some cases end in time");
    assert_eq!(statuses[done], Status::Error);
    assert!(statuses.len() > done + 1 && statuses[done + 1..].iter().all(|&s| s == Status::NotRun), "{statuses:?}");
    let group = &run.report.groups[0];
    assert_eq!(group.outcome, GroupOutcome::TimedOut { limit_seconds: 3.0, stalled: false });
    assert_eq!(group.workers, 1, "the time is that of all workers of a group");
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
    let value = run_task(&options(&[]), &limits(), command("task", ""))?;
    assert_eq!(value, Naive::default().info().id.as_str());
    for (fault, part) in [("task aborts", "the worker "), ("refuse", "somebody took the device")] {
        let error = run_task(&options(&[]), &limits(), command(fault, "")).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    Ok(())
}

/// A supervisor is killed while its worker hangs in the driver.
fn orphan() -> std::result::Result<(), Failed> {
    let path = std::env::temp_dir().join(format!("unisono-worker-{}", std::process::id()));
    let mut supervisor = command("supervise", "").env("UNISONO_TEST_PID", &path).spawn()?;
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
