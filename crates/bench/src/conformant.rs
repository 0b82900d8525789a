//! Whether what was timed was right: outputs against the oracle, in the same run.
//!
//! A first run writes over NaN patterns and is compared with the oracle, on a sample where the
//! operation is large. After the samples of every round the output must have the same bits: all copies
//! of a weight are equal, so every timed run has to give what was checked.

use unisono_conformance::{Expected, check, evaluate_in_modes};
use unisono_core::{NumericMode, Result};

use crate::cases::Item;
use crate::sample::Sample;

/// What the oracle says of an item, for every kernel that runs it.
#[derive(Debug)]
pub struct Checker {
    sample: Sample,
    expected: Vec<Expected>,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Elements compared.
    pub checked: usize,
    /// Elements of all outputs.
    pub elements: usize,
    /// The largest error divided by its bound.
    pub ratio: f64,
    /// What is wrong; nothing where the outputs are right.
    pub wrong: Option<String>,
}

impl Checker {
    /// Asks the oracle about `item`, with the bounds of a device that declares `modes`.
    pub fn new(item: &Item, modes: &[NumericMode]) -> Result<Checker> {
        let sample = Sample::of(item)?;
        let expected = evaluate_in_modes(&sample.desc, &sample.inputs, &sample.initial, modes)?;
        Ok(Checker { sample, expected })
    }

    /// Compares `outputs`, the whole buffers of a run.
    pub fn compare(&self, item: &Item, outputs: &[Vec<u8>]) -> Result<Verdict> {
        let mut verdict = Verdict::default();
        let names = item.desc.op.operand_names().1;
        for (i, (bytes, expected)) in outputs.iter().zip(&self.expected).enumerate() {
            let (desc, part) = self.sample.part(item, i, bytes)?;
            let outcome = check(expected, &desc, &part);
            verdict.checked += outcome.elements;
            verdict.elements += item.desc.outputs[i].elements();
            verdict.ratio = verdict.ratio.max(outcome.worst_ratio);
            if !outcome.passed() {
                let first = outcome.worst.map_or(String::new(), |w| {
                    format!(", one is {} and should be {} ± {:.1e}", w.actual, w.expected, w.bound)
                });
                let name = names.get(i).unwrap_or(&"output");
                verdict.wrong.get_or_insert(format!(
                    "{name}: {} of {} checked elements are over the bound{first}",
                    outcome.failures, outcome.elements
                ));
            }
        }
        Ok(verdict)
    }
}
