//! Zeros with a sign, infinities, NaN, and functions far out. WGSL promises little here, so these are
//! facts and never failures.

use unisono_core::op::{BinaryOp, Op, UnaryOp};
use unisono_core::{DType, Result};

use super::Trait;
use super::probe::{Probe, shown};

const GROUP: &str = "special";

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

/// A function, its name with its arguments in order, and the arguments.
const UNARY: [(UnaryOp, &str, &[f64]); 12] = [
    (UnaryOp::Tanh, "tanh of 20, 100, 1e4, -1e4", &[20.0, 100.0, 1e4, -1e4]),
    (UnaryOp::GeluTanh, "gelu_tanh of 100, 1e4, -1e4", &[100.0, 1e4, -1e4]),
    (UnaryOp::Sigmoid, "sigmoid of 100, -100, 1e4, -1e4", &[100.0, -100.0, 1e4, -1e4]),
    (UnaryOp::Exp, "exp of 89, -110, inf, -inf", &[89.0, -110.0, INF, -INF]),
    (UnaryOp::Tanh, "tanh of -0, inf, -inf, NaN", &[-0.0, INF, -INF, NAN]),
    (UnaryOp::Sqrt, "sqrt of -0, -1, inf", &[-0.0, -1.0, INF]),
    (UnaryOp::Log, "log of 0, -1, inf", &[0.0, -1.0, INF]),
    (UnaryOp::Recip, "reciprocal of 0, -0, inf", &[0.0, -0.0, INF]),
    (UnaryOp::Neg, "neg of 0, -0, NaN", &[0.0, -0.0, NAN]),
    (UnaryOp::Relu, "relu of -0, -1, NaN", &[-0.0, -1.0, NAN]),
    (UnaryOp::Round, "round of -0.4, -0, inf", &[-0.4, -0.0, INF]),
    (UnaryOp::Sin, "sin of -0, 1e6, inf", &[-0.0, 1e6, INF]),
];

const BINARY: [(BinaryOp, &str, &[f64], &[f64]); 6] = [
    (BinaryOp::Add, "0 + -0, -0 + -0, 1 - 1, inf - inf", &[0.0, -0.0, 1.0, INF], &[-0.0, -0.0, -1.0, -INF]),
    (BinaryOp::Mul, "0 * -1, -0 * -1, 0 * inf", &[0.0, -0.0, 0.0], &[-1.0, -1.0, INF]),
    (BinaryOp::Mul, "1e20 * 1e20, 1e20 * -1e20", &[1e20, 1e20], &[1e20, -1e20]),
    (BinaryOp::Div, "1 / 0, -1 / 0, 0 / 0, 1 / inf", &[1.0, -1.0, 0.0, 1.0], &[0.0, 0.0, 0.0, INF]),
    (BinaryOp::Maximum, "maximum of NaN, 1; 1, NaN; -0, 0; 0, -0", &[NAN, 1.0, -0.0, 0.0], &[1.0, NAN, 0.0, -0.0]),
    (BinaryOp::Minimum, "minimum of NaN, 1; 1, NaN; -0, 0; 0, -0", &[NAN, 1.0, -0.0, 0.0], &[1.0, NAN, 0.0, -0.0]),
];

fn list(values: &[f64]) -> String {
    values.iter().map(|&v| shown(v)).collect::<Vec<_>>().join(", ")
}

pub(super) async fn ask(probe: &Probe<'_>, traits: &mut Vec<Trait>) -> Result<()> {
    let f32 = DType::F32;
    let mut note = |name: &str, got: Option<Vec<f64>>| {
        traits.push(match got {
            None => Trait::unsupported(GROUP, name),
            Some(got) => Trait::new(GROUP, name, list(&got), ""),
        });
    };
    for (op, name, x) in UNARY {
        note(name, probe.map(Op::Unary(op), &[(f32, x)], f32).await?);
    }
    for (op, name, a, b) in BINARY {
        note(name, probe.map(Op::Binary(op), &[(f32, a), (f32, b)], f32).await?);
    }
    let out_of_range: &[f64] = &[65519.0, 65520.0, 70000.0, -1e9, INF, NAN];
    note(
        "store to f16 of 65519, 65520, 70000, -1e9, inf, NaN",
        probe.map(Op::Copy, &[(f32, out_of_range)], DType::F16).await?,
    );
    let zeros: &[f64] = &[0.0, -0.0];
    note("0, -0 through f16", probe.map(Op::Copy, &[(DType::F16, zeros)], f32).await?);
    Ok(())
}
