//! A backend behind a wrapper that plants one fault: for the CPU kernels, and for any backend whose
//! kernels cannot be edited as text.
//!
//! Faults of arithmetic rewrite the program before it is compiled (a step with another parameter,
//! one element less of K), or put the result of a wrong kernel on the host in place of the right
//! one. Faults of memory and order act around a submission, and faults of the contract answer a
//! question wrongly. Plans keep the program and the kernel names that were asked for: what differs
//! is what runs.

mod damage;
mod rewrite;

use std::any::Any;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use unisono_core::op::{Op, OpDesc, UnaryOp};
use unisono_core::{
    Backend, Bindings, Buffer, BufferDesc, Counters, DeviceInfo, Error, ErrorKind, KernelChoice, KernelSource, Plan,
    Program, Readback, Reason, Result, Support, Ticket,
};

pub use damage::Damage;
pub use rewrite::Rewrite;

use crate::emulated;

/// What is wrong with a backend behind the wrapper.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HostFault {
    /// It runs another program.
    Rewrite(Rewrite),
    /// It harms memory around a submission.
    Damage(Damage),
    /// The operation of this name runs on a kernel of the host that is wrong in one way.
    Kernel(&'static str, emulated::Fault),
    /// It breaks a promise of the contract.
    Contract(Contract),
}

/// A broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contract {
    /// Composites are said to be native.
    ClaimsComposites,
    /// tanh is declined, and compiles.
    DeclinesButCompiles,
    /// A kernel is named that is not the one that runs.
    OtherKernelThanNamed,
    /// A submission panics.
    Panics,
    /// A submission fails.
    FailsToSubmit,
    /// The device is gone.
    DeviceLost,
}

/// A backend with a fault.
#[derive(Debug)]
pub struct Planted {
    inner: Arc<dyn Backend>,
    info: DeviceInfo,
    fault: Option<HostFault>,
    submissions: AtomicU64,
    /// A write that is held back until the next submission is over.
    held: Mutex<Option<(Buffer, u64, Vec<u8>)>>,
    /// The output of the latest submission, of whatever thread.
    latest: Mutex<Vec<u8>>,
}

/// What was asked for, and what runs.
#[derive(Debug)]
struct FaultyPlan {
    asked: Arc<dyn Plan>,
    runs: Arc<dyn Plan>,
}

impl Plan for FaultyPlan {
    fn program(&self) -> &Program {
        self.asked.program()
    }

    fn kernel_names(&self) -> Vec<Arc<str>> {
        self.asked.kernel_names()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Planted {
    /// `inner` with a fault, or with none: then only the wrapper is in the way.
    pub fn new(inner: Arc<dyn Backend>, fault: Option<HostFault>) -> Planted {
        Planted {
            info: inner.info().clone(),
            inner,
            fault,
            submissions: AtomicU64::new(0),
            held: Mutex::default(),
            latest: Mutex::default(),
        }
    }

    /// The same, and its properties name the fault.
    #[must_use]
    pub fn named(mut self, name: &str) -> Planted {
        self.info.properties.insert("planted-fault".to_owned(), name.to_owned());
        self
    }

    fn breaks(&self, contract: Contract) -> bool {
        self.fault == Some(HostFault::Contract(contract))
    }

    fn lost(&self) -> Result<()> {
        if self.breaks(Contract::DeviceLost) {
            return Err(Error::new(ErrorKind::DeviceLost, "the driver gave up"));
        }
        Ok(())
    }

    fn bytes(&self, buffer: &Buffer, range: Range<u64>) -> Result<Vec<u8>> {
        self.inner.read(buffer, range).wait()
    }

    /// Puts the results of a wrong kernel in place of the right ones, where there is one for the step.
    fn replace_results(&self, fault: emulated::Fault, step: &unisono_core::Step, before: &Before) -> Result<()> {
        let desc = step.desc();
        let inputs: Vec<Vec<u8>> = before.inputs.clone();
        let former = step.op.updates_in_place(0).then(|| before.outputs[0].as_slice());
        let host = emulated::Host::with_fault(fault);
        let results = host.run_op(&desc, &inputs, former);
        for ((operand, result), buffer) in step.outputs.iter().zip(results).zip(&before.output_buffers) {
            let start = operand.byte_range().start;
            let size = operand.desc.dtype.block_bytes();
            let mut now = self.bytes(buffer, operand.byte_range())?;
            for at in damage::element_positions(&operand.desc) {
                let place = at * size..(at + 1) * size;
                now[place.clone()].copy_from_slice(&result[place]);
            }
            self.inner.write(buffer, start, &now)?;
        }
        Ok(())
    }

    /// The operands of the last step before it runs.
    fn before(&self, program: &Program, bindings: &Bindings) -> Result<Option<Before>> {
        let Some(step) = program.steps().last() else { return Ok(None) };
        let span = |operand: &unisono_core::Operand| match bindings.get(operand.slot) {
            Some(buffer) => self.bytes(buffer, operand.byte_range()).map(|bytes| Some((bytes, buffer.clone()))),
            None => Ok(None),
        };
        let inputs: Option<Vec<_>> = step.inputs.iter().map(&span).collect::<Result<_>>()?;
        let outputs: Option<Vec<_>> = step.outputs.iter().map(&span).collect::<Result<_>>()?;
        let (Some(inputs), Some(outputs)) = (inputs, outputs) else { return Ok(None) };
        let (outputs, output_buffers) = outputs.into_iter().unzip();
        Ok(Some(Before { inputs: inputs.into_iter().map(|(bytes, _)| bytes).collect(), outputs, output_buffers }))
    }
}

/// The spans of the operands of a step, and the buffers of its outputs.
struct Before {
    inputs: Vec<Vec<u8>>,
    outputs: Vec<Vec<u8>>,
    output_buffers: Vec<Buffer>,
}

/// Whether the host has a kernel for a step: floats, and results that f32 holds.
fn host_can(desc: &OpDesc) -> bool {
    let result = |d: &unisono_core::TensorDesc| {
        d.dtype.is_float() || matches!(desc.op, Op::ArgReduce(_) | Op::ArgSort(_) | Op::TopK(_))
    };
    desc.inputs.first().is_some_and(|d| d.dtype.is_float()) && desc.outputs.iter().all(result)
}

impl Backend for Planted {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn supports(&self, op: &OpDesc) -> Support {
        if self.breaks(Contract::ClaimsComposites) && op.op.is_composite() {
            return match self.inner.supports(op) {
                Support::Native => Support::Composed,
                _ => Support::Native,
            };
        }
        if self.breaks(Contract::DeclinesButCompiles) && op.op == Op::Unary(UnaryOp::Tanh) {
            return Support::Unsupported(Reason::Op("no tanh".into()));
        }
        self.inner.supports(op)
    }

    fn kernels(&self, op: &OpDesc) -> Vec<Arc<str>> {
        match self.fault {
            Some(HostFault::Contract(Contract::DeclinesButCompiles)) => Vec::new(),
            Some(HostFault::Contract(Contract::OtherKernelThanNamed)) => vec![Arc::from("fast")],
            _ => self.inner.kernels(op),
        }
    }

    fn kernel_source(&self, op: &OpDesc, kernel: &str) -> Vec<KernelSource> {
        self.inner.kernel_source(op, kernel)
    }

    fn alloc(&self, desc: &BufferDesc) -> Result<Buffer> {
        self.lost()?;
        self.inner.alloc(desc)
    }

    fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        self.lost()?;
        let late = self.fault == Some(HostFault::Damage(Damage::LateWrites));
        let mut held = lock(&self.held);
        if late && self.submissions.load(Ordering::Relaxed) > 0 && held.is_none() {
            *held = Some((buffer.clone(), offset, bytes.to_vec()));
            return Ok(());
        }
        self.inner.write(buffer, offset, bytes)
    }

    fn read(&self, buffer: &Buffer, range: Range<u64>) -> Readback {
        self.inner.read(buffer, range)
    }

    fn compile(&self, program: &Program) -> Result<Arc<dyn Plan>> {
        let asked = if self.breaks(Contract::OtherKernelThanNamed) {
            self.inner.compile(&rewrite::with_kernel(program, &KernelChoice::Auto)?)?
        } else {
            self.inner.compile(program)?
        };
        let runs = match self.fault {
            Some(HostFault::Rewrite(fault)) => {
                let wrong = rewrite::rewrite(fault, program)?;
                // The kernel that was asked for need not be able to run what is wrong.
                self.inner
                    .compile(&wrong)
                    .or_else(|_| self.inner.compile(&rewrite::with_kernel(&wrong, &KernelChoice::Auto)?))?
            }
            _ => Arc::clone(&asked),
        };
        Ok(Arc::new(FaultyPlan { asked, runs }))
    }

    fn submit(&self, plan: &Arc<dyn Plan>, bindings: &Bindings) -> Result<Ticket> {
        let count = self.submissions.fetch_add(1, Ordering::Relaxed);
        let own = plan.as_any().downcast_ref::<FaultyPlan>();
        let own = own.ok_or_else(|| Error::invalid("the plan was compiled by another device"))?;
        if self.breaks(Contract::Panics) {
            panic!("a bug in the driver");
        }
        if self.breaks(Contract::FailsToSubmit) {
            return Err(Error::internal("no submission today"));
        }
        let program = own.program();
        let before = match self.fault {
            Some(HostFault::Damage(_) | HostFault::Kernel(..)) => self.before(program, bindings)?,
            _ => None,
        };
        let ticket = self.inner.submit(&own.runs, bindings)?;
        if let (Some(before), Some(step)) = (&before, program.steps().last()) {
            match self.fault {
                Some(HostFault::Damage(damage)) => self.damage(damage, program, bindings, before, count)?,
                Some(HostFault::Kernel(name, fault))
                    if program.steps().len() == 1 && step.op.name() == name && host_can(&step.desc()) =>
                {
                    self.replace_results(fault, step, before)?;
                }
                _ => {}
            }
        }
        let held = lock(&self.held).take();
        if let Some((buffer, offset, bytes)) = held {
            self.inner.write(&buffer, offset, &bytes)?;
        }
        Ok(ticket)
    }

    fn counters(&self) -> Counters {
        self.inner.counters()
    }
}
