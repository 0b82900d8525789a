//! Faults planted into the naive backend, each caught by the suite in the cases that it must break.
//!
//! A suite that passes proves nothing before it has been seen to fail. Each fault here is a
//! mistake that real kernels make; the table names the cases that have to see it and a word of
//! the reason that they have to give, so that nothing is caught by luck.

mod faulty;

use faulty::{Fault, Faulty};
use unisono_conformance::{DeviceReport, Kernels, Level, Options, Status, run};

/// Fault, cases to run, and what the failures say.
const TABLE: &[(Fault, &str, &str)] = &[
    (Fault::MatMulDropsLastK, "matmul/", "over the bound"),
    (Fault::SoftmaxWithoutMax, "softmax/", "over the bound"),
    (Fault::RmsNormWithoutEps, "rms_norm/", "over the bound"),
    (Fault::RopeOtherPairing, "rope/", "over the bound"),
    (Fault::CausalSeesAll, "attention/", "over the bound"),
    (Fault::SubSwapsOperands, "sub/", "over the bound"),
    (Fault::MeanIsSum, "mean/", "over the bound"),
    (Fault::GeluIsTanhGelu, "gelu/", "over the bound"),
    (Fault::ArgMaxLastTie, "argmax/", "over the bound"),
    (Fault::WritesAfterEnd, "add/", "after its end"),
    (Fault::WritesBeforeStart, "add/", "before its first element"),
    (Fault::WritesIntoGap, "copy/", "between its elements"),
    (Fault::SkipsLastElement, "mul/", "not written"),
    (Fault::MutatesInput, "neg/", "wrote to its input x"),
    (Fault::SecondRunDiffers, "silu/", "differs from the first"),
    (Fault::Panics, "exp/", "panicked"),
    (Fault::FailsToSubmit, "exp/", "no submission today"),
    (Fault::ClaimsComposites, "swiglu/", "supports() answers"),
    (Fault::DeclinesButCompiles, "tanh/", "compile() accepts"),
    (Fault::OtherKernelThanNamed, "sigmoid/", "asked for the kernel"),
    (Fault::ForgetsState, "program/state", "differs from the host"),
    (Fault::LateWrites, "program/write_order", "differs from the host"),
    (Fault::SharedOutput, "program/concurrent", "thread"),
];

fn check(fault: Fault, pattern: &str) -> DeviceReport {
    let mut options = Options::new(Level::Quick);
    options.patterns = vec![pattern.to_string()];
    options.kernels = Kernels::Selected;
    run(&Faulty::new(fault), &options, &mut |_| {})
}

#[test]
fn every_planted_fault_is_caught_and_named() {
    let mut missed = Vec::new();
    for &(fault, pattern, reason) in TABLE {
        let report = check(fault, pattern);
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

#[test]
fn the_wrapper_alone_changes_nothing() {
    let mut patterns: Vec<&str> = TABLE.iter().map(|&(_, pattern, _)| pattern).collect();
    patterns.dedup();
    for pattern in patterns {
        let report = check(Fault::None, pattern);
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
    let report = run(&Faulty::new(Fault::None), &options, &mut |_| {});
    assert!(!report.results.is_empty() && report.results.iter().all(|r| r.status == Status::NotRun));
    assert!(!report.passed());
}

#[test]
fn a_lost_device_ends_the_run() {
    let report = check(Fault::DeviceLost, "add/");
    assert_eq!(report.results[0].status, Status::Error);
    assert!(report.results[1..].iter().all(|r| r.status == Status::NotRun && r.detail.contains("lost")));
}
