//! A report as one HTML page that needs nothing else: no server, no script, no other file.
//!
//! The page answers three questions in order: what ran where, which operation is right in which
//! element type on which device, and what exactly is wrong where one is not. Every text that comes
//! from a report is escaped.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::page::{escape, fact, line, page};
use super::{CaseResult, DeviceReport, Number, RESUME_HINT, Report, Status, Verdict};

/// More failures than this are counted, not listed.
const LISTED_PER_DEVICE: usize = 500;

/// The page of `report`.
pub fn render(report: &Report) -> String {
    let mut body = String::new();
    header(&mut body, report);
    devices(&mut body, report);
    matrix(&mut body, report);
    super::html_errors::errors(&mut body, report);
    for (i, device) in report.devices.iter().enumerate() {
        findings(&mut body, i, device);
    }
    super::html_errors::sources(&mut body, report);
    let names: Vec<&str> = report.devices.iter().map(|d| d.device.name.as_str()).collect();
    let title = format!("Unisono conformance: {}", names.join(", "));
    page(&title, include_str!("report.css"), &body)
}

fn header(out: &mut String, report: &Report) {
    line(out, format_args!("<h1>Unisono conformance {}</h1>", verdict(report.verdict())));
    line(out, "<dl class=\"facts\">");
    fact(out, "level", &report.level);
    fact(out, "date", report.date.as_deref().unwrap_or(""));
    fact(out, "version", &report.version);
    let dirty = if report.dirty == Some(true) { ", with local changes" } else { "" };
    fact(out, "commit", report.commit.as_ref().map(|c| format!("{c}{dirty}")).unwrap_or_default());
    fact(out, "operating system", &report.host.os);
    fact(out, "processor", &report.host.cpu);
    fact(out, "architecture", &report.host.arch);
    fact(out, "seed", report.seed.map(|seed| seed.to_string()).unwrap_or_default());
    fact(out, "case list", &report.case_list_hash);
    if !report.digest.is_empty() {
        let digest = escape(&report.digest);
        line(out, format_args!("<div class=\"wide\"><dt>digest</dt><dd><code>{digest}</code></dd></div>"));
    }
    line(out, "</dl>");
    for device in &report.devices {
        if let Some(what) = device.unfinished() {
            let (id, what, hint) = (escape(&device.device.id), escape(&what), escape(RESUME_HINT));
            line(out, format_args!("<p>{} {id}: {what}: {hint}.</p>", verdict(Verdict::NotFinished)));
        }
        if let Some(fault) = device.device.properties.get("planted-fault") {
            let (id, fault) = (escape(&device.device.id), escape(fault));
            let planted = badge(Status::NotRun, "planted fault");
            line(
                out,
                format_args!(
                    "<p>{planted} {id} ran with <code>{fault}</code>: a test of the suite, not of the device.</p>"
                ),
            );
        }
    }
    if report.is_partial() {
        let what: Vec<&str> = report.patterns.iter().chain(&report.kernel).map(String::as_str).collect();
        line(
            out,
            format_args!(
                "<p><b>A run of selected cases, not of the whole level:</b> <code>{}</code></p>",
                escape(&what.join(" "))
            ),
        );
    }
}

fn verdict(verdict: Verdict) -> String {
    badge(verdict.status(), verdict.name().replace('_', " "))
}

pub(super) fn badge(status: Status, text: impl Display) -> String {
    format!("<span class=\"badge {}\">{text}</span>", status.name())
}

fn devices(out: &mut String, report: &Report) {
    line(out, "<h2>Devices</h2>");
    line(out, "<div class=\"scroll\"><table><thead><tr><th>device</th><th>result</th><th>cases</th>");
    for status in Status::ALL {
        line(out, format_args!("<th>{}</th>", status.name().replace('_', " ")));
    }
    line(out, "<th>seconds</th></tr></thead><tbody>");
    for (i, d) in report.devices.iter().enumerate() {
        let verdict = verdict(d.verdict());
        let id = escape(&d.device.id);
        line(out, format_args!("<tr><th><a href=\"#device-{i}\">{id}</a></th><td>{verdict}</td>"));
        line(out, format_args!("<td class=\"num\">{}</td>", d.summary.cases));
        for status in Status::ALL {
            line(out, format_args!("<td class=\"num\">{}</td>", d.summary.count(status)));
        }
        line(out, format_args!("<td class=\"num\">{:.1}</td></tr>", d.seconds));
    }
    line(out, "</tbody></table></div>");
    line(
        out,
        "<p class=\"soft\">A count is of cases times kernels: each case runs on every kernel that can serve it (at the quick level on the selected one and a sample of the others).</p>",
    );
    for (i, device) in report.devices.iter().enumerate() {
        super::html_parts::failures(out, i, device, &listed(device));
    }
    super::html_side::facts(out, report);
    for (i, device) in report.devices.iter().enumerate() {
        device_facts(out, i, device);
    }
}

fn device_facts(out: &mut String, i: usize, report: &DeviceReport) {
    let d = &report.device;
    line(out, format_args!("<h3 id=\"device-{i}\">{}: {}</h3>", escape(&d.id), escape(&d.name)));
    line(out, "<dl class=\"facts\">");
    fact(out, "kind", &d.kind);
    fact(out, "software", if d.software { "yes" } else { "no" });
    fact(out, "vendor", &d.vendor);
    if d.vendor_id != 0 || d.device_id != 0 {
        fact(out, "ids", format_args!("{:#06x} : {:#06x}", d.vendor_id, d.device_id));
    }
    fact(out, "bus", &d.bus);
    fact(out, "api", &d.api);
    fact(out, "driver", format_args!("{} {}", d.driver, d.driver_version).to_string().trim());
    fact(out, "profile", &d.profile);
    if let Some((least, most)) = d.subgroup_sizes {
        fact(out, "subgroup sizes", format_args!("{least} to {most}"));
    }
    if let Some(memory) = d.memory {
        fact(out, "memory", format_args!("{} MiB", memory >> 20));
    }
    if d.max_buffer_bytes != u64::MAX {
        fact(out, "largest buffer", format_args!("{} MiB", d.max_buffer_bytes >> 20));
    }
    fact(out, "features", d.features.join(", "));
    let refused: Vec<&str> = d.features_asked.iter().filter(|f| !d.features.contains(f)).map(String::as_str).collect();
    fact(out, "features not granted", refused.join(", "));
    fact(out, "numeric modes", d.numeric_modes.join(", "));
    d.properties.iter().for_each(|(name, value)| fact(out, name, value));
    line(out, "</dl>");
    if !d.limits.is_empty() {
        line(out, "<details><summary>limits</summary><dl class=\"facts\">");
        d.limits.iter().for_each(|(name, value)| fact(out, name, value));
        line(out, "</dl></details>");
    }
    if !report.models.is_empty() {
        models(out, report);
    }
    super::html_parts::parts(out, report);
}

fn models(out: &mut String, report: &DeviceReport) {
    line(out, "<div class=\"scroll\"><table><thead><tr><th>model</th><th>tokens</th><th>prompts</th>");
    line(out, "<th>logit error/bound</th><th>tokens/s</th></tr></thead><tbody>");
    for model in &report.models {
        let (status, text) = match model.tokens_match {
            true => (Status::Pass, "equal"),
            false if model.unfinished.is_some() => (Status::NotFinished, "not finished"),
            false => (Status::Fail, "differ"),
        };
        let ratio = model.max_logit_ratio.map(|r| format!("{r:.3}")).unwrap_or_default();
        let speed = model.tokens_per_second.map(|s| format!("{s:.1}")).unwrap_or_default();
        line(out, format_args!("<tr><th>{}</th><td>{}</td>", escape(&model.model), badge(status, text)));
        line(out, format_args!("<td class=\"num\">{}</td><td class=\"num\">{ratio}</td>", model.prompts));
        line(out, format_args!("<td class=\"num\">{speed}</td></tr>"));
    }
    line(out, "</tbody></table></div>");
}

/// One cell of the matrix: all results of an operation and element type on a device.
#[derive(Default)]
struct Cell {
    cases: usize,
    worst: Option<Status>,
    ratio: Option<f64>,
    declined: usize,
    anchor: Option<usize>,
}

impl Cell {
    fn add(&mut self, number: usize, result: &CaseResult) {
        self.cases += 1;
        self.declined += usize::from(result.status == Status::Unsupported);
        if self.worst.is_none_or(|worst| severity(result.status) > severity(worst)) {
            self.worst = Some(result.status);
            self.anchor = Some(number);
        }
        if let Some(Number(ratio)) = result.ratio.filter(|_| !result.informative) {
            self.ratio = Some(self.ratio.map_or(ratio, |r| r.max(ratio)));
        }
    }

    /// What colours the cell. Declined cases hide no failure and colour a cell only where nothing
    /// else ran.
    fn status(&self) -> Status {
        self.worst.unwrap_or(Status::Unsupported)
    }
}

fn severity(status: Status) -> usize {
    match status {
        Status::Unsupported => 0,
        Status::Info => 1,
        Status::Pass => 2,
        Status::Warn => 3,
        Status::ExpectedFail => 4,
        Status::NotFinished => 5,
        Status::NotRun => 6,
        Status::UnexpectedPass => 7,
        Status::Fail => 8,
        Status::Error => 9,
    }
}

fn matrix(out: &mut String, report: &Report) {
    let mut rows: Vec<(&str, &str)> = Vec::new();
    let mut cells: BTreeMap<(usize, &str, &str), Cell> = BTreeMap::new();
    for (i, device) in report.devices.iter().enumerate() {
        for (number, result) in device.results.iter().enumerate() {
            let row = (result.family.as_str(), result.dtype.as_str());
            if !rows.contains(&row) {
                rows.push(row);
            }
            cells.entry((i, row.0, row.1)).or_default().add(number, result);
        }
    }
    let mut families: Vec<&str> = Vec::new();
    rows.iter().for_each(|(family, _)| {
        if !families.contains(family) {
            families.push(family);
        }
    });
    let listed: Vec<Vec<usize>> = report.devices.iter().map(listed).collect();
    line(out, "<h2>Operations</h2>");
    line(
        out,
        "<p class=\"soft\">Largest error / bound (over 1 fails), and the number of results. Grey: declined. The case behind each number is <a href=\"#errors\">below</a>.</p>",
    );
    line(out, "<div class=\"scroll\"><table><thead><tr><th>operation</th><th>dtype</th>");
    report.devices.iter().for_each(|d| line(out, format_args!("<th>{}</th>", escape(&d.device.id))));
    line(out, "</tr></thead><tbody>");
    for family in families {
        let dtypes: Vec<&str> = rows.iter().filter(|r| r.0 == family).map(|r| r.1).collect();
        for (n, dtype) in dtypes.iter().enumerate() {
            line(out, "<tr>");
            if n == 0 {
                line(out, format_args!("<th rowspan=\"{}\">{}</th>", dtypes.len(), escape(family)));
            }
            line(out, format_args!("<td>{}</td>", escape(dtype)));
            for (i, listed) in listed.iter().enumerate() {
                line(out, cell(i, cells.get(&(i, family, dtype)), listed));
            }
            line(out, "</tr>");
        }
    }
    line(out, "</tbody></table></div>");
}

fn cell(device: usize, cell: Option<&Cell>, listed: &[usize]) -> String {
    let Some(cell) = cell else { return "<td class=\"none\">–</td>".to_string() };
    let status = cell.status();
    let ratio = cell.ratio.map_or_else(|| status.name().replace('_', " "), |r| format!("{:.3}", Number(r)));
    let declined = if cell.declined > 0 { format!(", {} declined", cell.declined) } else { String::new() };
    let text = format!("<b class=\"num\">{ratio}</b> <small>{}{declined}</small>", cell.cases);
    let linked = match cell.anchor.filter(|number| listed.contains(number)) {
        Some(number) => format!("<a href=\"#result-{device}-{number}\">{text}</a>"),
        None => text,
    };
    format!("<td class=\"cell {0}\" title=\"{0}\">{linked}</td>", status.name())
}

/// Whether results of this status are listed one by one.
fn is_listed(status: Status) -> bool {
    status.is_failure() || matches!(status, Status::Warn | Status::Info | Status::ExpectedFail | Status::NotFinished)
}

/// The results that are listed, the worst first.
fn listed(report: &DeviceReport) -> Vec<usize> {
    let mut listed: Vec<usize> = (0..report.results.len()).filter(|&n| is_listed(report.results[n].status)).collect();
    listed.sort_by_key(|&n| (std::cmp::Reverse(severity(report.results[n].status)), n));
    listed.truncate(LISTED_PER_DEVICE);
    listed
}

fn findings(out: &mut String, device: usize, report: &DeviceReport) {
    let id = escape(&report.device.id);
    let listed = listed(report);
    line(out, format_args!("<h2>Findings on {id}</h2>"));
    if listed.is_empty() {
        line(out, "<p>No failure and no warning.</p>");
    }
    for &number in &listed {
        finding(out, device, number, report, &report.results[number]);
    }
    let all = report.results.iter().filter(|r| is_listed(r.status)).count();
    if all > listed.len() {
        let more = all - listed.len();
        line(
            out,
            format_args!(
                "<p><b>{LISTED_PER_DEVICE} of {all} findings are listed; {more} are left out here.</b> The JSON and the CSV have all.</p>"
            ),
        );
    }
    declined(out, report);
}

fn finding(out: &mut String, device: usize, number: usize, report: &DeviceReport, result: &CaseResult) {
    let status = result.status;
    line(out, format_args!("<div class=\"case {}\" id=\"result-{device}-{number}\">", status.name()));
    let kernel =
        if result.kernel.is_empty() { String::new() } else { format!(" on <b>{}</b>", escape(&result.kernel)) };
    line(out, format_args!("{} <code>{}</code>{kernel}", badge(status, status.name()), escape(&result.id)));
    line(out, format_args!("<p>{}</p>", escape(&result.detail)));
    if let Some(worst) = &result.worst {
        let ratio = result.ratio.map(|r| format!(", error/bound {r:.3}")).unwrap_or_default();
        line(
            out,
            format_args!(
                "<p class=\"num\">output {} at {:?}: expected {}, actual {}, bound {}{ratio}</p>",
                worst.output, worst.index, worst.expected, worst.actual, worst.bound
            ),
        );
    }
    super::html_errors::uses(out, device, report, result);
    line(out, format_args!("<pre><code>{}</code></pre></div>", escape(&result.reproduce)));
}

/// What the device declined, grouped by reason.
fn declined(out: &mut String, report: &DeviceReport) {
    let mut reasons: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for result in report.results.iter().filter(|r| r.status == Status::Unsupported) {
        *reasons.entry((&result.family, &result.detail)).or_default() += 1;
    }
    if reasons.is_empty() {
        return;
    }
    line(out, format_args!("<details><summary>{} declined</summary><ul>", report.summary.unsupported));
    for ((family, reason), count) in reasons {
        line(out, format_args!("<li>{} × {}: {}</li>", count, escape(family), escape(reason)));
    }
    line(out, "</ul></details>");
}
