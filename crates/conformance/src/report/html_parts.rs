//! The parts of the page that sum results up: failures by kernel, profiles, groups of an isolated run, expectations and
//! the numeric fingerprint. Each stands only where the report has it.

use std::collections::BTreeMap;

use super::html::badge;
use super::page::{breakable, escape, fact, line};
use super::{CaseResult, DeviceReport, ProfileVerdict, Status};

/// Characters of a reason that stand in the table of failures.
const LONGEST_REASON: usize = 240;

/// Every part of a device.
pub(super) fn parts(out: &mut String, report: &DeviceReport) {
    profiles(out, report);
    groups(out, report);
    expectations(out, report);
    fingerprint(out, report);
}

/// What fails, a row per operation and kernel, with the first case of each in the order of the
/// suite: its shape, and the element that is furthest off. It links to
/// those that are `listed` on the page.
pub(super) fn failures(out: &mut String, device: usize, report: &DeviceReport, listed: &[usize]) {
    let mut kernels: BTreeMap<(&str, &str), (usize, Option<usize>, usize)> = BTreeMap::new();
    for (number, result) in report.results.iter().enumerate() {
        let (ran, first, failed) = kernels.entry((&result.family, &result.kernel)).or_default();
        *ran += 1;
        if result.status.is_failure() {
            first.get_or_insert(number);
            *failed += 1;
        }
    }
    kernels.retain(|_, (_, first, _)| first.is_some());
    if kernels.is_empty() {
        return;
    }
    line(out, format_args!("<h3>Failures on {}, by kernel</h3>", escape(&report.device.id)));
    table(out, &["operation", "kernel", "failed", "of", "first case", "element", "expected", "actual"]);
    for ((family, kernel), (ran, first, failed)) in kernels {
        let Some((number, result)) = first.and_then(|n| Some((n, report.results.get(n)?))) else { continue };
        line(out, format_args!("<tr><th>{}</th><th>{}</th>", escape(family), breakable(kernel)));
        line(out, format_args!("<td class=\"num\">{failed}</td><td class=\"num\">{ran}</td>"));
        let case = format!("<code>{}</code>", breakable(&result.id));
        match listed.contains(&number) {
            true => line(out, format_args!("<td class=\"id\"><a href=\"#result-{device}-{number}\">{case}</a></td>")),
            false => line(out, format_args!("<td class=\"id\">{case}</td>")),
        }
        line(out, element(result));
    }
    end(out);
}

/// The cells of the worst element, or of the reason where no element was compared.
fn element(result: &CaseResult) -> String {
    match &result.worst {
        Some(w) => format!(
            "<td class=\"num\">{:?}</td><td class=\"num\">{}</td><td class=\"num\">{}</td></tr>",
            w.index, w.expected, w.actual
        ),
        None => format!("<td colspan=\"3\" class=\"reason\">{}</td></tr>", escape(&shortened(&result.detail))),
    }
}

/// The beginning of a reason: all of it stands where the result does.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_REASON) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
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
    let counts = ["cases", "passed", "failed", "unsupported", "missing", "not finished"];
    table(out, &[&["profile", "result"], &counts[..], &["list"]].concat());
    for p in &report.profiles {
        let status = match p.verdict {
            ProfileVerdict::Pass => Status::Pass,
            ProfileVerdict::NotFinished => Status::NotFinished,
            ProfileVerdict::Fail => Status::Fail,
        };
        let verdict = badge(status, p.verdict.name().replace('_', " "));
        line(out, format_args!("<tr><th>{}</th><td>{verdict}</td>", escape(&p.name)));
        for count in [p.cases, p.passed, p.failed, p.unsupported, p.missing, p.unfinished] {
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
    let alone = match report.groups.iter().filter(|g| g.alone).count() {
        0 => String::new(),
        alone => format!(" {alone} of them ran again with nothing beside them."),
    };
    let all = report.groups.len();
    line(out, format_args!("<h4>Worker processes</h4><p>{completed} of {all} groups completed.{alone}</p>"));
    if broken.is_empty() {
        return;
    }
    table(out, &["group", "outcome", "during", "said"]);
    for g in broken {
        let status = if g.outcome.is_inconclusive() { Status::NotFinished } else { Status::Error };
        let outcome = badge(status, escape(&g.outcome.to_string()));
        line(out, format_args!("<tr><th>{}</th><td>{outcome}</td>", escape(&g.name)));
        let during = breakable(&g.during);
        line(
            out,
            format_args!(
                "<td class=\"id\"><code>{during}</code></td><td class=\"reason\">{}</td></tr>",
                escape(&g.detail)
            ),
        );
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
        line(out, format_args!("<td class=\"id\"><code>{}</code></td>", breakable(&e.entry.case)));
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
