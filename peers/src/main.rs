//! Runs the conformance suite on other people's tensor libraries and writes reports.
//!
//! `cargo run --manifest-path peers/Cargo.toml -- --library candle --level quick --report DIR`

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use unisono_conformance::{Level, Options, run};
use unisono_core::Backend;
use unisono_peers::frame::Peer;
use unisono_peers::report;

/// Runs the conformance suite on another tensor library.
#[derive(Parser)]
struct Arguments {
    /// `candle` or `burn`.
    #[arg(long)]
    library: String,
    /// `quick`, `full` or `exhaustive`.
    #[arg(long, default_value = "quick")]
    level: String,
    /// Ids, prefixes or globs of cases; all of the level without.
    #[arg(long = "case")]
    cases: Vec<String>,
    /// Folder for report.json, report.html and summary.md.
    #[arg(long)]
    report: Option<PathBuf>,
    /// The date that the report carries.
    #[arg(long)]
    date: Option<String>,
}

/// The libraries that are built in, by name.
fn open(library: &str) -> Result<Box<dyn Backend>> {
    Ok(match library {
        #[cfg(feature = "candle")]
        "candle" => Box::new(Peer::new(unisono_peers::candle::Candle)),
        #[cfg(feature = "burn")]
        "burn" => Box::new(Peer::new(unisono_peers::burn::Burn)),
        other => bail!("no library {other} is built in"),
    })
}

fn run_suite(arguments: &Arguments) -> Result<bool> {
    let Some(level) = Level::from_name(&arguments.level) else { bail!("there is no level {}", arguments.level) };
    let backend = open(&arguments.library)?;
    let options = Options::new(level).with_patterns(arguments.cases.clone());
    // A panic of the library is a result; its message stands in the report.
    std::panic::set_hook(Box::new(|_| {}));
    let mut printed = Ok(());
    let device = run(&*backend, &options, &mut |progress| {
        for result in progress.results.iter().filter(|r| r.status.is_failure()) {
            if printed.is_ok() {
                printed = print(format_args!("{result}\n"));
            }
        }
    });
    let _ = std::panic::take_hook();
    let printed = printed.and_then(|()| print(report::summary(&device)));
    let passed = device.passed();
    if let Some(folder) = &arguments.report {
        report::write(folder, level, arguments.date.clone(), device)?;
    }
    printed?;
    Ok(passed)
}

/// Prints to standard output. A closed pipe is no error: the report is written all the same.
fn print(text: impl Display) -> Result<()> {
    match write!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

fn main() -> ExitCode {
    match run_suite(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(e) => {
            drop(writeln!(io::stderr(), "unisono-peers: {e:#}"));
            ExitCode::from(2)
        }
    }
}
