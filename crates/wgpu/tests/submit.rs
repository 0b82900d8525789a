//! Plans: replay, order, in-place steps, threads, caching and what is counted.

mod common;

use std::sync::Arc;

use common::{additions, bind, devices, download, f32s, negation, options, upload};
use unisono_core::op::{BinaryOp, UnaryOp};
use unisono_core::{
    Backend, Bindings, BufferDesc, DType, ErrorKind, KernelChoice, Op, Operand, ProgramBuilder, SlotKind, Step,
    TensorDesc,
};
use unisono_wgpu::{WgpuBackend, WgpuOptions};

fn ramp(n: usize) -> Vec<f32> {
    (0..n).map(|i| i as f32 + 1.0).collect()
}

fn scaled(values: &[f32], factor: f32) -> Vec<f32> {
    values.iter().map(|v| v * factor).collect()
}

#[test]
fn a_plan_is_replayed_with_other_buffers_and_other_content() {
    for device in devices(&options()) {
        let (program, x, y) = negation(1000);
        let plan = device.compile(&program).unwrap();
        let inputs = [upload(&device, &ramp(1000)), upload(&device, &scaled(&ramp(1000), 3.0))];
        let outputs = [upload(&device, &[0.0; 1000]), upload(&device, &[0.0; 1000])];
        for (input, output) in inputs.iter().zip(&outputs) {
            device.submit(&plan, &bind(&[(x, input), (y, output)])).unwrap().wait().unwrap();
        }
        assert_eq!(download(&device, &outputs[0]), scaled(&ramp(1000), -1.0));
        assert_eq!(download(&device, &outputs[1]), scaled(&ramp(1000), -3.0));
        device.write(&inputs[0], 0, bytemuck::cast_slice(&scaled(&ramp(1000), 5.0))).unwrap();
        drop(device.submit(&plan, &bind(&[(x, &inputs[0]), (y, &outputs[1])])).unwrap());
        assert_eq!(download(&device, &outputs[1]), scaled(&ramp(1000), -5.0));
        assert_eq!(download(&device, &outputs[0]), scaled(&ramp(1000), -1.0));
    }
}

#[test]
fn a_write_after_a_submission_does_not_reach_it() {
    for device in devices(&options()) {
        let (program, x, y) = negation(50_000);
        let plan = device.compile(&program).unwrap();
        let (input, output) = (upload(&device, &[1.0; 50_000]), upload(&device, &[0.0; 50_000]));
        let bindings = bind(&[(x, &input), (y, &output)]);
        for round in 0..10 {
            device.write(&input, 0, bytemuck::cast_slice(&vec![round as f32; 50_000])).unwrap();
            drop(device.submit(&plan, &bindings).unwrap());
            device.write(&input, 0, bytemuck::cast_slice(&vec![-1000.0f32; 50_000])).unwrap();
            assert_eq!(download(&device, &output)[49_999], -(round as f32));
        }
    }
}

#[test]
fn temporaries_carry_values_from_step_to_step() {
    for device in devices(&WgpuOptions { poison: true, ..options() }) {
        let (program, x, y) = additions(777, 9);
        let plan = device.compile(&program).unwrap();
        let (input, output) = (upload(&device, &ramp(777)), upload(&device, &[0.0; 777]));
        for _ in 0..2 {
            device.submit(&plan, &bind(&[(x, &input), (y, &output)])).unwrap().wait().unwrap();
            assert_eq!(download(&device, &output), scaled(&ramp(777), 10.0), "on {}", device.info().name);
        }
    }
}

#[test]
fn a_step_may_read_and_write_disjoint_ranges_of_one_buffer() {
    for device in devices(&options()) {
        for (from, to) in [(0, 100), (100, 0), (3, 203)] {
            let mut builder = ProgramBuilder::new();
            let slot = builder.slot(SlotKind::State, 400 * 4);
            let operand = |offset| Operand { slot, offset, desc: f32s(90) };
            builder.push(Op::Unary(UnaryOp::Neg), &[operand(from)], &[operand(to)]).unwrap();
            builder.push(Op::Binary(BinaryOp::Add), &[operand(to), operand(to)], &[operand(from)]).unwrap();
            let plan = device.compile(&builder.finish()).unwrap();
            let buffer = upload(&device, &ramp(400));
            device.submit(&plan, &bind(&[(slot, &buffer)])).unwrap().wait().unwrap();
            let mut expected = ramp(400);
            for i in 0..90 {
                expected[to + i] = -ramp(400)[from + i];
                expected[from + i] = 2.0 * expected[to + i];
            }
            assert_eq!(download(&device, &buffer), expected, "{from} to {to} on {}", device.info().name);
        }
    }
}

#[test]
fn one_plan_is_one_submission_and_compiles_its_kernels_once() {
    for device in devices(&options()) {
        let (program, x, y) = additions(64, 5);
        let plan = device.compile(&program).unwrap();
        let compiled = device.counters();
        assert_eq!((compiled.plans, compiled.submissions), (1, 0));
        assert!(compiled.kernels >= 1);
        let again = device.compile(&program).unwrap();
        assert_eq!(device.counters().kernels, compiled.kernels, "a second compile builds no pipeline");
        let (input, output) = (upload(&device, &ramp(64)), upload(&device, &[0.0; 64]));
        for (n, plan) in [(1, &plan), (2, &again)] {
            device.submit(plan, &bind(&[(x, &input), (y, &output)])).unwrap().wait().unwrap();
            let counters = device.counters();
            assert_eq!((counters.submissions, counters.dispatches), (n, 5 * n));
        }
        assert_eq!(plan.kernel_names().len(), plan.program().steps().len());
    }
}

#[test]
fn threads_may_submit_at_once() {
    for device in devices(&options()) {
        let (program, x, y) = additions(4096, 6);
        let shared = device.compile(&program).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (device, shared, program) = (&device, &shared, &program);
                scope.spawn(move || {
                    let own = device.compile(program).unwrap();
                    for round in 0..15 {
                        let values = scaled(&ramp(4096), (thread * 100 + round) as f32);
                        let (input, output) = (upload(device, &values), upload(device, &[0.0; 4096]));
                        let plan = if round % 2 == 0 { shared } else { &own };
                        drop(device.submit(plan, &bind(&[(x, &input), (y, &output)])).unwrap());
                        assert_eq!(download(device, &output), scaled(&values, 7.0), "thread {thread} round {round}");
                    }
                });
            }
        });
        assert_eq!(device.counters().submissions, 60);
    }
}

#[test]
fn results_can_be_awaited_without_anyone_polling_the_device() {
    for device in devices(&options()) {
        let (program, x, y) = negation(10);
        let plan = device.compile(&program).unwrap();
        let (input, output) = (upload(&device, &ramp(10)), upload(&device, &[0.0; 10]));
        let found = pollster::block_on(async {
            device.submit(&plan, &bind(&[(x, &input), (y, &output)]))?.await?;
            device.read(&output, 0..40).await
        });
        assert_eq!(found.unwrap(), bytemuck::cast_slice::<f32, u8>(&scaled(&ramp(10), -1.0)));
    }
}

#[test]
fn bindings_that_do_not_fit_are_refused() {
    for device in devices(&options()) {
        let (program, x, y) = negation(100);
        let plan = device.compile(&program).unwrap();
        let (good, short) = (upload(&device, &[0.0; 100]), upload(&device, &[0.0; 99]));
        let submit = |bindings: &Bindings| device.submit(&plan, bindings).map(|_| ()).unwrap_err().kind();
        assert_eq!(submit(&bind(&[(x, &good)])), ErrorKind::Invalid);
        assert_eq!(submit(&bind(&[(x, &good), (y, &short)])), ErrorKind::OutOfBounds);
        assert_eq!(submit(&bind(&[(x, &good), (y, &good)])), ErrorKind::Invalid);
        let other = unisono_wgpu::open(&device.info().id, &options()).unwrap();
        let foreign = upload(&other, &[0.0; 100]);
        assert_eq!(submit(&bind(&[(x, &foreign), (y, &good)])), ErrorKind::Invalid);
        let e = other.submit(&plan, &bind(&[(x, &foreign), (y, &foreign)])).map(|_| ()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid);
    }
}

#[test]
fn an_unknown_kernel_name_is_an_error() {
    for device in devices(&options()) {
        let mut builder = ProgramBuilder::new();
        let x = builder.operand(SlotKind::Input, f32s(4));
        let y = builder.operand(SlotKind::Output, f32s(4));
        let kernel = KernelChoice::Named(Arc::from("no_such_kernel"));
        builder.push_step(Step { op: Op::Unary(UnaryOp::Neg), inputs: vec![x], outputs: vec![y], kernel }).unwrap();
        let e = device.compile(&builder.finish()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        let text = e.to_string();
        assert!(text.contains("no_such_kernel") && text.contains(&device.info().name), "{text}");
    }
}

#[test]
fn empty_programs_and_empty_tensors_run() {
    for device in devices(&options()) {
        let plan = device.compile(&ProgramBuilder::new().finish()).unwrap();
        device.submit(&plan, &Bindings::new()).unwrap().wait().unwrap();
        let (program, x, y) = negation(0);
        let plan = device.compile(&program).unwrap();
        let empty = || device.alloc(&BufferDesc::new(0)).unwrap();
        device.submit(&plan, &bind(&[(x, &empty()), (y, &empty())])).unwrap().wait().unwrap();
    }
}

#[test]
fn constants_of_odd_size_reach_the_device() {
    for device in devices(&options()) {
        let bytes: Vec<u8> = (1..=7).collect();
        let desc = TensorDesc::contiguous(DType::U8, &[7]).unwrap();
        let mut builder = ProgramBuilder::new();
        let constant = builder.operand(SlotKind::Constant(Arc::from(&bytes[..])), desc);
        let y = builder.operand(SlotKind::Output, desc);
        builder.push(Op::Copy, &[constant], &[y]).unwrap();
        let plan = device.compile(&builder.finish()).unwrap();
        let output = device.alloc(&BufferDesc::new(7)).unwrap();
        device.submit(&plan, &bind(&[(y.slot, &output)])).unwrap().wait().unwrap();
        assert_eq!(device.read(&output, 0..7).wait().unwrap(), bytes);
    }
}

#[test]
fn launches_are_timed_where_the_device_has_timestamps() {
    for device in devices(&options()) {
        let (program, x, y) = additions(100_000, 3);
        let plan = device.compile(&program).unwrap();
        let (input, output) = (upload(&device, &ramp(100_000)), upload(&device, &[0.0; 100_000]));
        let times = device.time_plan(&plan, &bind(&[(x, &input), (y, &output)]));
        if device.info().features.iter().any(|f| f == "timestamp-query") {
            let times = times.unwrap();
            assert_eq!(times.iter().map(|t| t.step).collect::<Vec<_>>(), [0, 1, 2]);
            assert!(times.iter().all(|t| t.nanoseconds > 0 && t.nanoseconds < 10_000_000_000), "{times:?}");
            assert_eq!(download(&device, &output), scaled(&ramp(100_000), 4.0), "timing runs the plan");
        } else {
            assert_eq!(times.unwrap_err().kind(), ErrorKind::Unsupported);
        }
    }
}

#[test]
fn every_way_to_open_a_device_computes_the_same() {
    let ways = [
        WgpuOptions { trusted: true, ..options() },
        WgpuOptions { default_limits: true, ..options() },
        WgpuOptions { profile: Some("amd".to_owned()), ..options() },
    ];
    let run = |device: &WgpuBackend| {
        let (program, x, y) = additions(100, 2);
        let plan = device.compile(&program).unwrap();
        let (input, output) = (upload(device, &ramp(100)), upload(device, &[0.0; 100]));
        device.submit(&plan, &bind(&[(x, &input), (y, &output)])).unwrap().wait().unwrap();
        assert_eq!(download(device, &output), scaled(&ramp(100), 3.0), "{:?}", device.info());
    };
    let opened = ways.map(|way| devices(&way));
    opened.iter().flatten().for_each(|device| run(device));
    for (trusted, (default, amd)) in opened[0].iter().zip(opened[1].iter().zip(&opened[2])) {
        assert_eq!(trusted.info().properties["bounds-checks"], "off");
        assert_eq!(default.info().properties["bounds-checks"], "on");
        assert!(default.info().features.is_empty(), "{:?}", default.info().features);
        assert!(default.info().limits["max-storage-buffer-binding-size"] <= 128 << 20);
        assert!(amd.info().profile.starts_with("amd"), "{}", amd.info().profile);
    }
}
