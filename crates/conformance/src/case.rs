//! A case: one operation with shapes, layouts, offsets and data, under one name.
//!
//! The id decides everything. Data is a pure function of the id, so a failure seen on one machine
//! is replayed on another from the printed line alone, and building the list of cases costs next
//! to nothing: no element exists before [`Case::input_bytes`] is called.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use unisono_core::{DType, Error, NumericMode, OpDesc, Result};

use crate::cases;
use crate::check::Expected;
use crate::data::{Fill, Stream, fill_bytes};
use crate::glob::glob_matches;
use crate::oracle::{self, Modes};

/// How much of the suite runs. Each level contains the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// About a minute on a software adapter.
    Quick,
    /// Every case, in minutes.
    Full,
    /// Every bit pattern of every function, every kernel at every length of a sum, a thousand repeats:
    /// hours, in parts.
    Exhaustive,
}

impl Level {
    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Level::Quick => "quick",
            Level::Full => "full",
            Level::Exhaustive => "exhaustive",
        }
    }

    /// The level with the given [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Level> {
        [Level::Quick, Level::Full, Level::Exhaustive].into_iter().find(|l| l.name() == name)
    }
}

/// Whether a wrong result counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CaseClass {
    /// A wrong result is a failure of the device.
    Counted,
    /// NaN and ∞ as operands of arithmetic: WGSL guarantees nothing, so the result is reported and never
    /// counted.
    Informative,
}

impl CaseClass {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            CaseClass::Counted => "counted",
            CaseClass::Informative => "informative",
        }
    }
}

/// The kind of data of a case, as in its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DataClass {
    /// Small integers, whose sums are exact in any order.
    Exact,
    /// Bell-shaped values of one scale.
    Normal,
    /// Magnitudes spread evenly over many powers of two.
    Wide,
    /// Values chosen to break one way of computing; the name says which.
    Adversarial(&'static str),
    /// Bit patterns of the element type: all of them, or evenly spread.
    Bits,
}

impl DataClass {
    /// The name in case ids and reports.
    pub fn name(self) -> &'static str {
        match self {
            DataClass::Exact => "exact",
            DataClass::Normal => "normal",
            DataClass::Wide => "wide",
            DataClass::Adversarial(name) => name,
            DataClass::Bits => "bits",
        }
    }
}

/// One operation on one set of data.
#[derive(Clone, Debug)]
pub struct Case {
    /// `family/case:param=value,…:seed=n`, unique in the suite.
    pub id: String,
    /// The name of the operation.
    pub family: &'static str,
    /// The smallest level that runs it.
    pub level: Level,
    /// Whether a wrong result counts.
    pub class: CaseClass,
    /// The operation with its operands.
    pub desc: OpDesc,
    /// For each operand, inputs then outputs: elements between the start of its region and its
    /// first element, to break alignment.
    pub offsets: Vec<usize>,
    /// The kind of data.
    pub data: DataClass,
    /// The last part of the id.
    pub seed: u64,
    /// The element type under which reports list the case.
    pub dtype: DType,
    pub(crate) fills: Vec<Fill>,
    pub(crate) initial: Option<Fill>,
}

impl Case {
    /// The same case with other data: shapes, layouts and offsets stay, and the id ends in
    /// `:seed=n`, by which [`find`] makes the case again.
    ///
    /// The seed reaches what is random. Bit patterns in order, lists of chosen values and tables of
    /// angles are the same for every seed.
    #[must_use]
    pub fn with_seed(&self, seed: u64) -> Case {
        let (name, _) = split_seed(&self.id).unwrap_or((&self.id, 0));
        Case { id: format!("{name}:seed={seed}"), seed, ..self.clone() }
    }

    /// An operation within a program, as a case without data: to be asked about, not to be run.
    #[cfg(all(feature = "libtest", not(target_family = "wasm")))]
    pub(crate) fn part_of(id: &str, desc: OpDesc) -> Case {
        Case {
            id: id.to_string(),
            family: desc.op.name(),
            level: Level::Quick,
            class: CaseClass::Counted,
            offsets: Vec::new(),
            data: DataClass::Exact,
            seed: 1,
            dtype: desc.outputs.first().or(desc.inputs.first()).map_or(DType::F32, |d| d.dtype),
            fills: Vec::new(),
            initial: None,
            desc,
        }
    }

    /// The storage of input `index`: [`span_bytes`](unisono_core::TensorDesc::span_bytes) bytes,
    /// with the poison pattern in the gaps between strided elements.
    pub fn input_bytes(&self, index: usize) -> Result<Vec<u8>> {
        let (Some(desc), Some(fill)) = (self.desc.inputs.get(index), self.fills.get(index)) else {
            return Err(Error::invalid(format!("case {} has no input {index}", self.id)));
        };
        Ok(fill_bytes(desc, fill, &Stream::new(&self.id, index)))
    }

    /// The former content of output `index`, where the operation updates it in place.
    pub fn initial_output_bytes(&self, index: usize) -> Option<Vec<u8>> {
        let fill = self.initial.as_ref().filter(|_| self.desc.op.updates_in_place(index))?;
        let stream = Stream::new(&self.id, self.desc.inputs.len() + index);
        Some(fill_bytes(self.desc.outputs.get(index)?, fill, &stream))
    }

    /// Whether running it takes seconds on a software device. Such cases are repeated only as often
    /// as it takes to see that results repeat, and once on kernels that are not selected.
    pub fn is_large(&self) -> bool {
        let elements = |d: &unisono_core::TensorDesc| d.elements();
        let total: usize = self.desc.inputs.iter().chain(&self.desc.outputs).map(elements).sum();
        total > 100_000 || self.desc.flops() > 20_000_000
    }

    /// What every output must be, computed from the inputs as stored.
    pub fn evaluate(&self, inputs: &[Vec<u8>]) -> Result<Vec<Expected>> {
        self.evaluate_with(inputs, &[])
    }

    /// The same for a device that declares numeric modes.
    pub fn evaluate_with(&self, inputs: &[Vec<u8>], modes: &[NumericMode]) -> Result<Vec<Expected>> {
        let initial: Vec<_> = (0..self.desc.outputs.len()).map(|i| self.initial_output_bytes(i)).collect();
        oracle::evaluate_with(&self.desc, inputs, &initial, Modes::new(modes))
    }

    /// The modes among `modes` that the bounds of this case depend on.
    pub fn concerned_by(&self, modes: &[NumericMode]) -> Vec<NumericMode> {
        oracle::concerned(&self.desc, modes)
    }
}

/// The cases of a level, in a fixed order.
pub fn suite(level: Level) -> Vec<Case> {
    let mut cases = cases::all();
    cases.retain(|c| c.level <= level);
    cases
}

/// An id without its seed, and the seed.
fn split_seed(id: &str) -> Option<(&str, u64)> {
    let (name, seed) = id.rsplit_once(":seed=")?;
    // One spelling for each number, so that an id and its data belong together.
    let number: u64 = seed.parse().ok()?;
    (number.to_string() == seed).then_some((name, number))
}

/// The cases whose id equals `pattern`, starts with it or matches it as a glob (`*` stands for any
/// text). An exact id is found whatever its level, and with any seed; the rest is searched in
/// `level`.
pub fn find(pattern: &str, level: Level) -> Vec<Case> {
    let mut cases = cases::all();
    if let Some(i) = cases.iter().position(|c| c.id == pattern) {
        return vec![cases.swap_remove(i)];
    }
    if let Some((name, seed)) = split_seed(pattern)
        && let Some(case) = cases.iter().find(|c| split_seed(&c.id).is_some_and(|(base, _)| base == name))
    {
        return vec![case.with_seed(seed)];
    }
    let globbed = pattern.contains('*');
    cases
        .retain(|c| c.level <= level && if globbed { glob_matches(pattern, &c.id) } else { c.id.starts_with(pattern) });
    cases
}

/// The cases with exactly these ids, of whatever level and with any seed, in the order of the suite.
pub(crate) fn named<'a>(ids: impl IntoIterator<Item = &'a str>) -> Vec<Case> {
    let cases = cases::all();
    let mut place: HashMap<&str, usize> = HashMap::new();
    for (i, case) in cases.iter().enumerate() {
        place.insert(&case.id, i);
        if let Some((name, _)) = split_seed(&case.id) {
            place.entry(name).or_insert(i);
        }
    }
    let mut found: Vec<(usize, Case)> = Vec::new();
    for id in ids {
        match (place.get(id), split_seed(id)) {
            (Some(&i), _) if cases[i].id == id => found.push((i, cases[i].clone())),
            (_, Some((name, seed))) => found.extend(place.get(name).map(|&i| (i, cases[i].with_seed(seed)))),
            _ => {}
        }
    }
    found.sort_by_key(|&(i, _)| i);
    found.into_iter().map(|(_, case)| case).collect()
}

/// The families of the suite, in its order.
pub fn families() -> Vec<&'static str> {
    let mut seen = HashSet::new();
    cases::all().into_iter().map(|c| c.family).filter(|f| seen.insert(*f)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_seed_gives_other_data_under_an_id_that_finds_it() {
        let case = suite(Level::Quick).into_iter().find(|c| c.data == DataClass::Normal).unwrap();
        let other = case.with_seed(77);
        assert!(other.id.ends_with(":seed=77") && other.seed == 77, "{}", other.id);
        assert_ne!(case.input_bytes(0).unwrap(), other.input_bytes(0).unwrap());
        let found = find(&other.id, Level::Quick);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].input_bytes(0).unwrap(), other.input_bytes(0).unwrap());
        assert_eq!((&found[0].offsets, &found[0].desc), (&case.offsets, &case.desc));
        assert_eq!(other.with_seed(1).id, case.id);
    }

    #[test]
    fn exact_ids_are_found_with_any_seed_in_the_order_of_the_suite() {
        let all = suite(Level::Full);
        let (first, last) = (&all[0], all.last().unwrap());
        let other = first.with_seed(77);
        let prefix = first.id.split(':').next().unwrap();
        let ids: Vec<String> =
            named([&*last.id, prefix, "no/such:seed=1", &other.id, &first.id]).into_iter().map(|c| c.id).collect();
        assert_eq!(ids, [other.id.as_str(), first.id.as_str(), last.id.as_str()]);
        let by_find: Vec<String> = ids.iter().flat_map(|id| find(id, Level::Quick)).map(|c| c.id).collect();
        assert_eq!(ids, by_find);
    }

    #[test]
    fn seeds_have_one_spelling() {
        let name = suite(Level::Quick)[0].id.rsplit_once(":seed=").unwrap().0.to_string();
        assert_eq!(find(&format!("{name}:seed=18446744073709551615"), Level::Quick).len(), 1);
        for seed in ["07", "+7", "", "-1", "18446744073709551616"] {
            assert!(find(&format!("{name}:seed={seed}"), Level::Quick).len() != 1 || seed.is_empty(), "{seed}");
        }
    }
}
