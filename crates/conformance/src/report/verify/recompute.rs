//! Data and oracle computed again: the inputs of each case are those of its id, the worst element
//! is what the oracle says with the ratio that follows, and exact outputs have their only hash.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::exact::{ExactHash, exact_hash};
use super::list::effective;
use super::{Problem, Suite, Verification, of_result};
use unisono_core::NumericMode;

use crate::Expected;
use crate::case::Case;
use crate::data::{decode, encode};
use crate::report::{CaseResult, Number, Report, Status, Worst};
use crate::runner::{Item, Sweep, prepare, scenario_hashes};

/// Numbers of the oracle may differ in the last digits between platforms, whose mathematical
/// functions do.
const PLATFORM: f64 = 1e-9;

/// A result of the report, by device and number.
type At = (usize, usize);

#[derive(Default)]
struct Part {
    problems: Vec<(At, Problem)>,
    exact: usize,
    unproven: usize,
}

pub(super) fn check(
    report: &Report,
    suite: &Suite<'_>,
    deep: bool,
    progress: &(dyn Fn(usize, usize) + Sync),
    found: &mut Verification,
) {
    let mut by_case: BTreeMap<&str, Vec<At>> = BTreeMap::new();
    for (d, device) in report.devices.iter().enumerate() {
        for (i, result) in device.results.iter().enumerate() {
            if let Some(mode) = result.numeric_modes.iter().find(|mode| !device.device.numeric_modes.contains(mode)) {
                let message = format!("'{mode}' is not declared by the device");
                found.problems.push(Problem { path: of_result(d, i, "numeric_modes"), message });
            }
        }
        for (i, result) in device.results.iter().enumerate().filter(|(_, r)| !r.input_hash.is_empty()) {
            by_case.entry(&result.id).or_default().push((d, i));
        }
    }
    let is_large = |id: &str| matches!(suite.by_id.get(id), Some(Item::Case(case)) if case.is_large());
    let known = by_case.into_iter().filter(|(id, _)| suite.by_id.contains_key(id));
    let (skipped, jobs): (Vec<_>, Vec<_>) = known.partition(|(id, _)| !deep && is_large(id));
    let work = |(id, at): &(&str, Vec<At>)| {
        let mut part = Part::default();
        let results: Vec<(At, &CaseResult)> =
            at.iter().map(|&(d, i)| ((d, i), &report.devices[d].results[i])).collect();
        match suite.by_id[id] {
            Item::Case(case) => recompute_case(case, &results, &mut part),
            Item::Program(program) => recompute_program(program, &results, &mut part),
            Item::Sweep(sweep) => recompute_sweep(sweep, &results, &mut part),
            Item::Recycled => {}
            #[cfg(not(target_family = "wasm"))]
            Item::Concurrent | Item::ConcurrentShared => {}
        }
        part
    };
    let mut parts = all(&jobs, &work, progress);
    found.recomputed = jobs.len();
    found.skipped = skipped.len();
    found.exact = parts.iter().map(|part| part.exact).sum();
    found.unproven = parts.iter().map(|part| part.unproven).sum();
    let mut problems: Vec<(At, Problem)> = parts.iter_mut().flat_map(|part| part.problems.drain(..)).collect();
    problems.sort_by_key(|&(at, _)| at);
    found.problems.extend(problems.into_iter().map(|(_, problem)| problem));
}

/// Every job on every processor.
fn all<J: Sync>(jobs: &[J], work: &(dyn Fn(&J) -> Part + Sync), progress: &(dyn Fn(usize, usize) + Sync)) -> Vec<Part> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let parts = Mutex::new(Vec::new());
    let run = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let part = work(job);
            parts.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(part);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, jobs.len());
        }
    };
    #[cfg(target_family = "wasm")]
    run();
    #[cfg(not(target_family = "wasm"))]
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        (1..threads).for_each(|_| drop(scope.spawn(run)));
        run();
    });
    parts.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Part {
    fn problem(&mut self, at: At, field: &str, message: String) {
        self.problems.push((at, Problem { path: of_result(at.0, at.1, field), message }));
    }

    fn inputs(&mut self, at: At, result: &CaseResult, hash: &str) {
        if result.input_hash != hash {
            self.problem(at, "input_hash", format!("'{}', the data of the case have {hash}", result.input_hash));
        }
    }

    /// The hash of an output that has one right value, of a result that claims to be right.
    fn output(&mut self, at: At, result: &CaseResult, exact: &ExactHash) {
        let right = result.output_hash == exact.hash;
        let claims = matches!(effective(result), Status::Pass | Status::Warn) && !result.output_hash.is_empty();
        match (claims, right) {
            (true, true) => self.exact += 1,
            (true, false) if !exact.certain => self.unproven += 1,
            (true, false) => {
                let message = format!("'{}', the only right output has {}", result.output_hash, exact.hash);
                self.problem(at, "output_hash", message);
            }
            (false, _) => {}
        }
    }
}

/// The data of a sweep; its results are as many as its lengths or patterns.
fn recompute_sweep(sweep: &Sweep, results: &[(At, &CaseResult)], part: &mut Part) {
    match sweep.input_hash() {
        Ok(hash) => results.iter().for_each(|&(at, result)| part.inputs(at, result, &hash)),
        Err(e) => results.iter().for_each(|&(at, _)| part.problem(at, "id", format!("the case cannot be made: {e}"))),
    }
}

/// The results of devices that declare other numeric modes have other bounds.
fn recompute_case(case: &Case, results: &[(At, &CaseResult)], part: &mut Part) {
    let mut by_modes: BTreeMap<&[String], Vec<(At, &CaseResult)>> = BTreeMap::new();
    for &(at, result) in results {
        by_modes.entry(&result.numeric_modes).or_default().push((at, result));
    }
    for (names, results) in by_modes {
        let modes: Vec<NumericMode> = names.iter().filter_map(|name| NumericMode::from_name(name)).collect();
        let concerned: Vec<&str> = case.concerned_by(&modes).iter().map(|mode| mode.name()).collect();
        if concerned != *names {
            for &(at, _) in &results {
                part.problem(at, "numeric_modes", format!("{names:?} do not all concern the case"));
            }
        }
        recompute_with(case, &modes, &results, part);
    }
}

fn recompute_with(case: &Case, modes: &[NumericMode], results: &[(At, &CaseResult)], part: &mut Part) {
    let prepared = match prepare(case, modes) {
        Ok(prepared) => prepared,
        Err(e) => {
            results.iter().for_each(|&(at, _)| part.problem(at, "id", format!("the case cannot be made: {e}")));
            return;
        }
    };
    let exact = exact_hash(case, &prepared.expected);
    for &(at, result) in results {
        part.inputs(at, result, &prepared.input_hash);
        if let Some(exact) = &exact {
            part.output(at, result, exact);
        }
        match (&result.worst, result.ratio) {
            (Some(worst), Some(Number(ratio))) => worst_element(case, &prepared.expected, worst, ratio, at, part),
            (None, Some(Number(ratio))) if ratio > 0.0 && ratio.is_finite() => {
                part.problem(at, "worst", format!("the ratio is {ratio} and no element has it"));
            }
            _ => {}
        }
    }
}

/// Expected value, bound and ratio of the worst element.
fn worst_element(case: &Case, expected: &[Expected], worst: &Worst, ratio: f64, at: At, part: &mut Part) {
    let Some((desc, expected)) = case.desc.outputs.get(worst.output).zip(expected.get(worst.output)) else {
        return part.problem(at, "worst.output", format!("the case has no output {}", worst.output));
    };
    let inside = worst.index.len() == desc.shape.len() && worst.index.iter().zip(desc.shape.iter()).all(|(i, n)| i < n);
    if !inside {
        return part.problem(at, "worst.index", format!("{:?} is outside of {desc}", worst.index));
    }
    let flat = worst.index.iter().zip(desc.shape.iter()).fold(0, |flat, (i, n)| flat * n + i);
    let (value, bound) = (expected.values[flat], expected.bounds[flat]);
    if !close(worst.expected.0, value) {
        part.problem(at, "worst.expected", format!("{}, the oracle says {value}", worst.expected.0));
    }
    if !close(worst.bound.0, bound) {
        part.problem(at, "worst.bound", format!("{}, the oracle says {bound}", worst.bound.0));
    }
    let actual = worst.actual.0;
    if !desc.dtype.is_block() {
        let bytes = encode(desc.dtype, actual).to_le_bytes();
        let held = decode(desc.dtype, &bytes[..desc.dtype.block_bytes()])[0];
        if held != actual && !actual.is_nan() {
            part.problem(at, "worst.actual", format!("{actual} is no number of type {}", desc.dtype));
        }
    }
    // Integers are compared as such, and a difference is infinitely wrong.
    let follows = expected.ratio(flat, actual, bound, desc.dtype);
    let by_integers = expected.integers.is_some() && ratio == f64::INFINITY;
    if !by_integers && !close_ratio(follows, ratio) {
        part.problem(at, "ratio", format!("{ratio}, the error and the bound of the worst element give {follows}"));
    }
}

/// The same number, up to the last digits of another platform's oracle.
fn close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= PLATFORM * a.abs().max(b.abs())
}

/// As [`close`], for a quotient of differences: a last digit of the value can be much of the error.
fn close_ratio(a: f64, b: f64) -> bool {
    close(a, b) || (a - b).abs() <= 1e-6 * a.abs().max(b.abs()).max(1e-3)
}

fn recompute_program(program: &crate::runner::ProgramCase, results: &[(At, &CaseResult)], part: &mut Part) {
    let hashes = scenario_hashes(program);
    for &(at, result) in results {
        match &hashes {
            Err(e) => part.problem(at, "id", format!("the program cannot be made: {e}")),
            Ok((input, output)) => {
                part.inputs(at, result, input);
                part.output(at, result, &ExactHash { hash: output.clone(), certain: false });
            }
        }
    }
}
