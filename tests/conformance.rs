//! The quick level of the suite on every device of this machine: one test per device and family,
//! named like `wgpu:0::matmul`, so that a filter picks a device, a family or both.
//!
//! A machine without any adapter fails `adapter_present`: a green run there would say nothing
//! about the WGSL backend. `UNISONO_ALLOW_NO_ADAPTER=1` admits it, for machines that cannot have
//! one.

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Failed, Trial};
use unisono::{Device, DeviceKind, DeviceSummary, NO_ADAPTER_HELP};
use unisono_conformance::{CaseResult, Level, Options, Status, families, run};

/// More failures of one test than this are counted, not printed.
const PRINTED: usize = 20;

/// A device that is opened by the first test that needs it.
struct Opened {
    summary: DeviceSummary,
    device: OnceLock<unisono::Result<Device>>,
}

impl Opened {
    fn device(&self) -> Result<&Device, Failed> {
        let opened = self.device.get_or_init(|| self.summary.open());
        opened.as_ref().map_err(|e| format!("{} ({}) does not open: {e}", self.summary.id, self.summary.name).into())
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let devices = unisono::devices();
    let has_adapter = devices.iter().any(|d| d.kind != DeviceKind::Cpu);
    let mut trials = vec![Trial::test("adapter_present", move || adapter_present(has_adapter))];
    for summary in devices {
        let opened = Arc::new(Opened { summary, device: OnceLock::new() });
        for family in families().into_iter().chain(["program"]) {
            let opened = opened.clone();
            let name = format!("{}::{family}", opened.summary.id);
            trials.push(Trial::test(name, move || check(&opened, family)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn adapter_present(present: bool) -> Result<(), Failed> {
    if present || std::env::var("UNISONO_ALLOW_NO_ADAPTER").is_ok_and(|v| v == "1") {
        return Ok(());
    }
    Err(format!("{NO_ADAPTER_HELP} Set UNISONO_ALLOW_NO_ADAPTER=1 to test the CPU alone.").into())
}

/// Every case of a family passes on every kernel, and none is declined: quick cases are small
/// enough for every device.
fn check(opened: &Opened, family: &str) -> Result<(), Failed> {
    let device = opened.device()?;
    let mut options = Options::new(Level::Quick);
    options.patterns = vec![format!("{family}/")];
    let report = run(&**device.backend(), &options, &mut |_| {});
    let bad = |r: &&CaseResult| r.status.is_failure() || r.status == Status::Unsupported;
    let bad: Vec<&CaseResult> = report.results.iter().filter(bad).collect();
    if bad.is_empty() && report.passed() {
        return Ok(());
    }
    let mut message = format!("{} of {} results on {}", bad.len(), report.results.len(), opened.summary.name);
    for r in bad.iter().take(PRINTED) {
        message += &format!("\n{} {} on {}: {}", r.status.name(), r.id, r.kernel, r.detail);
        if let Some(worst) = &r.worst {
            message += &format!(
                "\n    at {:?}: expected {}, actual {}, bound {}",
                worst.index, worst.expected, worst.actual, worst.bound
            );
        }
        message += &format!("\n    {}", r.reproduce);
    }
    Err(message.into())
}
