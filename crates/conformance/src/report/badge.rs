//! A badge: the JSON that shields.io reads from an address (its "endpoint" badge), so that a page
//! can show how the latest report of a device ended.

use serde_json::{Value, json};

use super::{DeviceReport, Report, Verdict};

/// The badge of `report`. Green only where whole levels passed; a run of selected cases or kernels
/// is grey whatever it shows, anything that failed is red, and what is not finished is yellow.
pub fn badge(report: &Report) -> Value {
    let partial = report.is_partial();
    let count = |verdict| report.devices.iter().filter(|d| d.verdict() == verdict).count();
    let (failed, unfinished) = (count(Verdict::Fail), count(Verdict::NotFinished));
    let names: Vec<String> = report.devices.iter().map(title).collect();
    let on = match names.as_slice() {
        [] => "no device".to_string(),
        [one] => one.clone(),
        many => format!("{} devices", many.len()),
    };
    let (message, colour) = match failed {
        0 if report.devices.is_empty() => (format!("nothing ran on {on}"), "lightgrey"),
        0 if unfinished == names.len() => (format!("not finished on {on}"), "yellow"),
        0 if unfinished > 0 => (format!("not finished on {unfinished} of {on}"), "yellow"),
        0 if partial => (format!("selected cases passed on {on}"), "lightgrey"),
        0 => (format!("passed on {on}"), "brightgreen"),
        n if n == names.len() => (format!("failed on {on}"), "red"),
        n => (format!("failed on {n} of {on}"), "red"),
    };
    json!({
        "schemaVersion": 1,
        "label": format!("unisono {}", report.level),
        "message": message,
        "color": colour,
        "isError": failed > 0,
    })
}

/// `llvmpipe (vulkan)`.
fn title(device: &DeviceReport) -> String {
    let name = if device.device.name.is_empty() { &device.device.id } else { &device.device.name };
    // The name of a driver can be long; a badge is not.
    let short: String = name.chars().take(40).collect();
    if device.device.api.is_empty() { short } else { format!("{short} ({})", device.device.api) }
}
