//! The backend: buffers, plans and their execution under one lock.
//!
//! Everything runs before the call returns. One lock around execution orders what several threads
//! submit, and gives each submission all the threads of the pool.

use std::collections::HashSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use unisono_core::{
    Backend, Bindings, Buffer, BufferDesc, Counters, DeviceInfo, Error, NumericMode, OpDesc, Plan, ProbeKind, ProbeRun,
    Program, Readback, Result, Support, Ticket, support,
};

use crate::blocks::int8::Level;
use crate::buffer::{CpuBuffer, Meter};
use crate::device;
use crate::plan::CpuPlan;
use crate::pool::Pool;
use crate::probe;
use crate::select;
use crate::simd::Simd;

/// Which vector instructions the backend uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SimdLevel {
    /// The best that this processor has.
    #[default]
    Auto,
    /// The best without AVX-512. For tests of what processors without it run.
    NoAvx512,
    /// Only what every processor of this architecture has. For tests of the fallback.
    Portable,
}

/// Settings of a [`CpuBackend`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuOptions {
    /// Threads to compute with, the calling one included; by default one per processor core that
    /// this process may use.
    pub threads: Option<usize>,
    /// Which vector instructions to use.
    pub simd: SimdLevel,
    /// Rounds activations that meet weights in blocks to 8-bit integers, which multiply faster: the mode
    /// [`NumericMode::Int8Activations`], which the device then declares. Other operations stay as they are.
    pub int8_activations: bool,
}

impl CpuOptions {
    /// These options with the environment applied: `UNISONO_MODES`, the names of numeric modes with commas
    /// between them, of which the CPU has `int8-activations`. An error names one that it does not have.
    pub fn with_env(self) -> Result<CpuOptions> {
        match std::env::var("UNISONO_MODES") {
            Ok(modes) => self.with_modes(&modes),
            Err(std::env::VarError::NotPresent) => Ok(self),
            Err(e) => Err(Error::invalid(format!("UNISONO_MODES: {e}")).on_device("cpu")),
        }
    }

    fn with_modes(mut self, modes: &str) -> Result<CpuOptions> {
        for name in modes.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match NumericMode::from_name(name) {
                Some(NumericMode::Int8Activations) => self.int8_activations = true,
                _ => {
                    let message = format!("UNISONO_MODES names '{name}'; the CPU has 'int8-activations'");
                    return Err(Error::invalid(message).on_device("cpu"));
                }
            }
        }
        Ok(self)
    }
}

/// The CPU as a device.
#[derive(Debug)]
pub struct CpuBackend {
    info: DeviceInfo,
    simd: Simd,
    /// How bytes are multiplied in the mode `int8-activations`; none without it.
    int8: Option<Level>,
    pool: Mutex<Pool>,
    meter: Arc<Meter>,
    kernels: Mutex<HashSet<Arc<str>>>,
    plans: AtomicU64,
    submissions: AtomicU64,
    dispatches: AtomicU64,
}

impl CpuBackend {
    /// Opens the CPU with every core and the best vector instructions.
    pub fn new() -> Result<Arc<CpuBackend>> {
        CpuBackend::with_options(CpuOptions::default())
    }

    /// Opens the CPU with these settings. An error where `threads` is 0 or absurd.
    pub fn with_options(options: CpuOptions) -> Result<Arc<CpuBackend>> {
        const MOST_THREADS: usize = 1024;
        let available = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = options.threads.unwrap_or_else(available);
        if threads == 0 || threads > MOST_THREADS {
            let message = format!("{threads} threads; 1 to {MOST_THREADS} are possible");
            return Err(Error::invalid(message).on_device("cpu"));
        }
        let simd = match options.simd {
            SimdLevel::Auto => Simd::detect(),
            SimdLevel::NoAvx512 => Simd::detect().without_avx512(),
            SimdLevel::Portable => Simd::Portable,
        };
        let pool = Pool::new(threads);
        let mut info = device::describe(simd, pool.threads());
        if options.int8_activations {
            info.numeric_modes.push(NumericMode::Int8Activations);
        }
        let meter = Arc::new(Meter::new(info.max_buffer_bytes));
        Ok(Arc::new(CpuBackend {
            info,
            simd,
            int8: options.int8_activations.then(|| Level::of(simd)),
            pool: Mutex::new(pool),
            meter,
            kernels: Mutex::default(),
            plans: AtomicU64::new(0),
            submissions: AtomicU64::new(0),
            dispatches: AtomicU64::new(0),
        }))
    }

    /// The execution lock. A panic under it leaves at worst unfinished tensors behind.
    fn execution(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first byte of `range` of a buffer of this device.
    fn address(&self, buffer: &Buffer, range: &Range<u64>) -> Result<*mut u8> {
        let own = buffer.downcast::<CpuBuffer>()?;
        if !own.belongs_to(&self.meter) {
            return Err(Error::invalid("the buffer belongs to another device"));
        }
        buffer.check_range(range)?;
        Ok(own.ptr().wrapping_add(range.start as usize))
    }

    fn copy_out(&self, buffer: &Buffer, range: &Range<u64>) -> Result<Vec<u8>> {
        let from = self.address(buffer, range)?;
        let len = (range.end - range.start) as usize;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| {
            Error::new(unisono_core::ErrorKind::OutOfMemory, format!("cannot allocate {len} bytes to read into"))
        })?;
        let _lock = self.execution();
        // SAFETY: the range lies inside the buffer, whose memory is initialised, and the execution
        // lock keeps writers away.
        bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(from, len) });
        Ok(bytes)
    }

    fn run(&self, plan: &Arc<dyn Plan>, bindings: &Bindings) -> Result<()> {
        let plan = plan.as_any().downcast_ref::<CpuPlan>().filter(|p| p.belongs_to(&self.meter));
        let plan = plan.ok_or_else(|| Error::invalid("the plan was compiled by another device"))?;
        bindings.validate(plan.program())?;
        let pool = self.execution();
        self.submissions.fetch_add(1, Ordering::Relaxed);
        let run = catch_unwind(AssertUnwindSafe(|| plan.run(bindings, &pool, self.simd)));
        let steps = run.map_err(|_| Error::internal("a kernel panicked"))??;
        self.dispatches.fetch_add(steps, Ordering::Relaxed);
        Ok(())
    }
}

impl Backend for CpuBackend {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn supports(&self, op: &OpDesc) -> Support {
        support(op, &select::native)
    }

    fn kernels(&self, op: &OpDesc) -> Vec<Arc<str>> {
        if op.validate().is_err() {
            return Vec::new();
        }
        select::candidates(op, self.int8).iter().map(|c| c.name(&op.op)).collect()
    }

    fn alloc(&self, desc: &BufferDesc) -> Result<Buffer> {
        let buffer = CpuBuffer::new(desc.bytes, &self.meter)?;
        Ok(Buffer::new(desc.bytes, Arc::new(buffer)))
    }

    fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        let range = offset..offset.saturating_add(bytes.len() as u64);
        let to = self.address(buffer, &range).map_err(|e| e.on_device("cpu"))?;
        let _lock = self.execution();
        // SAFETY: the range lies inside the buffer, and the execution lock keeps everybody else
        // away; `bytes` is a host slice, never device memory.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        Ok(())
    }

    fn read(&self, buffer: &Buffer, range: Range<u64>) -> Readback {
        Readback::ready(self.copy_out(buffer, &range).map_err(|e| e.on_device("cpu")))
    }

    fn compile(&self, program: &Program) -> Result<Arc<dyn Plan>> {
        let plan = CpuPlan::new(program, &self.meter, self.int8)?;
        self.plans.fetch_add(1, Ordering::Relaxed);
        self.kernels.lock().unwrap_or_else(PoisonError::into_inner).extend(plan.distinct_kernels());
        Ok(Arc::new(plan))
    }

    fn submit(&self, plan: &Arc<dyn Plan>, bindings: &Bindings) -> Result<Ticket> {
        self.run(plan, bindings).map_err(|e| e.on_device("cpu"))?;
        Ok(Ticket::ready(Ok(())))
    }

    fn counters(&self) -> Counters {
        let (bytes_now, bytes_peak) = self.meter.read();
        Counters {
            plans: self.plans.load(Ordering::Relaxed),
            kernels: self.kernels.lock().unwrap_or_else(PoisonError::into_inner).len() as u64,
            submissions: self.submissions.load(Ordering::Relaxed),
            dispatches: self.dispatches.load(Ordering::Relaxed),
            bytes_now,
            bytes_peak,
        }
    }

    fn probe(&self, kind: ProbeKind, rounds: u32) -> Result<Option<ProbeRun>> {
        let pool = self.execution();
        probe::run(kind, rounds, &pool, self.simd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_asked_for_by_name() {
        let modes = |names: &str| CpuOptions::default().with_modes(names);
        assert!(modes("int8-activations").unwrap().int8_activations);
        assert!(modes(" int8-activations , ").unwrap().int8_activations);
        assert!(!modes("").unwrap().int8_activations);
        let error = modes("int8-activations,f16-accumulate").unwrap_err().to_string();
        assert!(error.contains("'f16-accumulate'") && error.contains("'int8-activations'"), "{error}");
    }

    #[test]
    fn a_device_declares_the_mode_that_it_has() {
        for int8_activations in [false, true] {
            let cpu = CpuBackend::with_options(CpuOptions { int8_activations, ..CpuOptions::default() }).unwrap();
            assert_eq!(cpu.info().numeric_modes.contains(&NumericMode::Int8Activations), int8_activations);
        }
    }
}
