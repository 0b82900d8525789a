//! The table of errors: every golden model on the devices that are named, in Markdown.

use std::process::ExitCode;

use super::models::compare::{Outcome, run};
use super::models::golden::{Golden, names};

/// Prints the table; fails where a cell does.
pub(crate) fn print(arguments: &[String]) -> ExitCode {
    let mut devices = Vec::new();
    for pair in arguments.chunks(2) {
        match pair {
            [option, name] if option == "--device" => devices.push(name.clone()),
            _ => {
                eprintln!("usage: --parity [--device NAME]…");
                return ExitCode::from(2);
            }
        }
    }
    if devices.is_empty() {
        devices = unisono::devices().into_iter().map(|device| device.id).collect();
    }
    let opened: Vec<_> = devices.iter().map(|name| unisono::open(name).expect("the device opens")).collect();
    for (name, device) in devices.iter().zip(&opened) {
        println!("* `{name}`: {} ({})", device.info().name, device.info().api);
    }
    println!("\n| model | kind | largest bound | {} |", devices.join(" | "));
    println!("|---|---|---|{}", "---|".repeat(devices.len()));
    let mut failed = 0;
    for name in names() {
        let golden = Golden::open(&name);
        let bound = golden.bounds().into_iter().fold(0.0, f64::max);
        let cells = opened.iter().map(|device| {
            let outcome = run(device, &golden);
            failed += usize::from(!outcome.as_ref().is_ok_and(Outcome::passed));
            match outcome {
                Ok(o) if o.tokens == 0 => format!("{:.3}", o.ratio),
                Ok(o) => format!("{:.3}, {}/{}", o.ratio, o.tokens_equal, o.tokens),
                Err(e) => e.to_string(),
            }
        });
        let cells: Vec<String> = cells.collect();
        println!("| `{name}` | {} | {bound:.1e} | {} |", golden.architecture(), cells.join(" | "));
    }
    println!("\n{failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
