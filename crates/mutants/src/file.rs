//! Files of faults: the format of the registry of shader faults, and of everybody else's.

use std::path::Path;

use serde::Deserialize;

use crate::fault::{Edit, Fault, FaultError, Place};

/// The reason of a wrong number.
const OVER_THE_BOUND: &str = "over the bound";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    fault: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    class: String,
    #[serde(default)]
    about: String,
    cases: Vec<String>,
    kernel: Option<String>,
    reason: Option<String>,
    edit: Vec<EditRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EditRow {
    variants: String,
    find: String,
    replace: String,
    #[serde(default = "once")]
    count: usize,
}

fn once() -> usize {
    1
}

/// The faults of a file in TOML; an error that names the line or the fault.
pub fn parse(text: &str) -> Result<Vec<Fault>, FaultError> {
    let file: File = toml::from_str(text).map_err(|e| FaultError(e.to_string().trim_end().to_owned()))?;
    file.fault.into_iter().map(fault).collect()
}

/// The faults of the file at `path`, which each of them remembers.
pub fn read(path: &Path) -> Result<Vec<Fault>, FaultError> {
    let name = path.display().to_string();
    let within = |e: String| FaultError(format!("{name}: {e}"));
    let text = std::fs::read_to_string(path).map_err(|e| within(e.to_string()))?;
    let mut faults = parse(&text).map_err(|e| within(e.0))?;
    for fault in &mut faults {
        fault.shaders().map_err(|e| within(e.0))?;
        fault.file = Some(name.clone());
    }
    Ok(faults)
}

fn fault(row: Row) -> Result<Fault, FaultError> {
    let edit = |e: EditRow| Edit { variants: e.variants, find: e.find, replace: e.replace, count: e.count };
    let edits: Vec<Edit> = row.edit.into_iter().map(edit).collect();
    let fault = Fault {
        name: row.name,
        class: row.class,
        about: row.about,
        cases: row.cases,
        kernel: row.kernel,
        reason: row.reason.unwrap_or_else(|| OVER_THE_BOUND.to_owned()),
        place: Place::Shader(edits),
        file: None,
    };
    if fault.name.is_empty() || fault.name.contains(|c: char| c.is_whitespace() || c == '\'') {
        return Err(fault.wrong("a name has no spaces and no quotes"));
    }
    if fault.cases.is_empty() {
        return Err(fault.wrong("names no case that has to see it"));
    }
    Ok(fault)
}

#[cfg(test)]
mod tests {
    use super::parse;

    const GOOD: &str = r#"
        [[fault]]
        name = "add.sub"
        class = "swapped operator"
        cases = ["add/"]
        [[fault.edit]]
        variants = "binary*"
        find = "l + r"
        replace = "l - r"
    "#;

    #[test]
    fn a_file_is_read_and_its_edits_apply() {
        let faults = parse(GOOD).unwrap();
        let texts = faults[0].shaders().unwrap().texts;
        assert_eq!(texts.keys().collect::<Vec<_>>(), ["binary", "binary.sub"]);
        assert!(texts.values().all(|t| !t.contains("return l + r")));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |from: &str, to: &str| {
            parse(&GOOD.replace(from, to)).and_then(|f| f[0].shaders().map(|_| ())).unwrap_err().to_string()
        };
        assert!(wrong("binary*", "binry*").contains("no shader is named 'binry*'"));
        assert!(wrong("l + r", "l ++ r").contains("0 times in 'binary'"));
        assert!(wrong("l - r\"", "x\"\ncount = 2").contains("1 times in 'binary', not 2"));
        assert!(wrong("class", "clas").contains("unknown field `clas`"));
        assert!(wrong("[\"add/\"]", "[]").contains("names no case"));
        assert!(wrong("add.sub", "add sub").contains("no spaces"));
    }
}
