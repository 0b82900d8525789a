//! ONNX Runtime's CPU provider, loaded from the library that a variable names: a model of one node
//! for each row, run into memory that stays where it is.
//!
//! Weights are constants of a model, which the runtime packs when it makes a session; so a cold row
//! has a session for each copy of its weight. All sessions share one pool of threads, as in a
//! program with several models. (With a pool each, the threads of the session before would still
//! spin beside those of the next; cold rows take 1.6 times as long or more then, on two cores.)
//!
//! Threads of the pool spin for 30 to 40 ms after a run, which is the runtime's default and is left
//! so within a sample. The setting `session.force_spinning_stop` would end that after each run and
//! not after each sample, for pools of single sessions only, and costs 10 to 20% in rows below half
//! a millisecond. So `rest` waits until the threads sleep.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use half::f16;
use ort::environment::{Environment, GlobalThreadPoolOptions};
use ort::memory::Allocator;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{IoBinding, Session};
use ort::value::{DynTensor, TensorElementType};

use crate::data::Data;
use crate::measure::{Entry, Runner};
use crate::onnx_model::{Element, OUTPUT, input_name};
use crate::onnx_rows::{Prepared, prepared};
use crate::row::Row;

/// The variable that names the library.
const VARIABLE: &str = "ORT_DYLIB_PATH";
/// How long threads of the pool may take to fall asleep.
const SPINNING: Duration = Duration::from_millis(250);

/// The runtime allows one per process; with its number of threads.
static ENVIRONMENT: Mutex<Option<(Environment, usize)>> = Mutex::new(None);

fn help() -> String {
    format!(
        "{VARIABLE} has to name ONNX Runtime's library, which PyPI's wheel `onnxruntime` carries under \
         `onnxruntime/capi/`"
    )
}

fn library() -> Result<OsString> {
    std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).with_context(help)
}

/// Loads the library when it is called first.
fn environment(threads: usize) -> Result<Environment> {
    let mut slot = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((environment, made_with)) = &*slot {
        ensure!(*made_with == threads, "ONNX Runtime's pool has {made_with} threads already, not {threads}");
        return Ok(environment.clone());
    }
    let builder = ort::init_from(library()?).with_context(help)?;
    let pool = GlobalThreadPoolOptions::default().with_intra_threads(threads)?.with_inter_threads(1)?;
    let environment = builder.with_telemetry(false).with_global_thread_pool(pool).build()?;
    Ok(slot.insert((environment, threads)).0.clone())
}

/// The version of the library, by its name and by the commit that it was built from: the runtime
/// tells its number only to whoever loads it.
pub(crate) fn version() -> String {
    let loaded = library().and_then(|path| ort::init_from(&path).map(|_| path).with_context(help));
    let Ok(path) = loaded else { return "not loaded".to_owned() };
    let path = fs::canonicalize(&path).unwrap_or_else(|_| path.into());
    let commit = ort::info().split(['=', ',', ' ']).skip_while(|part| *part != "git-commit-id").nth(1);
    format!("{} of commit {}", file_name(&path), commit.unwrap_or("unknown"))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

struct OnnxRuntime {
    sessions: Vec<Session>,
    /// The place of a session, with operands and result of a run in it.
    runs: Vec<(usize, IoBinding)>,
    at: usize,
    output: DynTensor,
}

impl Runner for OnnxRuntime {
    fn run(&mut self, iterations: usize) -> Result<()> {
        for _ in 0..iterations {
            self.at = (self.at + 1) % self.runs.len();
            let (session, binding) = &self.runs[self.at];
            self.sessions[*session].run_binding(binding)?;
        }
        Ok(())
    }

    fn output(&mut self) -> Result<Option<Vec<f32>>> {
        if self.output.data_type() == &TensorElementType::Float32 {
            return Ok(Some(self.output.try_extract_tensor()?.1.to_vec()));
        }
        ensure!(self.output.data_type() == &TensorElementType::Float16, "a result is f32 or f16");
        let count = self.output.shape().num_elements();
        // SAFETY: the tensor is alive, lies in the host's memory and has `count` elements of 16
        // bits, all written since it was made; nobody writes while it is borrowed.
        let halves = unsafe { std::slice::from_raw_parts(self.output.data_ptr().cast::<f16>(), count) };
        Ok(Some(halves.iter().map(|v| v.to_f32()).collect()))
    }

    fn rest(&mut self) {
        let start = Instant::now();
        while start.elapsed() < SPINNING && running_threads().is_none_or(|count| count > 1) {
            sleep(Duration::from_millis(2));
        }
    }
}

/// How many threads of this process run or want to, the caller's included, where the system tells.
fn running_threads() -> Option<usize> {
    let threads = fs::read_dir("/proc/self/task").ok()?.flatten();
    // Number, name in brackets, state; a thread may have ended since it was listed.
    let states = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    Some(states.filter(|text| state(text) == Some("R")).count())
}

/// The state in a line of Linux's `stat`.
fn state(stat: &str) -> Option<&str> {
    stat.rsplit_once(')')?.1.split_whitespace().next()
}

/// ONNX Runtime, in the rows that one of its operators serves.
pub(crate) fn prepare(row: &Row, data: &Data, threads: usize) -> Result<Option<Entry>> {
    let Some(Prepared { model, operands, variant }) = prepared(&row.work, data)? else { return Ok(None) };
    let environment = environment(threads)?;
    let file = model.encode();
    // Weights belong to a session, keys and values to a run.
    let (many, runs_each) = if model.constants.is_empty() { (1, row.copies()) } else { (row.copies(), 1) };
    let (element, shape) = &model.output;
    let mut output = tensor(*element, shape)?;
    let (mut sessions, mut runs) = (Vec::new(), Vec::new());
    for place in 0..many {
        let session = session(&environment, &file)?;
        for _ in 0..runs_each {
            let mut binding = session.create_binding()?;
            for (i, ((element, shape), bytes)) in model.inputs.iter().zip(&operands).enumerate() {
                let mut operand = tensor(*element, shape)?;
                write(&mut operand, bytes)?;
                binding.bind_input(input_name(i), &operand)?;
            }
            binding.bind_output(OUTPUT, &mut output)?;
            runs.push((place, binding));
        }
        sessions.push(session);
    }
    Ok(Some(Entry::new("onnxruntime", variant, OnnxRuntime { sessions, runs, at: 0, output })))
}

fn session(environment: &Environment, file: &[u8]) -> ort::Result<Session> {
    let builder = Session::builder(environment)?.with_parallel_execution(false)?;
    builder.with_optimization_level(GraphOptimizationLevel::All)?.commit_from_memory(file)
}

/// Memory for a tensor, filled with zeros.
fn tensor(element: Element, shape: &[usize]) -> Result<DynTensor> {
    let kind = match element {
        Element::F32 => TensorElementType::Float32,
        Element::F16 => TensorElementType::Float16,
        Element::U8 => TensorElementType::Uint8,
        Element::I64 => TensorElementType::Int64,
    };
    Ok(DynTensor::new(&Allocator::default(), kind, shape)?)
}

/// Writes all elements.
fn write(tensor: &mut DynTensor, bytes: &[u8]) -> Result<()> {
    let size = tensor.size().context("a tensor of numbers")?;
    ensure!(size == bytes.len(), "{} bytes for a tensor of {size}", bytes.len());
    // SAFETY: the tensor lies in the host's memory and is borrowed mutably; the sizes are equal, as
    // checked, and the slice is no part of the tensor.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), tensor.data_ptr_mut().cast::<u8>(), size) };
    Ok(())
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn the_state_of_a_thread_follows_its_name() {
        assert_eq!(state("12 (name) S 1 2"), Some("S"));
        assert_eq!(state("12 (a) S) R 1 2"), Some("R"));
        assert_eq!(state("nothing"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_that_spins_counts_as_running() {
        let (begun, done) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    begun.store(true, Ordering::Relaxed);
                }
            });
            while !begun.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(1));
            }
            let count = running_threads();
            done.store(true, Ordering::Relaxed);
            assert!(count.is_some_and(|count| count >= 2), "{count:?}");
        });
    }
}
