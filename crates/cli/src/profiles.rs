//! `unisono profiles`: what each profile requires, and what a run says about them.

use anyhow::Result;
use unisono_conformance::report::{DeviceReport, ProfileResult, ProfileVerdict};
use unisono_conformance::{Level, Profile, list_hash, profile, profiles};

use crate::output::{self, Usage};
use crate::{Outcome, ProfilesArguments};

pub(crate) fn run(arguments: &ProfilesArguments) -> Result<Outcome> {
    let level: Level = arguments.level.into();
    let Some(name) = &arguments.name else {
        let all: Vec<&Profile> = profiles().iter().collect();
        print(&all, level);
        return Ok(Outcome::Passed);
    };
    let profile = named(name)?;
    if arguments.ids {
        profile.ids(level).iter().for_each(|id| outln!("{id}"));
    } else {
        print(&[profile], level);
    }
    Ok(Outcome::Passed)
}

/// The profile of this name; where there is none, an error that lists what there is.
pub(crate) fn named(name: &str) -> Result<&'static Profile, Usage> {
    profile(name).ok_or_else(|| {
        let known: Vec<&str> = profiles().iter().map(|p| p.name).collect();
        Usage(format!("there is no profile '{name}'; there are: {}", known.join(", ")))
    })
}

fn print(profiles: &[&Profile], level: Level) {
    let mut table = output::table(&["profile", "cases", "hash of the list", "what it stands for"]);
    for profile in profiles {
        let ids = profile.ids(level);
        table.add_row([profile.name, &ids.len().to_string(), &list_hash(&ids), profile.about]);
    }
    outln!("{table}");
    outln!("at the level {}", level.name());
}

/// The profiles that a device fulfils and, with the reason in numbers, those that it does not.
pub(crate) fn print_verdicts(report: &DeviceReport) {
    if report.profiles.is_empty() {
        return;
    }
    let passed: Vec<&str> =
        report.profiles.iter().filter(|p| p.verdict == ProfileVerdict::Pass).map(|p| p.name.as_str()).collect();
    outln!("    profiles passed: {}", if passed.is_empty() { "none".to_owned() } else { passed.join(", ") });
    for p in report.profiles.iter().filter(|p| p.verdict != ProfileVerdict::Pass) {
        let what = if p.verdict == ProfileVerdict::Fail { "not passed" } else { "not finished" };
        outln!("    profile {what}: {}: {}", p.name, shortfall(p));
    }
}

/// `12 of 340 cases: 10 failed, 2 unsupported`.
fn shortfall(p: &ProfileResult) -> String {
    let counts = [
        (p.failed, "failed"),
        (p.unsupported, "unsupported"),
        (p.missing, "did not run"),
        (p.unfinished, "not finished"),
    ];
    let counts: Vec<String> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    format!("{} of {} cases: {}", p.cases - p.passed, p.cases, counts.join(", "))
}
