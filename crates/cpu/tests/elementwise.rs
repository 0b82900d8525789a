//! Functions of one element and of pairs, against `f64`.

mod common;

use common::{Host, ODD, U, check};
use unisono_core::DType;
use unisono_core::op::{BinaryOp, Gate, Op, UnaryOp};

/// The complementary error function for z ≥ 0 by its continued fraction, and by the series of
/// `erf` near zero: independent of the kernel's polynomial.
fn erfc(z: f64) -> f64 {
    if z < 2.5 {
        let (mut term, mut sum) = (z, z);
        for n in 1..200 {
            term *= -z * z / n as f64;
            sum += term / (2 * n + 1) as f64;
        }
        return 1.0 - 2.0 / std::f64::consts::PI.sqrt() * sum;
    }
    let fraction = (1..200).rev().fold(0.0, |f, n| n as f64 / 2.0 / (z + f));
    (-z * z).exp() / std::f64::consts::PI.sqrt() / (z + fraction)
}

fn exact(op: UnaryOp, x: f64) -> f64 {
    let sigmoid = |x: f64| if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) };
    match op {
        UnaryOp::Neg => -x,
        UnaryOp::Abs => x.abs(),
        UnaryOp::Sign if x == 0.0 => x,
        UnaryOp::Sign => x.signum(),
        UnaryOp::Square => x * x,
        UnaryOp::Sqrt => x.sqrt(),
        UnaryOp::Recip => 1.0 / x,
        UnaryOp::Log => x.ln(),
        UnaryOp::Sin => x.sin(),
        UnaryOp::Cos => x.cos(),
        UnaryOp::Erf if x < 0.0 => erfc(-x) - 1.0,
        UnaryOp::Erf => 1.0 - erfc(x),
        UnaryOp::Relu => x.max(0.0),
        UnaryOp::GeluQuick => x * sigmoid(1.702 * x),
        UnaryOp::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        UnaryOp::Floor => x.floor(),
        UnaryOp::Ceil => x.ceil(),
        UnaryOp::Round => x.round_ties_even(),
        UnaryOp::Exp => x.exp(),
        UnaryOp::Rsqrt => 1.0 / x.sqrt(),
        UnaryOp::Tanh => x.tanh(),
        UnaryOp::Sigmoid => sigmoid(x),
        UnaryOp::Silu => x * sigmoid(x),
        UnaryOp::Gelu => {
            let tail = erfc(x.abs() / 2f64.sqrt()) / 2.0;
            x * if x < 0.0 { tail } else { 1.0 - tail }
        }
        UnaryOp::GeluTanh => x * sigmoid(2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)),
        _ => panic!("unknown function"),
    }
}

/// Relative error allowed, in units of the last place.
fn ulps(op: UnaryOp, x: f64) -> f64 {
    match op {
        UnaryOp::Neg => 0.0,
        UnaryOp::Exp | UnaryOp::Rsqrt => 2.0,
        UnaryOp::Tanh | UnaryOp::Sigmoid | UnaryOp::Silu => 4.0,
        UnaryOp::Gelu => 6.0,
        UnaryOp::Abs | UnaryOp::Sign | UnaryOp::Relu | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round => 0.0,
        UnaryOp::Square | UnaryOp::Sqrt | UnaryOp::Recip => 1.0,
        UnaryOp::Log | UnaryOp::Erf | UnaryOp::Softplus => 4.0,
        // Next to multiples of π/2 the reduced argument is small.
        UnaryOp::Sin | UnaryOp::Cos => 4.0 + 1e-7 * x.abs() / exact(op, x).abs(),
        UnaryOp::GeluQuick => 4.0 + 4.0 * x.abs(),
        // The rounding of the argument is magnified by its size.
        _ => 4.0 + 4.0 * x.abs().powi(3).min(200.0),
    }
}

fn check_unary(op: UnaryOp, x: &Host, y: &Host) {
    check(&Op::Unary(op), std::slice::from_ref(x), std::slice::from_ref(y), &|_, i| {
        let v = x.get(i);
        let want = exact(op, v);
        (want, want.abs() * ulps(op, v) * U)
    });
}

#[test]
fn unary_functions_keep_their_relative_accuracy() {
    let points: Vec<f64> = (-4000..4000).map(|i| f64::from(i) * 0.0225).collect();
    for op in UnaryOp::ALL.into_iter().filter(|op| op.takes(DType::F32)) {
        let x = Host::new(DType::F32, &[points.len()]).fill(|i| match op {
            UnaryOp::Rsqrt | UnaryOp::Sqrt | UnaryOp::Recip | UnaryOp::Log => 1e-3 + points[i].abs() * 100.0,
            UnaryOp::Exp => points[i].min(88.72),
            _ => points[i],
        });
        check_unary(op, &x, &Host::new(DType::F32, &[points.len()]));
    }
}

#[test]
fn unary_functions_hold_at_the_extremes() {
    let points =
        [0.0, -0.0, 1e-30, -1e-30, 1e4, -1e4, 88.7, -88.0, -103.0, 1e-3, -0.624_999, 0.625, 3e4, -3e4, 13.9, -13.0];
    for op in [UnaryOp::Neg, UnaryOp::Tanh, UnaryOp::Sigmoid, UnaryOp::Silu, UnaryOp::Gelu, UnaryOp::GeluTanh] {
        let x = Host::new(DType::F32, &[points.len()]).fill(|i| points[i]);
        check_unary(op, &x, &Host::new(DType::F32, &[points.len()]));
    }
    let x = Host::new(DType::F32, &[4]).fill(|i| [88.8, 1e4, -1e4, -104.5][i]);
    check(&Op::Unary(UnaryOp::Exp), &[x], &[Host::new(DType::F32, &[4])], &|_, i| {
        ([f64::INFINITY, f64::INFINITY, 0.0, 0.0][i], 0.0)
    });
}

#[test]
fn unary_takes_every_layout_and_type() {
    for n in ODD {
        for from in DType::FLOATS {
            for to in DType::FLOATS {
                for (x, y) in Host::layouts(from, &[3, n]).into_iter().zip(Host::layouts(to, &[3, n]).into_iter().rev())
                {
                    check_unary(UnaryOp::Silu, &x.random(n as u64, 4.0), &y);
                }
            }
        }
    }
}

fn check_binary(op: BinaryOp, a: &Host, b: &Host, y: &Host) {
    let swap = Op::Binary(op);
    check(&swap, &[a.clone(), b.clone()], std::slice::from_ref(y), &|_, i| {
        let (a, b) = (a.get(i), b.get(i));
        let want = match op {
            BinaryOp::Add => a + b,
            BinaryOp::Sub => a - b,
            BinaryOp::Mul => a * b,
            BinaryOp::Minimum => a.min(b),
            BinaryOp::Maximum => a.max(b),
            BinaryOp::Rem => a % b,
            _ => a / b,
        };
        (want, 0.0)
    });
}

#[test]
fn pairs_broadcast_and_mix_types() {
    for op in BinaryOp::ALL.into_iter().filter(|op| *op != BinaryOp::Pow) {
        for n in ODD {
            let a = Host::strided(DType::F16, &[4, n], &[n + 2, 1], 3).random(1, 8.0);
            let row = Host::new(DType::F32, &[n]).random(2, 8.0).view(|d| d.broadcast_to(&[4, n]));
            let column = Host::new(DType::BF16, &[4, 1]).random(3, 8.0).view(|d| d.broadcast_to(&[4, n]));
            let scalar = Host::new(DType::F32, &[1]).random(4, 8.0).view(|d| d.broadcast_to(&[4, n]));
            let turned = Host::new(DType::F32, &[n, 4]).random(5, 8.0).view(|d| d.transposed(0, 1));
            for b in [&row, &column, &scalar, &turned] {
                for y in Host::layouts(DType::F32, &[4, n]) {
                    check_binary(op, &a, b, &y);
                }
                check_binary(op, b, &a, &Host::new(DType::BF16, &[4, n]));
            }
        }
    }
}

#[test]
fn large_tensors_are_split_over_threads() {
    let n = 100_003;
    let a = Host::new(DType::F32, &[n]).random(1, 8.0);
    let b = Host::new(DType::BF16, &[n]).random(2, 8.0);
    check_binary(BinaryOp::Mul, &a, &b, &Host::new(DType::F32, &[n]));
}

#[test]
fn swiglu_is_silu_times_up() {
    for n in ODD {
        for dtype in DType::FLOATS {
            let gate = Host::new(dtype, &[2, n]).random(1, 6.0);
            let up = Host::new(DType::F32, &[n, 2]).random(2, 6.0).view(|d| d.transposed(0, 1));
            for y in Host::layouts(dtype, &[2, n]) {
                check(&Op::Gated(Gate::SwiGlu), &[gate.clone(), up.clone()], &[y], &|_, i| {
                    let want = exact(UnaryOp::Silu, gate.get(i)) * up.get(i);
                    (want, want.abs() * 6.0 * U)
                });
            }
        }
    }
}

#[test]
fn every_gate_scales_its_activation() {
    for gate in Gate::ALL {
        let a = Host::new(DType::F16, &[3, 17]).random(1, 6.0);
        let b = Host::new(DType::F32, &[3, 17]).random(2, 6.0);
        check(&Op::Gated(gate), &[a.clone(), b.clone()], &[Host::new(DType::F32, &[3, 17])], &|_, i| {
            let want = exact(gate.unary(), a.get(i)) * b.get(i);
            (want, want.abs() * (ulps(gate.unary(), a.get(i)) + 2.0) * U)
        });
    }
}

#[test]
fn powers_of_negative_numbers_have_the_sign_of_the_exponent() {
    let (a, b) = ([-2.0, -2.0, -2.0, 0.0, 3.0, -1.5], [3.0, 2.0, -1.0, 2.0, 0.0, 5.0]);
    let base = Host::new(DType::F32, &[6]).fill(|i| a[i]);
    let exponent = Host::new(DType::F32, &[6]).fill(|i| b[i]);
    check(&Op::Binary(BinaryOp::Pow), &[base, exponent], &[Host::new(DType::F32, &[6])], &|_, i| {
        let want = a[i].powf(b[i]);
        (want, want.abs() * 2.0 * U)
    });
}

#[test]
fn empty_and_scalar_tensors_are_fine() {
    for shape in [&[0usize][..], &[3, 0], &[0, 3], &[]] {
        let x = Host::new(DType::F32, shape).random(1, 2.0);
        check_unary(UnaryOp::Exp, &x, &Host::new(DType::F16, shape));
        check_binary(BinaryOp::Add, &x, &x, &Host::new(DType::F32, shape));
    }
}
