//! Every builtin of Jinja2 against Python: `tests/tokenizers/jinja.json`, which
//! `scripts/jinja_goldens.py` writes, and the tables of `docs/chat-templates.md`, which say of each name
//! whether it does the same here.

use std::collections::BTreeMap;

use serde_json::Value;
use unisono_models::{ChatOptions, ChatTemplate};

use crate::vocabularies::golden;

/// What the documentation says of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It gives what Python's gives, errors included.
    Same,
    /// Some of its results are others; the note says which.
    Differs,
    /// It is an error that names it.
    Refused,
}

/// The tables of the documentation: for each kind, each name with its state.
fn documented() -> BTreeMap<String, BTreeMap<String, State>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/chat-templates.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut kinds: BTreeMap<String, BTreeMap<String, State>> = BTreeMap::new();
    let mut kind = String::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            kind = title.split('(').nth(1).map_or(String::new(), |rest| rest.trim_end_matches(')').to_owned());
        }
        let mut cells = line.strip_prefix("| ").into_iter().flat_map(|row| row.split(" | ")).map(str::trim);
        let (Some(names), Some(state)) = (cells.next(), cells.next()) else { continue };
        let state = match state {
            "same" => State::Same,
            "differs" => State::Differs,
            "refused" => State::Refused,
            _ => continue,
        };
        for name in names.split('`').skip(1).step_by(2) {
            let before = kinds.entry(kind.clone()).or_default().insert(name.to_owned(), state);
            assert!(before.is_none(), "{kind} {name} stands twice in {path}");
        }
    }
    kinds
}

fn render(source: &str, variables: &Value) -> Result<String, String> {
    let template = ChatTemplate::new(source, BTreeMap::new()).map_err(|e| e.to_string())?;
    let variables = serde_json::from_value(variables.clone()).unwrap();
    template.render(&[], &ChatOptions { variables, time: Some(0), ..ChatOptions::default() }).map_err(|e| e.to_string())
}

#[test]
fn every_builtin_does_what_the_documentation_says() {
    let (golden, documented) = (golden("jinja"), documented());
    let (mut wrong, mut cases) = (Vec::new(), 0);
    for (kind, names) in golden["kinds"].as_object().unwrap() {
        let names = names.as_object().unwrap();
        let states = documented.get(kind).cloned().unwrap_or_default();
        wrong.extend(
            states.keys().filter(|name| !names.contains_key(*name)).map(|name| format!("{kind} {name}: unknown")),
        );
        for (name, tries) in names {
            let Some(&state) = states.get(name) else {
                wrong.push(format!("{kind} {name}: not in the documentation"));
                continue;
            };
            let mut different = Vec::new();
            for case in tries.as_array().unwrap() {
                cases += 1;
                let source = case["template"].as_str().unwrap();
                let found = render(source, &golden["variables"]);
                if state == State::Refused {
                    // A tag is named without its delimiters.
                    let named = |error: &String| error.contains(name.trim_matches(['{', '%', '}', ' ']));
                    if !found.as_ref().is_err_and(named) {
                        wrong.push(format!("{kind} {name} is not refused by name: {source}\n  {found:?}"));
                    }
                    continue;
                }
                let same = match case["text"].as_str() {
                    Some(text) => found.as_deref() == Ok(text),
                    None => found.is_err(),
                };
                if !same {
                    let wanted =
                        case["text"].as_str().map_or_else(|| case["error"].to_string(), |text| format!("{text:?}"));
                    different.push(format!("{kind} {name}: {source}\n  {found:?}, Python has\n  {wanted}"));
                }
            }
            match state {
                State::Same => wrong.append(&mut different),
                State::Differs if different.is_empty() => wrong.push(format!("{kind} {name}: does not differ")),
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {cases} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases >= 300, "{cases} cases");
}
