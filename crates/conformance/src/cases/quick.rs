//! Which cases of 16-bit types are quick.
//!
//! A backend computes in f32 whatever the types are; a 16-bit type changes how elements are loaded and
//! stored, and operations of one kind share that. To a driver each combination is a kernel of its own,
//! and building it costs far more than running it: half of a first run went into the same functions
//! with other types. So the quick level has everything in f32 and some cases of each combination of
//! types; the full level has the product of both.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::mem::discriminant;

use unisono_core::DType;

use crate::case::{Case, Level};
use crate::hash::Fnv;

const SHORT: [&str; 2] = ["f16", "bf16"];
/// Cases of one kind of operation and one combination of types.
const EACH: usize = 2;

/// Moves the other cases of 16-bit types to the full level. Each family keeps one of each 16-bit type
/// that it has, and none of what is kept is empty: nothing would be compared.
pub(super) fn thin(cases: &mut [Case]) {
    let mut order: Vec<usize> = (0..cases.len()).filter(|&i| is_candidate(&cases[i])).collect();
    order.sort_by_key(|&i| rank(&cases[i].id));
    let mut kept = HashMap::new();
    let mut families = HashSet::new();
    for i in order {
        let case = &mut cases[i];
        let types = types(case);
        let count: &mut usize = kept.entry((discriminant(&case.desc.op), types.clone())).or_default();
        // Every type is looked at: each of them may be the first of its family.
        let is_first =
            types.intersection(&BTreeSet::from(SHORT)).filter(|t| !families.contains(&(case.family, **t))).count() > 0;
        if is_empty(case) || (!is_first && *count >= EACH) {
            case.level = Level::Full;
        } else {
            *count += 1;
            families.extend(types.iter().map(|t| (case.family, *t)));
        }
    }
}

fn is_empty(case: &Case) -> bool {
    case.desc.outputs.iter().all(unisono_core::TensorDesc::is_empty)
}

fn is_candidate(case: &Case) -> bool {
    case.level == Level::Quick && SHORT.iter().any(|t| types(case).contains(t))
}

/// The types that elements are computed from, each once: not indices, limits or truth values.
fn types(case: &Case) -> BTreeSet<&'static str> {
    let all = case.desc.inputs.iter().chain(&case.desc.outputs).map(|d| d.dtype);
    all.filter(|t| t.is_float() || t.is_block()).map(DType::name).collect()
}

/// An order that has nothing to do with shapes or data.
fn rank(id: &str) -> u64 {
    let mut hash = Fnv::new();
    hash.update(id.as_bytes());
    // The lower bits of this hash are weak.
    hash.value() >> 20
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::{all, listed};

    #[test]
    fn every_operation_has_a_quick_case_of_each_16_bit_type_and_few_of_them() {
        let pairs = |cases: &[Case]| -> BTreeSet<(&str, &str)> {
            let quick = cases.iter().filter(|c| is_candidate(c) && !is_empty(c));
            quick.flat_map(|c| types(c).into_iter().filter(|t| SHORT.contains(t)).map(|t| (c.family, t))).collect()
        };
        let (listed, thinned) = (listed().unwrap(), all());
        assert_eq!(pairs(&listed), pairs(&thinned));
        let mut kept: HashMap<_, usize> = HashMap::new();
        for case in thinned.iter().filter(|c| is_candidate(c)) {
            assert!(!is_empty(case), "{} compares nothing", case.id);
            *kept.entry((discriminant(&case.desc.op), types(case))).or_default() += 1;
        }
        let total: usize = kept.values().sum();
        assert!(total <= EACH * kept.len() + pairs(&listed).len(), "{total} cases of {} combinations", kept.len());
    }
}
