//! Weights in block formats on a device: no product ever holds the decoded weight.

mod common;

use std::sync::Arc;

use common::{bind, devices, options};
use unisono_core::{
    Backend, BufferDesc, DType, KernelChoice, Op, OpDesc, Operand, ProgramBuilder, SlotKind, Step, TensorDesc,
};
use unisono_wgpu::WgpuBackend;

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

#[test]
fn a_product_needs_the_packed_weight_and_the_activations_and_little_else() {
    let (k, n) = (1024, 768);
    for device in devices(&options()) {
        let before = device.counters().bytes_now;
        // The peak is that of all runs so far: of both formats, which are of one size, and of ever
        // more rows.
        for m in [1, 64] {
            for dtype in [DType::Q4_0, DType::Q4K] {
                let operands = vec![desc(DType::F16, &[m, k]), desc(dtype, &[n, k]).transposed(0, 1).unwrap()];
                let product = OpDesc::new(Op::MatMul, operands, vec![desc(DType::F16, &[m, n])]).unwrap();
                let needed: u64 = product.inputs.iter().chain(&product.outputs).map(TensorDesc::span_bytes).sum();
                let decoded = (k * n * 2) as u64;
                let most = needed + needed / 4 + SLACK;
                assert!(most < decoded);
                let kernels = device.kernels(&product);
                assert_eq!(kernels.len(), 3, "{kernels:?}");
                for kernel in &kernels {
                    run(&device, &product, kernel);
                    let peak = device.counters().bytes_peak - before;
                    let name = &device.info().name;
                    assert!(peak <= most, "{dtype}, {m} rows by {kernel}: {peak} bytes, not {most}, on {name}");
                }
            }
        }
    }
}
