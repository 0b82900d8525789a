//! `cargo xtask`: what a developer of Unisono does more than once.
//!
//! It depends on two small crates and on nothing of the workspace, so that it builds in seconds on
//! a bare machine and can look for drivers before anything long is compiled.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod adapters;
mod args;
mod bench_peers;
mod dist;
mod host;
mod out;
mod package;
mod peers;
mod run;
mod swiftshader;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <task>

Tasks:
  test [--no-install] [--device NAME]...
      Look for a Vulkan driver (on Debian and Ubuntu install Mesa's software drivers where there is
      none; --no-install says instead what is missing), then run all tests, the examples, and the
      conformance suite at its quick level on every device, or on the devices named.
      UNISONO_ALLOW_NO_ADAPTER=1 goes on with the CPU alone where no driver can be had.
  dist [--target TRIPLE]
      Build the release binary and pack it with README, licences and the device-round script.
  swiftshader
      Find or fetch SwiftShader, a second software Vulkan driver, and print the driver file to
      set as VK_DRIVER_FILES.
  package
      Check that every crate that is published is complete within its own folder.
  peers [--level LEVEL] [--library candle|burn]...
      Build the adapters of other tensor libraries, a workspace of their own, and run the
      conformance suite on them; reports go to target/report-candle and target/report-burn.
  bench-peers [--features LIST] [OPTION]...
      Time other tensor libraries beside Unisono in one process; the features (ggml, burn) add
      libraries to candle, gemm and faer, the other options are those of benches/peers.
  help
      This text.
";

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let task = if args.is_empty() { "help".to_owned() } else { args.remove(0) };
    let result = match task.as_str() {
        "test" => test::run(&args),
        "dist" => dist::run(&args),
        "swiftshader" => swiftshader::run(&args),
        "package" => package::run(&args),
        "peers" => peers::run(&args),
        "bench-peers" => bench_peers::run(&args),
        "help" | "--help" | "-h" => out::line(format_args!("{}", HELP.trim_end())),
        other => Err(anyhow::anyhow!("unknown task '{other}'\n\n{HELP}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out::note(format_args!("xtask {task}: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
