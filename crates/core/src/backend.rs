//! The trait that a device implements, and the types that cross it.
//!
//! It is object safe and works on lists of operations: one virtual call per program, so choosing
//! the device at run time costs nothing. `compile` is the only place that selects kernels, and
//! `supports` asks the same selector.

use std::any::Any;
use std::fmt::{self, Debug};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::info::{Counters, DeviceInfo};
use crate::measure::{ProbeKind, ProbeRun};
use crate::op::OpDesc;
use crate::program::{Program, SlotId};
use crate::readback::{Readback, Ticket};

/// A device that runs programs.
///
/// Implementations are used from several threads at once; submissions are ordered as they are
/// made, and `write` and `read` are ordered with them.
pub trait Backend: Debug + Send + Sync {
    /// Facts about the device.
    fn info(&self) -> &DeviceInfo;

    /// Whether and how the device runs `op`. Implement it with [`crate::support`].
    fn supports(&self, op: &OpDesc) -> Support;

    /// The names of every kernel of this device that can serve `op`, the selector's choice first.
    /// Empty where only the decomposition does. Each is run by the conformance suite through
    /// [`KernelChoice::Named`](crate::KernelChoice::Named).
    fn kernels(&self, op: &OpDesc) -> Vec<Arc<str>>;

    /// What the kernel of this name runs for `op`, as the device's compiler gets it; empty (the default)
    /// where there is no text. Reports show it for kernels that fail.
    fn kernel_source(&self, _op: &OpDesc, _kernel: &str) -> Vec<KernelSource> {
        Vec::new()
    }

    /// Allocates a buffer. Its content is undefined. A size of 0 is possible.
    fn alloc(&self, desc: &BufferDesc) -> Result<Buffer>;

    /// Writes `bytes` at byte `offset`, after everything submitted before. Any offset and length.
    fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Reads a byte range, after everything submitted before. Any range inside the buffer.
    fn read(&self, buffer: &Buffer, range: Range<u64>) -> Readback;

    /// Lowers the program, selects its kernels and resolves memory, once. Call [`crate::lower`]
    /// first; a step with a named kernel that cannot serve it is an error.
    fn compile(&self, program: &Program) -> Result<Arc<dyn Plan>>;

    /// Runs a plan that this device compiled.
    fn submit(&self, plan: &Arc<dyn Plan>, bindings: &Bindings) -> Result<Ticket>;

    /// What the device has done so far.
    fn counters(&self) -> Counters;

    /// Runs a plan once for each of `runs`, one after the other, and gives the time that all of them
    /// took by the device's own clock, or `None` (the default) where it has none. Several runs in one
    /// measurement carry kernels over the tick of the clock, and over different buffers leave caches.
    fn time(&self, _plan: &Arc<dyn Plan>, _runs: &[Bindings]) -> Result<Option<Duration>> {
        Ok(None)
    }

    /// Measures a ceiling: runs the probe's kernel, whose inner loop goes `rounds` times, or `None`
    /// (the default) where the device has no such probe. The caller chooses `rounds` large enough for
    /// the clock, and takes the best of several.
    fn probe(&self, _kind: ProbeKind, _rounds: u32) -> Result<Option<ProbeRun>> {
        Ok(None)
    }
}

/// The text of a kernel, or of one of the programs that a kernel consists of.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelSource {
    /// The name of the text on this device.
    pub name: String,
    /// The constants that are set when it is compiled.
    pub constants: Vec<(String, f64)>,
    /// The text.
    pub text: String,
}

/// How a device runs an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// By a kernel of its own.
    Native,
    /// By the decomposition into primitives.
    Composed,
    /// Not at all.
    Unsupported(Reason),
}

/// Why an operation is unsupported.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The operation is malformed.
    Invalid(String),
    /// The device has no kernel for this operation.
    Op(String),
    /// No kernel for these element types.
    DType(String),
    /// A limit of the device or its API is exceeded.
    Limit(String),
    /// A feature of the device is missing.
    Feature(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Invalid(s) | Reason::Op(s) | Reason::DType(s) | Reason::Limit(s) | Reason::Feature(s) => {
                f.write_str(s)
            }
        }
    }
}

impl Reason {
    /// As the error that compiling `op` gives.
    pub fn into_error(self, op: &OpDesc) -> Error {
        Error::new(ErrorKind::Unsupported, self.to_string()).with_op(op.op.name(), op.operands())
    }
}

/// What a buffer is asked to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BufferDesc {
    /// Size in bytes.
    pub bytes: u64,
    /// A name for errors and debuggers.
    pub label: Option<String>,
}

impl BufferDesc {
    /// An unnamed buffer of `bytes` bytes.
    pub fn new(bytes: u64) -> BufferDesc {
        BufferDesc { bytes, label: None }
    }
}

/// Memory of a device. Clones share it; the last one gives it back.
#[derive(Clone)]
pub struct Buffer {
    bytes: u64,
    inner: Arc<dyn Any + Send + Sync>,
}

impl Buffer {
    /// Wraps a backend's own buffer type.
    pub fn new<T: Any + Send + Sync>(bytes: u64, inner: Arc<T>) -> Buffer {
        Buffer { bytes, inner }
    }

    /// Size in bytes, as asked for.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The backend's own type; an error if the buffer belongs to another kind of device.
    pub fn downcast<T: Any + Send + Sync>(&self) -> Result<&T> {
        self.inner.downcast_ref().ok_or_else(|| Error::invalid("the buffer belongs to another device"))
    }

    /// Whether both handles share one allocation.
    pub fn is_same(&self, other: &Buffer) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Fails unless `range` lies inside the buffer.
    pub fn check_range(&self, range: &Range<u64>) -> Result<()> {
        if range.start > range.end || range.end > self.bytes {
            let message = format!("bytes {}..{} of a buffer of {} bytes", range.start, range.end, self.bytes);
            return Err(Error::new(ErrorKind::OutOfBounds, message));
        }
        Ok(())
    }
}

impl Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.bytes)
    }
}

/// A compiled program, in a form that only its backend understands.
pub trait Plan: Any + Debug + Send + Sync {
    /// The program it runs, after lowering.
    fn program(&self) -> &Program;
    /// The name of the kernel that serves each step of [`program`](Self::program).
    fn kernel_names(&self) -> Vec<Arc<str>>;
    /// For the backend to find its own type again.
    fn as_any(&self) -> &dyn Any;
}

/// The buffers of a submission, one for each bound slot.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    buffers: Vec<(SlotId, Buffer)>,
}

impl Bindings {
    /// No buffers yet.
    pub fn new() -> Bindings {
        Bindings::default()
    }

    /// Binds `buffer` to `slot`, replacing an earlier one.
    pub fn set(&mut self, slot: SlotId, buffer: Buffer) {
        match self.buffers.iter_mut().find(|(s, _)| *s == slot) {
            Some((_, b)) => *b = buffer,
            None => self.buffers.push((slot, buffer)),
        }
    }

    /// The buffer of a slot.
    pub fn get(&self, slot: SlotId) -> Option<&Buffer> {
        self.buffers.iter().find(|(s, _)| *s == slot).map(|(_, b)| b)
    }

    /// Checks that every bound slot of `program` has a buffer that is large enough, and that
    /// nothing written shares its buffer with another slot. Backends call it in `submit`.
    pub fn validate(&self, program: &Program) -> Result<()> {
        let mut written: Vec<&Buffer> = Vec::new();
        let mut read: Vec<&Buffer> = Vec::new();
        for (id, slot) in program.bound_slots() {
            let buffer = self.get(id).ok_or_else(|| Error::invalid(format!("slot {} has no buffer bound", id.0)))?;
            if buffer.bytes() < slot.bytes {
                let message = format!("slot {} needs {} bytes, its buffer has {}", id.0, slot.bytes, buffer.bytes());
                return Err(Error::new(ErrorKind::OutOfBounds, message));
            }
            let list = if slot.kind == crate::program::SlotKind::Input { &mut read } else { &mut written };
            list.push(buffer);
        }
        for (i, w) in written.iter().enumerate() {
            if read.iter().chain(&written[..i]).any(|other| other.is_same(w)) {
                return Err(Error::invalid("a buffer that is written is bound to two slots"));
            }
        }
        Ok(())
    }
}
