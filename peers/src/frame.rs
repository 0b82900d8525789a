//! The frame that adapters share: a backend in host memory around a library's own operations.
//!
//! A [`Library`] answers two questions: whether it has an operation, and what the operation gives for
//! packed operands. The frame does the rest: memory, programs step by step, and layout. Strided,
//! broadcast and offset operands are packed before the library sees them, results are spread over
//! the strides of the output. No number is computed here.

use std::any::Any;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use unisono_core::{
    Backend, Bindings, Buffer, BufferDesc, Counters, DType, DeviceInfo, Error, ErrorKind, KernelChoice, Op, OpDesc,
    Operand, Pending, Plan, Program, Readback, Reason, Result, SlotId, SlotKind, Step, Support, Ticket, lower, support,
};

/// A tensor as the library gets and returns it: packed, row-major. Blocks of a quantised tensor lie
/// along its last dimension; a matrix whose blocks lie along the last but one comes transposed.
#[derive(Clone, Debug)]
pub struct Host {
    /// The element type as the contract names it.
    pub dtype: DType,
    /// The shape, outermost dimension first.
    pub shape: Vec<usize>,
    /// Elements or blocks, little-endian.
    pub bytes: Vec<u8>,
}

/// A tensor library behind the frame.
pub trait Library: Debug + Send + Sync + 'static {
    /// What reports say about it.
    fn info(&self) -> DeviceInfo;

    /// Whether the library has the operation as the contract defines it; else why not.
    fn select(&self, desc: &OpDesc) -> Result<(), Reason>;

    /// Runs one operation that [`select`](Self::select) accepted. `former` is the content of an output
    /// that is updated in place. Returns the outputs, of the types and shapes of the descriptor.
    fn run(&self, desc: &OpDesc, inputs: Vec<Host>, former: Option<Host>) -> anyhow::Result<Vec<Host>>;
}

/// A library as a backend.
#[derive(Debug)]
pub struct Peer<L> {
    library: L,
    info: DeviceInfo,
    kernel: Arc<str>,
    /// Locked during every submission, so that they run one after the other.
    queue: Mutex<Counters>,
}

impl<L: Library> Peer<L> {
    /// The backend; its only kernel has the name of the library.
    pub fn new(library: L) -> Peer<L> {
        let info = library.info();
        Peer { kernel: Arc::from(&*info.id), info, library, queue: Mutex::default() }
    }

    fn select(&self, desc: &OpDesc) -> Result<(), Reason> {
        desc.validate().map_err(|e| Reason::Invalid(e.to_string()))?;
        self.library.select(desc)
    }

    fn run_step(&self, step: &Step, slots: &[Buffer]) -> Result<()> {
        let desc = step.desc();
        let inputs = step.inputs.iter().map(|x| pack(slots, x)).collect::<Result<_>>()?;
        let former = if step.op.updates_in_place(0) { Some(pack(slots, &step.outputs[0])?) } else { None };
        // The first line says it; what follows is where in the library.
        let line = |e: anyhow::Error| format!("{e:#}").lines().next().unwrap_or_default().to_string();
        let failed = |e| Error::internal(line(e)).with_op(step.op.name(), desc.operands());
        let outputs = self.library.run(&desc, inputs, former).map_err(failed)?;
        for (operand, y) in step.outputs.iter().zip(&outputs) {
            unpack(slots, operand, y)?;
        }
        Ok(())
    }
}

type Memory = Mutex<Vec<u8>>;

fn memory(bytes: Vec<u8>) -> Buffer {
    Buffer::new(bytes.len() as u64, Arc::new(Memory::new(bytes)))
}

/// A library that panics must not take the device with it: poisoned locks are taken over.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct PeerPlan {
    program: Program,
    kernel: Arc<str>,
}

impl Plan for PeerPlan {
    fn program(&self) -> &Program {
        &self.program
    }
    fn kernel_names(&self) -> Vec<Arc<str>> {
        self.program.steps().iter().map(|_| self.kernel.clone()).collect()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl<L: Library> Backend for Peer<L> {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn supports(&self, op: &OpDesc) -> Support {
        support(op, &|desc| self.select(desc))
    }

    fn kernels(&self, op: &OpDesc) -> Vec<Arc<str>> {
        self.select(op).map(|()| self.kernel.clone()).into_iter().collect()
    }

    fn alloc(&self, desc: &BufferDesc) -> Result<Buffer> {
        let size = usize::try_from(desc.bytes).map_err(|_| Error::invalid("the buffer exceeds the address space"))?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|e| Error::new(ErrorKind::OutOfMemory, e.to_string()))?;
        bytes.resize(size, 0);
        Ok(memory(bytes))
    }

    fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = offset.checked_add(bytes.len() as u64).ok_or_else(|| Error::invalid("offset overflows"))?;
        buffer.check_range(&(offset..end))?;
        let _queue = lock(&self.queue);
        lock(buffer.downcast::<Memory>()?)[offset as usize..end as usize].copy_from_slice(bytes);
        Ok(())
    }

    fn read(&self, buffer: &Buffer, range: Range<u64>) -> Readback {
        let _queue = lock(&self.queue);
        Pending::ready(buffer.check_range(&range).and_then(|()| {
            let memory = lock(buffer.downcast::<Memory>()?);
            Ok(memory[range.start as usize..range.end as usize].to_vec())
        }))
    }

    fn compile(&self, program: &Program) -> Result<Arc<dyn Plan>> {
        let program = lower(program, &|op| self.select(op).is_ok())?;
        for step in program.steps() {
            let desc = step.desc();
            self.select(&desc).map_err(|reason| reason.into_error(&desc).on_device(&self.info.id))?;
            if let KernelChoice::Named(name) = &step.kernel
                && *name != self.kernel
            {
                return Err(Reason::Op(format!("there is no kernel {name}")).into_error(&desc));
            }
        }
        lock(&self.queue).plans += 1;
        Ok(Arc::new(PeerPlan { program, kernel: self.kernel.clone() }))
    }

    fn submit(&self, plan: &Arc<dyn Plan>, bindings: &Bindings) -> Result<Ticket> {
        let foreign = || Error::invalid("the plan belongs to another device");
        let PeerPlan { program, .. } = plan.as_any().downcast_ref().ok_or_else(foreign)?;
        bindings.validate(program)?;
        let mut counters = lock(&self.queue);
        let mut slots = Vec::new();
        for (i, slot) in program.slots().iter().enumerate() {
            slots.push(match (&slot.kind, bindings.get(SlotId(i as u32))) {
                (SlotKind::Constant(bytes), _) => memory(bytes.to_vec()),
                (SlotKind::Temporary, _) => self.alloc(&BufferDesc::new(slot.bytes))?,
                (_, Some(buffer)) => buffer.clone(),
                (_, None) => return Err(Error::invalid(format!("slot {i} has no buffer bound"))),
            });
        }
        for step in program.steps() {
            self.run_step(step, &slots)?;
        }
        counters.submissions += 1;
        counters.dispatches += program.steps().len() as u64;
        Ok(Pending::ready(Ok(())))
    }

    fn counters(&self) -> Counters {
        *lock(&self.queue)
    }
}

/// Where each unit (an element, or a block) of an operand lies, in units of its slot, in row-major
/// order; with the shape in elements. Blocks come along the last dimension.
fn units(operand: &Operand) -> Result<(Vec<usize>, Vec<usize>)> {
    let mut desc = operand.desc;
    let block = desc.dtype.block_elements();
    let last = desc.rank().saturating_sub(1);
    match desc.block_axis() {
        Some(axis) if axis + 1 == last => desc = desc.transposed(axis, last)?,
        Some(axis) if axis != last => {
            return Err(Error::invalid(format!("blocks along dimension {axis} of {} cannot be packed", desc.shape)));
        }
        _ => {}
    }
    let mut all = vec![operand.offset / block];
    for (i, (&size, &stride)) in desc.shape.iter().zip(desc.strides.iter()).enumerate() {
        // Along the block axis neighbours are blocks; every other stride is a whole number of them.
        let (size, stride) = match block {
            1 => (size, stride),
            _ if i == last => (size / block, 1),
            _ => (size, stride / block),
        };
        all = all.iter().flat_map(|&at| (0..size).map(move |j| at + j * stride)).collect();
    }
    Ok((all, desc.shape.to_vec()))
}

/// Copies an operand out of its slot.
fn pack(slots: &[Buffer], operand: &Operand) -> Result<Host> {
    let size = operand.desc.dtype.block_bytes();
    let (units, shape) = units(operand)?;
    let memory = lock(slots[operand.slot.index()].downcast::<Memory>()?);
    let mut bytes = Vec::with_capacity(units.len() * size);
    for at in units {
        bytes.extend_from_slice(&memory[at * size..(at + 1) * size]);
    }
    Ok(Host { dtype: operand.desc.dtype, shape, bytes })
}

/// Copies a result into the slot of an operand.
fn unpack(slots: &[Buffer], operand: &Operand, y: &Host) -> Result<()> {
    let size = operand.desc.dtype.block_bytes();
    let (units, shape) = units(operand)?;
    if y.dtype != operand.desc.dtype || y.shape != shape || y.bytes.len() != units.len() * size {
        let (dtype, got) = (y.dtype, &y.shape);
        return Err(Error::internal(format!("the result is {dtype}{got:?}, not {}{shape:?}", operand.desc.dtype)));
    }
    let mut memory = lock(slots[operand.slot.index()].downcast::<Memory>()?);
    for (at, unit) in units.into_iter().zip(y.bytes.chunks_exact(size)) {
        memory[at * size..(at + 1) * size].copy_from_slice(unit);
    }
    Ok(())
}

/// The type in which an adapter runs an operation on floats: that of the operands where they agree, as
/// a user of the library has it, else `f32`, to which a user casts by hand.
pub fn common_float(desc: &OpDesc) -> DType {
    let mut floats = desc.inputs.iter().chain(&desc.outputs).map(|d| d.dtype).filter(|d| d.is_float());
    let first = floats.next().unwrap_or(DType::F32);
    if floats.all(|d| d == first) { first } else { DType::F32 }
}

/// A reason to refuse an operation that the library lacks.
pub fn lacks(op: &Op) -> Reason {
    Reason::Op(format!("the library has no {}", op.name()))
}

/// A reason to refuse an operation that the library defines in another way.
pub fn differs(why: &str) -> Reason {
    Reason::Op(format!("the library defines it differently: {why}"))
}
