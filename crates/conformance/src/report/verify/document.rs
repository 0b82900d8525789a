//! The document as JSON: its digest, and that it holds the fields of the schema and no others.

use serde_json::{Map, Value};

use super::Verification;
use crate::report::{Report, digest};

pub(super) fn check(document: &Value, report: &Report, found: &mut Verification) {
    match digest(document) {
        Ok(computed) if computed == report.digest => {}
        Ok(computed) => {
            let message =
                format!("the digest is '{}', that of the content is {computed}: the file was changed", report.digest);
            found.problem("digest", message);
        }
        Err(e) => found.problem("digest", format!("cannot be computed: {e}")),
    }
    // What reading and writing lose or add does not belong to the schema.
    match serde_json::to_value(report) {
        Ok(again) => differences("", document, &again, found),
        Err(e) => found.problem("", format!("the report cannot be written again: {e}")),
    }
    let verdict = report.verdict();
    if verdict != report.verdict {
        found.problem("verdict", format!("the report says {:?}, its results say {verdict:?}", report.verdict));
    }
}

fn differences(path: &str, document: &Value, again: &Value, found: &mut Verification) {
    match (document, again) {
        (Value::Object(document), Value::Object(again)) => fields(path, document, again, found),
        (Value::Array(document), Value::Array(again)) if document.len() == again.len() => {
            for (i, (a, b)) in document.iter().zip(again).enumerate() {
                differences(&format!("{path}[{i}]"), a, b, found);
            }
        }
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => {}
        (a, b) if a == b => {}
        (a, b) => found.problem(path, format!("{a} is read as {b}")),
    }
}

fn fields(path: &str, document: &Map<String, Value>, again: &Map<String, Value>, found: &mut Verification) {
    let join = |name: &str| if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
    for (name, value) in document {
        match again.get(name) {
            Some(other) => differences(&join(name), value, other, found),
            None => found.problem(join(name), "the schema has no such field"),
        }
    }
    for name in again.keys().filter(|name| !document.contains_key(*name)) {
        found.problem(join(name), "the field is missing");
    }
}
