//! The quick level of the suite on every device of this machine: one test per device and family,
//! named like `wgpu:0::matmul`, so that a filter picks a device, a family or both.
//!
//! A machine without any adapter fails `adapter_present`: a green run there would say nothing
//! about the WGSL backend. `UNISONO_ALLOW_NO_ADAPTER=1` admits it, for machines that cannot have
//! one.

use std::process::ExitCode;

use unisono::{DeviceKind, NO_ADAPTER_HELP};
use unisono_conformance::libtest::{self, Failed, Granularity, Suite, Trial};

fn main() -> ExitCode {
    let devices = unisono::devices();
    let has_adapter = devices.iter().any(|d| d.kind != DeviceKind::Cpu);
    let adapter = Trial::test("adapter_present", move || adapter_present(has_adapter));
    let suites = devices.into_iter().map(|summary| {
        let id = summary.id.clone();
        let open = move || summary.open().map(|device| device.backend().clone());
        Suite::shared(open).named(&id).with_granularity(Granularity::Family)
    });
    libtest::main(suites.collect(), vec![adapter])
}

fn adapter_present(present: bool) -> Result<(), Failed> {
    if present || std::env::var("UNISONO_ALLOW_NO_ADAPTER").is_ok_and(|v| v == "1") {
        return Ok(());
    }
    Err(format!("{NO_ADAPTER_HELP} Set UNISONO_ALLOW_NO_ADAPTER=1 to test the CPU alone.").into())
}
