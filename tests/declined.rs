//! A backend that lacks one operation: whatever contains it is unsupported and says so, and what does not
//! contain it runs.

use std::ops::Range;
use std::sync::Arc;

use unisono_conformance::{Level, Options, Status, run};
use unisono_core::op::Op;
use unisono_core::{
    Backend, Bindings, Buffer, BufferDesc, Counters, DeviceInfo, Error, OpDesc, Plan, Program, Readback, Reason,
    Result, Support, Ticket,
};
use unisono_tests::naive::Naive;

/// The naive backend without `concat`, whose errors do not say that they are about that.
#[derive(Debug, Default)]
struct WithoutConcat(Naive);

fn is_concat(op: &Op) -> bool {
    matches!(op, Op::Concat(_))
}

impl Backend for WithoutConcat {
    fn info(&self) -> &DeviceInfo {
        self.0.info()
    }

    fn supports(&self, op: &OpDesc) -> Support {
        if is_concat(&op.op) {
            return Support::Unsupported(Reason::Op("there is none".into()));
        }
        self.0.supports(op)
    }

    fn kernels(&self, op: &OpDesc) -> Vec<Arc<str>> {
        if is_concat(&op.op) { Vec::new() } else { self.0.kernels(op) }
    }

    fn alloc(&self, desc: &BufferDesc) -> Result<Buffer> {
        self.0.alloc(desc)
    }

    fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        self.0.write(buffer, offset, bytes)
    }

    fn read(&self, buffer: &Buffer, range: Range<u64>) -> Readback {
        self.0.read(buffer, range)
    }

    fn compile(&self, program: &Program) -> Result<Arc<dyn Plan>> {
        if program.steps().iter().any(|step| is_concat(&step.op)) {
            return Err(Error::internal("index out of range"));
        }
        self.0.compile(program)
    }

    fn submit(&self, plan: &Arc<dyn Plan>, bindings: &Bindings) -> Result<Ticket> {
        self.0.submit(plan, bindings)
    }

    fn counters(&self) -> Counters {
        self.0.counters()
    }
}

#[test]
fn programs_are_declined_by_what_they_contain() {
    let options = Options::new(Level::Quick).with_families(["program"]);
    let report = run(&WithoutConcat::default(), &options, &mut |_| {});
    let of = |status: Status| report.results.iter().filter(move |r| r.status == status && r.family == "program");
    assert!(report.passed(), "{:?}", report.failures().map(ToString::to_string).collect::<Vec<_>>());
    let declined: Vec<&str> = of(Status::Unsupported).map(|r| r.id.as_str()).collect();
    assert!((1..10).contains(&declined.len()), "{declined:?}");
    assert!(of(Status::Unsupported).all(|r| r.detail == "concat: there is none"), "{declined:?}");
    assert!(of(Status::Pass).any(|r| r.id.starts_with("program/concurrent:")), "the threads run the others");
    let whole = run(&Naive::default(), &options, &mut |_| {});
    assert_eq!(whole.summary.unsupported, 0, "the backend with concat runs all of them");
}
