//! One case on every kernel that can serve it, and the verdict on each.

use unisono_core::{
    Backend, DType, KernelChoice, NumericMode, Op, Operand, ProgramBuilder, Result, SlotKind, Support, decomposition,
};

use super::exec::{Bound, Run, Tensors, catch};
use super::{Kernels, Observation, Options, now};
use crate::arena::{Poison, Region};
use crate::case::{Case, CaseClass};
use crate::check::{Expected, Outcome, check};
use crate::hash::Fnv;
use crate::report::{CaseResult, Number, Status, Worst};

/// Of so many cases a kernel that is not selected runs one at the quick level. A 16-bit type makes it
/// another kernel to be built, and kernels of products and attention take some drivers a second.
const SAMPLED: u64 = 3;
const SAMPLED_16_BIT: u64 = 6;
const SAMPLED_LARGE: u64 = 8;
const SAMPLED_LARGE_16_BIT: u64 = 24;
/// Chosen so that every kernel of every operation is run at the quick level, for every vendor; a test
/// of the WGSL backend's selection holds it to that.
const SALT: u32 = 9315;

/// The name under which the decomposition of a composite is reported.
pub const DECOMPOSITION: &str = "decomposition";

/// A case with its data and the oracle's answer: evaluated once, used by every kernel.
pub(crate) struct Prepared {
    pub(crate) tensors: Tensors,
    pub(crate) expected: Vec<Expected>,
    pub(crate) input_hash: String,
}

/// Generates the data of `case` and asks the oracle.
pub(crate) fn prepare(case: &Case, modes: &[NumericMode]) -> Result<Prepared> {
    now::begin("the expected values");
    let desc = case.desc.clone();
    let offset = |i: usize| case.offsets.get(i).copied().unwrap_or(0);
    let n = desc.inputs.len();
    let inputs: Vec<Vec<u8>> = (0..n).map(|i| case.input_bytes(i)).collect::<Result<_>>()?;
    let expected = case.evaluate_with(&inputs, modes)?;
    let input_regions: Vec<Region> =
        desc.inputs.iter().enumerate().map(|(i, d)| Region::new(*d, offset(i))).collect::<Result<_>>()?;
    let outputs = desc.outputs.iter().enumerate().map(|(i, d)| Region::new(*d, offset(n + i)));
    let outputs: Vec<Region> = outputs.collect::<Result<_>>()?;
    let initial = (0..outputs.len()).map(|i| case.initial_output_bytes(i)).collect();
    let mut hash = Fnv::new();
    inputs.iter().for_each(|bytes| hash.update(bytes));
    let images = input_regions.iter().zip(&inputs).map(|(r, bytes)| r.image(Some(bytes), Poison::Ones));
    let input_images = images.collect();
    let tensors = Tensors { desc, inputs: input_regions, outputs, input_images, initial };
    now::step();
    Ok(Prepared { tensors, expected, input_hash: hash.hex() })
}

/// A kernel to run a case on.
struct Candidate {
    name: String,
    choice: KernelChoice,
    selected: bool,
}

/// Runs `case` on every candidate kernel, and shows each output of a first run to `observer`.
pub(crate) async fn run_case(
    backend: &dyn Backend,
    case: &Case,
    options: &Options,
    observer: &mut dyn FnMut(&Observation<'_>),
) -> Vec<CaseResult> {
    let modes = &backend.info().numeric_modes;
    let numeric_modes = case.concerned_by(modes).into_iter().map(|mode| mode.name().to_string()).collect();
    let blank = CaseResult { numeric_modes, ..blank_result(case) };
    let candidates = match catch(async { candidates(backend, case, options) }).await {
        Ok(Ok(mut candidates)) => {
            candidates.retain(|c| options.asks_for(&case.id, &c.name));
            candidates
        }
        Ok(Err(result)) => return vec![CaseResult { status: result.0, detail: result.1, ..blank }],
        Err(panic) => return vec![CaseResult { status: Status::Error, detail: panic, ..blank }],
    };
    if candidates.is_empty() {
        return Vec::new();
    }
    let prepared = match prepare(case, modes) {
        Ok(prepared) => prepared,
        Err(e) => {
            return vec![CaseResult { status: Status::Error, detail: format!("the case is broken: {e}"), ..blank }];
        }
    };
    let blank = CaseResult { input_hash: prepared.input_hash.clone(), ..blank };
    let mut results = Vec::new();
    for candidate in candidates {
        let mut result = blank.clone();
        result.kernel.clone_from(&candidate.name);
        result.selected = candidate.selected;
        now::begin(&candidate.name);
        if candidate.choice == KernelChoice::Decompose
            && let Some(reason) = missing_primitive(backend, case)
        {
            result.status = Status::Unsupported;
            result.detail = reason;
            results.push(result);
            continue;
        }
        match catch(run_kernel(backend, case, &prepared, &candidate, options, &mut result, observer)).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => (result.status, result.detail) = (Status::Error, e.to_string()),
            Err(panic) => (result.status, result.detail) = (Status::Error, panic),
        }
        results.push(result);
    }
    results
}

/// A result of `case` that says nothing yet.
pub(crate) fn blank_result(case: &Case) -> CaseResult {
    let informative = case.class == CaseClass::Informative;
    let result = super::blank_result(&case.id, case.family, case.dtype.name());
    CaseResult { informative, ..result }
}

/// The kernels to run, or why there are none. Also holds the backend to the promise that
/// `supports`, `kernels` and `compile` agree.
fn candidates(backend: &dyn Backend, case: &Case, options: &Options) -> Result<Vec<Candidate>, (Status, String)> {
    let named = backend.kernels(&case.desc);
    let decomposition =
        |selected| Candidate { name: DECOMPOSITION.to_string(), choice: KernelChoice::Decompose, selected };
    match backend.supports(&case.desc) {
        Support::Unsupported(reason) if named.is_empty() => {
            if compiles(backend, case) {
                return Err((Status::Fail, format!("supports() declines ({reason}), but compile() accepts")));
            }
            Err((Status::Unsupported, reason.to_string()))
        }
        Support::Composed if named.is_empty() => Ok(vec![decomposition(true)]),
        Support::Native if !named.is_empty() => {
            let kernel = |(i, name): (usize, std::sync::Arc<str>)| Candidate {
                name: name.to_string(),
                choice: KernelChoice::Named(name),
                selected: i == 0,
            };
            let mut all: Vec<Candidate> = named.into_iter().enumerate().map(kernel).collect();
            if case.desc.op.is_composite() {
                all.push(decomposition(false));
            }
            match options.kernels {
                Kernels::All => {}
                Kernels::Sampled => all.retain(|c| c.selected || is_sampled(case, &c.name)),
                Kernels::Selected => all.truncate(1),
            }
            Ok(all)
        }
        support => {
            Err((Status::Fail, format!("supports() answers {support:?}, but kernels() names {} kernels", named.len())))
        }
    }
}

/// Whether a kernel that is not selected runs this case at the quick level: the same ones on every
/// machine.
#[doc(hidden)]
pub fn is_sampled(case: &Case, kernel: &str) -> bool {
    let mut hash = Fnv::new();
    hash.update(&SALT.to_le_bytes());
    hash.update(case.id.as_bytes());
    hash.update(kernel.as_bytes());
    let mut operands = case.desc.inputs.iter().chain(&case.desc.outputs);
    let is_16_bit = operands.any(|d| matches!(d.dtype, DType::F16 | DType::BF16));
    let is_large = matches!(case.desc.op, Op::MatMul | Op::Linear(_) | Op::MatMulId | Op::Attention(_));
    let one_in = match (is_large, is_16_bit) {
        (false, false) => SAMPLED,
        (false, true) => SAMPLED_16_BIT,
        (true, false) => SAMPLED_LARGE,
        (true, true) => SAMPLED_LARGE_16_BIT,
    };
    // The lower bits of this hash are weak.
    (hash.value() >> 32).is_multiple_of(one_in)
}

fn compiles(backend: &dyn Backend, case: &Case) -> bool {
    let mut builder = ProgramBuilder::new();
    let inputs: Vec<Operand> = case.desc.inputs.iter().map(|&d| builder.operand(SlotKind::Input, d)).collect();
    let outputs: Vec<Operand> = case.desc.outputs.iter().map(|&d| builder.operand(SlotKind::State, d)).collect();
    builder.push(case.desc.op.clone(), &inputs, &outputs).is_ok() && backend.compile(&builder.finish()).is_ok()
}

fn missing_primitive(backend: &dyn Backend, case: &Case) -> Option<String> {
    match decomposition(&case.desc) {
        Err(e) => Some(e.to_string()),
        Ok(program) => program.steps().iter().find_map(|step| match backend.supports(&step.desc()) {
            Support::Unsupported(reason) => Some(format!("{}: {reason}", step.op.name())),
            _ => None,
        }),
    }
}

async fn run_kernel(
    backend: &dyn Backend,
    case: &Case,
    prepared: &Prepared,
    candidate: &Candidate,
    options: &Options,
    result: &mut CaseResult,
    observer: &mut dyn FnMut(&Observation<'_>),
) -> Result<()> {
    let tensors = &prepared.tensors;
    let bound = Bound::new(backend, tensors)?;
    let plan = bound.compile(candidate.choice.clone())?;
    let mut broken = Vec::new();
    if let KernelChoice::Named(name) = &candidate.choice {
        let compiled = plan.kernel_names();
        if compiled.len() != 1 || compiled[0] != *name {
            broken.push(format!("asked for the kernel {name}, the plan has {compiled:?}"));
        }
        if candidate.selected {
            let chosen = bound.compile(KernelChoice::Auto)?.kernel_names();
            if chosen.len() != 1 || chosen[0] != *name {
                broken.push(format!("kernels() names {name} first, the selector chooses {chosen:?}"));
            }
        }
    }
    let mut runs = vec![bound.run(&plan, 0).await?];
    if let Some(i) = bound.changed_input().await? {
        broken.push(format!("wrote to its input {}", operand_name(case, i, true)));
    }
    let mut unstable = Vec::new();
    for i in 1..options.repeats_of(candidate.selected, case.is_large()) {
        let run = bound.run(&plan, i).await?;
        if let Some(difference) = difference(tensors, &runs[0], &run) {
            unstable.push(format!("run {} differs from the first: {difference}", i + 1));
        }
        // Two runs, of different poison, decide what was written; more need not be kept.
        if runs.len() < 2 {
            runs.push(run);
        }
    }
    result.seconds = runs[0].time.as_secs_f64();
    let mut wrong = Vec::new();
    let mut warnings = Vec::new();
    let mut hash = Fnv::new();
    for (i, region) in tensors.outputs.iter().enumerate() {
        let name = operand_name(case, i, false);
        let after = &runs[0].after[i];
        hash.update(&region.elements(after));
        broken.extend(runs.iter().find_map(|run| region.trespass(&name, &run.before[i], &run.after[i])));
        broken.extend(unwritten(tensors, i, &name, &prepared.expected[i], &runs));
        let (expected, desc, actual) = (&prepared.expected[i], &region.desc, region.span(after));
        observer(&Observation { kernel: &candidate.name, output: i, expected, desc, actual });
        let outcome = check(expected, desc, actual);
        keep_worst(result, i, region, &outcome);
        if outcome.failures > 0 {
            wrong.push(format!("{name}: {} of {} elements over the bound", outcome.failures, outcome.elements));
        } else if outcome.warnings > 0 {
            warnings.push(format!(
                "{name}: {} of {} elements over the probable error, the worst {:.1} times",
                outcome.warnings, outcome.elements, outcome.worst_quality_ratio
            ));
        }
    }
    // Last of what is broken: elements in wrong places, or not written, make runs of different poison
    // differ, and are the cause then.
    broken.extend(unstable);
    result.output_hash = hash.hex();
    let informative = case.class == CaseClass::Informative;
    result.status = match () {
        () if !broken.is_empty() || (!wrong.is_empty() && !informative) => Status::Fail,
        () if !wrong.is_empty() => Status::Info,
        () if !warnings.is_empty() => Status::Warn,
        () => Status::Pass,
    };
    let details: Vec<String> = broken.into_iter().chain(wrong).chain(warnings).collect();
    result.detail = details.join("; ");
    Ok(())
}

fn operand_name(case: &Case, index: usize, input: bool) -> String {
    let (inputs, outputs) = case.desc.op.operand_names();
    let names = if input { inputs } else { outputs };
    names.get(index).map_or_else(|| index.to_string(), ToString::to_string)
}

/// The first element in which two runs differ, in words.
fn difference(tensors: &Tensors, first: &Run, other: &Run) -> Option<String> {
    tensors.outputs.iter().enumerate().find_map(|(i, region)| {
        let (a, b) = (region.elements(&first.after[i]), region.elements(&other.after[i]));
        let size = region.desc.dtype.block_bytes();
        let at = a.chunks(size).zip(b.chunks(size)).position(|(a, b)| a != b);
        at.map(|at| format!("output {i} at {:?}", region.index_of_unit(at)))
    })
}

/// Elements of output `i` that nothing wrote. Former content of an updated output may stay.
fn unwritten(tensors: &Tensors, i: usize, name: &str, expected: &Expected, runs: &[Run]) -> Option<String> {
    if tensors.initial[i].is_some() {
        return None;
    }
    let region = &tensors.outputs[i];
    let seen: Vec<(Poison, &[u8])> = runs.iter().map(|run| (run.poison, run.after[i].as_slice())).collect();
    let mut missing = region.unwritten(&seen);
    if seen.len() == 1 {
        // One run cannot tell the pattern from a result that equals it, where that may be one.
        let float = region.desc.dtype.is_float();
        missing.retain(|&at| float && expected.values.get(at).is_some_and(|v| !v.is_nan()));
    }
    let first = *missing.first()?;
    Some(format!("{name}: {} elements were not written, the first at {:?}", missing.len(), region.index_of_unit(first)))
}

/// Keeps the element with the largest error/bound of all outputs.
fn keep_worst(result: &mut CaseResult, output: usize, region: &Region, outcome: &Outcome) {
    if result.ratio.is_some_and(|ratio| ratio.0 >= outcome.worst_ratio) {
        return;
    }
    result.ratio = Some(Number(outcome.worst_ratio));
    result.worst = outcome.worst.map(|worst| Worst {
        output,
        index: region.index_of(worst.index),
        expected: Number(worst.expected),
        actual: Number(worst.actual),
        bound: Number(worst.bound),
    });
}
