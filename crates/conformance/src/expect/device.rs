//! Which devices an entry is about: terms that must all hold.

use std::cmp::Ordering;

use crate::glob::glob_matches;
use crate::report::DeviceFacts;

/// Terms between spaces; `*` alone stands for every device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selector(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    /// An id, a vendor or an API, as after `--device`.
    Word(String),
    /// A fact that a pattern matches, upper and lower case alike.
    Fact(Fact, String),
    /// The driver's version, compared number by number.
    Version(Comparison, Vec<u64>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fact {
    Id,
    Name,
    Kind,
    Vendor,
    Api,
    Driver,
    Profile,
}

const FACTS: [(&str, Fact); 7] = [
    ("id", Fact::Id),
    ("name", Fact::Name),
    ("kind", Fact::Kind),
    ("vendor", Fact::Vendor),
    ("api", Fact::Api),
    ("driver", Fact::Driver),
    ("profile", Fact::Profile),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    Equal,
    AtLeast,
    Greater,
}

/// Two characters first, so that `<=` is not read as `<`.
const COMPARISONS: [(&str, Comparison); 5] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
    ("=", Comparison::Equal),
];

impl Selector {
    /// Reads `vendor=amd api=vulkan version<23.1`.
    pub(super) fn parse(text: &str) -> Result<Selector, String> {
        if text.is_empty() {
            return Err("the device is empty: write * for every device".to_string());
        }
        text.split_whitespace().filter(|word| *word != "*").map(term).collect::<Result<_, _>>().map(Selector)
    }

    /// Whether the entry is about this device.
    pub(super) fn matches(&self, device: &DeviceFacts) -> bool {
        self.0.iter().all(|term| term.matches(device))
    }
}

fn term(word: &str) -> Result<Term, String> {
    if let Some(rest) = word.strip_prefix("version") {
        for (sign, comparison) in COMPARISONS {
            if let Some(number) = rest.strip_prefix(sign) {
                let version = whole_version(number)
                    .ok_or_else(|| format!("'{number}' is no version: write numbers and dots, as in version<23.1"))?;
                return Ok(Term::Version(comparison, version));
            }
        }
    }
    match word.split_once('=') {
        None if word.contains(['<', '>']) => {
            Err(format!("'{word}': only the version can be compared, as version<23.1"))
        }
        None => Ok(Term::Word(word.to_lowercase())),
        Some((name, pattern)) => {
            let known = FACTS.iter().find(|(fact, _)| *fact == name).map(|(_, fact)| *fact);
            let known = known.ok_or_else(|| {
                let names = FACTS.map(|(name, _)| name).join(", ");
                format!("a device has no '{name}'; there are: {names}, version")
            })?;
            if pattern.is_empty() {
                return Err(format!("there is nothing after '{name}='"));
            }
            Ok(Term::Fact(known, pattern.to_lowercase()))
        }
    }
}

impl Term {
    fn matches(&self, device: &DeviceFacts) -> bool {
        match self {
            Term::Word(word) => {
                [&device.id, &device.vendor, &device.api].into_iter().any(|fact| fact.to_lowercase() == *word)
            }
            Term::Fact(fact, pattern) => {
                let text = match fact {
                    Fact::Id => &device.id,
                    Fact::Name => &device.name,
                    Fact::Kind => &device.kind,
                    Fact::Vendor => &device.vendor,
                    Fact::Api => &device.api,
                    Fact::Driver => &device.driver,
                    Fact::Profile => &device.profile,
                };
                glob_matches(pattern, &text.to_lowercase())
            }
            Term::Version(comparison, version) => first_version(&device.driver_version).is_some_and(|actual| {
                let order = compare(&actual, version);
                match comparison {
                    Comparison::Less => order == Ordering::Less,
                    Comparison::AtMost => order != Ordering::Greater,
                    Comparison::Equal => order == Ordering::Equal,
                    Comparison::AtLeast => order != Ordering::Less,
                    Comparison::Greater => order == Ordering::Greater,
                }
            }),
        }
    }
}

/// `23.1.4` as numbers, if it is nothing else.
fn whole_version(text: &str) -> Option<Vec<u64>> {
    text.split('.').map(|part| part.parse().ok().filter(|_| part.bytes().all(|b| b.is_ascii_digit()))).collect()
}

/// The first numbers with dots between them: drivers say `Mesa 22.3.6 (LLVM 15.0.6)`.
fn first_version(text: &str) -> Option<Vec<u64>> {
    let words = text.split(|c: char| !c.is_ascii_digit() && c != '.').map(|word| word.trim_matches('.'));
    let versions: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let dotted = versions.iter().find(|word| word.contains('.')).or(versions.first());
    dotted.and_then(|word| whole_version(word))
}

/// Number by number; what one of them lacks counts as zero.
fn compare(a: &[u64], b: &[u64]) -> Ordering {
    let part = |version: &[u64], i: usize| version.get(i).copied().unwrap_or(0);
    (0..a.len().max(b.len())).map(|i| part(a, i).cmp(&part(b, i))).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use unisono_core::{DeviceInfo, DeviceKind};

    use super::*;

    fn device() -> DeviceFacts {
        let mut facts =
            DeviceFacts::of(&DeviceInfo::new("wgpu:0", "llvmpipe (LLVM 15.0.6, 256 bits)", DeviceKind::Software));
        let text = |text: &str| text.to_string();
        (facts.vendor, facts.api) = (text("software"), text("vulkan"));
        (facts.driver, facts.driver_version) = (text("llvmpipe"), text("Mesa 22.3.6 (LLVM 15.0.6)"));
        facts
    }

    #[test]
    fn every_term_must_hold() {
        for (text, expected) in [
            ("*", true),
            ("wgpu:0", true),
            ("Vulkan", true),
            ("gl", false),
            ("software vulkan", true),
            ("software gl", false),
            ("vendor=software api=vulkan driver=llvmpipe", true),
            ("name=LLVMpipe*", true),
            ("name=llvmpipe", false),
            ("kind=software", true),
            ("version<22.3.7", true),
            ("version<22.3.6", false),
            ("version<=22.3.6", true),
            ("version=22.3.6.0", true),
            ("version=22.3", false),
            ("version>=22 version<23", true),
            ("version>22.3.5", true),
            ("version>22.10", false),
            ("version>9", true),
        ] {
            assert_eq!(Selector::parse(text).unwrap().matches(&device()), expected, "{text}");
        }
        let unknown = DeviceFacts { driver_version: String::new(), ..device() };
        assert!(!Selector::parse("version<99").unwrap().matches(&unknown), "an unknown version is in no range");
    }

    #[test]
    fn what_is_no_term_is_named() {
        for (text, part) in [
            ("maker=amd", "'maker'; there are: id, name"),
            ("vendor=", "nothing after 'vendor='"),
            ("version<new", "'new' is no version"),
            ("version<1..2", "is no version"),
            ("api<2", "only the version"),
            ("version", ""),
        ] {
            match Selector::parse(text) {
                Err(e) => assert!(!part.is_empty() && e.contains(part), "{text}: {e}"),
                Ok(_) => assert!(part.is_empty(), "{text}"),
            }
        }
    }

    #[test]
    fn versions_are_found_where_drivers_write_them() {
        for (text, expected) in [
            ("535.104.05", Some(vec![535, 104, 5])),
            ("Mesa 22.3.6 (LLVM 15.0.6)", Some(vec![22, 3, 6])),
            ("4.5 (Core Profile) Mesa 22.3.6", Some(vec![4, 5])),
            ("v12", Some(vec![12])),
            ("none", None),
        ] {
            assert_eq!(first_version(text), expected, "{text}");
        }
    }
}
