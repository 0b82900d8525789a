//! Profiles: named lists of the cases that a kind of model needs, so that a report can say what a
//! device is able to run and not only how many cases it passed.
//!
//! A profile is a list of [rules](rule::Rule) over the suite. The ids that they select at a level are
//! its mandatory list; the list is hashed, so that two reports that name a profile can be compared,
//! and a case that goes missing shows. A profile passes only when every case of its list passes, on
//! the selected kernel and on every other candidate that ran. A case that the device declines counts
//! against it, as does a failure that was expected.
//!
//! Informative cases are in no profile. `docs/profiles.md` describes each list.

mod list;
mod rule;

use std::collections::HashMap;

use crate::case::Level;
use crate::hash::Fnv;
use crate::report::{CaseResult, ProfileResult, ProfileVerdict, Status};
use crate::runner::{Item, Options, select};
use rule::Rule;

/// A kind of model, and what it needs.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// The name on the command line and in reports.
    pub name: &'static str,
    /// The models that it stands for, in a sentence.
    pub about: &'static str,
    rules: &'static [Rule],
}

/// Every profile.
pub fn profiles() -> &'static [Profile] {
    list::PROFILES
}

/// The profile of this name.
pub fn profile(name: &str) -> Option<&'static Profile> {
    profiles().iter().find(|p| p.name == name)
}

impl Profile {
    /// The ids of the cases that it requires at `level`, sorted.
    pub fn ids(&self, level: Level) -> Vec<String> {
        self.ids_among(&select(&Options::new(level)))
    }

    /// Whether the case is in its list.
    pub(crate) fn requires(&self, item: &Item) -> bool {
        self.rules.iter().any(|rule| rule.selects(item))
    }

    fn ids_among(&self, items: &[Item]) -> Vec<String> {
        let mut ids: Vec<String> =
            items.iter().filter(|item| self.requires(item)).map(|item| item.id().to_string()).collect();
        ids.sort_unstable();
        ids
    }
}

/// The hash of a list of sorted ids, as [`ProfileResult::list_hash`].
pub fn list_hash(ids: &[String]) -> String {
    let mut hash = Fnv::new();
    for id in ids {
        hash.update(id.as_bytes());
        hash.update(b"\n");
    }
    hash.hex()
}

/// What a run says about the profiles: about all of them where it ran a whole level with the data of
/// the suite, about one where it ran that one, else about none.
pub(crate) fn of_run(options: &Options, items: &[Item], results: &[CaseResult]) -> Vec<ProfileResult> {
    let other = options.seed.is_some() || options.kernel.is_some() || options.only.is_some();
    if !options.patterns.is_empty() || other {
        return Vec::new();
    }
    let asked = |p: &&Profile| options.profile.as_ref().is_none_or(|name| name == p.name);
    profiles().iter().filter(asked).map(|p| judge(p.name, &p.ids_among(items), results)).collect()
}

/// What `results` say about the profile of this name with this list.
pub fn judge(name: &str, ids: &[String], results: &[CaseResult]) -> ProfileResult {
    let mut by_id: HashMap<&str, Vec<&CaseResult>> = HashMap::new();
    for result in results {
        by_id.entry(&result.id).or_default().push(result);
    }
    let (mut passed, mut failed, mut unsupported, mut missing, mut unfinished) = (0, 0, 0, 0, 0);
    for id in ids {
        *match of_case(by_id.get(id.as_str()).map_or(&[], Vec::as_slice)) {
            Fulfilled::Passed => &mut passed,
            Fulfilled::Failed => &mut failed,
            Fulfilled::Unsupported => &mut unsupported,
            Fulfilled::Missing => &mut missing,
            Fulfilled::Unfinished => &mut unfinished,
        } += 1;
    }
    let verdict = match () {
        () if ids.is_empty() || failed + unsupported + missing > 0 => ProfileVerdict::Fail,
        () if unfinished > 0 => ProfileVerdict::NotFinished,
        () => ProfileVerdict::Pass,
    };
    ProfileResult {
        name: name.to_string(),
        list_hash: list_hash(ids),
        cases: ids.len(),
        passed,
        failed,
        unsupported,
        missing,
        unfinished,
        verdict,
    }
}

enum Fulfilled {
    Passed,
    Failed,
    Unsupported,
    Missing,
    Unfinished,
}

/// The results of one case, one per kernel. The decomposition of a composite into primitives that
/// the device declines is no candidate, so only the selected kernel can be missing.
fn of_case(results: &[&CaseResult]) -> Fulfilled {
    let mut selected_passed = false;
    let (mut declined, mut unfinished) = (false, false);
    for result in results {
        match result.status {
            // A pass against an expectation is a pass all the same; it fails the run, not the device.
            Status::Pass | Status::Warn | Status::UnexpectedPass => selected_passed |= result.selected,
            Status::Unsupported => declined |= result.selected,
            Status::NotFinished => unfinished = true,
            Status::NotRun => return Fulfilled::Missing,
            Status::Info | Status::ExpectedFail | Status::Fail | Status::Error => return Fulfilled::Failed,
        }
    }
    match (selected_passed, declined) {
        (_, true) => Fulfilled::Unsupported,
        _ if unfinished => Fulfilled::Unfinished,
        (true, false) => Fulfilled::Passed,
        (false, false) => Fulfilled::Missing,
    }
}

#[cfg(test)]
mod tests;
