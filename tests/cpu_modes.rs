//! The numeric mode of the CPU backend, `int8-activations`: with every level of vector code it keeps to the bounds
//! of the mode, and would fail those of a device that does not declare it.

use std::ops::Range;
use std::sync::Arc;

use unisono::cpu::{CpuBackend, CpuOptions, SimdLevel};
use unisono::{
    Backend, Bindings, Buffer, BufferDesc, Counters, DeviceInfo, NumericMode, OpDesc, Plan, Program, Readback, Result,
    Support, Ticket,
};
use unisono_conformance::report::{DeviceReport, Status};
use unisono_conformance::{Level, Options, run};

fn open(simd: SimdLevel, int8_activations: bool) -> Arc<CpuBackend> {
    CpuBackend::with_options(CpuOptions { threads: Some(2), simd, int8_activations }).unwrap()
}

/// What the kernels of the mode do with the quick cases.
fn checked(backend: &dyn Backend) -> DeviceReport {
    let families = ["matmul/", "matmul_id/", "linear/"].map(str::to_owned).to_vec();
    let options = Options { kernel: Some("*.int8".into()), ..Options::new(Level::Quick).with_patterns(families) };
    run(backend, &options, &mut |_| {})
}

#[test]
fn every_level_of_vector_code_keeps_to_the_bounds() {
    for simd in [SimdLevel::Auto, SimdLevel::NoAvx512, SimdLevel::Portable] {
        let report = checked(&*open(simd, true));
        assert!(report.passed(), "{simd:?}: {} failures", report.summary.failures());
        for op in ["matmul", "matmul_id", "linear"] {
            let own = report.results.iter().filter(|r| r.kernel == format!("{op}.int8"));
            let passed: Vec<_> = own.filter(|r| r.status == Status::Pass).collect();
            assert!(passed.len() >= 5, "{simd:?}: {} results of {op}", passed.len());
            assert!(passed.iter().any(|r| r.selected), "{simd:?}: {op} prefers other kernels throughout");
            assert!(passed.iter().all(|r| r.numeric_modes == ["int8-activations"]), "{simd:?} {op}");
        }
    }
}

#[test]
fn without_the_mode_no_such_kernel_runs() {
    let exact = open(SimdLevel::Auto, false);
    assert!(exact.info().numeric_modes.is_empty());
    assert!(checked(&*exact).results.iter().all(|r| !r.kernel.ends_with(".int8")));
}

/// A device that has the mode and does not say so.
#[derive(Debug)]
struct Silent(Arc<CpuBackend>, DeviceInfo);

impl Backend for Silent {
    fn info(&self) -> &DeviceInfo {
        &self.1
    }
    fn supports(&self, op: &OpDesc) -> Support {
        self.0.supports(op)
    }
    fn kernels(&self, op: &OpDesc) -> Vec<Arc<str>> {
        self.0.kernels(op)
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
fn a_device_that_does_not_declare_the_mode_fails() {
    let inner = open(SimdLevel::Auto, true);
    assert_eq!(inner.info().numeric_modes, [NumericMode::Int8Activations]);
    let info = DeviceInfo { numeric_modes: Vec::new(), ..inner.info().clone() };
    let report = checked(&Silent(inner, info));
    assert!(report.summary.failures() >= 10, "{} failures", report.summary.failures());
}
