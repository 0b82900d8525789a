//! A part of a large operation that an oracle in f64 can afford: some rows, columns or heads of the
//! output, as an operation of its own over parts of the same operands.
//!
//! Rows and columns of a product do not know of each other, so a product of eight chosen rows and 64
//! chosen columns gives exactly the elements that the whole has there. The first and the last are
//! always among the chosen: edges are where tiles go wrong.

use oorandom::Rand64;
use unisono_core::op::Visibility;
use unisono_core::{Op, OpDesc, Result, TensorDesc};

use crate::cases::Item;
use crate::data::{Picks, Source, extract};

/// Multiply-adds (or elements) that the oracle is given at most.
const BUDGET: usize = 3_000_000;

/// A part of an operation.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The operation on the parts.
    pub desc: OpDesc,
    /// The bytes of each input.
    pub inputs: Vec<Vec<u8>>,
    /// The former content of outputs that are updated in place.
    pub initial: Vec<Option<Vec<u8>>>,
    /// Which part of each output it gives.
    picks: Vec<Picks>,
}

/// Which part of each operand.
struct Choice {
    inputs: Vec<Picks>,
    outputs: Vec<Picks>,
    /// An input of numbers that are indices into another's first dimension, of which only these are
    /// left.
    renumbered: Option<(usize, Vec<usize>)>,
}

impl Sample {
    /// A part of `item` that fits the budget; the whole where that does.
    pub fn of(item: &Item) -> Result<Sample> {
        let choice = choose(item);
        let desc = &item.desc;
        let count = desc.inputs.len();
        let mut inputs = Vec::with_capacity(count);
        let mut part = OpDesc { op: desc.op.clone(), inputs: Vec::new(), outputs: Vec::new() };
        for (i, d) in desc.inputs.iter().enumerate() {
            let lead = item.lead_bytes(i);
            let (d, mut bytes) = extract(d, &choice.inputs[i], |at, to| item.inputs[i].read(lead + at, to))?;
            if let Some((input, kept)) = &choice.renumbered
                && *input == i
            {
                renumber(&mut bytes, kept);
            }
            part.inputs.push(d);
            inputs.push(bytes);
        }
        let mut initial = Vec::new();
        for (i, d) in desc.outputs.iter().enumerate() {
            let lead = item.lead_bytes(count + i);
            let former = item.initial[i].clone().unwrap_or(Source::Bytes(Vec::new().into()));
            let (d, bytes) = extract(d, &choice.outputs[i], |at, to| former.read(lead + at, to))?;
            part.outputs.push(d);
            initial.push(item.initial[i].is_some().then_some(bytes));
        }
        part.validate()?;
        Ok(Sample { desc: part, inputs, initial, picks: choice.outputs })
    }

    /// The part of output `index` in a whole one, given as the bytes of its buffer.
    pub fn part(&self, item: &Item, index: usize, bytes: &[u8]) -> Result<(TensorDesc, Vec<u8>)> {
        let lead = item.lead_bytes(item.desc.inputs.len() + index) as usize;
        extract(&item.desc.outputs[index], &self.picks[index], |at, to| {
            let from = (lead + at as usize).min(bytes.len());
            let n = to.len().min(bytes.len() - from);
            to[..n].copy_from_slice(&bytes[from..from + n]);
        })
    }
}

/// The numbers as their places in `kept`; what is not in it stays out of range.
fn renumber(bytes: &mut [u8], kept: &[usize]) {
    for word in bytes.chunks_exact_mut(4) {
        let number = u32::from_le_bytes([word[0], word[1], word[2], word[3]]) as usize;
        let place = kept.binary_search(&number).map_or(u32::MAX, |at| at as u32);
        word.copy_from_slice(&place.to_le_bytes());
    }
}

/// `count` of `0..n` in order, with the first and the last; all if there are no more.
fn spread(random: &mut Rand64, n: usize, count: usize) -> Vec<usize> {
    if n <= count.max(2) {
        return (0..n).collect();
    }
    let mut chosen = vec![0, n - 1];
    while chosen.len() < count {
        let next = random.rand_range(0..n as u64) as usize;
        if !chosen.contains(&next) {
            chosen.push(next);
        }
    }
    chosen.sort_unstable();
    chosen
}

fn choose(item: &Item) -> Choice {
    let desc = &item.desc;
    // The id decides, so that a row that fails does so again.
    let seed = item.id.bytes().fold(1u128, |h, b| h.wrapping_mul(0x0100_0000_01b3) ^ u128::from(b));
    let mut random = Rand64::new(seed);
    let whole = Choice {
        inputs: vec![Picks::all(); desc.inputs.len()],
        outputs: vec![Picks::all(); desc.outputs.len()],
        renumbered: None,
    };
    match &desc.op {
        Op::MatMul | Op::Linear(_) => product(desc, &mut random, whole),
        Op::MatMulId => experts(item, &mut random, whole),
        Op::Attention(op) if !op.paged && !op.sequences && !op.mask && !op.sinks => {
            attention(desc, op.visibility, &mut random, whole)
        }
        Op::Rope(_) => {
            let row: usize = desc.outputs[0].shape[2..].iter().product();
            let tokens = spread(&mut random, desc.outputs[0].shape[1], BUDGET / 10 / row.max(1));
            let pick = Picks::all().with(1, &tokens);
            let inputs = vec![pick.clone(), Picks::all(), Picks::all(), pick.clone()];
            Choice { inputs, outputs: vec![pick], ..whole }
        }
        op if by_rows(op) => rows(desc, &mut random, whole),
        _ => whole,
    }
}

/// Whether each row of the first dimension of every operand of that many rows stands for itself.
fn by_rows(op: &Op) -> bool {
    matches!(
        op,
        Op::Unary(_)
            | Op::Binary(_)
            | Op::Gated(_)
            | Op::Clamp(_)
            | Op::ScaleShift(_)
            | Op::RmsNorm(_)
            | Op::AddRmsNorm(_)
            | Op::LayerNorm(_)
            | Op::L2Norm(_)
            | Op::TopK(_)
    )
}

fn rows(desc: &OpDesc, random: &mut Rand64, whole: Choice) -> Choice {
    let y = &desc.outputs[0];
    // Vectors (weights of a norm) have one dimension; rows need two.
    if y.rank() < 2 {
        return whole;
    }
    let row: usize = y.shape[1..].iter().product();
    let pick = Picks::all().with(0, &spread(random, y.shape[0], BUDGET / 10 / row.max(1)));
    let of = |d: &TensorDesc| if d.rank() == y.rank() { pick.clone() } else { Picks::all() };
    Choice {
        inputs: desc.inputs.iter().map(of).collect(),
        outputs: desc.outputs.iter().map(of).collect(),
        renumbered: None,
    }
}

fn product(desc: &OpDesc, random: &mut Rand64, whole: Choice) -> Choice {
    let (a, y) = (&desc.inputs[0], &desc.outputs[0]);
    let r = y.rank();
    let [m, k, n] = [y.shape[r - 2], a.shape[r - 1], y.shape[r - 1]];
    let batch: usize = y.shape[..r - 2].iter().product();
    let b_cut = desc.inputs[1].block_axis().is_some_and(|axis| axis != r - 2);
    if batch * m * k * n <= BUDGET || b_cut {
        return whole;
    }
    let rows = spread(random, m, 8);
    let columns = spread(random, n, (BUDGET / (batch * rows.len() * k).max(1)).clamp(16, 512));
    let both = Picks::all().with(r - 2, &rows).with(r - 1, &columns);
    let mut inputs = vec![Picks::all().with(r - 2, &rows), Picks::all().with(r - 1, &columns)];
    if let Op::Linear(op) = &desc.op {
        inputs.extend(op.bias.then(|| Picks::all().with(0, &columns)));
        inputs.extend(op.residual.then(|| both.clone()));
    }
    Choice { inputs, outputs: vec![both], ..whole }
}

/// Few tokens, with the experts that these chose.
fn experts(item: &Item, random: &mut Rand64, whole: Choice) -> Choice {
    let (b, ids, y) = (&item.desc.inputs[1], &item.desc.inputs[2], &item.desc.outputs[0]);
    let [experts, k, n] = [b.shape[0], b.shape[1], b.shape[2]];
    let b_cut = b.block_axis().is_some_and(|axis| axis != 1);
    if y.elements() * k <= BUDGET || b_cut || ids.dtype != unisono_core::DType::U32 {
        return whole;
    }
    let tokens = spread(random, y.shape[0], 3);
    let used = y.shape[1];
    let columns = spread(random, n, (BUDGET / (tokens.len() * used * k).max(1)).clamp(8, 512));
    let pick = Picks::all().with(0, &tokens);
    let chosen = extract(ids, &pick, |at, to| item.inputs[2].read(item.lead_bytes(2) + at, to));
    let numbers = chosen.map(|(_, bytes)| bytes).unwrap_or_default();
    let mut kept: Vec<usize> = numbers
        .chunks_exact(4)
        .map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]) as usize)
        .filter(|&id| id < experts)
        .collect();
    kept.sort_unstable();
    kept.dedup();
    Choice {
        inputs: vec![pick.clone(), Picks::all().with(0, &kept).with(2, &columns), pick.clone()],
        outputs: vec![pick.with(2, &columns)],
        renumbered: Some((2, kept)),
    }
}

/// One query head for each of some key-value heads, and some tokens where limits say what each sees.
fn attention(desc: &OpDesc, visibility: Visibility, random: &mut Rand64, whole: Choice) -> Choice {
    let (q, k) = (&desc.inputs[0], &desc.inputs[1]);
    let [heads, tokens, width] = [q.shape[1], q.shape[2], q.shape[3]];
    let [kv_heads, kv] = [k.shape[1], k.shape[2]];
    if kv_heads == 0 || q.elements() * kv <= BUDGET {
        return whole;
    }
    let group = heads / kv_heads;
    let kv_chosen = spread(random, kv_heads, 2);
    let chosen: Vec<usize> = kv_chosen.iter().map(|&h| h * group + h % group).collect();
    let cut = visibility != Visibility::Causal;
    let affordable = BUDGET / (q.shape[0] * chosen.len() * kv * width).max(1);
    let some = if cut { spread(random, tokens, affordable.clamp(2, 16)) } else { (0..tokens).collect() };
    let queries = Picks::all().with(1, &chosen).with(2, &some);
    let keys = Picks::all().with(1, &kv_chosen);
    let mut inputs = vec![queries.clone(), keys.clone(), keys];
    inputs.extend((visibility == Visibility::Limits).then(|| Picks::all().with(1, &some)));
    Choice { inputs, outputs: vec![queries], ..whole }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::{self, SETS, Selection};
    use crate::data::Patterns;
    use unisono_conformance::{check, evaluate};
    use unisono_core::DType;

    fn items(sets: &[&str], shapes: &[&str], dtypes: &[DType], tokens: usize) -> Vec<Item> {
        let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let selection = Selection {
            sets: strings(sets),
            shapes: strings(shapes),
            dtypes: dtypes.to_vec(),
            tokens: Some(tokens),
            ..Selection::default()
        };
        cases::items(&selection, &mut Patterns::new()).unwrap()
    }

    /// The oracle on the part must say what it says on the whole, there.
    #[test]
    fn the_part_of_the_answer_is_the_answer_of_the_part() {
        let mut sampled = 0;
        let mut list = items(&["llama-prefill"], &["1b"], &[DType::Q8_0], 3);
        list.extend(items(&["bert"], &["mini"], &[DType::F16], 40));
        list.extend(items(&["moe"], &["30b-a3b"], &[DType::Q4_0], 2));
        for item in list {
            // The whole must be possible too.
            if item.desc.flops() > 80_000_000 || item.slot_bytes(1) > 8 << 20 {
                continue;
            }
            let whole_inputs: Vec<Vec<u8>> = (0..item.desc.inputs.len())
                .map(|i| {
                    let mut bytes = vec![0; item.slot_bytes(i) as usize];
                    item.inputs[i].read(0, &mut bytes);
                    bytes
                })
                .collect();
            let former = |i: usize| {
                item.initial[i].as_ref().map(|s| {
                    let mut bytes = vec![0; item.desc.outputs[i].span_bytes() as usize];
                    s.read(0, &mut bytes);
                    bytes
                })
            };
            let initial: Vec<_> = (0..item.desc.outputs.len()).map(former).collect();
            let whole = evaluate(&item.desc, &whole_inputs, &initial).unwrap();
            let sample = Sample::of(&item).unwrap();
            let part = evaluate(&sample.desc, &sample.inputs, &sample.initial).unwrap();
            for (i, d) in item.desc.outputs.iter().enumerate() {
                if d.dtype != DType::F32 {
                    continue;
                }
                // The values of the whole as an output of a device.
                let bytes: Vec<u8> = whole[i].values.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect();
                let (desc, bytes) = sample.part(&item, i, &bytes).unwrap();
                let values = unisono_conformance::read_logical(&desc, &bytes).unwrap();
                let expected: Vec<f64> = part[i].values.iter().map(|&v| f64::from(v as f32)).collect();
                assert_eq!(values, expected, "{}", item.id);
                sampled += usize::from(values.len() < d.elements());
            }
        }
        assert!(sampled >= 5, "{sampled} items were cut");
    }

    #[test]
    fn a_wrong_element_in_the_sample_is_found() {
        let item = items(&["llama-prefill"], &["1b"], &[DType::Q4_0], 16)
            .into_iter()
            .find(|i| i.id.contains("attn_q"))
            .unwrap();
        let sample = Sample::of(&item).unwrap();
        let expected = evaluate(&sample.desc, &sample.inputs, &sample.initial).unwrap().remove(0);
        let n = item.desc.outputs[0].shape[1];
        // What the device wrote: right where the sample looks.
        let mut bytes = vec![0; item.slot_bytes(2) as usize];
        let places = |picks: &Picks| {
            let mut at = Vec::new();
            let d = &item.desc.outputs[0];
            extract(d, picks, |byte, _| at.push(byte as usize)).unwrap();
            at
        };
        let places = places(&sample.picks[0]);
        let (desc, _) = sample.part(&item, 0, &bytes).unwrap();
        assert_eq!((places.len(), desc.elements()), (expected.values.len(), expected.values.len()));
        for (&at, &value) in places.iter().zip(&expected.values) {
            bytes[at..at + 4].copy_from_slice(&(value as f32).to_le_bytes());
        }
        let outcome = |bytes: &[u8]| {
            let (desc, part) = sample.part(&item, 0, bytes).unwrap();
            check(&expected, &desc, &part)
        };
        assert!(outcome(&bytes).passed(), "{:?}", outcome(&bytes));
        let last = 4 * (16 * n - 1);
        assert!(places.contains(&0) && places.contains(&last), "both ends are in the sample");
        bytes[last..last + 4].copy_from_slice(&1e6f32.to_le_bytes());
        assert_eq!(outcome(&bytes).failures, 1);
    }

    #[test]
    fn every_item_is_cut_to_the_budget() {
        for (set, shape) in SETS.into_iter().zip(["1b", "1b", "base", "30b-a3b"]) {
            for item in items(&[set], &[shape], &[DType::Q4_0, DType::F16], 128) {
                let sample = Sample::of(&item).unwrap();
                let products = matches!(item.desc.op, Op::MatMul | Op::MatMulId | Op::Linear(_) | Op::Attention(_));
                let work = if products { sample.desc.flops() / 2 } else { sample.desc.flops() / 5 };
                assert!(work <= 3 * BUDGET as u64, "{}: {work}", item.id);
            }
        }
    }
}
