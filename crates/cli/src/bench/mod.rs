//! `unisono bench`: how fast each operation is on each device, how far from what the device can do,
//! and how that compares with another run.

mod ceilings;
mod compare;
mod files;
mod model;
mod rows;
mod tables;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::Outcome;

/// Arguments of `bench`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct BenchArguments {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    rows: rows::RowArguments,
}

/// What to measure or compare; operations if absent.
#[derive(Subcommand)]
enum What {
    /// Measure what each device can do at most: bandwidths, arithmetic, launches, transfers.
    Ceilings(ceilings::CeilingArguments),
    /// Measure a whole model: prompt and decode, host time, memory. Random weights of a known shape
    /// unless a file is given.
    Model(model::ModelBenchArguments),
    /// Compare two reports of benchmarks: what is slower, faster or broken now.
    Diff(compare::DiffArguments),
}

pub(crate) fn run(arguments: &BenchArguments) -> Result<Outcome> {
    match &arguments.what {
        None => rows::run(&arguments.rows),
        Some(What::Ceilings(arguments)) => ceilings::run(arguments),
        Some(What::Model(arguments)) => model::run(arguments),
        Some(What::Diff(arguments)) => compare::run(arguments),
    }
}
