//! Devices of one report side by side: what tells them apart, a fact a row.

use super::page::{breakable, escape, line};
use super::{DeviceFacts, Report};

/// A fact that is shown: its name and how a device states it.
type Fact = (&'static str, fn(&DeviceFacts) -> String);

const FACTS: [Fact; 14] = [
    ("kind", |d| d.kind.clone()),
    ("vendor", |d| d.vendor.clone()),
    ("ids", |d| match (d.vendor_id, d.device_id) {
        (0, 0) => String::new(),
        (vendor, device) => format!("{vendor:#06x} : {device:#06x}"),
    }),
    ("bus", |d| d.bus.clone()),
    ("api", |d| d.api.clone()),
    ("driver", |d| d.driver.clone()),
    ("driver version", |d| d.driver_version.clone()),
    ("profile", |d| d.profile.clone()),
    ("memory", |d| d.memory.map(mebibytes).unwrap_or_default()),
    ("largest buffer", |d| match d.max_buffer_bytes {
        u64::MAX => String::new(),
        bytes => mebibytes(bytes),
    }),
    ("subgroup sizes", |d| d.subgroup_sizes.map(|(least, most)| format!("{least} to {most}")).unwrap_or_default()),
    ("features", |d| d.features.join(", ")),
    ("features not granted", |d| {
        let refused = d.features_asked.iter().filter(|f| !d.features.contains(f));
        refused.map(String::as_str).collect::<Vec<_>>().join(", ")
    }),
    ("numeric modes", |d| d.numeric_modes.join(", ")),
];

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// The table, where there is more than one device. What none of them states is left out.
pub(super) fn facts(out: &mut String, report: &Report) {
    if report.devices.len() < 2 {
        return;
    }
    line(out, "<h3>Side by side</h3><div class=\"scroll\"><table class=\"side\"><thead><tr><th></th>");
    for d in &report.devices {
        line(out, format_args!("<th>{}<br><small>{}</small></th>", escape(&d.device.id), breakable(&d.device.name)));
    }
    line(out, "</tr></thead><tbody>");
    for (name, of) in FACTS {
        let values: Vec<String> = report.devices.iter().map(|d| of(&d.device)).collect();
        if values.iter().all(String::is_empty) {
            continue;
        }
        line(out, format_args!("<tr><th>{name}</th>"));
        for value in values {
            let none = if value.is_empty() { " class=\"none\"" } else { "" };
            let value = if value.is_empty() { "–".to_string() } else { breakable(&value) };
            line(out, format_args!("<td{none}>{value}</td>"));
        }
        line(out, "</tr>");
    }
    line(out, "</tbody></table></div>");
}
