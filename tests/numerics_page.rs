//! `docs/numerics.md` has a bound and a derivation for each family of the suite.

use std::collections::{HashMap, HashSet};

use unisono_conformance::families;

const PAGE: &str = include_str!("../docs/numerics.md");

/// The words of a table's first column, each with its line.
fn named() -> HashMap<&'static str, &'static str> {
    let rows = PAGE.lines().skip_while(|l| !l.starts_with("| operation | bound")).skip(2);
    let mut names = HashMap::new();
    for row in rows.take_while(|l| l.starts_with('|')) {
        let first = row.split('|').nth(1).unwrap_or_default();
        for word in first.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            names.entry(word).or_insert(row);
        }
    }
    names
}

#[test]
fn every_family_has_a_bound_and_a_derivation() {
    let (names, families) = (named(), families());
    let missing: Vec<_> = families.iter().filter(|f| !names.contains_key(**f)).collect();
    assert!(missing.is_empty(), "docs/numerics.md has no bound of {missing:?}");
    assert!(families.len() >= 76);
    let anchor = |title: &str| title.to_lowercase().replace(',', "").replace(' ', "-");
    let headings: HashSet<String> = PAGE.lines().filter_map(|l| l.strip_prefix("### ")).map(anchor).collect();
    for family in families {
        let row = names[family];
        let derivation = row.trim_end_matches('|').rsplit(" | ").next().unwrap_or_default();
        let link = derivation.split(['#', ')']).nth(1).unwrap_or_default();
        assert!(headings.contains(link), "{family} is derived in '{link}', which is no section");
        assert!(derivation.rsplit(';').next().is_some_and(|reference| reference.trim().len() > 3), "{family}: {row}");
    }
}
