//! `unisono replay`: runs the results of a report again, each by the command that the report gives
//! for it and in a process of its own, and compares status and output bit by bit.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use unisono_conformance::glob_matches;
use unisono_conformance::report::{CaseResult, Report};

use crate::output::{self, Usage};
use crate::{Outcome, out, reports};

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

/// How a result came out the second time.
enum Again {
    Identical,
    Different(String),
}

pub(crate) fn run(arguments: &ReplayArguments) -> Result<Outcome> {
    let report = reports::read(&arguments.report)?;
    let chosen = choose(&report, arguments)?;
    if chosen.is_empty() {
        outln!("{}: the report has no failure to replay", output::verdict(true));
        return Ok(Outcome::Passed);
    }
    let directory = std::env::temp_dir().join(format!("unisono-replay-{}", std::process::id()));
    let bar = output::progress("replay", false);
    bar.set_length(chosen.len() as u64);
    let mut different = 0;
    for result in &chosen {
        bar.set_message(result.id.clone());
        let again = replay(result, arguments.device.as_deref(), &directory);
        let again = again.inspect_err(|_| drop(std::fs::remove_dir_all(&directory)))?;
        bar.suspend(|| match &again {
            Again::Identical => outln!("identical {:11} {} [{}]", result.status.name(), result.id, result.kernel),
            Again::Different(how) => {
                outln!("{} {} [{}]: {how}\n    {}", output::verdict(false), result.id, result.kernel, result.reproduce);
            }
        });
        different += usize::from(matches!(again, Again::Different(_)));
        bar.inc(1);
        if out::wanted().is_err() {
            break;
        }
    }
    bar.finish_and_clear();
    drop(std::fs::remove_dir_all(&directory));
    outln!(
        "{}: {} of {} results are the same again, in status and bits",
        output::verdict(different == 0),
        chosen.len() - different,
        chosen.len()
    );
    Ok(if different == 0 { Outcome::Passed } else { Outcome::Failed })
}

/// The results that the arguments ask for.
fn choose<'a>(report: &'a Report, arguments: &ReplayArguments) -> Result<Vec<&'a CaseResult>> {
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
        () if arguments.all => true,
        () if arguments.cases.is_empty() => r.status.is_failure(),
        () => fits(r),
    };
    let devices = report.devices.iter().filter(|d| arguments.from.as_ref().is_none_or(|from| d.device.id == *from));
    let chosen: Vec<&CaseResult> = devices.flat_map(|d| &d.results).filter(wanted).collect();
    if chosen.is_empty() && !arguments.cases.is_empty() {
        return Err(Usage(format!("the report has no result of '{}'", arguments.cases.join("', '"))).into());
    }
    Ok(chosen)
}

/// Runs one result again, as its command says.
fn replay(result: &CaseResult, device: Option<&str>, directory: &Path) -> Result<Again> {
    let mut words = words(&result.reproduce)
        .filter(|words| words.first().is_some_and(|w| w == "unisono") && words.get(1).is_some_and(|w| w == "check"))
        .ok_or_else(|| Usage(format!("'{}' is no command of this program", result.reproduce)))?;
    if let (Some(device), Some(at)) = (device, words.iter().position(|w| w == "--device"))
        && let Some(named) = words.get_mut(at + 1)
    {
        device.clone_into(named);
    }
    drop(std::fs::remove_dir_all(directory));
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let output = Command::new(program).args(&words[1..]).arg("--quiet").arg("--report").arg(directory).output();
    let output = output.context("cannot run this program again")?;
    let path = directory.join("report.json");
    if !path.exists() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Ok(Again::Different(format!("the command ended with {} and {}", output.status, error.trim())));
    }
    let report = reports::read(&path)?;
    let mut again = report.devices.iter().flat_map(|d| &d.results);
    Ok(match again.find(|r| r.id == result.id && (r.kernel == result.kernel || result.kernel.is_empty())) {
        None => Again::Different("it did not run".to_owned()),
        Some(again) => compare(result, again),
    })
}

fn compare(before: &CaseResult, after: &CaseResult) -> Again {
    let fields = [
        ("status", before.status.name().to_owned(), after.status.name().to_owned()),
        ("input hash", before.input_hash.clone(), after.input_hash.clone()),
        ("output hash", before.output_hash.clone(), after.output_hash.clone()),
        ("error/bound", format!("{:?}", before.ratio), format!("{:?}", after.ratio)),
        ("worst element", format!("{:?}", before.worst), format!("{:?}", after.worst)),
    ];
    let differ: Vec<String> = fields
        .into_iter()
        .filter(|(_, before, after)| before != after)
        .map(|(name, before, after)| format!("{name} {before} is now {after}"))
        .collect();
    if differ.is_empty() { Again::Identical } else { Again::Different(differ.join("; ")) }
}

/// The words of a command as the program prints it: quoted in single quotes where need be. `None`
/// where a quote is not closed.
fn words(command: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_with(String::new);
            }
            '\\' if !quoted => word.get_or_insert_with(String::new).push(chars.next()?),
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_with(String::new).push(c),
        }
    }
    words.extend(word);
    (!quoted).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn commands_are_read_as_a_shell_reads_them() {
        let read = words(r"unisono check --device 'it'\''s' --case 'a/b:k=1 2' --kernel ''").unwrap();
        assert_eq!(read, ["unisono", "check", "--device", "it's", "--case", "a/b:k=1 2", "--kernel", ""]);
        assert_eq!(words("unisono 'check"), None);
    }
}
