//! Directions of rounding, and whether a product and a sum are rounded once or twice.

use unisono_core::op::{Activation, BinaryOp, Linear, Op, ScaleShift, UnaryOp};
use unisono_core::{DType, OpDesc, ProgramBuilder, Result, SlotKind, Support, TensorDesc};

use super::Trait;
use super::probe::{Probe, pack};
use super::rounding::{Mode, round, tell};
use crate::data::{Stream, decode, power_of_two};

/// Results per question.
const COUNT: u64 = 4096;

/// A random significand of `digits` digits in [1, 2), its last digit odd.
fn significand(s: &Stream, i: u64, digits: i32) -> f64 {
    let scale = 2f64.powi(digits - 1);
    1.0 + (2.0 * (s.unit(i) * scale / 2.0).floor() + 1.0) / scale
}

/// Pairs of f32 for `op`; every fourth one meets the middle between two results, where it can.
fn pairs(op: BinaryOp) -> [Vec<f64>; 2] {
    let s = Stream::new(op.name(), 7);
    let sign = |i: u64| if s.bits(i) & 1 == 0 { 1.0 } else { -1.0 };
    let pair = |i: u64| {
        let tie = i.is_multiple_of(4);
        let a = sign(8 * i) * significand(&s, 8 * i + 1, 24);
        let b = sign(8 * i + 2) * significand(&s, 8 * i + 3, 24);
        match op {
            BinaryOp::Add if tie => [a, sign(8 * i + 4) * power_of_two(-24)],
            // The sum of two f32 that are not too far apart is exact in f64.
            BinaryOp::Add => [a, b * power_of_two(-(s.below(8 * i + 5, 24) as i32))],
            // 12 digits times 13 make 24 or 25.
            BinaryOp::Mul if tie => [significand(&s, 8 * i + 1, 12), sign(8 * i) * significand(&s, 8 * i + 3, 13)],
            _ => [a, b],
        }
    };
    let all: Vec<[f64; 2]> = (0..COUNT).map(pair).collect();
    [all.iter().map(|p| p[0]).collect(), all.iter().map(|p| p[1]).collect()]
}

/// Numbers to store in `dtype`: two digits more than it has, every fourth one a tie.
fn to_store(dtype: DType) -> Vec<f64> {
    let s = Stream::new(dtype.name(), 7);
    let digits = if dtype == DType::F16 { 11 } else { 8 };
    let one = |i: u64| {
        let more = if i.is_multiple_of(4) { 1 } else { 9 };
        let sign = if s.bits(3 * i) & 1 == 0 { 1.0 } else { -1.0 };
        sign * significand(&s, 3 * i + 1, digits + more) * power_of_two(s.below(3 * i + 2, 20) as i32 - 10)
    };
    (0..COUNT).map(one).collect()
}

async fn rounding(probe: &Probe<'_>, traits: &mut Vec<Trait>) -> Result<()> {
    let mut tell_of = |name: &str, exact: Vec<f64>, got: Option<Vec<f64>>, dtype| {
        traits.push(match got {
            None => Trait::unsupported("rounding", name),
            Some(got) => {
                let (answer, detail) = tell(&exact, &got, dtype);
                Trait::new("rounding", name, answer, detail)
            }
        });
    };
    let f32 = DType::F32;
    for (op, name) in [(BinaryOp::Add, "f32 add"), (BinaryOp::Mul, "f32 mul"), (BinaryOp::Div, "f32 div")] {
        let [a, b] = pairs(op);
        let got = probe.map(Op::Binary(op), &[(f32, &a), (f32, &b)], f32).await?;
        let exact = |(a, b): (&f64, &f64)| match op {
            BinaryOp::Add => a + b,
            BinaryOp::Mul => a * b,
            // Never so near to a tie that the rounding of f64 decides.
            _ => a / b,
        };
        tell_of(name, a.iter().zip(&b).map(exact).collect(), got, f32);
    }
    let [x, _] = pairs(BinaryOp::Div);
    let x: Vec<f64> = x.iter().map(|x| x.abs()).collect();
    let got = probe.map(Op::Unary(UnaryOp::Sqrt), &[(f32, &x)], f32).await?;
    tell_of("f32 sqrt", x.iter().map(|x| x.sqrt()).collect(), got, f32);
    for (dtype, name, by_mul) in [(DType::F16, "store to f16", "f16 mul"), (DType::BF16, "store to bf16", "bf16 mul")] {
        let x = to_store(dtype);
        let got = probe.map(Op::Copy, &[(f32, &x)], dtype).await?;
        tell_of(name, x.clone(), got, dtype);
        // Short operands: their product is exact in f32, so it is rounded once, on its way out.
        let digits = if dtype == DType::F16 { 11 } else { 8 };
        let s = Stream::new(by_mul, 7);
        let side = |k: u64| (0..COUNT).map(|i| significand(&s, 2 * i + k, digits)).collect::<Vec<f64>>();
        let (a, b) = (side(0), side(1));
        let got = probe.map(Op::Binary(BinaryOp::Mul), &[(dtype, &a), (dtype, &b)], dtype).await?;
        tell_of(by_mul, a.iter().zip(&b).map(|(a, b)| a * b).collect(), got, dtype);
    }
    let s = Stream::new("i32", 7);
    let integer =
        |i: u64| (s.below(2 * i, 1 << 31) as f64).floor() * if s.bits(2 * i + 1) & 1 == 0 { 1.0 } else { -1.0 };
    let x: Vec<f64> = (0..COUNT).map(integer).chain((0..64).map(|i| 16_777_217.0 + 2.0 * f64::from(i))).collect();
    let got = probe.map(Op::Copy, &[(DType::I32, &x)], f32).await?;
    tell_of("i32 to f32", x, got, f32);
    Ok(())
}

/// Factors and addend whose product does not fit f32, and whose sum does when the product was not
/// rounded before.
const FACTOR: f64 = 1.0 + 5.0 / 4096.0;

fn arguments() -> Vec<f64> {
    (0..1024).map(|i| 1.0 + f64::from(2 * i + 1) / 4096.0).collect()
}

/// `once (fused)`, `twice`, or neither.
pub(super) fn fused(got: &[f64], x: &[f64], factor: f64, addend: f64) -> (String, String) {
    let once = got.iter().zip(x).filter(|&(&y, &x)| y == x * factor + addend).count();
    let twice = got
        .iter()
        .zip(x)
        .filter(|&(&y, &x)| Mode::ALL.iter().any(|&mode| y == round(x * factor, DType::F32, mode) + addend));
    let (n, twice) = (got.len(), twice.count());
    let answer = match () {
        () if once == n => "once (fused)",
        () if twice == n => "twice",
        () if once + twice == n => "once or twice",
        () => "otherwise",
    };
    (answer.into(), format!("{once} once, {twice} twice of {n}"))
}

async fn contraction(probe: &Probe<'_>, traits: &mut Vec<Trait>) -> Result<()> {
    let x = arguments();
    let f32 = DType::F32;
    let fill = |v: f64| vec![v; x.len()];
    let scale_shift = Op::ScaleShift(ScaleShift { scale: (FACTOR as f32).into(), shift: (-1.0).into() });
    let (factor, addend) = (fill(FACTOR), fill(-1.0));
    let apart = vec![Op::Binary(BinaryOp::Mul), Op::Binary(BinaryOp::Add)];
    let results = [
        ("scale_shift", probe.map(scale_shift, &[(f32, &x)], f32).await?),
        ("mul and add as two steps", probe.steps(apart, &[(f32, &x), (f32, &factor), (f32, &addend)], f32).await?),
        ("linear with bias", linear(probe, &x).await?),
    ];
    for (name, got) in results {
        traits.push(match got {
            None => Trait::unsupported("contraction", name),
            Some(got) => {
                let (answer, detail) = fused(&got, &x, FACTOR, -1.0);
                Trait::new("contraction", name, answer, detail)
            }
        });
    }
    Ok(())
}

/// `x·FACTOR + (−1)` as a linear layer with k = 1 and a bias.
async fn linear(probe: &Probe<'_>, x: &[f64]) -> Result<Option<Vec<f64>>> {
    let f32 = |shape: &[usize]| TensorDesc::contiguous(DType::F32, shape);
    let op = Op::Linear(Linear { bias: true, activation: Activation::None, residual: false });
    let descs = [f32(&[x.len(), 1])?, f32(&[1, 1])?, f32(&[1])?, f32(&[x.len(), 1])?];
    let desc = OpDesc::new(op.clone(), descs[..3].to_vec(), descs[3..].to_vec())?;
    if matches!(probe.backend.supports(&desc), Support::Unsupported(_)) {
        return Ok(None);
    }
    let mut builder = ProgramBuilder::new();
    let inputs = descs[..3].iter().map(|d| builder.operand(SlotKind::Input, *d)).collect::<Vec<_>>();
    let y = builder.operand(SlotKind::Output, descs[3]);
    builder.push(op, &inputs, &[y])?;
    let bytes = [pack(DType::F32, x), pack(DType::F32, &[FACTOR]), pack(DType::F32, &[-1.0])];
    let result = probe.run(&builder.finish(), &bytes, descs[3].span_bytes()).await?;
    Ok(result.map(|bytes| decode(DType::F32, &bytes)))
}

pub(super) async fn ask(probe: &Probe<'_>, traits: &mut Vec<Trait>) -> Result<()> {
    rounding(probe, traits).await?;
    contraction(probe, traits).await
}
