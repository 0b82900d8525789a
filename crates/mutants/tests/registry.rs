//! The registry is what it says it is, and running it can go either way.

use std::collections::BTreeSet;

use unisono_conformance::{Level, Options, case_ids};
use unisono_mutants::{Fault, MutantsReport, Place, Runner, Verdict, file, registry};

#[test]
fn the_registry_is_large_and_every_name_is_unique() {
    let faults = registry::all().unwrap();
    assert!(faults.len() >= 100, "{} faults", faults.len());
    let names: BTreeSet<&str> = faults.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names.len(), faults.len(), "two faults have one name");
    let classes: BTreeSet<&str> = faults.iter().map(|f| f.class.as_str()).collect();
    assert!(classes.len() >= 10, "{classes:?}");
    let shaders = faults.iter().filter(|f| f.is_shader()).count();
    assert!(shaders >= 50 && faults.len() - shaders >= 50, "{shaders} of {} are in shaders", faults.len());
}

#[test]
fn every_edit_applies_to_the_shaders_of_today_as_often_as_it_says() {
    for fault in registry::all().unwrap() {
        let shaders = fault.shaders().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(shaders.texts.is_empty(), !fault.is_shader(), "{}", fault.name);
    }
}

#[test]
fn every_fault_names_cases_that_exist() {
    for fault in registry::all().unwrap() {
        assert!(!fault.about.is_empty() && !fault.reason.is_empty(), "{}", fault.name);
        let patterns = fault.cases.clone();
        let options = Options { patterns: patterns.clone(), ..Options::new(Level::Full) };
        assert!(!case_ids(&options).is_empty(), "{}: {patterns:?}", fault.name);
    }
}

fn named(name: &str) -> Fault {
    registry::all().unwrap().into_iter().find(|f| f.name == name).unwrap_or_else(|| panic!("no fault {name}"))
}

fn plant(runner: &mut Runner, fault: &Fault) -> Verdict {
    runner.run(fault).unwrap_or_else(|e| panic!("{}: {e}", fault.name))
}

#[test]
fn faults_of_the_cpu_are_caught_for_their_own_reason() {
    let mut runner = Runner::new(None);
    let names = ["cpu.matmul.drops-last-k", "cpu.add.writes-after-end", "cpu.silu.second-run-differs", "cpu.panics"];
    let verdicts: Vec<Verdict> = names.iter().map(|name| plant(&mut runner, &named(name))).collect();
    for verdict in &verdicts {
        let caught = verdict.caught.as_ref().unwrap_or_else(|| panic!("{verdict:?}"));
        assert!(caught.reason.contains(&named(&verdict.fault).reason), "{caught:?}");
        assert!(caught.reproduce.ends_with(&format!(" --plant {}", verdict.fault)), "{}", caught.reproduce);
    }
    // Only memory was harmed: whoever compares outputs sees nothing.
    let harm = verdicts[1].scores.as_ref().unwrap();
    assert!(harm.cases > 0 && !harm.ggml && !harm.burn && !harm.onnx && !harm.bounds, "{harm:?}");
    let crash = verdicts[3].scores.as_ref().unwrap();
    assert!(crash.ggml && crash.burn && crash.onnx, "{crash:?}");
    let report = MutantsReport::new(verdicts, runner.false_alarms(), 1.0);
    assert!(report.passed());
    assert_eq!((report.totals.caught, report.false_alarms.bounds), (names.len(), 0));
}

#[test]
fn a_fault_that_changes_nothing_is_missed() {
    let mut fault = named("cpu.add.writes-after-end");
    fault.cases = vec!["fill/".to_owned()];
    fault.reason = "before its first element".to_owned();
    let verdict = plant(&mut Runner::new(None), &fault);
    assert_eq!(verdict.caught, None, "it writes after the end, so it is caught for another reason");
    assert!(verdict.problem.unwrap().contains("for another reason"));
}

/// A fault of everybody's own, and a comment in its place: the one is caught, the other is not.
const OWN: &str = r#"
    [[fault]]
    name = "own.add-is-sub"
    class = "wrong function"
    cases = ["add/"]
    [[fault.edit]]
    variants = "binary*"
    find = "return l + r;"
    replace = "return l - r;"

    [[fault]]
    name = "own.comment"
    class = "nothing"
    cases = ["add/*data=exact*"]
    [[fault.edit]]
    variants = "binary*"
    find = "return l + r;"
    replace = "return l + r; // nothing is wrong here"
"#;

#[test]
fn faults_of_shaders_are_caught_on_every_adapter() {
    let adapters = unisono::devices().into_iter().filter(|d| d.id != "cpu");
    let own = file::parse(OWN).unwrap();
    for adapter in adapters {
        let mut runner = Runner::new(Some(adapter.id.clone()));
        let names = ["matmul.direct.starts-at-one", "add.one-element-more", "argmax.last-of-ties"];
        for name in names {
            let verdict = plant(&mut runner, &named(name));
            assert!(verdict.caught.is_some(), "{}: {verdict:?}", adapter.name);
        }
        assert!(plant(&mut runner, &own[0]).caught.is_some(), "{}", adapter.name);
        let verdict = plant(&mut runner, &own[1]);
        assert_eq!((verdict.caught, verdict.problem), (None, None), "{}", adapter.name);
        assert_eq!(verdict.scores.map(|s| s.ggml || s.burn || s.onnx || s.bounds), Some(false));
        assert_eq!(runner.false_alarms().bounds, 0);
    }
}

#[test]
fn a_shader_that_is_no_wgsl_is_an_error_of_its_cases_not_of_the_run() {
    let Some(adapter) = unisono::devices().into_iter().find(|d| d.id != "cpu") else { return };
    let mut fault = file::parse(OWN).unwrap().swap_remove(0);
    let Place::Shader(edits) = &mut fault.place else { panic!("{fault:?}") };
    edits[0].replace = "this is no WGSL".to_owned();
    let verdict = plant(&mut Runner::new(Some(adapter.id)), &fault);
    assert_eq!(verdict.caught, None);
    assert!(verdict.problem.unwrap().contains("for another reason"));
}
