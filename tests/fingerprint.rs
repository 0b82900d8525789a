//! The numeric fingerprint tells devices apart that compute differently, and gives one device the
//! same answers each time.
//!
//! The devices are the naive backend, which computes in `f64` and rounds once, and the same backend
//! with other arithmetic behind it: another direction of rounding, no subnormal numbers, a narrow
//! accumulator, another order.

use std::ops::Range;
use std::sync::Arc;

use half::f16;
use unisono_conformance::decode;
use unisono_conformance::fingerprint::{Fingerprint, fingerprint};
use unisono_core::op::{BinaryOp, Op};
use unisono_core::{
    Backend, Bindings, Buffer, BufferDesc, Counters, DType, DeviceInfo, OpDesc, Operand, Plan, Program, Readback,
    Result, Step, Support, Ticket,
};
use unisono_tests::naive::Naive;

/// Another arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// Results and stores are cut off.
    TowardZero,
    /// Operands and results below the normal numbers are zero.
    Flush,
    /// Sums are kept in f32, from the first term to the last, of rounded products.
    Forward,
    /// As `Forward`, from the last term to the first, with products that are not rounded.
    BackwardFused,
    /// Eight sums in f32, each of every eighth term, added pairwise.
    Lanes,
    /// Sums are kept in f16.
    Half,
}

#[derive(Debug)]
struct Styled {
    inner: Naive,
    style: Style,
}

/// `x` cut off to `digits` digits.
fn cut(x: f64, digits: u32) -> f64 {
    f64::from_bits(x.to_bits() & !((1u64 << (53 - digits)) - 1))
}

fn flush(x: f64) -> f64 {
    if x.abs() < f64::from(f32::MIN_POSITIVE) { x * 0.0 } else { x }
}

impl Styled {
    fn dot(&self, terms: &[(f64, f64)]) -> f64 {
        let products = || terms.iter().map(|(a, b)| (a * b) as f32);
        let f32 = |x: f32| f64::from(x);
        match self.style {
            Style::Forward => f32(products().fold(0.0, |sum, p| sum + p)),
            Style::BackwardFused => {
                f32(terms.iter().rev().fold(0.0f32, |sum, &(a, b)| (a as f32).mul_add(b as f32, sum)))
            }
            Style::Lanes => {
                let mut lanes = [0.0f32; 8];
                products().enumerate().for_each(|(i, p)| lanes[i % 8] += p);
                for half in [4, 2, 1] {
                    (0..half).for_each(|i| lanes[i] += lanes[i + half]);
                }
                f32(lanes[0])
            }
            _ => products().fold(f16::ZERO, |sum, p| f16::from_f32(sum.to_f32() + p)).to_f64(),
        }
    }

    /// The results of a step in this style, where it concerns the step.
    fn recompute(&self, step: &Step, inputs: &[Vec<f64>]) -> Option<Vec<f64>> {
        let digits = |dtype| match dtype {
            DType::F16 => 11,
            DType::BF16 => 8,
            _ => 24,
        };
        let out = step.outputs[0].desc.dtype;
        match (self.style, &step.op) {
            (Style::TowardZero, Op::Copy) if out.is_float() => {
                Some(inputs[0].iter().map(|&x| cut(x, digits(out))).collect())
            }
            (Style::TowardZero | Style::Flush, Op::Binary(op)) => {
                let compute = |(&a, &b): (&f64, &f64)| {
                    let (a, b) = if self.style == Style::Flush { (flush(a), flush(b)) } else { (a, b) };
                    let y = match op {
                        BinaryOp::Add => a + b,
                        BinaryOp::Mul => a * b,
                        _ => a / b,
                    };
                    if self.style == Style::Flush { flush(y) } else { cut(y, digits(out)) }
                };
                let plain = matches!(op, BinaryOp::Add | BinaryOp::Mul | BinaryOp::Div);
                plain.then(|| inputs[0].iter().zip(&inputs[1]).map(compute).collect())
            }
            (Style::Forward | Style::BackwardFused | Style::Lanes | Style::Half, Op::MatMul) => {
                let [a, b] = [&step.inputs[0].desc, &step.inputs[1].desc];
                let (k, n) = (a.shape[1], b.shape[1]);
                let at = |j: usize, i: usize| inputs[1][j * b.strides[0] + i * b.strides[1]];
                let one = |row: usize, i: usize| {
                    let terms: Vec<(f64, f64)> = (0..k).map(|j| (inputs[0][row * k + j], at(j, i))).collect();
                    self.dot(&terms)
                };
                Some((0..a.shape[0]).flat_map(|row| (0..n).map(move |i| (row, i))).map(|(r, i)| one(r, i)).collect())
            }
            _ => None,
        }
    }

    /// Runs the steps that the style concerns again, where their operands are bound.
    fn restyle(&self, program: &Program, bindings: &Bindings) -> Result<()> {
        for step in program.steps() {
            let load = |o: &Operand| -> Option<Vec<f64>> {
                let bytes = self.inner.read(bindings.get(o.slot)?, o.byte_range()).wait().ok()?;
                Some(decode(o.desc.dtype, &bytes))
            };
            let inputs: Option<Vec<Vec<f64>>> = step.inputs.iter().map(load).collect();
            let y = step.outputs[0];
            let Some((inputs, buffer)) = inputs.zip(bindings.get(y.slot)) else { continue };
            let Some(values) = self.recompute(step, &inputs) else { continue };
            let bytes = |v: &f64| match y.desc.dtype {
                DType::F16 => f16::from_f64(*v).to_le_bytes().to_vec(),
                DType::BF16 => ((*v as f32).to_bits() >> 16).to_le_bytes()[..2].to_vec(),
                _ => (*v as f32).to_le_bytes().to_vec(),
            };
            let bytes: Vec<u8> = values.iter().flat_map(bytes).collect();
            self.inner.write(buffer, y.byte_range().start, &bytes)?;
        }
        Ok(())
    }
}

impl Backend for Styled {
    fn info(&self) -> &DeviceInfo {
        self.inner.info()
    }
    fn supports(&self, op: &OpDesc) -> Support {
        self.inner.supports(op)
    }
    fn kernels(&self, op: &OpDesc) -> Vec<Arc<str>> {
        self.inner.kernels(op)
    }
    fn alloc(&self, desc: &BufferDesc) -> Result<Buffer> {
        self.inner.alloc(desc)
    }
    fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        self.inner.write(buffer, offset, bytes)
    }
    fn read(&self, buffer: &Buffer, range: Range<u64>) -> Readback {
        self.inner.read(buffer, range)
    }
    fn compile(&self, program: &Program) -> Result<Arc<dyn Plan>> {
        self.inner.compile(program)
    }
    fn submit(&self, plan: &Arc<dyn Plan>, bindings: &Bindings) -> Result<Ticket> {
        let ticket = self.inner.submit(plan, bindings)?;
        self.restyle(plan.program(), bindings)?;
        Ok(ticket)
    }
    fn counters(&self) -> Counters {
        self.inner.counters()
    }
}

fn of(style: Style) -> Fingerprint {
    fingerprint(&Styled { inner: Naive::default(), style }).unwrap()
}

#[track_caller]
fn says(f: &Fingerprint, group: &str, name: &str, answer: &str) {
    assert_eq!(f.answer(group, name), Some(answer), "{group}: {name}");
}

#[test]
fn the_naive_backend_rounds_once() {
    let naive = fingerprint(&Naive::default()).unwrap();
    for name in ["f32 add", "f32 mul", "f32 div", "store to f16", "f16 mul", "store to bf16", "bf16 mul"] {
        says(&naive, "rounding", name, "nearest even");
    }
    says(&naive, "subnormals", "f32 operand of mul", "kept");
    let sums = naive.answer("sums", "naive, f32 x f32, 1 row").unwrap();
    assert!(sums.starts_with("more digits than f32"), "{sums}");
    says(&naive, "functions", "exp, -87 to 88", "0.50 ULP");
    says(&naive, "contraction", "mul and add as two steps", "twice");
}

#[test]
fn another_direction_of_rounding_is_told() {
    let f = of(Style::TowardZero);
    for name in ["f32 add", "f32 mul", "f32 div", "store to f16", "f16 mul", "store to bf16", "bf16 mul"] {
        says(&f, "rounding", name, "toward zero");
    }
    says(&f, "rounding", "i32 to f32", "unsupported");
}

#[test]
fn flushed_subnormal_numbers_are_told() {
    let f = of(Style::Flush);
    for name in ["f32 operand of add", "f32 result of add", "f32 operand of mul", "f32 result of mul"] {
        says(&f, "subnormals", name, "flushed to zero");
    }
    says(&f, "subnormals", "f32 operand of neg", "kept");
}

#[test]
fn accumulators_and_orders_are_told() {
    let name = "naive, f32 x f32, 64 rows";
    says(&of(Style::Forward), "sums", name, "24 digits (f32); products rounded; one sum, in order");
    let backward = "24 digits (f32); fused multiply-add; one sum, from the last term";
    says(&of(Style::BackwardFused), "sums", name, backward);
    let lanes =
        "24 digits (f32); products rounded; 8 partial sums of 32 terms in order, neighbours 8 apart, joined pairwise";
    says(&of(Style::Lanes), "sums", name, lanes);
    says(&of(Style::Half), "sums", name, "11 digits (f16); products rounded; one sum, in order");
}

#[test]
fn a_fingerprint_survives_json_and_differences_are_named() {
    let (a, b) = (of(Style::Forward), of(Style::Lanes));
    assert_ne!(a.hash, b.hash);
    let differences = a.differences(&b);
    assert!(differences.iter().all(|d| d.starts_with("sums: naive")) && differences.len() == 4, "{differences:?}");
    assert!(a.differences(&a.clone()).is_empty());
}

#[test]
fn the_cpu_answers_alike_ten_times() {
    let cpu = unisono::open("cpu").unwrap();
    let first = fingerprint(&**cpu.backend()).unwrap();
    for _ in 1..10 {
        assert_eq!(first.differences(&fingerprint(&**cpu.backend()).unwrap()), Vec::<String>::new());
    }
    assert!(first.traits.iter().all(|t| t.answer != "unsupported" && t.answer != "not told"), "{first:?}");
}

/// Where there is an adapter: a software driver is as deterministic as the processor. Ten runs of
/// every question are `unisono fingerprint --runs 10`, which takes a minute and more there.
#[test]
fn an_adapter_answers_alike() {
    let Some(adapter) = unisono::devices().into_iter().find(|d| d.id == "wgpu:0") else {
        println!("no adapter on this machine");
        return;
    };
    let device = adapter.open().unwrap();
    let first = fingerprint(&**device.backend()).unwrap();
    for _ in 1..3 {
        assert_eq!(first.differences(&fingerprint(&**device.backend()).unwrap()), Vec::<String>::new());
    }
    assert!(first.traits.iter().all(|t| t.answer != "unsupported" && t.answer != "not told"), "{first:?}");
}
