//! A report as JUnit XML, which CI services read: a suite per device, a test case per result.
//!
//! `fail` and `unexpected_pass` are failures, `error` and `not_run` are errors, `unsupported`,
//! `expected_fail` and `not_finished` are skipped with their reason. The embedded models of a device
//! are test cases of their own.

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::{CaseResult, DeviceReport, ModelResult, RESUME_HINT, Report, ReportError, Status};

type Out = Writer<Vec<u8>>;

/// The document.
pub fn render(report: &Report) -> Result<String, ReportError> {
    let wrap = |e: &dyn std::fmt::Display| ReportError(format!("cannot write JUnit XML: {e}"));
    let mut out = Writer::new_with_indent(Vec::new(), b' ', 1);
    write(&mut out, report).map_err(|e| wrap(&e))?;
    String::from_utf8(out.into_inner()).map_err(|e| wrap(&e))
}

/// How a result counts for JUnit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Passed,
    Failure,
    Error,
    Skipped,
}

fn kind(status: Status) -> Kind {
    match status {
        Status::Pass | Status::Warn | Status::Info => Kind::Passed,
        Status::Fail | Status::UnexpectedPass => Kind::Failure,
        Status::Error | Status::NotRun => Kind::Error,
        Status::Unsupported | Status::ExpectedFail | Status::NotFinished => Kind::Skipped,
    }
}

fn count(device: &DeviceReport, wanted: Kind) -> usize {
    let models = device.models.iter().filter(|m| model_kind(m) == wanted).count();
    device.results.iter().filter(|r| kind(r.status) == wanted).count() + models
}

fn model_kind(result: &ModelResult) -> Kind {
    match result {
        ModelResult { unfinished: Some(_), .. } => Kind::Skipped,
        ModelResult { tokens_match: true, .. } => Kind::Passed,
        _ => Kind::Failure,
    }
}

fn total(report: &Report, wanted: Kind) -> String {
    report.devices.iter().map(|d| count(d, wanted)).sum::<usize>().to_string()
}

fn write(out: &mut Out, report: &Report) -> std::io::Result<()> {
    out.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let tests: usize = report.devices.iter().map(|d| d.results.len() + d.models.len()).sum();
    let seconds: f64 = report.devices.iter().map(|d| d.seconds).sum();
    out.create_element("testsuites")
        .with_attributes([
            ("name", format!("unisono {}", report.level).as_str()),
            ("tests", &tests.to_string()),
            ("failures", &total(report, Kind::Failure)),
            ("errors", &total(report, Kind::Error)),
            ("time", &format!("{seconds:.6}")),
        ])
        .write_inner_content(|out| report.devices.iter().try_for_each(|device| suite(out, report, device)))?;
    Ok(())
}

fn suite(out: &mut Out, report: &Report, device: &DeviceReport) -> std::io::Result<()> {
    let id = clean(&device.device.id);
    let mut element = out.create_element("testsuite").with_attributes([
        ("name", id.as_str()),
        ("tests", &(device.results.len() + device.models.len()).to_string()),
        ("failures", &count(device, Kind::Failure).to_string()),
        ("errors", &count(device, Kind::Error).to_string()),
        ("skipped", &count(device, Kind::Skipped).to_string()),
        ("time", &format!("{:.6}", device.seconds)),
    ]);
    if let Some(date) = &report.date {
        element = element.with_attribute(("timestamp", clean(date.trim_end_matches('Z')).as_str()));
    }
    element.write_inner_content(|out| {
        out.create_element("properties").write_inner_content(|out| {
            let d = &device.device;
            let facts = [
                ("device", &d.name),
                ("vendor", &d.vendor),
                ("api", &d.api),
                ("driver", &d.driver),
                ("driver-version", &d.driver_version),
                ("level", &report.level),
                ("version", &report.version),
                ("case-list-hash", &report.case_list_hash),
                ("digest", &report.digest),
            ];
            facts.iter().filter(|(_, value)| !value.is_empty()).try_for_each(|(name, value)| {
                let attributes = [("name", *name), ("value", &clean(value))];
                out.create_element("property").with_attributes(attributes).write_empty().map(|_| ())
            })
        })?;
        device.results.iter().try_for_each(|result| case(out, &id, result))?;
        device.models.iter().try_for_each(|result| model(out, &id, result))
    })?;
    Ok(())
}

fn case(out: &mut Out, device: &str, result: &CaseResult) -> std::io::Result<()> {
    let kernel = if result.kernel.is_empty() { String::new() } else { format!(" [{}]", result.kernel) };
    let element = out.create_element("testcase").with_attributes([
        ("classname", format!("{device}.{}", clean(&result.family)).as_str()),
        ("name", &clean(&format!("{}{kernel}", result.id))),
        ("time", &format!("{:.6}", result.seconds)),
    ]);
    let tag = match kind(result.status) {
        Kind::Passed => {
            element.write_empty()?;
            return Ok(());
        }
        Kind::Failure => "failure",
        Kind::Error => "error",
        Kind::Skipped => "skipped",
    };
    let mut message = result.detail.clone();
    if let Some(expectation) = &result.expectation {
        message = format!("expected ({}): {message}", expectation.entry.issue);
    }
    if result.status == Status::NotFinished {
        message = format!("not finished, {RESUME_HINT}: {message}");
    }
    element.write_inner_content(|out| {
        let mut inner = out.create_element(tag).with_attribute(("message", clean(&message).as_str()));
        if tag == "skipped" {
            inner.write_empty()?;
            return Ok(());
        }
        inner = inner.with_attribute(("type", result.status.name()));
        let worst = result.worst.as_ref().map(|w| {
            let ratio = result.ratio.map(|r| format!(", error/bound {}", r.0)).unwrap_or_default();
            format!(
                "output {} at {:?}: expected {}, computed {}, bound {}{ratio}\n",
                w.output, w.index, w.expected.0, w.actual.0, w.bound.0
            )
        });
        let text = format!("{}{}", worst.unwrap_or_default(), result.reproduce);
        inner.write_text_content(BytesText::new(&clean(&text)))?;
        Ok(())
    })?;
    Ok(())
}

fn model(out: &mut Out, device: &str, result: &ModelResult) -> std::io::Result<()> {
    let element = out
        .create_element("testcase")
        .with_attributes([("classname", format!("{device}.models").as_str()), ("name", &clean(&result.model))]);
    if model_kind(result) == Kind::Passed {
        element.write_empty()?;
        return Ok(());
    }
    element.write_inner_content(|out| {
        if let Some(reason) = &result.unfinished {
            let message = clean(&format!("not finished, {RESUME_HINT}: {reason}"));
            out.create_element("skipped").with_attribute(("message", message.as_str())).write_empty()?;
            return Ok(());
        }
        let attributes = [("message", "the generated tokens differ from the golden ones"), ("type", "fail")];
        out.create_element("failure").with_attributes(attributes).write_empty()?;
        Ok(())
    })?;
    Ok(())
}

/// `text` without the characters that XML 1.0 cannot hold, even escaped.
fn clean(text: &str) -> String {
    let fits = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if fits(c) { c } else { '\u{fffd}' }).collect()
}
