//! JSON as Python writes it: `NaN`, `Infinity` and `-Infinity` stand for numbers that JSON has not.
//!
//! Configurations are written by Python's `json`, which does that by default. Here these words
//! become strings of the same spelling, so that a strict reader takes the file and who reads a
//! number decides what it means. Nothing else is forgiven.

use std::borrow::Cow;

use unisono_core::Result;

use super::pointer;

const WORDS: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];

/// The content of the file `file` as strict JSON. Fails where it is a stand-in for the file.
pub(crate) fn python_json<'a>(file: &str, json: &'a [u8]) -> Result<Cow<'a, [u8]>> {
    pointer::check(file, json)?;
    Ok(strict(json))
}

/// `json` with these words in quotes where they stand for a value.
fn strict(json: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(&byte) = json.get(at) {
        let rest = json.get(at..).unwrap_or_default();
        let word = WORDS.iter().find(|word| rest.starts_with(word));
        match (byte, word) {
            (b'"', _) => at += string(rest),
            (_, Some(word)) if ends_value(rest.get(word.len())) && begins_value(json.get(..at)) => {
                out.extend_from_slice(json.get(copied..at).unwrap_or_default());
                out.push(b'"');
                out.extend_from_slice(word);
                out.push(b'"');
                at += word.len();
                copied = at;
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    out.extend_from_slice(json.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

/// The length of the string that `text` begins with.
fn string(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

fn begins_value(before: Option<&[u8]>) -> bool {
    let last = before.and_then(|before| before.trim_ascii_end().last());
    last.is_none_or(|byte| matches!(byte, b':' | b',' | b'['))
}

fn ends_value(next: Option<&u8>) -> bool {
    next.is_none_or(|byte| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn becomes(json: &str, expected: &str) {
        assert_eq!(String::from_utf8_lossy(&strict(json.as_bytes())), expected);
    }

    #[test]
    fn words_become_strings_and_nothing_else_does() {
        becomes(
            r#"{"a": NaN, "b": [Infinity, -Infinity],"c":NaN}"#,
            r#"{"a": "NaN", "b": ["Infinity", "-Infinity"],"c":"NaN"}"#,
        );
        becomes("NaN", r#""NaN""#);
        becomes("[NaN\n,\tNaN\r\n]", "[\"NaN\"\n,\t\"NaN\"\r\n]");
        for same in [
            r#"{"a": "NaN, Infinity", "NaN": 1, "\"": "\\", "b": ": NaN,"}"#,
            r#"{"a": NaNa, "b": xNaN, "c": - Infinity, "d": 1NaN, "e": nan}"#,
            r#"{"a": "unfinished, NaN"#,
            r#"{"a": "\"#,
            "",
        ] {
            becomes(same, same);
        }
    }
}
