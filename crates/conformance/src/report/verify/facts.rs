//! What a report says about machine, program and devices, as far as one fact excludes another.
//! Unknown facts are empty and contradict nothing.

use std::collections::HashSet;

use super::{Verification, of_device};
use crate::report::{DeviceFacts, Report};

/// Vendors by their PCI ids.
const VENDORS: [(&str, &[u32]); 5] = [
    ("amd", &[0x1002, 0x1022]),
    ("intel", &[0x8086, 0x8087]),
    ("nvidia", &[0x10de]),
    ("apple", &[0x106b]),
    ("qualcomm", &[0x5143, 0x4d4f_4351]),
];

pub(super) fn check(report: &Report, now: Option<&str>, found: &mut Verification) {
    program(report, now, found);
    if report.devices.is_empty() {
        found.problem("devices", "the report is about no device");
    }
    let mut ids = HashSet::new();
    for (d, device) in report.devices.iter().enumerate() {
        if !ids.insert(device.device.id.as_str()) {
            found.problem(of_device(d, "device.id"), format!("a second device '{}'", device.device.id));
        }
        let mut at = |field: &str, message: String| found.problem(of_device(d, &format!("device.{field}")), message);
        kind(&device.device, &mut at);
        limits(&device.device, &mut at);
        let sum: f64 = device.results.iter().map(|r| r.seconds).fold(0.0, f64::max);
        let groups = device.groups.iter().map(|g| g.seconds).fold(0.0, f64::max);
        if !(device.seconds.is_finite() && device.seconds >= 0.0) {
            found.problem(of_device(d, "seconds"), format!("{} is no duration", device.seconds));
        } else if sum > device.seconds * 1.01 + 0.01 || groups > device.seconds * 1.01 + 0.01 {
            let message = format!("{} s, and a part of the run took {} s", device.seconds, sum.max(groups));
            found.problem(of_device(d, "seconds"), message);
        }
    }
}

fn program(report: &Report, now: Option<&str>, found: &mut Verification) {
    if let Some(commit) = &report.commit
        && !(commit.len() >= 7 && commit.chars().all(|c| c.is_ascii_hexdigit()))
    {
        found.problem("commit", format!("'{commit}' is no commit"));
    }
    for (field, date) in [("date", &report.date), ("commit_date", &report.commit_date)] {
        let Some(date) = date else { continue };
        if !is_date(date) {
            found.problem(field, format!("'{date}' is no time like 2026-01-31T12:00:00Z"));
        } else if now.is_some_and(|now| is_date(now) && date.as_str() > now) {
            found.problem(field, format!("{date} lies in the future"));
        }
    }
    // Times of this form are ordered as texts.
    if let (Some(date), Some(commit)) = (&report.date, &report.commit_date)
        && is_date(date)
        && is_date(commit)
        && date < commit
    {
        found.problem("date", format!("{date} is before the commit that the program was built from ({commit})"));
    }
    if report.commit.is_none() && (report.commit_date.is_some() || report.dirty.is_some()) {
        found.problem("commit", "a date or changes of a commit that is not named");
    }
}

/// `2026-01-31T12:00:00Z`.
fn is_date(text: &str) -> bool {
    let shape = "dddd-dd-ddTdd:dd:ddZ";
    let fits = |(c, s): (char, char)| if s == 'd' { c.is_ascii_digit() } else { c == s };
    let number = |range: std::ops::Range<usize>| text.get(range).and_then(|t| t.parse::<u32>().ok()).unwrap_or(99);
    text.len() == shape.len()
        && text.chars().zip(shape.chars()).all(fits)
        && (1..=12).contains(&number(5..7))
        && (1..=31).contains(&number(8..10))
        && number(11..13) < 24
        && number(14..16) < 60
        && number(17..19) <= 60
}

fn kind(d: &DeviceFacts, at: &mut dyn FnMut(&str, String)) {
    const KINDS: [&str; 5] = ["cpu", "discrete-gpu", "integrated-gpu", "software", "other"];
    if d.id.is_empty() {
        at("id", "the device has no id".into());
    }
    if !KINDS.contains(&d.kind.as_str()) {
        at("kind", format!("'{}' is none of {}", d.kind, KINDS.join(", ")));
    }
    if d.software != (d.kind == "software") {
        at("software", format!("{}, and the kind is '{}'", d.software, d.kind));
    }
    if let Some(adapter) = d.properties.get("software-adapter")
        && (adapter == "yes") != d.software
    {
        at("properties.software-adapter", format!("'{adapter}', and the kind is '{}'", d.kind));
    }
    let software_names = ["llvmpipe", "softpipe", "lavapipe", "swiftshader", "microsoft basic render"];
    let name = d.name.to_lowercase();
    if let Some(known) = software_names.iter().find(|known| name.contains(*known))
        && !d.software
    {
        at("software", format!("false, and {known} is a software adapter"));
    }
    let graphics = ["vulkan", "gl", "metal", "dx12", "webgpu"].contains(&d.api.as_str());
    if (d.api == "cpu" && d.kind != "cpu") || (graphics && d.kind == "cpu") {
        at("api", format!("'{}', and the kind is '{}'", d.api, d.kind));
    }
    for (vendor, ids) in VENDORS {
        let (named, by_id) = (d.vendor == vendor, ids.contains(&d.vendor_id));
        if (named && !by_id && d.vendor_id != 0) || (by_id && !named && !d.software) {
            at("vendor", format!("'{}', and the vendor id is {:#06x}", d.vendor, d.vendor_id));
        }
    }
}

/// `0000:01:00.0`: domain, bus, device and function, in hexadecimal. Some systems have more digits than
/// these: a domain behind another controller, a segment in front of the bus.
fn is_bus(text: &str) -> bool {
    const DIGITS: [std::ops::RangeInclusive<usize>; 4] = [4..=8, 2..=6, 2..=4, 1..=4];
    let parts: Vec<&str> = text.split([':', '.']).collect();
    let marks = text.chars().filter(|c| [':', '.'].contains(c));
    let hexadecimal = |part: &str| part.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    parts.len() == DIGITS.len()
        && marks.eq("::.".chars())
        && parts.iter().zip(DIGITS).all(|(part, digits)| hexadecimal(part) && digits.contains(&part.len()))
}

fn limits(d: &DeviceFacts, at: &mut dyn FnMut(&str, String)) {
    if !d.bus.is_empty() && !is_bus(&d.bus) {
        at("bus", format!("'{}' is no address on a PCI bus", d.bus));
    }
    if !d.bus.is_empty() && d.kind == "cpu" {
        at("bus", format!("'{}', and the kind is '{}'", d.bus, d.kind));
    }
    if d.memory == Some(0) {
        at("memory", "0 bytes; what is unknown is null".into());
    }
    if let Some((least, most)) = d.subgroup_sizes {
        let sizes = least.is_power_of_two() && most.is_power_of_two() && least <= most && most <= 1024;
        if !sizes {
            at("subgroup_sizes", format!("{least} to {most}"));
        }
        if d.api != "cpu" && !d.features.iter().any(|f| f == "subgroup") && !d.features_asked.is_empty() {
            at("subgroup_sizes", "known, and the feature 'subgroup' was not granted".into());
        }
    }
    let limit = |name: &str| d.limits.get(name).copied();
    if let Some(buffer) = limit("max-buffer-size")
        && buffer != d.max_buffer_bytes
    {
        at("max_buffer_bytes", format!("{}, and the limit max-buffer-size is {buffer}", d.max_buffer_bytes));
    }
    for axis in ["x", "y", "z"] {
        let name = format!("max-compute-workgroup-size-{axis}");
        if let (Some(size), Some(all)) = (limit(&name), limit("max-compute-invocations-per-workgroup"))
            && size > all.saturating_mul(64)
        {
            at(&format!("limits.{name}"), format!("{size}, of {all} invocations in a workgroup"));
        }
    }
    let mut seen = HashSet::new();
    for feature in &d.features {
        if !seen.insert(feature) {
            at("features", format!("'{feature}' is listed twice"));
        }
        if !d.features_asked.is_empty() && !d.features_asked.contains(feature) {
            at("features", format!("'{feature}' was granted and not asked for"));
        }
    }
    if d.properties.get("limits").is_some_and(|l| l == "default") && !d.features.is_empty() {
        at("features", "optional features on a device with default limits".into());
    }
}
