//! A report as Markdown, for an issue or a summary of a CI run: the verdict per device, the matrix
//! of operations, and the findings with the command that replays each.

use std::fmt::Write;

use super::{CaseResult, DeviceReport, OpTable, RESUME_HINT, Report, Status, Verdict, device_title};

/// More findings than this per device are counted, not listed.
const LISTED_PER_DEVICE: usize = 50;

/// The page of `report`.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    let verdict = report.verdict().words();
    let _ = writeln!(out, "# Unisono conformance, level {}: {verdict}\n", escape(&report.level));
    facts(&mut out, report);
    devices(&mut out, report);
    report.devices.iter().for_each(|device| groups(&mut out, device));
    report.devices.iter().for_each(|device| profiles(&mut out, device));
    let _ = writeln!(out, "## Operations\n");
    out.push_str(&OpTable::new(std::slice::from_ref(report)).markdown());
    report.devices.iter().for_each(|device| findings(&mut out, device));
    out
}

/// Text that stands in a cell or a sentence.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => escaped.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    escaped
}

/// `text` as code: fenced by more backticks than it has in a row.
fn code(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let space = if longest > 0 { " " } else { "" };
    format!("{fence}{space}{}{space}{fence}", text.replace(['\n', '\r'], " "))
}

fn facts(out: &mut String, report: &Report) {
    let dirty = if report.dirty == Some(true) { " with local changes" } else { "" };
    let commit = report.commit.as_ref().map(|c| format!(", commit {}{dirty}", escape(c))).unwrap_or_default();
    let date = report.date.as_ref().map(|d| format!(", {}", escape(d))).unwrap_or_default();
    let _ = writeln!(
        out,
        "Unisono {}{commit}{date}, on {} ({}).",
        escape(&report.version),
        report.host.os,
        escape(&report.host.cpu)
    );
    let _ = writeln!(out, "Case list {}, digest {}.\n", code(&report.case_list_hash), code(&report.digest));
    if report.is_partial() {
        let _ = writeln!(out, "**A run of selected cases, not of the whole level.**\n");
    }
}

fn devices(out: &mut String, report: &Report) {
    let counted: Vec<Status> =
        Status::ALL.into_iter().filter(|&s| report.devices.iter().any(|d| d.summary.count(s) > 0)).collect();
    let _ = write!(out, "| device | result | cases |");
    counted.iter().for_each(|s| {
        let _ = write!(out, " {} |", s.name().replace('_', " "));
    });
    let _ = writeln!(out, " seconds |\n|---|---|---|{}---|", "---|".repeat(counted.len()));
    for d in &report.devices {
        let verdict = match d.verdict() {
            Verdict::Fail => "**FAILED**",
            other => other.words(),
        };
        let _ = write!(out, "| {} | {verdict} | {} |", escape(&device_title(&d.device)), d.summary.cases);
        counted.iter().for_each(|&s| {
            let _ = write!(out, " {} |", d.summary.count(s));
        });
        let _ = writeln!(out, " {:.1} |", d.seconds);
    }
    for d in &report.devices {
        if let Some(what) = d.unfinished() {
            let _ = writeln!(out, "\n{} on {} not finished: {RESUME_HINT}.", escape(&what), escape(&d.device.id));
        }
        if let Some(fault) = d.device.properties.get("planted-fault") {
            let _ = writeln!(
                out,
                "\n{} ran with the planted fault {}: a test of the suite, not of the device.",
                escape(&d.device.id),
                code(fault)
            );
        }
        for model in d.models.iter().filter(|m| m.unfinished.is_none()) {
            let tokens =
                if model.tokens_match { "equal to the golden ones" } else { "**DIFFER from the golden ones**" };
            let _ = writeln!(out, "\n{} on {}: tokens {tokens}.", escape(&model.model), escape(&d.device.id));
        }
    }
    out.push('\n');
}

fn groups(out: &mut String, device: &DeviceReport) {
    let broken: Vec<_> = device.groups.iter().filter(|g| !g.outcome.is_completed()).collect();
    if broken.is_empty() {
        return;
    }
    let _ = writeln!(out, "## Groups that did not complete on {}\n", escape(&device.device.id));
    for g in broken {
        let during = if g.during.is_empty() { String::new() } else { format!(" during {}", code(&g.during)) };
        let _ =
            writeln!(out, "* {}: {}{during}. {}", escape(&g.name), escape(&g.outcome.to_string()), escape(&g.detail));
    }
    out.push('\n');
}

fn profiles(out: &mut String, device: &DeviceReport) {
    if device.profiles.is_empty() {
        return;
    }
    let _ = writeln!(out, "## Profiles on {}\n", escape(&device.device.id));
    let _ = writeln!(
        out,
        "| profile | verdict | cases | passed | failed | unsupported | missing | not finished |\n|---|---|---|---|---|---|---|---|"
    );
    for p in &device.profiles {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            escape(&p.name),
            p.verdict.name().replace('_', " "),
            p.cases,
            p.passed,
            p.failed,
            p.unsupported,
            p.missing,
            p.unfinished
        );
    }
    out.push('\n');
}

fn findings(out: &mut String, device: &DeviceReport) {
    let failures: Vec<&CaseResult> = device.failures().collect();
    if failures.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n## Failures on {}\n", escape(&device.device.id));
    for r in failures.iter().take(LISTED_PER_DEVICE) {
        let kernel = if r.kernel.is_empty() { String::new() } else { format!(" on {}", code(&r.kernel)) };
        let _ =
            writeln!(out, "* **{}** {}{kernel}: {}", r.status.name().replace('_', " "), code(&r.id), escape(&r.detail));
        if let Some(w) = &r.worst {
            let ratio = r.ratio.map(|ratio| format!(", error/bound {ratio:.3}")).unwrap_or_default();
            let _ = writeln!(
                out,
                "  output {} at {}: expected {}, computed {}, bound {}{ratio}",
                w.output,
                escape(&format!("{:?}", w.index)),
                w.expected,
                w.actual,
                w.bound
            );
        }
        let _ = writeln!(out, "\n      {}\n", r.reproduce.replace(['\n', '\r'], " "));
    }
    if failures.len() > LISTED_PER_DEVICE {
        let _ = writeln!(out, "{} of {} failures are listed; the JSON has all.", LISTED_PER_DEVICE, failures.len());
    }
}
