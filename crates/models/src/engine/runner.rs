//! Captured steps and the cache they fill, shared by sessions and batches.
//!
//! A step is captured once for each number of tokens and each kind of result, then replayed with
//! new data: a decode step is one write of a few numbers, one submission and one read, and compiles
//! nothing after the first. The number of tokens is padded to a power of two with tokens that write
//! nothing and see nothing. So a handful of programs serve prompts of all lengths and any number of
//! texts.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use unisono_core::{Captured, DType, Error, Result, Tensor, TensorDesc};

use crate::engine::cache::{KvCache, Layout};
use crate::engine::finite;
use crate::engine::memory;
use crate::engine::pages::Placement;
use crate::engine::step::{Entry, StepInputs, StepShape};
use crate::model::Model;

/// Smallest padded chunk of a prompt.
const MIN_CHUNK: usize = 8;

/// A cache for a number of texts, and the steps that fill it.
#[derive(Debug)]
pub(crate) struct Runner {
    model: Model,
    cache: KvCache,
    pub(crate) placement: Placement,
    /// Texts at once.
    caches: usize,
    steps: HashMap<(usize, Want), Step>,
}

/// What a step delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Want {
    /// Only the cache is filled.
    Nothing,
    /// The most likely token after each wanted one, and whether its logits are finite
    /// ([`finite::best_and_sum`]): f32 `[wanted, 2]`.
    Tokens,
    /// Logits after each wanted token: f32 `[wanted, vocab]`.
    Logits,
    /// Logits after every token, padding included: f32 `[n, vocab]`.
    AllLogits,
    /// Hidden states of every token, padding included: f32 `[n, hidden]`.
    AllHidden,
}

/// A captured step with its persistent tensors.
#[derive(Debug)]
struct Step {
    captured: Captured,
    shape: StepShape,
    input: Tensor,
    output: Option<Tensor>,
}

impl Runner {
    /// An empty cache for `caches` texts.
    pub(crate) fn new(model: &Model, layout: Layout, caches: usize) -> Result<Runner> {
        let (device, config, dtype) = (model.device(), model.config(), model.cache_dtype());
        let demand = memory::Demand { weights: 0, layout, dtype };
        demand.check(device, config)?;
        let cache = KvCache::new(device, config, layout, dtype).map_err(|e| demand.explain(e, device, config))?;
        let placement = Placement::new(layout, caches, model.context_len());
        Ok(Runner { model: model.clone(), cache, placement, caches, steps: HashMap::new() })
    }

    /// The model.
    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// Most tokens that one step takes.
    pub(crate) fn max_tokens(&self) -> usize {
        self.model.prefill_chunk().max(self.decode_tokens())
    }

    /// Tokens up to which a step is taken for one of different texts: one for each.
    fn decode_tokens(&self) -> usize {
        self.caches.next_power_of_two()
    }

    /// The step for at least `len` tokens.
    fn shape(&self, len: usize, want: Want) -> StepShape {
        let few = self.decode_tokens();
        let n = if len <= few { len.next_power_of_two() } else { len.next_power_of_two().max(MIN_CHUNK) };
        let gathers = matches!(want, Want::Tokens | Want::Logits) && n > few;
        StepShape {
            n,
            wanted: gathers.then_some(few),
            sequences: self.caches > 1 || self.placement.table_shape().is_some(),
            table: self.placement.table_shape(),
        }
    }

    /// Runs one step of checked tokens `(token, position, cache)` for whose positions there is
    /// room. Rows of the result that belong to the tokens `wanted` (indices, ascending) are
    /// returned with it; they are all of its first rows where every token has one.
    pub(crate) fn run(
        &mut self,
        tokens: &[(u32, usize, usize)],
        wanted: &[usize],
        want: Want,
    ) -> Result<(Option<Tensor>, Vec<usize>)> {
        let entry = |&(token, position, cache): &(u32, usize, usize)| {
            Ok(Entry { token, position, cache, row: self.placement.row(cache, position)? })
        };
        let entries = tokens.iter().map(entry).collect::<Result<Vec<_>>>()?;
        let shape = self.shape(entries.len(), want);
        let step = match self.steps.entry((shape.n, want)) {
            Slot::Occupied(entry) => entry.into_mut(),
            Slot::Vacant(entry) => {
                let single = shape.sequences && shape.n <= self.caches.next_power_of_two();
                entry.insert(Step::capture(&self.model, &self.cache, shape, single, want)?)
            }
        };
        let packed = shape.pack(&entries, self.placement.layout().rows(), &self.placement.table(), wanted);
        step.input.write(&packed)?;
        let output = step.output.clone();
        step.captured.run_into(&[&step.input], &output.iter().collect::<Vec<_>>())?;
        let rows = if step.shape.wanted.is_some() { (0..wanted.len()).collect() } else { wanted.to_vec() };
        Ok((output, rows))
    }
}

impl Step {
    fn capture(model: &Model, cache: &KvCache, shape: StepShape, single: bool, want: Want) -> Result<Step> {
        let (device, decoder) = (model.device(), model.decoder());
        let packed = TensorDesc::contiguous(DType::U32, &[shape.packed_len()])?;
        let mut made = None;
        let captured = device.capture(&[packed], |inputs| {
            let [packed] = inputs else { return Err(Error::internal("a step has one input")) };
            let step = StepInputs::unpack(packed, shape, single)?;
            let hidden = decoder.hidden(&step, cache)?;
            let wanted_logits = || match &step.wanted {
                Some(wanted) => decoder.logits(&hidden.gather_rows(wanted)?),
                None => decoder.logits(&hidden),
            };
            let output = match want {
                Want::Nothing => return Ok(Vec::new()),
                Want::Tokens => finite::best_and_sum(&wanted_logits()?)?,
                Want::Logits => wanted_logits()?,
                Want::AllLogits => decoder.logits(&hidden)?,
                Want::AllHidden => hidden,
            };
            made = Some(*output.desc());
            Ok(vec![output])
        })?;
        let output = made.map(|desc| device.empty(desc.dtype, &desc.shape)).transpose()?;
        Ok(Step { captured, shape, input: device.empty(DType::U32, &packed.shape)?, output })
    }
}

/// Elements of a tensor as read. The bytes come from a backend, not from a stranger.
pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// Rows of [`finite::best_and_sum`] as read.
pub(crate) fn tokens(bytes: &[u8]) -> Vec<Option<u32>> {
    floats(bytes).as_chunks().0.iter().map(|&row| finite::token(row)).collect()
}
