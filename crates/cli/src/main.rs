//! The `unisono` command: the front door for people. It parses arguments, calls the library
//! crates and prints; everything it shows can be had from them as data.
//!
//! Exit codes: 0 all passed, 1 something failed, 2 bad usage, 3 device not found, 4 not finished: nothing
//! failed, and something has no result yet; 141 nobody reads what is printed.

#![deny(clippy::print_stdout, clippy::print_stderr)]

// First, because its macros are used in all the others.
#[macro_use]
mod out;

mod bench;
mod chat;
mod check;
mod devices;
mod diff;
mod embed;
mod expect;
mod fingerprint;
mod generate;
mod isolate;
mod job;
mod load;
mod logits;
mod model;
mod mutants;
mod numbers;
mod onnx;
mod ops;
mod output;
mod perplexity;
mod profiles;
mod progress;
mod replay;
mod reports;
mod resume;
mod sampling;
mod soundness;
mod tokenize;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use unisono_conformance::report::Verdict;

/// Runs open transformer models on any device, and proves that every device computes the same.
///
/// Without a subcommand: finds every device, checks its conformance quickly, runs the embedded
/// model on each, compares, prints a table and writes a report to ./unisono-report.
#[derive(Parser)]
#[command(name = "unisono", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// List the devices of this machine.
    Devices {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Run the conformance suite.
    Check(CheckArguments),
    /// Plant faults into kernels and see that the suite finds each.
    Mutants(MutantsArguments),
    /// List the profiles: which cases a kind of model needs.
    Profiles(ProfilesArguments),
    /// Show which device runs which operation on which element type, from results.
    Ops(OpsArguments),
    /// Show what each device does with numbers: rounding, subnormals, the order of sums, errors of
    /// functions.
    Fingerprint(FingerprintArguments),
    /// Compare two reports: what fails now, what is fixed, missing, less exact or has other bits.
    Diff(diff::DiffArguments),
    /// Check a report against itself and the suite: whether it was edited, or is not complete.
    Verify(verify::VerifyArguments),
    /// Run the results of a report again and compare status and bits.
    Replay(replay::ReplayArguments),
    /// Prove that the suite raises no false alarm: correct devices, emulated with every rounding that
    /// WGSL admits, on random cases.
    Soundness(soundness::SoundnessArguments),
    /// Generate text with a model.
    Generate(generate::GenerateArguments),
    /// Turn texts into vectors with an encoder.
    Embed(embed::EmbedArguments),
    /// Print the logits of every position of a text given as tokens.
    Logits(logits::LogitsArguments),
    /// Talk with a model, a line for each turn.
    Chat(chat::ChatArguments),
    /// Cut text into tokens, or write tokens as text.
    Tokenize(tokenize::TokenizeArguments),
    /// Measure how well a model predicts a text.
    Perplexity(perplexity::PerplexityArguments),
    /// Time operations on each device, checked, beside what the device can do at most.
    Bench(Box<bench::BenchArguments>),
    /// Run cases for a check that started this process.
    #[command(hide = true)]
    Worker(isolate::WorkerArguments),
}

/// Below the list of commands.
const EXIT_CODES: &str = "Exit codes: 0 everything passed, 1 something failed, 2 bad usage, 3 device not found, \
    4 not finished (nothing failed, and `unisono check --resume` runs the rest).";

/// Arguments of `check`.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct CheckArguments {
    /// Device to check: an id, a vendor, an API, part of a name, or `auto`. Repeatable; every
    /// device of the machine if absent.
    #[arg(long = "device", value_name = "NAME")]
    pub(crate) devices: Vec<String>,
    /// How much to run.
    #[arg(long, value_enum, default_value_t = Level::Quick)]
    pub(crate) level: Level,
    /// Run only cases with this id, prefix or glob. Repeatable.
    #[arg(long = "case", value_name = "ID|GLOB")]
    pub(crate) cases: Vec<String>,
    /// Run only the cases that a profile requires; `unisono profiles` lists them.
    #[arg(long, value_name = "NAME", conflicts_with = "cases")]
    pub(crate) profile: Option<String>,
    /// A file of failures that are known, each with an issue and a date of expiry.
    #[arg(long, value_name = "FILE")]
    pub(crate) expect: Option<PathBuf>,
    /// Run with other data: the seed of every case of an operation.
    #[arg(long, value_name = "N", value_parser = numbers::whole(0..=u64::MAX))]
    pub(crate) seed: Option<u64>,
    /// Run only this kernel of each case.
    #[arg(long, value_name = "NAME")]
    pub(crate) kernel: Option<String>,
    /// Write the report in every form (JSON, HTML, JUnit XML, CSV, Markdown, badge) to this directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// Run what a report (report.json, or its directory) says is not finished or did not run, on the
    /// same devices with the same options, and complete the report: in --report, or where it is.
    #[arg(long, value_name = "REPORT", conflicts_with_all = ["devices", "level", "cases", "profile", "expect", "seed", "kernel", "plant", "fingerprint", "onnx", "no_isolation"])]
    pub(crate) resume: Option<PathBuf>,
    /// Plant this fault of `unisono mutants --list` into the device first.
    #[arg(long, value_name = "NAME")]
    pub(crate) plant: Option<String>,
    /// A file of further shader faults for --plant, in TOML.
    #[arg(long, value_name = "FILE", requires = "plant")]
    pub(crate) extra: Option<PathBuf>,
    /// Print only failures and one line per device.
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Put the numeric fingerprint of each device into the report.
    #[arg(long)]
    pub(crate) fingerprint: bool,
    /// Run ONNX's own node tests from this directory instead of the suite; `--case` then selects
    /// tests by name or glob, and `--report` gets onnx.json and onnx.md.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["level", "seed", "kernel", "fingerprint", "plant", "profile", "expect", "no_isolation", "group_timeout"])]
    pub(crate) onnx: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) isolation: isolate::IsolationArguments,
}

/// Arguments of `profiles`.
#[derive(Args)]
pub(crate) struct ProfilesArguments {
    /// Only this one.
    pub(crate) name: Option<String>,
    /// Print the ids of the cases that it requires.
    #[arg(long, requires = "name")]
    pub(crate) ids: bool,
    /// The level at which cases are counted.
    #[arg(long, value_enum, default_value_t = Level::Full)]
    pub(crate) level: Level,
}

/// Arguments of `mutants`.
#[derive(Args)]
pub(crate) struct MutantsArguments {
    /// Print the faults instead of planting them.
    #[arg(long)]
    pub(crate) list: bool,
    /// Only faults of this class.
    #[arg(long, value_name = "CLASS")]
    pub(crate) class: Option<String>,
    /// Only the fault of this name. Repeatable.
    #[arg(long = "fault", value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// A file of further shader faults, in TOML.
    #[arg(long, value_name = "FILE")]
    pub(crate) extra: Option<PathBuf>,
    /// Look only at what the quick level runs: its cases, and the kernels that it samples.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Device to plant them into; the CPU and the first adapter if absent.
    #[arg(long, value_name = "NAME")]
    pub(crate) device: Option<String>,
    /// Write mutants.json and mutants.md to this directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// Show no progress.
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// Arguments of `ops`.
#[derive(Args)]
pub(crate) struct OpsArguments {
    /// A report.json that `check --report` wrote. Repeatable; the devices of all reports stand side
    /// by side. Without one the suite runs first.
    #[arg(long = "from", value_name = "FILE")]
    pub(crate) reports: Vec<PathBuf>,
    /// Device to run on, where no report is given. Repeatable; every device if absent.
    #[arg(long = "device", value_name = "NAME", conflicts_with = "reports")]
    pub(crate) devices: Vec<String>,
    /// How much to run, where no report is given.
    #[arg(long, value_enum, default_value_t = Level::Quick, conflicts_with = "reports")]
    pub(crate) level: Level,
    /// Print a page in Markdown.
    #[arg(long)]
    pub(crate) markdown: bool,
}

/// Arguments of `fingerprint`.
#[derive(Args)]
pub(crate) struct FingerprintArguments {
    /// Device to ask: an id, a vendor, an API, part of a name, or `auto`. Repeatable; every device
    /// of the machine if absent.
    #[arg(long = "device", value_name = "NAME")]
    pub(crate) devices: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Ask this often, and fail where an answer changes.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = numbers::whole(1..=u32::MAX))]
    pub(crate) runs: u32,
    /// Print what each answer rests on.
    #[arg(long, conflicts_with = "json")]
    pub(crate) details: bool,
}

/// Levels of the suite.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Level {
    /// About a minute on a software adapter.
    Quick,
    /// Every case.
    Full,
    /// Every bit pattern, every length of a sum on every kernel, a thousand repeats: hours.
    Exhaustive,
}

impl From<Level> for unisono_conformance::Level {
    fn from(level: Level) -> unisono_conformance::Level {
        match level {
            Level::Quick => unisono_conformance::Level::Quick,
            Level::Full => unisono_conformance::Level::Full,
            Level::Exhaustive => unisono_conformance::Level::Exhaustive,
        }
    }
}

/// Whether everything that was checked passed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// Nothing failed, and something has no result yet.
    NotFinished,
    Failed,
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Outcome {
        match verdict {
            Verdict::Pass => Outcome::Passed,
            Verdict::NotFinished => Outcome::NotFinished,
            Verdict::Fail => Outcome::Failed,
        }
    }
}

fn main() -> ExitCode {
    let matches = numbers::negative_too(Arguments::command()).try_get_matches();
    let arguments = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(error) => return out::refused(&error).into(),
    };
    let code = match run(arguments.command) {
        Ok(Outcome::Passed) => out::finish(0),
        Ok(Outcome::Failed) => out::finish(1),
        Ok(Outcome::NotFinished) => out::finish(4),
        // What is wrong is said by `finish`, if anything.
        Err(error) if error.is::<out::Unread>() => out::finish(1),
        Err(error) => {
            out::flush();
            errln!("error: {error:#}");
            let kind = error.chain().find_map(|e| e.downcast_ref::<unisono::Error>()).map(unisono::Error::kind);
            match kind {
                Some(unisono::ErrorKind::DeviceNotFound) => 3,
                _ if error.is::<output::Usage>() => 2,
                _ if isolate::is_inconclusive(&error) => 4,
                _ => 1,
            }
        }
    };
    code.into()
}

fn run(command: Option<Command>) -> anyhow::Result<Outcome> {
    match command {
        None => job::run(),
        Some(Command::Devices { json }) => devices::run(json),
        Some(Command::Check(arguments)) => check::run(&arguments),
        Some(Command::Mutants(arguments)) => mutants::run(&arguments),
        Some(Command::Profiles(arguments)) => profiles::run(&arguments),
        Some(Command::Ops(arguments)) => ops::run(&arguments),
        Some(Command::Fingerprint(arguments)) => fingerprint::run(&arguments),
        Some(Command::Diff(arguments)) => diff::run(&arguments),
        Some(Command::Verify(arguments)) => verify::run(&arguments),
        Some(Command::Replay(arguments)) => replay::run(&arguments),
        Some(Command::Soundness(arguments)) => soundness::run_command(&arguments),
        Some(Command::Generate(arguments)) => generate::run(&arguments),
        Some(Command::Embed(arguments)) => embed::run(&arguments),
        Some(Command::Logits(arguments)) => logits::run(&arguments),
        Some(Command::Chat(arguments)) => chat::run(&arguments),
        Some(Command::Tokenize(arguments)) => tokenize::run(&arguments),
        Some(Command::Perplexity(arguments)) => perplexity::run(&arguments),
        Some(Command::Bench(arguments)) => bench::run(&arguments),
        Some(Command::Worker(arguments)) => isolate::work(&arguments),
    }
}
