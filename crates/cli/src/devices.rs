//! `unisono devices`: what there is to run on.

use anyhow::Result;
use serde::Serialize;
use unisono::DeviceSummary;

use crate::Outcome;
use crate::output;

#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    name: &'a str,
    kind: &'a str,
    vendor: &'a str,
    api: &'a str,
    driver: &'a str,
}

pub(crate) fn run(json: bool) -> Result<Outcome> {
    let devices = unisono::devices();
    if json {
        let rows: Vec<Row<'_>> = devices
            .iter()
            .map(|d| Row {
                id: &d.id,
                name: &d.name,
                kind: d.kind.name(),
                vendor: &d.vendor,
                api: &d.api,
                driver: &d.driver,
            })
            .collect();
        outln!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        print_table(&devices);
    }
    Ok(Outcome::Passed)
}

/// Prints the devices, and how to get a GPU driver where there is none.
pub(crate) fn print_table(devices: &[DeviceSummary]) {
    let mut table = output::table(&["device", "name", "kind", "vendor", "API", "driver"]);
    for d in devices {
        table.add_row([&d.id, &d.name, d.kind.name(), &d.vendor, &d.api, &d.driver]);
    }
    outln!("{table}");
    if devices.iter().all(|d| d.id == "cpu") {
        outln!("\n{}", unisono::NO_ADAPTER_HELP);
    }
}
