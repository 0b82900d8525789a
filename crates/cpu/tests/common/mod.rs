//! What the tests of the families share: host tensors with any layout and dtype, a runner for one
//! operation on every kernel, and a comparison against `f64`.

#![allow(dead_code)]

use std::sync::Arc;

use half::{bf16, f16};
use unisono_core::op::Op;
use unisono_core::{
    Backend, Bindings, BufferDesc, DType, Dims, KernelChoice, Operand, ProgramBuilder, Result, SlotKind, Step,
    TensorDesc,
};
use unisono_cpu::{CpuBackend, CpuOptions, SimdLevel};

/// The sizes that catch errors at the ends of vectors and blocks.
pub(crate) const ODD: [usize; 5] = [1, 7, 17, 33, 129];

/// A small generator with a fixed sequence for each seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// Uniform in −1 … 1.
    pub(crate) fn unit(&mut self) -> f64 {
        self.next() as f64 / (1u64 << 30) as f64 - 1.0
    }
}

/// A tensor on the host: layout, offset and the bytes of its storage.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) desc: TensorDesc,
    pub(crate) offset: usize,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn encode(dtype: DType, v: f64, to: &mut [u8]) {
    match dtype {
        DType::F32 => to.copy_from_slice(&(v as f32).to_le_bytes()),
        DType::F16 => to.copy_from_slice(&f16::from_f64(v).to_le_bytes()),
        DType::BF16 => to.copy_from_slice(&bf16::from_f64(v).to_le_bytes()),
        DType::I32 => to.copy_from_slice(&(v as i32).to_le_bytes()),
        DType::U32 => to.copy_from_slice(&(v as u32).to_le_bytes()),
        _ => to[0] = v as u8,
    }
}

pub(crate) fn decode(dtype: DType, from: &[u8]) -> f64 {
    let four = || [from[0], from[1], from[2], from[3]];
    match dtype {
        DType::F32 => f64::from(f32::from_le_bytes(four())),
        DType::F16 => f16::from_le_bytes([from[0], from[1]]).to_f64(),
        DType::BF16 => bf16::from_le_bytes([from[0], from[1]]).to_f64(),
        DType::I32 => f64::from(i32::from_le_bytes(four())),
        DType::U32 => f64::from(u32::from_le_bytes(four())),
        _ => f64::from(from[0]),
    }
}

impl Host {
    /// With a layout of its own over fresh storage; `offset` elements come first.
    pub(crate) fn strided(dtype: DType, shape: &[usize], strides: &[usize], offset: usize) -> Host {
        let desc = TensorDesc::strided(dtype, shape, strides).unwrap();
        Host { desc, offset, bytes: vec![0xff; (offset + desc.span() + 3) * dtype.block_bytes()] }
    }

    pub(crate) fn new(dtype: DType, shape: &[usize]) -> Host {
        let strides = Dims::new(shape).unwrap().contiguous_strides();
        Host::strided(dtype, shape, &strides, 0)
    }

    /// The layouts each family is tried with: contiguous, reversed dimensions with gaps and an odd
    /// offset, and padded rows.
    pub(crate) fn layouts(dtype: DType, shape: &[usize]) -> Vec<Host> {
        let mut reversed = vec![0; shape.len()];
        let mut step = 2;
        for (stride, &size) in reversed.iter_mut().zip(shape) {
            *stride = step;
            step *= size.max(1) + 1;
        }
        let mut padded = vec![0; shape.len()];
        step = 1;
        for (stride, &size) in padded.iter_mut().zip(shape).rev() {
            *stride = step;
            step *= size.max(1) + 3;
        }
        vec![
            Host::new(dtype, shape),
            Host::strided(dtype, shape, &reversed, 5),
            Host::strided(dtype, shape, &padded, 1),
        ]
    }

    pub(crate) fn fill(mut self, mut f: impl FnMut(usize) -> f64) -> Host {
        for i in 0..self.desc.elements() {
            self.set(i, f(i));
        }
        self
    }

    pub(crate) fn random(self, seed: u64, scale: f64) -> Host {
        let mut random = Random::new(seed);
        self.fill(|_| random.unit() * scale)
    }

    fn at(&self, mut index: usize) -> std::ops::Range<usize> {
        let mut element = self.offset;
        for (&size, &stride) in self.desc.shape.iter().zip(self.desc.strides.iter()).rev() {
            element += index % size * stride;
            index /= size;
        }
        let size = self.desc.dtype.block_bytes();
        element * size..(element + 1) * size
    }

    /// The element at a row-major index.
    pub(crate) fn get(&self, index: usize) -> f64 {
        decode(self.desc.dtype, &self.bytes[self.at(index)])
    }

    pub(crate) fn set(&mut self, index: usize, value: f64) {
        let at = self.at(index);
        encode(self.desc.dtype, value, &mut self.bytes[at]);
    }

    pub(crate) fn values(&self) -> Vec<f64> {
        (0..self.desc.elements()).map(|i| self.get(i)).collect()
    }

    /// Another layout over the same storage.
    pub(crate) fn view(&self, f: impl FnOnce(&TensorDesc) -> Result<TensorDesc>) -> Host {
        Host { desc: f(&self.desc).unwrap(), ..self.clone() }
    }
}

/// Every combination of vector code and thread count.
pub(crate) fn backends() -> Vec<Arc<CpuBackend>> {
    let open = |simd, threads| {
        CpuBackend::with_options(CpuOptions { threads: Some(threads), simd, ..CpuOptions::default() }).unwrap()
    };
    let levels = [SimdLevel::NoAvx512, SimdLevel::Portable].map(|simd| open(simd, 2));
    [open(SimdLevel::Auto, 1), open(SimdLevel::Auto, 2)].into_iter().chain(levels).collect()
}

/// Runs one operation on a named kernel. Bytes around and between the outputs' elements must stay
/// as they were, and inputs too.
pub(crate) fn run_kernel(
    backend: &CpuBackend,
    op: &Op,
    inputs: &[Host],
    outputs: &[Host],
    kernel: KernelChoice,
) -> Vec<Host> {
    let mut builder = ProgramBuilder::new();
    let mut operand = |host: &Host, kind| Operand {
        slot: builder.slot(kind, host.bytes.len() as u64),
        offset: host.offset,
        desc: host.desc,
    };
    let ins: Vec<_> = inputs.iter().map(|h| operand(h, SlotKind::Input)).collect();
    let outs: Vec<_> = outputs.iter().map(|h| operand(h, SlotKind::State)).collect();
    builder.push_step(Step { op: op.clone(), inputs: ins.clone(), outputs: outs.clone(), kernel }).unwrap();
    let plan = backend.compile(&builder.finish()).unwrap();
    let mut bindings = Bindings::new();
    for (operand, host) in ins.iter().zip(inputs).chain(outs.iter().zip(outputs)) {
        let buffer = backend.alloc(&BufferDesc::new(host.bytes.len() as u64)).unwrap();
        backend.write(&buffer, 0, &host.bytes).unwrap();
        bindings.set(operand.slot, buffer);
    }
    backend.submit(&plan, &bindings).unwrap().wait().unwrap();
    let read = |operand: &Operand, host: &Host| {
        let buffer = bindings.get(operand.slot).unwrap();
        Host { bytes: backend.read(buffer, 0..buffer.bytes()).wait().unwrap(), ..host.clone() }
    };
    for (operand, host) in ins.iter().zip(inputs) {
        assert_eq!(read(operand, host).bytes, host.bytes, "an input of {} changed", op.name());
    }
    let results: Vec<Host> = outs.iter().zip(outputs).map(|(o, h)| read(o, h)).collect();
    for (result, before) in results.iter().zip(outputs) {
        let mut same = before.clone();
        for i in 0..result.desc.elements() {
            let at = result.at(i);
            same.bytes[at.clone()].copy_from_slice(&result.bytes[at]);
        }
        assert_eq!(same.bytes, result.bytes, "{} wrote outside its output", op.name());
    }
    results
}

/// What an operation must give: value and absolute tolerance (before the store) of an element.
pub(crate) type Expect<'a> = dyn Fn(usize, usize) -> (f64, f64) + 'a;

/// Runs an operation on every backend and every kernel that can serve it, and compares.
pub(crate) fn check(op: &Op, inputs: &[Host], outputs: &[Host], expect: &Expect<'_>) {
    let desc = unisono_core::OpDesc::new(
        op.clone(),
        inputs.iter().map(|h| h.desc).collect(),
        outputs.iter().map(|h| h.desc).collect(),
    )
    .unwrap();
    for backend in backends() {
        let names = backend.kernels(&desc);
        assert!(!names.is_empty(), "{desc}: no kernel");
        let mut choices: Vec<_> = names.into_iter().map(KernelChoice::Named).collect();
        if op.is_composite() {
            choices.push(KernelChoice::Decompose);
        }
        for choice in choices {
            let results = run_kernel(&backend, op, inputs, outputs, choice.clone());
            for (o, result) in results.iter().enumerate() {
                for i in 0..result.desc.elements() {
                    let (want, tolerance) = expect(o, i);
                    let got = result.get(i);
                    let bound = tolerance + store_error(result.desc.dtype, want);
                    let close = (got - want).abs() <= bound || got == want;
                    assert!(
                        close,
                        "{desc} by {choice:?} on {:?}: output {o} element {i} is {got:e}, not {want:e} ± {bound:e}",
                        backend.info().properties,
                    );
                }
            }
        }
    }
}

fn store_error(dtype: DType, value: f64) -> f64 {
    let (relative, floor) = match dtype {
        DType::F32 => (2f64.powi(-23), 2f64.powi(-126)),
        DType::F16 => (2f64.powi(-11), 2f64.powi(-24)),
        DType::BF16 => (2f64.powi(-8), 2f64.powi(-126)),
        _ => (0.0, 0.0),
    };
    value.abs() * relative + floor
}

/// One unit in the last place of 1 in `f32`, as the conformance suite counts.
pub(crate) const U: f64 = 1.0 / 8_388_608.0;
