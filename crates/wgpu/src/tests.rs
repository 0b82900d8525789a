//! Tests that need the inside of a device: every profile's kernels on simulated adapters, and what
//! becomes of errors that a caller of the public API cannot cause.

use std::sync::Arc;

use unisono_core::op::{BinaryOp, Reduce, ReduceOp, RmsNorm, Softmax, UnaryOp};
use unisono_core::{
    Backend, Bindings, BufferDesc, DType, DeviceKind, ErrorKind, KernelChoice, Op, OpDesc, Operand, ProgramBuilder,
    SlotKind, Step, TensorDesc,
};
use unisono_shaders::{Access, Requires, Variant};

use crate::adapter::AdapterSummary;
use crate::backend::WgpuBackend;
use crate::disk_cache::DiskCache;
use crate::launch::Launch;
use crate::options::WgpuOptions;
use crate::pipeline::Pipelines;
use crate::profile::Profile;

/// A device that validates everything and runs nothing.
fn simulated(limits: &wgpu::Limits, features: wgpu::Features, profile: &str) -> Arc<WgpuBackend> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::NOOP;
    descriptor.backend_options.noop = wgpu::NoopBackendOptions {
        enable: true,
        limits: Some(limits.clone()),
        features: Some(features),
        subgroup_min_size: Some(32),
        subgroup_max_size: Some(64),
        ..wgpu::NoopBackendOptions::default()
    };
    let instance = wgpu::Instance::new(descriptor);
    let adapter = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::NOOP)).remove(0);
    let summary = AdapterSummary {
        id: "wgpu:0".to_owned(),
        name: "simulated".to_owned(),
        vendor: "other".to_owned(),
        vendor_id: 0,
        device_id: 0,
        bus: "0000:01:00.0".to_owned(),
        kind: DeviceKind::Other,
        api: "noop".to_owned(),
        driver: String::new(),
        driver_version: String::new(),
    };
    let options = WgpuOptions { profile: Some(profile.to_owned()), disk_cache: false, ..WgpuOptions::default() };
    pollster::block_on(WgpuBackend::new(&adapter, &summary, &options)).unwrap()
}

fn plain() -> Arc<WgpuBackend> {
    simulated(&wgpu::Limits::default(), wgpu::Features::empty(), "generic")
}

/// The API accepts the shaders, constants, bindings and grids that selection gives for the quick
/// level of the suite, on a device with no more than the limits that every implementation has.
#[test]
fn what_the_suite_runs_compiles_with_default_limits() {
    let device = plain();
    let mut compiled = 0;
    for case in unisono_conformance::suite(unisono_conformance::Level::Quick) {
        if let unisono_core::Support::Unsupported(reason) = device.supports(&case.desc) {
            assert!(case.desc.inputs.iter().any(|d| d.dtype == DType::I64), "{}: {reason}", case.id);
            continue;
        }
        let mut builder = ProgramBuilder::new();
        let mut operand = |desc: &TensorDesc, kind, offset: usize| {
            // Offsets of cases count blocks.
            let bytes = (offset * desc.dtype.block_bytes()) as u64 + desc.span_bytes();
            let offset = offset * desc.dtype.block_elements();
            Operand { slot: builder.slot(kind, bytes), offset, desc: *desc }
        };
        let offset = |i: usize| case.offsets.get(i).copied().unwrap_or(0);
        let count = case.desc.inputs.len();
        let inputs = case.desc.inputs.iter().enumerate();
        let inputs: Vec<_> = inputs.map(|(i, d)| operand(d, SlotKind::Input, offset(i))).collect();
        let outputs = case.desc.outputs.iter().enumerate();
        let outputs: Vec<_> = outputs.map(|(i, d)| operand(d, SlotKind::State, offset(count + i))).collect();
        builder.push(case.desc.op.clone(), &inputs, &outputs).unwrap_or_else(|e| panic!("{}: {e}", case.id));
        device.compile(&builder.finish()).unwrap_or_else(|e| panic!("{}: {e}", case.id));
        compiled += 1;
    }
    assert!(compiled > 500, "{compiled} cases compiled");
}

fn some_operations() -> Vec<OpDesc> {
    let mut all = Vec::new();
    for dtype in DType::FLOATS {
        let t = |shape: &[usize]| TensorDesc::contiguous(dtype, shape).unwrap();
        let mut push = |op, inputs: &[TensorDesc], output| {
            all.push(OpDesc::new(op, inputs.to_vec(), vec![output]).unwrap());
        };
        push(Op::Copy, &[t(&[3, 50])], t(&[3, 50]));
        push(Op::Unary(UnaryOp::Silu), &[t(&[100])], t(&[100]));
        push(Op::Binary(BinaryOp::Mul), &[t(&[100]), t(&[100])], t(&[100]));
        push(Op::Reduce(Reduce { op: ReduceOp::Sum, axis: 1 }), &[t(&[4, 300])], t(&[4, 1]));
        push(Op::Softmax(Softmax::new(1.0)), &[t(&[4, 300])], t(&[4, 300]));
        push(Op::RmsNorm(RmsNorm { eps: 1e-5.into(), weight: true }), &[t(&[4, 256]), t(&[256])], t(&[4, 256]));
        for m in [1, 4, 64, 200] {
            push(Op::MatMul, &[t(&[m, 128]), t(&[128, 96])], t(&[m, 96]));
        }
    }
    all
}

#[test]
fn every_profile_has_valid_kernels_with_and_without_optional_features() {
    let optional = wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP;
    for profile in Profile::ALL {
        for features in [wgpu::Features::empty(), optional] {
            let device = simulated(&wgpu::Limits::default(), features, profile.name);
            assert_eq!(device.info().profile, profile.name);
            for desc in some_operations() {
                let kernels = device.kernels(&desc);
                assert!(!kernels.is_empty(), "{desc} has no kernel in the profile {}", profile.name);
                for kernel in kernels {
                    let mut builder = ProgramBuilder::new();
                    let inputs = desc.inputs.iter().map(|&d| builder.operand(SlotKind::Input, d)).collect();
                    let outputs = desc.outputs.iter().map(|&d| builder.operand(SlotKind::Output, d)).collect();
                    let choice = KernelChoice::Named(Arc::clone(&kernel));
                    builder.push_step(Step { op: desc.op.clone(), inputs, outputs, kernel: choice }).unwrap();
                    let program = builder.finish();
                    let plan = device.compile(&program).unwrap();
                    assert_eq!(plan.kernel_names(), [kernel]);
                    let mut bindings = Bindings::new();
                    for (id, slot) in program.bound_slots() {
                        bindings.set(id, device.alloc(&BufferDesc::new(slot.bytes)).unwrap());
                    }
                    device.submit(&plan, &bindings).unwrap().wait().unwrap();
                }
            }
        }
    }
}

const BROKEN: Variant = Variant {
    name: "test.broken",
    wgsl: "@compute @workgroup_size(1) fn main() { no_such_function(); }",
    requires: Requires { f16: false, subgroups: false, matrix_units: false },
    bindings: &[Access::ReadWrite],
    constants: &[],
    workgroup_size: [1, 1, 1],
    workgroup_bytes: 0,
};
static BROKEN_SHADER: Variant = BROKEN;
static EMPTY: Variant = Variant { name: "test.empty", wgsl: "@compute @workgroup_size(1) fn main() {}", ..BROKEN };
static WRONG_BINDING: Variant = Variant {
    name: "test.binding",
    wgsl: "@group(0) @binding(0) var<storage, read_write> x: array<u32>; @group(0) @binding(7) var<storage, \
           read_write> y: array<u32>; @compute @workgroup_size(1) fn main() { x[0] = y[0]; }",
    ..BROKEN
};

fn launch(variant: &'static Variant) -> Launch {
    Launch { variant, constants: Vec::new(), bindings: Vec::new(), params: Vec::new(), groups: [1, 1, 1] }
}

#[test]
fn a_shader_that_does_not_validate_is_an_error_that_names_it() {
    let device = plain();
    let pipelines = Pipelines::new(Arc::clone(&device.gpu), &WgpuOptions::default(), None).unwrap();
    let launches = [launch(&BROKEN_SHADER), launch(&WRONG_BINDING)];
    for launch in &launches {
        let e = pipelines.get(&[launch]).expect_err(launch.variant.name);
        assert_eq!(e.kind(), ErrorKind::Internal, "{e}");
        assert!(e.to_string().contains(launch.variant.name), "{e}");
        assert!(e.to_string().contains("simulated"), "{e}");
    }
    // On several threads, too.
    assert!(pipelines.get(&launches.iter().collect::<Vec<_>>()).is_err());
    assert_eq!(pipelines.count(), 0);
    let good = launch(&EMPTY);
    pipelines.get(&[&good, &good]).unwrap();
    assert_eq!(pipelines.count(), 1, "one failure does not spoil the next pipeline, and twins are built once");
}

#[test]
fn an_error_in_one_piece_of_work_does_not_stick() {
    let device = plain();
    let wrong =
        wgpu::BufferDescriptor { label: None, size: 16, usage: wgpu::BufferUsages::empty(), mapped_at_creation: false };
    let e =
        device.gpu.capture(|| "making nonsense".to_owned(), || device.gpu.device.create_buffer(&wrong)).unwrap_err();
    assert!(e.to_string().contains("making nonsense"), "{e}");
    device.gpu.capture(|| "nothing".to_owned(), || ()).unwrap();
}

#[test]
fn a_lost_device_is_reported_by_everything() {
    for device in [plain()].into_iter().chain(real_devices()) {
        let desc = TensorDesc::contiguous(DType::F32, &[8]).unwrap();
        let mut builder = ProgramBuilder::new();
        let (x, y) = (builder.operand(SlotKind::Input, desc), builder.operand(SlotKind::Output, desc));
        builder.push(Op::Copy, &[x], &[y]).unwrap();
        let program = builder.finish();
        let plan = device.compile(&program).unwrap();
        let (a, b) = (device.alloc(&BufferDesc::new(32)).unwrap(), device.alloc(&BufferDesc::new(32)).unwrap());
        let mut bindings = Bindings::new();
        bindings.set(x.slot, a.clone());
        bindings.set(y.slot, b);
        device.submit(&plan, &bindings).unwrap().wait().unwrap();
        device.gpu.device.destroy();
        // Only a poll reports a destroyed device; one that its driver loses is reported at once.
        let _ = device.gpu.wait_for(None);
        let results = [
            device.write(&a, 0, &[0; 4]),
            device.submit(&plan, &bindings).and_then(unisono_core::Ticket::wait),
            device.read(&a, 0..4).wait().map(|_| ()),
            device.alloc(&BufferDesc::new(1 << 20)).map(|_| ()),
            device.compile(&program).map(|_| ()),
        ];
        for (i, result) in results.into_iter().enumerate() {
            let e = result.expect_err(&format!("call {i} on {}", device.info().name));
            assert_eq!(e.kind(), ErrorKind::DeviceLost, "call {i}: {e}");
        }
    }
}

/// Every adapter of this machine, opened.
fn real_devices() -> Vec<Arc<WgpuBackend>> {
    let options = WgpuOptions { disk_cache: false, ..WgpuOptions::default() };
    let adapters = crate::adapters();
    let allowed = std::env::var("UNISONO_ALLOW_NO_ADAPTER").is_ok_and(|v| v == "1");
    assert!(
        !adapters.is_empty() || allowed,
        "no graphics adapter was found; UNISONO_ALLOW_NO_ADAPTER=1 lets the tests pass without one"
    );
    adapters.iter().map(|adapter| crate::open(&adapter.id, &options).unwrap()).collect()
}

#[test]
fn pipelines_are_kept_on_disk_where_the_driver_can() {
    let dir = std::env::temp_dir().join(format!("unisono-wgpu-pipelines-{}", std::process::id()));
    for device in real_devices() {
        let adapter = device.gpu.device.adapter_info();
        let Some(disk) = DiskCache::open_in(&dir, &device.gpu, &adapter) else {
            assert!(!device.gpu.features.contains(wgpu::Features::PIPELINE_CACHE));
            continue;
        };
        let pipelines = Pipelines::new(Arc::clone(&device.gpu), &WgpuOptions::default(), Some(disk)).unwrap();
        pipelines.get(&[&launch(&EMPTY)]).unwrap();
        drop(pipelines);
        let files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        let again = DiskCache::open_in(&dir, &device.gpu, &adapter).unwrap();
        let pipelines = Pipelines::new(Arc::clone(&device.gpu), &WgpuOptions::default(), Some(again)).unwrap();
        pipelines.get(&[&launch(&EMPTY)]).unwrap();
        drop(pipelines);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

/// Each kernel that a device names has its texts, whole and with the constants of its launches.
#[test]
fn kernels_have_their_texts() {
    let device = plain();
    assert_eq!(device.info().bus, "0000:01:00.0");
    let mut texts = 0;
    for case in unisono_conformance::suite(unisono_conformance::Level::Quick) {
        for kernel in device.kernels(&case.desc) {
            let sources = device.kernel_source(&case.desc, &kernel);
            let empty = case.desc.inputs.iter().chain(&case.desc.outputs).any(TensorDesc::is_empty);
            assert!(empty || !sources.is_empty(), "{kernel} of {}", case.id);
            for source in &sources {
                let entry = source.text.contains("@compute") && source.text.contains("fn main");
                assert!(
                    entry && source.constants.iter().all(|(name, _)| source.text.contains(name.as_str())),
                    "{kernel}"
                );
            }
            texts += sources.len();
        }
        assert!(device.kernel_source(&case.desc, "no such kernel").is_empty());
    }
    assert!(texts > 1000, "{texts} texts");
}
