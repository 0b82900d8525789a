//! Several threads that submit to one device at once.
//!
//! Each thread has buffers and plans of its own and data of its own, so a result that belongs to
//! another thread cannot pass. Two things are asked: scenarios of the `program` family end as on
//! the host, and cases of the suite give the bits that they give to a single thread.

use unisono_core::{Backend, Error, KernelChoice, Result, Support};

use super::case::prepare;
use super::exec::{Bound, Tensors, catch};
use super::program::{judge, settle};
use super::scenarios;
use crate::case::{Level, suite};
use crate::report::{CaseResult, Status};

/// The id of the check.
pub(crate) const ID: &str = "program/concurrent:threads=4:seed=1";

const THREADS: i32 = 4;
const ROUNDS: i32 = 3;
/// Families whose first supported case of the quick level runs in every thread.
const FAMILIES: [&str; 4] = ["matmul", "softmax", "rms_norm", "attention"];

/// Runs the check.
pub(crate) async fn run_concurrent(backend: &dyn Backend) -> CaseResult {
    let mut result = super::blank_program_result(ID);
    let start = web_time::Instant::now();
    let outcome = catch(async {
        let shared = single_threaded(backend).await?;
        let failure = std::thread::scope(|scope| {
            let shared = &shared;
            let thread = |i| scope.spawn(move || pollster::block_on(catch(one_thread(backend, i, shared))));
            let threads: Vec<_> = (0..THREADS).map(thread).collect();
            let ended = threads.into_iter().map(|thread| match thread.join() {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(panic)) => Ok(Some(panic)),
                Err(_) => Ok(Some("a thread of the check panicked".to_string())),
            });
            ended.collect::<Result<Vec<Option<String>>>>()
        })?;
        let failure = failure.into_iter().flatten().next();
        result.status = if failure.is_some() { Status::Fail } else { Status::Pass };
        result.detail = failure.unwrap_or_default();
        Ok(())
    })
    .await;
    result.seconds = start.elapsed().as_secs_f64();
    settle(result, outcome)
}

/// A case with the bits that its outputs have when nothing else runs.
struct Reference {
    id: String,
    tensors: Tensors,
    bits: Vec<Vec<u8>>,
}

async fn single_threaded(backend: &dyn Backend) -> Result<Vec<Reference>> {
    let suite = suite(Level::Quick);
    let mut references = Vec::new();
    for family in FAMILIES {
        let runs = |support: Support| !matches!(support, Support::Unsupported(_));
        let found = suite.iter().find(|c| c.family == family && runs(backend.supports(&c.desc)));
        let Some(case) = found else { continue };
        let tensors = prepare(case)?.tensors;
        let bits = outputs(backend, &tensors).await?;
        references.push(Reference { id: case.id.clone(), tensors, bits });
    }
    if references.is_empty() {
        return Err(Error::new(unisono_core::ErrorKind::Unsupported, "no operation of the check is supported"));
    }
    Ok(references)
}

async fn outputs(backend: &dyn Backend, tensors: &Tensors) -> Result<Vec<Vec<u8>>> {
    let bound = Bound::new(backend, tensors)?;
    let plan = bound.compile(KernelChoice::Auto)?;
    let run = bound.run(&plan, 0).await?;
    Ok(tensors.outputs.iter().zip(&run.after).map(|(region, after)| region.elements(after)).collect())
}

/// What one thread does; the first thing that went wrong, in words.
async fn one_thread(backend: &dyn Backend, thread: i32, references: &[Reference]) -> Result<Option<String>> {
    for round in 0..ROUNDS {
        for case in scenarios::ALL {
            let scenario = (case.build)(thread * ROUNDS + round)?;
            let mut result = super::blank_program_result(case.id);
            judge(backend, &scenario, &mut result).await?;
            if result.status != Status::Pass {
                return Ok(Some(format!("thread {thread}: {}: {}", case.id, result.detail)));
            }
        }
        for reference in references {
            if outputs(backend, &reference.tensors).await? != reference.bits {
                return Ok(Some(format!("thread {thread}: other bits than a single thread in {}", reference.id)));
            }
        }
    }
    Ok(None)
}
