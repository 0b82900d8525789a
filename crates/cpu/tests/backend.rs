//! The backend as a device: memory, errors, counters, plans and submissions from several threads.

mod common;

use std::sync::Arc;

use common::Host;
use unisono_core::op::{BinaryOp, Op, UnaryOp};
use unisono_core::{
    Backend, Bindings, BufferDesc, DType, ErrorKind, KernelChoice, OpDesc, Program, ProgramBuilder, SlotId, SlotKind,
    Step, Support, TensorDesc,
};
use unisono_cpu::{CpuBackend, CpuOptions, SimdLevel};

fn vector(n: usize) -> TensorDesc {
    TensorDesc::contiguous(DType::F32, &[n]).unwrap()
}

/// `y = (x + x)·(x + x)` with a temporary and a constant added at the end.
fn program(n: usize) -> (Program, [SlotId; 2]) {
    let mut b = ProgramBuilder::new();
    let x = b.operand(SlotKind::Input, vector(n));
    let y = b.operand(SlotKind::Output, vector(n));
    let t = b.operand(SlotKind::Temporary, vector(n));
    let u = b.operand(SlotKind::Temporary, vector(n));
    let one = b.operand(SlotKind::Constant(Arc::from(1f32.to_le_bytes())), vector(1));
    let one = one.with_desc(one.desc.broadcast_to(&[n]).unwrap());
    b.push(Op::Binary(BinaryOp::Add), &[x, x], &[t]).unwrap();
    b.push(Op::Binary(BinaryOp::Mul), &[t, t], &[u]).unwrap();
    b.push(Op::Binary(BinaryOp::Add), &[u, one], &[y]).unwrap();
    (b.finish(), [x.slot, y.slot])
}

fn submit(cpu: &CpuBackend, program: &Program, [x, y]: [SlotId; 2], n: usize, value: f32) -> Vec<f32> {
    let plan = cpu.compile(program).unwrap();
    let mut bindings = Bindings::new();
    for slot in [x, y] {
        bindings.set(slot, cpu.alloc(&BufferDesc::new(4 * n as u64)).unwrap());
    }
    let values = vec![value; n];
    cpu.write(bindings.get(x).unwrap(), 0, bytemuck::cast_slice(&values)).unwrap();
    cpu.submit(&plan, &bindings).unwrap().wait().unwrap();
    let bytes = cpu.read(bindings.get(y).unwrap(), 0..4 * n as u64).wait().unwrap();
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[test]
fn four_threads_submit_at_once() {
    let cpu = CpuBackend::with_options(CpuOptions { threads: Some(2), ..CpuOptions::default() }).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let cpu = &cpu;
            scope.spawn(move || {
                for round in 0..20 {
                    let n = 1 + 40_000 * (round % 2);
                    let value = (thread * 20 + round) as f32;
                    let (program, slots) = program(n);
                    let y = submit(cpu, &program, slots, n, value);
                    assert!(y.iter().all(|&v| v == 4.0 * value * value + 1.0), "thread {thread} round {round}");
                }
            });
        }
    });
    assert_eq!(cpu.counters().submissions, 80);
    assert_eq!(cpu.counters().dispatches, 240);
}

#[test]
fn counters_follow_memory_and_work() {
    let cpu = CpuBackend::new().unwrap();
    assert_eq!(cpu.counters(), unisono_core::Counters::default());
    let a = cpu.alloc(&BufferDesc::new(1000)).unwrap();
    let b = cpu.alloc(&BufferDesc::new(500)).unwrap();
    let copy = a.clone();
    drop(a);
    assert_eq!((cpu.counters().bytes_now, cpu.counters().bytes_peak), (1500, 1500));
    drop((copy, b));
    assert_eq!((cpu.counters().bytes_now, cpu.counters().bytes_peak), (0, 1500));
    let (program, slots) = program(10);
    submit(&cpu, &program, slots, 10, 1.0);
    let counters = cpu.counters();
    assert_eq!((counters.plans, counters.kernels, counters.submissions, counters.dispatches), (1, 2, 1, 3));
    assert_eq!(counters.bytes_now, 0, "the plan's memory went with it");
}

#[test]
fn reads_and_writes_take_any_range_inside() {
    let cpu = CpuBackend::new().unwrap();
    let buffer = cpu.alloc(&BufferDesc::new(11)).unwrap();
    cpu.write(&buffer, 0, &[0; 11]).unwrap();
    cpu.write(&buffer, 3, &[1, 2, 3]).unwrap();
    assert_eq!(cpu.read(&buffer, 2..7).wait().unwrap(), [0, 1, 2, 3, 0]);
    assert_eq!(cpu.read(&buffer, 11..11).wait().unwrap(), [0u8; 0]);
    cpu.write(&buffer, 11, &[]).unwrap();
    for result in
        [cpu.write(&buffer, 9, &[0; 3]), cpu.write(&buffer, u64::MAX, &[0]), cpu.read(&buffer, 5..12).wait().map(drop)]
    {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfBounds);
        assert!(error.to_string().contains("11 bytes") && error.to_string().contains("on cpu"), "{error}");
    }
    let empty = cpu.alloc(&BufferDesc::new(0)).unwrap();
    assert_eq!(cpu.read(&empty, 0..0).wait().unwrap(), [0u8; 0]);
}

#[test]
fn absurd_allocations_are_errors() {
    let cpu = CpuBackend::new().unwrap();
    for bytes in [u64::MAX, u64::MAX / 2, 1 << 60, 1 << 50] {
        let error = cpu.alloc(&BufferDesc::new(bytes)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert!(error.to_string().contains(&bytes.to_string()) && error.to_string().contains("cpu"), "{error}");
    }
    assert_eq!(cpu.counters().bytes_now, 0);
}

#[test]
fn what_belongs_to_another_device_is_refused() {
    let (one, two) = (CpuBackend::new().unwrap(), CpuBackend::new().unwrap());
    let foreign = two.alloc(&BufferDesc::new(4)).unwrap();
    assert_eq!(one.write(&foreign, 0, &[0; 4]).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(one.read(&foreign, 0..4).wait().unwrap_err().kind(), ErrorKind::Invalid);
    let (program, [x, y]) = program(1);
    let plan = one.compile(&program).unwrap();
    let mut bindings = Bindings::new();
    assert!(one.submit(&plan, &bindings).is_err(), "nothing is bound");
    bindings.set(x, foreign);
    bindings.set(y, one.alloc(&BufferDesc::new(4)).unwrap());
    assert_eq!(one.submit(&plan, &bindings).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(two.submit(&plan, &bindings).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_named_kernel_that_cannot_serve_is_an_error() {
    let cpu = CpuBackend::new().unwrap();
    let mut b = ProgramBuilder::new();
    let x = b.operand(SlotKind::Input, vector(6));
    let y = b.operand(SlotKind::Output, vector(6));
    let kernel = KernelChoice::Named("matmul.gemm".into());
    b.push_step(Step { op: Op::Unary(UnaryOp::Silu), inputs: vec![x], outputs: vec![y], kernel }).unwrap();
    let error = cpu.compile(&b.finish()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let text = error.to_string();
    for part in ["silu", "matmul.gemm", "f32[6]", "on cpu"] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
}

#[test]
fn supports_and_kernels_agree() {
    let cpu = CpuBackend::new().unwrap();
    let desc = |m, k, n: usize| {
        let w = TensorDesc::contiguous(DType::F16, &[n, k]).unwrap().transposed(0, 1).unwrap();
        let a = TensorDesc::contiguous(DType::F32, &[m, k]).unwrap();
        OpDesc::new(Op::MatMul, vec![a, w], vec![TensorDesc::contiguous(DType::F32, &[m, n]).unwrap()]).unwrap()
    };
    assert_eq!(cpu.supports(&desc(1, 64, 64)), Support::Native);
    let names = |d| cpu.kernels(&d).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(desc(1, 64, 64)), ["matmul.dot_rows", "matmul.gemm", "matmul.tiles"]);
    assert_eq!(names(desc(64, 64, 64)), ["matmul.gemm", "matmul.tiles", "matmul.dot_rows"]);
    assert_eq!(names(desc(64, 256, 64)), ["matmul.tiles", "matmul.gemm", "matmul.dot_rows"]);
    let broken = OpDesc { op: Op::MatMul, inputs: vec![vector(3)], outputs: vec![vector(3)] };
    assert!(matches!(cpu.supports(&broken), Support::Unsupported(_)));
    assert!(cpu.kernels(&broken).is_empty());
}

#[test]
fn options_and_description() {
    let cpu =
        CpuBackend::with_options(CpuOptions { threads: Some(3), simd: SimdLevel::Portable, ..CpuOptions::default() })
            .unwrap();
    let info = cpu.info();
    assert_eq!((info.id.as_str(), info.vendor.as_str(), info.api.as_str()), ("cpu", "cpu", "cpu"));
    assert_eq!(info.features, ["portable"]);
    assert_eq!(info.properties["threads"], "3");
    assert!(!info.name.is_empty());
    let none = CpuOptions { threads: Some(0), ..CpuOptions::default() };
    assert_eq!(CpuBackend::with_options(none).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn host_tensors_of_these_tests_round_trip() {
    for dtype in DType::PLAIN.into_iter().filter(|d| *d != DType::I64) {
        for host in Host::layouts(dtype, &[2, 3]) {
            assert_eq!(host.fill(|i| (i % 2) as f64).values(), [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
        }
    }
}
