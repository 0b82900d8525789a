//! `unisono soundness`: correct devices on random cases, none of which may fail.

use std::num::NonZero;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use unisono_mutants::soundness::{Soundness, Worst, run, run_cases};

use crate::output::{self, Usage};
use crate::{Outcome, numbers};

/// Arguments of `soundness`.
#[derive(Args)]
pub(crate) struct SoundnessArguments {
    /// How many random cases to run, each on one emulated device.
    #[arg(long = "cases", value_name = "N", default_value_t = 100_000, value_parser = numbers::whole(1..=100_000_000_u64))]
    count: u64,
    /// Where the random numbers start.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = numbers::whole(0..=u64::MAX))]
    seed: u64,
    /// Run the cases with this id (of any seed), prefix or glob in place of random ones, on every
    /// emulated device.
    #[arg(long, value_name = "ID|GLOB", conflicts_with = "count")]
    case: Option<String>,
    /// Print a table in Markdown.
    #[arg(long)]
    markdown: bool,
}

pub(crate) fn run_command(arguments: &SoundnessArguments) -> Result<Outcome> {
    let start = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let bar = output::progress("emulated devices", arguments.markdown);
    let result = match &arguments.case {
        Some(pattern) => run_cases(pattern, threads, &|_| {}),
        None => {
            bar.set_length(arguments.count);
            run(arguments.count as usize, arguments.seed, threads, &|done| bar.set_position(done as u64))
        }
    };
    bar.finish_and_clear();
    if let (Some(pattern), true) = (&arguments.case, result.families.is_empty()) {
        return Err(Usage(format!("no case with an emulated kernel matches '{pattern}'")).into());
    }
    print_table(&result, arguments.markdown);
    for failure in &result.failures {
        outln!("{} {failure}", output::verdict(false));
    }
    let total = |f: fn(&unisono_mutants::soundness::Family) -> usize| result.families.values().map(f).sum::<usize>();
    outln!(
        "{}{} {} runs of {} families: {} failures, {} with warnings in {}",
        if arguments.markdown { "\n" } else { "" },
        output::verdict(result.passed()),
        total(|f| f.runs),
        result.families.len(),
        total(|f| f.failures),
        total(|f| f.warnings),
        output::seconds(start.elapsed().as_secs_f64())
    );
    Ok(if result.passed() { Outcome::Passed } else { Outcome::Failed })
}

fn print_table(result: &Soundness, markdown: bool) {
    let head = ["family", "cases", "runs", "failures", "warnings", "f32", "16 bit"];
    let ratio = |worst: &Worst| if worst.ratio == 0.0 { "0".to_owned() } else { format!("{:.3}", worst.ratio) };
    let rows = result.families.iter().map(|(name, f)| {
        let counts = [f.cases, f.runs, f.failures, f.warnings].map(|n| n.to_string());
        let [cases, runs, failures, warnings] = counts;
        [name.clone(), cases, runs, failures, warnings, ratio(&f.worst), ratio(&f.worst_short)]
    });
    if markdown {
        outln!("| {} |\n|---|{}", head.join(" | "), "---:|".repeat(head.len() - 1));
        rows.for_each(|row| outln!("| {} |", row.join(" | ")));
        return;
    }
    let mut table = output::table(&head);
    table.add_rows(rows);
    outln!("{table}\n");
}
