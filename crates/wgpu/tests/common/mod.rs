//! What the tests that need an adapter share: opening every one of this machine, and small
//! programs over it.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::sync::Arc;

use unisono_core::op::UnaryOp;
use unisono_core::{
    Backend, Bindings, Buffer, BufferDesc, DType, Op, Operand, Program, ProgramBuilder, SlotId, SlotKind, TensorDesc,
};
use unisono_wgpu::{WgpuBackend, WgpuOptions};

/// Every adapter of this machine, opened. Fails where there is none, unless
/// `UNISONO_ALLOW_NO_ADAPTER=1` says that this is expected.
pub(crate) fn devices(options: &WgpuOptions) -> Vec<Arc<WgpuBackend>> {
    let adapters = unisono_wgpu::adapters();
    let allowed = std::env::var("UNISONO_ALLOW_NO_ADAPTER").is_ok_and(|v| v == "1");
    assert!(
        !adapters.is_empty() || allowed,
        "no graphics adapter was found: install a driver (Mesa's lavapipe will do), or set \
         UNISONO_ALLOW_NO_ADAPTER=1 to let the tests pass without one"
    );
    adapters.iter().map(|a| unisono_wgpu::open(&a.id, options).unwrap()).collect()
}

/// Options that leave no traces on disk.
pub(crate) fn options() -> WgpuOptions {
    WgpuOptions { disk_cache: false, ..WgpuOptions::default() }
}

pub(crate) fn f32s(n: usize) -> TensorDesc {
    TensorDesc::contiguous(DType::F32, &[n]).unwrap()
}

/// `y = -x` over `n` values, with its slots.
pub(crate) fn negation(n: usize) -> (Program, SlotId, SlotId) {
    let mut builder = ProgramBuilder::new();
    let x = builder.operand(SlotKind::Input, f32s(n));
    let y = builder.operand(SlotKind::Output, f32s(n));
    builder.push(Op::Unary(UnaryOp::Neg), &[x], &[y]).unwrap();
    (builder.finish(), x.slot, y.slot)
}

/// `y = x + x + … ` through `steps` temporaries, each adding `x` once more.
pub(crate) fn additions(n: usize, steps: usize) -> (Program, SlotId, SlotId) {
    let mut builder = ProgramBuilder::new();
    let x = builder.operand(SlotKind::Input, f32s(n));
    let y = builder.operand(SlotKind::Output, f32s(n));
    let mut sum: Operand = x;
    for step in 0..steps {
        let to = if step + 1 == steps { y } else { builder.operand(SlotKind::Temporary, f32s(n)) };
        builder.push(Op::Binary(unisono_core::op::BinaryOp::Add), &[sum, x], &[to]).unwrap();
        sum = to;
    }
    (builder.finish(), x.slot, y.slot)
}

pub(crate) fn upload(device: &WgpuBackend, values: &[f32]) -> Buffer {
    let bytes = bytemuck::cast_slice(values);
    let buffer = device.alloc(&BufferDesc::new(bytes.len() as u64)).unwrap();
    device.write(&buffer, 0, bytes).unwrap();
    buffer
}

pub(crate) fn download(device: &WgpuBackend, buffer: &Buffer) -> Vec<f32> {
    let bytes = device.read(buffer, 0..buffer.bytes()).wait().unwrap();
    bytemuck::pod_collect_to_vec(&bytes)
}

pub(crate) fn bind(pairs: &[(SlotId, &Buffer)]) -> Bindings {
    let mut bindings = Bindings::new();
    for (slot, buffer) in pairs {
        bindings.set(*slot, (*buffer).clone());
    }
    bindings
}
