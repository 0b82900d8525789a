//! Faults planted into the naive backend, each caught by the suite in the cases that it must break.
//!
//! A suite that passes proves nothing before it has been seen to fail. Each fault here is a
//! mistake that real kernels make; the table names the cases that have to see it and a word of
//! the reason that they have to give, so that nothing is caught by luck.

use std::sync::Arc;

use unisono_conformance::{DeviceReport, Kernels, Level, Options, Status, Verdict, run};

use unisono_mutants::emulated::Fault as Kernel;
use unisono_mutants::host::{Contract, Damage, HostFault, Planted, Rewrite};
use unisono_tests::naive::Naive;

/// Fault, cases to run, and what the failures say.
const TABLE: &[(HostFault, &str, &str)] = &[
    (HostFault::Rewrite(Rewrite::MatMulDropsLastK), "matmul/", "over the bound"),
    (HostFault::Kernel("softmax", Kernel::NoMaximum), "softmax/", "over the bound"),
    (HostFault::Rewrite(Rewrite::RmsNormWithoutEps), "rms_norm/", "over the bound"),
    (HostFault::Rewrite(Rewrite::RopeOtherPairing), "rope/", "over the bound"),
    (HostFault::Rewrite(Rewrite::CausalSeesAll), "attention/", "over the bound"),
    (HostFault::Rewrite(Rewrite::SubSwapsOperands), "sub/", "over the bound"),
    (HostFault::Rewrite(Rewrite::MeanIsSum), "mean/", "over the bound"),
    (HostFault::Rewrite(Rewrite::GeluIsTanhGelu), "gelu/", "over the bound"),
    (HostFault::Kernel("argmax", Kernel::LastOfTies), "argmax/", "over the bound"),
    (HostFault::Damage(Damage::WritesAfterEnd), "add/", "after its end"),
    (HostFault::Damage(Damage::WritesBeforeStart), "add/", "before its first element"),
    (HostFault::Damage(Damage::WritesIntoGap), "copy/", "between its elements"),
    (HostFault::Damage(Damage::SkipsLastElement), "mul/", "not written"),
    (HostFault::Damage(Damage::MutatesInput), "neg/", "wrote to its input x"),
    (HostFault::Damage(Damage::SecondRunDiffers), "silu/", "differs from the first"),
    (HostFault::Contract(Contract::Panics), "exp/", "panicked"),
    (HostFault::Contract(Contract::FailsToSubmit), "exp/", "no submission today"),
    (HostFault::Contract(Contract::ClaimsComposites), "swiglu/", "supports() answers"),
    (HostFault::Contract(Contract::DeclinesButCompiles), "tanh/", "compile() accepts"),
    (HostFault::Contract(Contract::OtherKernelThanNamed), "sigmoid/", "asked for the kernel"),
    (HostFault::Damage(Damage::ForgetsState), "program/state", "differs from the host"),
    (HostFault::Damage(Damage::LateWrites), "program/write_order", "differs from the host"),
    (HostFault::Damage(Damage::SharedOutput), "program/concurrent", "thread"),
];

fn planted(fault: Option<HostFault>) -> Planted {
    Planted::new(Arc::new(Naive::default()), fault)
}

fn check(fault: Option<HostFault>, pattern: &str) -> DeviceReport {
    let mut options = Options::new(Level::Quick);
    options.patterns = vec![pattern.to_string()];
    options.kernels = Kernels::Selected;
    run(&planted(fault), &options, &mut |_| {})
}

#[test]
fn every_planted_fault_is_caught_and_named() {
    let mut missed = Vec::new();
    for &(fault, pattern, reason) in TABLE {
        let report = check(Some(fault), pattern);
        let caught = report.failures().find(|r| r.id.starts_with(pattern) && r.detail.contains(reason));
        match caught {
            Some(result) => println!("{fault:?}: {}: {}", result.id, result.detail),
            None => {
                let said: Vec<_> = report.failures().map(|r| (&r.id, &r.detail)).take(3).collect();
                missed.push(format!("{fault:?} in {} results of {pattern}: {said:?}", report.results.len()));
            }
        }
    }
    assert!(missed.is_empty(), "not caught:\n{}", missed.join("\n"));
}

/// Elements in wrong places make runs of different poison differ as well; the reason that stands first
/// is the one that explains the other.
#[test]
fn the_likelier_cause_comes_first() {
    let first = |fault, pattern: &str, both: [&str; 2]| {
        let report = check(Some(HostFault::Damage(fault)), pattern);
        let place = |detail: &str, part: &str| detail.find(part);
        let told: Vec<_> = report.failures().filter(|r| both.iter().all(|part| r.detail.contains(part))).collect();
        assert!(!told.is_empty(), "{fault:?}: no case of {pattern} fails in both ways");
        for r in told {
            assert!(place(&r.detail, both[0]) < place(&r.detail, both[1]), "{}: {}", r.id, r.detail);
        }
    };
    first(Damage::StoresContiguously, "copy/", ["wrote between its elements", "run 2 differs"]);
    first(Damage::SkipsLastElement, "mul/", ["were not written", "run 2 differs"]);
}

#[test]
fn the_wrapper_alone_changes_nothing() {
    let mut patterns: Vec<&str> = TABLE.iter().map(|&(_, pattern, _)| pattern).collect();
    patterns.dedup();
    for pattern in patterns {
        let report = check(None, pattern);
        let failures: Vec<_> = report.failures().map(|r| (&r.id, &r.detail)).collect();
        assert!(failures.is_empty(), "{pattern}: {failures:?}");
        assert!(report.summary.pass > 0, "{pattern} matches no case");
    }
}

#[test]
fn a_run_ends_at_its_time_limit_and_does_not_pass() {
    let mut options = Options::new(Level::Quick);
    options.patterns = vec!["add/".to_string()];
    options.time_limit = Some(std::time::Duration::ZERO);
    let report = run(&planted(None), &options, &mut |_| {});
    assert!(!report.results.is_empty() && report.results.iter().all(|r| r.status == Status::NotFinished));
    assert!(!report.passed() && report.verdict() == Verdict::NotFinished);
}

#[test]
fn a_lost_device_ends_the_run() {
    let report = check(Some(HostFault::Contract(Contract::DeviceLost)), "add/");
    assert_eq!(report.results[0].status, Status::Error);
    assert!(report.results[1..].iter().all(|r| r.status == Status::NotRun && r.detail.contains("lost")));
}
