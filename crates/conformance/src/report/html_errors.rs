//! The part of the page about errors: how they spread over decades of the bound, which case is the
//! worst of each operation, for all devices next to each other; and the texts of kernels that failed.

use std::fmt::Write;

use super::errors::{OVER, histogram};
use super::page::{breakable, escape, line};
use super::{CaseResult, DECADES, DeviceReport, OperationErrors, Report};

/// Width of a bar with the gap behind it, and height of the drawing.
const STEP: usize = 9;
const HEIGHT: f64 = 26.0;

/// Every operation with its histogram and worst case, a column for each device.
pub(super) fn errors(out: &mut String, report: &Report) {
    let devices: Vec<Vec<OperationErrors>> = report.devices.iter().map(|d| OperationErrors::of(&d.results)).collect();
    let mut rows: Vec<(&str, &str)> = Vec::new();
    for row in devices.iter().flatten() {
        let name = (row.family.as_str(), row.dtype.as_str());
        if !rows.contains(&name) {
            rows.push(name);
        }
    }
    line(out, "<h2 id=\"errors\">Errors</h2>");
    line(
        out,
        format_args!(
            "<p class=\"soft\">Results by error / bound, each by its worst element: {}. Red bars are over the bound. Beside them the largest, its case and its kernel; informative cases are left out.</p>",
            escape(&DECADES.join(", "))
        ),
    );
    line(out, "<div class=\"scroll\"><table class=\"errors\"><thead><tr><th>operation</th><th>dtype</th>");
    for d in &report.devices {
        line(
            out,
            format_args!(
                "<th colspan=\"2\">{}<br><small>{}</small></th>",
                escape(&d.device.id),
                breakable(&d.device.name)
            ),
        );
    }
    line(out, "</tr></thead><tbody><tr><th>all</th><td></td>");
    for device in &devices {
        let all = histogram(device);
        let over: usize = all[OVER..].iter().sum();
        let text = format!("{} results, {over} over the bound", all.iter().sum::<usize>());
        line(out, format_args!("<td>{}</td><td>{text}</td>", bars(&all)));
    }
    line(out, "</tr>");
    for (family, dtype) in rows {
        line(out, format_args!("<tr><th>{}</th><td>{}</td>", escape(family), escape(dtype)));
        for device in &devices {
            match device.iter().find(|row| row.family == family && row.dtype == dtype) {
                Some(row) => line(out, cells(row)),
                None => line(out, "<td class=\"none\" colspan=\"2\">–</td>"),
            }
        }
        line(out, "</tr>");
    }
    line(out, "</tbody></table></div>");
}

fn cells(row: &OperationErrors) -> String {
    // Where no element is off at all, no case is the worst.
    let worst = match row.ratio.0 > 0.0 {
        true => format!(" <code>{}</code> <small>{}</small>", breakable(&row.case), breakable(&row.kernel)),
        false => String::new(),
    };
    let class = if row.ratio.0 > 1.0 { " class=\"over\"" } else { "" };
    let bars = bars(&row.histogram);
    format!("<td>{bars}</td><td class=\"id\"><b{class}>{:.3}</b>{worst}</td>", row.ratio)
}

/// A histogram as a drawing, with its counts as text for who cannot see it or points at it.
fn bars(counts: &[usize; 10]) -> String {
    let most = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let (mut within, mut over, mut text) = (String::new(), String::new(), Vec::new());
    for (i, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        // Root scale: a single result stays visible beside hundreds.
        let height = (HEIGHT * (count as f64 / most).sqrt()).max(2.0);
        let path = if i < OVER { &mut within } else { &mut over };
        let _ = write!(path, "M{} {HEIGHT}v-{height:.1}h{}v{height:.1}z", i * STEP, STEP - 2);
        text.push(format!("{}: {count}", DECADES[i]));
    }
    let text = escape(&text.join("; "));
    let path = |class: &str, path: &str| match path {
        "" => String::new(),
        path => format!("<path class=\"{class}\" d=\"{path}\"/>"),
    };
    format!(
        "<svg class=\"bars\" viewBox=\"0 0 {} {HEIGHT}\" role=\"img\" aria-label=\"{text}\"><title>{text}</title><path class=\"axis\" d=\"M0 {HEIGHT}h{}\"/>{}{}</svg>",
        10 * STEP,
        10 * STEP,
        path("within", &within),
        path("over", &over)
    )
}

/// The anchor of a text.
fn anchor(device: usize, number: usize) -> String {
    format!("source-{device}-{number}")
}

/// What a result was built from, with links to the texts.
pub(super) fn uses(out: &mut String, device: usize, report: &DeviceReport, result: &CaseResult) {
    for used in &result.sources {
        let constants: Vec<String> = used.constants.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let with = if constants.is_empty() { String::new() } else { format!(" with {}", constants.join(", ")) };
        let at = report.sources.iter().position(|s| (&s.name, &s.hash) == (&used.name, &used.hash));
        let name = match at {
            Some(at) => format!("<a href=\"#{}\">{}</a>", anchor(device, at), escape(&used.name)),
            None => escape(&used.name),
        };
        line(out, format_args!("<p class=\"soft\">source {name}{}</p>", escape(&with)));
    }
}

/// The texts of every device.
pub(super) fn sources(out: &mut String, report: &Report) {
    for (i, device) in report.devices.iter().enumerate().filter(|(_, d)| !d.sources.is_empty()) {
        line(out, format_args!("<h2>Kernels that failed on {}</h2>", escape(&device.device.id)));
        for (n, source) in device.sources.iter().enumerate() {
            line(
                out,
                format_args!(
                    "<details id=\"{}\"><summary>{} <small>{}</small></summary><pre class=\"source\"><code>{}</code></pre></details>",
                    anchor(i, n),
                    escape(&source.name),
                    escape(&source.hash),
                    escape(&source.text)
                ),
            );
        }
    }
}
