//! The fastest clock and the last-level caches of the processor, as Linux states them under
//! `/sys/devices/system/cpu`. Elsewhere, and where a virtual machine hides them, they are unknown:
//! `/proc/cpuinfo` says how fast the clock is now, which is no bound.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/devices/system/cpu";

/// The fastest clock of any core, in Hz.
pub(crate) fn clock_hz() -> Option<u64> {
    clock_of(Path::new(ROOT))
}

/// Bytes of all caches of the last level together.
pub(crate) fn last_level_cache_bytes() -> Option<u64> {
    caches_of(Path::new(ROOT))
}

fn text(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// The folders `cpu0`, `cpu1`, … of the cores.
fn cores(root: &Path) -> Vec<PathBuf> {
    let numbered = |path: &PathBuf| {
        let name = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_prefix("cpu"));
        name.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(numbered).collect()
}

fn clock_of(root: &Path) -> Option<u64> {
    let fastest = |core: &PathBuf| {
        let folder = core.join("cpufreq");
        // This driver states the clock without what its boost adds.
        let boosts = text(&folder.join("scaling_driver")).is_some_and(|d| d == "acpi-cpufreq")
            && text(&root.join("cpufreq/boost")).is_some_and(|b| b == "1");
        let khz: u64 = text(&folder.join("cpuinfo_max_freq"))?.parse().ok()?;
        (!boosts).then_some(khz * 1000)
    };
    // One core that does not say could be faster than those that do.
    let all: Option<Vec<u64>> = cores(root).iter().map(fastest).collect();
    all?.into_iter().max()
}

fn caches_of(root: &Path) -> Option<u64> {
    // Cores that share a cache have the same list in it.
    let mut caches: BTreeMap<(u32, String), u64> = BTreeMap::new();
    for core in cores(root) {
        for entry in fs::read_dir(core.join("cache")).into_iter().flatten().flatten() {
            let read = |name: &str| text(&entry.path().join(name));
            let (Some(level), Some(size)) = (read("level"), read("size").as_deref().and_then(bytes)) else { continue };
            let Ok(level) = level.parse() else { continue };
            if read("type").is_some_and(|kind| kind != "Instruction") {
                caches.insert((level, read("shared_cpu_list").unwrap_or_default()), size);
            }
        }
    }
    let last = caches.keys().map(|(level, _)| *level).max()?;
    Some(caches.iter().filter(|((level, _), _)| *level == last).map(|(_, size)| size).sum())
}

/// `512K` or `8M` as bytes.
fn bytes(size: &str) -> Option<u64> {
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &size[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files with their texts in a folder of their own, which goes when the test ends.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str, files: &[(&str, &str)]) -> Tree {
            let root = std::env::temp_dir().join(format!("unisono-cpu-{name}-{}", std::process::id()));
            for (path, text) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, format!("{text}\n")).unwrap();
            }
            Tree(root)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_last_level_is_counted_once_for_each_group_of_cores() {
        let mut files = Vec::new();
        let cores = ["cpu0", "cpu1", "cpu2"];
        let lists = ["0-1", "0-1", "2"];
        for (core, list) in cores.iter().zip(lists) {
            for (index, level, kind, size, shared) in
                [(0, "1", "Data", "32K", *core), (1, "4", "Instruction", "64K", core), (2, "3", "Unified", "8M", list)]
            {
                let folder = format!("{core}/cache/index{index}");
                let values = [("level", level), ("type", kind), ("size", size), ("shared_cpu_list", shared)];
                files.extend(values.map(|(name, value)| (format!("{folder}/{name}"), value.to_owned())));
            }
        }
        files.push(("cpufreq/boost".into(), "1".into()));
        let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let tree = Tree::new("caches", &files);
        assert_eq!(caches_of(&tree.0), Some(16 << 20));
        assert_eq!((clock_of(&tree.0), caches_of(Path::new("no/such/folder"))), (None, None));
    }

    #[test]
    fn the_clock_is_that_of_the_fastest_core_unless_a_boost_hides_it() {
        let little = ("cpu0/cpufreq/cpuinfo_max_freq", "1800000");
        let big = ("cpu1/cpufreq/cpuinfo_max_freq", "3000000");
        assert_eq!(clock_of(&Tree::new("clock", &[little, big]).0), Some(3_000_000_000));
        let driver = ("cpu1/cpufreq/scaling_driver", "acpi-cpufreq");
        assert_eq!(clock_of(&Tree::new("driver", &[little, big, driver]).0), Some(3_000_000_000));
        let boost = ("cpufreq/boost", "1");
        assert_eq!(clock_of(&Tree::new("boost", &[little, big, driver, boost]).0), None);
        assert_eq!(clock_of(&Tree::new("silent", &[little, ("cpu1/online", "1")]).0), None);
    }

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!(
            [bytes("512K"), bytes("32M"), bytes("64"), bytes("1Q"), bytes("K")],
            [Some(512 << 10), Some(32 << 20), Some(64), None, None]
        );
    }
}
