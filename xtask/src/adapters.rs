//! Looks for graphics drivers without asking them: by the files that the Vulkan loader and
//! libglvnd read.
//!
//! The real answer is the list of adapters that wgpu returns, but that needs the workspace built,
//! minutes before a missing package could be named. The files tell the same story: a Vulkan driver
//! is usable when the loader is there and a driver manifest names a library that exists.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run;

/// What was found on this machine.
#[derive(Debug)]
pub(crate) struct Drivers {
    /// Whether the Vulkan loader is installed.
    pub(crate) vulkan_loader: bool,
    /// Manifests of Vulkan drivers whose library exists.
    pub(crate) vulkan: Vec<PathBuf>,
    /// Manifests that were found, but whose library is missing.
    pub(crate) broken: Vec<PathBuf>,
    /// Whether OpenGL ES through EGL can be expected: the loader and a vendor's manifest.
    pub(crate) gl: bool,
}

impl Drivers {
    /// Looks on this machine.
    pub(crate) fn find() -> Drivers {
        let libraries = Libraries::of_this_machine();
        let variables = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let mut vulkan = Vec::new();
        let mut broken = Vec::new();
        for manifest in vulkan_manifests(&variables) {
            if library_exists(&manifest, &libraries) {
                vulkan.push(manifest);
            } else {
                broken.push(manifest);
            }
        }
        let vendors = ["/usr/share/glvnd/egl_vendor.d", "/etc/glvnd/egl_vendor.d"];
        let egl_vendor = variables("__EGL_VENDOR_LIBRARY_FILENAMES").is_some()
            || vendors.iter().any(|dir| !json_files(Path::new(dir)).is_empty());
        Drivers {
            vulkan_loader: libraries.has("libvulkan.so.1"),
            vulkan,
            broken,
            gl: libraries.has("libEGL.so.1") && egl_vendor,
        }
    }

    /// Whether a Vulkan adapter can be expected.
    pub(crate) fn has_vulkan(&self) -> bool {
        self.vulkan_loader && !self.vulkan.is_empty()
    }

    /// What lacks, in words; empty where nothing does.
    pub(crate) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if !self.vulkan_loader {
            missing.push("the Vulkan loader (libvulkan.so.1)".to_owned());
        }
        if self.vulkan.is_empty() {
            let mut text = "a Vulkan driver (a manifest in /usr/share/vulkan/icd.d, \
                            /etc/vulkan/icd.d or VK_DRIVER_FILES)"
                .to_owned();
            for manifest in &self.broken {
                text += &format!("; {} names a library that is missing", manifest.display());
            }
            missing.push(text);
        }
        missing
    }
}

/// The shared libraries that the dynamic linker finds by name alone.
#[derive(Debug, Default)]
struct Libraries {
    names: BTreeSet<String>,
    folders: Vec<PathBuf>,
}

impl Libraries {
    fn of_this_machine() -> Libraries {
        // Outside root's PATH on some distributions.
        let cache = ["ldconfig", "/sbin/ldconfig", "/usr/sbin/ldconfig"]
            .iter()
            .find_map(|program| run::output(Command::new(program).arg("-p")).ok())
            .unwrap_or_default();
        let folders = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        Libraries {
            names: parse_ldconfig(&cache),
            folders: env::split_paths(&folders).filter(|f| !f.as_os_str().is_empty()).collect(),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.names.contains(name) || self.folders.iter().any(|folder| folder.join(name).exists())
    }
}

/// The names in `ldconfig -p`: lines of the form `name (kind) => path`.
fn parse_ldconfig(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| line.contains("=>"))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// The driver manifests that the Vulkan loader would read, by its documented rules:
/// `VK_DRIVER_FILES` (formerly `VK_ICD_FILENAMES`) replaces the search, `VK_ADD_DRIVER_FILES`
/// comes before it, and the search goes through the XDG folders and `/etc`.
fn vulkan_manifests(variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let listed = |value: OsString| -> Vec<PathBuf> {
        let mut manifests = Vec::new();
        for path in env::split_paths(&value) {
            if path.is_dir() {
                manifests.extend(json_files(&path));
            } else if path.is_file() {
                manifests.push(path);
            }
        }
        manifests
    };
    if let Some(value) = variable("VK_DRIVER_FILES").or_else(|| variable("VK_ICD_FILENAMES")) {
        return listed(value);
    }
    let mut manifests = variable("VK_ADD_DRIVER_FILES").map(listed).unwrap_or_default();

    let home = variable("HOME").map(PathBuf::from);
    let mut folders = Vec::new();
    let mut xdg = |own: &str, own_default: &str, shared: &str, shared_default: &str| {
        folders.extend(variable(own).map(PathBuf::from).or_else(|| home.as_ref().map(|home| home.join(own_default))));
        let shared = variable(shared).unwrap_or_else(|| shared_default.into());
        folders.extend(env::split_paths(&shared));
    };
    xdg("XDG_CONFIG_HOME", ".config", "XDG_CONFIG_DIRS", "/etc/xdg");
    xdg("XDG_DATA_HOME", ".local/share", "XDG_DATA_DIRS", "/usr/local/share:/usr/share");
    folders.push("/etc".into());
    for folder in folders {
        manifests.extend(json_files(&folder.join("vulkan/icd.d")));
    }
    manifests
}

fn json_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    files
}

/// Whether the library that a manifest names exists. A bare name is left to the dynamic linker, a
/// relative path starts at the manifest.
fn library_exists(manifest: &Path, libraries: &Libraries) -> bool {
    let library = std::fs::read_to_string(manifest).ok().and_then(|text| {
        let json: serde_json::Value = serde_json::from_str(&text).ok()?;
        Some(json.pointer("/ICD/library_path")?.as_str()?.to_owned())
    });
    match library {
        None => false,
        Some(name) if !name.contains('/') => libraries.has(&name),
        Some(path) => manifest.parent().is_some_and(|folder| folder.join(path).exists()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A folder that is removed at the end of a test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            // A folder left behind in the system's temporary folder harms nothing.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn manifest(library: &str) -> String {
        format!(r#"{{"file_format_version": "1.0.0", "ICD": {{"library_path": "{library}"}}}}"#)
    }

    #[test]
    fn ldconfig_lines() {
        let text = "2 libs found in cache `/etc/ld.so.cache'\n\
                    \tlibvulkan.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libvulkan.so.1\n\
                    \tlibz.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libz.so.1\n";
        let names = parse_ldconfig(text);
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["libvulkan.so.1", "libz.so.1"]);
    }

    #[test]
    fn the_search_follows_the_loader() {
        let folder = Folder::new("search");
        let shared = folder.write("share/vulkan/icd.d/lvp.json", "{}");
        let own = folder.write("home/.local/share/vulkan/icd.d/own.json", "{}");
        let given = folder.write("given.json", "{}");
        folder.write("share/vulkan/icd.d/readme.txt", "");
        let search = |set: &[(&str, &Path)]| {
            vulkan_manifests(&|name| {
                let found = set.iter().find(|(n, _)| *n == name);
                match (found, name) {
                    (Some((_, path)), _) => Some(path.as_os_str().to_owned()),
                    (None, "HOME") => Some(folder.0.join("home").into()),
                    (None, "XDG_DATA_DIRS") => Some(folder.0.join("share").into()),
                    (None, "XDG_CONFIG_DIRS") => Some(folder.0.join("none").into()),
                    _ => None,
                }
            })
        };
        // `/etc/vulkan/icd.d` of the machine that runs the test comes last, whatever it holds.
        let found = search(&[]);
        assert_eq!(found[..2], [own.clone(), shared.clone()]);
        assert_eq!(search(&[("VK_ADD_DRIVER_FILES", &given)])[..2], [given.clone(), own]);
        for variable in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
            assert_eq!(search(&[(variable, given.as_path())]), [given.as_path()]);
            assert!(search(&[(variable, &folder.0.join("absent.json"))]).is_empty());
        }
        let icd_d = folder.0.join("share/vulkan/icd.d");
        assert_eq!(search(&[("VK_DRIVER_FILES", &icd_d)]), [shared]);
    }

    #[test]
    fn a_manifest_counts_only_with_its_library() {
        let folder = Folder::new("library");
        let library = folder.write("lib/libdriver.so", "");
        let libraries = Libraries { names: ["libknown.so".to_owned()].into(), folders: vec![folder.0.join("lib")] };
        let exists = |library: &str| library_exists(&folder.write("icd.d/driver.json", &manifest(library)), &libraries);
        assert!(exists("libknown.so"), "by the linker's cache");
        assert!(exists("libdriver.so"), "by LD_LIBRARY_PATH");
        assert!(exists("../lib/libdriver.so"), "relative to the manifest");
        assert!(exists(library.to_str().unwrap()), "absolute");
        assert!(!exists("libunknown.so"));
        assert!(!exists("./libdriver.so"));
        assert!(!library_exists(&folder.write("icd.d/bad.json", "{"), &libraries));
        assert!(!library_exists(&folder.write("icd.d/other.json", "{}"), &libraries));
    }

    #[test]
    fn what_is_missing_is_named() {
        let none = Drivers { vulkan_loader: false, vulkan: vec![], broken: vec![], gl: true };
        assert!(!none.has_vulkan());
        assert_eq!(none.missing().len(), 2);
        let broken = PathBuf::from("/usr/share/vulkan/icd.d/gone.json");
        let no_library = Drivers { vulkan_loader: true, vulkan: vec![], broken: vec![broken], gl: false };
        assert!(no_library.missing()[0].contains("gone.json"));
        let there = Drivers { vulkan_loader: true, vulkan: vec!["a.json".into()], broken: vec![], gl: false };
        assert!(there.has_vulkan() && there.missing().is_empty());
    }
}
