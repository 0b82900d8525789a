//! `cargo xtask swiftshader`: a second Vulkan implementation for machines without a GPU.
//!
//! Two drivers that share no code see more than one: SwiftShader has subgroups of 4 where lavapipe
//! has 8, and no 16-bit arithmetic. Debian ships it inside Chromium's package, which is unpacked
//! here instead of installed, because installing it would bring more than a hundred others along.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::args::Options;
use crate::test::apt_get;
use crate::{out, run};

const LIBRARY: &str = "libvk_swiftshader.so";
const PACKAGE: &str = "chromium-common";

pub(crate) fn run(args: &[String]) -> Result<()> {
    Options::parse(args, &[], &[])?;
    if !cfg!(target_os = "linux") {
        bail!("SwiftShader is looked for on Linux only");
    }
    let folder = run::target_dir()?.join("swiftshader");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let library = match find(&folder) {
        Some(library) => library,
        None => fetch(&folder)?,
    };
    out::note(format_args!("SwiftShader: {}", library.display()));
    let manifest = folder.join("vk_swiftshader_icd.json");
    fs::write(&manifest, manifest_text(&library)).with_context(|| format!("cannot write {}", manifest.display()))?;
    out::line(format_args!("{}", manifest.display()))?;
    Ok(())
}

/// The library of an installed browser, or the one that an earlier run has unpacked.
fn find(folder: &Path) -> Option<PathBuf> {
    let folders = [
        folder.to_owned(),
        "/usr/lib/chromium".into(),
        "/usr/lib/chromium-browser".into(),
        "/opt/google/chrome".into(),
    ];
    folders.iter().map(|folder| folder.join(LIBRARY)).find(|library| library.is_file())
}

/// Downloads and unpacks Debian's package under `folder`.
fn fetch(folder: &Path) -> Result<PathBuf> {
    if !run::answers("apt-get", &["--version"]) || !run::answers("dpkg", &["--version"]) {
        bail!(
            "{LIBRARY} is not installed, and only Debian's package {PACKAGE} can be fetched; \
             with a browser built on Chromium installed, it is found"
        );
    }
    out::note(format_args!("fetching Debian's {PACKAGE}, which holds {LIBRARY}; it is unpacked, not installed"));
    let download = || {
        let mut command = Command::new("apt-get");
        command.args(["download", PACKAGE]).current_dir(folder).stdout(std::io::stderr());
        run::run(&mut command)
    };
    if download().is_err() {
        // A fresh image has no package lists.
        apt_get(&["update"])?;
        download()?;
    }
    let package = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| is_package(path))
        .with_context(|| format!("apt-get left no {PACKAGE}_*.deb in {}", folder.display()))?;
    let unpacked = folder.join("package");
    run::run(Command::new("dpkg").arg("-x").args([&package, &unpacked]))?;
    fs::remove_file(&package)?;
    // A few of the package's hundred megabytes are worth keeping.
    let library = folder.join(LIBRARY);
    fs::rename(unpacked.join("usr/lib/chromium").join(LIBRARY), &library)
        .with_context(|| format!("{PACKAGE} no longer holds {LIBRARY}"))?;
    fs::remove_dir_all(&unpacked)?;
    Ok(library)
}

fn is_package(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_suffix(".deb").is_some_and(|stem| stem.starts_with(&format!("{PACKAGE}_")))
}

/// The manifest by which the Vulkan loader finds the library, wherever the manifest stands.
fn manifest_text(library: &Path) -> String {
    let library = env::current_dir().map_or_else(|_| library.into(), |here| here.join(library));
    let manifest = serde_json::json!({
        "file_format_version": "1.0.0",
        "ICD": { "library_path": library.to_string_lossy(), "api_version": "1.1.0" },
    });
    format!("{manifest:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_names_the_library_absolutely() {
        let text = manifest_text(Path::new("/usr/lib/chromium/libvk_swiftshader.so"));
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let path = json.pointer("/ICD/library_path").unwrap();
        assert_eq!(path, "/usr/lib/chromium/libvk_swiftshader.so");
        let relative = manifest_text(Path::new("a/libvk_swiftshader.so"));
        let json: serde_json::Value = serde_json::from_str(&relative).unwrap();
        let path = json.pointer("/ICD/library_path").unwrap().as_str().unwrap();
        assert!(Path::new(path).is_absolute() && path.ends_with("a/libvk_swiftshader.so"));
    }

    #[test]
    fn only_the_package_is_unpacked() {
        assert!(is_package(Path::new("x/chromium-common_156.0-1_amd64.deb")));
        assert!(!is_package(Path::new("x/chromium_156.0-1_amd64.deb")));
        assert!(!is_package(Path::new("x/chromium-common_156.0-1_amd64.deb.part")));
    }
}
