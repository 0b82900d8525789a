//! What a backend declares to cover, held against the case list and against what the backend says.

use unisono_core::{Backend, OpDesc, Support};

use super::{Failed, PRINTED};
use crate::case::{Case, Level, suite};
use crate::runner::{Item, Parts};

/// Whether a declaration covers an item: a case itself, every step of a program, and of a check that is
/// made of whole cases at least one.
pub(super) fn is_covered(item: &Item, covers: &(dyn Fn(&Case) -> bool + Send + Sync)) -> bool {
    if let Item::Case(case) = item {
        return covers(case);
    }
    match item.parts() {
        Parts::All(parts) => parts.into_iter().all(|desc| covers(&Case::part_of(item.id(), desc))),
        Parts::AnyOf(families) => {
            suite(Level::Quick).iter().any(|case| families.contains(&case.family) && covers(case))
        }
    }
}

/// What is declared as declined.
pub(super) struct Declined {
    id: String,
    /// It has to decline one of these.
    parts: Vec<OpDesc>,
}

impl Declined {
    /// None for what is made of whatever the device has.
    pub(super) fn of(item: &Item) -> Option<Declined> {
        match item.parts() {
            Parts::All(parts) => Some(Declined { id: item.id().to_string(), parts }),
            Parts::AnyOf(_) => None,
        }
    }
}

/// Holds the declaration of what is declined to what the backend says.
pub(super) fn coverage(backend: &dyn Backend, declined: &[Declined], tests: usize) -> Result<(), Failed> {
    if tests == 0 {
        return Err("no case is left: a run of nothing proves nothing".into());
    }
    let accepts = |desc: &OpDesc| !matches!(backend.supports(desc), Support::Unsupported(_));
    let accepted: Vec<&str> =
        declined.iter().filter(|item| item.parts.iter().all(accepts)).map(|item| &*item.id).collect();
    if accepted.is_empty() {
        return Ok(());
    }
    let mut message =
        format!("{} cases are declared as declined, and {} accepts them", accepted.len(), backend.info().name);
    for id in accepted.iter().take(PRINTED) {
        message += &format!("\n{id}");
    }
    Err(message.into())
}
