//! How exact functions are: the largest error over 65,536 fixed arguments, in units in the last place
//! of the f32 nearest to the exact value.

use unisono_core::op::{BinaryOp, Op, UnaryOp};
use unisono_core::{DType, Result};

use super::Trait;
use super::probe::{Probe, shown};
use super::rounding::exponent;
use crate::data::power_of_two;
use crate::oracle;

const GROUP: &str = "functions";
/// Arguments per function.
const COUNT: u32 = 1 << 16;

/// A function with its arguments: between two numbers, evenly spread and evenly in the exponent.
const FUNCTIONS: [(UnaryOp, &str, f32, f32); 15] = [
    (UnaryOp::Exp, "exp, -87 to 88", -87.0, 88.0),
    (UnaryOp::Log, "log, 1e-37 to 1e37", 1e-37, 1e37),
    (UnaryOp::Log, "log, 0.5 to 2", 0.5, 2.0),
    (UnaryOp::Tanh, "tanh, -10 to 10", -10.0, 10.0),
    (UnaryOp::Rsqrt, "inverse sqrt, 1e-37 to 1e37", 1e-37, 1e37),
    (UnaryOp::Sqrt, "sqrt, 1e-37 to 1e37", 1e-37, 1e37),
    (UnaryOp::Recip, "reciprocal, -1e37 to 1e37", -1e37, 1e37),
    (UnaryOp::Sin, "sin, -pi to pi", -std::f32::consts::PI, std::f32::consts::PI),
    (UnaryOp::Cos, "cos, -pi to pi", -std::f32::consts::PI, std::f32::consts::PI),
    (UnaryOp::Sin, "sin, -65536 to 65536", -65536.0, 65536.0),
    (UnaryOp::Erf, "erf, -4 to 4", -4.0, 4.0),
    (UnaryOp::Sigmoid, "sigmoid, -80 to 80", -80.0, 80.0),
    (UnaryOp::Silu, "silu, -20 to 20", -20.0, 20.0),
    (UnaryOp::Gelu, "gelu, -3 to 8", -3.0, 8.0),
    (UnaryOp::GeluTanh, "gelu_tanh, -3 to 8", -3.0, 8.0),
];

/// The arguments between `low` and `high`: half of them evenly spread, half by their bits, with both
/// signs where zero lies between.
fn arguments(low: f32, high: f32) -> Vec<f64> {
    let half = COUNT / 2;
    let even = |i: u32| {
        let (low, high) = (f64::from(low), f64::from(high));
        f64::from((low + (high - low) * f64::from(i) / f64::from(half - 1)) as f32)
    };
    let by_bits = |i: u32| {
        let most = if low < 0.0 && i % 2 == 1 { -low } else { high };
        let least = if low > 0.0 { low } else { most * 1e-9 };
        let (a, b) = (u64::from(least.to_bits()), u64::from(most.to_bits()));
        let x = f32::from_bits((a + (b - a) * u64::from(i) / u64::from(half - 1)) as u32);
        f64::from(if low < 0.0 && i % 2 == 1 { -x } else { x })
    };
    (0..half).map(even).chain((0..half).map(by_bits)).collect()
}

/// The error of `got` in units in the last place of the exact value.
fn units(got: f64, exact: f64) -> f64 {
    let unit = power_of_two(exponent(exact).max(-126) - 23);
    let error = (got - exact).abs() / unit;
    if error.is_nan() { f64::INFINITY } else { error }
}

/// The largest error, in words.
fn worst(name: &str, arguments: &[f64], exact: &[f64], got: &[f64]) -> Trait {
    let usable = |i: &usize| (1.2e-38..=3.4e38).contains(&exact[*i].abs());
    let all = (0..got.len()).filter(usable);
    let Some((i, error)) = all.map(|i| (i, units(got[i], exact[i]))).max_by(|a, b| a.1.total_cmp(&b.1)) else {
        return Trait::new(GROUP, name, "no argument", "");
    };
    let detail = format!("at {}: {} for {}", shown(arguments[i]), shown(got[i]), shown(exact[i]));
    let answer = if error < 1e4 { format!("{error:.2} ULP") } else { format!("{error:.1e} ULP") };
    Trait::new(GROUP, name, answer, detail)
}

pub(super) async fn ask(probe: &Probe<'_>, traits: &mut Vec<Trait>) -> Result<()> {
    for (op, name, low, high) in FUNCTIONS {
        let x = arguments(low, high);
        let exact: Vec<f64> = x.iter().map(|&x| oracle::function(op, x)).collect();
        traits.push(match probe.map(Op::Unary(op), &[(DType::F32, &x)], DType::F32).await? {
            None => Trait::unsupported(GROUP, name),
            Some(got) => worst(name, &x, &exact, &got),
        });
        // Many devices compute it from exponentials, where only the absolute error is small.
        if op == UnaryOp::Tanh {
            let got = probe.map(Op::Unary(op), &[(DType::F32, &x)], DType::F32).await?;
            traits.extend(got.map(|got| {
                let errors = got.iter().zip(&exact).map(|(y, e)| (y - e).abs());
                let most = errors.fold(0.0, |a: f64, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) });
                Trait::new(GROUP, format!("{name}, absolute"), format!("{most:.2e}"), "")
            }));
        }
    }
    let name = "division";
    let (a, b) = (arguments(1e-10, 1e10), arguments(-1e8, 1e8));
    let a: Vec<f64> = a.into_iter().rev().collect();
    let exact: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a / b).collect();
    let inputs = [(DType::F32, a.as_slice()), (DType::F32, b.as_slice())];
    traits.push(match probe.map(Op::Binary(BinaryOp::Div), &inputs, DType::F32).await? {
        None => Trait::unsupported(GROUP, name),
        Some(got) => worst(name, &a, &exact, &got),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_stay_in_their_range_and_are_f32() {
        for (_, name, low, high) in FUNCTIONS {
            let x = arguments(low, high);
            assert_eq!(x.len(), COUNT as usize);
            assert!(x.iter().all(|&x| x == f64::from(x as f32)), "{name}");
            assert!(x.iter().all(|&x| (f64::from(low)..=f64::from(high)).contains(&x)), "{name}");
            assert!(low > 0.0 || x.iter().any(|&x| x < 0.0 && x > f64::from(low) / 2.0), "{name}");
        }
    }

    #[test]
    fn units_by_hand() {
        assert_eq!(units(1.0 + power_of_two(-22), 1.0), 2.0);
        assert_eq!(units(0.0, power_of_two(-126)), 8_388_608.0);
        assert_eq!(units(f64::NAN, 1.0), f64::INFINITY);
    }
}
