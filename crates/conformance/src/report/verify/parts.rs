//! The parts of a device's report that sum results up: models, profiles, groups of an isolated run,
//! and expectations.

use super::{Verification, of_device};
use crate::fingerprint::Fingerprint;
use crate::report::{DeviceReport, Number, ProfileVerdict, Report, Status};

pub(super) fn check(report: &Report, found: &mut Verification) {
    for (d, device) in report.devices.iter().enumerate() {
        models(d, device, found);
        profiles(d, device, found);
        groups(d, device, report.kernel.is_some(), found);
        expectations(d, device, found);
        if let Some(fingerprint) = &device.fingerprint {
            let hash = Fingerprint::of(fingerprint.traits.clone()).hash;
            if hash != fingerprint.hash {
                let message = format!("'{}', its answers have {hash}", fingerprint.hash);
                found.problem(of_device(d, "fingerprint.hash"), message);
            }
        }
    }
}

fn models(d: usize, device: &DeviceReport, found: &mut Verification) {
    for (i, model) in device.models.iter().enumerate() {
        let over = model.max_logit_ratio.is_some_and(|Number(r)| r.is_nan() || r > 1.0);
        if model.tokens_match && (model.prompts == 0 || over) {
            let message =
                format!("true, of {} prompts with a logit error of {:?}", model.prompts, model.max_logit_ratio);
            found.problem(of_device(d, &format!("models[{i}].tokens_match")), message);
        }
    }
}

fn profiles(d: usize, device: &DeviceReport, found: &mut Verification) {
    for (i, p) in device.profiles.iter().enumerate() {
        let path = of_device(d, &format!("profiles[{i}]"));
        let counted = p.passed + p.failed + p.unsupported + p.missing;
        if counted != p.cases {
            found.problem(format!("{path}.cases"), format!("{}, and {counted} are counted", p.cases));
        }
        let passes = p.cases > 0 && p.passed == p.cases;
        if passes != (p.verdict == ProfileVerdict::Pass) {
            let message = format!("{}, and {} of {} cases passed", p.verdict.name(), p.passed, p.cases);
            found.problem(format!("{path}.verdict"), message);
        }
        if device.profiles[..i].iter().any(|other| other.name == p.name) {
            found.problem(format!("{path}.name"), format!("a second profile '{}'", p.name));
        }
    }
}

fn groups(d: usize, device: &DeviceReport, one_kernel: bool, found: &mut Verification) {
    if device.groups.is_empty() {
        return;
    }
    let cases: usize = device.groups.iter().map(|g| g.cases).sum();
    // Cases without the only kernel that ran have no result.
    if cases < device.summary.cases || (cases > device.summary.cases && !one_kernel) {
        let message = format!("{cases} cases in groups, {} in all", device.summary.cases);
        found.problem(of_device(d, "groups"), message);
    }
    let complete = device.groups.iter().all(|g| g.outcome.is_completed());
    if complete && device.results.iter().any(|r| r.status == Status::NotRun) {
        found.problem(of_device(d, "groups"), "every group is completed, and a case did not run");
    }
    for (i, group) in device.groups.iter().enumerate() {
        if group.outcome.is_completed() && !group.during.is_empty() {
            let message = format!("completed, and ended during {}", group.during);
            found.problem(of_device(d, &format!("groups[{i}].outcome")), message);
        }
    }
}

fn expectations(d: usize, device: &DeviceReport, found: &mut Verification) {
    for (i, expectation) in device.expectations.iter().enumerate() {
        let of = |status: Status| {
            let decided = |r: &&crate::CaseResult| {
                r.status == status && r.expectation.as_ref().is_some_and(|e| e.entry == expectation.entry)
            };
            device.results.iter().filter(decided).count()
        };
        let (met, unexpected) = (of(Status::ExpectedFail), of(Status::UnexpectedPass));
        if met > expectation.met || unexpected != expectation.unexpected_passes {
            let message = format!(
                "{} met and {} unexpected passes, the results have {met} and {unexpected}",
                expectation.met, expectation.unexpected_passes
            );
            found.problem(of_device(d, &format!("expectations[{i}]")), message);
        }
    }
    for (i, result) in device.results.iter().enumerate() {
        let Some(used) = &result.expectation else { continue };
        if !device.expectations.iter().any(|e| e.entry == used.entry) {
            let message = format!("the report lists no expectation of line {}", used.entry.line);
            found.problem(super::of_result(d, i, "expectation"), message);
        }
    }
}
