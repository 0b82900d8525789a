//! `unisono replay`: runs the results of a report again, each as the command that the report gives for
//! it says, and compares status and output bit by bit.
//!
//! All results of a device run in workers, as a check runs them: a device is opened once for a group
//! of cases and not once for a result, and a driver that crashes costs a result and not the replay.

mod settings;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use unisono_conformance::report::{CaseResult, Report, Status, Verdict};
use unisono_conformance::{Options, case_ids, glob_matches};

use crate::isolate::{self, IsolationArguments};
use crate::output::{self, Usage};
use crate::progress::{Progress, Unit};
use crate::{Outcome, out, reports};

use settings::Setting;

/// More results than this are counted where they are the same again, not listed.
const LISTED: usize = 100;

/// Arguments of `replay`.
#[derive(Args)]
pub(crate) struct ReplayArguments {
    /// A report.json.
    report: PathBuf,
    /// Only what failed. The default, unless cases are named.
    #[arg(long, conflicts_with_all = ["cases", "all"])]
    failures: bool,
    /// Only results of cases with this id, prefix or glob. Repeatable.
    #[arg(long = "case", value_name = "ID|GLOB")]
    cases: Vec<String>,
    /// Every result that ran.
    #[arg(long, conflicts_with = "cases")]
    all: bool,
    /// Only results of this device of the report.
    #[arg(long, value_name = "ID")]
    from: Option<String>,
    /// Run on this device, in place of the one that the report names.
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
}

pub(crate) fn run(arguments: &ReplayArguments) -> Result<Outcome> {
    let report = reports::read(&arguments.report)?;
    let groups = group(&report, arguments)?;
    let chosen: usize = groups.values().map(Vec::len).sum();
    if chosen == 0 {
        outln!("{}: the report has no failure to replay", output::verdict(true));
        return Ok(Outcome::Passed);
    }
    let mut counts = Counts::default();
    for (setting, results) in &groups {
        replay(setting, results, chosen <= LISTED, &mut counts)?;
        out::wanted()?;
    }
    let verdict = match counts {
        Counts { same, unfinished, .. } if same + unfinished < chosen => Verdict::Fail,
        Counts { unfinished: 1.., .. } => Verdict::NotFinished,
        Counts { .. } => Verdict::Pass,
    };
    let unfinished = match counts.unfinished {
        0 => String::new(),
        n => format!("; {n} are not finished, neither the same nor another: replay them again"),
    };
    outln!(
        "{}: {} of {chosen} results are the same again, in status and bits{unfinished}",
        output::verdict_of(verdict),
        counts.same
    );
    Ok(verdict.into())
}

/// How results came out the second time.
#[derive(Clone, Copy, Default)]
struct Counts {
    same: usize,
    unfinished: usize,
}

/// How a result came out the second time.
enum Again {
    Same,
    Differs(String),
    /// A limit of time ended it, which says nothing.
    NotFinished(String),
}

/// The results that the arguments ask for, by what they run with.
fn group<'a>(report: &'a Report, arguments: &ReplayArguments) -> Result<BTreeMap<Setting, Vec<&'a CaseResult>>> {
    let ids = || report.devices.iter().map(|d| d.device.id.as_str());
    if let Some(from) = &arguments.from
        && !ids().any(|id| id == from)
    {
        let known: Vec<&str> = ids().collect();
        return Err(Usage(format!("the report has no device '{from}'; it has {}", known.join(", "))).into());
    }
    let fits = |r: &CaseResult| {
        arguments
            .cases
            .iter()
            .any(|p| if p.contains('*') { glob_matches(p, &r.id) } else { r.id.starts_with(p.as_str()) })
    };
    let wanted = |r: &&CaseResult| match () {
        () if arguments.all => !matches!(effective(r), Status::NotRun | Status::NotFinished),
        () if arguments.cases.is_empty() => r.status.is_failure(),
        () => fits(r),
    };
    let mut groups: BTreeMap<Setting, Vec<&CaseResult>> = BTreeMap::new();
    for device in report.devices.iter().filter(|d| arguments.from.as_ref().is_none_or(|from| d.device.id == *from)) {
        for result in device.results.iter().filter(wanted) {
            let setting = Setting::of(result, &device.device, arguments.device.as_deref())?;
            groups.entry(setting).or_default().push(result);
        }
    }
    if groups.is_empty() && !arguments.cases.is_empty() {
        return Err(Usage(format!("the report has no result of '{}'", arguments.cases.join("', '"))).into());
    }
    Ok(groups)
}

/// Runs results of one setting again and prints what differs, and what does not where `listing`.
fn replay(setting: &Setting, results: &[&CaseResult], listing: bool, counts: &mut Counts) -> Result<()> {
    let (summary, opening) = setting.device()?;
    let mut only: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut before: HashMap<&str, Vec<&CaseResult>> = HashMap::new();
    for result in results {
        only.entry(result.id.clone()).or_default().push(result.kernel.clone());
        before.entry(&result.id).or_default().push(result);
    }
    let options = Options::new(setting.level()).with_only(only);
    let bar = Progress::new(&format!("replay {}", summary.id), Unit::Cases, false);
    let mut tell = |result: &CaseResult, again: Again| {
        let name = format!("{} [{}]", result.id, result.kernel);
        match again {
            Again::Same => counts.same += 1,
            Again::NotFinished(_) => counts.unfinished += 1,
            Again::Differs(_) => {}
        }
        bar.suspend(|| match again {
            Again::Same if listing => outln!("identical {:11} {name}", result.status.name()),
            Again::Same => {}
            Again::NotFinished(why) => outln!("not finished {name}: {why}"),
            Again::Differs(how) => outln!("{} {name}: {how}\n    {}", output::verdict(false), result.reproduce),
        });
    };
    if !case_ids(&options).is_empty() {
        bar.set_message("opening the device");
        let isolation = IsolationArguments::default().limits(setting.level(), summary.kind);
        let ran = isolate::suite(&opening, &options, isolation.as_ref(), &mut |progress| {
            bar.of_suite(progress);
            let done = if progress.ended { before.remove(progress.id) } else { None };
            for result in done.unwrap_or_default() {
                tell(result, compare(result, progress.results));
            }
        });
        ran.with_context(|| format!("{} ({}, {}) cannot be used", summary.id, summary.name, summary.api))?;
    }
    for result in results.iter().filter(|r| before.contains_key(r.id.as_str())) {
        tell(result, Again::Differs("it did not run: this program has no such case".to_owned()));
    }
    bar.finish_and_clear();
    Ok(())
}

/// How the case itself ended, whatever was expected of it: replaying knows no expectations.
fn effective(result: &CaseResult) -> Status {
    result.expectation.as_ref().map_or(result.status, |expectation| expectation.actual)
}

/// A result against what its case shows now.
fn compare(before: &CaseResult, now: &[CaseResult]) -> Again {
    let own = now.iter().find(|r| r.kernel == before.kernel || before.kernel.is_empty());
    // A case that ended before any kernel of it ran has one result without a kernel.
    let Some(after) = own.or_else(|| now.iter().find(|r| r.kernel.is_empty())) else {
        return Again::Differs(format!("it did not run: the device has no kernel '{}' for it", before.kernel));
    };
    let (old, new) = (effective(before), effective(after));
    if new == Status::NotFinished {
        return Again::NotFinished(after.detail.clone());
    }
    let reason = if old != new && !after.detail.is_empty() { format!(" ({})", after.detail) } else { String::new() };
    let fields = [
        ("status", old.name().to_owned(), format!("{}{reason}", new.name()), old != new),
        ("input hash", before.input_hash.clone(), after.input_hash.clone(), before.input_hash != after.input_hash),
        ("output hash", before.output_hash.clone(), after.output_hash.clone(), before.output_hash != after.output_hash),
        ("error/bound", format!("{:?}", before.ratio), format!("{:?}", after.ratio), before.ratio != after.ratio),
        ("worst element", format!("{:?}", before.worst), format!("{:?}", after.worst), before.worst != after.worst),
    ];
    let differ: Vec<String> = fields
        .into_iter()
        .filter(|(.., differs)| *differs)
        .map(|(name, before, after, _)| format!("{name} {before} is now {after}"))
        .collect();
    if differ.is_empty() { Again::Same } else { Again::Differs(differ.join("; ")) }
}
