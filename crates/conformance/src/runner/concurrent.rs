//! Several threads that submit to one device at once.
//!
//! Either each thread has buffers and plans of its own and data of its own, so a result that belongs
//! to another thread cannot pass: scenarios of the `program` family end as on the host, and cases of
//! the suite give the bits that they give to a single thread. Or all threads read the same inputs and
//! submit the same plans, each for outputs of its own and each another operation at a time.

use std::future::Future;
use std::sync::Arc;

use unisono_core::{Backend, Error, KernelChoice, Plan, Result, Support};

use super::case::prepare;
use super::exec::{Bound, Tensors, catch};
use super::program::{judge, refusal, settle};
use super::scenarios::{self, ProgramCase};
use crate::case::{Level, suite};
use crate::report::{CaseResult, Status};

/// The id of the check.
pub(crate) const ID: &str = "program/concurrent:threads=4:seed=1";

/// The id of the check with shared inputs and plans.
pub(crate) const SHARED_ID: &str = "program/concurrent_shared:threads=4,inputs=shared,plans=shared:seed=1";

const THREADS: i32 = 4;
const ROUNDS: i32 = 3;
/// Families whose first supported case of the quick level runs in every thread.
pub(super) const FAMILIES: [&str; 4] = ["matmul", "softmax", "rms_norm", "attention"];

/// Runs the check.
pub(crate) async fn run_concurrent(backend: &dyn Backend) -> CaseResult {
    let mut result = super::blank_program_result(ID);
    let start = web_time::Instant::now();
    let outcome = catch(async {
        let shared = single_threaded(backend).await?;
        let programs = programs(backend)?;
        if shared.is_empty() && programs.is_empty() {
            return Err(unsupported());
        }
        in_threads(&mut result, |i| one_thread(backend, i, &programs, &shared))
    })
    .await;
    result.seconds = start.elapsed().as_secs_f64();
    settle(result, outcome)
}

/// Runs the check with shared inputs and plans.
pub(crate) async fn run_shared(backend: &dyn Backend) -> CaseResult {
    let mut result = super::blank_program_result(SHARED_ID);
    let start = web_time::Instant::now();
    let outcome = catch(async {
        let references = single_threaded(backend).await?;
        if references.is_empty() {
            return Err(unsupported());
        }
        let mut shared = Vec::new();
        for reference in &references {
            let bound = Bound::new(backend, &reference.tensors)?;
            let plan = bound.compile(KernelChoice::Auto)?;
            shared.push((reference, bound, plan));
        }
        in_threads(&mut result, |i| one_sharing_thread(i, &shared))?;
        for (reference, bound, _) in &shared {
            if let Some(input) = bound.changed_input().await? {
                result.status = Status::Fail;
                result.detail = format!("input {input} of {} was written to", reference.id);
            }
        }
        Ok(())
    })
    .await;
    result.seconds = start.elapsed().as_secs_f64();
    settle(result, outcome)
}

/// Runs `work` in every thread at once; the first thing that went wrong goes into `result`.
fn in_threads<F, W>(result: &mut CaseResult, work: F) -> Result<()>
where
    F: Fn(i32) -> W + Sync,
    W: Future<Output = Result<Option<String>>>,
{
    let failures = std::thread::scope(|scope| {
        let work = &work;
        let thread = |i| scope.spawn(move || pollster::block_on(catch(work(i))));
        let threads: Vec<_> = (0..THREADS).map(thread).collect();
        let ended = threads.into_iter().map(|thread| match thread.join() {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Ok(Some(panic)),
            Err(_) => Ok(Some("a thread of the check panicked".to_string())),
        });
        ended.collect::<Result<Vec<Option<String>>>>()
    })?;
    let failure = failures.into_iter().flatten().next();
    result.status = if failure.is_some() { Status::Fail } else { Status::Pass };
    result.detail = failure.unwrap_or_default();
    Ok(())
}

/// A case whose inputs are on the device, and its plan.
type Shared<'a> = (&'a Reference, Bound<'a>, Arc<dyn Plan>);

/// Every shared case several times, beginning with another one than the other threads.
async fn one_sharing_thread(thread: i32, shared: &[Shared<'_>]) -> Result<Option<String>> {
    let own: Vec<Bound<'_>> = shared.iter().map(|(_, bound, _)| bound.sharing()).collect::<Result<_>>()?;
    for round in 0..4 * ROUNDS {
        let i = (thread + round) as usize % shared.len();
        let (reference, _, plan) = &shared[i];
        let run = own[i].run(plan, round as u32).await?;
        let tensors = &reference.tensors;
        let bits: Vec<Vec<u8>> = tensors.outputs.iter().zip(&run.after).map(|(r, after)| r.elements(after)).collect();
        if bits != reference.bits {
            return Ok(Some(format!("thread {thread}: other bits than a single thread in {}", reference.id)));
        }
    }
    Ok(None)
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
        let tensors = prepare(case, &[])?.tensors;
        let bits = outputs(backend, &tensors).await?;
        references.push(Reference { id: case.id.clone(), tensors, bits });
    }
    Ok(references)
}

fn unsupported() -> Error {
    let families = FAMILIES.join(", ");
    Error::new(
        unisono_core::ErrorKind::Unsupported,
        format!("none of {families} is supported, of which the check is made"),
    )
}

/// The programs whose every operation the device has.
fn programs(backend: &dyn Backend) -> Result<Vec<&'static ProgramCase>> {
    let mut programs = Vec::new();
    for case in scenarios::ALL {
        if refusal(backend, &(case.build)(1)?).is_none() {
            programs.push(case);
        }
    }
    Ok(programs)
}

async fn outputs(backend: &dyn Backend, tensors: &Tensors) -> Result<Vec<Vec<u8>>> {
    let bound = Bound::new(backend, tensors)?;
    let plan = bound.compile(KernelChoice::Auto)?;
    let run = bound.run(&plan, 0).await?;
    Ok(tensors.outputs.iter().zip(&run.after).map(|(region, after)| region.elements(after)).collect())
}

/// What one thread does; the first thing that went wrong, in words.
async fn one_thread(
    backend: &dyn Backend,
    thread: i32,
    programs: &[&ProgramCase],
    references: &[Reference],
) -> Result<Option<String>> {
    for round in 0..ROUNDS {
        for case in programs {
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
