//! The naive backend behind a wrapper that plants one fault.
//!
//! Arithmetic faults rewrite the program before it is compiled (a step with another parameter, or
//! one element less of K); memory and order faults act around a submission.

mod rewrite;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use unisono_conformance::decode;
use unisono_core::op::{Op, OpDesc, UnaryOp};
use unisono_core::{
    Backend, Bindings, Buffer, BufferDesc, Counters, DeviceInfo, Error, ErrorKind, KernelChoice, Operand, Plan,
    Program, Readback, Reason, Result, SlotId, SlotKind, Support, TensorDesc, Ticket,
};
use unisono_tests::naive::{KERNEL, Naive};

/// What is wrong with the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    MatMulDropsLastK,
    SoftmaxWithoutMax,
    RmsNormWithoutEps,
    RopeOtherPairing,
    CausalSeesAll,
    SubSwapsOperands,
    MeanIsSum,
    GeluIsTanhGelu,
    ArgMaxLastTie,
    WritesAfterEnd,
    WritesBeforeStart,
    WritesIntoGap,
    SkipsLastElement,
    MutatesInput,
    SecondRunDiffers,
    Panics,
    FailsToSubmit,
    ClaimsComposites,
    DeclinesButCompiles,
    OtherKernelThanNamed,
    ForgetsState,
    LateWrites,
    SharedOutput,
    DeviceLost,
}

/// The naive backend with a fault.
#[derive(Debug)]
pub(crate) struct Faulty {
    inner: Naive,
    fault: Fault,
    submissions: AtomicU64,
    /// A write that [`Fault::LateWrites`] holds back until the next submission is over.
    held: Mutex<Option<(Buffer, u64, Vec<u8>)>>,
    /// The output of the latest submission, of whatever thread.
    latest: Mutex<Vec<u8>>,
}

impl Faulty {
    pub(crate) fn new(fault: Fault) -> Faulty {
        Faulty {
            inner: Naive::default(),
            fault,
            submissions: AtomicU64::new(0),
            held: Mutex::default(),
            latest: Mutex::default(),
        }
    }

    fn lost(&self) -> Result<()> {
        if self.fault == Fault::DeviceLost {
            return Err(Error::new(ErrorKind::DeviceLost, "the driver gave up"));
        }
        Ok(())
    }

    fn bytes(&self, buffer: &Buffer, range: Range<u64>) -> Result<Vec<u8>> {
        self.inner.read(buffer, range).wait()
    }

    /// Overwrites the byte at `at`, or flips it where it already is zero.
    fn spoil(&self, buffer: &Buffer, at: u64) -> Result<()> {
        let byte = self.bytes(buffer, at..at + 1)?[0];
        self.inner.write(buffer, at, &[!byte])
    }

    /// What the fault does to the first output and the first input after a submission.
    fn damage(&self, program: &Program, bindings: &Bindings, former: &[u8], count: u64) -> Result<()> {
        let Some(step) = program.steps().last() else { return Ok(()) };
        let (x, y) = (step.inputs[0], step.outputs[0]);
        let (Some(input), Some(output)) = (bindings.get(x.slot), bindings.get(y.slot)) else { return Ok(()) };
        let range = y.byte_range();
        if range.is_empty() {
            return Ok(());
        }
        let size = y.desc.dtype.block_bytes() as u64;
        match self.fault {
            Fault::WritesAfterEnd if range.end < output.bytes() => self.spoil(output, range.end),
            Fault::WritesBeforeStart if range.start > 0 => self.spoil(output, range.start - 1),
            Fault::WritesIntoGap => match first_gap(&y.desc) {
                Some(gap) => self.spoil(output, range.start + gap),
                None => Ok(()),
            },
            Fault::SkipsLastElement => {
                let last = range.end - size;
                self.inner.write(output, last, &former[last as usize..range.end as usize])
            }
            Fault::MutatesInput if !x.desc.is_empty() => self.spoil(input, x.byte_range().start),
            Fault::SecondRunDiffers if count % 2 == 1 => self.spoil(output, range.start),
            Fault::ForgetsState => {
                for (id, slot) in program.bound_slots().filter(|(_, slot)| slot.kind == SlotKind::State) {
                    let zeros = vec![0; slot.bytes as usize];
                    bindings.get(id).map_or(Ok(()), |state| self.inner.write(state, 0, &zeros))?;
                }
                Ok(())
            }
            Fault::SoftmaxWithoutMax => self.softmax_without_max(&step.op, (x, input), (y, output)),
            Fault::ArgMaxLastTie => self.last_tie(&step.op, (x, input), (y, output)),
            _ => Ok(()),
        }
    }

    fn load(&self, (operand, buffer): (Operand, &Buffer)) -> Result<Vec<f64>> {
        Ok(decode(operand.desc.dtype, &self.bytes(buffer, operand.byte_range())?))
    }

    /// `exp(x) / Σ exp(x)` in f32: overflows where the largest score is not subtracted first.
    fn softmax_without_max(&self, op: &Op, x: (Operand, &Buffer), y: (Operand, &Buffer)) -> Result<()> {
        let Op::Softmax(softmax) = op else { return Ok(()) };
        let plain = |d: &TensorDesc| d.is_contiguous() && d.dtype == unisono_core::DType::F32;
        if *softmax != unisono_core::op::Softmax::new(softmax.scale.0) || !plain(&x.0.desc) || !plain(&y.0.desc) {
            return Ok(());
        }
        let n = x.0.desc.shape.last().copied().unwrap_or(1);
        let mut out = Vec::new();
        for row in self.load(x)?.chunks(n) {
            let exp: Vec<f32> = row.iter().map(|&v| (v as f32 * softmax.scale.0).exp()).collect();
            let sum: f32 = exp.iter().sum();
            out.extend(exp.iter().flat_map(|e| (e / sum).to_le_bytes()));
        }
        self.inner.write(y.1, y.0.byte_range().start, &out)
    }

    /// The last of several largest elements, over contiguous rows.
    fn last_tie(&self, op: &Op, x: (Operand, &Buffer), y: (Operand, &Buffer)) -> Result<()> {
        let Op::ArgReduce(argmax) = op else { return Ok(()) };
        let desc = x.0.desc;
        if argmax.axis + 1 != desc.rank() || !desc.is_contiguous() || !y.0.desc.is_contiguous() {
            return Ok(());
        }
        let values = self.load(x)?;
        let best = |row: &[f64]| (0..row.len()).fold(0, |best, i| if row[i] >= row[best] { i } else { best }) as u32;
        let rows = values.chunks(desc.shape[argmax.axis].max(1));
        let out: Vec<u8> = rows.flat_map(|row| best(row).to_le_bytes()).collect();
        self.inner.write(y.1, y.0.byte_range().start, &out)
    }
}

/// The first byte of the span that belongs to no element.
fn first_gap(desc: &TensorDesc) -> Option<u64> {
    let mut at = vec![0];
    for (&size, &stride) in desc.shape.iter().zip(desc.strides.iter()) {
        at = at.iter().flat_map(|&a| (0..size).map(move |i| a + i * stride)).collect();
    }
    at.sort_unstable();
    let gap = at.iter().enumerate().find(|&(i, &position)| i != position)?.0;
    Some((gap * desc.dtype.block_bytes()) as u64)
}

impl Backend for Faulty {
    fn info(&self) -> &DeviceInfo {
        self.inner.info()
    }

    fn supports(&self, op: &OpDesc) -> Support {
        match self.fault {
            Fault::ClaimsComposites if op.op.is_composite() => Support::Native,
            Fault::DeclinesButCompiles if op.op == Op::Unary(UnaryOp::Tanh) => {
                Support::Unsupported(Reason::Op("no tanh".into()))
            }
            _ => self.inner.supports(op),
        }
    }

    fn kernels(&self, op: &OpDesc) -> Vec<Arc<str>> {
        match self.fault {
            Fault::DeclinesButCompiles => Vec::new(),
            Fault::OtherKernelThanNamed => vec![Arc::from("fast")],
            _ => self.inner.kernels(op),
        }
    }

    fn alloc(&self, desc: &BufferDesc) -> Result<Buffer> {
        self.lost()?;
        self.inner.alloc(desc)
    }

    fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        self.lost()?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if self.fault == Fault::LateWrites && self.submissions.load(Ordering::Relaxed) > 0 && held.is_none() {
            *held = Some((buffer.clone(), offset, bytes.to_vec()));
            return Ok(());
        }
        self.inner.write(buffer, offset, bytes)
    }

    fn read(&self, buffer: &Buffer, range: Range<u64>) -> Readback {
        self.inner.read(buffer, range)
    }

    fn compile(&self, program: &Program) -> Result<Arc<dyn Plan>> {
        let mut program = rewrite::rewrite(self.fault, program)?;
        if self.fault == Fault::OtherKernelThanNamed {
            program = rewrite::with_kernel(&program, &KernelChoice::Named(Arc::from(KERNEL)))?;
        }
        self.inner.compile(&program)
    }

    fn submit(&self, plan: &Arc<dyn Plan>, bindings: &Bindings) -> Result<Ticket> {
        let count = self.submissions.fetch_add(1, Ordering::Relaxed);
        let program = plan.program();
        match self.fault {
            Fault::Panics => panic!("a bug in the driver"),
            Fault::FailsToSubmit => return Err(Error::internal("no submission today")),
            _ => {}
        }
        let output = program.steps().last().and_then(|s| bindings.get(s.outputs[0].slot));
        let former = match output {
            Some(buffer) => self.bytes(buffer, 0..buffer.bytes())?,
            None => Vec::new(),
        };
        let ticket = self.inner.submit(plan, bindings)?;
        self.damage(program, bindings, &former, count)?;
        if let Some((buffer, offset, bytes)) = self.held.lock().unwrap_or_else(PoisonError::into_inner).take() {
            self.inner.write(&buffer, offset, &bytes)?;
        }
        if let (Fault::SharedOutput, Some(buffer)) = (self.fault, output) {
            self.share(buffer)?;
        }
        Ok(ticket)
    }

    fn counters(&self) -> Counters {
        self.inner.counters()
    }
}

impl Faulty {
    /// Writes through one staging area that all threads share, with time for another to fill it.
    fn share(&self, buffer: &Buffer) -> Result<()> {
        let latest = || self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let own = self.bytes(buffer, 0..buffer.bytes())?;
        latest().clone_from(&own);
        std::thread::sleep(std::time::Duration::from_micros(200));
        let staged = latest().clone();
        if staged.len() == own.len() { self.inner.write(buffer, 0, &staged) } else { Ok(()) }
    }
}

/// The slots of `program` again, in a new builder.
pub(crate) fn slots_of(program: &Program) -> unisono_core::ProgramBuilder {
    let mut builder = unisono_core::ProgramBuilder::new();
    for (i, slot) in program.slots().iter().enumerate() {
        let id = builder.slot(slot.kind.clone(), slot.bytes);
        debug_assert_eq!(id, SlotId(i as u32));
    }
    builder
}
