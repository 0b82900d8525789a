//! Assembles every row of the variant table into plain WGSL.
//!
//! The table is data and the sources are WESL; this is where they meet, once, at build time. Users
//! of the crate get finished text: no shader compiler runs in their process. Bindings and
//! pipeline-overridable constants are read off the assembled text, so that the description of a
//! variant cannot disagree with its source.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use wesl::{CompileOptions, ManglerKind, ModulePath, Wesl};

#[path = "src/table.rs"]
mod table;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Built-in values that wesl does not know yet; sources write them as attributes of their own.
const NEWER_BUILTINS: [&str; 2] = ["subgroup_id", "num_subgroups"];

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=wesl");
    println!("cargo::rerun-if-changed=src/table.rs");
    let out_dir = env::var("OUT_DIR")?;
    let mut code =
        String::from("/// Every variant, in the order of the table.\npub static VARIANTS: &[Variant] = &[\n");
    for row in table::ROWS {
        let wgsl = assemble(row).map_err(|e| format!("{} ({}): {e}", row.name, row.file))?;
        let bindings = bindings(&wgsl).map_err(|e| format!("{}: {e}", row.name))?;
        let constants = constants(&wgsl);
        let path = Path::new(&out_dir).join(format!("{}.wgsl", row.name));
        fs::write(&path, &wgsl)?;
        writeln!(
            code,
            "Variant {{ name: {:?}, wgsl: include_str!({path:?}), requires: Requires {{ f16: {}, subgroups: {}, matrix_units: {} }}, \
             bindings: &[{}], constants: &{constants:?}, workgroup_size: {:?}, workgroup_bytes: {} }},",
            row.name,
            row.f16,
            row.subgroups,
            row.matrix_units,
            bindings.join(", "),
            row.workgroup_size,
            row.workgroup_bytes,
        )?;
    }
    code.push_str("];\n");
    fs::write(Path::new(&out_dir).join("variants.rs"), code)?;
    Ok(())
}

fn assemble(row: &table::Row) -> Result<String> {
    let mut wesl = Wesl::new("wesl");
    wesl.set_options(CompileOptions { validate: false, ..CompileOptions::default() });
    // Names are unique across the sources; pipeline constants must keep theirs.
    wesl.set_mangler(ManglerKind::None);
    wesl.set_features(row.features.iter().map(|&f| (f, true)));
    let path: ModulePath = format!("package::{}", row.file.replace('/', "::")).parse()?;
    let text = wesl.compile(&path).map_err(|e| e.to_string())?.to_string();
    Ok(NEWER_BUILTINS.iter().fold(text, |text, name| text.replace(&format!("@{name} "), &format!("@builtin({name}) "))))
}

/// The access of each storage binding, in order; an error unless they are numbered from 0 without
/// gaps and the uniform parameters follow.
fn bindings(wgsl: &str) -> Result<Vec<&'static str>> {
    let mut found: Vec<(usize, &'static str)> = Vec::new();
    for rest in wgsl.split("@binding(").skip(1) {
        let number = rest.split(')').next().unwrap_or_default().trim().parse()?;
        let declaration = rest.split(';').next().unwrap_or_default().replace(' ', "");
        let access = if declaration.contains("var<uniform>") {
            "uniform"
        } else if declaration.contains("read_write") {
            "Access::ReadWrite"
        } else {
            "Access::Read"
        };
        found.push((number, access));
    }
    found.sort_unstable();
    let last = found.len() - 1;
    for (i, (number, access)) in found.iter().enumerate() {
        if *number != i || (*access == "uniform") != (i == last) {
            return Err(format!("bindings are not numbered in order with the parameters last: {found:?}").into());
        }
    }
    found.pop();
    Ok(found.into_iter().map(|(_, access)| access).collect())
}

fn constants(wgsl: &str) -> Vec<String> {
    let words = wgsl.split("override ").skip(1);
    words.map(|w| w.split([':', ' ', '=', ';']).next().unwrap_or_default().to_string()).collect()
}
