//! `cargo xtask bench-peers`: other people's libraries timed beside ours.
//!
//! It runs in the folder of that package, where a configuration of cargo compiles for the processor
//! at hand; everything but `--features` goes to the program.

use anyhow::Result;

use crate::run;

const FOLDER: &str = "benches/peers";

pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut args = args.to_vec();
    let mut command = run::cargo(&["run", "--release"])?;
    command.current_dir(run::root()?.join(FOLDER));
    if let Some(at) = args.iter().position(|a| a == "--features") {
        command.args(args.drain(at..args.len().min(at + 2)));
    }
    run::run(command.arg("--").args(&args))
}
