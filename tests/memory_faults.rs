//! Faults of memory that only programs of several steps, several buffers or several threads show,
//! each caught by the check that is there for it.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use unisono_conformance::{DeviceReport, Level, Options, Status, run};
use unisono_core::{
    Backend, Bindings, Buffer, BufferDesc, Counters, DeviceInfo, OpDesc, Plan, Program, Readback, Result, SlotKind,
    Support, Ticket,
};
use unisono_tests::naive::Naive;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// A temporary shows what its memory held before.
    ReadsRecycled,
    /// A plan goes on with the buffers of its first submission.
    PlanKeepsBuffers,
    /// 16 bits are stored as one half of a word whose other half is zero.
    WritesWholeWords,
}

#[derive(Debug)]
struct Faulty {
    inner: Naive,
    fault: Fault,
    /// The buffer that was allocated last.
    newest: Mutex<Option<Buffer>>,
    /// Plans with the buffers of their first submission.
    first: Mutex<Vec<(Arc<dyn Plan>, Bindings)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Faulty {
    /// The buffers of the first submission of `plan`.
    fn first_of(&self, plan: &Arc<dyn Plan>, bindings: &Bindings) -> Bindings {
        let mut all = lock(&self.first);
        if let Some((_, first)) = all.iter().find(|(p, _)| Arc::ptr_eq(p, plan)) {
            return first.clone();
        }
        all.push((plan.clone(), bindings.clone()));
        bindings.clone()
    }

    fn damage(&self, program: &Program, bindings: &Bindings) -> Result<()> {
        let Some(y) = program.steps().last().map(|step| step.outputs[0]) else { return Ok(()) };
        let Some(output) = bindings.get(y.slot) else { return Ok(()) };
        let range = y.byte_range();
        match self.fault {
            Fault::WritesWholeWords if y.desc.dtype.block_bytes() == 2 && range.start % 4 == 2 && !range.is_empty() => {
                self.inner.write(output, range.start - 2, &[0, 0])
            }
            Fault::ReadsRecycled if program.slots().iter().any(|slot| slot.kind == SlotKind::Temporary) => {
                let newest = lock(&self.newest).clone();
                let Some(newest) = newest.filter(|b| !b.is_same(output) && b.bytes() >= 4) else { return Ok(()) };
                let held = self.inner.read(&newest, 0..4).wait()?;
                // As in a real pool, most of the time that memory is clean.
                let dirty = f32::from_le_bytes([held[0], held[1], held[2], held[3]]).is_nan();
                if dirty && range.end - range.start >= 4 {
                    self.inner.write(output, range.start, &held)
                } else {
                    Ok(())
                }
            }
            _ => Ok(()),
        }
    }
}

impl Backend for Faulty {
    fn info(&self) -> &DeviceInfo {
        self.inner.info()
    }
    fn supports(&self, op: &OpDesc) -> Support {
        self.inner.supports(op)
    }
    fn kernels(&self, op: &OpDesc) -> Vec<Arc<str>> {
        self.inner.kernels(op)
    }
    fn alloc(&self, desc: &BufferDesc) -> Result<Buffer> {
        let buffer = self.inner.alloc(desc)?;
        *lock(&self.newest) = Some(buffer.clone());
        Ok(buffer)
    }
    fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        self.inner.write(buffer, offset, bytes)
    }
    fn read(&self, buffer: &Buffer, range: Range<u64>) -> Readback {
        self.inner.read(buffer, range)
    }
    fn compile(&self, program: &Program) -> Result<Arc<dyn Plan>> {
        self.inner.compile(program)
    }
    fn submit(&self, plan: &Arc<dyn Plan>, bindings: &Bindings) -> Result<Ticket> {
        let ticket = match self.fault {
            Fault::PlanKeepsBuffers => self.inner.submit(plan, &self.first_of(plan, bindings))?,
            _ => self.inner.submit(plan, bindings)?,
        };
        self.damage(plan.program(), bindings)?;
        Ok(ticket)
    }
    fn counters(&self) -> Counters {
        self.inner.counters()
    }
}

fn check(fault: Fault, pattern: &str) -> DeviceReport {
    let options = Options::new(Level::Quick).with_patterns(vec![pattern.to_owned()]);
    let backend = Faulty { inner: Naive::default(), fault, newest: Mutex::default(), first: Mutex::default() };
    run(&backend, &options, &mut |_| {})
}

#[test]
fn each_fault_is_caught_by_its_check_and_a_right_device_passes() {
    for (fault, pattern, reason) in [
        (Fault::ReadsRecycled, "program/recycled_memory", "memory held"),
        (Fault::PlanKeepsBuffers, "program/concurrent_shared", "other bits"),
        (Fault::WritesWholeWords, "program/end_of_buffer", "differs from the host"),
    ] {
        let right = check(Fault::None, pattern);
        assert_eq!(right.results[0].status, Status::Pass, "{}", right.results[0].detail);
        let wrong = check(fault, pattern);
        let result = &wrong.results[0];
        assert!(result.status == Status::Fail && result.detail.contains(reason), "{fault:?}: {result:?}");
    }
}
