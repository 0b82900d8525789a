//! No false alarms, in a sample; `unisono soundness` runs a hundred thousand.

use unisono_mutants::soundness::{run, run_cases};

#[test]
fn correct_devices_never_fail() {
    let result = run(6000, 1, 2, &|_| {});
    assert!(result.passed(), "{:#?}", result.failures);
    assert!(result.families.len() >= 60, "{} families", result.families.len());
    for (name, family) in &result.families {
        assert!(family.runs >= 80 && family.cases >= 3, "{name}: {family:?}");
    }
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    let quiet = |_| {};
    assert_eq!(run(400, 7, 1, &quiet), run(400, 7, 3, &quiet));
    assert_ne!(run(400, 7, 2, &quiet), run(400, 8, 2, &quiet));
}

#[test]
fn one_case_runs_on_every_device() {
    let id = "softmax/rows:dtype=f16,shape=3x33,hide=mask,layout=plain,data=wide:seed=2104";
    let result = run_cases(id, 2, &|_| {});
    assert_eq!(result.families["softmax"].runs, 48);
    assert!(result.passed() && !run_cases("nothing", 1, &|_| {}).passed());
}
