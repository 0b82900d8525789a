//! `unisono verify`: whether a report agrees with itself and with the suite.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use unisono_conformance::report::{Verdict, VerifyOptions, verify};

use crate::output::{self, Usage};
use crate::{Outcome, reports};

/// Problems printed; the rest is counted.
const LISTED: usize = 100;

/// Arguments of `verify`.
#[derive(Args)]
pub(crate) struct VerifyArguments {
    /// A report.json.
    report: PathBuf,
    /// Compute the data and the oracle of large cases again, too.
    #[arg(long)]
    deep: bool,
}

pub(crate) fn run(arguments: &VerifyArguments) -> Result<Outcome> {
    let text = reports::text(&arguments.report)?;
    let bar = output::progress("verify", false);
    let options = VerifyOptions { deep: arguments.deep, now: Some(reports::now()) };
    let progress = |done: usize, total: usize| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    };
    let name = arguments.report.display();
    let found =
        verify(&text, &options, &progress).map_err(|e| Usage(format!("{name} cannot be verified as a report: {e}")))?;
    bar.finish_and_clear();
    for problem in found.problems.iter().take(LISTED) {
        outln!("{problem}");
    }
    if found.problems.len() > LISTED {
        outln!("and {} more", found.problems.len() - LISTED);
    }
    let skipped =
        if found.skipped > 0 { format!(", {} large ones left to --deep", found.skipped) } else { String::new() };
    outln!(
        "{}: {} problems in {} results; data and oracle of {} cases computed again{skipped}; the output of {} results \
         is the only right one bit by bit, of {} it is right up to signs of zeros",
        output::verdict(found.passed()),
        found.problems.len(),
        found.results,
        found.recomputed,
        found.exact,
        found.unproven
    );
    if found.passed() {
        outln!(
            "The report is consistent: the run {}. Where it was measured only running it again can tell: unisono replay {name}",
            match found.verdict {
                Verdict::Pass => "passed",
                Verdict::NotFinished => "is not finished",
                Verdict::Fail => "failed",
            }
        );
    }
    Ok(if found.passed() { Outcome::Passed } else { Outcome::Failed })
}
