//! The parts of the page that sum results up: profiles, groups of an isolated run, expectations and
//! the numeric fingerprint. Each stands only where the report has it.

use super::html::{badge, escape, fact, line};
use super::{DeviceReport, Status};

/// Every part of a device.
pub(super) fn parts(out: &mut String, report: &DeviceReport) {
    profiles(out, report);
    groups(out, report);
    expectations(out, report);
    fingerprint(out, report);
}

fn table(out: &mut String, header: &[&str]) {
    line(out, "<div class=\"scroll\"><table><thead><tr>");
    header.iter().for_each(|name| line(out, format_args!("<th>{name}</th>")));
    line(out, "</tr></thead><tbody>");
}

fn end(out: &mut String) {
    line(out, "</tbody></table></div>");
}

fn profiles(out: &mut String, report: &DeviceReport) {
    if report.profiles.is_empty() {
        return;
    }
    line(out, "<h4>Profiles</h4>");
    table(out, &["profile", "result", "cases", "passed", "failed", "unsupported", "missing", "list"]);
    for p in &report.profiles {
        let status = if p.verdict.name() == "pass" { Status::Pass } else { Status::Fail };
        line(out, format_args!("<tr><th>{}</th><td>{}</td>", escape(&p.name), badge(status, p.verdict.name())));
        for count in [p.cases, p.passed, p.failed, p.unsupported, p.missing] {
            line(out, format_args!("<td class=\"num\">{count}</td>"));
        }
        line(out, format_args!("<td class=\"num\">{}</td></tr>", escape(&p.list_hash)));
    }
    end(out);
}

fn groups(out: &mut String, report: &DeviceReport) {
    let broken: Vec<_> = report.groups.iter().filter(|g| !g.outcome.is_completed()).collect();
    if report.groups.is_empty() {
        return;
    }
    let completed = report.groups.len() - broken.len();
    line(out, format_args!("<h4>Worker processes</h4><p>{completed} of {} groups completed.</p>", report.groups.len()));
    if broken.is_empty() {
        return;
    }
    table(out, &["group", "outcome", "during", "said"]);
    for g in broken {
        let outcome = badge(Status::Error, escape(&g.outcome.to_string()));
        line(out, format_args!("<tr><th>{}</th><td>{outcome}</td>", escape(&g.name)));
        line(out, format_args!("<td><code>{}</code></td><td>{}</td></tr>", escape(&g.during), escape(&g.detail)));
    }
    end(out);
}

fn expectations(out: &mut String, report: &DeviceReport) {
    if report.expectations.is_empty() {
        return;
    }
    line(out, "<h4>Expectations</h4>");
    table(out, &["line", "case", "expected", "issue", "expires", "cases", "met", "unexpected passes"]);
    for e in &report.expectations {
        let expired = if e.expired { format!(" {}", badge(Status::Error, "expired")) } else { String::new() };
        line(out, format_args!("<tr><td class=\"num\">{}</td>", e.entry.line));
        line(out, format_args!("<td><code>{}</code></td>", escape(&e.entry.case)));
        line(out, format_args!("<td>{}</td><td>{}</td>", e.entry.kind.name(), escape(&e.entry.issue)));
        line(out, format_args!("<td>{}{expired}</td>", escape(&e.entry.expires)));
        for count in [e.cases, e.met, e.unexpected_passes] {
            line(out, format_args!("<td class=\"num\">{count}</td>"));
        }
        line(out, "</tr>");
    }
    end(out);
}

fn fingerprint(out: &mut String, report: &DeviceReport) {
    let Some(fingerprint) = &report.fingerprint else { return };
    let hash = escape(&fingerprint.hash);
    line(out, format_args!("<details><summary>numeric fingerprint {hash}</summary><dl class=\"facts\">"));
    for t in &fingerprint.traits {
        fact(out, &format!("{}, {}", t.group, t.name), &t.answer);
    }
    line(out, "</dl></details>");
}
