//! `cargo xtask package`: whether each published crate is complete within its own folder.
//!
//! `cargo package` packs a crate's folder and nothing beside it. A crate that includes a file of
//! its neighbour builds in the workspace and fails at everybody else's. The full check, building
//! each archive, needs the crates it depends on to be published; this one takes a second.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::args::Options;
use crate::{out, run};

/// The registry refuses larger archives. They are compressed, so this is on the safe side.
const MAX_BYTES: u64 = 10 << 20;

pub(crate) fn run(args: &[String]) -> Result<()> {
    Options::parse(args, &[], &[])?;
    let arguments = ["metadata", "--format-version", "1", "--no-deps"];
    let metadata: Value = serde_json::from_str(&run::output(&mut run::cargo(&arguments)?)?)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let mut problems = Vec::new();
    for package in packages.iter().filter(|package| is_published(package)) {
        let name = package["name"].as_str().context("a package without a name")?;
        let manifest = package["manifest_path"].as_str().context("a package without a manifest")?;
        let folder = Path::new(manifest).parent().context("a manifest without a folder")?;
        let listed = run::output(&mut run::cargo(&["package", "--list", "--allow-dirty", "--package", name])?)?;
        let files: BTreeSet<PathBuf> = listed.lines().map(PathBuf::from).collect();
        let mut bytes = 0;
        for file in &files {
            // Cargo writes some of the files itself while packing.
            let Ok(metadata) = fs::metadata(folder.join(file)) else { continue };
            bytes += metadata.len();
            if file.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(folder.join(file))?;
                problems.extend(outside(file, &text, &files).iter().map(|problem| format!("{name}: {problem}")));
            }
        }
        for field in ["description", "license", "repository"] {
            if package[field].as_str().is_none_or(str::is_empty) {
                problems.push(format!("{name}: no {field} in its manifest"));
            }
        }
        if bytes > MAX_BYTES {
            problems.push(format!("{name}: {bytes} bytes; the registry takes {MAX_BYTES}"));
        }
        out::line(format_args!("{name:<20} {:>4} files {bytes:>9} bytes", files.len()))?;
    }
    if !problems.is_empty() {
        bail!("these crates would not build when published:\n  - {}", problems.join("\n  - "));
    }
    Ok(())
}

/// Whether cargo would publish the package: `publish` is null (anywhere) or a list of registries.
fn is_published(package: &Value) -> bool {
    package["publish"].as_array().is_none_or(|registries| !registries.is_empty())
}

/// The files that a source file includes at build time and that the archive lacks.
fn outside(file: &Path, text: &str, files: &BTreeSet<PathBuf>) -> Vec<String> {
    let mut problems = Vec::new();
    for (line, argument) in included(text) {
        // Files that the build script writes are not the archive's.
        if argument.contains("OUT_DIR") {
            continue;
        }
        let from_root = argument.contains("CARGO_MANIFEST_DIR");
        let Some(path) = last_literal(argument) else { continue };
        let path = path.trim_start_matches('/');
        let folder = if from_root { Path::new("") } else { file.parent().unwrap_or(Path::new("")) };
        match normalise(&folder.join(path)) {
            Some(path) if files.contains(&path) => {}
            Some(_) => problems.push(format!("{}:{line} includes '{path}', which is not packed", file.display())),
            None => problems.push(format!("{}:{line} includes '{path}', outside the crate", file.display())),
        }
    }
    problems
}

/// The line and argument of each `include!`, `include_str!` and `include_bytes!`.
fn included(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for name in ["include!(", "include_str!(", "include_bytes!("] {
        for (start, _) in text.match_indices(name) {
            let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
            if text[line_start..start].contains("//") {
                continue;
            }
            let rest = &text[start + name.len()..];
            let mut depth = 1;
            let end = rest.find(|c| {
                depth += match c {
                    '(' => 1,
                    ')' => -1,
                    _ => 0,
                };
                depth == 0
            });
            let line = text[..start].matches('\n').count() + 1;
            found.extend(end.map(|end| (line, &rest[..end])));
        }
    }
    found
}

/// The last string literal of a macro's argument: of `concat!(env!("A"), "/b")` it is `/b`.
fn last_literal(argument: &str) -> Option<&str> {
    let (before, _) = argument.rsplit_once('"')?;
    Some(before.rsplit_once('"')?.1)
}

/// Resolves `.` and `..`; `None` where the path leaves the folder it starts in.
fn normalise(path: &Path) -> Option<PathBuf> {
    let mut parts = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            Component::ParentDir => {
                if !parts.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> BTreeSet<PathBuf> {
        ["src/lib.rs", "src/report/mod.rs", "src/report/page.html", "assets/model.bin"].map(PathBuf::from).into()
    }

    #[test]
    fn files_within_the_crate_pass() {
        let text = r#"
            const PAGE: &str = include_str!("page.html");
            const MODEL: &[u8] = include_bytes!("../../assets/model.bin");
            const SAME: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/model.bin"));
            include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
            // include_str!("../../../README.md")
        "#;
        assert_eq!(outside(Path::new("src/report/mod.rs"), text, &files()), Vec::<String>::new());
    }

    #[test]
    fn files_beside_the_crate_fail() {
        let text = "const A: &str = include_str!(\"../../README.md\");\n\
                    const B: &str = include_str!(\n    \"gone.txt\"\n);\n\
                    const C: &str = include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/../x\"));\n";
        let problems = outside(Path::new("src/lib.rs"), text, &files());
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].contains("src/lib.rs:1") && problems[0].contains("outside"));
        assert!(problems[1].contains("src/lib.rs:2") && problems[1].contains("not packed"));
        assert!(problems[2].contains("src/lib.rs:5") && problems[2].contains("outside"));
    }

    #[test]
    fn unpublished_packages_are_known() {
        assert!(is_published(&serde_json::json!({ "publish": null })));
        assert!(is_published(&serde_json::json!({ "publish": ["crates-io"] })));
        assert!(!is_published(&serde_json::json!({ "publish": [] })));
    }
}
