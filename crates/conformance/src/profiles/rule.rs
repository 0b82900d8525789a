//! A rule of a profile: which cases of which operations on which element types.

use unisono_core::DType;

use crate::case::CaseClass;
use crate::runner::Item;

/// Selects the counted cases of some families that are listed under some element types.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Operations.
    pub(super) families: &'static [&'static str],
    /// The element type under which a case is listed: that of the weight for products, of the
    /// source for casts.
    pub(super) dtypes: &'static [DType],
    /// The first part of the id after the family, as `decode` in `attention/decode:…`; empty for
    /// all.
    pub(super) names: &'static [&'static str],
    /// Parameters that must be absent or `none`, as `cap` for attention without softcap.
    pub(super) without: &'static [&'static str],
}

impl Rule {
    /// Every case of these families.
    pub(super) const fn of(families: &'static [&'static str], dtypes: &'static [DType]) -> Rule {
        Rule { families, dtypes, names: &[], without: &[] }
    }

    /// Only cases of these names.
    pub(super) const fn named(self, names: &'static [&'static str]) -> Rule {
        Rule { names, ..self }
    }

    /// Only cases in which these parameters are absent or `none`.
    pub(super) const fn without(self, without: &'static [&'static str]) -> Rule {
        Rule { without, ..self }
    }

    pub(super) fn selects(&self, item: &Item) -> bool {
        let (id, family) = (item.id(), item.family());
        let Some((dtype, class)) = item.facts() else {
            // Programs of several steps are in f32.
            return self.families.contains(&family) && self.dtypes.contains(&DType::F32);
        };
        self.families.contains(&family)
            && self.dtypes.contains(&dtype)
            && class == CaseClass::Counted
            && (self.names.is_empty() || self.names.contains(&name(id)))
            && !self.without.iter().any(|parameter| has(id, parameter))
    }
}

/// `decode` of `attention/decode:dtype=…`.
fn name(id: &str) -> &str {
    let name = id.split_once('/').map_or(id, |(_, rest)| rest);
    name.split(':').next().unwrap_or_default()
}

/// Whether a parameter is there and not `none`.
fn has(id: &str, parameter: &str) -> bool {
    id.split([':', ',']).filter_map(|part| part.split_once('=')).any(|(key, value)| key == parameter && value != "none")
}
