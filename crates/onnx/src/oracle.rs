//! The oracle as a device.
//!
//! The same mapping that runs a test on a device runs it here, where every operation of the contract
//! is answered by the conformance suite's f64 oracle. Its results against the official ones are the
//! independent check of the oracle. Besides the stored elements a buffer remembers the oracle's
//! unrounded value and bound of each inexact one, as long as a single inexact operation made it;
//! a device's result must be within that bound.

use std::any::Any;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use half::{bf16, f16};
use unisono_conformance::evaluate;
use unisono_core::{
    Backend, Bindings, Buffer, BufferDesc, Counters, DType, DeviceInfo, DeviceKind, Error, ErrorKind, Op, OpDesc,
    Operand, Pending, Plan, Program, Readback, Reason, Result, SlotKind, Support, TensorDesc, Ticket,
};

/// Largest buffer: the oracle is for small problems.
const MAX_BUFFER_BYTES: u64 = 1 << 30;

/// What is known about an inexact element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Estimate {
    /// The exact result of one operation on exact operands, and how far a device may be from it.
    Bounded {
        /// The oracle's value.
        value: f64,
        /// The admissible error.
        bound: f64,
    },
    /// The result of several inexact operations: the suite derives no bound for their sequence.
    Unknown,
}

/// Bytes, and what is known about inexact elements by the position of their first byte.
#[derive(Clone, Debug, Default)]
struct Memory {
    bytes: Vec<u8>,
    estimates: BTreeMap<u64, Estimate>,
}

type Shared = Mutex<Memory>;

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The oracle behind the trait of a device.
#[derive(Debug)]
pub(crate) struct OracleBackend {
    info: DeviceInfo,
    last_read: Mutex<BTreeMap<u64, Estimate>>,
    /// The state of the generator of signs, where results are moved by their bounds.
    signs: Option<Mutex<u64>>,
}

impl OracleBackend {
    pub(crate) fn new() -> OracleBackend {
        let mut info = DeviceInfo::new("oracle", "f64 oracle", DeviceKind::Other);
        info.api = "oracle".into();
        OracleBackend { info, last_read: Mutex::default(), signs: None }
    }

    /// An oracle whose every inexact result is off by its bound, up or down at random, and NaN where
    /// nothing is guaranteed: what a device may do at worst.
    pub(crate) fn perturbed(seed: u64) -> OracleBackend {
        OracleBackend { signs: Some(Mutex::new(seed)), ..OracleBackend::new() }
    }

    /// `value`, moved by `bound` if results are.
    fn moved(&self, value: f64, bound: f64) -> f64 {
        let Some(signs) = self.signs.as_ref().filter(|_| bound != 0.0) else { return value };
        if bound == f64::INFINITY {
            return f64::NAN;
        }
        // Knuth's linear congruential generator; the top bit is the best one.
        let mut state = lock(signs);
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if *state >> 63 == 0 { value + bound } else { value - bound }
    }

    /// What is known about the inexact elements of the last read, by byte within what was read.
    pub(crate) fn last_read(&self) -> BTreeMap<u64, Estimate> {
        lock(&self.last_read).clone()
    }
}

#[derive(Debug)]
struct OraclePlan {
    program: Program,
}

impl Plan for OraclePlan {
    fn program(&self) -> &Program {
        &self.program
    }
    fn kernel_names(&self) -> Vec<Arc<str>> {
        self.program.steps().iter().map(|_| "oracle".into()).collect()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Backend for OracleBackend {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn supports(&self, op: &OpDesc) -> Support {
        match op.validate() {
            Ok(()) => Support::Native,
            Err(e) => Support::Unsupported(Reason::Invalid(e.to_string())),
        }
    }

    fn kernels(&self, op: &OpDesc) -> Vec<Arc<str>> {
        if op.validate().is_ok() { vec!["oracle".into()] } else { Vec::new() }
    }

    fn alloc(&self, desc: &BufferDesc) -> Result<Buffer> {
        if desc.bytes > MAX_BUFFER_BYTES {
            let message = format!("{} bytes are over the oracle's limit of {MAX_BUFFER_BYTES}", desc.bytes);
            return Err(Error::new(ErrorKind::OutOfMemory, message));
        }
        let memory = Memory { bytes: vec![0; desc.bytes as usize], estimates: BTreeMap::new() };
        Ok(Buffer::new(desc.bytes, Arc::new(Mutex::new(memory))))
    }

    fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        let range = offset..offset + bytes.len() as u64;
        buffer.check_range(&range)?;
        let mut memory = lock(buffer.downcast::<Shared>()?);
        memory.bytes[range.start as usize..range.end as usize].copy_from_slice(bytes);
        memory.estimates.retain(|at, _| !range.contains(at));
        Ok(())
    }

    fn read(&self, buffer: &Buffer, range: Range<u64>) -> Readback {
        Pending::ready(self.read_now(buffer, &range))
    }

    fn compile(&self, program: &Program) -> Result<Arc<dyn Plan>> {
        Ok(Arc::new(OraclePlan { program: program.clone() }))
    }

    fn submit(&self, plan: &Arc<dyn Plan>, bindings: &Bindings) -> Result<Ticket> {
        let Some(OraclePlan { program }) = plan.as_any().downcast_ref() else {
            return Err(Error::invalid("the plan belongs to another device"));
        };
        bindings.validate(program)?;
        let mut slots = Vec::new();
        for (i, slot) in program.slots().iter().enumerate() {
            let bytes = match &slot.kind {
                SlotKind::Constant(bytes) => bytes.to_vec(),
                SlotKind::Temporary => vec![0; slot.bytes as usize],
                _ => {
                    let bound = bindings.get(unisono_core::SlotId(i as u32));
                    let bound = bound.ok_or_else(|| Error::internal("a validated slot has no buffer"))?;
                    slots.push(bound.clone());
                    continue;
                }
            };
            let memory = Memory { bytes, estimates: BTreeMap::new() };
            slots.push(Buffer::new(slot.bytes, Arc::new(Mutex::new(memory))));
        }
        for step in program.steps() {
            self.run(&step.op, &step.desc(), &step.inputs, &step.outputs, &slots)?;
        }
        Ok(Pending::ready(Ok(())))
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

impl OracleBackend {
    fn read_now(&self, buffer: &Buffer, range: &Range<u64>) -> Result<Vec<u8>> {
        buffer.check_range(range)?;
        let memory = lock(buffer.downcast::<Shared>()?);
        let known = memory.estimates.range(range.clone()).map(|(at, e)| (at - range.start, *e));
        *lock(&self.last_read) = known.collect();
        Ok(memory.bytes[range.start as usize..range.end as usize].to_vec())
    }

    fn run(&self, op: &Op, desc: &OpDesc, inputs: &[Operand], outputs: &[Operand], slots: &[Buffer]) -> Result<()> {
        let sources: Vec<Memory> = inputs.iter().map(|o| fetch(o, slots)).collect::<Result<_>>()?;
        let mut former = Vec::new();
        for (i, output) in outputs.iter().enumerate() {
            former.push(if op.updates_in_place(i) { Some(fetch(output, slots)?) } else { None });
        }
        let bytes: Vec<Vec<u8>> = sources.iter().map(|m| m.bytes.clone()).collect();
        let initial: Vec<Option<Vec<u8>>> = former.iter().map(|f| f.as_ref().map(|m| m.bytes.clone())).collect();
        let expected = evaluate(desc, &bytes, &initial)?;
        let all = || sources.iter().chain(former.iter().flatten());
        let exact = all().all(|m| m.estimates.is_empty());
        let moves = *op == Op::Copy && desc.inputs[0].dtype == desc.outputs[0].dtype;
        for (output, expected) in outputs.iter().zip(&expected) {
            let range = output.byte_range();
            let size = output.desc.dtype.block_bytes() as u64;
            let mut memory = lock(slots[output.slot.index()].downcast::<Shared>()?);
            let from = positions(&desc.inputs.first().copied().unwrap_or(output.desc));
            for (index, at) in positions(&output.desc).into_iter().enumerate() {
                let start = range.start + at * size;
                let place = start as usize..(start + size) as usize;
                let (value, bound) = (expected.values[index], expected.bounds[index]);
                let stored =
                    element(output.desc.dtype, self.moved(value, bound), expected.integers.as_ref().map(|i| i[index]));
                memory.bytes[place].copy_from_slice(&stored[..size as usize]);
                let estimate = match () {
                    () if moves => sources[0].estimates.get(&(from[index] * size)).copied(),
                    () if !exact => Some(Estimate::Unknown),
                    () if bound == 0.0 => None,
                    () => Some(Estimate::Bounded { value, bound }),
                };
                memory.estimates.remove(&start);
                estimate.map(|e| memory.estimates.insert(start, e));
            }
        }
        Ok(())
    }
}

/// The bytes of an operand, and what is known about them by position within it.
fn fetch(operand: &Operand, slots: &[Buffer]) -> Result<Memory> {
    let range = operand.byte_range();
    let memory = lock(slots[operand.slot.index()].downcast::<Shared>()?);
    let estimates = memory.estimates.range(range.clone()).map(|(at, e)| (at - range.start, *e)).collect();
    Ok(Memory { bytes: memory.bytes[range.start as usize..range.end as usize].to_vec(), estimates })
}

/// Where each element of a plain tensor lies, in elements from the first, in logical order.
fn positions(desc: &TensorDesc) -> Vec<u64> {
    let mut all = Vec::with_capacity(desc.elements());
    let mut index = vec![0; desc.rank()];
    for _ in 0..desc.elements() {
        all.push(index.iter().zip(desc.strides.iter()).map(|(i, s)| (i * s) as u64).sum());
        for d in (0..desc.rank()).rev() {
            index[d] += 1;
            if index[d] < desc.shape[d] {
                break;
            }
            index[d] = 0;
        }
    }
    all
}

/// A number as `dtype` stores it, rounded to nearest, in the first of 8 bytes; `integer` is the
/// exact one of an `i64`.
fn element(dtype: DType, value: f64, integer: Option<i64>) -> [u8; 8] {
    let bits = match dtype {
        DType::F32 => u64::from((value as f32).to_bits()),
        DType::F16 => u64::from(f16::from_f64(value).to_bits()),
        DType::BF16 => u64::from(bf16::from_f64(value).to_bits()),
        _ => integer.unwrap_or(value as i64) as u64,
    };
    bits.to_le_bytes()
}
