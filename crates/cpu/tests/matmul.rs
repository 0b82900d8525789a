//! Matrix products and their composite, against `f64` with the bound γ_K·(|A|·|B|).

mod common;

use common::{Host, ODD, U, check};
use unisono_core::DType;
use unisono_core::op::{Activation, Linear, Op};

/// The product's element and its bound.
fn product(a: &Host, b: &Host, i: usize) -> (f64, f64) {
    let (r, s) = (a.desc.rank(), &a.desc.shape);
    let (m, k, n) = (s[r - 2], s[r - 1], b.desc.shape[r - 1]);
    let (batch, row, col) = (i / (m * n), i / n % m, i % n);
    let (mut sum, mut size) = (0.0, 0.0);
    for j in 0..k {
        let term = a.get((batch * m + row) * k + j) * b.get((batch * k + j) * n + col);
        sum += term;
        size += term.abs();
    }
    (sum, size * k as f64 * U)
}

fn check_matmul(a: &Host, b: &Host, y: &Host) {
    check(&Op::MatMul, &[a.clone(), b.clone()], std::slice::from_ref(y), &|_, i| product(a, b, i));
}

#[test]
fn every_small_shape() {
    for m in [1, 3, 7, 17] {
        for n in ODD {
            for k in [1, 7, 33, 129] {
                let a = Host::new(DType::F32, &[m, k]).random(1, 1.0);
                let w = Host::new(DType::F32, &[n, k]).random(2, 1.0).view(|d| d.transposed(0, 1));
                check_matmul(&a, &w, &Host::new(DType::F32, &[m, n]));
            }
        }
    }
}

#[test]
fn every_mix_of_types_and_layouts() {
    for (m, n, k) in [(1, 33, 70), (5, 17, 129), (33, 65, 40)] {
        for a_type in DType::FLOATS {
            for b_type in DType::FLOATS {
                for (l, y_type) in DType::FLOATS.into_iter().enumerate() {
                    let a = Host::layouts(a_type, &[2, m, k]).swap_remove(l).random(1, 1.0);
                    let b = Host::layouts(b_type, &[2, k, n]).swap_remove((l + 1) % 3).random(2, 1.0);
                    let bt = Host::new(b_type, &[2, n, k]).random(3, 1.0).view(|d| d.transposed(1, 2));
                    let y = Host::layouts(y_type, &[2, m, n]).swap_remove((l + 2) % 3);
                    check_matmul(&a, &b, &y);
                    check_matmul(&a, &bt, &Host::new(y_type, &[2, m, n]));
                }
            }
        }
    }
}

/// Deep enough for several panels, wide enough for several tiles; integers, so the sums are exact.
#[test]
fn panels_and_tiles_drop_nothing() {
    for (m, n, k) in [(3, 300, 1300), (40, 530, 1100), (530, 40, 600)] {
        for b_type in DType::FLOATS {
            let a = Host::new(DType::F32, &[m, k]).fill(|i| (i % 5) as f64 - 2.0);
            let w = Host::new(b_type, &[n, k]).fill(|i| (i % 7) as f64 - 3.0).view(|d| d.transposed(0, 1));
            let mut exact = vec![0.0; m * n];
            let (a_values, w_values) = (a.values(), w.view(|d| d.transposed(0, 1)).values());
            for (i, e) in exact.iter_mut().enumerate() {
                let (a, w) = (&a_values[i / n * k..][..k], &w_values[i % n * k..][..k]);
                *e = a.iter().zip(w).map(|(a, w)| a * w).sum();
            }
            let y = Host::new(DType::F32, &[m, n]);
            check(&Op::MatMul, &[a, w], &[y], &|_, i| (exact[i], 0.0));
        }
    }
}

#[test]
fn batches_broadcast() {
    let a = Host::new(DType::F32, &[2, 3, 4, 9]).random(1, 1.0);
    let b = Host::new(DType::F16, &[3, 9, 8]).random(2, 1.0).view(|d| d.broadcast_to(&[2, 3, 9, 8]));
    check_matmul(&a, &b, &Host::new(DType::F32, &[2, 3, 4, 8]));
    let row = Host::new(DType::F32, &[1, 9]).random(3, 1.0).view(|d| d.broadcast_to(&[4, 9]));
    let ones = Host::new(DType::F32, &[1, 1]).random(4, 1.0).view(|d| d.broadcast_to(&[9, 8]));
    check_matmul(&row, &ones, &Host::new(DType::F32, &[4, 8]));
}

#[test]
fn empty_dimensions() {
    for (m, n, k) in [(0, 3, 4), (3, 0, 4), (3, 4, 0), (20, 30, 0)] {
        let a = Host::new(DType::F32, &[m, k]).random(1, 1.0);
        let b = Host::new(DType::BF16, &[k, n]).random(2, 1.0);
        check_matmul(&a, &b, &Host::new(DType::F32, &[m, n]));
    }
}

#[test]
fn linear_adds_bias_activation_and_residual() {
    for (m, n, k) in [(1, 33, 65), (7, 129, 17), (40, 70, 33), (2, 5, 0)] {
        for activation in Activation::ALL {
            for (bias, residual) in [(false, false), (true, false), (false, true), (true, true)] {
                for y_type in [DType::F32, DType::F16] {
                    let a = Host::new(DType::F32, &[m, k]).random(1, 1.0);
                    let w = Host::new(DType::F16, &[n, k]).random(2, 1.0).view(|d| d.transposed(0, 1));
                    let b = Host::new(DType::BF16, &[n]).random(3, 1.0);
                    let r = Host::layouts(DType::F32, &[m, n]).swap_remove(1).random(4, 1.0);
                    let mut inputs = vec![a.clone(), w.clone()];
                    inputs.extend(bias.then(|| b.clone()));
                    inputs.extend(residual.then(|| r.clone()));
                    let y = Host::layouts(y_type, &[m, n]).swap_remove(m % 3);
                    check(&Op::Linear(Linear { bias, activation, residual }), &inputs, &[y], &|_, i| {
                        let (sum, error) = product(&a, &w, i);
                        let x = sum + if bias { b.get(i % n) } else { 0.0 };
                        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
                        let value = match activation {
                            Activation::Silu => x * sigmoid(x),
                            Activation::GeluTanh => x * sigmoid(1.595_769_121_605_731 * (x + 0.044715 * x * x * x)),
                            Activation::Gelu => x * normal(x),
                            _ => x,
                        };
                        let total = value + if residual { r.get(i) } else { 0.0 };
                        (total, 1.2 * error + (8.0 * x.abs() + value.abs() + total.abs() + 2.0) * U)
                    });
                }
            }
        }
    }
}

/// The standard normal distribution function by numerical integration.
fn normal(x: f64) -> f64 {
    let steps = 2000;
    let h = x / f64::from(steps);
    let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let simpson =
        |i: i32| density(h * f64::from(i)) * if i == 0 || i == steps { 1.0 } else { 2.0 + 2.0 * f64::from(i % 2) };
    0.5 + (0..=steps).map(simpson).sum::<f64>() * h / 3.0
}
