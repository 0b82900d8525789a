//! Weights in block formats on a device: no product ever holds the decoded weight.

mod common;

use std::sync::Arc;

use common::{bind, devices, options};
use unisono_core::{
    Backend, BufferDesc, DType, KernelChoice, Op, OpDesc, Operand, ProgramBuilder, SlotKind, Step, TensorDesc,
};
use unisono_wgpu::WgpuBackend;

const K: usize = 1024;
const N: usize = 768;

/// Room for partial sums. Allocations may also be a quarter larger than asked for.
const SLACK: u64 = 128 << 10;

fn desc(dtype: DType, shape: &[usize]) -> TensorDesc {
    TensorDesc::contiguous(dtype, shape).unwrap()
}

/// Runs an operation by one kernel on memory of its own.
fn run(device: &WgpuBackend, desc: &OpDesc, kernel: &Arc<str>) {
    let mut builder = ProgramBuilder::new();
    let inputs: Vec<Operand> = desc.inputs.iter().map(|&d| builder.operand(SlotKind::Input, d)).collect();
    let outputs: Vec<Operand> = desc.outputs.iter().map(|&d| builder.operand(SlotKind::Output, d)).collect();
    let (op, kernel) = (desc.op.clone(), KernelChoice::Named(Arc::clone(kernel)));
    builder.push_step(Step { op, inputs: inputs.clone(), outputs: outputs.clone(), kernel }).unwrap();
    let alloc = |o: &Operand| (o.slot, device.alloc(&BufferDesc::new(o.desc.span_bytes())).unwrap());
    let buffers: Vec<_> = inputs.iter().chain(&outputs).map(alloc).collect();
    let plan = device.compile(&builder.finish()).unwrap();
    let pairs: Vec<_> = buffers.iter().map(|(slot, buffer)| (*slot, buffer)).collect();
    device.submit(&plan, &bind(&pairs)).unwrap().wait().unwrap();
}

/// The product of `m` rows with a weight, and that of a mixture of experts of the same size.
fn products(dtype: DType, m: usize) -> [OpDesc; 2] {
    let float = |shape: &[usize]| desc(DType::F16, shape);
    let weight = desc(dtype, &[N, K]).transposed(0, 1).unwrap();
    let experts = desc(dtype, &[4, N / 4, K]).transposed(1, 2).unwrap();
    let rows = float(&[m, 1, K]).broadcast_to(&[m, 2, K]).unwrap();
    let ids = desc(DType::U32, &[m, 2]);
    [
        OpDesc::new(Op::MatMul, vec![float(&[m, K]), weight], vec![float(&[m, N])]).unwrap(),
        OpDesc::new(Op::MatMulId, vec![rows, experts, ids], vec![float(&[m, 2, N / 4])]).unwrap(),
    ]
}

#[test]
fn a_product_needs_the_packed_weight_and_the_activations_and_little_else() {
    for device in devices(&options()) {
        let before = device.counters().bytes_now;
        // The peak is that of all runs so far: of both formats, which are of one size, and of ever
        // more rows.
        for m in [1, 64] {
            let [largest, _] = products(DType::Q4_0, m);
            let needed: u64 = largest.inputs.iter().chain(&largest.outputs).map(TensorDesc::span_bytes).sum();
            for product in [DType::Q4_0, DType::Q4K].into_iter().flat_map(|dtype| products(dtype, m)) {
                let most = needed + needed / 4 + SLACK;
                assert!(most < (K * N * 2) as u64, "the decoded weight would not show");
                let kernels = device.kernels(&product);
                assert!(kernels.len() >= 2, "{kernels:?}");
                for kernel in &kernels {
                    run(&device, &product, kernel);
                    let peak = device.counters().bytes_peak - before;
                    let name = &device.info().name;
                    assert!(peak <= most, "{product} by {kernel}: {peak} bytes, not {most}, on {name}");
                }
            }
        }
    }
}
