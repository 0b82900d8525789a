//! Which cases share a worker.
//!
//! A group costs the start of a process, the opening of the device and the pipelines that the
//! group before had built already, so families are merged until there are about a dozen groups.
//! Neighbours in the suite are merged, because they stand next to each other for what they have in
//! common: kernels, above all.

/// Groups that a run of the whole suite is split into, about.
const GROUPS: usize = 14;
/// Fewer cases than this are not worth a worker of their own.
const LEAST: usize = 40;

/// Cases that one worker runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its family, or its first and last family as `neg..sqrt`.
    pub name: String,
    /// Ids, in the order of the suite.
    pub cases: Vec<String>,
}

/// Splits cases, given as id and family in the order of the suite, into groups.
pub fn groups<'a>(cases: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Group> {
    let mut families: Vec<(&str, Vec<String>)> = Vec::new();
    let mut total = 0;
    for (id, family) in cases {
        total += 1;
        match families.iter_mut().find(|(name, _)| *name == family) {
            Some((_, ids)) => ids.push(id.to_string()),
            None => families.push((family, vec![id.to_string()])),
        }
    }
    let enough = (total / GROUPS).max(LEAST);
    let mut groups: Vec<Group> = Vec::new();
    let mut open: Option<(&str, &str, Vec<String>)> = None;
    let mut close = |open: &mut Option<(&str, &str, Vec<String>)>| {
        if let Some((first, last, cases)) = open.take() {
            let name = if first == last { first.to_string() } else { format!("{first}..{last}") };
            groups.push(Group { name, cases });
        }
    };
    for (family, ids) in families {
        // A family that fills a group has it to itself.
        if ids.len() >= enough {
            close(&mut open);
        }
        let first = open.as_ref().map_or(family, |(first, ..)| first);
        let mut cases = open.take().map(|(.., cases)| cases).unwrap_or_default();
        cases.extend(ids);
        let full = cases.len() >= enough;
        open = Some((first, family, cases));
        if full {
            close(&mut open);
        }
    }
    close(&mut open);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Level;
    use crate::runner::{Options, select};

    fn of_level(options: &Options) -> (Vec<(String, String)>, Vec<Group>) {
        let item = |i: &crate::runner::Item| (i.id().to_string(), i.family().to_string());
        let cases: Vec<(String, String)> = select(options).iter().map(item).collect();
        let groups = groups(cases.iter().map(|(id, family)| (id.as_str(), family.as_str())));
        (cases, groups)
    }

    #[test]
    fn every_case_is_in_one_group_and_no_family_is_split() {
        for level in [Level::Quick, Level::Full] {
            let (cases, groups) = of_level(&Options::new(level));
            assert!((8..=20).contains(&groups.len()), "{level:?}: {:?}", groups.iter().map(|g| &g.name));
            let mut grouped: Vec<&String> = groups.iter().flat_map(|g| &g.cases).collect();
            let mut all: Vec<&String> = cases.iter().map(|(id, _)| id).collect();
            grouped.sort_unstable();
            all.sort_unstable();
            assert_eq!(grouped, all);
            for (id, family) in &cases {
                let same = cases.iter().filter(|(_, f)| f == family).map(|(id, _)| id);
                let group = groups.iter().find(|g| g.cases.contains(id)).unwrap();
                assert!(same.clone().all(|id| group.cases.contains(id)), "{family} is in two groups");
            }
            let largest = groups.iter().map(|g| g.cases.len()).max().unwrap();
            assert!(largest * 3 < cases.len(), "{largest} of {} cases in one group", cases.len());
        }
    }

    #[test]
    fn few_cases_share_one_worker() {
        let groups = groups([("add/a", "add"), ("add/b", "add"), ("mul/a", "mul"), ("neg/a", "neg")]);
        let names: Vec<(&str, usize)> = groups.iter().map(|g| (g.name.as_str(), g.cases.len())).collect();
        assert_eq!(names, [("add..neg", 4)]);
    }

    #[test]
    fn a_large_family_has_a_group_to_itself() {
        let id = |family: &str, i: usize| (format!("{family}/{i}"), family.to_string());
        let cases: Vec<(String, String)> = [("a", 10), ("b", 50), ("c", 10), ("d", 35), ("e", 1)]
            .into_iter()
            .flat_map(|(family, n)| (0..n).map(move |i| id(family, i)))
            .collect();
        let groups = groups(cases.iter().map(|(id, family)| (id.as_str(), family.as_str())));
        let names: Vec<(&str, usize)> = groups.iter().map(|g| (g.name.as_str(), g.cases.len())).collect();
        assert_eq!(names, [("a", 10), ("b", 50), ("c..d", 45), ("e", 1)]);
    }
}
