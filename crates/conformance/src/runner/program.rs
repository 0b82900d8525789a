//! Programs of several steps, run on a device and on the host side by side.
//!
//! The host runs each step through the oracle, in program order, over plain byte vectors. The data
//! are small integers and the operations exact on them, so a device has to agree in every element
//! of every buffer: what can differ is memory and order (temporaries that share a block too early,
//! a hazard that is not seen, submissions or writes that overtake each other).

use std::sync::Arc;

use unisono_core::{
    Backend, Bindings, Buffer, DType, Error, OpDesc, Operand, Plan, Program, Result, SlotId, SlotKind, Support,
};

use super::exec::{catch, download, finish, upload};
use super::scenarios::ProgramCase;
use crate::data::{POISON_BYTE, decode, encode};
use crate::hash::Fnv;
use crate::oracle;
use crate::report::{CaseResult, Number, Status, Worst};

/// Programs, buffers, and what happens in which order. Nothing waits before the end.
#[derive(Debug, Default)]
pub(crate) struct Scenario {
    pub(crate) programs: Vec<Program>,
    pub(crate) buffers: Vec<HostBuffer>,
    pub(crate) script: Vec<Action>,
}

/// A buffer on the host.
#[derive(Clone, Debug)]
pub(crate) struct HostBuffer {
    pub(crate) dtype: DType,
    pub(crate) bytes: Vec<u8>,
}

/// One thing that happens.
#[derive(Debug)]
pub(crate) enum Action {
    /// Buffer, byte offset, bytes.
    Write(usize, usize, Vec<u8>),
    /// The program's number, and the buffer of each bound slot.
    Submit(usize, Vec<(SlotId, usize)>),
    /// The buffer is dropped and a new one with this content takes its place.
    Replace(usize, Vec<u8>),
}

impl Scenario {
    /// The operations of its programs, each once.
    pub(crate) fn operations(&self) -> Vec<OpDesc> {
        let mut all: Vec<OpDesc> = Vec::new();
        for step in self.programs.iter().flat_map(Program::steps) {
            let desc = step.desc();
            if !all.contains(&desc) {
                all.push(desc);
            }
        }
        all
    }

    /// Does everything on the host; the result is the content of every buffer.
    pub(crate) fn on_host(&self) -> Result<Vec<HostBuffer>> {
        let mut buffers = self.buffers.clone();
        for action in &self.script {
            match action {
                Action::Write(buffer, at, bytes) => {
                    buffers[*buffer].bytes[*at..*at + bytes.len()].copy_from_slice(bytes);
                }
                Action::Replace(buffer, bytes) => buffers[*buffer].bytes.clone_from(bytes),
                Action::Submit(program, bindings) => run_on_host(&self.programs[*program], bindings, &mut buffers)?,
            }
        }
        Ok(buffers)
    }

    /// Does everything on a device and reads the buffers back at the end.
    pub(crate) async fn on_device(&self, backend: &dyn Backend) -> Result<Vec<Vec<u8>>> {
        let mut buffers: Vec<Buffer> = self.buffers.iter().map(|b| upload(backend, &b.bytes)).collect::<Result<_>>()?;
        let plans: Vec<Arc<dyn Plan>> = self.programs.iter().map(|p| backend.compile(p)).collect::<Result<_>>()?;
        let mut tickets = Vec::new();
        for action in &self.script {
            match action {
                Action::Write(buffer, at, bytes) => backend.write(&buffers[*buffer], *at as u64, bytes)?,
                Action::Replace(buffer, bytes) => buffers[*buffer] = upload(backend, bytes)?,
                Action::Submit(program, slots) => {
                    let mut bindings = Bindings::new();
                    slots.iter().for_each(|(slot, buffer)| bindings.set(*slot, buffers[*buffer].clone()));
                    tickets.push(backend.submit(&plans[*program], &bindings)?);
                }
            }
        }
        drop(plans);
        let mut contents = Vec::new();
        for buffer in &buffers {
            contents.push(download(backend, buffer).await?);
        }
        for ticket in tickets {
            finish(ticket).await?;
        }
        Ok(contents)
    }
}

/// Runs `program` step by step through the oracle.
fn run_on_host(program: &Program, bindings: &[(SlotId, usize)], buffers: &mut [HostBuffer]) -> Result<()> {
    let mut slots: Vec<Vec<u8>> = Vec::new();
    for (i, slot) in program.slots().iter().enumerate() {
        let bound = bindings.iter().find(|(id, _)| id.index() == i);
        slots.push(match (&slot.kind, bound) {
            (SlotKind::Constant(bytes), _) => bytes.to_vec(),
            (SlotKind::Temporary, _) => vec![POISON_BYTE; slot.bytes as usize],
            (_, Some(&(_, buffer))) => buffers[buffer].bytes.clone(),
            (_, None) => return Err(Error::invalid(format!("slot {i} has no buffer bound"))),
        });
    }
    for step in program.steps() {
        let span = |o: &Operand| {
            let range = o.byte_range();
            slots[o.slot.index()][range.start as usize..range.end as usize].to_vec()
        };
        let inputs: Vec<Vec<u8>> = step.inputs.iter().map(span).collect();
        let former = |(i, o)| step.op.updates_in_place(i).then(|| span(o));
        let initial: Vec<Option<Vec<u8>>> = step.outputs.iter().enumerate().map(former).collect();
        let expected = oracle::evaluate(&step.desc(), &inputs, &initial)?;
        for (operand, expected) in step.outputs.iter().zip(expected) {
            if operand.desc.dtype.is_block() {
                return Err(Error::invalid("a scenario computes numbers, not blocks"));
            }
            let region = crate::arena::Region::new(operand.desc, 0)?;
            let (start, size) = (operand.byte_range().start as usize, operand.desc.dtype.block_bytes());
            for (at, value) in region.positions().into_iter().zip(expected.values) {
                let bits = encode(operand.desc.dtype, value).to_le_bytes();
                slots[operand.slot.index()][start + at..start + at + size].copy_from_slice(&bits[..size]);
            }
        }
    }
    for &(slot, buffer) in bindings {
        buffers[buffer].bytes.clone_from(&slots[slot.index()]);
    }
    Ok(())
}

/// The first element in which a buffer of the device is not what the host has.
fn first_difference(host: &[HostBuffer], device: &[Vec<u8>]) -> Option<Worst> {
    host.iter().zip(device).enumerate().find_map(|(output, (host, device))| {
        let (a, b) = (decode(host.dtype, &host.bytes), decode(host.dtype, device));
        let size = host.dtype.block_bytes();
        let same = |i: usize| {
            let bits = |bytes: &[u8]| bytes.get(i * size..(i + 1) * size).map(<[u8]>::to_vec);
            b.get(i).is_some_and(|b| a[i] == *b) || bits(&host.bytes) == bits(device)
        };
        let at = (0..a.len()).find(|&i| !same(i))?;
        Some(Worst {
            output,
            index: vec![at],
            expected: Number(a[at]),
            actual: Number(b.get(at).copied().unwrap_or(f64::NAN)),
            bound: Number(0.0),
        })
    })
}

fn hash(buffers: &mut dyn Iterator<Item = &[u8]>) -> String {
    let mut hash = Fnv::new();
    buffers.for_each(|bytes| hash.update(bytes));
    hash.hex()
}

/// The hashes of the buffers of a program case, before it runs and after it ran on the host.
pub(crate) fn scenario_hashes(case: &ProgramCase) -> Result<(String, String)> {
    let scenario = (case.build)(1)?;
    let after = scenario.on_host()?;
    let before = hash(&mut scenario.buffers.iter().map(|b| b.bytes.as_slice()));
    Ok((before, hash(&mut after.iter().map(|b| b.bytes.as_slice()))))
}

/// Runs a scenario on the device and judges it.
pub(crate) async fn judge(backend: &dyn Backend, scenario: &Scenario, result: &mut CaseResult) -> Result<()> {
    let host = scenario.on_host()?;
    let start = web_time::Instant::now();
    let device = scenario.on_device(backend).await?;
    result.seconds = start.elapsed().as_secs_f64();
    result.input_hash = hash(&mut scenario.buffers.iter().map(|b| b.bytes.as_slice()));
    result.output_hash = hash(&mut device.iter().map(Vec::as_slice));
    result.worst = first_difference(&host, &device);
    result.ratio = Some(Number(if result.worst.is_some() { f64::INFINITY } else { 0.0 }));
    result.status = if result.worst.is_some() { Status::Fail } else { Status::Pass };
    if let Some(worst) = &result.worst {
        result.detail = format!("buffer {} differs from the host's at element {}", worst.output, worst.index[0]);
    }
    Ok(())
}

/// Why a device cannot run a scenario: the first operation of its programs that it declines.
pub(crate) fn refusal(backend: &dyn Backend, scenario: &Scenario) -> Option<String> {
    scenario.operations().into_iter().find_map(|desc| match backend.supports(&desc) {
        Support::Unsupported(reason) => Some(format!("{}: {reason}", desc.op.name())),
        _ => None,
    })
}

/// Runs one program case.
pub(crate) async fn run_program(backend: &dyn Backend, case: &ProgramCase) -> CaseResult {
    let mut result = super::blank_program_result(case.id);
    let run = async {
        let scenario = (case.build)(1)?;
        if let Some(reason) = refusal(backend, &scenario) {
            (result.status, result.detail) = (Status::Unsupported, reason);
            return Ok(());
        }
        judge(backend, &scenario, &mut result).await
    };
    let outcome = catch(run).await;
    settle(result, outcome)
}

/// The result, unless an error or a panic takes its place.
pub(crate) fn settle(mut result: CaseResult, outcome: Result<Result<()>, String>) -> CaseResult {
    let failed = match outcome {
        Ok(Ok(())) => return result,
        Ok(Err(e)) if e.kind() == unisono_core::ErrorKind::Unsupported => (Status::Unsupported, e.to_string()),
        Ok(Err(e)) => (Status::Error, e.to_string()),
        Err(panic) => (Status::Error, panic),
    };
    (result.status, result.detail) = failed;
    result
}
