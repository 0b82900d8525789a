//! Memory that was used before: temporaries and scratch memory must not show what they held.
//!
//! A case runs, then buffers of many sizes are filled with a pattern and dropped, then the same case is
//! compiled anew, so that its temporaries may lie in that memory, and runs again: the bits must be the
//! same. The cases have temporaries: decompositions of composites, sums in several launches, joins of
//! partial results.

use unisono_core::{Backend, BufferDesc, KernelChoice, Result, Support};

use super::case::prepare;
use super::exec::{Bound, catch};
use super::program::settle;
use crate::case::{Case, Level, suite};
use crate::check::check;
use crate::hash::Fnv;
use crate::report::{CaseResult, Number, Status};

/// The id of the check.
pub(crate) const ID: &str = "program/recycled_memory:patterns=2:seed=1";

/// Families with a composite or with kernels that need memory of their own.
pub(super) const FAMILIES: [&str; 10] =
    ["matmul", "linear", "softmax", "attention", "swiglu", "add_rms_norm", "sum", "conv2d", "topk", "argsort"];
/// Cases of a family.
const CASES: usize = 2;

/// Runs the check.
pub(crate) async fn run_recycled(backend: &dyn Backend) -> CaseResult {
    let mut result = super::blank_program_result(ID);
    let start = web_time::Instant::now();
    let outcome = catch(async {
        let (mut ran, mut hash) = (0, Fnv::new());
        result.status = Status::Pass;
        for case in cases(backend) {
            let mut choices = vec![KernelChoice::Auto];
            if case.desc.op.is_composite() {
                choices.push(KernelChoice::Decompose);
            }
            for choice in choices {
                let Some(failure) = one(backend, &case, &choice, &mut hash).await? else { continue };
                ran += 1;
                if !failure.is_empty() {
                    result.status = Status::Fail;
                    result.ratio = Some(Number(f64::INFINITY));
                    result.detail = format!("{} ({choice:?}): {failure}", case.id);
                    return Ok(());
                }
            }
        }
        result.output_hash = hash.hex();
        if ran == 0 {
            let message = "no operation of the check is supported";
            return Err(unisono_core::Error::new(unisono_core::ErrorKind::Unsupported, message));
        }
        Ok(())
    })
    .await;
    result.seconds = start.elapsed().as_secs_f64();
    settle(result, outcome)
}

/// The longest small quick cases of each family: those that a kernel may split.
fn cases(backend: &dyn Backend) -> Vec<Case> {
    let suite = suite(Level::Quick);
    let mut chosen = Vec::new();
    for family in FAMILIES {
        let supported = |c: &&Case| !matches!(backend.supports(&c.desc), Support::Unsupported(_));
        let mut own: Vec<&Case> = suite.iter().filter(|c| c.family == family && !c.is_large()).collect();
        own.sort_by_key(|c| std::cmp::Reverse(c.desc.flops()));
        chosen.extend(own.into_iter().filter(supported).take(CASES).cloned());
    }
    chosen
}

/// What is wrong, in words, or an empty text; `None` where the device has no such kernel.
async fn one(backend: &dyn Backend, case: &Case, choice: &KernelChoice, hash: &mut Fnv) -> Result<Option<String>> {
    let prepared = prepare(case, &backend.info().numeric_modes)?;
    let bound = Bound::new(backend, &prepared.tensors)?;
    let Ok(plan) = bound.compile(choice.clone()) else { return Ok(None) };
    let first = bound.run(&plan, 0).await?;
    drop(plan);
    for (i, region) in prepared.tensors.outputs.iter().enumerate() {
        hash.update(&region.elements(&first.after[i]));
        let outcome = check(&prepared.expected[i], &region.desc, region.span(&first.after[i]));
        if !outcome.passed() {
            return Ok(Some(format!("output {i}: {} elements over the bound", outcome.failures)));
        }
    }
    for pattern in [[0xFF, 0xFF], [0xFF, 0x7F]] {
        poison(backend, pattern)?;
        let plan = bound.compile(choice.clone())?;
        let again = bound.run(&plan, 0).await?;
        for (i, region) in prepared.tensors.outputs.iter().enumerate() {
            if region.elements(&first.after[i]) != region.elements(&again.after[i]) {
                return Ok(Some(format!("output {i} has other bits where memory held {pattern:02x?} before")));
            }
        }
    }
    Ok(Some(String::new()))
}

/// Fills buffers of many sizes and drops them.
fn poison(backend: &dyn Backend, pattern: [u8; 2]) -> Result<()> {
    let mut held = Vec::new();
    for size in (8..=20).map(|e| 1usize << e).flat_map(|s| [s, s + s / 4, s + s / 2, s + 3 * s / 4]) {
        for _ in 0..if size <= 1 << 16 { 4 } else { 1 } {
            let buffer = backend.alloc(&BufferDesc::new(size as u64))?;
            backend.write(&buffer, 0, &pattern.repeat(size / 2))?;
            held.push(buffer);
        }
    }
    Ok(())
}
