//! The page: one HTML file without scripts and without anything from elsewhere, for a browser or a
//! printer. It shows what the JSON has, in units that people read.

use unisono_conformance::report::page::{escape, fact, line, page};

use super::{DeviceBench, Outcome, Report, Row, Trust, svg};
use crate::ceilings::{Ceiling, Unit};

/// The page of a report.
pub fn render(report: &Report) -> String {
    let mut body = String::new();
    header(&mut body, report);
    for device in &report.devices {
        section(&mut body, device);
    }
    let names: Vec<&str> = report.devices.iter().map(|d| d.device.name.as_str()).collect();
    let title = format!("Unisono benchmarks: {}", names.join(", "));
    page(&title, include_str!("bench.css"), &body)
}

fn header(out: &mut String, report: &Report) {
    let verdict = report.verdict();
    let class = match verdict.trust {
        Trust::Good => "pass",
        Trust::Doubtful => "warn",
        Trust::Bad => "fail",
    };
    line(out, format_args!("<h1>Unisono benchmarks <span class=\"badge {class}\">{}</span></h1>", verdict.text));
    line(out, "<dl class=\"facts\">");
    fact(out, "date", report.date.as_deref().unwrap_or(""));
    fact(out, "state", if report.complete { "" } else { "the run was not at its end" });
    fact(out, "version", &report.version);
    let dirty = if report.dirty == Some(true) { ", with local changes" } else { "" };
    fact(out, "commit", report.commit.as_ref().map(|c| format!("{c}{dirty}")).unwrap_or_default());
    fact(out, "operating system", &report.host.os);
    fact(out, "processor", &report.host.cpu);
    line(out, "</dl>");
}

fn section(out: &mut String, bench: &DeviceBench) {
    let d = &bench.device;
    line(out, format_args!("<h2>{}: {}</h2>", escape(&d.id), escape(&d.name)));
    line(out, "<dl class=\"facts\">");
    fact(out, "kind", &d.kind);
    fact(out, "API", &d.api);
    fact(out, "driver", format_args!("{} {}", d.driver, d.driver_version).to_string().trim());
    fact(out, "profile", &d.profile);
    fact(out, "features", d.features.join(", "));
    fact(out, "seconds", format_args!("{:.1}", bench.seconds));
    if bench.cold_bytes > 0 {
        fact(out, "weights rotate over", format_args!("{} MiB", bench.cold_bytes >> 20));
    }
    if let Some(spread) = bench.reference_spread {
        fact(out, "scatter of the reference", format_args!("{:.0}%", 100.0 * (spread - 1.0)));
    }
    line(out, "</dl>");
    ceilings(out, bench);
    for (title, svg) in [("Roofline", svg::roofline(bench)), ("Share of the ceiling", svg::bars(bench))] {
        if !svg.is_empty() {
            line(out, format_args!("<h3>{title}</h3>"));
            line(
                out,
                "<p class=\"soft\">Bound by <span class=\"key memory\">memory</span> <span class=\"key compute\">compute</span> <span class=\"key launch\">launch</span></p>",
            );
            line(out, svg);
        }
    }
    rows(out, bench);
}

fn ceilings(out: &mut String, bench: &DeviceBench) {
    if bench.ceilings.0.is_empty() {
        return;
    }
    line(out, "<h3>Ceilings</h3><div class=\"scroll\"><table><thead><tr><th>probe</th><th>size</th><th>best</th>");
    line(out, "<th>clock</th><th>remark</th></tr></thead><tbody>");
    for c in &bench.ceilings.0 {
        let size = c.bytes.map(size).unwrap_or_default();
        let word = if c.impossible { "impossible" } else { "uncertain" };
        let doubt = c.doubt.as_ref().map(|why| escape(&format!("{word}: {why}"))).unwrap_or_default();
        line(
            out,
            format_args!(
                "<tr><th>{}</th><td class=\"num\">{size}</td><td class=\"num\">{}</td><td>{}</td><td>{doubt}</td></tr>",
                escape(&c.name),
                value(c),
                c.clock
            ),
        );
    }
    line(out, "</tbody></table></div>");
}

/// A ceiling with its unit: `21.4 GB/s`, `225.0 GFLOP/s`, `12.1 µs`.
pub fn value(ceiling: &Ceiling) -> String {
    let v = ceiling.value;
    match ceiling.unit {
        Unit::Bytes => format!("{:.1} GB/s", v / 1e9),
        Unit::Operations if ceiling.name.ends_with("int8") || ceiling.name.ends_with("i8") => {
            format!("{:.1} GOP/s", v / 1e9)
        }
        Unit::Operations => format!("{:.1} GFLOP/s", v / 1e9),
        Unit::Elements => format!("{:.1} G elements/s", v / 1e9),
        Unit::Seconds => format!("{:.2} µs", v * 1e6),
    }
}

/// Bytes as `16 KiB`, `64 MiB`, rounded.
pub fn size(bytes: u64) -> String {
    match bytes {
        b if b >= 1 << 29 => format!("{:.1} GiB", b as f64 / (1u64 << 30) as f64),
        b if b >= 1 << 20 => format!("{:.0} MiB", b as f64 / (1u64 << 20) as f64),
        b => format!("{:.0} KiB", b as f64 / 1024.0),
    }
}

fn rows(out: &mut String, bench: &DeviceBench) {
    line(out, "<h3>Operations</h3><div class=\"scroll\"><table><thead><tr>");
    let header = [
        "operation",
        "kernel",
        "median, µs",
        "p20–p80, µs",
        "95% interval, µs",
        "GB/s",
        "GFLOP/s",
        "ceiling",
        "bound by",
        "clock",
        "samples",
        "checked",
        "drift",
        "remark",
    ];
    header.iter().for_each(|name| line(out, format_args!("<th>{name}</th>")));
    line(out, "</tr></thead><tbody>");
    bench.rows.iter().for_each(|row| line(out, cells(row)));
    line(out, "</tbody></table></div>");
}

fn cells(row: &Row) -> String {
    let id = escape(&row.id);
    let kernel = escape(&row.kernel);
    let mark = if row.selected { "" } else { " class=\"soft\"" };
    let Some(f) = &row.figures else {
        let class = if row.outcome == Outcome::Skipped { "unsupported" } else { "fail" };
        let badge = format!("<span class=\"badge {class}\">{}</span>", row.outcome.name());
        let detail = escape(&row.detail);
        return format!("<tr{mark}><th>{id}</th><td>{kernel}</td><td colspan=\"12\">{badge} {detail}</td></tr>");
    };
    let us = |seconds: f64| format!("{:.2}", seconds * 1e6);
    let num = |text: String| format!("<td class=\"num\">{text}</td>");
    let flags: Vec<&str> = row.flags.iter().map(|f| f.name()).collect();
    let mut cells = format!("<tr{mark}><th>{id}</th><td>{kernel}</td>");
    cells += &num(us(f.time.median));
    cells += &num(format!("{}–{}", us(f.time.p20), us(f.time.p80)));
    cells += &num(format!("{}–{}", us(f.time.low), us(f.time.high)));
    cells += &num(format!("{:.2}", f.bandwidth / 1e9));
    cells += &num(format!("{:.2}", f.rate / 1e9));
    cells += &num(f.share.map(|s| format!("{:.0}%", 100.0 * s)).unwrap_or_default());
    cells += &format!("<td>{}</td><td>{}</td>", f.bound.map_or("", |b| b.name()), f.clock);
    cells += &num(format!("{}×{}", f.samples.len(), f.batch));
    cells += &num(format!("{} of {}", row.checked, row.elements));
    cells += &num(f.drift.map(|d| format!("{:+.0}%", 100.0 * (d - 1.0))).unwrap_or_default());
    cells + &format!("<td>{}</td></tr>", flags.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{report, row};

    #[test]
    fn the_page_shows_rows_plots_and_what_is_wrong() {
        let wrong = Row {
            outcome: Outcome::Wrong,
            conformant: false,
            figures: None,
            detail: "y: 3 < 4".into(),
            ..row("bad", vec![1.0])
        };
        let page = render(&report(vec![row("a/b/c:d", vec![1e-4; 15]), wrong]));
        for part in ["a/b/c:d", "100.00", "wrong results", "y: 3 &lt; 4", "<svg", "20.0 GB/s", "a &lt;processor&gt;"] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("{{") && !page.contains("<script"));
        assert!(!page.contains("1000000.00"), "a wrong row has no figure");
        assert!(!page.contains("not at its end"));
        let noisy = Row { flags: vec![crate::report::Flag::Spread], ..row("a/b/c:d", vec![1e-4; 15]) };
        let page = render(&report(vec![noisy]));
        assert!(page.contains("<span class=\"badge warn\">all results right, 1 of 1 rows noisy</span>"), "{page}");
        let begun = Report { complete: false, ..report(vec![row("a/b/c:d", vec![1e-4; 15])]) };
        assert!(render(&begun).contains("right so far") && render(&begun).contains("not at its end"));
    }

    #[test]
    fn sizes_and_values_have_units() {
        assert_eq!(
            (size(16 << 10), size(256 << 20), size(1 << 30)),
            ("16 KiB".into(), "256 MiB".into(), "1.0 GiB".into())
        );
        let all = report(Vec::new()).devices.remove(0).ceilings;
        let values: Vec<String> = all.0.iter().map(value).collect();
        assert_eq!(values, ["20.0 GB/s", "200.0 GFLOP/s", "2.00 µs"]);
    }
}
