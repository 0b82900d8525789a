//! The cases, one file per family. Each lists shapes, layouts, element types and data, and says
//! which of them are quick; the order is fixed, and nothing is generated until a case is run.

mod attention;
mod attention_features;
mod attention_long;
mod binary;
mod blocks;
mod casts;
mod compare;
mod constant;
mod conv;
mod cumsum;
mod draft;
mod experts;
mod functions;
mod integer;
mod layout;
mod linear;
mod matmul;
mod movement;
mod nan;
mod norm;
mod norm_groups;
mod quick;
mod reduce;
mod rope;
mod rows;
mod softmax;
mod sort;
mod unary;

use unisono_core::{DType, Result};

use crate::case::Case;
use draft::Draft;
use layout::Layout;

/// Takes finished cases.
type Sink<'a> = &'a mut Vec<Case>;

/// The three floating-point types, in the order of the reports.
const FLOATS: [DType; 3] = DType::FLOATS;

/// Every case of every level.
///
/// # Panics
///
/// If a family describes an operation that the contract refuses: a mistake in this folder, which
/// the tests find.
pub(crate) fn all() -> Vec<Case> {
    try_all().expect("every case is well formed")
}

fn try_all() -> Result<Vec<Case>> {
    let mut cases = listed()?;
    quick::thin(&mut cases);
    Ok(cases)
}

/// The cases as the families list them.
fn listed() -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for family in [
        matmul::cases,
        linear::cases,
        experts::cases,
        blocks::cases,
        attention::cases,
        attention_features::cases,
        attention_long::cases,
        softmax::cases,
        norm::cases,
        rope::cases,
        movement::cases,
        rows::cases,
        unary::cases,
        binary::cases,
        functions::cases,
        integer::cases,
        compare::cases,
        constant::cases,
        casts::cases,
        reduce::cases,
        cumsum::cases,
        sort::cases,
        nan::cases,
        norm_groups::cases,
        conv::cases,
    ] {
        family(&mut cases)?;
    }
    Ok(cases)
}

/// The element of `list` at `i`, counted round and round.
fn pick<T: Copy>(list: &[T], i: usize) -> T {
    list[i % list.len()]
}

/// `2x3x4`, as in ids.
fn dims(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

/// `f16` where all types agree, `f32_f16_f32` where they differ.
fn types(list: &[DType]) -> String {
    match list.split_first() {
        Some((first, rest)) if rest.iter().all(|d| d == first) => first.to_string(),
        _ => list.iter().map(|d| d.name()).collect::<Vec<_>>().join("_"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::case::{CaseClass, Level};

    #[test]
    fn every_case_is_well_formed_and_has_its_own_id() {
        let cases = try_all().unwrap();
        let mut ids = HashSet::new();
        for c in &cases {
            assert!(ids.insert(c.id.clone()), "two cases are named {}", c.id);
            assert!(
                c.id.starts_with(&format!("{}/", c.family)) && c.id.ends_with(&format!(":seed={}", c.seed)),
                "{}",
                c.id
            );
            assert_eq!(c.family, c.desc.op.name(), "{}", c.id);
            assert!(c.id.contains(&format!("data={}", c.data.name())), "{}", c.id);
            assert!(!c.id.contains(['*', ' ']), "{}", c.id);
            assert_eq!(c.offsets.len(), c.desc.inputs.len() + c.desc.outputs.len(), "{}", c.id);
            assert_eq!(c.fills.len(), c.desc.inputs.len(), "{}", c.id);
            assert_eq!(c.initial.is_some(), c.desc.op.updates_in_place(0), "{}", c.id);
        }
    }

    #[test]
    fn levels_have_their_sizes_and_every_family_is_in_both() {
        let cases = try_all().unwrap();
        let quick = cases.iter().filter(|c| c.level == Level::Quick).count();
        assert!((450..=1400).contains(&quick), "{quick} quick cases");
        assert!(cases.len() >= 2500, "{} cases", cases.len());
        let mut families: HashMap<&str, [usize; 3]> = HashMap::new();
        for c in &cases {
            let counts = families.entry(c.family).or_default();
            counts[0] += usize::from(c.level == Level::Quick);
            counts[1] += 1;
            counts[2] += usize::from(c.class == CaseClass::Counted);
        }
        for (family, [quick, all, counted]) in &families {
            assert!(
                *quick >= 1 && all > quick && *counted >= 10,
                "{family}: {quick} quick of {all}, {counted} counted"
            );
        }
        assert!(families.len() >= 76, "{:?}", families.keys());
    }

    /// A quick case on a slow device should cost milliseconds.
    #[test]
    fn quick_cases_are_small() {
        for c in try_all().unwrap().iter().filter(|c| c.level == Level::Quick) {
            let bytes: u64 =
                c.desc.inputs.iter().chain(&c.desc.outputs).map(unisono_core::TensorDesc::span_bytes).sum();
            assert!(
                c.desc.flops() < 20_000_000 && bytes < 4_000_000,
                "{}: {} FLOP, {bytes} bytes",
                c.id,
                c.desc.flops()
            );
        }
    }
}
