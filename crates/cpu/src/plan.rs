//! Compiled programs: a kernel and resolved operands for each step.
//!
//! Compiling lowers the program, selects kernels and allocates temporaries (shared between those
//! whose lifetimes do not meet) and constants. A submission then only fills in the addresses of
//! bound buffers.

use std::any::Any;
use std::collections::HashSet;
use std::sync::Arc;

use unisono_core::{Bindings, Error, ErrorKind, Operand, Plan, Program, Result, SlotKind, assign_blocks, lower};

use crate::blocks::int8::Level;
use crate::buffer::{CpuBuffer, Meter};
use crate::kernels::Launch;
use crate::pool::Pool;
use crate::select::{self, Candidate};
use crate::simd::Simd;
use crate::view::View;

/// A compiled program of the CPU backend.
#[derive(Debug)]
pub(crate) struct CpuPlan {
    program: Program,
    kernels: Vec<Candidate>,
    names: Vec<Arc<str>>,
    blocks: Vec<CpuBuffer>,
    /// For each slot, the index in `blocks` of a temporary or constant.
    block_of: Vec<Option<usize>>,
    meter: Arc<Meter>,
}

impl CpuPlan {
    /// Compiles `program` for a backend with this meter that multiplies bytes as `int8` says.
    pub(crate) fn new(program: &Program, meter: &Arc<Meter>, int8: Option<Level>) -> Result<CpuPlan> {
        let program = lower(program, &|desc| select::native(desc).is_ok())?;
        let mut kernels = Vec::with_capacity(program.steps().len());
        let mut names = Vec::with_capacity(program.steps().len());
        for step in program.steps() {
            let kernel = select::select(&step.desc(), int8, &step.kernel).map_err(|e| e.on_device("cpu"))?;
            kernels.push(kernel);
            names.push(kernel.name(&step.op));
        }
        let temporaries = assign_blocks(&program);
        let mut blocks =
            temporaries.blocks.iter().map(|&bytes| CpuBuffer::new(bytes, meter)).collect::<Result<Vec<_>>>()?;
        let mut block_of = temporaries.block_of;
        for (slot, block) in program.slots().iter().zip(&mut block_of) {
            let SlotKind::Constant(bytes) = &slot.kind else { continue };
            if (bytes.len() as u64) < slot.bytes {
                let message = format!("a constant of {} bytes has {} bytes of data", slot.bytes, bytes.len());
                return Err(Error::invalid(message).on_device("cpu"));
            }
            let buffer = CpuBuffer::new(bytes.len() as u64, meter)?;
            // SAFETY: the buffer is new and as long as the data.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.ptr(), bytes.len()) };
            *block = Some(blocks.len());
            blocks.push(buffer);
        }
        Ok(CpuPlan { program, kernels, names, blocks, block_of, meter: meter.clone() })
    }

    /// The distinct kernels.
    pub(crate) fn distinct_kernels(&self) -> HashSet<Arc<str>> {
        self.names.iter().cloned().collect()
    }

    /// Whether this backend compiled it.
    pub(crate) fn belongs_to(&self, meter: &Arc<Meter>) -> bool {
        Arc::ptr_eq(&self.meter, meter)
    }

    /// Runs every step; returns how many there were. The caller holds the execution lock and has
    /// validated the bindings.
    pub(crate) fn run(&self, bindings: &Bindings, pool: &Pool, simd: Simd) -> Result<u64> {
        let mut bases = Vec::with_capacity(self.program.slots().len());
        for (i, slot) in self.program.slots().iter().enumerate() {
            bases.push(match (self.block_of[i], bindings.get(unisono_core::SlotId(i as u32))) {
                (Some(block), _) => Some(self.blocks[block].ptr()),
                (None, Some(buffer)) if slot.kind.is_bound() => {
                    let buffer = buffer.downcast::<CpuBuffer>().map_err(|e| e.on_device("cpu"))?;
                    if !buffer.belongs_to(&self.meter) {
                        let message = format!("the buffer bound to slot {i} belongs to another device");
                        return Err(Error::invalid(message).on_device("cpu"));
                    }
                    Some(buffer.ptr())
                }
                _ => None,
            });
        }
        let view = |operand: &Operand| -> Result<View> {
            let base = bases[operand.slot.index()].ok_or_else(|| {
                Error::new(ErrorKind::Internal, format!("slot {} has no memory", operand.slot.0)).on_device("cpu")
            })?;
            // An empty operand may lie anywhere; it is never read.
            Ok(View { ptr: base.wrapping_add(operand.byte_range().start as usize), desc: operand.desc })
        };
        for (step, kernel) in self.program.steps().iter().zip(&self.kernels) {
            let inputs = step.inputs.iter().map(view).collect::<Result<Vec<_>>>()?;
            let outputs = step.outputs.iter().map(view).collect::<Result<Vec<_>>>()?;
            (kernel.run)(&Launch { op: &step.op, inputs: &inputs, outputs: &outputs, pool, simd });
        }
        Ok(self.kernels.len() as u64)
    }
}

impl Plan for CpuPlan {
    fn program(&self) -> &Program {
        &self.program
    }

    fn kernel_names(&self) -> Vec<Arc<str>> {
        self.names.clone()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
