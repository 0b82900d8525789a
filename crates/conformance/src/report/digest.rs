//! The digest of a report: SHA-256 over its canonical form, so that a change after the fact shows,
//! and so that a sentence or a signature can name one report.
//!
//! The canonical form is that of RFC 8785 (JSON Canonicalization Scheme) over the document without
//! its top-level `digest`: any implementation of the two standards gets the same digest, whatever
//! the order of keys and the white space of the file.

use std::fmt::Write;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::ReportError;

/// The digest of the document `report`, as `sha256:` and 64 hexadecimal digits. Its own `digest` is
/// left out.
pub fn digest(report: &Value) -> Result<String, ReportError> {
    let mut content = report.clone();
    if let Some(fields) = content.as_object_mut() {
        fields.remove("digest");
    }
    let canonical = serde_json_canonicalizer::to_vec(&content).map_err(|e| ReportError(e.to_string()))?;
    let mut text = "sha256:".to_string();
    for byte in Sha256::digest(canonical) {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_white_space_and_the_old_digest_do_not_matter_and_content_does() {
        let parse = |text: &str| digest(&serde_json::from_str(text).unwrap()).unwrap();
        let one = parse(r#"{"b": [1.0, "ä"], "a": 1e-3, "digest": "x"}"#);
        assert_eq!(one, parse(r#"{"a":0.001,"b":[1,"\u00e4"]}"#));
        // sha256 of {"a":0.001,"b":[1,"ä"]}, by another implementation.
        assert_eq!(one, "sha256:c6e5f42da7ee906b2b38512f2893bd4f42b9ccf36260d1482599e00dacfa64fb");
        assert_ne!(one, parse(r#"{"a":0.001,"b":["ä",1]}"#));
    }
}
