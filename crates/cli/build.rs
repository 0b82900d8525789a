//! Notes the commit that the binary is built from, when it was made, and whether files differ from
//! it, so that a report can say so. Outside a git checkout the variables are empty.

use std::path::Path;
use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).env("TZ", "UTC").output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn main() {
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_default();
    let date = git(&["show", "--no-patch", "--format=%cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "HEAD"]);
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).map(|files| (!files.is_empty()).to_string());
    println!("cargo:rustc-env=UNISONO_COMMIT={commit}");
    println!("cargo:rustc-env=UNISONO_COMMIT_DATE={}", date.unwrap_or_default());
    println!("cargo:rustc-env=UNISONO_DIRTY={}", changed.unwrap_or_default());
    for file in ["HEAD", "index", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    // A file that changes without a command of git: everything that the program is built from.
    println!("cargo:rerun-if-changed=build.rs");
    for source in ["..", "../../shaders", "../../Cargo.toml", "../../Cargo.lock"] {
        if !commit.is_empty() && Path::new(source).exists() {
            println!("cargo:rerun-if-changed={source}");
        }
    }
}
