//! `cargo xtask peers`: other people's libraries under the suite.
//!
//! Their adapters are a workspace of their own, whose dependencies the main build never sees. The
//! tests run the families in which a library meets the contract, so that a change of the suite or
//! of an adapter is noticed; then the whole level runs and prints what does not. Results outside of
//! the contract are the libraries' own and fail nothing here.

use anyhow::{Context, Result, bail};

use crate::args::Options;
use crate::out;
use crate::run::{self, heading, show};

const MANIFEST: &str = "peers/Cargo.toml";

pub(crate) fn run(args: &[String]) -> Result<()> {
    let options = Options::parse(args, &[], &["--level", "--library"])?;
    let level = options.all("--level").last().unwrap_or("quick");
    let mut libraries: Vec<&str> = options.all("--library").collect();
    if libraries.is_empty() {
        libraries = vec!["candle", "burn"];
    }
    heading("Lints");
    run::run(&mut run::cargo(&["clippy", "--manifest-path", MANIFEST, "--all-targets", "--", "-D", "warnings"])?)?;
    heading("Families that meet the contract");
    run::run(&mut run::cargo(&["test", "--manifest-path", MANIFEST])?)?;
    for library in libraries {
        heading(&format!("{library}, {level} level"));
        let report = format!("target/report-{library}");
        let mut command = run::cargo(&["run", "--manifest-path", MANIFEST, "--", "--library", library])?;
        command.args(["--level", level, "--report", &report]);
        let shown = show(&command);
        out::note(format_args!("+ {shown}"));
        let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
        // 1: cases failed, which is what this run is for.
        if !matches!(status.code(), Some(0 | 1)) {
            bail!("`{shown}` failed: {status}");
        }
    }
    Ok(())
}
