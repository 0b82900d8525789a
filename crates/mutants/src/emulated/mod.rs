//! Kernels on the host in f32, as a device might write them: three orders of summation, every
//! [`Arithmetic`] that WGSL admits, and one planted fault or none. They are the opposite of the
//! oracle on purpose: f32, composed stage by stage, and wrong on request.

mod arithmetic;
mod attention;
mod conv;
mod fault;
mod functions;
mod kernels;
mod norms;
mod products;
mod rows;
#[cfg(test)]
mod tests;

use half::{bf16, f16};
use unisono_conformance::{Case, read_logical};
use unisono_core::op::{BinaryOp, Op, UnaryOp};
use unisono_core::{DType, NumericMode, OpDesc, TensorDesc};

use arithmetic::F;

pub use arithmetic::{Arithmetic, Builtins, Rounding};
pub use fault::Fault;

/// In which order terms are added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Order {
    /// From the first term to the last.
    Forward,
    /// From the last to the first.
    Backward,
    /// The sum of the sums of both halves.
    Pairwise,
}

impl Order {
    /// Every order.
    pub const ALL: [Order; 3] = [Order::Forward, Order::Backward, Order::Pairwise];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Order::Forward => "forward",
            Order::Backward => "backward",
            Order::Pairwise => "pairwise",
        }
    }
}

/// A device made of an order, an arithmetic, at most one numeric mode and at most one fault.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// In which order terms are added.
    pub order: Order,
    /// How an operation rounds.
    pub arithmetic: Arithmetic,
    /// Whether products are less accurate than the contract asks for, and how.
    pub mode: Option<NumericMode>,
    /// What is wrong, if anything.
    pub fault: Option<Fault>,
}

/// A logical tensor of f32; indices beyond 2²⁴ keep their sign and size, which is all they need.
pub(crate) struct T {
    pub(crate) shape: Vec<usize>,
    pub(crate) x: Vec<F>,
    pub(crate) dtype: DType,
}

impl T {
    /// Numbers of a shape, computed in f32.
    pub(crate) fn new(shape: Vec<usize>, x: Vec<F>) -> T {
        T { shape, x, dtype: DType::F32 }
    }

    /// As many numbers in the same shape.
    pub(crate) fn like(&self, x: Vec<F>) -> T {
        T::new(self.shape.clone(), x)
    }

    pub(crate) fn last(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    pub(crate) fn row(&self, i: usize) -> &[F] {
        &self.x[i * self.last()..(i + 1) * self.last()]
    }

    pub(crate) fn rows(&self) -> usize {
        self.x.len().checked_div(self.last()).unwrap_or(0)
    }
}

impl Host {
    /// A correct device that adds in this order and computes in this way.
    pub const fn new(order: Order, arithmetic: Arithmetic) -> Host {
        Host { order, arithmetic, mode: None, fault: None }
    }

    /// A device as a processor computes, with this fault.
    pub const fn with_fault(fault: Fault) -> Host {
        Host { fault: Some(fault), ..Host::new(Order::Forward, Arithmetic::IEEE) }
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// Whether this device has a kernel for a case: floating-point operands that f32 holds, and no
    /// blocks to write.
    pub fn runs(&self, case: &Case) -> bool {
        let sorts = matches!(case.desc.op, Op::ArgReduce(_) | Op::ArgSort(_));
        kernels::has_kernel(&case.desc.op)
            && case.desc.outputs.iter().all(|d| !d.dtype.is_block())
            && case.desc.inputs.first().is_some_and(|d| d.dtype.is_float())
            && (case.desc.outputs[0].dtype.is_float() || sorts)
    }

    /// Runs a case and gives the bytes of its outputs, with 0xFF where nothing is written.
    ///
    /// # Panics
    ///
    /// If `inputs` are not those of the case, or the operation has no emulated kernel.
    pub fn run(&self, case: &Case, inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
        self.run_op(&case.desc, inputs, case.initial_output_bytes(0).as_deref())
    }

    /// Runs an operation over the storage of its inputs, and the former storage of an output that it
    /// updates in place; gives the bytes of its outputs, with 0xFF where nothing is written.
    ///
    /// # Panics
    ///
    /// If `inputs` are not those of the operation, or it has no emulated kernel.
    pub fn run_op(&self, desc: &OpDesc, inputs: &[Vec<u8>], initial: Option<&[u8]>) -> Vec<Vec<u8>> {
        let (moves, exact) = (moves(&desc.op), is_exact(&desc.op));
        let read = |d: &TensorDesc, bytes: &[u8]| {
            let mut t = T::new(d.shape.to_vec(), Vec::new());
            t.dtype = d.dtype;
            let values = read_logical(d, bytes).expect("whole inputs");
            // A subnormal f16 is a normal f32; a device may read it as zero all the same.
            let flushed = |x: f64| self.arithmetic.flush && !exact && d.dtype == DType::F16 && x.abs() < 1.0 / 16384.0;
            t.x = values.into_iter().map(|x| F(if flushed(x) { 0.0 } else { x as f32 })).collect();
            t
        };
        let x: Vec<T> = desc.inputs.iter().zip(inputs).map(|(d, b)| read(d, b)).collect();
        let initial = initial.map(|b| read(&desc.outputs[0], b));
        let outputs = self.arithmetic.run(|| self.compute(desc, &x, initial));
        desc.outputs.iter().zip(outputs).map(|(d, t)| self.store(d, &t.x, moves, exact)).collect()
    }

    fn store(&self, desc: &TensorDesc, values: &[F], moves: bool, exact: bool) -> Vec<u8> {
        let size = desc.dtype.block_bytes();
        let mut bytes = vec![0xFF; desc.span_bytes() as usize];
        let written = values.len() - usize::from(self.has(Fault::LastElementMissing) && !values.is_empty());
        for (i, &F(x)) in values[..written].iter().enumerate() {
            let (mut rest, mut at) = (i, 0);
            for (&d, &s) in desc.shape.iter().zip(desc.strides.iter()).rev() {
                at += rest % d * s;
                rest /= d;
            }
            let arithmetic = Arithmetic { flush: self.arithmetic.flush && !exact, ..self.arithmetic };
            let x = match () {
                () if self.has(Fault::Truncate) => cut(desc.dtype, x),
                () if moves => x,
                () => arithmetic.store(desc.dtype, x),
            };
            let stored = match desc.dtype {
                DType::F16 => f16::from_f32(x).to_le_bytes().to_vec(),
                DType::BF16 => bf16::from_f32(x).to_le_bytes().to_vec(),
                DType::U32 => (x as u32).to_le_bytes().to_vec(),
                _ => x.to_le_bytes().to_vec(),
            };
            bytes[at * size..(at + 1) * size].copy_from_slice(&stored);
        }
        bytes
    }
}

/// Whether the operation moves data: a cast on the way rounds to nearest even.
fn moves(op: &Op) -> bool {
    matches!(op, Op::Copy | Op::Concat(_) | Op::GatherRows | Op::ScatterRows | Op::Im2Col(_))
}

/// Whether the operation works on bits: nothing is flushed.
fn is_exact(op: &Op) -> bool {
    match op {
        op if moves(op) => true,
        Op::ArgReduce(_) | Op::ArgSort(_) | Op::TopK(_) => true,
        Op::Binary(op) => matches!(op, BinaryOp::Minimum | BinaryOp::Maximum | BinaryOp::Rem),
        Op::Unary(op) => matches!(
            op,
            UnaryOp::Neg
                | UnaryOp::Abs
                | UnaryOp::Relu
                | UnaryOp::Sign
                | UnaryOp::Floor
                | UnaryOp::Ceil
                | UnaryOp::Round
        ),
        _ => false,
    }
}

/// `x` with the digits cut off that a 16-bit type lacks.
fn cut(dtype: DType, x: f32) -> f32 {
    let keep = |bits: u32| f32::from_bits(x.to_bits() & !((1 << bits) - 1));
    match dtype {
        DType::F16 => keep(13),
        DType::BF16 => keep(16),
        _ => x,
    }
}
