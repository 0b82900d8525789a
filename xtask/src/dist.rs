//! `cargo xtask dist`: the binary as somebody without Rust gets it.
//!
//! The binary holds its model, shaders and report page, so the archive is one program, its licences
//! and the script of a device round. What it needs of the system is printed: a tester's machine may
//! be older than the one that built it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result};

use crate::args::Options;
use crate::out;
use crate::run::{self, heading};

const EXTRAS: [&str; 4] = ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "scripts/device-round.sh"];

pub(crate) fn run(args: &[String]) -> Result<()> {
    let options = Options::parse(args, &[], &["--target"])?;
    let host = host_triple()?;
    let target = options.all("--target").last();
    let triple = target.unwrap_or(&host);
    let binary_name = if triple.contains("windows") { "unisono.exe" } else { "unisono" };

    heading(&format!("Release build for {triple}"));
    let mut build = run::cargo(&["build", "--release", "--package", "unisono-cli"])?;
    let mut built = run::target_dir()?;
    if let Some(target) = target {
        build.args(["--target", target]);
        built.push(target);
    }
    run::run(&mut build)?;
    built.extend(["release", binary_name]);

    heading("Archive");
    let name = format!("unisono-{}-{triple}", env!("CARGO_PKG_VERSION"));
    let dist = run::target_dir()?.join("dist");
    let folder = dist.join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    let binary = folder.join(binary_name);
    copy(&built, &binary)?;
    strip(&binary, triple);
    for extra in EXTRAS {
        let source = run::root()?.join(extra);
        let file = source.file_name().context("an extra without a name")?;
        copy(&source, &folder.join(file))?;
    }

    if target.is_none_or(|target| target == host) {
        // From a folder that holds nothing of the project.
        run::run(Command::new(&binary).arg("--version").current_dir(env::temp_dir()))?;
    }
    let archive = dist.join(format!("{name}.tar.gz"));
    run::run(Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(&dist).arg(&name))?;

    for path in listing(&folder)?.iter().chain([&archive]) {
        let size = fs::metadata(path)?.len();
        out::line(format_args!("{:>10}  {}", mebibytes(size), path.display()))?;
    }
    if let Some(version) = required_glibc(&binary) {
        out::line(format_args!("needs glibc {}.{} or later", version.0, version.1))?;
    }
    Ok(())
}

fn host_triple() -> Result<String> {
    let text = run::output(Command::new("rustc").arg("-vV"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("`rustc -vV` names no host")?.to_owned())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// Removes symbols. Done on the copy: as a setting of the profile it would rebuild everything for
/// those who want symbols in their release builds.
fn strip(binary: &Path, triple: &str) {
    if triple.contains("windows") {
        return;
    }
    let stripped = Command::new("strip").arg(binary).status().is_ok_and(|s| s.success());
    if !stripped {
        out::note(format_args!("no usable `strip` for {triple}: the binary keeps its symbols"));
    }
}

fn listing(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.2} MiB", bytes as f64 / f64::from(1 << 20))
}

/// The newest glibc whose symbols the binary asks for, where `objdump` can tell.
fn required_glibc(binary: &Path) -> Option<(u32, u32)> {
    let output = Command::new("objdump").arg("-T").arg(binary).output().ok()?;
    newest_glibc(&String::from_utf8_lossy(&output.stdout))
}

fn newest_glibc(symbols: &str) -> Option<(u32, u32)> {
    symbols
        .split("GLIBC_")
        .skip(1)
        .filter_map(|rest| {
            let version: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            let mut parts = version.split('.').map(|part| part.parse().ok());
            Some((parts.next()??, parts.next().flatten().unwrap_or(0)))
        })
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        let symbols = "0000 DF *UND* 0000 (GLIBC_2.9)   pipe2\n\
                       0000 DF *UND* 0000 (GLIBC_2.34)  pthread_create\n\
                       0000 DF *UND* 0000 (GLIBC_2.2.5) malloc\n\
                       0000 DF *UND* 0000 (GLIBC_PRIVATE) x\n";
        assert_eq!(newest_glibc(symbols), Some((2, 34)));
        assert_eq!(newest_glibc("(GCC_3.0) _Unwind_Resume"), None);
    }

    #[test]
    fn sizes() {
        assert_eq!(mebibytes(3 << 19), "1.50 MiB");
        assert_eq!(mebibytes(0), "0.00 MiB");
    }
}
