//! What is timed: the operations of models by name, and any case of the conformance suite by id.
//!
//! A set is the operations of one layer (and of the ends) of a kind of model, in the shapes of models
//! that people run. Operations with a weight come once for each type that weights are stored in; the
//! attention once for each type of cache; what has neither, once.

mod bert;
mod draft;
mod llama;
mod moe;

use unisono_conformance::{Case, Level, find};
use unisono_core::{DType, Error, OpDesc, Result};

use crate::data::{Patterns, Source};

/// The names of the sets.
pub const SETS: [&str; 4] = ["llama-decode", "llama-prefill", "bert", "moe"];

/// The types that weights are stored in: those that hold any number, and every block format.
pub const WEIGHTS: [DType; FLOATS.len() + DType::BLOCKS.len()] = {
    let mut all = [DType::F32; FLOATS.len() + DType::BLOCKS.len()];
    let mut i = 0;
    while i < all.len() {
        all[i] = if i < FLOATS.len() { FLOATS[i] } else { DType::BLOCKS[i - FLOATS.len()] };
        i += 1;
    }
    all
};

const FLOATS: [DType; 3] = [DType::F32, DType::F16, DType::BF16];

/// One operation to time, with its data.
#[derive(Clone, Debug)]
pub struct Item {
    /// `set/shape/operation:dtype=…,…`, or the id of a case.
    pub id: String,
    /// The set; `case` for a case of the suite.
    pub set: String,
    /// The shape within the set; empty for a case.
    pub shape: String,
    /// The element type under which it is listed: of the weight, where there is one.
    pub dtype: DType,
    /// The operation with its operands.
    pub desc: OpDesc,
    /// The data of each input.
    pub inputs: Vec<Source>,
    /// For each output the former content, where it is updated in place.
    pub initial: Vec<Option<Source>>,
    /// The inputs that are weights, which a model reads once per step.
    pub weights: Vec<usize>,
    /// For each operand the elements before its first.
    pub offsets: Vec<usize>,
    /// The case, where it is one.
    pub case: Option<Case>,
}

impl Item {
    /// Elements before the first of operand `index`, inputs first.
    pub fn offset(&self, index: usize) -> usize {
        self.offsets.get(index).copied().unwrap_or(0)
    }

    /// Bytes of the buffer of operand `index`, inputs first.
    pub fn slot_bytes(&self, index: usize) -> u64 {
        let mut all = self.desc.inputs.iter().chain(&self.desc.outputs);
        all.nth(index).map_or(0, |desc| self.lead_bytes(index) + desc.span_bytes())
    }

    /// Bytes before the first element of operand `index`.
    pub fn lead_bytes(&self, index: usize) -> u64 {
        let mut all = self.desc.inputs.iter().chain(&self.desc.outputs);
        all.nth(index)
            .map_or(0, |desc| (self.offset(index) / desc.dtype.block_elements() * desc.dtype.block_bytes()) as u64)
    }
}

/// What to time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// Names of sets; the two of a Llama if there is neither a set nor a case.
    pub sets: Vec<String>,
    /// Names of shapes; each set's smallest if empty.
    pub shapes: Vec<String>,
    /// Types of weights and caches; [`DEFAULT_WEIGHTS`] if empty.
    pub dtypes: Vec<DType>,
    /// Ids, prefixes or globs of cases of the suite.
    pub cases: Vec<String>,
    /// Tokens of a prompt; 128 if `None`.
    pub tokens: Option<usize>,
}

/// The types of weights that are timed unless others are asked for.
pub const DEFAULT_WEIGHTS: [DType; 5] = [DType::F32, DType::F16, DType::Q4_0, DType::Q4K, DType::Q8_0];

/// The items of a selection. Fails on names that do not exist, saying which do.
pub fn items(selection: &Selection, patterns: &mut Patterns) -> Result<Vec<Item>> {
    let mut sets = selection.sets.clone();
    if sets.is_empty() && selection.cases.is_empty() {
        sets = vec![SETS[0].to_owned(), SETS[1].to_owned()];
    }
    let dtypes = if selection.dtypes.is_empty() { &DEFAULT_WEIGHTS[..] } else { &selection.dtypes };
    if let Some(dtype) = dtypes.iter().find(|d| !WEIGHTS.contains(d)) {
        let known: Vec<&str> = WEIGHTS.iter().map(|d| d.name()).collect();
        return Err(Error::invalid(format!("no weights are stored as {dtype}; there are: {}", known.join(", "))));
    }
    let tokens = selection.tokens.unwrap_or(128);
    if tokens == 0 {
        return Err(Error::invalid("a prompt has at least one token"));
    }
    let mut found = Vec::new();
    for set in &sets {
        let shapes = shapes_of(set)?;
        let of_set = |wanted: &String| shapes.contains(&wanted.as_str());
        let mut chosen: Vec<&str> = selection.shapes.iter().filter(|s| of_set(s)).map(String::as_str).collect();
        if selection.shapes.is_empty() {
            chosen.extend(shapes.first());
        }
        for shape in chosen {
            match set.as_str() {
                "llama-decode" => llama::items(shape, None, dtypes, patterns, &mut found)?,
                "llama-prefill" => llama::items(shape, Some(tokens), dtypes, patterns, &mut found)?,
                "bert" => bert::items(shape, tokens, dtypes, patterns, &mut found)?,
                _ => moe::items(shape, tokens, dtypes, patterns, &mut found)?,
            }
        }
    }
    for shape in &selection.shapes {
        let known: Vec<&str> = sets.iter().flat_map(|set| shapes_of(set).unwrap_or_default()).collect();
        if !known.contains(&shape.as_str()) {
            let sets = sets.join(", ");
            return Err(Error::invalid(format!("no shape {shape} in {sets}; there are: {}", known.join(", "))));
        }
    }
    for pattern in &selection.cases {
        let cases = find(pattern, Level::Full);
        if cases.is_empty() {
            return Err(Error::invalid(format!("no case matches '{pattern}'")));
        }
        for case in cases {
            found.push(of_case(case)?);
        }
    }
    Ok(found)
}

/// The shapes of a set, smallest first.
pub fn shapes_of(set: &str) -> Result<Vec<&'static str>> {
    match set {
        "llama-decode" | "llama-prefill" => Ok(llama::SHAPES.iter().map(|s| s.name).collect()),
        "bert" => Ok(bert::SHAPES.iter().map(|s| s.name).collect()),
        "moe" => Ok(moe::SHAPES.iter().map(|s| s.name).collect()),
        _ => Err(Error::invalid(format!("no set {set}; there are: {}", SETS.join(", ")))),
    }
}

fn of_case(case: Case) -> Result<Item> {
    let inputs = case.desc.inputs.len();
    let with_lead = |i: usize, bytes: Vec<u8>| {
        let descs = case.desc.inputs.iter().chain(&case.desc.outputs);
        let dtype = descs.map(|d| d.dtype).nth(i).unwrap_or(case.dtype);
        let lead = case.offsets.get(i).copied().unwrap_or(0) / dtype.block_elements() * dtype.block_bytes();
        Source::Bytes([vec![0; lead], bytes].concat().into())
    };
    let sources: Vec<Source> = (0..inputs).map(|i| Ok(with_lead(i, case.input_bytes(i)?))).collect::<Result<_>>()?;
    let initial = (0..case.desc.outputs.len())
        .map(|i| case.initial_output_bytes(i).map(|bytes| with_lead(inputs + i, bytes)))
        .collect();
    Ok(Item {
        id: case.id.clone(),
        set: "case".to_owned(),
        shape: String::new(),
        dtype: case.dtype,
        desc: case.desc.clone(),
        inputs: sources,
        initial,
        weights: Vec::new(),
        offsets: case.offsets.clone(),
        case: Some(case),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sets: &[&str], shapes: &[&str], dtypes: &[DType]) -> Result<Vec<Item>> {
        let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let selection =
            Selection { sets: strings(sets), shapes: strings(shapes), dtypes: dtypes.to_vec(), ..Selection::default() };
        items(&selection, &mut Patterns::new())
    }

    #[test]
    fn every_set_and_shape_is_valid_in_every_type_of_weight() {
        for set in SETS {
            for shape in shapes_of(set).unwrap() {
                let items = of(&[set], &[shape], &WEIGHTS).unwrap();
                assert!(items.len() > WEIGHTS.len(), "{set}/{shape}: {}", items.len());
                for item in items {
                    item.desc.validate().unwrap();
                    assert_eq!(item.inputs.len(), item.desc.inputs.len(), "{}", item.id);
                    assert_eq!(item.initial.len(), item.desc.outputs.len(), "{}", item.id);
                    assert!(item.id.starts_with(&format!("{set}/{shape}/")), "{}", item.id);
                    assert!(item.desc.bytes() > 0, "{}", item.id);
                    for i in 0..item.desc.outputs.len() {
                        assert_eq!(item.desc.op.updates_in_place(i), item.initial[i].is_some(), "{}", item.id);
                    }
                }
            }
        }
    }

    #[test]
    fn ids_are_unique() {
        let mut ids: Vec<String> = Vec::new();
        for set in SETS {
            let shapes = shapes_of(set).unwrap();
            ids.extend(of(&[set], &shapes, &WEIGHTS).unwrap().into_iter().map(|i| i.id));
        }
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }

    #[test]
    fn shapes_are_those_of_the_models() {
        let items = of(&["llama-decode"], &["8b"], &[DType::Q4K]).unwrap();
        let down = items.iter().find(|i| i.id.contains("ffn_down")).unwrap();
        assert_eq!(down.desc.flops(), 2 * 4096 * 14336);
        assert_eq!(down.slot_bytes(1), 4096 * 14336 / 256 * 144);
        assert_eq!(down.weights, [1]);
    }

    #[test]
    fn unknown_names_list_what_there_is() {
        for (sets, shapes, part) in
            [(vec!["lama"], vec![], "llama-decode"), (vec!["bert"], vec!["8b"], "base"), (vec![], vec!["9b"], "70b")]
        {
            let error = of(&sets, &shapes, &[]).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(of(&["bert"], &[], &[DType::I8]).unwrap_err().to_string().contains("q4_k"));
        let none = Selection { cases: vec!["no/such".into()], ..Selection::default() };
        assert!(items(&none, &mut Patterns::new()).unwrap_err().to_string().contains("no/such"));
    }

    #[test]
    fn a_case_keeps_its_offsets() {
        let case = unisono_conformance::suite(Level::Quick)
            .into_iter()
            .find(|c| c.offsets.first().is_some_and(|&o| o > 0))
            .unwrap();
        let item = of_case(case.clone()).unwrap();
        let lead = item.lead_bytes(0) as usize;
        assert!(lead > 0);
        let mut bytes = vec![0; item.slot_bytes(0) as usize];
        item.inputs[0].read(0, &mut bytes);
        assert_eq!(bytes[lead..], case.input_bytes(0).unwrap());
    }
}
