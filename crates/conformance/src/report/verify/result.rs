//! Each result on its own: its fields against its case, and its status against its numbers.

use unisono_core::DType;

use super::list::effective;
use super::{Suite, Verification, of_result};
use crate::CaseClass;
use crate::report::{CaseResult, Number, Report, Status};
use crate::runner::{Item, planted};

pub(super) fn check(report: &Report, suite: &Suite<'_>, found: &mut Verification) {
    for (d, device) in report.devices.iter().enumerate() {
        let planted = planted(&device.device.properties);
        for (i, result) in device.results.iter().enumerate() {
            let mut at = |field: &str, message: String| found.problem(of_result(d, i, field), message);
            if let Some(item) = suite.by_id.get(result.id.as_str()) {
                identity(item, result, &mut at);
                inputs(item, result, &mut at);
            }
            let mut command = suite.run.command(&device.device.id, &result.id, &result.kernel);
            command.push_str(&planted);
            if command != result.reproduce {
                at("reproduce", format!("the command says '{}', this result is run by '{command}'", result.reproduce));
            }
            numbers(result, &mut at);
            outcome(result, &mut at);
            if !(result.seconds.is_finite() && result.seconds >= 0.0) {
                at("seconds", format!("{} is no duration", result.seconds));
            }
            let modes = result.numeric_modes.iter().filter(|mode| !device.device.numeric_modes.contains(mode));
            modes.for_each(|mode| at("numeric_modes", format!("the device declares no mode '{mode}'")));
        }
    }
}

/// The fields that repeat what the case says.
fn identity(item: &Item, result: &CaseResult, at: &mut dyn FnMut(&str, String)) {
    let family = item.family();
    let (dtype, class) = item.facts().unwrap_or((DType::F32, CaseClass::Counted));
    let (dtype, informative) = (dtype.name(), class == CaseClass::Informative);
    if result.family != family {
        at("family", format!("'{}', the case is of family '{family}'", result.family));
    }
    if result.dtype != dtype {
        at("dtype", format!("'{}', the case is listed under '{dtype}'", result.dtype));
    }
    if result.informative != informative {
        at("informative", format!("{}, the case says {informative}", result.informative));
    }
}

/// What has an output has the hash of its inputs, but for scenarios that have no inputs of their own.
fn inputs(item: &Item, result: &CaseResult, at: &mut dyn FnMut(&str, String)) {
    let has_inputs = matches!(item, Item::Case(_) | Item::Program(_) | Item::Sweep(_));
    if has_inputs && result.input_hash.is_empty() && !result.output_hash.is_empty() {
        at("input_hash", "none, and there is an output".into());
    }
}

/// Ratio and worst element against each other. What the oracle says of them is checked elsewhere.
fn numbers(result: &CaseResult, at: &mut dyn FnMut(&str, String)) {
    let ratio = result.ratio.map(|Number(r)| r);
    if ratio.is_some_and(|r| r.is_nan() || r < 0.0) {
        at("ratio", "is no quotient of an error and a bound".into());
    }
    match (ratio, &result.worst) {
        (None, Some(_)) => at("worst", "an element was compared and there is no ratio".into()),
        (Some(0.0), Some(worst)) if worst.expected != worst.actual && worst.bound.0 == 0.0 => {
            at("ratio", "0, and the worst element is not what was expected".into());
        }
        _ => {}
    }
    for (field, hash) in [("input_hash", &result.input_hash), ("output_hash", &result.output_hash)] {
        let hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if !hash.is_empty() && (hash.len() != 16 || !hash.chars().all(hexadecimal)) {
            at(field, format!("'{hash}' is no hash of 16 hexadecimal digits"));
        }
    }
}

/// The status against everything that decides it.
fn outcome(result: &CaseResult, at: &mut dyn FnMut(&str, String)) {
    expected(result, at);
    let status = effective(result);
    let over = result.ratio.is_some_and(|Number(r)| r > 1.0);
    let (ran, name) = (!result.output_hash.is_empty(), status.name());
    let says_over = result.detail.contains("elements over the bound");
    match status {
        Status::Pass | Status::Warn if over => {
            at("status", format!("{name}, and the error is {} times the bound", result.ratio.unwrap_or_default()));
        }
        Status::Fail if says_over && !over => {
            at("status", "fail, elements are said to be over the bound, and the error is within it".into());
        }
        Status::Info if !result.informative => at("status", "info, and the case is a counted one".into()),
        Status::Info if !over => at("status", "info, and every element is within its bound".into()),
        Status::Unsupported | Status::NotFinished | Status::NotRun | Status::Error if ran || result.ratio.is_some() => {
            at("status", format!("{name}, and there is an output"));
        }
        Status::Unsupported
        | Status::NotFinished
        | Status::NotRun
        | Status::Error
        | Status::Fail
        | Status::Info
        | Status::Warn
            if result.detail.is_empty() =>
        {
            at("detail", format!("{name} without a reason"));
        }
        Status::Warn if !result.detail.contains("over the probable error") => {
            at("detail", "warn, and nothing is said to be over the probable error".into());
        }
        Status::Pass if !result.detail.is_empty() => at("detail", format!("pass, and yet: {}", result.detail)),
        Status::ExpectedFail | Status::UnexpectedPass => at("status", format!("{name} without what happened")),
        _ => {}
    }
    let compared = matches!(status, Status::Pass | Status::Warn | Status::Info);
    // The concurrent case is the only one that has no output of its own.
    if compared && !ran && !result.id.starts_with("program/concurrent") {
        at("output_hash", format!("{name} without an output"));
    }
    if compared && result.kernel.is_empty() && result.family != "program" {
        at("kernel", format!("{name} without a kernel"));
    }
}

/// The status against the expectation that decided it.
fn expected(result: &CaseResult, at: &mut dyn FnMut(&str, String)) {
    let Some(expectation) = &result.expectation else {
        if matches!(result.status, Status::ExpectedFail | Status::UnexpectedPass) {
            at("expectation", format!("{} without an expectation", result.status.name()));
        }
        return;
    };
    // A warning or a refusal that was expected keeps its status.
    if !matches!(result.status, Status::ExpectedFail | Status::UnexpectedPass) && expectation.actual != result.status {
        at("expectation", format!("an expectation decided the status, which is {}", result.status.name()));
    }
    if !crate::glob_matches(&expectation.entry.case, &result.id) && !result.id.starts_with(&expectation.entry.case) {
        at("expectation", format!("'{}' does not match the case", expectation.entry.case));
    }
}
