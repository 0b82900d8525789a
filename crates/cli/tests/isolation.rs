//! `check` with worker processes, expectations and profiles, as people call it.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{command, finish, run};
use unisono_conformance::report::{CaseResult, DeviceReport, GroupOutcome, Report, Status, Summary, Verdict};

/// The report of a run, which is consistent however the run ended.
fn report_in(directory: &Path) -> Report {
    let (code, out, err) = run(&["verify", "--deep", directory.join("report.json").to_str().unwrap()]);
    assert_eq!(code, 0, "{out}{err}");
    Report::from_json(&std::fs::read_to_string(directory.join("report.json")).unwrap()).unwrap()
}

/// A worker is killed from outside while it runs: the run goes on, fails and says so.
#[cfg(unix)]
#[test]
fn a_killed_worker_costs_one_case() {
    let directory = tempfile::tempdir().unwrap();
    let mut check = command(&["check", "--device", "cpu", "--report", directory.path().to_str().unwrap()]);
    let check = check.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let parent = check.id().to_string();
    let children = || Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().unwrap().stdout;
    let worker = || {
        let list = String::from_utf8_lossy(&children()).into_owned();
        let mut pairs = list.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
        pairs.find(|(_, ppid)| ppid.trim() == parent).map(|(pid, _)| pid.to_owned())
    };
    let patience = Instant::now() + Duration::from_secs(60);
    let worker = loop {
        if let Some(pid) = worker() {
            break pid;
        }
        assert!(Instant::now() < patience, "no worker was started");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(Command::new("kill").args(["-ABRT", &worker]).status().unwrap().success());
    let output = check.wait_with_output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.contains("was killed by signal 6 (SIGABRT)"), "{out}");

    let report = report_in(directory.path());
    let device = &report.devices[0];
    let ended_early: Vec<_> = device.groups.iter().filter(|g| !g.outcome.is_completed()).collect();
    assert!(device.groups.len() >= 8 && ended_early.len() == 1 && ended_early[0].workers == 2, "{ended_early:?}");
    // No case ran when the worker was still opening its device.
    let errors = usize::from(!ended_early[0].during.is_empty());
    assert_eq!((device.summary.error, device.summary.not_run), (errors, 0), "{out}");
    assert!(!report.passed());
}

/// Lines of progress that a run has written where standard error is no terminal.
fn lines(err: &str) -> Vec<&str> {
    err.lines().filter(|line| line.starts_with("cpu cpu: ")).collect()
}

#[test]
fn a_group_that_is_out_of_time_is_not_finished_and_progress_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    let long = ["check", "--device", "cpu", "--level", "full", "--case", "matmul/", "--group-timeout", "3"];
    let run = |extra: &[&str]| {
        let mut check = command(&[&long[..], &["--report", place], extra].concat());
        finish(check.env("UNISONO_PROGRESS", "0.25"), b"")
    };
    let (code, out, err) = run(&[]);
    assert_eq!(code, 4, "{out}{err}");
    assert!(out.contains("was killed at the time limit of the group, 3 s") && !out.contains("FAILED"), "{out}");
    assert!(out.contains("not finished: ") && out.contains("unisono check --resume REPORT"), "{out}");
    let shown = lines(&err);
    assert!(shown.len() >= 3, "a line each quarter of a second: {err}");
    let last = shown.last().unwrap();
    assert!([" of ", " cases, ", " kernels built, ", " so far"].iter().all(|part| last.contains(part)), "{last}");

    let report = report_in(directory.path());
    let device = &report.devices[0];
    assert_eq!(device.groups[0].outcome, GroupOutcome::TimedOut { limit_seconds: 3.0, stalled: false });
    assert!(device.summary.not_finished > 0 && report.verdict() == Verdict::NotFinished);
    let json = directory.path().join("report.json");
    let (code, out, _) = self::run(&["ops", "--from", json.to_str().unwrap()]);
    assert!(code == 4 && out.contains("not_finished"), "{out}");

    let (code, out, err) = run(&["--quiet"]);
    assert!(code == 4 && lines(&err).is_empty(), "{out}{err}");
    for bad in ["0", "1.5", "soon"] {
        let (code, _, err) = self::run(&["check", "--device", "cpu", "--group-timeout", bad]);
        assert!(code == 2 && err.contains("--group-timeout"), "{bad}: {err}");
    }
    // A limit that lies beyond all clocks is none.
    let endless = ["check", "--device", "cpu", "--case", "neg/", "--group-timeout", "18446744073709551615"];
    let (code, out, err) = self::run(&endless);
    assert!(code == 0, "{out}{err}");
}

/// A report whose run a limit has ended, made from one of a whole run.
fn interrupted(report: &Report, family: &str) -> Report {
    let mut report = report.clone();
    let device = &mut report.devices[0];
    let mut seen = std::collections::HashSet::new();
    device.results.retain_mut(|r| {
        if r.family != family {
            return true;
        }
        let kernel = format!(" --kernel {}", r.kernel);
        *r = CaseResult {
            kernel: String::new(),
            selected: true,
            status: Status::NotFinished,
            detail: "the worker was stopped at the time limit of the run".into(),
            ratio: None,
            worst: None,
            input_hash: String::new(),
            output_hash: String::new(),
            seconds: 0.0,
            kernels: 1,
            reproduce: r.reproduce.replace(&kernel, ""),
            ..r.clone()
        };
        seen.insert(r.id.clone())
    });
    device.summary = Summary::of(&device.results);
    device.operations = DeviceReport::of_facts(device.device.clone(), device.results.clone(), 0.0).operations;
    let last = device.groups.last_mut().unwrap();
    (last.outcome, last.detail) = (GroupOutcome::Stopped, "the time limit of the run was reached".into());
    report
}

#[test]
fn a_report_is_completed() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    let few = ["check", "--device", "cpu", "--case", "argmax/", "--case", "neg/", "--seed", "5", "--quiet"];
    assert_eq!(run(&[&few[..], &["--report", place]].concat()).0, 0);
    let whole = report_in(directory.path());
    let file = directory.path().join("report.json");
    let interrupted = interrupted(&whole, "neg");
    std::fs::write(&file, interrupted.to_json().unwrap()).unwrap();
    assert_eq!(report_in(directory.path()).verdict(), Verdict::NotFinished, "it is consistent");
    let (code, out, _) = run(&["verify", file.to_str().unwrap()]);
    assert!(code == 0 && out.contains("the run is not finished"), "{out}");
    let (code, out, _) = run(&["diff", file.to_str().unwrap(), file.to_str().unwrap()]);
    assert!(code == 4 && out.contains("not finished"), "{out}");

    // Another program, another list, another driver: half of a report is no report.
    type Change = fn(&mut Report);
    let changes: [(Change, &str); 5] = [
        (|r| r.version = "9.9.9".into(), "its version is 9.9.9"),
        (|r| r.commit = Some("0123456789ab".into()), "its commit is 0123456789ab"),
        (|r| r.case_list_hash = "0123456789abcdef".into(), "its list of cases is 0123456789abcdef"),
        (|r| r.devices[0].device.driver = "driver of before".into(), "the driver of cpu was 'driver of before "),
        (|r| r.devices[0].device.id = "wgpu:77".into(), "this machine has no wgpu:77"),
    ];
    let other = directory.path().join("other.json");
    for (change, words) in changes {
        let mut report = interrupted.clone();
        change(&mut report);
        std::fs::write(&other, report.to_json().unwrap()).unwrap();
        let (code, out, err) = run(&["check", "--resume", other.to_str().unwrap()]);
        assert!(code == 2 && err.contains(words) && err.contains("other.json"), "{words}: {out}{err}");
    }
    let mut report = interrupted.clone();
    report.devices[0].device.max_buffer_bytes -= 1;
    std::fs::write(&other, report.to_json().unwrap()).unwrap();
    let (code, out, err) = run(&["check", "--resume", other.to_str().unwrap()]);
    assert!(code == 1 && err.contains("is not the device of the report: max_buffer_bytes: "), "{out}{err}");
    assert_eq!(run(&["check", "--resume", place, "--level", "full"]).0, 2, "the options are those of the report");
    assert_eq!(run(&["check", "--resume", "no/such/report"]).0, 2);

    let (code, out, err) = run(&["check", "--resume", place]);
    assert!(code == 0 && out.contains("passed cpu ("), "{out}{err}");
    let completed = report_in(directory.path());
    let results = |report: &Report| {
        let mut results = report.devices[0].results.clone();
        results.iter_mut().for_each(|r| r.seconds = 0.0);
        results
    };
    assert_eq!(results(&completed), results(&whole));
    assert!(completed.passed() && completed.devices[0].seconds > whole.devices[0].seconds);
    let (code, out, _) = run(&["check", "--resume", file.to_str().unwrap()]);
    assert!(code == 0 && out.contains("every case of the report has run"), "{out}");
}

#[test]
fn workers_and_this_process_show_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let results = |extra: &[&str]| {
        let place = directory.path().to_str().unwrap();
        let check =
            ["check", "--device", "cpu", "--case", "argmax/", "--case", "neg/", "--seed", "5", "--report", place];
        let (code, out, err) = run(&[&check[..], extra].concat());
        assert_eq!(code, 0, "{out}{err}");
        let mut report = report_in(directory.path());
        report.devices[0].results.iter_mut().for_each(|r| r.seconds = 0.0);
        (report.devices[0].results.clone(), report.devices[0].groups.len())
    };
    let (isolated, in_process) = (results(&[]), results(&["--no-isolation"]));
    assert_eq!(isolated.0, in_process.0);
    assert!(isolated.0.iter().any(|r| r.id.ends_with(":seed=5")), "the seed reaches the worker");
    assert_eq!((isolated.1, in_process.1), (1, 0));
}

#[test]
fn a_worker_is_not_started_by_hand() {
    let output = command(&["worker", "--device", "cpu"]).stdin(Stdio::null()).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && err.contains("started by a check"), "{err}");
}

#[test]
fn a_pass_that_was_not_expected_fails_the_run() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known.txt");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    let check = ["check", "--device", "cpu", "--case", "argmax/", "--quiet", "--expect", path];

    write("# known failures\nargmax/ | cpu | fail | https://example.org/7 | 2999-12-31\n");
    let place = directory.path().to_str().unwrap();
    let (code, out, err) = run(&[&check[..], &["--report", place]].concat());
    assert_eq!(code, 1, "{out}{err}");
    assert!(
        out.contains("line 2") && out.contains("https://example.org/7") && out.contains("unexpected_pass"),
        "{out}"
    );
    let device = &report_in(directory.path()).devices[0];
    assert!(device.results.iter().all(|r| r.status == Status::UnexpectedPass));
    assert_eq!(device.expectations[0].unexpected_passes, device.summary.cases);

    write("argmax/ | vendor=nvidia version<535.1 | fail | #7 | 2999-12-31\n");
    assert_eq!(run(&check).0, 0, "an entry about another device");
    write("argmax/ | cpu | fail | #7 | 2020-01-01\n");
    let (code, out, _) = run(&check);
    assert!(code == 0 && out.contains("expired after 2020-01-01"), "{out}");

    for (text, part) in [
        ("argmax/ | cpu | fail | #7\n", "line 1: 4 fields"),
        ("\n\nargmix/ | cpu | fail | #7 | 2999-12-31\n", "line 3: no case of the suite matches 'argmix/'"),
    ] {
        write(text);
        let (code, _, err) = run(&check);
        assert!(code == 2 && err.contains(part) && err.contains("known.txt"), "{err}");
    }
    std::fs::remove_file(&file).unwrap();
    let (code, _, err) = run(&check);
    assert!(code == 2 && err.contains("known.txt"), "{err}");
}

#[test]
fn profiles_are_listed_and_checked() {
    let (code, out, _) = run(&["profiles"]);
    assert!(code == 0 && ["llama-q4", "bert", "moe"].iter().all(|name| out.contains(name)), "{out}");
    let (_, ids, _) = run(&["profiles", "gpt2", "--ids", "--level", "quick"]);
    assert!(ids.lines().count() > 30 && ids.lines().any(|id| id.starts_with("layer_norm/")), "{ids}");
    for arguments in [&["profiles", "gpt9"][..], &["check", "--device", "cpu", "--profile", "gpt9"]] {
        let (code, _, err) = run(arguments);
        assert!(code == 2 && err.contains("gpt9") && err.contains("gpt2"), "{err}");
    }

    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    let (code, out, err) = run(&["check", "--device", "cpu", "--profile", "gpt2", "--quiet", "--report", place]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("profiles passed: gpt2"), "{out}");
    let device = &report_in(directory.path()).devices[0];
    assert_eq!((device.profiles.len(), device.profiles[0].passed), (1, ids.lines().count()));
    assert_eq!(device.summary.cases, device.profiles[0].cases);
}
